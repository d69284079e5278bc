"""Small copies of ImageNet in its published forms: the archives, the folders, the devkit, the label files."""

from __future__ import annotations

import io
import random
import tarfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.io import savemat

WNIDS = tuple(f"n{10_000_000 + 37 * number:08d}" for number in range(1000))
VAL = 50_000
ID_OF = dict(zip(WNIDS, random.Random(5).sample(range(1, 1001), 1000), strict=True))
"""WordNet id -> ILSVRC2012_ID: not the sorted order, as in the real devkit."""


def picture(number: int, kind: str = "JPEG", mode: str = "RGB") -> bytes:
    """A small image whose bytes differ for every number."""
    buffer = io.BytesIO()
    Image.new(mode, (5 + number % 7, 4 + number // 7 % 9), (number % 251,) * len(mode)).save(buffer, kind)
    return buffer.getvalue() + number.to_bytes(4, "big")


def train_files(classes: int = 3, each: int = 2) -> dict[str, bytes]:
    """``n10000000/n10000000_0.JPEG`` ... -> bytes; the last wnids of the list, so that ranks are not labels."""
    return {
        f"{wnid}/{wnid}_{10 * number}.JPEG": picture(100 * rank + number)
        for rank, wnid in enumerate(WNIDS[-classes:])
        for number in range(each)
    }


def val_name(number: int) -> str:
    return f"ILSVRC2012_val_{number:08d}.JPEG"


def truth(number: int) -> str:
    """The WordNet id of validation image 1..50,000."""
    return WNIDS[number * 7 % 1000]


def tar(files: Mapping[str, bytes]) -> bytes:
    """A GNU tar as the official ones are."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def train_tar(files: Mapping[str, bytes]) -> bytes:
    """A tar of one tar per class, classes not in sorted order."""
    inner: dict[str, dict[str, bytes]] = {}
    for path, data in files.items():
        wnid, name = path.split("/")
        inner.setdefault(wnid, {})[name] = data
    return tar({f"{wnid}.tar": tar(inner[wnid]) for wnid in reversed(inner)})


def write(root: Path, files: Mapping[str, bytes]) -> Path:
    for path, data in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(data)
    return root


def mapping() -> bytes:
    """``LOC_synset_mapping.txt``."""
    return "".join(f"{wnid} thing {number}, other name\n" for number, wnid in enumerate(WNIDS)).encode()


def meta_mat() -> bytes:
    """``meta.mat``: 1,000 leaves in the order of their ids, then inner nodes."""
    leaves = sorted((number, wnid, 0) for wnid, number in ID_OF.items())
    rows = [*leaves, (1001, "n00001740", 3), (1002, "n00001930", 2)]
    kinds = [("ILSVRC2012_ID", "O"), ("WNID", "O"), ("words", "O"), ("gloss", "O"), ("num_children", "O")]
    table = np.zeros((len(rows), 1), dtype=kinds)
    for row, (number, wnid, children) in enumerate(rows):
        table[row, 0] = (float(number), wnid, f"words of {wnid}", "gloss", float(children))
    buffer = io.BytesIO()
    savemat(buffer, {"synsets": table})
    return buffer.getvalue()


def ground_truth(count: int = VAL) -> bytes:
    return "".join(f"{ID_OF[truth(number)]}\n" for number in range(1, count + 1)).encode()


def devkit(truth_lines: bytes | None = None) -> dict[str, bytes]:
    """The files of the unpacked devkit that matter."""
    return {
        "ILSVRC2012_devkit_t12/data/meta.mat": meta_mat(),
        "ILSVRC2012_devkit_t12/data/ILSVRC2012_validation_ground_truth.txt": truth_lines or ground_truth(),
    }
