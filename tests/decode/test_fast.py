"""The fast path gives torchvision's pixels, bit for bit, and Pillow's to a grey level."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torchvision.transforms.v2 import functional as F  # noqa: N812 - as torchvision calls it

import shardstream as ss
from shardstream.loaders.decode import Geometry, decode_pixels
from shardstream.loaders.decoders import available, fast_pixels

pytestmark = pytest.mark.skipif(not available(), reason="no libturbojpeg 3: pip install turbojpeg")


def photo(width: int, height: int) -> bytes:
    """Smooth shapes, as photographs have them."""
    y, x = np.mgrid[:height, :width]
    waves = [128 + 100 * np.sin(x / (5 + k) + k) * np.cos(y / (7 + k)) for k in range(3)]
    buffer = io.BytesIO()
    Image.fromarray(np.stack(waves, -1).astype(np.uint8)).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def tensor(data: bytes) -> torch.Tensor:
    return torch.from_numpy(np.array(Image.open(io.BytesIO(data)).convert("RGB"))).permute(2, 0, 1)


@settings(max_examples=60)
@given(st.integers(40, 160), st.integers(40, 160), st.data())
def test_a_planned_crop_is_torchvisions_resized_crop(width: int, height: int, data: st.DataObject) -> None:
    """Of uint8 tensors, antialiased; any box, up and down."""
    encoded = photo(width, height)
    left, top = data.draw(st.integers(0, width - 8)), data.draw(st.integers(0, height - 8))
    right, bottom = data.draw(st.integers(left + 8, width)), data.draw(st.integers(top + 8, height))
    kind = data.draw(st.sampled_from(["bilinear", "bicubic"]))
    geometry = Geometry((left, top, right, bottom), (32, 24), False, kind, isolated=True)
    found = fast_pixels(encoded, geometry)
    assert found is not None
    mode = {"bilinear": F.InterpolationMode.BILINEAR, "bicubic": F.InterpolationMode.BICUBIC}[kind]
    expected = F.resized_crop(
        tensor(encoded), top, left, bottom - top, right - left, [32, 24], interpolation=mode, antialias=True
    )
    assert np.array_equal(found, expected.permute(1, 2, 0).numpy())


@settings(max_examples=60)
@given(st.integers(40, 160), st.integers(40, 160), st.integers(32, 64))
def test_an_evaluation_plan_is_torchvisions_resize_and_center_crop(width: int, height: int, size: int) -> None:
    """Through the preset, as the loader asks it."""
    encoded, crop = photo(width, height), 32
    plan = ss.presets.eval(size, crop).decode_plan(["a"], np.array([[height, width]]), np.zeros(1, np.uint64))
    assert plan is not None
    box = tuple(float(value) for value in plan.crop_xyxy[0])
    geometry = Geometry(box, plan.out_hw, False, plan.interpolation, plan.isolated)  # type: ignore[arg-type]
    found = fast_pixels(encoded, geometry)
    assert found is not None
    expected = F.center_crop(F.resize(tensor(encoded), [size], antialias=True), [crop, crop])
    assert np.array_equal(found, expected.permute(1, 2, 0).numpy())


@pytest.mark.parametrize("preset", ["train", "eval"])
def test_on_real_photographs_fast_is_within_a_level_of_exact(real_data: Path, tmp_path: Path, preset: str) -> None:
    """Pillow decodes and resizes every tenth photo; at most one value in a million is two levels off."""
    photos = sorted((real_data / "imagenet/ILSVRC/Data/CLS-LOC/train").glob("*/*.JPEG"))[::10]
    for number, file in enumerate(photos):
        folder = tmp_path / "photos" / file.parent.name
        folder.mkdir(parents=True)
        (folder / f"{number}.jpg").write_bytes(file.read_bytes())
    ss.write("folder", tmp_path / "photos", out=tmp_path / "out")
    ds = ss.open(tmp_path / "out")
    pipeline = [ss.transforms.RandomResizedCrop(224)] if preset == "train" else None
    transform = ss.transforms.Compose(
        pipeline or [ss.transforms.Resize(256), ss.transforms.CenterCrop(224)]
    )  # pixels, not normalised
    fast, exact = (
        next(iter(ss.Loader(ds, batch_size=len(ds), shuffle=preset == "train", transform=transform, decode=how)))
        for how in ("fast", "exact")
    )
    apart = (fast["image"].int() - exact["image"].int()).abs()
    assert int(apart.max()) <= 2
    assert (apart > 1).double().mean() < 1e-5
    assert apart.double().mean() < 0.1
    assert apart.any(), "two paths, not one"


def test_what_is_no_jpeg_or_has_no_window_is_decoded_by_pillow() -> None:
    """PNG, nearest, windows that leave the picture: the same pixels whether fast is asked for or not."""
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((10, 12, 3), np.uint8)).save(buffer, "PNG")
    wide = Geometry((-4.0, 0.0, 12.0, 10.0), (8, 8), False, "bilinear", isolated=True)
    near = Geometry((0.0, 0.0, 40.0, 40.0), (8, 8), False, "nearest", isolated=True)
    for data, geometry in ((buffer.getvalue(), wide), (photo(48, 40), near), (photo(48, 40), wide)):
        assert fast_pixels(data, geometry) is None
        assert np.array_equal(decode_pixels(data, "here", geometry), decode_pixels(data, "here", geometry, exact=True))
