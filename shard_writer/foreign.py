"""``index``: make existing tars a dataset without rewriting a byte."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa

from ..errors import ManifestError, OptionError, OutputExists, SourceError
from . import manifest as manifests
from .fields import FACTS, IMAGE_EXTENSIONS, column_name, schema
from .foreign_read import TarContent, read_tar
from .index import write_index
from .manifest import Manifest, ShardEntry, SplitManifest, split_digest
from .manifest_parse import check_name
from .statistics import merge, summary
from .storage import Store, expand
from .write import Reporter, Silent


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
    _check_split(split)
    folder, names = _tars(pattern, options or {})
    tars = Store(folder, options or {})
    target = Store(out, options or {}) if out else tars
    committed = manifests.load(target) if target.exists(manifests.NAME) else None
    if committed and split in committed.splits:
        raise OutputExists(
            f"{target.url} has a split {split!r} already; name another with --split, or choose another --out."
        )
    reporter = reporter or Silent()
    reporter.start(split, len(names), 0, sum(_size(tars, name) for name in names))
    contents: list[TarContent] = []
    seen: dict[str, str] = {}
    for name in names:
        with tars.whole(name) as tar:
            contents.append(read_tar(tar, name, tars.full(name), seen))
        reporter.advance(1, contents[-1].bytes)
    described = _describe(contents, split, manifests.HERE if target.url == tars.url else tars.url)
    result = _manifest(described, committed)  # what can be refused is refused before the first byte is written
    described = replace(described, index=write_index(target, split, _tables(contents, described)))
    result = replace(result, splits={**result.splits, split: described})
    manifests.save(target, result)
    return result


def _check_split(split: str) -> None:
    try:
        check_name(split, "--split")
    except ManifestError as error:
        raise OptionError(str(error)) from error
    if "/" in split:
        raise OptionError(f"--split {split!r} names a folder in a folder; leave out the '/'.")


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
    outside = [url for url in urls if folder and not url.startswith(folder + "/")]
    if outside:
        raise OptionError(
            f"{pattern!r} spans several folders ({folder} and that of {outside[0]}); index the folder above them."
        )
    return folder or ".", [url[len(folder) + 1 :] if folder else url for url in urls]


def _size(store: Store, name: str) -> int:
    """Asked of all tars first: a pattern with a gap is found before hours of reading."""
    url = store.full(name)
    check_name(name, url)
    try:
        return store.size(name)
    except FileNotFoundError as error:
        raise SourceError(
            f"tar {url} of the pattern does not exist. Narrow the pattern or restore the file."
        ) from error


def _describe(contents: Sequence[TarContent], split: str, base: str) -> SplitManifest:
    """The split without its index files."""
    rows = [row for content in contents for row in content.rows]
    skipped = dict(sum((content.skipped for content in contents), Counter[str]()))
    if not rows:
        raise SourceError(f"no member of the tars in {contents[0].name} ... makes a sample: {json.dumps(skipped)}.")
    names = tuple(dict.fromkeys(name for row in rows for name in row.members))
    labelled = all(row.label is not None for row in rows)
    shards = tuple(ShardEntry(content.name, content.bytes, len(content.rows), content.sha256) for content in contents)
    return SplitManifest(
        name=split,
        samples=len(rows),
        digest=split_digest(shards),
        image_field=next((name for name in IMAGE_EXTENSIONS if name in names and name != "npy"), None),
        fields={name: _kind(name, labelled) for name in names},
        columns={"label": "int64"} if labelled else {},
        label_column="label" if labelled else None,
        shards=shards,
        index=(),
        base=base,
        order={"kind": "source"},
        statistics=summary(merge(content.statistics for content in contents), {}),
        skipped=skipped,
    )


def _kind(name: str, labelled: bool) -> str:
    if name in IMAGE_EXTENSIONS:
        return "bytes" if name == "npy" else "image"  # an array of somebody else's can be anything
    if name == "cls":
        return "class" if labelled else "bytes"
    return "json" if name == "json" else "bytes"


def _manifest(split: SplitManifest, committed: Manifest | None) -> Manifest:
    notes = (f"{split.name}: members left out, by reason: {json.dumps(split.skipped)}",) if split.skipped else ()
    result = Manifest(
        name="webdataset", licence="unknown", homepage="", classes={}, source={"kind": "foreign tars"}, notes=notes,
        splits={split.name: split},
    )  # fmt: skip
    return committed.with_splits(result) if committed else result


def _tables(contents: Sequence[TarContent], split: SplitManifest) -> list[pa.Table]:
    wanted = schema(split.fields, split.columns)
    return [_table(number, content, split, wanted) for number, content in enumerate(contents)]


def _table(number: int, content: TarContent, split: SplitManifest, wanted: pa.Schema) -> pa.Table:
    rows = content.rows
    values: dict[str, list[Any]] = {"key": [row.key for row in rows], "shard": [number] * len(rows)}
    for name in split.fields:
        for part in ("offset", "size", "xxh3"):
            values[column_name(name, part)] = [getattr(row.members.get(name), part, None) for row in rows]
    for name in FACTS:
        values[name] = [getattr(row.facts, name, None) for row in rows]
    for name in split.columns:
        values[name] = [row.label for row in rows]
    return pa.table(values, schema=wanted)
