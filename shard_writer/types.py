"""What flows from a source to a shard: ``Source -> SourceSplit -> Record -> Sample``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

Json = Any  # what json.dumps accepts; recursive aliases do not help readers here
Column = int | float | str | None | list[int] | list[float] | list[list[int]]


@dataclass(frozen=True, slots=True)
class Record:
    """One image of a source before its bytes are read: enough to plan shards, small enough to keep a million of."""

    key: str
    """Unique in the split, no dots, leads back to the source; becomes the tar members' base name."""
    nbytes: int
    """Planning weight: about how many bytes the sample takes. Boundaries are computed from it, so it must be a
    pure function of the source, never of encoder or library versions."""
    where: Any
    """Picklable locator that only the source understands."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One image and everything known about it."""

    key: str
    image: bytes | None
    """Original encoded bytes (or a lossless encoding where the source has none); None in a split without images."""
    annotations: dict[str, Json]
    """Becomes ``<key>.json``. Same keys and types in every sample of the split."""
    label: int | None = None
    """Becomes ``<key>.cls`` where the split has a single class label."""
    columns: Mapping[str, Column] = field(default_factory=dict)
    """Values for the index, one per column that ``SplitInfo.columns`` declares."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitInfo:
    """What is known of a split before packing."""

    name: str
    image_field: str | None
    """Extension of every image member: ``jpg``, ``png``, ``webp`` or ``npy``; None: annotations alone are packed."""
    columns: Mapping[str, str] = field(default_factory=dict)
    """Extra index columns, name -> Arrow type (``int64``, ``float64``, ``string``, ``list<int64>``). One named after a
    view, ``person_labels``, is a list with one entry per part of the image."""
    label_column: str | None = None
    """Name of the column that holds the single class label, None where there is none."""
    shuffle: bool = False
    """Pack in a seeded shuffled order (training splits) instead of source order."""
    pixel_stats: bool = False
    """Small images: compute channel mean/std while packing without being asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """Who a dataset is: goes into the manifest."""

    name: str
    licence: str
    homepage: str = ""
    classes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Label column -> class names."""
    class_ids: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """Label column -> the benchmark's own id of each class, where labels are ranks of those (COCO: 1..90 with gaps)."""
    identity: Mapping[str, str] = field(default_factory=dict)
    """File name -> digest or size of what was read. No paths, hosts or times."""
    notes: tuple[str, ...] = ()
    """Facts a user should see: partial set, labels claimed but absent, and so on."""


class SourceSplit(Protocol):
    """One split of a source. Picklable: workers get a copy; heavy caches are rebuilt lazily, not pickled."""

    @property
    def info(self) -> SplitInfo: ...

    def records(self) -> Sequence[Record]:
        """All records in source order. Cheap; the same on every call and machine."""
        ...

    def read(self, record: Record) -> Sample:
        """The sample of one record. Pure: same record, same bytes."""
        ...


class Source(Protocol):
    """One benchmark in its original files. To add a benchmark, write one file in ``sources/``."""

    def about(self) -> About: ...

    def splits(self) -> tuple[str, ...]:
        """Names of the splits that are present."""
        ...

    def split(self, name: str) -> SourceSplit:
        """Open one split; raises SourceError when its files are absent or damaged."""
        ...
