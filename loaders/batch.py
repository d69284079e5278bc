"""A batch: an ordinary dict of tensors and lists that knows how to be pinned, moved and shown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import get_worker_info

from ..memory import blank
from .decode import U8
from .flat import flattened, restored

if TYPE_CHECKING:
    from .targets import Labels


@dataclass(frozen=True, slots=True)
class RaggedImages:
    """Images of different sizes in one flat buffer; ``images[i]`` is a (3, h, w) uint8 view."""

    values: Tensor
    """uint8 (sum of h * w * 3,), channel-first per image."""
    sizes: Tensor
    """int64 (B, 2) h, w."""

    def __len__(self) -> int:
        return len(self.sizes)

    def __getitem__(self, row: int) -> Tensor:
        ends = (self.sizes.prod(1) * 3).cumsum(0)
        height, width = self.sizes[row].tolist()
        end = int(ends[row])
        return self.values[end - 3 * height * width : end].view(3, height, width)

    def __iter__(self) -> Iterator[Tensor]:
        return (self[row] for row in range(len(self)))

    def pin_memory(self) -> RaggedImages:
        return RaggedImages(self.values.pin_memory(), self.sizes)

    def to(self, device: Any, non_blocking: bool = False) -> RaggedImages:
        """Move the pixels; sizes stay on the CPU, where shapes are needed."""
        return RaggedImages(self.values.to(device, non_blocking=non_blocking), self.sizes)


class Batch(dict[str, Any]):
    """Fields by name. Always ``key``, ``index``, ``copy``, ``valid``, ``orig_size``, ``seed``; ``image`` where there is one."""

    def __copy__(self) -> Batch:
        return Batch(self)

    def __reduce__(self) -> tuple[Any, ...]:
        """From a worker process all tensors come in one shared memory; elsewhere a batch is pickled as a dict is."""
        return (Batch, (dict(self),)) if get_worker_info() is None else (_restored, flattened(self))

    def pin_memory(self) -> Batch:
        """Copy every tensor to page-locked memory (DataLoader calls this)."""
        return Batch(
            {name: value.pin_memory() if hasattr(value, "pin_memory") else value for name, value in self.items()}
        )

    def to(self, device: Any, non_blocking: bool = False) -> Batch:
        """Move every tensor to a device; ``seed`` stays, since parameters are drawn on the CPU."""
        moved = Batch(self)
        for name, value in self.items():
            if name != "seed" and hasattr(value, "pin_memory"):
                moved[name] = value.to(device, non_blocking=non_blocking)
        return moved

    def targets(
        self, *, labels: Labels = "category_id", masks: bool = False, training: bool = False
    ) -> list[dict[str, Any]]:
        """One dict per row as torchvision's detectors take them; empty (0, 4) boxes where there is no object.

        boxes (tv_tensors.BoundingBoxes, XYXY in pixels of ``image``), labels, area, iscrowd, ann_id, image_id, and
        keypoints where the dataset has them. ``labels``: ``category_id``, the benchmark's own (COCO 1..90, so a model
        of 91 outputs, as torchvision's); ``contiguous``, 0..79, as detectron2; ``contiguous+1``, with 0 for background.
        ``masks`` draws (N, H, W) uint8 (the loader needs masks=True). ``training`` leaves out crowds and boxes of no
        width or height, which detectors refuse. Raises OptionError where the boxes did not follow the pixels.
        """
        from .targets import targets  # torchvision takes a second to import, and most batches have no boxes

        return targets(self, labels=labels, masks=masks, training=training)

    def rename(self, names: dict[str, str]) -> Batch:
        """The same values under other names."""
        return Batch({names.get(name, name): value for name, value in self.items()})

    def __repr__(self) -> str:
        return "Batch(" + ", ".join(f"{name}: {_shape(value)}" for name, value in self.items()) + ")"


def _restored(data: bytes, shared: Tensor, sizes: Sequence[int]) -> Batch:
    return Batch(restored(data, shared, sizes))


def _shape(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"{str(value.dtype).removeprefix('torch.')} {tuple(value.shape)}"
    if isinstance(value, RaggedImages):
        return f"ragged uint8 ({len(value)}, 3, ?, ?)"
    return f"{type(value).__name__} of {len(value)}" if isinstance(value, Sequence) else repr(value)


def padded(values: NDArray[Any], size: int, fill: int, own: bool = True) -> Tensor:
    """(n, ...) -> tensor (size, ...), the rows beyond n filled; ``own``: its memory is not a part of something larger."""
    if len(values) == size:
        return torch.from_numpy(values.copy() if own and values.base is not None else values)
    result = np.full((size, *values.shape[1:]), fill, dtype=values.dtype)
    result[: len(values)] = values
    return torch.from_numpy(result)


def stack_images(images: Sequence[U8], rows: int, empty_hw: tuple[int, int] = (1, 1)) -> Tensor | RaggedImages:
    """(H, W, 3) images to one (rows, 3, H, W) tensor, or a ragged buffer where sizes differ; missing rows are zeros.

    Without any image the rows have the size ``empty_hw``.
    """
    shapes = {image.shape for image in images}
    if len(shapes) <= 1:
        height, width, _ = next(iter(shapes), (*empty_hw, 3))
        batch = blank((rows, 3, height, width), torch.uint8, torch.device("cpu"))
        batch[len(images) :] = 0
        table = batch.numpy()
        for row, image in enumerate(images):
            table[row] = image.transpose(2, 0, 1)
        return batch
    padded = [*images, *[np.zeros((1, 1, 3), np.uint8)] * (rows - len(images))]
    values = np.concatenate([image.transpose(2, 0, 1).ravel() for image in padded])
    return RaggedImages(torch.from_numpy(values), torch.tensor([image.shape[:2] for image in padded]))
