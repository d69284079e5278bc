"""Lightning takes ss.Loader as it is: no sampler is put into it, and its place travels in Lightning's checkpoints.

    shardstream write digits --out digits
    python examples/lightning_train.py digits --devices 2
    python examples/lightning_train.py digits --devices 2 --resume out/last.ckpt

The loader is made in ``train_dataloader``, which Lightning calls when the ranks are there; also under torchrun or srun.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning
import torch
from digits_model import Record, SmallNetwork, hits, loss_of
from lightning.pytorch.callbacks import ModelCheckpoint

import shardstream as ss


class Digits(lightning.LightningModule):
    """The network, its steps and its loaders."""

    def __init__(self, options: argparse.Namespace) -> None:
        super().__init__()
        self.options = options
        self.ds = ss.open(options.shards, split="train")
        self.network = SmallNetwork(len(self.ds.classes))

    def train_dataloader(self) -> ss.Loader:
        return ss.Loader(self.ds, global_batch_size=self.options.global_batch_size, shuffle=True, num_workers=0)

    def val_dataloader(self) -> ss.Loader:
        return ss.Loader(self.ds, batch_size=128)

    def on_train_start(self) -> None:
        self.record = Record(self.options.record, self.global_rank)

    def training_step(self, batch: Mapping[str, Any], batch_idx: int) -> torch.Tensor:  # noqa: ARG002
        loss = loss_of(self.network, batch, self.trainer.world_size, self.options.global_batch_size)
        self.record.write(self.current_epoch, self.global_step + 1, batch, loss.item())
        return loss

    def on_validation_epoch_start(self) -> None:
        self.counted = torch.zeros(2, dtype=torch.int64, device=self.device)

    def validation_step(self, batch: Mapping[str, Any], batch_idx: int) -> None:  # noqa: ARG002
        self.counted += hits(self.network, batch)

    def on_validation_epoch_end(self) -> None:
        """``valid`` leaves out the rows that only fill a batch, so the sum over ranks has every picture once."""
        right, asked = self.all_gather(self.counted).view(-1, 2).sum(0).tolist()
        self.print(f"epoch {self.current_epoch}  accuracy {right / asked:.4f} of {asked}")

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.network.parameters(), lr=3e-3)


def main() -> None:
    options = _options()
    lightning.seed_everything(0)
    trainer = lightning.Trainer(
        accelerator="auto" if torch.cuda.is_available() else "cpu",
        devices=options.devices,
        num_nodes=options.nodes,
        strategy="ddp" if options.devices * options.nodes > 1 else "auto",
        max_epochs=options.epochs,
        limit_train_batches=options.limit_train_batches,
        num_sanity_val_steps=0,
        callbacks=[
            ModelCheckpoint(
                options.out, "{step}", every_n_train_steps=options.save_every, save_top_k=-1, save_last=True
            )
        ],
        logger=False,
        enable_progress_bar=False,
    )
    trainer.fit(Digits(options), ckpt_path=options.resume, weights_only=False)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Train a small network on packed digits with Lightning.")
    parser.add_argument("shards", help="written by `shardstream write digits`")
    parser.add_argument("--devices", type=int, default=1)
    parser.add_argument("--nodes", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--global-batch-size", type=int, default=96)
    parser.add_argument("--limit-train-batches", type=float, default=1.0)
    parser.add_argument("--save-every", type=int, default=5, metavar="STEPS")
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder of checkpoints")
    parser.add_argument("--resume", type=Path, metavar="FILE.ckpt")
    parser.add_argument("--record", metavar="DIR", help="write down what each rank trained on")
    return parser.parse_args()


if __name__ == "__main__":
    main()
