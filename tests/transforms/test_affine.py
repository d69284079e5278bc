"""RandomAffine: torchvision's parameters, matrices and pixels, per sample."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torchvision.transforms.v2.functional as F  # noqa: N812 - torchvision's own name for it
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torchvision.transforms import v2
from torchvision.transforms.v2 import InterpolationMode

from shardstream.errors import OptionError
from shardstream.transforms import RandomAffine
from shardstream.transforms.affine import affine_matrices, warp

from .samples import Ragged, batch_of, ks_distance, noise, photo, seeds, tensor, u64, worst

WILD = {"degrees": 60, "translate": (0.3, 0.2), "scale": (0.5, 1.6), "shear": (-20.0, 20.0, -10.0, 10.0)}


def torchvisions(image: Tensor, p: list[float], interpolation: str, fill: int) -> Tensor:
    how = InterpolationMode(interpolation)
    moved: Tensor = F.affine(
        image, p[0], [int(p[1]), int(p[2])], p[3], p[4:], interpolation=how, fill=[float(fill)] * 3
    )
    return moved


@pytest.mark.parametrize("fill", [0, 200])
def test_bilinear_pixels_are_torchvisions_within_one_level(fill: int) -> None:
    """Noise, the hardest case, and a photograph; edges with their fill included, and images larger than a chunk."""
    transform = RandomAffine(**WILD, interpolation="bilinear", fill=fill)
    images = torch.cat([noise(7, 3, 96, 120), tensor(photo(96, 120))[None]])
    batch = batch_of(images)
    params = transform.draw(batch["orig_size"].numpy(), u64(batch["seed"])).tolist()
    for row, out in enumerate(transform(batch)["image"]):
        assert worst(out, torchvisions(images[row], params[row], "bilinear", fill)) <= 1


@pytest.mark.parametrize("fill", [0, 200])
def test_nearest_pixels_are_torchvisions_but_for_ties(fill: int) -> None:
    """A place half-way between two pixels may go either way: fewer than 1 in 2,000 of noise."""
    transform = RandomAffine(**WILD, fill=fill)
    images = noise(8, 3, 96, 120)
    batch = batch_of(images)
    params = transform.draw(batch["orig_size"].numpy(), u64(batch["seed"])).tolist()
    expected = torch.stack([torchvisions(images[row], p, "nearest", fill) for row, p in enumerate(params)])
    assert (transform(batch)["image"] != expected).float().mean() < 5e-4


@settings(max_examples=100)
@given(
    angle=st.floats(-180, 180),
    shift=st.tuples(st.integers(-50, 50), st.integers(-50, 50)),
    scale=st.floats(0.1, 3),
    shear=st.tuples(st.floats(-60, 60), st.floats(-60, 60)),
)
def test_matrices_are_torchvisions(
    angle: float, shift: tuple[int, int], scale: float, shear: tuple[float, float]
) -> None:
    """Its closed form in float64, not inverted."""
    from torchvision.transforms.v2.functional._geometry import _get_inverse_affine_matrix

    ours = affine_matrices(np.array([angle]), np.array([shift], float), np.array([scale]), np.array([shear]))
    theirs = _get_inverse_affine_matrix([0.0, 0.0], angle, list(map(float, shift)), scale, list(shear), inverted=False)
    np.testing.assert_allclose(ours.ravel(), theirs, rtol=1e-9, atol=1e-9)


def test_parameters_are_distributed_as_torchvisions() -> None:
    """10,000 draws each: angle, both shifts, scale and both shears, KS distance below the 0.1 % critical value."""
    sizes = np.tile([100, 150], (10_000, 1))
    ours = RandomAffine(**WILD).draw(sizes, u64(seeds(10_000)))
    torch.manual_seed(3)
    theirs = v2.RandomAffine(**WILD)
    image = [torch.empty(3, 100, 150)]
    drawn = [theirs.make_params(image) for _ in range(10_000)]
    flat = np.array([[p["angle"], *p["translate"], p["scale"], *p["shear"]] for p in drawn])
    assert max(ks_distance(ours[:, i], flat[:, i]) for i in range(6)) < 1.95 * (2 / 10_000) ** 0.5
    assert np.array_equal(ours[:, 1:3], np.rint(ours[:, 1:3]))


def test_no_parameters_leave_every_pixel_where_it_is() -> None:
    """Zero degrees, nothing else: the identity, bit for bit, in both interpolations."""
    for interpolation in ("nearest", "bilinear"):
        batch = batch_of(noise(3, 3, 31, 40))
        assert torch.equal(RandomAffine(0, interpolation=interpolation)(batch)["image"], batch["image"])


def test_a_quarter_turn_is_exact() -> None:
    """90 degrees of a square: the pixels of rot90, clockwise, none of them blended."""
    images = noise(2, 3, 32, 32)
    quarter = np.tile([[0.0, 1.0, 0.0], [-1.0, 0.0, 0.0]], (2, 1, 1))
    for interpolation in ("nearest", "bilinear"):
        assert torch.equal(warp(images, quarter, interpolation), images.rot90(-1, (2, 3)))


def test_any_number_of_channels_and_sizes_are_warped() -> None:
    """Grey, five channels in groups of three, ragged sizes with a filler row."""
    transform = RandomAffine(30, interpolation="bilinear")
    five = noise(2, 5, 20, 30)
    batch = batch_of(five)
    out = transform(batch)["image"]
    for channel in range(5):
        alone = transform({**batch, "image": five[:, channel : channel + 1]})["image"]
        assert torch.equal(out[:, channel : channel + 1], alone)
    rows = [noise(3, 20, 30), noise(3, 40, 10), torch.empty(3, 0, 0, dtype=torch.uint8)]
    assert [row.shape for row in transform(batch_of(Ragged(rows)))["image"]] == [row.shape for row in rows]
    assert len(transform(batch_of(noise(0, 3, 8, 8)) | {"seed": torch.empty(0, dtype=torch.int64)})["image"]) == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"degrees": -5}, "degrees is -5"),
        ({"degrees": (10, -10)}, r"degrees is \(10, -10\)"),
        ({"degrees": 5, "translate": (0.5, 1.5)}, "translate is"),
        ({"degrees": 5, "scale": (0, 1)}, "scale is"),
        ({"degrees": 5, "shear": (1, 2, 3)}, "shear is"),
        ({"degrees": 5, "interpolation": "bicubic"}, "'bicubic', fill 0; use nearest or bilinear"),
        ({"degrees": 5, "fill": 256}, "fill 256"),
    ],
)
def test_impossible_options_are_refused_when_written(options: dict[str, object], message: str) -> None:
    """With what was given and what to give."""
    with pytest.raises(OptionError, match=message):
        RandomAffine(**options)


def test_drawn_parameters_keep_their_golden_values() -> None:
    """A checkpoint resumed with a newer library sees the same augmentation."""
    drawn = RandomAffine(**WILD).draw(np.full((2, 2), 100), np.array([1, 2**64 - 1], dtype=np.uint64))
    golden = [[56.953, 19.0, 14.0, 1.417, 9.086, -7.872], [6.877, -4.0, -20.0, 0.593, -4.03, -7.096]]
    assert np.round(drawn, 3).tolist() == golden
