"""``write``: pack a benchmark. Plan, let workers write shards, then commit: index files, then the manifest."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from ..errors import OptionError, OutputExists, SourceError, StorageError
from . import manifest as manifests
from .executors import run_local
from .fields import member_fields
from .fragment import STAGING, Fragment, load_fragment
from .index import write_index
from .json_shape import json_types, merge_shapes
from .manifest import Manifest, ShardEntry, SplitManifest, split_digest
from .pack import PackJob
from .plan import DEFAULT_SHARD_SIZE, SplitPlan, plan_split
from .statistics import merge, summary
from .storage import Store
from .types import Source, SourceSplit

log = logging.getLogger("shardstream")


class Reporter(Protocol):
    """Told how the work goes; the command line draws bars from it."""

    def start(self, split: str, samples: int, done: int, nbytes: int) -> None: ...

    def advance(self, samples: int, nbytes: int) -> None: ...


class Silent:
    """A Reporter that says nothing."""

    def start(self, split: str, samples: int, done: int, nbytes: int) -> None: ...

    def advance(self, samples: int, nbytes: int) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteOptions:
    """How to pack. Nothing here changes the bytes of a shard except ``shard_size`` and ``seed``."""

    splits: tuple[str, ...] = ()
    """Splits to write; empty for all that the source has."""
    shard_size: int = DEFAULT_SHARD_SIZE
    """Target bytes per shard; a shard passes it only with a single larger sample."""
    workers: int = 1
    resume: bool = False
    """Finish an interrupted write, or add missing splits to a committed dataset."""
    part: tuple[int, int] | None = None
    """(i, n), i in 0..n-1: write every n-th shard only; whoever finishes last commits."""
    pixel_stats: bool = False
    """Channel mean and std for photos too (decodes every image)."""
    seed: int = 0
    """Of the packing order of training splits."""
    reporter: Reporter = field(default_factory=Silent)

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise OptionError(f"workers must be at least 1, not {self.workers}.")
        if self.part and not (0 <= self.part[0] < self.part[1]):
            raise OptionError(
                f"part {self.part[0]}/{self.part[1]}: the first number counts from 0 and is below the second."
            )


def write_dataset(source: Source, store: Store, options: WriteOptions | None = None) -> Manifest | None:
    """Pack ``source`` into ``store`` and return the committed manifest.

    Byte-identical for any number of workers and parts. Returns None when this part is done and others are not.
    Raises OutputExists for a non-empty output (unless resuming), SourceError, StorageError. After an error or a
    kill no manifest stands there, so nothing can be opened with samples missing; ``resume`` finishes the work.
    """
    options = options or WriteOptions()
    names = _chosen(source, options.splits)
    committed = _committed(store, options)
    missing = [name for name in names if committed is None or name not in committed.splits]
    # Plan and compare before the first byte is written: a damaged source or a wrong output leaves nothing behind.
    work = [_plan(source, name, options) for name in missing]
    if committed:
        committed.with_splits(_manifest(source, {}))
    for split, plan in work:
        _write_shards(split, plan, store, options)
    finished = [_commit_split(source, plan, store) for _, plan in work]
    splits = {split.name: split for split in finished if split is not None}
    if len(splits) < len(work):
        _others_left(store, options)
        return None
    result = _manifest(source, splits)
    result = committed.with_splits(result) if committed else result
    if work:
        manifests.save(store, result)
    _clean(store, names)
    return result


def _others_left(store: Store, options: WriteOptions) -> None:
    if not options.part:
        raise StorageError(
            f"shards or fragments below {store.url} vanished while they were written; repeat the command with --resume."
        )


def _chosen(source: Source, wanted: Sequence[str]) -> list[str]:
    present = source.splits()
    unknown = [name for name in wanted if name not in present]
    if unknown:
        raise OptionError(f"split {', '.join(unknown)} is not in the source, which has {', '.join(present)}.")
    return list(dict.fromkeys(wanted or present))


def _committed(store: Store, options: WriteOptions) -> Manifest | None:
    """The manifest to add to, None for a fresh output; raises OutputExists where bytes could be overwritten."""
    if store.exists(manifests.NAME):
        if not options.resume:
            raise OutputExists(
                f"{store.url} holds a dataset already. Choose another --out, or --resume to add missing splits."
            )
        return manifests.load(store)
    found = store.files()
    ours = any(entry.path.startswith(STAGING + "/") for entry in found)
    if found and not (ours and (options.resume or options.part)):
        what = (
            "an interrupted write: add --resume to finish it, or delete it"
            if ours
            else "other files: choose an empty --out"
        )
        raise OutputExists(f"{store.url} is not empty ({len(found)} files, {found[0].path} ...); it holds {what}.")
    return None


def _plan(source: Source, name: str, options: WriteOptions) -> tuple[SourceSplit, SplitPlan]:
    split = source.split(name)
    info = replace(split.info, pixel_stats=options.pixel_stats or split.info.pixel_stats)
    return split, plan_split(info, split.records(), options.shard_size, options.seed, source.about().identity)


def _write_shards(split: SourceSplit, plan: SplitPlan, store: Store, options: WriteOptions) -> None:
    mine = [shard for shard in plan.shards if not options.part or shard.number % options.part[1] == options.part[0]]
    todo = [shard for shard in mine if load_fragment(store, plan.info.name, shard.name, plan.fingerprint) is None]
    if len(todo) < len(mine):
        log.info("%s: %d of %d shards are done already", plan.info.name, len(mine) - len(todo), len(mine))
    _claim(store, plan)
    if not options.part:
        _sweep(store, plan.info.name)
        _sweep(store)
    total = sum(len(shard.records) for shard in mine)
    done = total - sum(len(shard.records) for shard in todo)
    options.reporter.start(plan.info.name, total, done, sum(shard.nbytes for shard in mine))
    job = PackJob(split, store, plan.fingerprint, plan.info.pixel_stats)
    for fragment in run_local(job, todo, options.workers, options.reporter.advance):
        log.info("%s: %d samples, %d bytes", fragment.shard, fragment.table.num_rows, fragment.bytes)


def _claim(store: Store, plan: SplitPlan) -> None:
    """Stage the plan's fingerprint, or compare with the one that stands there."""
    path = f"{STAGING}/{plan.info.name}.plan"
    try:
        staged = store.read(path).decode()
    except FileNotFoundError:
        store.write(path, plan.fingerprint.encode())
        return
    if staged != plan.fingerprint:
        raise OptionError(
            f"cannot resume {store.url}, split {plan.info.name!r}: begun with plan {staged[:12]}..., this command gives"
            f" {plan.fingerprint[:12]}...; source, --encode, --shard-size, --pixel-stats or seed differ: use the same."
        )


