"""Accelerate leaves ss.Loader as it is: rank 0 does not read for the others, and nothing is split a second time.

    shardstream write digits --out digits
    accelerate launch --num-processes 2 examples/accelerate_train.py digits
    accelerate launch --num-processes 2 examples/accelerate_train.py digits --resume

``accelerator.prepare`` splits DataLoaders over ranks. An ``ss.Loader`` is none, and gives each rank its own batches on
its own device; ``register_for_checkpointing`` puts its place beside model and optimizer.
"""

from __future__ import annotations

import argparse

import torch
from accelerate import Accelerator
from digits_model import Record, SmallNetwork, hits, loss_of

import shardstream as ss


def train(accelerator: Accelerator, options: argparse.Namespace) -> None:
    ds = ss.open(options.shards, split="train")
    loader = ss.Loader(
        ds, global_batch_size=options.global_batch_size, shuffle=True, device=accelerator.device, num_workers=options.workers
    )  # fmt: skip
    torch.manual_seed(0)
    model = SmallNetwork(len(ds.classes))
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    model, optimizer, loader = accelerator.prepare(model, optimizer, loader)  # the loader comes back as it went in
    accelerator.register_for_checkpointing(loader)
    if options.resume:
        accelerator.load_state(options.out)
    record = Record(options.record, accelerator.process_index)
    while loader.epoch < options.epochs:
        model.train()
        epoch = loader.epoch
        for number, batch in enumerate(loader, 1):
            with accelerator.accumulate(model):
                loss = loss_of(model, batch, accelerator.num_processes, options.global_batch_size)
                accelerator.backward(loss)
                optimizer.step()
                optimizer.zero_grad()
            record.write(epoch, number, batch, loss.item())
            if number % options.save_every == 0:
                accelerator.save_state(options.out)
            if number == options.stop_at:
                return
        right, asked = evaluate(accelerator, model, ss.Loader(ds, batch_size=128, device=accelerator.device))
        accelerator.print(f"epoch {epoch}  loss {loss.item():.3f}  accuracy {right / asked:.4f} of {asked}")


def evaluate(accelerator: Accelerator, model: torch.nn.Module, loader: ss.Loader) -> tuple[int, int]:
    """``valid`` leaves out the rows that only fill a batch, so the sum over ranks has every picture once."""
    model.eval()
    counted = torch.zeros(2, dtype=torch.int64, device=accelerator.device)
    for batch in loader:
        counted += hits(model, batch)
    right, asked = accelerator.reduce(counted).tolist()
    return right, asked


def main() -> None:
    options = _options()
    # Without this, ranks that torchrun starts on a machine without a GPU would each train alone.
    accelerator = Accelerator(cpu=not torch.cuda.is_available(), gradient_accumulation_steps=options.accumulate)
    train(accelerator, options)
    accelerator.end_training()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Train a small network on packed digits with Accelerate.")
    parser.add_argument("shards", help="written by `shardstream write digits`")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--global-batch-size", type=int, default=96)
    parser.add_argument("--accumulate", type=int, default=1, help="batches for one step of the optimizer")
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--save-every", type=int, default=5, metavar="BATCHES")
    parser.add_argument(
        "--stop-at", type=int, metavar="BATCH", help="leave after that batch, as if the job were killed"
    )
    parser.add_argument("--out", default="out", help="folder of the checkpoint")
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint in --out")
    parser.add_argument("--record", metavar="DIR", help="write down what each rank trained on")
    return parser.parse_args()


if __name__ == "__main__":
    main()
