"""Packing: ``shardstream write`` against ``webdataset.ShardWriter``, one process each, the same members."""

from __future__ import annotations

import hashlib
import json
import shutil
import tarfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import webdataset as wds
from material import Pixels
from measure import Case, Work

import shardstream as ss
from shardstream.shard_writer.manifest import Manifest
from shardstream.shard_writer.sources.pixels import encode_pixels
from shardstream.shard_writer.storage import open_store
from shardstream.shard_writer.write import WriteOptions, write_dataset

SHARD_SIZE = 64_000_000
EXTENSIONS = (".jpg", ".jpeg", ".png", ".webp")
Members = dict[str, str]


def photo_case(source: Path, out: Path, what: str) -> Case:
    """Image files in class folders."""

    def ours() -> Work:
        return work_of(ss.write("folder", source, out=out / "ours", shard_size=SHARD_SIZE))

    return _case(
        "pack/photos",
        f"{what}. Ours: ss.write('folder') with index, member and shard checksums, fsync. Peer: ShardWriter, no fsync.",
        out,
        ours,
        lambda: peer_write(out / "webdataset", folder_samples(source)),
    )


def pixel_case(pixels: Pixels, out: Path, *, statistics: bool) -> Case:
    """Arrays that become PNG on the way; ``statistics`` adds our channel mean and std, which the peer has not."""
    options = WriteOptions(shard_size=SHARD_SIZE, pixel_stats=statistics)
    extra = ", and channel mean/std, which the peer does not compute" if statistics else ""
    return _case(
        "pack/pixels+statistics" if statistics else "pack/pixels",
        f"{pixels.what}, encoded as PNG by the same call on both sides. Ours: write_dataset with index and checksums{extra}.",
        out,
        lambda: work_of(write_dataset(pixels, open_store(out / "ours"), options)),
        lambda: peer_write(out / "webdataset", pixel_samples(pixels)),
    )


def _case(name: str, what: str, out: Path, ours: Callable[[], Work], peer: Callable[[], Work]) -> Case:
    def check() -> Mapping[str, Any]:
        ours()
        peer()
        return same_members(out / "ours", out / "webdataset")

    def tidy() -> None:
        shutil.rmtree(out, ignore_errors=True)
        (out / "webdataset").mkdir(parents=True)

    return Case(name=name, what=what, ours=ours, webdataset=peer, check=check, tidy=tidy)


def work_of(manifest: Manifest | None) -> Work:
    """Samples and shard bytes of a packed dataset."""
    if manifest is None:
        raise RuntimeError("packing was not committed")
    split = manifest.splits["train"]
    return Work(split.samples, sum(shard.bytes for shard in split.shards))


def peer_write(folder: Path, samples: Iterator[dict[str, Any]]) -> Work:
    """Write samples with webdataset's usual settings."""
    count = 0
    with wds.ShardWriter(str(folder / "train-%06d.tar"), maxsize=SHARD_SIZE, verbose=0) as writer:
        for sample in samples:
            writer.write(sample)
            count += 1
    return Work(count, sum(file.stat().st_size for file in folder.glob("*.tar")))


def folder_samples(source: Path) -> Iterator[dict[str, Any]]:
    """The loop of a conversion script: class folders in order, bytes untouched."""
    for label, folder in enumerate(sorted(path for path in source.iterdir() if path.is_dir())):
        for file in sorted(file for file in folder.iterdir() if file.suffix.lower() in EXTENSIONS):
            path = f"{folder.name}/{file.name}"
            about = {"path": path, "label": label, "label_name": folder.name}
            yield {"__key__": path.rpartition(".")[0], "jpg": file.read_bytes(), "cls": label, "json": about}


def pixel_samples(pixels: Pixels) -> Iterator[dict[str, Any]]:
    """The same rows in the same form as ``Pixels.read`` gives them."""
    for row, image in enumerate(pixels.images):
        about = pixels.annotations(row)
        yield {"__key__": pixels.key(row), "png": encode_pixels(image, "png"), "cls": pixels.labels[row], "json": about}


def members_of(folder: Path) -> Members:
    """Member name -> digest of its bytes, over all shards; of JSON, its meaning counts and not its spaces."""
    found: Members = {}
    for path in sorted(folder.rglob("*.tar")):
        with tarfile.open(path) as archive:
            for member in archive:
                file = archive.extractfile(member)
                data = b"" if file is None else file.read()
                if member.name.endswith(".json"):
                    data = json.dumps(json.loads(data), sort_keys=True).encode()
                found[member.name] = hashlib.sha256(data).hexdigest()
    return found


def same_members(ours: Path, theirs: Path) -> dict[str, Any]:
    """Raise where two folders of shards do not hold the same members."""
    a, b = members_of(ours), members_of(theirs)
    differing = sorted(name for name in a.keys() | b.keys() if a.get(name) != b.get(name))
    if differing or not a:
        raise RuntimeError(f"the two sides packed different members: {len(differing)} of {len(a)}, {differing[:3]}")
    return {"members": len(a), "same_bytes": True}
