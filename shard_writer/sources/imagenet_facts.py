"""What a whole ILSVRC2012 is: counts and archive digests, and how a copy compares.

Sources: md5 as in torchvision's ``datasets/imagenet.py``; counts as in Russakovsky et al. 2015, table 2.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping

from ...errors import SourceError
from ..storage import Store

CLASSES = 1000
PER_CLASS = (732, 1300)
"""Fewest and most training images of one class."""
COUNTS: Mapping[str, int] = {"train": 1_281_167, "val": 50_000, "test": 100_000}
MD5: Mapping[str, str] = {
    "ILSVRC2012_img_train.tar": "1d675b47d978889d74fa0da5fadfb00e",
    "ILSVRC2012_img_val.tar": "29b22e2961454d5413ddabcf34fc5622",
    "ILSVRC2012_devkit_t12.tar.gz": "fa75699e90414af021442c21a62c3abf",
}
_CHUNK = 1 << 20


def check_md5(store: Store, path: str) -> str | None:
    """The md5 of an archive; None, unread, where none is published for its name. SourceError where they differ."""
    published = MD5.get(path.rpartition("/")[2])
    if published is None:
        return None
    digest = hashlib.md5(usedforsecurity=False)
    with store.open(path) as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    if digest.hexdigest() != published:
        raise SourceError(
            f"{store.full(path)}: md5 {digest.hexdigest()}, the published one is {published}. Download it again."
        )
    return published


def compare(split: str, labels: Iterable[int | None]) -> str | None:
    """A note that a split is partial, None where it is whole.

    Raises SourceError for more images than there are, and for a train split of the full count whose classes are not
    the official 1,000 with 732 to 1,300 images each.
    """
    found = list(labels)
    if len(found) > COUNTS[split]:
        raise SourceError(
            f"{split} holds {len(found):,} images, ImageNet-1k {COUNTS[split]:,}. Remove what is not part of it."
        )
    if len(found) < COUNTS[split]:
        return f"partial: {split} holds {len(found):,} of {COUNTS[split]:,} images"
    if split == "train":
        _check_classes(Counter(found))
    return None


def _check_classes(sizes: Counter[int | None]) -> None:
    fewest, most = PER_CLASS
    if len(sizes) != CLASSES or min(sizes.values()) < fewest or max(sizes.values()) > most:
        raise SourceError(
            f"train holds {len(sizes):,} classes of {min(sizes.values()):,} to {max(sizes.values()):,} images, ImageNet-1k"
            f" {CLASSES:,} of {fewest} to {most:,}. Images are missing or misplaced: unpack the archive again."
        )
