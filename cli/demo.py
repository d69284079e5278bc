"""``demo``: offline, end to end, on images that pip packages ship: pack, verify, stream, train, look."""

from __future__ import annotations

import shutil
import time
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch
from rich.panel import Panel
from rich.table import Table

from .. import api
from ..errors import OutputExists
from ..loaders import Loader, ShardDataset, open_dataset
from ..shard_writer import manifest as manifests
from ..shard_writer.storage import open_store
from ..shard_writer.verify import verify
from ..transforms import presets
from .demo_model import accuracy, train_digits
from .progress import Bars, console
from .sheet import draw_sheet, sample_tiles

MARKER = ".shardstream-demo"


@dataclass(slots=True)
class Summary:
    """What was done, how long it took, what came out."""

    rows: list[tuple[str, str, float]] = field(default_factory=list)

    @contextmanager
    def step(self, name: str) -> Iterator[list[str]]:
        """Time one step; its result is what the caller puts into the list."""
        result: list[str] = []
        start = time.perf_counter()
        yield result
        self.rows.append((name, " ".join(result), time.perf_counter() - start))

    def show(self) -> None:
        """The table a person reads at the end."""
        table = Table(title="What just happened", title_justify="left")
        for column in ("step", "result"):
            table.add_column(column)
        table.add_column("seconds", justify="right")
        for name, result, seconds in self.rows:
            table.add_row(name, result, f"{seconds:.1f}")
        console.print(table)


def demo(options: Namespace) -> int:
    """``shardstream demo``."""
    out = _fresh(Path(options.out))
    summary = Summary()
    digits, photos = out / "digits", out / "photos"
    with summary.step("pack 1,797 digits") as result:
        result.append(_pack("digits", digits))
    with summary.step("pack photos") as result:
        result.append(_pack("photos", photos))
    with summary.step("verify every byte") as result:
        result.append(_verify(digits, photos))
    with summary.step("stream photos, RandomResizedCrop(224)") as result:
        result.append(_stream(open_dataset(photos)))
    with summary.step(f"train on digits, {options.epochs} epochs") as result:
        test_accuracy = _train(digits, options.epochs)
        result.append(f"held-out accuracy {test_accuracy:.2%}")
    with summary.step("draw contact sheets") as result:
        result.append(" ".join(_sheets(out, digits, photos)))
    console.print()
    summary.show()
    _farewell(out)
    return 0


def _fresh(out: Path) -> Path:
    """An empty output folder; only a folder that an earlier demo made is replaced."""
    if out.exists() and any(out.iterdir()):
        if not (out / MARKER).exists():
            raise OutputExists(f"{out} holds files that no demo wrote; choose another --out.")
        shutil.rmtree(out)
    out.mkdir(parents=True, exist_ok=True)
    (out / MARKER).touch()
    return out


def _pack(name: str, out: Path) -> str:
    with Bars("pack") as bars:
        manifest = api.write(name, out=out, shard_size="256KB" if name == "digits" else "1MB", reporter=bars)
    splits = manifest.splits.values() if manifest else ()
    samples, shards = sum(split.samples for split in splits), sum(len(split.shards) for split in splits)
    return f"{samples:,} samples in {shards} WebDataset shards"


def _verify(*folders: Path) -> str:
    damage = []
    with Bars("verify") as bars:
        for folder in folders:
            store = open_store(folder)
            damage += verify(store, manifests.load(store), bars)
    return f"{len(damage)} damaged"


def _stream(photos: ShardDataset, epochs: int = 4) -> str:
    loader = Loader(photos, batch_size=4, shuffle=True, drop_last=False, transform=presets.train(224), num_workers=2)
    delivered = [key for _ in range(epochs) for batch in loader for key in batch["key"] if key]
    exact = all(delivered.count(key) == epochs for key in set(delivered)) and len(delivered) == epochs * len(photos)
    return f"{len(delivered)} crops in {epochs} epochs, " + (
        "each photo exactly once per epoch" if exact else "NOT exactly once"
    )


def _train(digits: Path, epochs: int) -> float:
    train, test = open_dataset(digits, "train"), open_dataset(digits, "test")
    loader = Loader(
        train, batch_size=64, shuffle=True, seed=0, transform=presets.cifar_train(size=8, padding=1, hflip=0)
    )
    # 8x8 images are too little work to share: on a busy machine two threads wait for each other most of the time.
    torch.set_num_threads(1)
    model = train_digits(loader, epochs, len(train.classes))
    return accuracy(model, Loader(test, batch_size=256, transform=presets.cifar_eval(normalize=_like(train))))


def _like(ds: ShardDataset) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The training split's mean and std: a test split is normalised by what the model was trained with."""
    return tuple(ds.statistics["pixel_mean"]), tuple(ds.statistics["pixel_std"])


def _sheets(out: Path, digits: Path, photos: Path) -> list[str]:
    draw_sheet(sample_tiles(open_dataset(digits, "train"), 60)).save(out / "digits.png")
    ds = open_dataset(photos)
    draw_sheet(sample_tiles(ds, len(ds)) + sample_tiles(ds, len(ds), preset="train")).save(out / "photos.png")
    return ["digits.png", "photos.png"]


def _farewell(out: Path) -> None:
    lines = [
        f"Look at {out}/photos.png (above: as packed, below: as trained on) and {out}/digits.png.",
        "Next, your own images, a folder per class:",
        "  shardstream write folder --source PHOTOS --out SHARDS",
        "  shardstream sheet SHARDS --preset train --out sheet.png",
    ]
    console.print(Panel("\n".join(lines), title="done", expand=False))
