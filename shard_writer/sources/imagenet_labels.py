"""Labels of ImageNet's validation images, in every form they are passed around in."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence

from ...errors import SourceError
from .imagenet_classes import WNID, Classes

VAL = 50_000
_NAMED = re.compile(r"(\S+?)(?:\.JPEG)?[\s,]+(n\d{8}|\d+)\b.*", re.IGNORECASE)
_VAL_NAME = re.compile(r".*_val_(\d{8})")


def val_labels(data: bytes, classes: Classes, file: str) -> dict[int, str]:
    """Number of the image (1..50,000) -> WordNet id, from a text file of one of these forms, told by its first line.

    ``n01751748``, one line per image in order; ``ILSVRC2012_val_00000001.JPEG n01751748``; the same with the 0-based
    label; Kaggle's ``LOC_val_solution.csv``.
    """
    lines = [line.strip() for line in data.decode("utf-8", "replace").splitlines() if line.strip()]
    lines = lines[1:] if lines and lines[0].startswith("ImageId") else lines
    if lines and WNID.fullmatch(lines[0]):
        return in_order(lines, classes, file)
    return dict(_named(line, classes, f"{file}, line {number}") for number, line in enumerate(lines, start=1))


def is_val_labels(data: bytes) -> bool:
    """Whether a text file's beginning looks like one of the forms above."""
    lines = data[:400].decode("utf-8", "replace").split("\n")
    first = lines[1] if lines[0].startswith("ImageId") and len(lines) > 1 else lines[0]
    return bool(WNID.fullmatch(first.strip())) or bool(_NAMED.match(first) and "_val_" in first)


def in_order(wnids: Sequence[str], classes: Classes, file: str) -> dict[int, str]:
    """Line i is image i; raises SourceError unless there is one for each of the 50,000."""
    if len(wnids) != VAL:
        raise SourceError(
            f"{file} has {len(wnids):,} labels, the validation set {VAL:,} images: it was cut or changed."
        )
    for number, wnid in enumerate(wnids, start=1):
        _known(wnid, classes, f"{file}, line {number}")
    return dict(enumerate(wnids, start=1))


def real_labels(data: bytes, classes: Classes, file: str) -> list[list[int]]:
    """ReaL: entry i holds the labels of image i + 1, none where the raters found none (left out of its metric)."""
    try:
        body = json.loads(data)
    except ValueError as error:
        raise SourceError(f"{file} is no JSON: {error}.") from error
    if not isinstance(body, list) or len(body) != VAL:
        raise SourceError(f"{file} is no list of {VAL:,} entries, one per validation image.")
    for number, labels in enumerate(body, start=1):
        if not isinstance(labels, list) or any(type(x) is not int or not 0 <= x < len(classes.wnids) for x in labels):
            raise SourceError(f"{file}: entry {number} is {labels!r:.60}, not labels of 0 to {len(classes.wnids) - 1}.")
    return body


def agreed(found: Mapping[str, Mapping[int, str]]) -> dict[int, str]:
    """File -> labels, joined; raises SourceError naming an image of which two files say different things."""
    joined: dict[int, str] = {}
    for file, labels in found.items():
        for number, wnid in labels.items():
            if joined.setdefault(number, wnid) != wnid:
                others = ", ".join(name for name in found if name != file)
                raise SourceError(
                    f"{file}: ILSVRC2012_val_{number:08d} is {wnid}, {others} says {joined[number]}. Keep the right one."
                )
    return joined


def number_of(stem: str, where: str) -> int:
    """``ILSVRC2012_val_00000017`` -> 17."""
    match = _VAL_NAME.fullmatch(stem)
    if match is None or not 1 <= int(match.group(1)) <= VAL:
        raise SourceError(
            f"{where}: {stem!r} is not the name of a validation image, ILSVRC2012_val_00000001 to _00050000."
        )
    return int(match.group(1))


def _named(line: str, classes: Classes, where: str) -> tuple[int, str]:
    match = _NAMED.fullmatch(line)
    if match is None:
        raise SourceError(f"{where}: {line[:60]!r} is not an image name and its class.")
    number, value = number_of(match.group(1), where), match.group(2)
    if not value.isdigit():
        return number, _known(value, classes, where)
    if int(value) >= len(classes.wnids):
        raise SourceError(f"{where}: label {value} is outside 0 to {len(classes.wnids) - 1}; labels count from 0.")
    return number, classes.wnids[int(value)]


def _known(wnid: str, classes: Classes, where: str) -> str:
    if wnid not in classes.wnids:
        raise SourceError(f"{where}: {wnid} is not among the {len(classes.wnids):,} classes of {classes.file}.")
    return wnid
