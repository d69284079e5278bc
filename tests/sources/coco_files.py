"""Small COCO folders for tests: images of known size, and annotation files that a test can spoil."""

from __future__ import annotations

import copy
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

SIZE = (30, 20)  # width, height


def picture(number: int, size: tuple[int, int] = SIZE) -> bytes:
    buffer = io.BytesIO()
    pixels = np.random.default_rng(number).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(buffer, "jpeg")
    return buffer.getvalue()


def instance(number: int, image: int, **changes: Any) -> dict[str, Any]:
    return {
        "id": number, "image_id": image, "category_id": 1, "bbox": [1, 2, 10.5, 8], "area": 40.25, "iscrowd": 0,
        "segmentation": [[1, 2, 11.5, 2, 11.5, 10]],
    } | changes  # fmt: skip


def body() -> dict[str, Any]:
    """Three images: two objects, none, one crowd."""
    images = [{"id": n, "file_name": f"{n:012d}.jpg", "width": SIZE[0], "height": SIZE[1]} for n in (7, 42, 300)]
    crowd = {"iscrowd": 1, "segmentation": {"size": [20, 30], "counts": [10, 20, 570]}, "category_id": 90}
    return {
        "images": images,
        "annotations": [instance(5, 300, **crowd), instance(11, 7), instance(3, 7, category_id=3)],
        "categories": [{"id": 90, "name": "toothbrush"}, {"id": 1, "name": "person"}, {"id": 3, "name": "car"}],
    }


def write_coco(root: Path, **files: dict[str, Any] | bytes) -> Path:
    """``instances_val2017=...`` and so on below ``annotations/``, with pictures 7, 42 and 300 in ``val2017/``."""
    (root / "annotations").mkdir(parents=True)
    (root / "val2017").mkdir()
    for number in (7, 42, 300):
        (root / "val2017" / f"{number:012d}.jpg").write_bytes(picture(number))
    for name, content in files.items():
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        (root / "annotations" / f"{name}.json").write_bytes(data)
    return root


def zipped(folder: Path, out: Path) -> Path:
    """The same as the official archives: annotations_trainval2017.zip and val2017.zip."""
    out.mkdir()
    for archive, top in (
        ("annotations_trainval2017", "annotations"),
        ("val2017", "val2017"),
        ("train2017", "train2017"),
    ):
        if not (folder / top).is_dir():
            continue
        with zipfile.ZipFile(out / f"{archive}.zip", "w", zipfile.ZIP_DEFLATED if top == "annotations" else 0) as file:
            for path in sorted((folder / top).iterdir()):
                file.write(path, f"{top}/{path.name}")
    return out


def changed(**changes: Any) -> dict[str, Any]:
    """``body()`` with the last annotation changed."""
    made = copy.deepcopy(body())
    made["annotations"][-1] |= changes
    return made
