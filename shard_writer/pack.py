"""Act: write one planned shard. Tar bytes, index rows and statistics come out of one pass over its records."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import xxhash

from ..errors import SourceError, StorageError
from .fields import FACTS, column_name, member_fields, schema
from .fragment import Fragment
from .image_facts import image_facts
from .json_shape import Shape, add_shape
from .plan import ShardPlan
from .statistics import Statistics
from .storage import Store, join
from .tar_write import END, member_header, padding
from .types import Column, Record, Sample, SourceSplit, SplitInfo

BUFFER = 4_000_000
COUNTED = ("label", "labels", "_types")
"""Endings of index columns whose values the statistics count."""
Progress = Callable[[int, int], None]
"""Called with (samples, bytes) that were written since the last call."""


@dataclass(frozen=True, slots=True)
class PackJob:
    """All that one worker needs to write any shard of a split."""

    split: SourceSplit
    store: Store
    fingerprint: str
    pixel_stats: bool


@dataclass(slots=True)
class _TarFile:
    """An open tar that hashes what it writes and knows where each payload begins.

    Hashing and writing release the interpreter lock, so a thread does them, one block behind, while the next samples
    are read. Its failure is raised by the next flush or by ``close``.
    """

    file: IO[bytes]
    thread: ThreadPoolExecutor
    offset: int = 0
    digest: Any = field(default_factory=hashlib.sha256)
    pending: list[bytes] = field(default_factory=list)
    held: int = 0
    behind: Future[None] | None = None

    def add(self, name: str, data: bytes) -> int:
        """Append a member; the offset of its payload in the file."""
        header = member_header(name, len(data))
        start = self.offset + len(header)
        self._put(header, data, padding(len(data)))
        return start

    def close(self) -> None:
        self._put(END)
        self._flush()
        self._settle()

    def _put(self, *pieces: bytes) -> None:
        size = sum(map(len, pieces))
        self.pending.extend(pieces)
        self.offset += size
        self.held += size
        if self.held >= BUFFER:
            self._flush()

    def _flush(self) -> None:
        block = b"".join(self.pending)
        self._settle()
        self.behind = self.thread.submit(self._write, block)
        self.pending.clear()
        self.held = 0

    def _settle(self) -> None:
        if self.behind is not None:
            self.behind.result()

    def _write(self, block: bytes) -> None:
        self.digest.update(block)
        view = memoryview(block)
        while view:  # an unbuffered write may stop short: at a full disk, after 2 GiB
            view = view[self.file.write(view) :]


def pack_shard(job: PackJob, plan: ShardPlan, progress: Progress | None = None) -> Fragment:
    """Write one shard and its index fragment.

    The tar appears under its final name only when whole, the fragment after it: a fragment is the shard's commit.
    Raises SourceError for a sample that breaks the split's declaration, StorageError where bytes cannot be written.
    """
    info = job.split.info
    rows: dict[str, list[Column]] = {name: [] for name in schema(member_fields(info), info.columns).names}
    statistics, shape = Statistics(), Shape()
    path = join(info.name, plan.name)
    with _scratch_file(job.store, path) as (temporary, file), ThreadPoolExecutor(1) as thread:
        tar = _TarFile(file, thread)
        reported = 0
        for count, record in enumerate(plan.records, start=1):
            sample = _read(job.split, record)
            _add_sample(job, plan, sample, tar, rows, statistics, shape)
            if progress and (count % 64 == 0 or count == len(plan.records)):
                progress((count - 1) % 64 + 1, tar.offset - reported)
                reported = tar.offset
        tar.close()
        file.close()
        job.store.publish(temporary, path)
    fragment = Fragment(
        plan=job.fingerprint,
        shard=plan.name,
        bytes=tar.offset,
        sha256=tar.digest.hexdigest(),
        shape=shape,
        statistics=statistics.as_json(),
        table=_table(rows, info, plan),
    )
    fragment.save(job.store, info.name)
    return fragment


def _read(split: SourceSplit, record: Record) -> Sample:
    sample = split.read(record)
    if sample.key != record.key:
        raise SourceError(f"{record.key}: the source read {sample.key!r} for it; records() and read() must agree.")
    return sample


def _table(rows: dict[str, list[Column]], info: SplitInfo, plan: ShardPlan) -> pa.Table:
    try:
        return pa.table(rows, schema=schema(member_fields(info), info.columns))
    except (pa.ArrowException, OverflowError, TypeError) as error:
        raise SourceError(
            f"{plan.name}: index columns {dict(info.columns)} do not fit their values: {error}"
        ) from error


@contextmanager
def _scratch_file(store: Store, path: str) -> Iterator[tuple[Path, IO[bytes]]]:
    """A temporary file that is removed whatever happens; a full disk is reported as ours."""
    temporary = store.scratch(path)
    try:
        with open(temporary, "wb", buffering=0) as file:
            yield temporary, file
    except StorageError:
        raise
    except OSError as error:
        if error.filename not in (None, str(temporary)):
            raise
        raise StorageError(
            f"cannot write {store.full(path)}: {error.strerror or error}. Nothing stands under that name;"
            " free space or choose another --out, then repeat the command with --resume."
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def _add_sample(
    job: PackJob,
    plan: ShardPlan,
    sample: Sample,
    tar: _TarFile,
    rows: dict[str, list[Column]],
    statistics: Statistics,
    shape: Shape,
) -> None:
    info = job.split.info
    _check_sample(sample, info)
    add_shape(sample.annotations, shape, sample.key)
    facts = _facts(sample)
    row: dict[str, Column] = {"key": sample.key, "shard": plan.number, **dict(sample.columns), **facts}
    for name, data in _members(sample, info.image_field, info.label_column is not None):
        row[column_name(name, "offset")] = tar.add(f"{sample.key}.{name}", data)
        row[column_name(name, "size")] = len(data)
        row[column_name(name, "xxh3")] = xxhash.xxh3_64_intdigest(data)
    for name, values in rows.items():
        values.append(row[name])
    statistics.add(
        (facts["width"], facts["height"]), {name: row[name] for name in info.columns if _is_label(name, info)}
    )
    if job.pixel_stats and sample.image is not None:
        statistics.add_pixels(sample.image, sample.key)


def _facts(sample: Sample) -> dict[str, Any]:
    """What the image's header says; where no image is packed, the size that the annotations state."""
    if sample.image is not None:
        return asdict(image_facts(sample.image, sample.key))
    return {name: sample.annotations.get(name) if name in ("width", "height") else None for name in FACTS}


