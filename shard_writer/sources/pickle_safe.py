"""Read CIFAR's pickles without running what they ask for.

A pickle may name any function and have it called. Here the only names that resolve are the few that NumPy puts into
a pickled array, and they resolve to stand-ins below that keep the bytes and call nothing.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Mapping
from typing import Any, Never

import numpy as np
from numpy.typing import NDArray

from ...errors import SourceError

_FAULTS = (
    pickle.UnpicklingError,
    EOFError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    OverflowError,
    MemoryError,
    RecursionError,
)


class _Dtype:
    """Stands for ``numpy.dtype``."""

    def __init__(self, code: Any, *_: Any) -> None:
        self.code = _text(code)

    def __setstate__(self, state: Any) -> None:
        """Byte order and the like: nothing that one-byte numbers have."""


class _Array:
    """Stands for a pickled ndarray: remembers shape, dtype and bytes."""

    shape: Any = None
    dtype: Any = None
    fortran: Any = False
    data: Any = None

    def __setstate__(self, state: Any) -> None:
        _, self.shape, self.dtype, self.fortran, self.data = state

    def pixels(self) -> NDArray[np.uint8]:
        """The array; ValueError for any dtype but uint8 or bytes that do not fill the shape."""
        if not isinstance(self.dtype, _Dtype) or self.dtype.code.lstrip("|<>=") not in ("u1", "uint8"):
            raise ValueError(f"array of dtype {getattr(self.dtype, 'code', self.dtype)!r}, expected uint8")
        # Python 2 wrote the bytes as its str, which latin1 reads back one to one.
        raw = self.data.encode("latin1") if isinstance(self.data, str) else bytes(self.data)
        return np.frombuffer(raw, np.uint8).reshape(self.shape, order="F" if self.fortran else "C")


def _reconstruct(*_: Any) -> _Array:
    return _Array()


def _frombuffer(data: Any, dtype: Any, shape: Any, order: Any = "C") -> _Array:
    array = _Array()
    array.__setstate__((1, shape, dtype, order == "F", data))
    return array


def _encode(text: str, codec: str = "latin1") -> bytes:
    if codec not in ("latin1", "latin-1"):
        raise ValueError(f"text in codec {codec!r}, expected latin1")
    return text.encode("latin1")


class _NdArray:
    """Stands for the type ``numpy.ndarray``, which pickles pass as an argument."""


_NAMES: Mapping[tuple[str, str], Any] = {
    ("numpy", "ndarray"): _NdArray,
    ("numpy", "dtype"): _Dtype,
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy.core.numeric", "_frombuffer"): _frombuffer,
    ("numpy._core.numeric", "_frombuffer"): _frombuffer,
    ("_codecs", "encode"): _encode,
}


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, name: str) -> None:
        super().__init__(file, encoding="latin1")
        self.name = name

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _NAMES:
            raise SourceError(
                f"{self.name}: the pickle asks to run {module}.{name}, which CIFAR's files never do; nothing was run."
                " Do not trust this file: download the set again from its home page."
            )
        return _NAMES[module, name]

    def persistent_load(self, pid: Any) -> Never:
        raise SourceError(
            f"{self.name}: the pickle refers to an object outside itself ({pid!r:.40}). Download the set again."
        )


def load_pickle(data: bytes, name: str) -> dict[str, Any]:
    """The dictionary in a pickle of Python 2 or 3; text keys whether they were written as str or bytes.

    Arrays are uint8. Raises SourceError, naming the file, for a pickle that is cut short, holds no dictionary or
    names anything but NumPy arrays. Runs no code of the pickle's choosing.
    """
    try:
        found = _Unpickler(io.BytesIO(data), name).load()
        if not isinstance(found, dict):
            raise ValueError(f"it holds a {type(found).__name__}, expected a dict")
        return {_text(key): _plain(value) for key, value in found.items()}
    except SourceError:
        raise
    except _FAULTS as error:
        raise SourceError(
            f"{name}: {len(data):,} bytes are no whole CIFAR pickle ({type(error).__name__}: {error})."
            " The download was probably cut short: download it again."
        ) from error


def _text(value: Any) -> str:
    return value.decode("latin1") if isinstance(value, bytes) else str(value)


def _plain(value: Any) -> Any:
    if isinstance(value, _Array):
        return value.pixels()
    if isinstance(value, list):
        return [_text(item) if isinstance(item, bytes) else item for item in value]
    return _text(value) if isinstance(value, bytes) else value
