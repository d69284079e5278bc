"""Values out of a .mat file, whatever MATLAB or SciPy wrapped around them.

One label is a char array, two are a cell array of char arrays; one annotator is a 1x1 struct, five a 1x5 one; a person
alone may be a struct, or a cell with one struct in it; 640 may be stored as uint16. Squeezing makes some of these look
alike and others not (``list("Peace")`` is six letters), so nothing is squeezed here: arrays are flattened by kind.
"""

from __future__ import annotations

import io
import math
import warnings
import zlib
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import numpy as np

from ...errors import MissingExtra, SourceError

DAMAGE = (
    ValueError, KeyError, TypeError, OSError, EOFError, IndexError, AttributeError, OverflowError, MemoryError,
    RecursionError, zlib.error,
)  # fmt: skip
"""What SciPy raises over damaged bytes, beside its own errors."""


_HEADER, _VERSION_5 = 128, (b"\0\1IM", b"\1\0MI")
_COMPRESSED = 15


def check_whole(data: bytes, where: str) -> None:
    """Raises SourceError where a version 5 file is cut short, or a compressed variable (MATLAB's default) is damaged.

    SciPy parses what it unpacks before it compares checksums, and some damage makes it crash the process.

        text (116) | version 0x0100, "IM" or "MI" || type, size | variable || type, size | variable ...
    """
    order: Literal["big", "little"] = "big" if data[126:128] == b"MI" else "little"
    start = _HEADER
    while start < len(data):
        kind, size = (int.from_bytes(data[at : at + 4], order) for at in (start, start + 4))
        end = start + 8 + size
        if end > len(data):
            raise SourceError(
                f"{where} is cut short: a variable ends at byte {end:,}, the file at {len(data):,}. Load it again."
            )
        if kind == _COMPRESSED:
            try:
                zlib.decompress(data[start + 8 : end])
            except zlib.error as error:
                raise SourceError(f"{where} is damaged near byte {start:,}: {error}. Load it again.") from error
        start = end


def load_mat(data: bytes, where: str) -> Mapping[str, Any]:
    """The file's variables; raises MissingExtra without SciPy, SourceError for bytes that are no .mat of version 5."""
    try:
        from scipy.io import loadmat
        from scipy.io.matlab import MatReadError, MatReadWarning
    except ImportError as error:
        raise MissingExtra(
            "Annotations.mat needs scipy: pip install 'shardstream[emotic]'. Or give the published converter's CSV files."
        ) from error
    if data[124:128] in _VERSION_5:
        check_whole(data, where)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", MatReadWarning)  # of two variables of one name, one would be lost
            found = loadmat(io.BytesIO(data), squeeze_me=False, struct_as_record=True, chars_as_strings=True)
    except NotImplementedError as error:
        raise SourceError(f"{where} is saved as -v7.3 (HDF5); in MATLAB, save it with '-v7'.") from error
    except (MatReadError, MatReadWarning, *DAMAGE) as error:
        raise SourceError(
            f"{where} is no .mat file that can be read: {type(error).__name__} {error}. Cut short? Load it again."
        ) from error
    return {name: value for name, value in found.items() if not name.startswith("__")}


def structs(value: Any, what: str) -> Iterator[Mapping[str, Any]]:
    """The structs of a struct array or of a cell array of structs, as mappings; an empty array has none."""
    if isinstance(value, np.ndarray) and value.dtype.names:
        for item in value.reshape(-1):
            yield dict(zip(value.dtype.names, item.item(), strict=True))
    elif isinstance(value, np.ndarray) and value.dtype == object:
        for item in value.reshape(-1):
            yield from structs(item, what)
    elif not (isinstance(value, np.ndarray) and not value.size):
        raise SourceError(f"{what} is {_shown(value)}, not structs.")


def struct(value: Any, what: str) -> Mapping[str, Any]:
    """The only struct of ``value``."""
    found = list(structs(value, what))
    if len(found) != 1:
        raise SourceError(f"{what} holds {len(found)} structs, expected one.")
    return found[0]


def texts(value: Any, what: str) -> tuple[str, ...]:
    """All texts of a char array, a char matrix (padded with blanks) or a cell array of those, nested or not."""
    if isinstance(value, str):
        return (value.strip(),) if value.strip() else ()
    if isinstance(value, np.ndarray) and value.dtype.kind == "U":
        return tuple(str(item).strip() for item in value.reshape(-1) if str(item).strip())
    if isinstance(value, np.ndarray) and value.dtype == object:
        return tuple(text for item in value.reshape(-1) for text in texts(item, what))
    if isinstance(value, np.ndarray) and not value.size:
        return ()
    raise SourceError(f"{what} is {_shown(value)}, not text.")


def text(value: Any, what: str) -> str | None:
    """The only text, None for an empty one."""
    found = texts(value, what)
    if len(found) > 1:
        raise SourceError(f"{what} holds {len(found)} texts, expected one.")
    return found[0] if found else None


def numbers(value: Any, what: str) -> tuple[float, ...]:
    """All numbers of an array or of a cell array of those, as floats: stored as uint8, 3 - 5 would be 254."""
    if isinstance(value, np.ndarray) and value.dtype == object:
        return tuple(number for item in value.reshape(-1) for number in numbers(item, what))
    if isinstance(value, np.ndarray) and value.dtype.kind in "iufb":
        return tuple(float(number) for number in value.reshape(-1))
    if isinstance(value, (int, float)):
        return (float(value),)
    if isinstance(value, np.ndarray) and not value.size:
        return ()
    raise SourceError(f"{what} is {_shown(value)}, not numbers.")


def number(value: Any, what: str) -> float:
    """The only number; NaN for an empty array."""
    found = numbers(value, what)
    if len(found) > 1:
        raise SourceError(f"{what} holds {len(found)} numbers, expected one.")
    return found[0] if found else math.nan


def need(fields: Mapping[str, Any], names: tuple[str, ...], what: str) -> None:
    """Raises SourceError where one of the fields is not there."""
    missing = [name for name in names if name not in fields]
    if missing:
        raise SourceError(
            f"{what} has no field {', '.join(missing)}, but {', '.join(fields) or 'none'}: not EMOTIC's Annotations.mat?"
        )


def _shown(value: Any) -> str:
    return f"{type(value).__name__} of {value.dtype}" if isinstance(value, np.ndarray) else type(value).__name__
