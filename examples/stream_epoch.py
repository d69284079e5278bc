"""One epoch on every rank that torchrun starts, and the keys that each of them was given.

    torchrun --nproc-per-node 2 examples/stream_epoch.py s3://bucket/digits --out keys

Writes ``keys/rank-00000.txt`` and so on: a line per sample, its key and the xxh3 checksum of its pixels. Over all ranks
every sample of the split is there exactly once. Stopped by SIGTERM, a rank writes what it was given until then.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path

import torch.distributed as dist
import xxhash

import shardstream as ss


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url", help="a dataset")
    parser.add_argument("--out", type=Path, required=True, help="folder for the keys")
    parser.add_argument("--split", default="train", help="default train")
    parser.add_argument("--batch-size", type=int, default=64, help="rows per rank (default 64)")
    parser.add_argument("--workers", type=int, default=0)
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # an orderly end: finally is run
    if "RANK" in os.environ:
        dist.init_process_group("gloo")
    try:
        print(stream(options))
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()


def stream(options: argparse.Namespace) -> str:
    """Read the epoch; one sentence about it."""
    world = ss.World.from_environment()
    loader = ss.Loader(
        ss.open(options.url, options.split),
        batch_size=options.batch_size,
        shuffle=True,
        drop_last=False,
        num_workers=options.workers,
    )
    lines: list[str] = []
    try:
        for batch in loader:
            lines += lines_of(batch)
            if dist.is_initialized():
                dist.barrier()  # as a training step would: every rank takes as many
    finally:
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / f"rank-{world.rank:05d}.txt").write_text("".join(f"{line}\n" for line in lines))
    return f"rank {world.rank} of {world.world_size}: {len(lines):,} samples in {len(loader):,} steps"


def lines_of(batch: ss.Batch) -> list[str]:
    """``key checksum`` of the rows that are samples."""
    rows = zip(batch["key"], batch["image"], batch["valid"].tolist(), strict=True)
    return [f"{key} {xxhash.xxh3_64_hexdigest(image.numpy().tobytes())}" for key, image, valid in rows if valid]


if __name__ == "__main__":
    main()
