"""A pipeline of batch transforms, of which the leading geometry can be done by the loader while it decodes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from torch import nn

from ..errors import OptionError
from ..moving import DECODED_CROP
from .base import Staged, Transform
from .batch import Batch, copied
from .boxes import I64, U64
from .fusion import Fuse, fused
from .geometry_fixed import CenterCrop, Resize, ResizedWindow
from .plan import DecodePlan, DecodePlanner


class Compose(Transform):
    """Transforms one after another; those inside an inner Compose count as its own.

    ``fuse``: neighbours that are sampled once instead of twice (see ``fusion``). True: only where that gives the same
    picture; "all": consecutive RandomAffines too; False: every stage by itself.

    Every random transform gets a stage of its own from its class and its position among that class, so two flips
    draw independently. ``decode_plan`` is that of the leading transform (Resize and CenterCrop together). Where the
    batch was decoded to it (it has a ``crop`` field), those leading transforms leave the pixels alone.
    """

    def __init__(self, transforms: Iterable[nn.Module], *, fuse: Fuse = True) -> None:
        super().__init__()
        self.stages = nn.ModuleList(_staged(_flat(transforms)))
        self.fuse: Fuse = fuse
        self._planned = _leading_planner(list(self.stages))[1]
        # Tuples, not children: the stages in them are already.
        self._whole = fused(list(self.stages), fuse)
        self._after_plan = fused(list(self.stages)[self._planned :], fuse)

    def decode_plan(self, keys: Sequence[str], sizes: I64, seeds: U64) -> DecodePlan | None:
        """The leading geometry for these images; None where there is none, or it has no plan."""
        planner, _ = _leading_planner(list(self.stages))
        return None if planner is None else planner.decode_plan(keys, sizes, seeds)

    def forward(self, batch: Batch) -> Batch:
        if batch.get("crop") is None:
            return _through(self._whole, batch)
        decoded = _through(list(self.stages)[: self._planned], batch)
        # A later CenterCrop was not part of the plan: it must crop.
        out = _through(self._after_plan, _renamed(decoded, "crop", DECODED_CROP))
        return _renamed(out, DECODED_CROP, "crop") if DECODED_CROP in out else out

    def bind(self, statistics: Mapping[str, Any]) -> Compose:
        """The same pipeline with every transform bound to the dataset's statistics."""
        bound = [s.bind(statistics) if isinstance(s, Transform) else s for s in self.stages]
        return Compose(bound, fuse=self.fuse)

    def __len__(self) -> int:
        return len(self.stages)

    def __iter__(self) -> Iterator[nn.Module]:
        return iter(self.stages)

    def __repr__(self) -> str:
        notes = ["  # drawn before decoding" if n < self._planned else "" for n in range(len(self))]
        lines = "".join(f"    {stage!r},{note}\n" for stage, note in zip(self.stages, notes, strict=True))
        return f"Compose([\n{lines}])"


def _through(stages: Iterable[nn.Module], batch: Batch) -> Batch:
    for stage in stages:
        batch = stage(batch)
    return batch


def _flat(transforms: Iterable[nn.Module]) -> Iterator[nn.Module]:
    for transform in transforms:
        if isinstance(transform, Compose):
            yield from transform.stages
        elif isinstance(transform, nn.Module):
            yield transform
        else:
            raise OptionError(
                f"Compose: {transform!r} is a {type(transform).__name__}; give torch.nn.Modules that take and return "
                "a batch (a per-image function goes to the loader's sample_transform=)"
            )


def _staged(transforms: Iterable[nn.Module]) -> Iterator[nn.Module]:
    """Each random transform told how many of its class come before it."""
    seen: Counter[str] = Counter()
    for transform in transforms:
        if isinstance(transform, Staged):
            yield transform.at(seen[transform.name])
            seen[transform.name] += 1
        else:
            yield transform


def _leading_planner(stages: list[nn.Module]) -> tuple[DecodePlanner | None, int]:
    """The planner at the head of the pipeline, and how many stages it stands for."""
    match stages:
        case [Resize() as resize, CenterCrop() as crop, *_]:
            return ResizedWindow(resize, crop), 2
        case [DecodePlanner() as planner, *_]:
            return planner, 1
        case _:
            return None, 0


def _renamed(batch: Batch, old: str, new: str) -> Batch:
    out = copied(batch)
    out[new] = out.pop(old)
    return out
