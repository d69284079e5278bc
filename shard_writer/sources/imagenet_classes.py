"""ImageNet's classes: the sorted list of WordNet ids decides the label, and nothing else does.

The devkit's ILSVRC2012_ID (1..1000) is another numbering: taken as a label, less one, it gives 0.1 % accuracy
without an error.
"""

from __future__ import annotations

import io
import json
import re
import tarfile
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...errors import MissingExtra, SourceError
from .imagenet_facts import CLASSES

WNID = re.compile(r"n\d{8}")


@dataclass(frozen=True, slots=True)
class Classes:
    """WordNet ids in label order, and their names."""

    wnids: tuple[str, ...]
    names: tuple[str, ...]
    file: str | None
    """Where they were read, None where folder names had to do."""

    def label(self, wnid: str, where: str) -> int:
        """0-based label; raises SourceError for an id that is not among the classes."""
        try:
            return self.wnids.index(wnid)
        except ValueError:
            raise SourceError(
                f"{where}: {wnid} is not among the {len(self.wnids):,} classes of {self.file or 'the train folders'}."
            ) from None


@dataclass(frozen=True, slots=True)
class Devkit:
    """What the devkit says: names by id, and the id of each validation image."""

    names: Mapping[str, str]
    val_wnids: tuple[str, ...]


def named_classes(names: Mapping[str, str], file: str | None) -> Classes:
    """Sort the ids; a name that two classes share (crane the bird, crane the machine) gets its id behind it."""
    wnids = tuple(sorted(names))
    if file is not None and len(wnids) != CLASSES:
        raise SourceError(
            f"{file} lists {len(wnids):,} classes, ImageNet-1k has {CLASSES:,}: labels would shift. Download it again, or"
            " delete it to number the classes by the train folders."
        )
    times = Counter(names.values())
    shown = tuple(names[w] if times[names[w]] == 1 else f"{names[w]} ({w})" for w in wnids)
    return Classes(wnids, shown, file)


def same_classes(lists: Sequence[Classes]) -> Classes:
    """The first of several lists; raises SourceError where another names other ids."""
    first = lists[0]
    for other in lists[1:]:
        if differing := sorted(set(first.wnids) ^ set(other.wnids)):
            raise SourceError(
                f"{first.file} and {other.file} list different classes: {differing[0]} is in one of them only."
                " Keep the right one."
            )
    return first


def mapping_lines(data: bytes, file: str) -> dict[str, str]:
    """``LOC_synset_mapping.txt``, ``synset_words.txt``, ``synsets.txt``: an id and a name, or an id, on each line."""
    found: dict[str, str] = {}
    for number, line in enumerate(data.decode("utf-8", "replace").splitlines(), start=1):
        wnid, _, name = line.strip().partition(" ")
        if not wnid:
            continue
        if not WNID.fullmatch(wnid) or wnid in found:
            raise SourceError(f"{file}, line {number}: {line[:60]!r} does not begin with a new WordNet id (n12345678).")
        found[wnid] = name.strip() or wnid
    return found


def class_index(data: bytes, file: str) -> dict[str, str]:
    """``imagenet_class_index.json``: ``{"0": ["n01440764", "tench"], ...}``, checked against the sorted order."""
    try:
        body = json.loads(data)
        rows = [(int(label), str(wnid), str(name)) for label, (wnid, name) in body.items()]
    except (ValueError, TypeError, AttributeError) as error:
        raise SourceError(f'{file} is not of the form {{"0": ["n01440764", "tench"], ...}}: {error}.') from error
    for position, (label, wnid, _) in enumerate(sorted(rows, key=lambda row: row[1])):
        if label != position:
            raise SourceError(
                f"{file}: {wnid} has label {label}, in the sorted list of ids it is number {position}: a subset of the"
                " classes, or an edited file."
            )
    return {wnid: name for _, wnid, name in rows}


def devkit(meta: bytes, truth: bytes | None, where: str) -> Devkit:
    """From ``meta.mat`` and ``ILSVRC2012_validation_ground_truth.txt`` (None: names alone)."""
    leaves = [row for row in _synsets(meta, where) if int(row["num_children"]) == 0]
    by_id = {int(row["ILSVRC2012_ID"]): str(row["WNID"]) for row in leaves}
    names = {str(row["WNID"]): str(row["words"]) for row in leaves}
    ids = [line for line in (truth or b"").decode("ascii", "replace").split("\n") if line.strip()]
    wrong = next((line for line in ids if not line.strip().isdigit() or int(line) not in by_id), None)
    if wrong is not None:
        raise SourceError(
            f"{where}: the ground truth names class {wrong.strip()!r}, meta.mat has {len(by_id)} classes, ids"
            f" {min(by_id, default=0)} to {max(by_id, default=0)}. The two are not of one devkit."
        )
    return Devkit(names, tuple(by_id[int(line)] for line in ids))


def _synsets(meta: bytes, where: str) -> Sequence[Any]:
    try:
        from scipy.io import loadmat
        from scipy.io.matlab import MatReadError
    except ImportError as error:
        raise MissingExtra(
            "meta.mat of ImageNet's devkit needs scipy: pip install 'shardstream[imagenet]'. Or put"
            " LOC_synset_mapping.txt and LOC_val_solution.csv beside the images."
        ) from error
    try:
        synsets = loadmat(io.BytesIO(meta), squeeze_me=True)["synsets"]
        return list(synsets)
    except (
        MatReadError,
        ValueError,
        KeyError,
        TypeError,
        OSError,
        EOFError,
        NotImplementedError,
        IndexError,
        zlib.error,
    ) as error:
        raise SourceError(f"{where}: meta.mat is no devkit file: {type(error).__name__} {error}.") from error


def unpack_devkit(data: bytes, where: str) -> tuple[bytes, bytes]:
    """``meta.mat`` and the ground truth from ``ILSVRC2012_devkit_t12.tar.gz``."""
    found: dict[str, bytes] = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:gz") as archive:
            for member in archive:
                name = member.name.rpartition("/")[2]
                if name in ("meta.mat", "ILSVRC2012_validation_ground_truth.txt") and member.isfile():
                    file = archive.extractfile(member)
                    found[name] = file.read() if file else b""
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        raise SourceError(f"{where} is damaged or cut short: {error}. Load it again.") from error
    if len(found) != 2:
        raise SourceError(f"{where} lacks data/meta.mat or data/ILSVRC2012_validation_ground_truth.txt.")
    return found["meta.mat"], found["ILSVRC2012_validation_ground_truth.txt"]
