"""Parquet bytes read without a Python object in the hands of Arrow's threads.

Arrow's threads drop what they hold a moment after a read has returned. Where that is the last hold on ``bytes`` or on
a Python file, the thread waits for the interpreter lock; Python 3.11 that is ending just then ends the thread instead,
inside a C++ destructor: "terminate called without an active exception", exit code 134 after all work was done.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq


def owned(data: bytes) -> pa.Buffer:
    """A copy in memory that Arrow itself frees, from any thread."""
    buffer = pa.allocate_buffer(len(data))
    np.frombuffer(buffer, dtype=np.uint8)[:] = np.frombuffer(data, dtype=np.uint8)
    return buffer


def opened(data: bytes) -> pq.ParquetFile:
    """A Parquet file in memory; raises pa.ArrowException or OSError where it is none."""
    return pq.ParquetFile(pa.BufferReader(owned(data)))


def whole(data: bytes, columns: Sequence[str] | None = None) -> pa.Table:
    """All rows; raises as ``opened``."""
    return opened(data).read(columns=None if columns is None else list(columns))
