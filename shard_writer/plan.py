"""Plan: which record goes into which shard. A pure function of the input, so that any worker can do any shard."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..counted import permutation, text_word
from ..errors import OptionError, SourceError
from .types import Record, SplitInfo

DEFAULT_SHARD_SIZE = 256_000_000
_UNITS = {"": 1, "B": 1, "KB": 1000, "MB": 1000**2, "GB": 1000**3, "KIB": 1024, "MIB": 1024**2, "GIB": 1024**3}
_BAD_KEY = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff.\\]|^/|//|/$|^__[^/]*__/")  # webdataset skips __x__/ folders
_BAD_SPLIT = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\\:/]|^\.")


@dataclass(frozen=True, slots=True)
class ShardPlan:
    """The records of one shard, in the order they are written."""

    number: int
    name: str
    records: tuple[Record, ...]

    @property
    def nbytes(self) -> int:
        return sum(record.nbytes for record in self.records)


@dataclass(frozen=True, slots=True)
class SplitPlan:
    """All shards of one split and a fingerprint of everything that decides their bytes."""

    info: SplitInfo
    shards: tuple[ShardPlan, ...]
    fingerprint: str
    shuffle_seed: int | None

    @property
    def samples(self) -> int:
        return sum(len(shard.records) for shard in self.shards)


def parse_size(text: str | int) -> int:
    """``"256MB"`` -> 256000000; KB/MB/GB are powers of 1000, KiB/MiB/GiB of 1024."""
    if isinstance(text, int):
        size = text
    else:
        match = re.fullmatch(r"\s*([0-9]+\.?[0-9]*|\.[0-9]+)\s*([A-Za-z]*)\s*", text)
        if not match or match.group(2).upper() not in _UNITS:
            raise OptionError(f"size {text!r} is not understood: write it like 256MB or 1GiB.")
        size = int(float(match.group(1)) * _UNITS[match.group(2).upper()])
    if size <= 0:
        raise OptionError(f"size {text!r} must be positive.")
    return size


def plan_split(
    info: SplitInfo,
    records: Sequence[Record],
    shard_size: int,
    seed: int = 0,
    identity: Mapping[str, str] | None = None,
) -> SplitPlan:
    """Cut a split into shards of about ``shard_size`` planned bytes.

    Training splits (``info.shuffle``) are put into a seeded order first: class folders packed in folder order
    would give a reader long runs of one class. ``identity`` says which source files these are (``About.identity``);
    it enters the fingerprint only. Raises SourceError for bad or repeated keys and for no records.
    """
    if not info.name or _BAD_SPLIT.search(info.name):
        raise SourceError(
            f"split {info.name!r} cannot name a folder: no '/', ':', backslash, control character or leading dot."
        )
    _check_keys(info.name, records)
    if info.shuffle:
        order = permutation(len(records), seed, text_word("pack"))
        records = [records[i] for i in order]
    cuts = _cuts([record.nbytes for record in records], shard_size)
    shards = tuple(
        ShardPlan(number, f"{info.name}-{number:06d}.tar", tuple(records[start:stop]))
        for number, (start, stop) in enumerate(cuts)
    )
    return SplitPlan(info, shards, _fingerprint(info, shards, identity or {}), seed if info.shuffle else None)


def _cuts(sizes: Sequence[int], shard_size: int) -> list[tuple[int, int]]:
    """[start, stop) of each shard: a new one begins where the next record would pass ``shard_size``."""
    cuts, start, filled = [], 0, 0
    for i, size in enumerate(sizes):
        if i > start and filled + size > shard_size:
            cuts.append((start, i))
            start, filled = i, 0
        filled += size
    cuts.append((start, len(sizes)))
    return cuts


def _check_keys(split: str, records: Sequence[Record]) -> None:
    if not records:
        raise SourceError(f"split {split!r} holds no samples. Check --source and --split.")
    seen: set[str] = set()
    for record in records:
        if not record.key or _BAD_KEY.search(record.key):
            raise SourceError(
                f"split {split!r}: key {record.key!r} cannot name a tar member: it must be non-empty and relative,"
                " without dots, backslashes, control characters or a leading '__x__/'."
            )
        if record.key in seen:
            raise SourceError(f"split {split!r}: key {record.key!r} stands twice; keys must be unique within a split.")
        seen.add(record.key)


def _fingerprint(info: SplitInfo, shards: Sequence[ShardPlan], identity: Mapping[str, str]) -> str:
    declared = [info.name, info.image_field, sorted(info.columns.items()), info.label_column, info.pixel_stats]
    digest = hashlib.sha256(json.dumps([*declared, sorted(identity.items())]).encode())
    for shard in shards:
        digest.update(b"\0\0" + shard.name.encode())
        for record in shard.records:
            digest.update(f"\0{record.key}\0{record.nbytes}".encode())
    return digest.hexdigest()
