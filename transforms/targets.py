"""torchvision's way of writing objects, one dict of tv_tensors an image, to a batch and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import OptionError
from .batch import Batch, images_of, sizes_of, stacked
from .geometry_objects import object_fields

Target = Mapping[str, Any]


def from_targets(images: Sequence[Tensor], targets: Sequence[Target], seeds: Tensor) -> Batch:
    """A batch of ``images`` (3, h, w) uint8 and their objects, as every transform here takes it.

    A target has ``boxes``, tv_tensors.BoundingBoxes in any upright format or plain XYXY (N, 4); and if you like
    ``masks`` (N, h, w), ``keypoints`` (N, 17, 3) or tv_tensors.KeyPoints (N, 17, 2), which count as visible, and any
    tensor of N rows. Every target needs the same keys. ``seeds`` int64 (B,): one for each image and epoch.
    Raises OptionError for boxes that leave their image by more than a pixel, or were made for another canvas.
    """
    names = list(targets[0]) if targets else ["boxes"]
    for row, (image, target) in enumerate(zip(images, targets, strict=True)):
        _check(row, image, target, names)
    batch: Batch = {"image": stacked(list(images)), "seed": seeds, "valid": torch.ones(len(images), dtype=torch.bool)}
    counts = [len(target["boxes"]) for target in targets]
    batch["box_offsets"] = torch.from_numpy(np.concatenate([[0], np.cumsum(counts)]).astype(np.int64))
    batch["object_fields"] = tuple(name for name in names if name != "masks")
    for name in batch["object_fields"]:
        batch[name] = torch.cat([_plain(name, target[name]) for target in targets] or [torch.zeros((0, 4))])
    if "masks" in names:
        batch["masks"] = [target["masks"].as_subclass(Tensor) for target in targets]
    return batch


def to_targets(batch: Batch) -> list[dict[str, Any]]:
    """One dict per image of what ``from_targets`` took, where the transforms have moved it: tv_tensors again."""
    from torchvision import tv_tensors  # takes a second to import

    sizes = sizes_of(images_of(batch, "to_targets")).tolist()
    counts = batch["box_offsets"].diff().tolist()
    parts = {name: torch.split(batch[name], counts) for name in object_fields(batch)}
    made: list[dict[str, Any]] = []
    for row, size in enumerate(sizes):
        target: dict[str, Any] = {name: part[row] for name, part in parts.items()}
        target["boxes"] = tv_tensors.BoundingBoxes(target["boxes"], format="XYXY", canvas_size=(size[0], size[1]))
        if "masks" in batch:
            target["masks"] = tv_tensors.Mask(batch["masks"][row])
        made.append(target)
    return made


def _check(row: int, image: Tensor, target: Target, names: list[str]) -> None:
    if set(target) != set(names):
        raise OptionError(f"target {row} has {sorted(target)}, target 0 {sorted(names)}; give all the same keys")
    for name, value in target.items():
        if not isinstance(value, Tensor) or len(value) != len(target["boxes"]):
            found = f"{len(value)} rows" if isinstance(value, Tensor) else type(value).__name__
            raise OptionError(f"target {row}: {name!r} has {found}; give a tensor of {len(target['boxes'])}, its boxes")
    masks = target.get("masks")
    if masks is not None and masks.shape[-2:] != image.shape[-2:]:
        raise OptionError(f"target {row}: masks are {tuple(masks.shape[-2:])}, the image {tuple(image.shape[-2:])}")
    _require_inside(row, image, target["boxes"])


def _require_inside(row: int, image: Tensor, given: Tensor) -> None:
    """Refuse boxes for another picture's size; annotators' fractions of a pixel beyond the rim pass."""
    height, width = image.shape[-2:]
    canvas = getattr(given, "canvas_size", (height, width))
    if tuple(canvas) != (height, width):
        raise OptionError(f"target {row}: boxes are for a canvas of {tuple(canvas)}, the image is {(height, width)}")
    boxes = _plain("boxes", given)
    inside = (boxes >= -1).all(1) & (boxes <= boxes.new_tensor([width, height, width, height]) + 1).all(1)  # no NaN is
    if not inside.all():
        box = boxes[~inside][0].tolist()
        raise OptionError(
            f"target {row}: the box {box} (x0 y0 x1 y1) leaves the image, which is {height} x {width} (h, w); scale the"
            " boxes to the image's size, or clamp them (torchvision's clamp_bounding_boxes)"
        )


def _plain(name: str, value: Tensor) -> Tensor:
    """A tensor without a subclass: boxes as float XYXY, keypoints with their visibility."""
    if name == "boxes":
        from torchvision import tv_tensors
        from torchvision.transforms.v2 import functional

        if isinstance(value, tv_tensors.BoundingBoxes):
            plain: Tensor = value.as_subclass(Tensor).float()
            upright: Tensor = functional.convert_bounding_box_format(plain, value.format, "XYXY")
            return upright
        return value.float()
    plain = value.as_subclass(Tensor)
    if name == "keypoints" and plain.shape[-1] == 2:
        return torch.cat([plain.float(), torch.full_like(plain[..., :1], 2).float()], -1)
    return plain
