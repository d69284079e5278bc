"""``sheet``: a contact sheet of what a loader feeds, as one PNG."""

from __future__ import annotations

import math
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from PIL import Image, ImageDraw

from ..errors import OptionError
from ..loaders import Loader, LoaderOptions, ShardDataset, open_dataset
from ..shard_writer import manifest as manifests
from ..shard_writer.storage import open_store
from ..transforms import Compose, Normalize, presets
from .commands import storage_options
from .progress import console
from .sheet_items import item_caption, items_fed

CAPTION = 16
MARGIN = 6
BACKGROUND = (250, 250, 250)


@dataclass(frozen=True, slots=True)
class Tile:
    """One picture of a sheet and the line below it."""

    image: Image.Image
    caption: str


def sheet(options: Namespace) -> int:
    """``shardstream sheet``."""
    if options.count < 1:
        raise OptionError(f"--count {options.count}: a sheet needs at least one image.")
    storage = storage_options(options.storage_option)
    names = manifests.load(open_store(options.url, storage)).splits
    split = options.split or ("train" if "train" in names else next(iter(names)))
    ds = open_dataset(options.url, split, storage_options=storage)
    fed = items_fed(options.view, options.sampler)
    tiles = sample_tiles(ds, options.count, options.seed, options.preset, fed)
    draw_sheet(tiles).save(options.out)
    console.print(f"{len(tiles)} of {len(ds):,} samples ({options.preset}) -> {options.out}", highlight=False)
    if options.sampler is not None:
        report = fed["sampler"].report(ds, options.view, seed=options.seed)
        console.print(str(report), highlight=False, markup=False, emoji=False, soft_wrap=True)
    return 0


def sample_tiles(
    ds: ShardDataset, count: int, seed: int = 0, preset: str = "none", fed: LoaderOptions | None = None
) -> list[Tile]:
    """The first ``count`` samples of a shuffled epoch, as the loader delivers them (before normalisation)."""
    transform = None if preset == "none" else without_normalize(getattr(presets, preset)())
    options: LoaderOptions = {"batch_size": count, "shuffle": True, "seed": seed, "drop_last": False, **(fed or {})}
    if transform is not None:
        options["transform"] = transform
    loader = Loader(ds, **options)
    batch = next(iter(loader))
    rows = [row for row in range(len(batch["key"])) if bool(batch["valid"][row])]
    pictures = batch.get("body", batch["image"])  # of a person, what tells it from the others of its image
    return [Tile(_picture(pictures[row]), item_caption(ds, batch, row)) for row in rows]


def without_normalize(transform: Compose) -> Compose:
    """The same pipeline up to pixels one can look at."""
    return Compose([stage for stage in transform.stages if not isinstance(stage, Normalize)])


def _picture(pixels: torch.Tensor) -> Image.Image:
    return Image.fromarray(pixels.permute(1, 2, 0).contiguous().numpy())


def draw_sheet(tiles: Sequence[Tile], width: int = 1200) -> Image.Image:
    """Tiles in a grid, each fitted into an equal cell; tiny images are enlarged without smoothing."""
    columns = max(1, min(len(tiles), round(math.sqrt(len(tiles) * 1.5))))
    cell = width // columns - MARGIN
    rows = math.ceil(len(tiles) / columns)
    page = Image.new("RGB", (columns * (cell + MARGIN) + MARGIN, rows * (cell + CAPTION + MARGIN) + MARGIN), BACKGROUND)
    draw = ImageDraw.Draw(page)
    for number, tile in enumerate(tiles):
        left = MARGIN + number % columns * (cell + MARGIN)
        top = MARGIN + number // columns * (cell + CAPTION + MARGIN)
        image = _fit(tile.image, cell)
        page.paste(image, (left + (cell - image.width) // 2, top + (cell - image.height) // 2))
        draw.text((left + 2, top + cell + 2), tile.caption[: cell // 6], fill=(60, 60, 60))
    return page


def _fit(image: Image.Image, cell: int) -> Image.Image:
    scale = cell / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image.resize(size, Image.Resampling.NEAREST if scale > 2 else Image.Resampling.LANCZOS)
