"""``sheet``: a contact sheet of what a loader feeds, as one PNG."""

from __future__ import annotations

import math
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image, ImageDraw

from ..errors import OptionError
from ..loaders import Loader, LoaderOptions, ShardDataset, open_dataset
from ..shard_writer import manifest as manifests
from ..shard_writer.storage import open_store
from ..transforms import Compose, Normalize, ToFloat, presets
from .commands import storage_options
from .drawing.canvas import Box
from .drawing.palette import PALETTE, Colour, class_colours
from .progress import console
from .sheet_items import item_caption, items_fed

CAPTION = 16
MARGIN = 6
BACKGROUND = (250, 250, 250)


@dataclass(frozen=True, slots=True)
class Tile:
    """One picture of a sheet, what is marked on it, and the line below it."""

    image: Image.Image
    caption: str
    boxes: Sequence[tuple[Box, Colour]] = ()


PRESETS: Mapping[str, Callable[[ShardDataset], Compose]] = {
    "train": lambda _: presets.train(),
    "eval": lambda _: presets.eval(),
    "cifar_train": lambda _: presets.cifar_train(),
    "cifar_randaugment": lambda _: presets.cifar_train(policy="randaugment"),
    "cifar_eval": lambda _: presets.cifar_eval(),
    "imagenet_v1": lambda _: presets.imagenet_train("v1"),
    "imagenet_v2": lambda ds: presets.imagenet_train("v2", len(ds.classes) or None),
    "detection_train": lambda _: presets.detection_train(),
    "detection_lsj": lambda _: presets.detection_train("lsj", 640),
    "detection_eval": lambda _: presets.detection_eval(640),
    "emotic": lambda _: presets.emotic(),
    "vqa": lambda _: presets.vqa(),
}
"""What ``--preset`` knows."""


def sheet(options: Namespace) -> int:
    """``shardstream sheet``."""
    if options.count < 1:
        raise OptionError(f"--count {options.count}: a sheet needs at least one image.")
    storage = storage_options(options.storage_option)
    names = manifests.load(open_store(options.url, storage)).splits
    split = options.split or ("train" if "train" in names else next(iter(names)))
    ds = open_dataset(options.url, split, storage_options=storage)
    view = options.view or _view(ds, options.preset)
    fed = items_fed(view, options.sampler)
    tiles = sample_tiles(ds, options.count, options.seed, options.preset, fed)
    draw_sheet(tiles).save(options.out)
    console.print(f"{len(tiles)} of {len(ds):,} samples ({options.preset}) -> {options.out}", highlight=False)
    if options.sampler is not None:
        report = fed["sampler"].report(ds, view, seed=options.seed)
        console.print(str(report), highlight=False, markup=False, emoji=False, soft_wrap=True)
    return 0


def sample_tiles(
    ds: ShardDataset, count: int, seed: int = 0, preset: str = "none", fed: LoaderOptions | None = None
) -> list[Tile]:
    """The first ``count`` samples of a shuffled epoch, as the loader delivers them (before normalisation)."""
    options: LoaderOptions = {"batch_size": count, "shuffle": True, "seed": seed, "drop_last": False, **(fed or {})}
    if preset != "none":
        options["transform"] = to_look_at(PRESETS[preset](ds))
    options.setdefault("view", _view(ds, preset))
    batch = next(iter(Loader(ds, **options)))
    return [
        Tile(_picture(batch, row), item_caption(ds, batch, row), _marks(batch, row))
        for row in range(len(batch["key"]))
        if bool(batch["valid"][row])
    ]


def _view(ds: ShardDataset, preset: str) -> str:
    """What a preset is for, where nothing else is asked."""
    return "person" if preset == "emotic" and "n_persons" in ds.info.columns else "image"


def to_look_at(transform: Compose) -> Compose:
    """The same pipeline with floats 0..1 in place of normalised ones; what comes after Normalize still happens."""
    return Compose([ToFloat() if isinstance(stage, Normalize) else stage for stage in transform], fuse=transform.fuse)


def _picture(batch: Mapping[str, Any], row: int) -> Image.Image:
    """The image, and a person's body crop at its right."""
    image = _shown(batch["image"][row])
    if "body" not in batch:
        return image
    body = _shown(batch["body"][row])
    body = body.resize((max(1, round(body.width * image.height / body.height)), image.height))
    page = Image.new("RGB", (image.width + body.width, image.height))
    page.paste(image, (0, 0))
    page.paste(body, (image.width, 0))
    return page


def _shown(pixels: torch.Tensor) -> Image.Image:
    if pixels.is_floating_point():
        pixels = (pixels * 255).round().clamp(0, 255).to(torch.uint8)
    return Image.fromarray(pixels.permute(1, 2, 0).contiguous().numpy())


def _marks(batch: Mapping[str, Any], row: int) -> list[tuple[Box, Colour]]:
    """The boxes of a row's objects in their classes' colours, or a person's box."""
    if "box" in batch:
        return [(_box(batch["box"][row]), PALETTE[1])]
    if "boxes" not in batch:
        return []
    objects = slice(*batch["box_offsets"][row : row + 2].tolist())
    labels = batch["labels"][objects].tolist()
    colours = class_colours(labels)
    return [(_box(box), colours[label]) for box, label in zip(batch["boxes"][objects], labels, strict=True)]


def _box(box: torch.Tensor) -> Box:
    x0, y0, x1, y1 = box.tolist()
    return x0, y0, x1, y1


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
        image = _marked(_fit(tile.image, cell), tile)
        page.paste(image, (left + (cell - image.width) // 2, top + (cell - image.height) // 2))
        draw.text((left + 2, top + cell + 2), tile.caption[: cell // 6], fill=(60, 60, 60))
    return page


def _fit(image: Image.Image, cell: int) -> Image.Image:
    scale = cell / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image.resize(size, Image.Resampling.NEAREST if scale > 2 else Image.Resampling.LANCZOS)


def _marked(image: Image.Image, tile: Tile) -> Image.Image:
    """The fitted picture with its boxes, two pixels thick, the outer edge on the box."""
    draw, (x, y) = ImageDraw.Draw(image), (image.width / tile.image.width, image.height / tile.image.height)
    for (x0, y0, x1, y1), colour in tile.boxes:
        corners = [round(x0 * x), round(y0 * y), round(x1 * x) - 1, round(y1 * y) - 1]
        if corners[0] <= corners[2] and corners[1] <= corners[3]:
            draw.rectangle(corners, outline=colour, width=2)
    return image
