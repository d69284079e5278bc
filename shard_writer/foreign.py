"""``index``: make existing tars a dataset without rewriting a byte."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import xxhash

from ..errors import CorruptTar, OptionError, OutputExists, SourceError
from . import manifest as manifests
from .fields import FACTS, IMAGE_EXTENSIONS, column_name, schema
from .image_facts import image_facts
from .index import write_index
from .manifest import Manifest, ShardEntry, SplitManifest, split_digest
from .manifest_parse import check_name
from .statistics import Statistics, merge, summary
from .storage import Store, Whole, expand
from .tar_group import group
from .tar_read import TarMember, scan
from .write import Reporter, Silent

_KINDS: Mapping[str, str] = {"json": "json", "cls": "class"}


@dataclass(frozen=True, slots=True)
class TarContent:
    """One foreign tar, read once: its samples' members, digests and facts."""

    name: str
    bytes: int
    sha256: str
    rows: list[dict[str, Any]]
    """Per sample: ``key`` and per extension (offset, size, xxh3)."""
    statistics: dict[str, Any]
    skipped: Counter[str]


def index_tars(
    pattern: str,
    out: str | None,
    split: str,
    options: Mapping[str, Any] | None = None,
    reporter: Reporter | None = None,
) -> Manifest:
    """Index the tars of a folder or brace pattern as split ``split`` of a dataset at ``out`` (default: beside them).

    Every byte is read and digested. Raises CorruptTar for a damaged tar, for keys that come back non-adjacently or
    twice, SourceError where no sample is found, OutputExists where a dataset of that split stands. Members that
    belong to no sample are counted by reason in the manifest; missing parts are null in the index.
    """
    folder, names = _tars(pattern, options or {})
    tars = Store(folder, options or {})
    target = Store(out, options or {}) if out else tars
    committed = manifests.load(target) if target.exists(manifests.NAME) else None
    if committed and split in committed.splits:
        raise OutputExists(
            f"{target.url} has a split {split!r} already; name another with --split, or choose another --out."
        )
    reporter = reporter or Silent()
    reporter.start(split, len(names), 0, sum(tars.size(name) for name in names))
    contents: list[TarContent] = []
    seen: dict[str, str] = {}
    for name in names:
        contents.append(_read(tars, name, seen))
        reporter.advance(1, contents[-1].bytes)
    result = _describe(contents, split, target, manifests.HERE if target.url == tars.url else tars.url)
    result = committed.with_splits(result) if committed else result
    manifests.save(target, result)
    return result


def _tars(pattern: str, options: Mapping[str, Any]) -> tuple[str, list[str]]:
    """The common folder and the names of the tars of a folder address or a brace pattern."""
    if not pattern.endswith(".tar"):
        names = [entry.path for entry in Store(pattern, options).files() if entry.path.endswith(".tar")]
        if not names:
            raise SourceError(
                f"no .tar below {pattern}. Give a folder of tars, or a pattern like {pattern.rstrip('/')}/{{000..009}}.tar."
            )
        return pattern, names
    urls = expand(pattern)
    folder = urls[0].rpartition("/")[0]
    outside = [url for url in urls if not url.startswith(folder + "/")]
    if outside:
        raise OptionError(
            f"{pattern!r} spans several folders ({folder} and that of {outside[0]}); index the folder above them."
        )
    return folder or ".", [url[len(folder) + 1 :] if folder else url for url in urls]


def _read(store: Store, name: str, seen: dict[str, str]) -> TarContent:
    url = store.full(name)
    check_name(name, url)
    try:
        with store.whole(name) as tar:
            return _read_tar(tar, name, url, seen)
    except FileNotFoundError as error:
        raise SourceError(
            f"tar {url} of the pattern does not exist. Narrow the pattern or restore the file."
        ) from error


