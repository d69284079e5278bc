"""Which items a sheet shows, and what stands below each."""

from __future__ import annotations

from ..loaders import Batch, LoaderOptions, ShardDataset
from .sampler_option import parse_sampler


def items_fed(view: str, sampler: str | None) -> LoaderOptions:
    """``--view`` and ``--sampler`` as options of the loader."""
    return {"view": view} if sampler is None else {"view": view, "sampler": parse_sampler(sampler)}


def item_caption(ds: ShardDataset, batch: Batch, row: int) -> str:
    """A caption or question, the classes of a person, the class or mixed classes of an image; else its key."""
    for field in ("caption", "question"):
        if field in batch:
            return str(batch[field][row])
    if "categories" in batch:
        names = ds.manifest.classes["person_labels"]
        return ", ".join(names[number] for number in batch["categories"][row].nonzero().flatten().tolist())
    return _classes(ds, batch, row) or str(batch["key"][row]).rsplit("/", 1)[-1]


def _classes(ds: ShardDataset, batch: Batch, row: int) -> str:
    """The class, or the two classes of a mixed image with their shares; empty where there is none."""
    if "label" not in batch:
        return ""
    label = batch["label"][row]
    if label.ndim == 0:
        return ds.classes[int(label)] if 0 <= label < len(ds.classes) else ""
    shares, classes = label.topk(min(2, len(label)))
    return " + ".join(f"{_class(ds, int(c))} {s:.2f}" for s, c in zip(shares.tolist(), classes, strict=True) if s > 0)


def _class(ds: ShardDataset, label: int) -> str:
    return ds.classes[label] if label < len(ds.classes) else str(label)
