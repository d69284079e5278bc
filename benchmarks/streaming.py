"""Streaming: our reader against webdataset's, on the same shards, the page cache warm."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
import webdataset as wds
from measure import Case, Work
from torchvision import transforms

import shardstream as ss

BATCH, WORKERS, SIZE = 64, 2, 224
SHARDS = 14  # about: more than workers, so that both sides can share them out evenly
Sample = Mapping[str, Any]
Images = Iterator[tuple[torch.Tensor, torch.Tensor]]


def pack(source: Path, out: Path) -> Path:
    """The shards that both sides read."""
    nbytes = sum(file.stat().st_size for file in source.rglob("*.*"))
    ss.write("folder", source, out=out, shard_size=nbytes // SHARDS)
    return out


def raw_case(url: Path, what: str) -> Case:
    """Every member's bytes, nothing decoded, one process, in order; ours compares every member with its checksum."""
    urls = ss.open(url).urls

    def check() -> Mapping[str, Any]:
        return same_samples(raw_ours(ss.open(url)), raw_peer(urls))

    return Case(
        name="stream/raw",
        what=f"{what}. All members as bytes, one process, in order; ours verifies each member's checksum, the peer has none.",
        ours=lambda: _count(raw_ours(ss.open(url))),
        webdataset=lambda: _count(raw_peer(urls)),
        check=check,
    )


def recipe_case(url: Path, what: str) -> Case:
    """The usual ImageNet training input: float32 (64, 3, 224, 224)."""
    ds = ss.open(url)

    def check() -> Mapping[str, Any]:
        return same_batches(recipe_ours(ss.open(url)), recipe_peer(ds.urls))

    return Case(
        name="stream/train224",
        what=f"{what}. RandomResizedCrop(224), flip, normalise, batches of {BATCH} float32, {WORKERS} workers, shuffled.",
        ours=lambda: _count_batches(recipe_ours(ss.open(url))),
        webdataset=lambda: _count_batches(recipe_peer(ds.urls)),
        check=check,
    )


def raw_ours(ds: ss.ShardDataset) -> Iterator[Sample]:
    """Raw members, by index, in order."""
    fields = tuple(ds.info.fields)
    for shard, rows in enumerate(ds.counts.tolist()):
        keys = ds.fetcher.rows(shard).keys.to_pylist()
        for row in range(rows):
            members = {name: ds.fetcher.member(shard, row, name) for name in fields}
            yield {"__key__": keys[row], **{name: bytes(data) for name, data in members.items() if data is not None}}


def raw_peer(urls: list[str]) -> Iterator[Sample]:
    """The plain iteration of webdataset."""
    yield from wds.WebDataset(urls, shardshuffle=False)


def recipe_ours(ds: ss.ShardDataset) -> Images:
    """``drop_last=False`` because the peer keeps its last batch: both deliver every image."""
    loader = ss.Loader(
        ds, batch_size=BATCH, shuffle=True, drop_last=False, transform=ss.presets.train(SIZE), num_workers=WORKERS
    )
    for batch in loader:
        rows = int(batch["valid"].sum())  # rows that are not valid stand last
        yield batch["image"][:rows], batch["label"][:rows]


def recipe_peer(urls: list[str]) -> Images:
    """The pipeline of webdataset's documentation, with torchvision's classification reference."""
    augment = transforms.Compose(
        [
            transforms.RandomResizedCrop(SIZE),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ]
    )
    dataset = wds.WebDataset(urls, shardshuffle=100).shuffle(1000).decode("pil").to_tuple("jpg", "cls")
    loader = wds.WebLoader(dataset.map_tuple(augment, _same).batched(BATCH), num_workers=WORKERS, batch_size=None)
    for images, labels in loader:
        yield images, torch.as_tensor(labels)


def _same(value: Any) -> Any:
    return value


def _count(samples: Iterator[Sample]) -> Work:
    count = nbytes = 0
    for sample in samples:
        count += 1
        nbytes += len(sample["jpg"])
    return Work(count, nbytes)


def _count_batches(batches: Images) -> Work:
    count = nbytes = 0
    for images, _ in batches:
        count += len(images)
        nbytes += images.nbytes
    return Work(count, nbytes)


def same_samples(ours: Iterator[Sample], theirs: Iterator[Sample]) -> dict[str, Any]:
    """Raise where two raw streams do not hold the same keys and bytes."""
    a, b = _digests(ours), _digests(theirs)
    if a != b or not a:
        raise RuntimeError(f"the two sides streamed different samples: {len(a)} and {len(b)}, or other bytes")
    return {"samples": len(a), "same_bytes": True}


def _digests(samples: Iterator[Sample]) -> dict[str, str]:
    found = {}
    for sample in samples:
        digest = hashlib.sha256()
        for name in sorted(name for name in sample if not name.startswith("__")):
            digest.update(name.encode() + b"\0" + sample[name])
        found[sample["__key__"]] = digest.hexdigest()
    return found


def same_batches(ours: Images, theirs: Images) -> dict[str, Any]:
    """Raise where two epochs differ in labels, shape or dtype; pixels differ, both draw their own crops."""
    (shape, dtype, labels), other = _epoch(ours), _epoch(theirs)
    if (shape, dtype, labels) != other:
        raise RuntimeError(
            f"the two sides delivered different epochs: {shape} {dtype}, {other[0]} {other[1]}, or labels"
        )
    return {"samples": labels.total(), "shape": list(shape), "dtype": dtype, "same_labels": True}


def _epoch(batches: Images) -> tuple[tuple[int, ...], str, Counter[int]]:
    seen: Counter[tuple[tuple[int, ...], str]] = Counter()
    labels: Counter[int] = Counter()
    for images, numbers in batches:
        seen[tuple(images.shape[1:]), str(images.dtype)] += 1
        labels.update(numbers.tolist())
    if len(seen) != 1:
        raise RuntimeError(f"batches of one epoch differ: {dict(seen)}")
    ((shape, dtype),) = seen
    return shape, dtype, labels
