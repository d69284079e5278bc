"""A plain DistributedDataParallel loop under torchrun; stopped or killed, it goes on where its checkpoint stands.

    shardstream write digits --out digits
    torchrun --nproc-per-node 2 examples/ddp_train.py digits --checkpoint last.pt
    torchrun --nproc-per-node 2 examples/ddp_train.py s3://bucket/imagenet --crop 224 --checkpoint last.pt

With the same --global-batch-size the batches are the same on 1, 2, 3 or 4 ranks, so it may go on with fewer.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import torch
from digits_model import Record, SmallNetwork, hits, loss_of
from torch import distributed as dist
from torch.nn import Module
from torch.nn.parallel import DistributedDataParallel

import shardstream as ss
from shardstream import transforms as T  # noqa: N812


class Job:
    """Model, optimizer, loader and step: what a checkpoint holds."""

    def __init__(self, ds: ss.ShardDataset, options: argparse.Namespace) -> None:
        self.device = torch.device("cuda", int(os.environ["LOCAL_RANK"])) if torch.cuda.is_available() else "cpu"
        self.loader = ss.Loader(
            ds, global_batch_size=options.global_batch_size, shuffle=True, device=self.device, num_workers=options.workers,
            transform=crops(options.crop, T.RandomResizedCrop, T.RandomHorizontalFlip),
        )  # fmt: skip
        self.crop = options.crop
        torch.manual_seed(0)
        self.model = DistributedDataParallel(SmallNetwork(len(ds.classes)).to(self.device))
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=3e-3)
        self.step = 0

    def parts(self) -> dict[str, Any]:
        return {"model": self.model.module, "optimizer": self.optimizer, "loader": self.loader}

    def save(self, path: Path) -> None:
        """By rank 0, under its name only when whole. The loader's state is the same on every rank."""
        if dist.get_rank() == 0:
            state = {name: part.state_dict() for name, part in self.parts().items()}
            torch.save(state | {"step": self.step}, path.with_suffix(".tmp"))
            path.with_suffix(".tmp").replace(path)

    def restore(self, path: Path) -> None:
        """Every rank reads the same file, on any number of ranks."""
        if path.exists():
            saved = torch.load(path, map_location=self.device, weights_only=True)
            for name, part in self.parts().items():
                part.load_state_dict(saved[name])
            self.step = saved["step"]


def train(job: Job, options: argparse.Namespace) -> None:
    record, stop, world_size = Record(options.record, dist.get_rank()), ss.Preemption(), dist.get_world_size()
    while job.loader.epoch < options.epochs:
        job.model.train()
        epoch = job.loader.epoch
        for batch in job.loader:
            loss = loss_of(job.model, batch, world_size, options.global_batch_size)
            job.optimizer.zero_grad()
            loss.backward()
            job.optimizer.step()
            job.step += 1
            record.write(epoch, job.step, batch, loss.item())
            asked = stop.requested()
            if asked or job.step % options.save_every == 0:
                job.save(options.checkpoint)
            if asked:
                stop.exit()
        job.save(options.checkpoint)
        print_once(f"epoch {epoch}  loss {loss.item():.3f}  accuracy {accuracy(job):.4f}")


def accuracy(job: Job) -> float:
    """Over the training split, every picture once whatever the number of ranks."""
    job.model.eval()
    counted = torch.zeros(2, dtype=torch.int64, device=job.device)
    whole = crops(job.crop, T.Resize, partial(T.CenterCrop, job.crop))
    for batch in ss.Loader(job.loader.stream.ds, batch_size=128, device=job.device, transform=whole):
        counted += hits(job.model.module, batch)
    dist.all_reduce(counted)
    return float(counted[0] / counted[1])


def crops(size: int | None, first: Callable[[int], Module], then: Callable[[], Module]) -> T.Compose | None:
    """Photos differ in size; digits do not, and need nothing."""
    return None if size is None else T.Compose([first(size), then()])


def print_once(text: str) -> None:
    if dist.get_rank() == 0:
        print(text, flush=True)


def main() -> None:
    options = _options()
    dist.init_process_group(timeout=timedelta(seconds=options.timeout))
    try:
        storage = dict(pair.split("=", 1) for pair in options.storage_option)
        job = Job(ss.open(options.shards, split="train", storage_options=storage or None), options)
        job.restore(options.checkpoint)
        train(job, options)
    finally:
        dist.destroy_process_group()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Train a small network on packed pictures, on any number of ranks.")
    parser.add_argument("shards", help="written by `shardstream write digits`, or any split with labels")
    parser.add_argument("--checkpoint", type=Path, default=Path("last.pt"), help="read at the start where it exists")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--crop", type=int, metavar="PIXELS", help="random crops of this size, for photos")
    parser.add_argument("--global-batch-size", type=int, default=96)
    parser.add_argument("--save-every", type=int, default=5, metavar="STEPS")
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument(
        "--timeout", type=float, default=600, help="seconds until a lost rank is an error (default 600)"
    )
    parser.add_argument("--storage-option", action="append", default=[], metavar="K=V")
    parser.add_argument("--record", metavar="DIR", help="write down what each rank trained on")
    return parser.parse_args()


if __name__ == "__main__":
    main()