def _read_tar(tar: Whole, name: str, url: str, seen: dict[str, str]) -> TarContent:
    data = tar.data
    skipped: Counter[str] = Counter()

    def skip(member: TarMember, reason: str) -> None:  # noqa: ARG001 - counted by reason
        skipped[reason] += 1

    statistics, rows = Statistics(), []
    for key, members in group(scan(tar.file, url=url, size=len(data)), on_skipped=skip):
        if key in seen:
            raise CorruptTar(f"{url}: key {key!r} stands in {seen[key]} too; keys must be unique over a split's tars.")
        seen[key] = url
        rows.append(_row(key, members, data, statistics, url))
    return TarContent(name, len(data), hashlib.sha256(data).hexdigest(), rows, statistics.as_json(), skipped)


def _row(
    key: str, members: Mapping[str, TarMember], data: memoryview, statistics: Statistics, url: str
) -> dict[str, Any]:
    row: dict[str, Any] = {"key": key}
    for extension, member in members.items():
        payload = data[member.offset : member.offset + member.size]
        row[extension] = (member.offset, member.size, xxhash.xxh3_64_intdigest(payload))
    image = next((extension for extension in IMAGE_EXTENSIONS if extension in members), None)
    labels: dict[str, Any] = {}
    if "cls" in members:
        labels["label"] = row["label"] = _label(data, members["cls"], key, url)
    if image is not None and image != "npy":
        facts = image_facts(
            bytes(data[members[image].offset : members[image].offset + members[image].size]), f"{url}: {key}.{image}"
        )
        row["facts"] = facts
        statistics.add(facts, labels)
    return row


def _label(data: memoryview, member: TarMember, key: str, url: str) -> int:
    text = bytes(data[member.offset : member.offset + member.size])
    try:
        return int(text)
    except ValueError as error:
        raise SourceError(
            f"{url}: {key}.cls holds {text[:40]!r}, no whole number; rename the member if it is no label."
        ) from error


def _describe(contents: Sequence[TarContent], split: str, target: Store, base: str | None) -> Manifest:
    samples = [row for content in contents for row in content.rows]
    fields = tuple(dict.fromkeys(name for row in samples for name in row if name not in ("key", "label", "facts")))
    image = next((name for name in IMAGE_EXTENSIONS if name in fields and name != "npy"), None)
    has_label = bool(samples) and all("label" in row for row in samples)
    columns = {"label": "int64"} if has_label else {}
    tables = [_table(number, content, fields, columns) for number, content in enumerate(contents)]
    shards = tuple(ShardEntry(c.name, c.bytes, len(c.rows), c.sha256) for c in contents)
    skipped = sum((content.skipped for content in contents), Counter[str]())
    described = SplitManifest(
        name=split,
        samples=len(samples),
        digest=split_digest(shards),
        image_field=image,
        fields={
            name: "image" if name in IMAGE_EXTENSIONS and name != "npy" else _KINDS.get(name, "bytes")
            for name in fields
        },
        columns=columns,
        label_column="label" if has_label else None,
        shards=shards,
        index=write_index(target, split, tables),
        base=base,
        order={"kind": "source"},
        statistics=summary(merge(content.statistics for content in contents if content.statistics["samples"]), {}),
        skipped=dict(skipped),
    )
    notes = (f"{split}: members left out, by reason: {json.dumps(dict(skipped))}",) if skipped else ()
    return Manifest(
        name="webdataset", licence="unknown", homepage="", classes={}, source={"kind": "foreign tars"}, notes=notes,
        splits={split: described},
    )  # fmt: skip


def _table(number: int, content: TarContent, fields: Sequence[str], columns: Mapping[str, str]) -> pa.Table:
    values: dict[str, list[Any]] = {"key": [row["key"] for row in content.rows], "shard": [number] * len(content.rows)}
    for name in fields:
        for i, part in enumerate(("offset", "size", "xxh3")):
            values[column_name(name, part)] = [row[name][i] if name in row else None for row in content.rows]
    for name in FACTS:
        values[name] = [getattr(row["facts"], name) if "facts" in row else None for row in content.rows]
    for name in columns:
        values[name] = [row[name] for row in content.rows]
    return pa.table(values, schema=schema(fields, columns))
