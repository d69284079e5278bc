"""Train a small two-stream network on EMOTIC: what a person feels, from the body and the picture around it.

    shardstream write emotic --source EMOTIC --out SHARDS
    python examples/emotic_train.py SHARDS

Persons are the items: each batch row is one person with the context picture, the body cut from it, 26 categories and
valence, arousal, dominance. Context and body are flipped together. The loss is binary cross entropy over the
categories plus the squared error of the ratings on a tenth of their scale (Kosti et al. 2017); ratings that nobody
gave are NaN and play no part. Rare emotions are met more often by repeat-factor sampling.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional

import shardstream as ss
from shardstream import transforms as T  # noqa: N812 - as torchvision's users write it

SIZE, BODY = 96, 64


class TwoStream(nn.Module):
    """One small convolutional encoder for the context, one for the body, one layer for both heads."""

    def __init__(self, categories: int, width: int = 32) -> None:
        super().__init__()
        self.context, self.body = encoder(width), encoder(width)
        self.heads = nn.Linear(8 * width, categories + 3)
        self.categories = categories

    def forward(self, context: Tensor, body: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (B, categories) and ratings (B, 3) on a tenth of their scale."""
        found = self.heads(torch.cat([self.context(context), self.body(body)], 1))
        return found[:, : self.categories], found[:, self.categories :]


def encoder(width: int) -> nn.Sequential:
    """(B, 3, H, W) to (B, 4 * width)."""
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise((3, width, 2 * width, 4 * width)):
        layers += [nn.Conv2d(before, after, 3, stride=2, padding=1), nn.BatchNorm2d(after), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())


def loss_of(logits: Tensor, ratings: Tensor, batch: ss.Batch) -> Tensor:
    """Binary cross entropy, and the squared error where there is a rating."""
    wanted, rated = batch["vad"] / 10, ~batch["vad"].isnan()
    squared = (ratings - wanted.nan_to_num()).square() * rated
    return functional.binary_cross_entropy_with_logits(logits, batch["categories"]) + squared.sum() / rated.sum().clamp(
        min=1
    )


def batches(ds: ss.ShardDataset, batch_size: int, seed: int) -> Iterator[ss.Batch]:
    """Epoch after epoch, rare emotions more often."""
    transform = T.Compose([T.Resize((SIZE, SIZE)), T.RandomHorizontalFlip(), T.Normalize()])
    loader = ss.Loader(
        ds, view="person", batch_size=batch_size, shuffle=True, seed=seed, transform=transform, body_size=(BODY, BODY),
        sampler=ss.samplers.MultiLabel(threshold=0.1), num_workers=2, worker_kind="thread", drop_last=True,
    )  # fmt: skip
    while True:
        yield from loader


@torch.no_grad()
def evaluate(model: TwoStream, ds: ss.ShardDataset) -> ss.scoring.EmoticScore:
    """Average precision per category and the mean error of the ratings, every person once."""
    model.eval()
    results = ss.scoring.EmoticResults(ds)
    transform = T.Compose([T.Resize((SIZE, SIZE)), T.Normalize()])
    for batch in ss.Loader(ds, view="person", batch_size=32, transform=transform, body_size=(BODY, BODY)):
        logits, ratings = model(batch["image"], batch["body"])
        results.add(batch, logits.sigmoid(), ratings * 10)
    return ss.scoring.score_emotic(ds, results.gather())


def train(url: str, steps: int, batch_size: int, seed: int = 0) -> list[float]:
    """The loss of each step; prints as it goes, and the scores at the end."""
    torch.manual_seed(seed)
    ds = ss.open(url, split="train")
    model = TwoStream(len(ds.manifest.classes["person_labels"]))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    losses = []
    for step, batch in enumerate(itertools.islice(batches(ds, batch_size, seed), steps), start=1):
        loss = loss_of(*model(batch["image"], batch["body"]), batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        if step % 20 == 0 or step == steps:
            print(f"step {step:4d}  loss {sum(losses[-20:]) / len(losses[-20:]):.3f}")
    for split in ds.manifest.splits:
        score = evaluate(model, ss.open(url, split=split))
        print(f"{split}: mAP {score.mean_ap:.3f} ({score.definition}), VAD error {score.mean_vad_mae:.2f}, "
              f"{score.persons} persons, {len(score.absent)} categories without one")  # fmt: skip
    return losses


def main() -> None:
    parser = argparse.ArgumentParser(description="Train a small network on packed EMOTIC.")
    parser.add_argument("shards", help="written by `shardstream write emotic`")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--batch-size", type=int, default=26)
    options = parser.parse_args()
    train(options.shards, options.steps, options.batch_size)


if __name__ == "__main__":
    main()
