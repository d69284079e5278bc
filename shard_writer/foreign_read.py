"""Read one foreign tar, once: which samples it holds, where their members lie, and the digests of all of it."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import xxhash

from ..errors import CorruptTar, SourceError
from .fields import IMAGE_EXTENSIONS
from .image_facts import ImageFacts, image_facts
from .statistics import Statistics
from .storage import Whole
from .tar_group import group
from .tar_read import TarMember, scan


@dataclass(frozen=True, slots=True)
class MemberAt:
    """Where a member's payload lies, and its checksum."""

    offset: int
    size: int
    xxh3: int


@dataclass(frozen=True, slots=True)
class SampleRow:
    """One sample: its members by extension, its label where it has one, its image's header facts."""

    key: str
    members: Mapping[str, MemberAt]
    label: int | None
    facts: ImageFacts | None


@dataclass(frozen=True, slots=True)
class TarContent:
    """All samples of one tar, and the members that belong to none, by reason."""

    name: str
    bytes: int
    sha256: str
    rows: list[SampleRow]
    statistics: dict[str, Any]
    skipped: Counter[str]


def read_tar(tar: Whole, name: str, url: str, seen: dict[str, str]) -> TarContent:
    """Read and digest every byte; ``seen`` (key -> url) is shared by the tars of a split.

    Raises CorruptTar for damage and for a key of another tar, UndecodableImage, SourceError for a label that is none.
    """
    data = tar.data
    skipped: Counter[str] = Counter()

    def skip(member: TarMember, reason: str) -> None:  # noqa: ARG001 - counted by reason
        skipped[reason] += 1

    statistics, rows = Statistics(), []
    for key, members in group(scan(tar.file, url=url, size=len(data)), url=url, on_skipped=skip):
        if key in seen:
            raise CorruptTar(f"{url}: key {key!r} stands in {seen[key]} too; keys must be unique over a split's tars.")
        seen[key] = url
        rows.append(_row(key, members, data, statistics, url))
    return TarContent(name, len(data), hashlib.sha256(data).hexdigest(), rows, statistics.as_json(), skipped)


def _row(key: str, members: Mapping[str, TarMember], data: memoryview, statistics: Statistics, url: str) -> SampleRow:
    payloads = {name: data[member.offset : member.offset + member.size] for name, member in members.items()}
    label = _label(bytes(payloads["cls"]), f"{url}: {key}.cls") if "cls" in payloads else None
    image = next((name for name in IMAGE_EXTENSIONS if name in payloads and name != "npy"), None)
    facts = None
    if image is not None:
        facts = image_facts(bytes(payloads[image]), f"{url}: {key}.{image}")
        statistics.add((facts.width, facts.height), {} if label is None else {"label": label})
    found = {
        name: MemberAt(member.offset, member.size, xxhash.xxh3_64_intdigest(payloads[name]))
        for name, member in members.items()
    }
    return SampleRow(key, found, label, facts)


def _label(text: bytes, where: str) -> int:
    try:
        label = int(text)
    except ValueError:
        label = None
    if label is None or not -(2**63) <= label < 2**63:
        raise SourceError(
            f"{where} holds {text[:40]!r}, no whole number of 64 bits; rename the member if it is no label."
        )
    return label
