"""The person view: picture, body crop and box of one person move as one."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torchvision.transforms.v2.functional as F  # noqa: N812 - torchvision's own name for it

from shardstream.errors import OptionError
from shardstream.transforms import (
    CenterCrop,
    Compose,
    Normalize,
    RandomAffine,
    RandomHorizontalFlip,
    RandomResizedCrop,
    RandomVerticalFlip,
    Resize,
    ResizeBody,
    ToFloat,
)

from .samples import Ragged, batch_of, noise, u64

BOX = torch.tensor([[10.0, 5, 26, 29], [5, 0, 53, 24], [30, 20, 64, 60], [12, 50, 18, 60]])


def persons(rows: int = 4) -> dict[str, Any]:
    """Bodies cut from their image and squashed to 24 x 16."""
    images = noise(rows, 3, 60, 64)
    body = torch.stack([cut(image, box) for image, box in zip(images, BOX[:rows], strict=True)])
    return batch_of(images, body=body, box=BOX[:rows].clone())


def cut(image: torch.Tensor, box: torch.Tensor) -> torch.Tensor:
    x0, y0, x1, y1 = box.int().tolist()
    part: torch.Tensor = F.resize(image[:, y0:y1, x0:x1], [24, 16], F.InterpolationMode.NEAREST_EXACT)
    return part


@pytest.mark.parametrize(("flip", "axis"), [(RandomHorizontalFlip(1.0), -1), (RandomVerticalFlip(1.0), -2)])
def test_a_flip_mirrors_picture_body_and_box_together(flip: RandomHorizontalFlip, axis: int) -> None:
    """The body cut from the mirrored picture by the mirrored box is the mirrored body."""
    batch = persons()
    out = flip(batch)
    assert torch.equal(out["image"], batch["image"].flip(axis))
    assert torch.equal(out["body"], batch["body"].flip(axis))
    for row in (0, 1):  # cut at their own scale, or a third of it: nearest is symmetric
        assert torch.equal(cut(out["image"][row], out["box"][row]), out["body"][row])


def test_persons_are_mirrored_one_by_one() -> None:
    """Rows draw for themselves: a body is mirrored exactly where its picture is."""
    batch = persons()
    seeds = torch.arange(4) * 7919
    flip = RandomHorizontalFlip()
    drawn = flip.draw(batch["orig_size"].numpy(), u64(seeds))
    assert 0 < drawn.sum() < 4
    out = flip({**batch, "seed": seeds})
    for row, mirrored in enumerate(drawn):
        for field in ("image", "body"):
            assert torch.equal(out[field][row], batch[field][row].flip(-1) if mirrored else batch[field][row])
        x0, y0, x1, y1 = BOX[row].tolist()
        assert out["box"][row].tolist() == ([64 - x1, y0, 64 - x0, y1] if mirrored else [x0, y0, x1, y1])
    assert torch.equal(out["flipped"], torch.from_numpy(drawn))


def test_crops_and_resizes_move_the_box_and_leave_the_body() -> None:
    """Clamped to the picture; exact for a halving and a central crop."""
    batch = persons()
    half = Resize((30, 32))(batch)
    assert torch.equal(half["box"], BOX / 2)
    middle = CenterCrop((20, 24))(batch)
    shifted = BOX - torch.tensor([20.0, 20, 20, 20])
    assert torch.equal(middle["box"], torch.minimum(shifted.clamp(min=0), torch.tensor([24.0, 20, 24, 20])))
    for out in (half, middle, RandomResizedCrop(16)(batch), RandomAffine(20)(batch)):
        assert out["body"] is batch["body"]
        assert (out["box"] >= 0).all()


def test_a_plan_moves_the_box_too() -> None:
    """What the loader does with a crop that it decoded: the same numbers as the crop on the batch."""
    from shardstream.moving import crop_annotations

    batch, crop = persons(), RandomResizedCrop((20, 30))
    drawn = torch.from_numpy(crop.draw(batch["orig_size"].numpy(), u64(batch["seed"])))
    planned = crop_annotations(batch, drawn, (20, 30))
    torch.testing.assert_close(planned["box"], crop(batch)["box"], rtol=0, atol=1e-5)


def test_normalize_converts_both_each_by_its_own_numbers() -> None:
    """Or both alike where no other numbers are given."""
    batch = persons()
    context, body = ((0.4, 0.5, 0.6), (0.2, 0.3, 0.4)), ((0.1, 0.2, 0.3), (0.5, 0.6, 0.7))
    out = Normalize(context, body=body)(batch)
    for field, (mean, std) in (("image", context), ("body", body)):
        expected = F.normalize(batch[field] / 255, list(mean), list(std))
        torch.testing.assert_close(out[field], expected, rtol=0, atol=2e-6)
    alike = Normalize(context)(batch)
    torch.testing.assert_close(alike["body"], F.normalize(batch["body"] / 255, *map(list, context)), rtol=0, atol=2e-6)
    torch.testing.assert_close(ToFloat()(batch)["body"], batch["body"] / 255, rtol=0, atol=1e-7)
    bound = Normalize("dataset", body=body).bind({"pixel_mean": context[0], "pixel_std": context[1]})
    assert torch.equal(bound(batch)["body"], out["body"])
    half = Normalize(context, torch.bfloat16, channels_last=True, body=body)(batch)["body"]
    assert half.dtype == torch.bfloat16
    assert half.is_contiguous(memory_format=torch.channels_last)
    with pytest.raises(OptionError, match=r"not torch\.uint8"):
        Normalize(context, body=body)({**batch, "body": out["body"]})


def test_bodies_of_any_size_are_resized_and_batches_without_pass() -> None:
    """Squashed, ragged in, one tensor out, as torchvision resizes each."""
    batch = persons()
    bodies = [noise(3, 30, 11), noise(3, 8, 50), noise(3, 24, 16), noise(3, 5, 5)]
    out = Compose([ResizeBody((24, 16))])({**batch, "body": Ragged(bodies)})
    for body, given in zip(out["body"], bodies, strict=True):
        assert torch.equal(body, F.resize(given, [24, 16]))
    assert out["image"] is batch["image"]
    plain = batch_of(noise(2, 3, 8, 8))
    assert ResizeBody(4)(plain) is plain
