"""EXIF orientation: nothing is turned by default, and one switch turns it for every reader; odd files decode as documented."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

import shardstream as ss
from shardstream import transforms as T  # noqa: N812

from .toy_coco import pack_toy_coco

HEIGHT, WIDTH = 6, 9


def jpeg(orientation: int | None) -> bytes:
    """A photo-like gradient with an EXIF orientation, valid or not."""
    image = Image.fromarray(np.linspace(0, 255, HEIGHT * WIDTH * 3).astype(np.uint8).reshape(HEIGHT, WIDTH, 3))
    exif, buffer = Image.Exif(), io.BytesIO()
    if orientation is not None:
        exif[0x0112] = orientation
    image.save(buffer, "jpeg", exif=exif, quality=95)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Orientations none, 0 (invalid) to 9."""
    root = tmp_path_factory.mktemp("exif")
    for value in (None, *range(10)):
        path = root / "in" / "a" / f"{value}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(jpeg(value))
    ss.write("folder", root / "in", out=root / "out")
    return root / "out"


def expected(key: str, *, upright: bool) -> np.ndarray:
    """Pillow's own."""
    name = key.rpartition("/")[2]
    with Image.open(io.BytesIO(jpeg(None if name == "None" else int(name)))) as image:
        return np.asarray((ImageOps.exif_transpose(image) if upright else image).convert("RGB"))


@pytest.mark.parametrize("upright", [False, True])
def test_one_switch_turns_pictures_for_every_reader(packed: Path, upright: bool) -> None:
    """``ds[i]``, batches, a user's own transform, a planned crop; sizes follow."""
    ds = ss.open(packed, exif="apply" if upright else "ignore")
    seen = set()
    for i in range(len(ds)):
        assert np.array_equal(np.asarray(ds[i]["image"]), expected(ds[i]["key"], upright=upright))
    for batch in ss.Loader(ds, batch_size=4):
        for row, key in enumerate(batch["key"]):
            if key:
                image = batch["image"][row].permute(1, 2, 0).numpy()
                assert np.array_equal(image, expected(key, upright=upright))
                assert tuple(batch["orig_size"][row].tolist()) == image.shape[:2]
                seen.add(image.shape[:2])
    assert seen == ({(HEIGHT, WIDTH), (WIDTH, HEIGHT)} if upright else {(HEIGHT, WIDTH)})
    for batch in ss.Loader(ds, batch_size=4, sample_transform=np.array):
        for key, image in zip(batch["key"], batch["image"], strict=True):
            assert not key or np.array_equal(np.asarray(image), expected(key, upright=upright))
    for batch in ss.Loader(ds, batch_size=4, transform=T.Compose([T.CenterCrop(4)])):
        for row, key in enumerate(batch["key"]):
            if key:
                whole = expected(key, upright=upright)
                top, left = round((whole.shape[0] - 4) / 2), round((whole.shape[1] - 4) / 2)
                crop = batch["image"][row].permute(1, 2, 0).numpy()
                assert np.array_equal(crop, whole[top : top + 4, left : left + 4])


def test_pictures_with_boxes_are_never_turned(tmp_path: Path) -> None:
    """Their boxes are in stored pixels."""
    pack_toy_coco(tmp_path / "out", 3)
    with pytest.raises(ss.OptionError, match=r"away from their boxes"):
        ss.open(tmp_path / "out", exif="apply")
    with pytest.raises(ss.OptionError, match=r"exif='yes' is not one of"):
        ss.open(tmp_path / "out", exif="yes")  # type: ignore[arg-type]


def test_real_odd_files_decode_as_pillow_decodes_them(real_data: Path, tmp_path: Path) -> None:
    """CMYK, grey, EXIF 2 to 8, broken EXIF: bytes kept, header facts in the index, RGB delivered."""
    source = real_data / "imagenet/quirks-pillow"
    ss.write("folder", source, out=tmp_path / "out")
    facts: dict[str, Any] = {row["key"]: row for row in ss.open(tmp_path / "out").index.to_pylist()}
    assert facts["pil_sample_cmyk"]["components"] == 4
    assert facts["hopper_gray"]["components"] == 1
    assert [facts[f"hopper_orientation_{n}"]["exif_orientation"] for n in range(2, 9)] == list(range(2, 9))
    for mode in ("ignore", "apply"):
        for item in ss.open(tmp_path / "out", exif=mode):  # type: ignore[arg-type]
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                with Image.open(source / f"{item['key']}.jpg") as image:
                    turned = ImageOps.exif_transpose(image) if mode == "apply" else image
                    assert np.array_equal(np.asarray(item["image"]), np.asarray(turned.convert("RGB"))), item["key"]
