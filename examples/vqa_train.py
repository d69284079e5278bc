"""Train a small network to answer questions about pictures: VQA v2 with soft targets.

    shardstream write vqa --source VQA --out SHARDS
    python examples/vqa_train.py SHARDS

Questions are the items: each batch row is one question with its picture and its ten answers. The targets are soft, as
the official accuracy counts: an answer that three of the ten gave scores 0.9 (Teney et al. 2018). The picture is never
mirrored, since questions say left and right. At the end every question is answered and scored by the official rules.
"""

from __future__ import annotations

import argparse
import itertools
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

import shardstream as ss
from shardstream import transforms as T  # noqa: N812 - as torchvision's users write it

SIZE = 96
_WORD = re.compile(r"[a-z0-9']+")


class Words:
    """Question words seen in training, as numbers; 0 stands for all others."""

    def __init__(self, questions: Sequence[str]) -> None:
        found = sorted({word for question in questions for word in _WORD.findall(question.lower())})
        self.numbers = {word: number for number, word in enumerate(found, start=1)}

    def __len__(self) -> int:
        return len(self.numbers) + 1

    def bags(self, questions: Sequence[str]) -> tuple[Tensor, Tensor]:
        """All words one after another, and where each question begins, as ``nn.EmbeddingBag`` takes them."""
        rows = [[self.numbers.get(word, 0) for word in _WORD.findall(q.lower())] or [0] for q in questions]
        starts = [0, *itertools.accumulate(map(len, rows))][:-1]
        return torch.tensor(list(itertools.chain.from_iterable(rows))), torch.tensor(starts)


class Answerer(nn.Module):
    """A picture encoder times a bag of words, and one linear layer over the answers."""

    def __init__(self, words: int, answers: int, width: int = 128) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in itertools.pairwise((3, 32, 64, width)):
            layers += [nn.Conv2d(before, after, 3, stride=2, padding=1), nn.BatchNorm2d(after), nn.ReLU()]
        self.picture = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.question = nn.EmbeddingBag(words, width)
        self.answer = nn.Linear(2 * width, answers)

    def forward(self, image: Tensor, bags: tuple[Tensor, Tensor]) -> Tensor:
        """Logits (B, answers)."""
        seen, asked = self.picture(image), self.question(*bags)
        return self.answer(torch.cat([seen * asked, asked], 1))


def pictures() -> T.Compose:
    """Squashed to one size, nothing random."""
    return T.Compose([T.Resize((SIZE, SIZE)), T.Normalize()])


def batches(ds: ss.ShardDataset, batch_size: int, seed: int) -> Iterator[ss.Batch]:
    """Epoch after epoch, the answer types as they come."""
    loader = ss.Loader(
        ds, view="question", batch_size=batch_size, shuffle=True, seed=seed, transform=pictures(),
        num_workers=2, worker_kind="thread",
    )  # fmt: skip
    while True:
        yield from loader


@torch.no_grad()
def answer_all(
    model: Answerer, ds: ss.ShardDataset, words: Words, vocabulary: ss.AnswerVocabulary
) -> ss.scoring.VqaResults:
    """Every question of the split answered once, as an official result file takes it."""
    model.eval()
    results = ss.scoring.VqaResults(ds)
    for batch in ss.Loader(ds, view="question", batch_size=32, transform=pictures()):
        results.add(batch, vocabulary.decode(model(batch["image"], words.bags(batch["question"]))))
    return results.gather()


def train(url: str, steps: int, batch_size: int, min_count: int = 9, save: str | None = None) -> list[float]:
    """The loss of each step; prints as it goes, and the accuracy at the end."""
    torch.manual_seed(0)
    ds = ss.open(url)
    vocabulary = ss.AnswerVocabulary.build(ds, min_count=min_count)
    words = Words([q["question"] for i in range(len(ds)) for q in ds.record(*ds.locate(i))["questions"]])
    model = Answerer(len(words), len(vocabulary))
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    losses = []
    for step, batch in enumerate(itertools.islice(batches(ds, batch_size, 0), steps), start=1):
        logits = model(batch["image"], words.bags(batch["question"]))
        targets = vocabulary.soft_targets(batch["answers"])
        # summed over the answers, as the soft targets' authors do: the mean over 3,129 would hardly move
        loss = functional.binary_cross_entropy_with_logits(logits, targets, reduction="sum") / len(logits)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        if step % 20 == 0 or step == steps:
            print(f"step {step:4d}  loss {sum(losses[-20:]) / len(losses[-20:]):.3f}")
    results = answer_all(model, ds, words, vocabulary)
    score = ss.scoring.score_vqa(ds, results)
    types = ", ".join(f"{name} {value}" for name, value in score.per_answer_type.items())
    print(f"{ds.info.name}: accuracy {score.overall} ({types}), {len(vocabulary)} answers known")
    if save is not None:
        results.save(Path(save))
    return losses


def main() -> None:
    parser = argparse.ArgumentParser(description="Train a small network on packed VQA v2.")
    parser.add_argument("shards", help="written by `shardstream write vqa`")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--min-count", type=int, default=9, help="answers that occur this often are learnt (default 9)")
    parser.add_argument("--save", metavar="FILE.json", help="write the official result file")
    options = parser.parse_args()
    train(options.shards, options.steps, options.batch_size, options.min_count, options.save)


if __name__ == "__main__":
    main()
