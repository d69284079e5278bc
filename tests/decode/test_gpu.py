"""Decoding on a device: which files go there, and the same batch whoever decodes which of its rows.

nvJPEG is played by libjpeg through torchvision, which refuses what nvJPEG refuses; the real one only where there is one.
"""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.io import ImageReadMode, decode_jpeg

import shardstream as ss
from shardstream.loaders import loader as loaders
from shardstream.loaders.coded import CudaDecoder
from shardstream.loaders.decode import Geometry, decode_pixels
from shardstream.loaders.decoders.cut import cut
from shardstream.loaders.decoders.route import on_gpu
from shardstream.loaders.device import PlainCopier

from ..helpers import picture_folder

# torchvision 0.29 announces that its decoders will move to torchcodec.
pytestmark = pytest.mark.filterwarnings("ignore:The image decoding and encoding capabilities:DeprecationWarning")
CPU = torch.device("cpu")


class Played:
    """A device's decoder on the CPU: takes lists, fails as a whole, and never sees a file that is not for it."""

    device = CPU

    def __init__(self, refuses: Callable[[Image.Image], bool] = lambda _: False) -> None:
        self._refuses = refuses
        self.lists: list[int] = []

    def __call__(self, jpegs: list[torch.Tensor]) -> list[torch.Tensor]:
        self.lists.append(len(jpegs))
        for jpeg in jpegs:
            image = Image.open(io.BytesIO(jpeg.numpy().tobytes()))
            if self._refuses(image) or image.mode not in ("L", "RGB"):
                raise RuntimeError("nvJPEG: status 2")
        return [decode_jpeg(jpeg, mode=ImageReadMode.RGB) for jpeg in jpegs]


