"""``transformers.Trainer`` on shards: two methods overridden, mid-epoch checkpoints resumed as the Trainer does it.

    shardstream write digits --out digits
    torchrun --nproc-per-node 2 examples/hf_trainer.py digits
    torchrun --nproc-per-node 2 examples/hf_trainer.py digits --resume out/checkpoint-20

Any model that the Trainer takes will do; this one is small enough for a CPU. ``hf_vit.py`` beside this file has a ViT.
"""

from __future__ import annotations

import argparse
import gc
from typing import Any

import numpy as np
import torch
from digits_model import Record, SmallNetwork
from transformers import EvalPrediction, Trainer, TrainingArguments, set_seed

import shardstream as ss

NAMES = {"image": "pixel_values", "label": "labels"}


class Classifier(torch.nn.Module):
    """What the Trainer asks of a model: ``labels`` in, ``loss`` and ``logits`` out."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.network = SmallNetwork(classes)

    def forward(self, pixel_values: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
        logits = self.network(pixel_values)
        return {"loss": torch.nn.functional.cross_entropy(logits, labels), "logits": logits}


class ShardTrainer(Trainer):
    """A Trainer whose batches come from shards."""

    def __init__(self, options: argparse.Namespace, **given: Any) -> None:
        super().__init__(**given)
        self.options = options
        self.record = Record(options.record, self.args.process_index)

    def get_train_dataloader(self) -> Any:
        loader = ss.Loader(
            self.train_dataset, global_batch_size=self.options.global_batch_size, shuffle=True, rename=NAMES
        )  # fmt: skip
        return ss.hf_loader(self, loader, ("pixel_values", "labels", "key", "valid"))

    def get_eval_dataloader(self, eval_dataset: Any = None) -> Any:  # noqa: ARG002
        return ss.hf_loader(self, ss.Loader(self.eval_dataset, batch_size=128, rename=NAMES))

    def training_step(self, model: Any, inputs: dict[str, Any], num_items_in_batch: Any = None) -> torch.Tensor:
        """Only to write down what came; a Trainer of your own needs neither this nor the fields given above."""
        taken = {name: inputs.pop(name) for name in ("key", "valid")}
        loss = super().training_step(model, inputs, num_items_in_batch)
        epoch = self.state.global_step // (self.state.max_steps // self.options.epochs)
        self.record.write(epoch, self.state.global_step + 1, taken, loss.item())
        return loss


def accuracy(predicted: EvalPrediction) -> dict[str, float]:
    """Rows with label -100 only fill the last batches: without them every picture counts once."""
    counts = predicted.label_ids != -100
    right = np.argmax(predicted.predictions, 1) == predicted.label_ids
    return {"accuracy": float(right[counts].mean()), "asked": int(counts.sum())}


def main() -> None:
    options = _options()
    ds = ss.open(options.shards, split="train")
    set_seed(0)
    arguments = TrainingArguments(
        output_dir=options.out,
        num_train_epochs=options.epochs,
        learning_rate=3e-3,
        ddp_find_unused_parameters=False,
        gradient_accumulation_steps=options.accumulate,
        save_steps=options.save_every,
        eval_strategy="epoch",
        use_cpu=not torch.cuda.is_available(),
        disable_tqdm=True,
        report_to=[],
    )
    trainer = ShardTrainer(
        options, model=Classifier(len(ds.classes)), args=arguments, train_dataset=ds, eval_dataset=ds,
        compute_metrics=accuracy,
    )  # fmt: skip
    trainer.train(resume_from_checkpoint=options.resume)
    trainer.accelerator.end_training()
    del trainer  # and, by its cycles, what holds Gloo's threads: alive while Python ends, they can abort the process
    gc.collect()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Train a small network on packed digits with transformers.Trainer.")
    parser.add_argument("shards", help="written by `shardstream write digits`")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--global-batch-size", type=int, default=96)
    parser.add_argument("--accumulate", type=int, default=1, help="batches for one step of the optimizer")
    parser.add_argument("--save-every", type=int, default=5, metavar="STEPS")
    parser.add_argument("--out", default="out", help="folder of checkpoints")
    parser.add_argument("--resume", metavar="DIR", help="a checkpoint in --out")
    parser.add_argument("--record", metavar="DIR", help="write down what each rank trained on")
    return parser.parse_args()


if __name__ == "__main__":
    main()
