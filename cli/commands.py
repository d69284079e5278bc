"""``write``, ``index``, ``info``, ``verify``, ``stats``."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.table import Table
from rich.text import Text

from .. import api
from ..errors import OptionError
from ..loaders import ShardDataset, open_dataset
from ..shard_writer import manifest as manifests
from ..shard_writer.foreign import index_tars
from ..shard_writer.manifest import Manifest, SplitManifest
from ..shard_writer.statistics import Statistics, pixel_summary
from ..shard_writer.storage import open_store
from ..shard_writer.verify import verify as verify_dataset
from .progress import Bars, console
from .statistics import print_statistics

_SWITCHES = {"true": True, "false": False}


def storage_options(pairs: Sequence[str]) -> dict[str, Any]:
    """``["key=a", "anon=true"]`` as fsspec options, true and false as such; raises OptionError for a pair without '='."""
    for pair in pairs:
        if "=" not in pair:
            raise OptionError(f"storage option {pair!r} has no value: write it as K=V.")
    given = dict(pair.split("=", 1) for pair in pairs)
    return {name: _SWITCHES.get(value, value) for name, value in given.items()}


def _on_s3(*addresses: str | None) -> bool:
    return any((address or "").startswith("s3://") for address in addresses)


def write(options: Namespace) -> int:
    """``shardstream write``."""
    storage = storage_options(options.storage_option)
    given: api.PackOptions = {
        "split": options.split,
        "shard_size": options.shard_size,
        "workers": options.workers,
        "resume": options.resume,
        "pixel_stats": options.pixel_stats,
        "unlisted": options.unlisted,
        "md5": options.md5,
        "no_images": options.no_images,
        "join": options.join,
        "seed": options.seed,
        "storage_options": storage,
        "source_storage_options": storage if _on_s3(options.source, options.images, *options.join) else {},
    }
    for name in ("encode", "split_name", "image_column", "config", "revision", "images"):
        if getattr(options, name) is not None:
            given[name] = getattr(options, name)
    if options.part:
        given["part"] = options.part
    with Bars("pack") as bars:
        given["reporter"] = bars
        manifest = api.write(options.name, options.source, out=options.out, **given)
    if manifest is None:
        console.print(
            f"part {options.part[0]}/{options.part[1]} is done; the last part to finish commits {options.out}"
        )
    else:
        describe(manifest, options.out)
    return 0


def index(options: Namespace) -> int:
    """``shardstream index``."""
    with Bars("index", unit="shards") as bars:
        manifest = index_tars(options.url, options.out, options.split, storage_options(options.storage_option), bars)
    describe(manifest, options.out or options.url)
    return 0


def info(options: Namespace) -> int:
    """``shardstream info``."""
    store = open_store(options.url, storage_options(options.storage_option))
    manifest = manifests.load(store)
    if options.json:
        console.print(manifest.to_json().decode(), soft_wrap=True, end="")
    else:
        describe(manifest, store.url)
    return 0


def describe(manifest: Manifest, url: str) -> None:
    """A dataset on one screen."""
    table = Table(title=f"{manifest.name} at {url}", title_justify="left")
    for column in ("split", "samples", "shards", "MB", "fields", "classes", "order", "digest"):
        table.add_column(column, justify="right" if column in ("samples", "shards", "MB") else "left")
    for split in manifest.splits.values():
        table.add_row(*_row(manifest, split))
    console.print(table)
    console.print(f"licence: {manifest.licence}")
    for note in manifest.notes:
        console.print(f"note: {note}")


def _row(manifest: Manifest, split: SplitManifest) -> tuple[str, ...]:
    nbytes = sum(shard.bytes for shard in split.shards)
    return (
        split.name,
        f"{split.samples:,}",
        f"{len(split.shards):,}",
        f"{nbytes / 1e6:,.1f}",
        " ".join(split.fields),
        str(max((len(names) for column, names in manifest.classes.items() if column in split.columns), default="-")),
        str(split.order.get("kind", "-")),
        split.digest[:12],
    )


def verify(options: Namespace) -> int:
    """``shardstream verify``."""
    store = open_store(options.url, storage_options(options.storage_option))
    manifest = manifests.load(store)
    if options.json:
        damage = verify_dataset(store, manifest)
        console.print(json.dumps([asdict(item) for item in damage], indent=1), soft_wrap=True)
        return 1 if damage else 0
    with Bars("verify") as bars:
        damage = verify_dataset(store, manifest, bars)
    for item in damage:
        place = (
            f"{item.shard}"
            + (f"  {item.key}" if item.key else "")
            + (f"  offset {item.offset}" if item.offset is not None else "")
        )
        console.print(Text("damaged", "red"), f"{place}: {item.what}", soft_wrap=True)
    samples = sum(split.samples for split in manifest.splits.values())
    console.print(f"{len(damage)} damaged" if damage else f"every byte of {samples:,} samples is as packed")
    return 1 if damage else 0


def stats(options: Namespace) -> int:
    """``shardstream stats``."""
    storage = storage_options(options.storage_option)
    manifest = manifests.load(open_store(options.url, storage))
    found = {}
    for name in manifest.splits:
        ds = open_dataset(options.url, name, storage_options=storage)
        pixels = count_pixels(ds) if options.pixels and "pixel_mean" not in ds.statistics else {}
        found[name] = {**ds.statistics, **pixels}
    if options.json:
        console.print(json.dumps(found, indent=1), soft_wrap=True)
        return 0
    for name, values in found.items():
        print_statistics(name, values, manifest.splits[name].columns)
    return 0


def count_pixels(ds: ShardDataset) -> dict[str, Any]:
    """Pooled channel mean and std of a split, decoding every image once."""
    total, field = Statistics(), ds.info.image_field
    if field is None:
        return {}
    with Bars("pixels") as bars:
        bars.start(ds.info.name, len(ds), 0, 0)
        for i in range(len(ds)):
            shard, row = ds.locate(i)
            data = ds.fetcher.member(shard, row, field)
            if data is not None:
                total.add_pixels(bytes(data), ds.where(shard, row))
                bars.advance(1, len(data))
    return pixel_summary(total)
