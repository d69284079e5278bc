"""RandomCrop and RandomHorizontalFlip: exactly torchvision's pixels, one draw per sample."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torchvision.transforms as v1
import torchvision.transforms.v2.functional as F  # noqa: N812 - torchvision's own name for it

from shardstream.transforms import RandomCrop, RandomHorizontalFlip

from .samples import Ragged, batch_of, ks_distance, noise, seeds, u64


@pytest.mark.parametrize("side", [32, 100])
def test_random_crop_equals_torchvisions_pad_and_crop(side: int) -> None:
    """Every row, to the last bit, with a fill that shows; by a gather, and by a copy a row where they are large."""
    crop = RandomCrop(side, padding=4, fill=9)
    images = noise(64, 3, side, side)
    batch = batch_of(images)
    out = crop(batch)["image"]
    corners = crop.draw(batch["orig_size"].numpy(), u64(batch["seed"]))
    assert len({tuple(corner) for corner in corners.tolist()}) > 30
    for row, (top, left) in enumerate(corners.tolist()):
        assert torch.equal(out[row], F.crop(F.pad(images[row], [4], fill=9), top, left, side, side))


def test_random_crop_takes_ragged_images() -> None:
    """A row of a ragged batch is the row it would be in a batch of its own size."""
    rows = [noise(3, 32, 40), noise(3, 50, 33)]
    batch = batch_of(Ragged(rows))
    crop = RandomCrop((30, 28), padding=2)
    corners = crop.draw(batch["orig_size"].numpy(), u64(batch["seed"])).tolist()
    for out, image, (top, left) in zip(crop(batch)["image"], rows, corners, strict=True):
        assert torch.equal(out, F.crop(F.pad(image, [2]), top, left, 30, 28))


def test_random_crop_places_are_distributed_as_torchvisions() -> None:
    """10,000 draws each: both corners; the first and the last place included."""
    ours = RandomCrop(32, padding=4).draw(np.tile([32, 32], (10_000, 1)), u64(seeds(10_000)))
    torch.manual_seed(2)
    theirs = np.array([v1.RandomCrop.get_params(torch.empty(3, 40, 40), (32, 32))[:2] for _ in range(10_000)])
    assert ours.min() == 0
    assert ours.max() == 8
    assert max(ks_distance(ours[:, axis], theirs[:, axis]) for axis in (0, 1)) < 1.95 * (2 / 10_000) ** 0.5


def test_a_flip_equals_torchvisions_and_leaves_the_rest() -> None:
    """Drawn rows are mirrored exactly, others untouched, in a batch and ragged."""
    flip = RandomHorizontalFlip()
    batch = batch_of(noise(16, 3, 9, 14))
    drawn = flip.draw(batch["orig_size"].numpy(), u64(batch["seed"]))
    assert 0 < drawn.sum() < 16
    out, ragged = flip(batch)["image"], flip({**batch, "image": Ragged(batch["image"])})["image"]
    for row, mirrored in enumerate(drawn):
        expected = F.horizontal_flip(batch["image"][row]) if mirrored else batch["image"][row]
        assert torch.equal(out[row], expected)
        assert torch.equal(ragged[row], expected)


def test_the_flip_rate_is_p() -> None:
    """10,000 draws: within 4 standard deviations of p; 0 never flips, 1 always does."""
    sizes, seed = np.ones((10_000, 2), dtype=np.int64), u64(seeds(10_000))
    for p in (0.0, 0.1, 0.5, 1.0):
        rate = RandomHorizontalFlip(p).draw(sizes, seed).mean()
        assert abs(rate - p) <= 4 * (p * (1 - p) / 10_000) ** 0.5


def test_drawn_corners_and_flips_keep_their_golden_values() -> None:
    """A checkpoint resumed with a newer library sees the same augmentation."""
    seed, sizes = np.array([0, 1, 2, 3, 2**64 - 1], dtype=np.uint64), np.full((5, 2), 32)
    corners = [[7, 0], [2, 6], [6, 5], [6, 2], [6, 1]]
    flips = [False, False, False, True, False]
    assert RandomCrop(32).draw(sizes, seed).tolist() == corners
    assert RandomHorizontalFlip().draw(sizes, seed).tolist() == flips
