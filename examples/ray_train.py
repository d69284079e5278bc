"""Ray Train: each worker makes its ss.Loader; a worker that dies is replaced and all go on from the last checkpoint.

    shardstream write digits --out digits
    python examples/ray_train.py digits --workers 2

Ray tells each worker its rank in RANK and WORLD_SIZE, where ss.Loader reads it. There is no need of Ray Data, nor of
``ray.train.torch.prepare_data_loader``: batches are sharded and on their device already.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import ray.train
import torch
from digits_model import Record, SmallNetwork, loss_of
from ray.train.torch import TorchTrainer, get_device, prepare_model

import shardstream as ss


def train_worker(config: dict[str, Any]) -> None:
    """What each worker runs, from the start or from the checkpoint that Ray hands it."""
    context = ray.train.get_context()
    ds = ss.open(config["shards"], split="train")
    loader = ss.Loader(ds, global_batch_size=config["global_batch_size"], shuffle=True, device=get_device())
    torch.manual_seed(0)
    model = prepare_model(SmallNetwork())  # `ds.classes` here would make Ray pickle torch.classes, which it cannot
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    parts = {"model": model, "optimizer": optimizer, "loader": loader}
    checkpoint = ray.train.get_checkpoint()
    if checkpoint is not None:
        with checkpoint.as_directory() as folder:
            saved = torch.load(Path(folder) / "state.pt", map_location=get_device(), weights_only=True)
        for name, part in parts.items():
            part.load_state_dict(saved[name])
    record = Record(config["record"], context.get_world_rank())
    while loader.epoch < config["epochs"]:
        epoch = loader.epoch
        for number, batch in enumerate(loader, 1):
            loss = loss_of(model, batch, context.get_world_size(), config["global_batch_size"])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            record.write(epoch, number, batch, loss.item())
            if number % config["save_every"] == 0 or loader.state_dict()["epoch"] > epoch:
                report(parts, {"epoch": epoch, "loss": loss.item()})
            if checkpoint is None and number == config["die_at"] and context.get_world_rank() == 1:
                time.sleep(2)  # Ray asks every two seconds for what was reported
                os._exit(1)  # a worker is lost


def report(parts: dict[str, Any], metrics: dict[str, Any]) -> None:
    """Every worker reports; the checkpoint is rank 0's, since the loader's state is the same on every rank."""
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = None
        if ray.train.get_context().get_world_rank() == 0:
            torch.save({name: part.state_dict() for name, part in parts.items()}, Path(folder) / "state.pt")
            checkpoint = ray.train.Checkpoint.from_directory(folder)
        ray.train.report(metrics, checkpoint=checkpoint)


def main() -> None:
    options = _options()
    # Workers import what the driver imports: this folder.
    ray.init(runtime_env={"env_vars": {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}}, include_dashboard=False)
    result = TorchTrainer(
        train_worker,
        train_loop_config=vars(options),
        scaling_config=ray.train.ScalingConfig(num_workers=options.workers, use_gpu=torch.cuda.is_available()),
        run_config=ray.train.RunConfig(
            storage_path=str(Path(options.out).absolute()),
            failure_config=ray.train.FailureConfig(max_failures=options.max_failures),
        ),
    ).fit()
    print(f"epoch {result.metrics['epoch']}  loss {result.metrics['loss']:.3f}")
    ray.shutdown()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Train a small network on packed digits with Ray Train.")
    parser.add_argument("shards", type=os.path.abspath, help="written by `shardstream write digits`")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--global-batch-size", type=int, default=96)
    parser.add_argument("--save-every", type=int, default=5, metavar="BATCHES")
    parser.add_argument("--max-failures", type=int, default=3, help="how often lost workers are replaced")
    parser.add_argument("--die-at", type=int, metavar="BATCH", help="rank 1 dies there, to see what happens")
    parser.add_argument("--out", default="out", help="folder or address of the checkpoints")
    parser.add_argument("--record", type=os.path.abspath, metavar="DIR", help="write down what each rank trained on")
    return parser.parse_args()


if __name__ == "__main__":
    main()