def jpeg(pixels: np.ndarray, mode: str = "RGB", **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(buffer, "jpeg", **options)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    rng = np.random.default_rng(0)
    rough = Image.fromarray(rng.integers(0, 256, (9, 12, 3), dtype=np.uint8))
    return np.asarray(rough.resize((160, 120), Image.Resampling.BICUBIC))


@pytest.fixture(scope="module")
def mixed(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> ss.ShardDataset:
    """Real photos, grey, CMYK, progressive, turned by EXIF, with damaged EXIF, and PNGs, in one split."""
    root = picture_folder(tmp_path_factory.mktemp("mixed"), 4)
    photos = sorted((real_data / "imagenet/ILSVRC/Data/CLS-LOC/train").rglob("*.JPEG"))[:10]
    for source in [*photos, *(real_data / "imagenet/quirks-pillow").glob("*.jpg")]:
        shutil.copyfile(source, root / "train/cat" / source.name)
    with Image.open(photos[0]) as image:
        image.save(root / "train/dog/progressive.jpg", progressive=True)
    ss.write("folder", root, out=root / "out")
    return ss.open(str(root / "out"))


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[ss.Loader, Played]]:
    """A loader with decode="gpu" whose device is played."""

    def made(ds: ss.ShardDataset, refuses: Callable[[Image.Image], bool] = lambda _: False, **options: Any) -> Any:
        decoder = Played(refuses)
        monkeypatch.setattr(loaders, "device_decoder", lambda _: decoder)
        monkeypatch.setattr(loaders, "copier_of", lambda _: PlainCopier(CPU))
        return ss.Loader(ds, device="cuda", pin_memory=False, decode="gpu", **options), decoder

    return made


def images_of(batch: ss.Batch) -> Iterator[torch.Tensor]:
    return iter(batch["image"])


def test_real_files_go_where_pillow_says_they_can(real_data: Path) -> None:
    """Of every photo and quirk: a baseline JPEG in grey or YCbCr that ends as it should, and nothing else."""
    files = sorted((real_data / "imagenet").rglob("*.[jJ][pP]*[gG]"))
    taken = 0
    for path in files:
        data = path.read_bytes()
        with Image.open(path) as image:
            is_usual = image.mode in ("L", "RGB") and not image.info.get("progressive")
            expected = is_usual and data.endswith(b"\xff\xd9") and image.info.get("adobe_transform") != 0
        assert on_gpu(data, None) == expected, path.name
        taken += expected
    assert 200 < taken < len(files)


def test_files_that_a_gpu_would_get_wrong_stay_in_the_worker(photo: np.ndarray) -> None:
    """Each for one reason; the same picture without it is taken."""
    usual = jpeg(photo)
    assert on_gpu(usual, None)
    assert on_gpu(memoryview(jpeg(photo, "L")), None)
    buffer = io.BytesIO()
    Image.fromarray(photo).save(buffer, "png")
    refused = [
        jpeg(photo, "CMYK"), jpeg(photo, progressive=True), jpeg(photo, keep_rgb=True), buffer.getvalue(),
        usual[: len(usual) // 2], usual[:-2], usual + b"\0", usual[:30] + usual[-2:], b"", b"\xff\xd8\xff\xd9",
    ]  # fmt: skip
    assert [on_gpu(data, None) for data in refused] == [False] * len(refused)
    assert [on_gpu(usual, None, turn) for turn in range(10)] == [True, True, *[False] * 7, True]


def test_colours_that_are_stored_as_rgb_stay_in_the_worker(photo: np.ndarray) -> None:
    """Whether Adobe's marker says it or the names of the components; with Adobe's YCbCr it is taken."""
    stored = jpeg(photo, keep_rgb=True)
    at = stored.index(b"Adobe") - 4
    unmarked = stored[:at] + stored[at + 16 :]
    assert not on_gpu(unmarked, None)
    usual = jpeg(photo)
    for transform in (0, 1):
        marked = usual[:2] + b"\xff\xee\x00\x0eAdobe\x00\x64\0\0\0\0" + bytes([transform]) + usual[2:]
        with Image.open(io.BytesIO(marked)) as image:
            assert image.info["adobe_transform"] == transform
        assert on_gpu(marked, None) == (transform == 1)


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize(
    ("crop", "isolated"), [((5, 7, 90, 100), True), ((20, 0, 140, 120), False), ((0, 0, 64, 48), True), (None, True)]
)
def test_a_part_cut_on_the_device_is_the_cpus(
    photo: np.ndarray, crop: Any, isolated: bool, interpolation: str, flip: bool
) -> None:
    """Bilinear within a level, bicubic within half of one on average; without a resize bit for bit."""
    data = jpeg(photo)
    geometry = None if crop is None else Geometry(crop, (48, 64), flip, interpolation, isolated)
    pixels = decode_jpeg(torch.frombuffer(bytearray(data), dtype=torch.uint8), mode=ImageReadMode.RGB)
    expected = torch.from_numpy(decode_pixels(data, "here", geometry).copy()).permute(2, 0, 1)
    difference = (cut(pixels, geometry).int() - expected.int()).abs()
    if crop in (None, (0, 0, 64, 48)):
        assert difference.max() == 0
    elif interpolation == "bilinear":
        assert difference.max() <= 1
    assert difference.float().mean() <= 0.5


@pytest.mark.parametrize(
    ("crop", "isolated", "interpolation", "taken"),
    [
        ((0, 0, 160, 120), True, "bilinear", True),
        ((5, 7, 90, 100), True, "bicubic", True),
        ((5, 7, 90, 100), True, "nearest", False),
        ((5, 7, 161, 100), True, "bilinear", False),
        ((-1, 7, 90, 100), True, "bilinear", False),
        ((20, 0, 140, 120), False, "bilinear", True),
        ((-20, 0, 180, 120), False, "bilinear", False),
        ((40, 0, 200, 120), False, "bilinear", False),
    ],
)
def test_only_windows_inside_the_picture_are_cut_on_the_device(
    photo: np.ndarray, crop: tuple[float, float, float, float], isolated: bool, interpolation: str, taken: bool
) -> None:
    """What Pillow would pad, or sample by its own rule, stays with it."""
    geometry = Geometry(crop, (64, 64), False, interpolation, isolated)
    assert on_gpu(jpeg(photo), geometry) == taken


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("plan", ["train", "eval"])
def test_a_batch_is_the_same_within_a_level_whoever_decodes_its_rows(
    mixed: ss.ShardDataset, played: Any, plan: str, workers: int
) -> None:
    """Training and evaluation geometry, floats after normalisation on the device; at most a level, on average 0.2."""
    transform = ss.presets.train(96) if plan == "train" else ss.presets.eval(110, 96)
    options = {"batch_size": 8, "shuffle": plan == "train", "drop_last": False, "transform": transform}
    loader, decoder = played(mixed, num_workers=workers, **options)
    assert sum(decoder.lists) == 0
    level = 1 / 255 / 0.225
    for mine, theirs in zip(loader, ss.Loader(mixed, **options), strict=True):
        assert mine["key"] == theirs["key"]
        assert torch.equal(mine["crop"], theirs["crop"])
        assert torch.equal(mine["flipped"], theirs["flipped"])
        difference = (mine["image"] - theirs["image"]).abs()
        assert difference.max() <= 1.05 * level
        assert difference.mean() <= 0.2 * level
    on_device = [on_gpu(mixed.fetcher.member(*mixed.locate(i), "jpg") or b"", None) for i in range(len(mixed))]
    assert 0 < sum(decoder.lists) == sum(on_device) < len(mixed)


def test_whole_pictures_of_any_size_are_the_same(mixed: ss.ShardDataset, played: Any) -> None:
    """Without a plan: ragged, bit for bit, filler rows included."""
    loader, _ = played(mixed, batch_size=10)
    for mine, theirs in zip(loader, ss.Loader(mixed, batch_size=10), strict=True):
        assert all(torch.equal(a, b) for a, b in zip(images_of(mine), images_of(theirs), strict=True))


def test_a_file_that_the_device_refuses_costs_the_batch_nothing(mixed: ss.ShardDataset, played: Any) -> None:
    """It is found by halving and decoded here: a few lists more, the same pictures."""
    options = {"batch_size": len(mixed), "transform": ss.presets.eval(80, 64)}
    loader, decoder = played(mixed, refuses=lambda image: image.size == (480, 360), **options)
    (mine,), (theirs,) = loader, ss.Loader(mixed, **options)
    assert (mine["image"] - theirs["image"]).abs().max() <= 1.05 / 255 / 0.225
    assert decoder.lists[0] == max(decoder.lists) > 8
    assert decoder.lists[-1] < decoder.lists[0]
    assert 1 in decoder.lists
    assert len(decoder.lists) <= 2 * decoder.lists[0].bit_length() + 1


def test_what_nobody_decodes_is_named(tmp_path: Path, played: Any, photo: np.ndarray) -> None:
    """The error is the CPU's, with the sample's address."""
    root = picture_folder(tmp_path, 2)
    whole = jpeg(photo)
    (root / "train/cat/bad.jpg").write_bytes(whole[:200] + b"\0" * 8 + whole[-2:])
    ss.write("folder", root, out=root / "out")
    loader, _ = played(ss.open(str(root / "out")), batch_size=3)
    with pytest.raises(ss.UndecodableImage, match="bad"):
        list(loader)


def test_memory_errors_are_not_taken_for_damage(mixed: ss.ShardDataset, played: Any) -> None:
    """A full device would fail each half again."""
    loader, decoder = played(mixed, batch_size=8)
    calls = []

    def full(jpegs: list[torch.Tensor]) -> Any:
        calls.append(len(jpegs))
        raise torch.OutOfMemoryError("CUDA out of memory")

    loader._decoder = type("Full", (), {"device": CPU, "__call__": lambda _, jpegs: full(jpegs)})()
    with pytest.raises(torch.OutOfMemoryError):
        list(loader)
    assert len(calls) == 1
    assert decoder.lists == []


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_without_a_cuda_device_it_is_refused(mixed: ss.ShardDataset, device: str) -> None:
    """When the loader is made, with what to use."""
    with pytest.raises(ss.OptionError, match=r"no CUDA device.*decode='fast'"):
        ss.Loader(mixed, batch_size=8, device=device, decode="gpu")
    with pytest.raises(ss.OptionError, match=r"ss\.Loader"):
        ss.Stream(mixed, batch_size=8, decode="gpu")


def test_functions_that_need_pixels_in_the_worker_are_refused(mixed: ss.ShardDataset, played: Any) -> None:
    """They would get bytes."""
    for ds, options in (
        (mixed, {"sample_transform": lambda image: image}),
        (mixed.with_transform(lambda rows: rows), {}),
    ):
        with pytest.raises(ss.OptionError, match="need"):
            played(ds, batch_size=8, **options)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_nvjpeg_is_within_two_levels_on_average(mixed: ss.ShardDataset) -> None:
    """torchvision's own bound; on the real device, through the real streams."""
    there = ss.Loader(mixed, batch_size=8, device="cuda", decode="gpu", num_workers=2)
    assert isinstance(there._decoder, CudaDecoder)
    for mine, theirs in zip(there, ss.Loader(mixed, batch_size=8), strict=True):
        for a, b in zip(images_of(mine), images_of(theirs), strict=True):
            assert (a.cpu().float() - b.float()).abs().mean() < 2