def _is_label(column: str, info: SplitInfo) -> bool:
    return column == info.label_column or column.endswith(COUNTED)


def _members(sample: Sample, image_field: str | None, has_class: bool) -> Iterator[tuple[str, bytes]]:
    if image_field is not None and sample.image is not None:
        yield image_field, sample.image
    yield "json", _json(sample)
    if has_class:
        yield "cls", str(sample.label).encode()


def _json(sample: Sample) -> bytes:
    try:
        return json.dumps(sample.annotations, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
    except (ValueError, TypeError) as error:  # NaN, half a surrogate pair, a key that is no text
        raise SourceError(f"{sample.key}: its annotations cannot be written as JSON: {error}") from error


def _check_sample(sample: Sample, info: SplitInfo) -> None:
    image_field, label_column, declared = info.image_field, info.label_column, info.columns.keys()
    if sample.columns.keys() != declared:
        raise SourceError(
            f"{sample.key}: index columns {sorted(sample.columns)}, the split declares {sorted(declared)}."
        )
    if (sample.image is None) != (image_field is None):
        has, says = ("no image" if sample.image is None else "an image"), image_field or "none"
        raise SourceError(f"{sample.key}: the source read {has}, the split declares the image field {says!r}.")
    if label_column is not None and (sample.label is None or sample.columns[label_column] != sample.label):
        raise SourceError(
            f"{sample.key}: label {sample.label!r} but column {label_column!r} holds {sample.columns[label_column]!r};"
            " a split with a label column needs the same label in both."
        )
