"""Windows decoded alone are the windows of the whole picture, bit for bit as Pillow decodes it."""

from __future__ import annotations

import io
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from shardstream.loaders.decoders import turbo, turbo_library
from shardstream.loaders.decoders.turbo import decode_window

pytestmark = pytest.mark.skipif(not turbo.available(), reason="no libturbojpeg 3: pip install turbojpeg")


def jpeg(width: int, height: int, mode: str = "RGB", **options: Any) -> bytes:
    pixels = np.random.default_rng(width * 1000 + height).integers(0, 256, (height, width, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(buffer, "JPEG", **options)
    return buffer.getvalue()


def whole(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


@settings(max_examples=150)
@given(
    st.integers(1, 90),
    st.integers(1, 90),
    st.sampled_from(["4:4:4", "4:2:2", "4:2:0"]),
    st.booleans(),
    st.sampled_from(["RGB", "L"]),
    st.integers(0, 40),
    st.data(),
)
def test_any_window_of_any_jpeg_is_pillows(
    width: int, height: int, subsampling: str, progressive: bool, mode: str, restarts: int, data: Any
) -> None:
    """Noise, the hardest case for what is interpolated across the window's edges."""
    encoded = jpeg(
        width, height, mode, subsampling=subsampling, progressive=progressive, restart_marker_blocks=restarts
    )
    left, top = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    right, bottom = data.draw(st.integers(left + 1, width)), data.draw(st.integers(top + 1, height))
    found = decode_window(encoded, left, top, right, bottom)
    assert found is not None
    assert np.array_equal(found, whole(encoded)[top:bottom, left:right])


def test_windows_of_real_photographs_are_pillows(real_data: Path) -> None:
    """Every tenth ImageNet photo, whole and three windows of each; what is no plain JPEG is left to others."""
    files = sorted((real_data / "imagenet" / "ILSVRC").rglob("train/*/*.JPEG"))[::10]
    taken = 0
    for number, file in enumerate(files):
        data = file.read_bytes()
        reference = whole(data)
        height, width, _ = reference.shape
        rng = np.random.default_rng(number)
        boxes = [(0, 0, width, height), *(sorted_box(rng, width, height) for _ in range(3))]
        for left, top, right, bottom in boxes:
            found = decode_window(data, left, top, right, bottom)
            if found is not None:
                taken += 1
                assert np.array_equal(found, reference[top:bottom, left:right]), file.name
    assert taken >= 4 * len(files) - 8


def sorted_box(rng: np.random.Generator, width: int, height: int) -> tuple[int, int, int, int]:
    x, y = sorted(rng.choice(width + 1, 2, replace=False)), sorted(rng.choice(height + 1, 2, replace=False))
    return int(x[0]), int(y[0]), int(x[1]), int(y[1])


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(jpeg(40, 30, "CMYK"), id="CMYK"),
        pytest.param(jpeg(40, 30)[:-400], id="cut short"),
        pytest.param(b"\x89PNG\r\n\x1a\n" + b"0" * 50, id="PNG"),
        pytest.param(b"", id="empty"),
        pytest.param(jpeg(40, 30)[:20], id="header alone"),
    ],
)
def test_what_it_is_not_sure_of_it_leaves_to_another_decoder(data: bytes) -> None:
    """None, never wrong pixels and never a crash."""
    assert decode_window(data, 0, 0, 40, 30) is None


@pytest.mark.parametrize("box", [(-1, 0, 5, 5), (0, 0, 41, 5), (0, 0, 5, 31), (5, 5, 5, 9), (6, 5, 5, 9)])
def test_a_window_that_is_not_inside_the_picture_is_left_alone(box: tuple[int, int, int, int]) -> None:
    """Pillow pads such crops with black, so that the other path does, too."""
    assert decode_window(jpeg(40, 30), *box) is None


WHOLE = jpeg(40, 30)


@settings(max_examples=100)
@given(st.data())
def test_damaged_bytes_never_crash_the_process(data: Any) -> None:
    """Bytes flipped anywhere: pixels of the right size or None."""
    encoded = bytearray(jpeg(48, 40, progressive=data.draw(st.booleans())))
    for _ in range(data.draw(st.integers(1, 5))):
        encoded[data.draw(st.integers(0, len(encoded) - 1))] = data.draw(st.integers(0, 255))
    found = decode_window(bytes(encoded), 8, 8, 24, 24)
    assert found is None or found.shape == (16, 16, 3)
    assert decode_window(WHOLE, 0, 0, 20, 20) is not None, "damage met before does not spoil what comes after"


def test_threads_decode_side_by_side() -> None:
    """One decompressor each; memory views are read in place."""
    encoded = [jpeg(64 + i, 50) for i in range(8)]
    results: dict[tuple[int, int], bool] = {}

    def work(number: int) -> None:
        for turn in range(30):
            data = encoded[(number + turn) % 8]
            found = decode_window(memoryview(data), 5, 5, 40, 40)
            results[number, turn] = found is not None and np.array_equal(found, whole(data)[5:40, 5:40])

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 120
    assert all(results.values())


def test_a_library_that_is_not_there_or_too_old_is_not_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Candidates that do not load are passed over; without any there is no decoder, and that is no error."""
    nothing = tmp_path / "libturbojpeg.so"
    nothing.write_bytes(b"no library")
    monkeypatch.setattr(turbo_library, "_candidates", lambda: iter([str(nothing), "libm.so.6"]))
    turbo_library.library.cache_clear()
    try:
        assert not turbo.available()
        assert decode_window(jpeg(10, 10), 0, 0, 5, 5) is None
    finally:
        monkeypatch.undo()
        turbo_library.library.cache_clear()
    assert turbo.available()
