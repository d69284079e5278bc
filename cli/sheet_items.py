"""Which items a sheet shows, and what stands below each."""

from __future__ import annotations

from ..loaders import Batch, LoaderOptions, ShardDataset
from .sampler_option import parse_sampler


def items_fed(view: str, sampler: str | None) -> LoaderOptions:
    """``--view`` and ``--sampler`` as options of the loader."""
    return {"view": view} if sampler is None else {"view": view, "sampler": parse_sampler(sampler)}


def item_caption(ds: ShardDataset, batch: Batch, row: int) -> str:
    """A caption or question, the classes of a person, the class of an image; else its key."""
    for field in ("caption", "question"):
        if field in batch:
            return str(batch[field][row])
    if "categories" in batch:
        names = ds.manifest.classes["person_labels"]
        return ", ".join(names[number] for number in batch["categories"][row].nonzero().flatten().tolist())
    label = int(batch["label"][row]) if "label" in batch else -1
    return ds.classes[label] if 0 <= label < len(ds.classes) else str(batch["key"][row]).rsplit("/", 1)[-1]
