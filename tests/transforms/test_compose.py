"""Compose: stages by position, the leading plan, what a planned batch skips."""

from __future__ import annotations

import pickle

import numpy as np
import torch

from shardstream.transforms import (
    CenterCrop,
    Compose,
    DecodePlanner,
    Normalize,
    RandomCrop,
    RandomHorizontalFlip,
    RandomResizedCrop,
    Resize,
    presets,
)

from .samples import batch_of, noise, seeds, u64


def drawn(flip: torch.nn.Module) -> list[bool]:
    assert isinstance(flip, RandomHorizontalFlip)
    return flip.draw(np.ones((64, 2), dtype=np.int64), u64(seeds(64))).tolist()


def test_two_flips_in_one_pipeline_draw_differently() -> None:
    """Even one module given twice: each place is a stage of its own."""
    flip = RandomHorizontalFlip()
    first, second = Compose([flip, flip])
    assert drawn(first) == drawn(flip)
    assert drawn(first) != drawn(second)
    assert abs(np.mean(np.array(drawn(first)) == np.array(drawn(second))) - 0.5) < 0.2


def test_a_transform_of_another_kind_beside_it_does_not_move_a_draw() -> None:
    """Adding a crop to a pipeline keeps its flips."""
    plain, longer = Compose([RandomHorizontalFlip()]), Compose([RandomCrop(8), RandomHorizontalFlip()])
    assert drawn(next(iter(plain))) == drawn(list(longer)[1])


def test_a_compose_inside_counts_as_its_transforms() -> None:
    """Same stages, same draws, same plan as written flat."""
    inner = Compose([RandomResizedCrop(32), RandomHorizontalFlip()])
    nested, flat = Compose([inner, RandomHorizontalFlip()]), Compose([*inner, RandomHorizontalFlip()])
    batch = batch_of(noise(8, 3, 40, 50))
    assert len(nested) == 3
    assert drawn(list(nested)[1]) != drawn(list(nested)[2])
    assert torch.equal(nested(batch)["image"], flat(batch)["image"])
    assert nested.decode_plan(["k"], np.array([[40, 50]]), u64(seeds(1))) is not None


def test_the_plan_is_that_of_the_leading_geometry_only() -> None:
    """A flip before the crop, or no geometry at all: full-size images."""
    sizes, seed = np.array([[40, 50]]), u64(seeds(1))
    crop = RandomResizedCrop(32)
    plan = Compose([crop, RandomHorizontalFlip()]).decode_plan(["k"], sizes, seed)
    assert plan is not None
    assert np.array_equal(plan.crop_xyxy, crop.draw(sizes, seed))
    assert not plan.flip.any()
    assert Compose([RandomHorizontalFlip(), crop]).decode_plan(["k"], sizes, seed) is None
    assert presets.cifar_train().decode_plan(["k"], sizes, seed) is None
    assert isinstance(Compose([]), DecodePlanner)


def test_a_planned_batch_skips_the_leading_geometry_and_nothing_else() -> None:
    """Flip, normalise and a later crop still happen, and the crop field is still there for boxes to use."""
    decoded = noise(8, 3, 32, 32)
    batch = batch_of(decoded, crop=torch.zeros(8, 4))
    later = [RandomHorizontalFlip(), CenterCrop(20), Normalize()]
    out = Compose([RandomResizedCrop(32), *later])(batch)
    plain = {name: value for name, value in batch.items() if name != "crop"}
    assert torch.equal(out["image"], Compose(later)(plain)["image"])
    assert torch.equal(out["crop"], batch["crop"])
    assert "crop" in batch
    window = Compose([Resize(40), CenterCrop(32)])(batch)
    assert torch.equal(window["image"], decoded)


def test_a_module_of_the_users_own_takes_part() -> None:
    """Any torch module from batch to batch."""

    class Halve(torch.nn.Module):
        def forward(self, batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
            return {**batch, "image": batch["image"] // 2}

    batch = batch_of(noise(2, 3, 8, 8))
    assert torch.equal(Compose([Halve(), CenterCrop(4)])(batch)["image"], batch["image"][..., 2:6, 2:6] // 2)


def test_a_pipeline_survives_pickling() -> None:
    """Loader workers get a copy: same plan, same pixels."""
    pipeline = presets.train(32)
    copy = pickle.loads(pickle.dumps(pipeline))
    batch = batch_of(noise(4, 3, 40, 50))
    assert torch.equal(copy(batch)["image"], pipeline(batch)["image"])


def test_the_repr_lists_the_stages_and_what_is_done_at_decode() -> None:
    """What a user prints to see what will happen."""
    assert repr(presets.eval()).splitlines() == [
        "Compose([",
        "    Resize(256, interpolation='bilinear'),  # drawn before decoding",
        "    CenterCrop((224, 224)),  # drawn before decoding",
        "    Normalize('imagenet', dtype=torch.float32),",
        "])",
    ]
    assert "Normalize('dataset', not bound, dtype=torch.float32)" in repr(presets.cifar_train())


def test_presets_give_network_inputs_of_the_promised_shape() -> None:
    """uint8 of any size in, normalised floats out."""
    batch = batch_of([noise(3, 40, 50), noise(3, 64, 31)])
    assert presets.train(32)(batch)["image"].shape == (2, 3, 32, 32)
    assert presets.eval(36, 32, dtype=torch.bfloat16)(batch)["image"].dtype == torch.bfloat16
    statistics = {"pixel_mean": [0.5] * 3, "pixel_std": [0.25] * 3}
    cifar = batch_of(noise(4, 3, 32, 32))
    assert presets.cifar_train().bind(statistics)(cifar)["image"].shape == (4, 3, 32, 32)
    out = presets.cifar_eval().bind(statistics)(cifar)["image"]
    torch.testing.assert_close(out, cifar["image"] / 255 * 4 - 2, rtol=0, atol=1e-6)
