"""Colours, policies and erasing: every row has its own randomness, and nothing of its neighbours."""

from __future__ import annotations

import pickle

import pytest
import torch

from shardstream.transforms import (
    AugMix,
    AutoAugment,
    ColorJitter,
    Compose,
    GaussianBlur,
    Normalize,
    RandAugment,
    RandomAdjustSharpness,
    RandomAutocontrast,
    RandomEqualize,
    RandomErasing,
    RandomGrayscale,
    RandomInvert,
    RandomPosterize,
    RandomSolarize,
    Transform,
    TrivialAugmentWide,
)

from .samples import Ragged, batch_of, noise

TWO_OUTCOMES: list[Transform] = [
    RandomGrayscale(0.5),
    RandomInvert(),
    RandomEqualize(),
    RandomAutocontrast(),
    RandomPosterize(2),
    RandomSolarize(100),
    RandomAdjustSharpness(3),
]
MANY_OUTCOMES: list[Transform] = [
    ColorJitter(0.4, 0.4, 0.4, 0.1),
    GaussianBlur(5, (0.2, 5.0)),
    AugMix(),
    RandomErasing(1.0),
    Compose([Normalize(), RandomErasing(1.0, value="random")]),
    Compose([RandAugment(2), RandAugment(4, interpolation="bilinear", fill=7)]),
    Compose([TrivialAugmentWide(), TrivialAugmentWide(interpolation="bilinear"), TrivialAugmentWide()]),
    Compose([AutoAugment(), AutoAugment("svhn"), AutoAugment("cifar10"), ColorJitter(0.4)]),
]
ALL = [*TWO_OUTCOMES, *MANY_OUTCOMES]


def named(transform: Transform) -> str:
    return " ".join(str(transform).split())[:40]


@pytest.mark.parametrize("transform", MANY_OUTCOMES, ids=named)
def test_16_identical_images_give_16_different_outputs(transform: Transform) -> None:
    """torchvision v2 gives one: it draws once per call."""
    image = noise(1, 3, 24, 24) // 2 + 20  # a range that autocontrast and equalize change
    out = transform(batch_of(image.repeat(16, 1, 1, 1)))["image"]
    assert len({row.numpy().tobytes() for row in out}) == 16


@pytest.mark.parametrize("transform", TWO_OUTCOMES, ids=named)
def test_16_identical_images_meet_both_outcomes(transform: Transform) -> None:
    """Changed and unchanged, in one batch."""
    image = noise(1, 3, 24, 24) // 2 + 20
    out = transform(batch_of(image.repeat(16, 1, 1, 1)))["image"]
    assert len({row.numpy().tobytes() for row in out}) == 2


@pytest.mark.parametrize("transform", ALL, ids=named)
@pytest.mark.parametrize("ragged", [False, True])
def test_a_row_alone_equals_the_row_in_a_batch_of_512(transform: Transform, ragged: bool) -> None:
    """To the last bit, whatever its neighbours drew, in any order, in one tensor or a ragged container."""
    images = noise(512, 3, 11, 13)
    batch = batch_of(Ragged(images) if ragged else images)
    whole = transform(batch)["image"]
    for row in (0, 77, 511):
        alone = {"image": images[[row]], "seed": batch["seed"][[row]]}
        assert torch.equal(transform(alone)["image"][0], whole[row])
    back = torch.arange(511, -1, -1)
    turned = transform({"image": images[back], "seed": batch["seed"][back]})["image"]
    assert all(torch.equal(turned[row], whole[511 - row]) for row in range(512))


@pytest.mark.parametrize("transform", ALL, ids=named)
def test_rows_taken_one_at_a_time_are_those_taken_together(
    transform: Transform, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A chunk bounds memory, not what a row becomes."""
    batch = batch_of(noise(64, 3, 11, 13))
    together = transform(batch)["image"]
    monkeypatch.setattr("shardstream.transforms.rows.CPU_CHUNK", 1)
    monkeypatch.setattr("shardstream.transforms.erase.CPU_PIXELS", 7)
    assert torch.equal(transform(batch)["image"], together)


@pytest.mark.parametrize("transform", ALL, ids=named)
def test_three_ranks_see_the_rows_that_one_would(transform: Transform) -> None:
    """Rows dealt out in turn, as a loader deals them."""
    batch = batch_of(noise(24, 3, 11, 13))
    whole = transform(batch)["image"]
    for rank in range(3):
        mine = {name: batch[name][rank::3] for name in ("image", "seed")}
        assert torch.equal(transform(mine)["image"], whole[rank::3])


@pytest.mark.parametrize("transform", ALL, ids=named)
def test_pixels_stay_on_their_device_and_the_callers_batch_as_it_was(transform: Transform) -> None:
    """None passes through the CPU (meta tensors cannot), none is written into."""
    images = noise(8, 3, 16, 17)
    batch = batch_of(images.clone())
    expected = transform(batch)["image"]
    assert torch.equal(batch["image"], images)
    out = transform({**batch, "image": batch["image"].to("meta")})["image"]
    assert (out.device.type, out.shape, out.dtype) == ("meta", expected.shape, expected.dtype)


@pytest.mark.parametrize("transform", ALL, ids=named)
def test_any_memory_layout_an_empty_batch_and_a_filler_row_pass(transform: Transform) -> None:
    """channels_last in; no rows; a ragged row without pixels."""
    batch = batch_of(noise(6, 3, 16, 17))
    last = {**batch, "image": batch["image"].contiguous(memory_format=torch.channels_last)}
    assert torch.equal(transform(last)["image"], transform(batch)["image"])
    empty = batch_of(noise(0, 3, 8, 8)) | {"seed": torch.empty(0, dtype=torch.int64)}
    assert len(transform(empty)["image"]) == 0
    filled = batch_of([noise(3, 9, 10), torch.empty(3, 0, 0, dtype=torch.uint8)])
    assert transform(filled)["image"][1].shape == (3, 0, 0)


@pytest.mark.parametrize("transform", ALL, ids=named)
def test_a_transform_survives_pickling_and_prints_its_options(transform: Transform) -> None:
    """Loader workers get a copy; its repr is what a user reads in a log."""
    batch = batch_of(noise(6, 3, 16, 17))
    copy = pickle.loads(pickle.dumps(transform))
    assert torch.equal(copy(batch)["image"], transform(batch)["image"])
    assert repr(copy) == repr(transform)
    assert "=" in repr(transform)


@pytest.mark.parametrize(
    "transform", [ColorJitter(0.4, 0.4, 0.4, 0.1), RandomGrayscale(0.5), GaussianBlur(3)], ids=named
)
def test_a_body_crop_is_coloured_as_its_context(transform: Transform) -> None:
    """EMOTIC: the same parameters for ``image`` and ``body``; here the same pixels, so the same result."""
    images = noise(16, 3, 12, 12)
    out = transform(batch_of(images, body=images.clone()))
    assert torch.equal(out["body"], out["image"])
    assert not torch.equal(out["body"], images)
    alone = transform(batch_of(noise(16, 3, 20, 20, seed=4), body=images))["body"]
    assert torch.equal(alone, out["body"])


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("transform", ALL, ids=named)
def test_cpu_and_gpu_agree(transform: Transform) -> None:
    """Colours and policies are made of operations that every device rounds alike; noise comes from a table."""
    batch = batch_of(noise(64, 3, 60, 64))
    cpu, gpu = transform(batch)["image"], transform({**batch, "image": batch["image"].cuda()})["image"].cpu()
    torch.testing.assert_close(cpu, gpu, rtol=0, atol=1e-5)