def _sweep(store: Store, folder: str = "", kind: str = "") -> None:
    """Remove the temporary files that a killed writer left; they were never visible under a final name."""
    local = store.local_path(folder)
    for leftover in local.glob(f".*{kind}.*.tmp") if local else ():
        leftover.unlink(missing_ok=True)


def _clean(store: Store, splits: Sequence[str]) -> None:
    """After the commit nothing but the dataset stands there. Parts that end together may do this at the same time."""
    for split in splits:
        _sweep(store, split, ".tar")  # no part writes a shard any more; one may still write the same index again
    store.delete(STAGING)
    if store.files(STAGING):
        store.delete(STAGING)


def _commit_split(source: Source, plan: SplitPlan, store: Store) -> SplitManifest | None:
    """Index files and manifest entry of a split whose fragments are all there, else None (other parts still write)."""
    fragments: list[Fragment] = []
    for shard in plan.shards:
        fragment = load_fragment(store, plan.info.name, shard.name, plan.fingerprint)
        if fragment is None:
            return None
        fragments.append(fragment)
    return split_manifest(source, plan, fragments, store)


def split_manifest(source: Source, plan: SplitPlan, fragments: Sequence[Fragment], store: Store) -> SplitManifest:
    """Write the index of a split and describe it; raises SourceError where two shards' JSON differ in shape."""
    info = plan.info
    shape = merge_shapes((fragment.shard, fragment.shape) for fragment in fragments)
    shards = tuple(ShardEntry(part.shard, part.bytes, part.table.num_rows, part.sha256) for part in fragments)
    kinds: Mapping[str | None, str] = {info.image_field: "image", "json": "json", "cls": "class"}
    return SplitManifest(
        name=info.name,
        samples=sum(shard.samples for shard in shards),
        digest=split_digest(shards),
        image_field=info.image_field,
        fields={name: kinds[name] for name in member_fields(info)},
        columns=dict(info.columns),
        label_column=info.label_column,
        shards=shards,
        index=write_index(store, info.name, (part.table for part in fragments)),
        order={"kind": "source"} if plan.shuffle_seed is None else {"kind": "shuffled", "seed": plan.shuffle_seed},
        statistics=summary(merge(part.statistics for part in fragments), source.about().classes),
        json_types=json_types(shape),
    )


def _manifest(source: Source, splits: Mapping[str, SplitManifest]) -> Manifest:
    about = source.about()
    for column, names in about.classes.items():
        if len(set(names)) != len(names):
            raise SourceError(f"class names of {column!r} repeat: {_repeated(names)}; names must be unique.")
    return Manifest(
        name=about.name,
        licence=about.licence,
        homepage=about.homepage,
        classes=dict(about.classes),
        class_ids=dict(about.class_ids),
        source=dict(about.identity),
        notes=about.notes,
        splits=dict(splits),
    )


def _repeated(names: Sequence[str]) -> str:
    return ", ".join(sorted({name for name in names if names.count(name) > 1}))
