"""``show``: one sample with all its annotations, as one PNG."""

from __future__ import annotations

import difflib
import re
from argparse import Namespace
from collections import Counter
from collections.abc import Mapping
from typing import Any

from ..errors import OptionError
from ..loaders import ShardDataset, open_dataset
from ..shard_writer import manifest as manifests
from ..shard_writer.storage import open_store
from .commands import storage_options
from .drawing.figure import figure
from .progress import console


def show(options: Namespace) -> int:
    """``shardstream show``."""
    storage = storage_options(options.storage_option)
    names = list(manifests.load(open_store(options.url, storage)).splits)
    found = None
    for split in [options.split] if options.split else names:
        ds = open_dataset(options.url, split, storage_options=storage)
        found = find_row(ds, options.sample)
        if found is not None:
            break
    if found is None:
        raise OptionError(_unknown(options.sample, ds, names))
    if ds.info.image_field is None:
        raise OptionError(
            f"split {ds.info.name!r} was packed without images: there is nothing to draw on. Pack it without --no-images;"
            f" ds[{found}] in Python shows the annotations of {options.sample!r}."
        )
    item = named(ds, ds[found])
    if item.get("image") is None:
        raise OptionError(f"sample {item['key']!r} has no image to draw.")
    out = options.out or re.sub(r"[^\w.-]", "_", item["key"]) + ".png"
    size = f"{item['image'].width} x {item['image'].height}"
    figure(item, f"{ds.manifest.name}/{ds.info.name} \N{MIDDLE DOT} {item['key']} \N{MIDDLE DOT} {size}").save(out)
    console.print(f"{ds.info.name} row {found}, {item['key']}, {size}{_counted(item)} -> {out}", highlight=False)
    return 0


def find_row(ds: ShardDataset, sample: str) -> int | None:
    """The row of a key, else of a number; None where there is neither. A key of digits is a key first."""
    keys = ds.index_columns(["key"])["key"]
    row = keys.index(sample).as_py()
    if row >= 0:
        return int(row)
    is_number = sample.isascii() and sample.isdigit() and str(int(sample)) == sample  # 00005 is a mistyped key
    return int(sample) if is_number and int(sample) < len(ds) else None


def named(ds: ShardDataset, item: Mapping[str, Any]) -> dict[str, Any]:
    """The item with ``class_names``, label -> name, and ``person_names``, names of a person's categories."""
    column, classes = ds.info.label_column or "labels", ds.manifest.classes
    # Somebody else's metadata may be called objects, persons or questions: ours are counted in the index.
    foreign = [name for name in ("objects", "persons", "questions") if f"n_{name}" not in ds.info.columns]
    return {
        **{f".{name}" if name in foreign else name: value for name, value in item.items()},
        "class_names": dict(enumerate(classes.get(column, ()))),
        "person_names": classes.get("person_labels", ()),
    }


def _counted(item: Mapping[str, Any]) -> str:
    objects = Counter(str(item["class_names"].get(o["label"], o["category_id"])) for o in item.get("objects") or [])
    listed = ", ".join(f"{count} {name}" for name, count in objects.most_common())
    others = {name: len(item.get(f"{name}s") or []) for name in ("person", "caption", "question")}
    counts = (f"{count} {name}{'s' * (count > 1)}" for name, count in others.items() if count)
    return "".join(f"; {text}" for text in (listed, *counts) if text)


def _unknown(sample: str, ds: ShardDataset, names: list[str]) -> str:
    near = difflib.get_close_matches(sample, ds.index_columns(["key"])["key"].to_pylist(), 3, 0.5)
    hint = f" Near: {', '.join(near)}." if near else ""
    return f"{sample!r} is no key and no row of {', '.join(names)} ({ds.info.name} has {len(ds):,} rows).{hint}"
