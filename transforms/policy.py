"""RandAugment, TrivialAugmentWide and AutoAugment: torchvision's definitions, operations drawn for each sample.

uint8 (B, 1 or 3, H, W), or ragged, in and out; place them before Normalize. Pixels equal torchvision's for the same
operations and magnitudes: colours to one level, moves but for ties between two neighbours. Shears, shifts and
rotations move the image's pixels only, so a batch with boxes, keypoints, masks or a body crop is refused, as
torchvision refuses it.
"""

from __future__ import annotations

import numpy as np
from torch import Tensor

from ..errors import OptionError
from ..moving import refuse_to_move
from .base import RandomTransform
from .batch import Batch, Images, require_uint8
from .boxes import F64, I64, U64
from .policy_ops import Look, play
from .policy_space import AUTO, RAND, WIDE, Op, Space, codes, magnitudes
from .policy_tables import POLICIES
from .rows import each

AUTO_BINS = 10


class Policy(RandomTransform):
    """Draws operations and magnitudes for each row, then plays them, rows with one operation together."""

    def __init__(self, interpolation: str, fill: int | None) -> None:
        super().__init__()
        if interpolation not in ("nearest", "bilinear") or not (fill is None or 0 <= fill <= 255):
            raise OptionError(
                f"{self.name}: interpolation is {interpolation!r}, fill {fill}; use nearest or bilinear, fill None or "
                "0..255"
            )
        self.look = Look(interpolation, fill)

    def forward(self, batch: Batch) -> Batch:
        refuse_to_move(batch, self.name)
        return super().forward(batch)

    def apply_to(self, images: Images, params: F64) -> Images:
        require_uint8(images, self.name)
        _require_grey_or_colour(images, self.name)
        return each(images, params, self.play)

    def play(self, images: Tensor, params: F64) -> Tensor:
        """(B, C, H, W) after the drawn ``params`` (B, S, 2)."""
        return play(images, params, self.look)

    def extra_repr(self) -> str:
        return f"interpolation={self.look.interpolation!r}, fill={self.look.fill}"


class RandAugment(Policy):
    """``num_ops`` operations after each other, drawn with replacement, all at bin ``magnitude`` (Cubuk et al. 2020).

    14 operations, Identity among them; a signed magnitude is negative half of the time. ``fill=None`` as torchvision's.
    """

    def __init__(
        self,
        num_ops: int = 2,
        magnitude: int = 9,
        num_magnitude_bins: int = 31,
        interpolation: str = "nearest",
        fill: int | None = None,
    ) -> None:
        super().__init__(interpolation, fill)
        if num_ops < 0 or not 0 <= magnitude < num_magnitude_bins:
            raise OptionError(
                f"{self.name}: num_ops is {num_ops}, magnitude {magnitude} of {num_magnitude_bins} bins; give num_ops "
                "of 0 or more and a magnitude below the number of bins"
            )
        self.num_ops, self.magnitude, self.num_magnitude_bins = num_ops, magnitude, num_magnitude_bins

    def draw(self, sizes: I64, seeds: U64) -> F64:
        """(B, num_ops, 2): each step's operation, as its place in ``policy_space.NAMES``, and magnitude."""
        u = self.uniforms(seeds, self.num_ops * 2).reshape(len(seeds), self.num_ops, 2)
        bins = np.full(u.shape[:2], self.magnitude)
        return drawn(RAND, u[..., 0], bins, self.num_magnitude_bins, u[..., 1], sizes)

    def extra_repr(self) -> str:
        used = f"num_ops={self.num_ops}, magnitude={self.magnitude}, num_magnitude_bins={self.num_magnitude_bins}"
        return f"{used}, {super().extra_repr()}"


class TrivialAugmentWide(Policy):
    """One operation at a uniform bin of its wide range (Müller and Hutter 2021)."""

    def __init__(self, num_magnitude_bins: int = 31, interpolation: str = "nearest", fill: int | None = None) -> None:
        super().__init__(interpolation, fill)
        if num_magnitude_bins < 2:
            raise OptionError(f"{self.name}: num_magnitude_bins is {num_magnitude_bins}; give 2 or more")
        self.num_magnitude_bins = num_magnitude_bins

    def draw(self, sizes: I64, seeds: U64) -> F64:
        """(B, 1, 2): the operation and its magnitude."""
        u = self.uniforms(seeds, 3)[:, None]
        bins = np.floor(u[..., 1] * self.num_magnitude_bins).astype(np.int64)
        return drawn(WIDE, u[..., 0], bins, self.num_magnitude_bins, u[..., 2], sizes)

    def extra_repr(self) -> str:
        return f"num_magnitude_bins={self.num_magnitude_bins}, {super().extra_repr()}"


class AutoAugment(Policy):
    """One of 25 learned pairs of operations, each done with its own probability (Cubuk et al. 2019).

    ``policy``: "imagenet", "cifar10" or "svhn".
    """

    def __init__(self, policy: str = "imagenet", interpolation: str = "nearest", fill: int | None = None) -> None:
        super().__init__(interpolation, fill)
        if policy not in POLICIES:
            raise OptionError(f"{self.name}: policy is {policy!r}; use one of {', '.join(POLICIES)}")
        self.policy = policy

    def draw(self, sizes: I64, seeds: U64) -> F64:
        """(B, 2, 2): both steps' operations (Identity where not done) and magnitudes."""
        u = self.uniforms(seeds, 5)
        pairs = POLICIES[self.policy]
        mine = np.floor(u[:, 0] * len(pairs)).astype(np.int64)
        names = [op.name for op in AUTO]
        ops = np.array([[names.index(step[0]) for step in pair] for pair in pairs])[mine]  # (B, 2)
        shares, bins = (np.array([[step[part] for step in pair] for pair in pairs])[mine] for part in (1, 2))
        steps = _steps(AUTO, ops, bins.astype(np.int64), AUTO_BINS, u[:, 3:], sizes)
        return np.where((u[:, 1:3] < shares)[..., None], steps, 0.0)  # NAMES[0] is Identity

    def extra_repr(self) -> str:
        return f"{self.policy!r}, {super().extra_repr()}"


def drawn(space: Space, choice: F64, bins: I64, count: int, sign: F64, sizes: I64) -> F64:
    """Steps (B, S, 2) of ``space`` from uniforms ``choice`` and ``sign`` (B, S)."""
    ops = np.floor(choice * len(space)).astype(np.int64)
    return _steps(space, ops, bins, count, sign, sizes)


def _steps(space: tuple[Op, ...], ops: I64, bins: I64, count: int, sign: F64, sizes: I64) -> F64:
    of_each = np.broadcast_to(sizes[:, None], (*ops.shape, 2))
    magnitude = magnitudes(space, ops, bins, count, sign < 0.5, of_each)
    return np.stack([codes(space)[ops].astype(np.float64), magnitude], axis=-1)


def _require_grey_or_colour(images: Images, who: str) -> None:
    channels = {images.shape[1]} if isinstance(images, Tensor) else {len(row) for row in images}
    if not channels <= {1, 3}:
        raise OptionError(f"{who}: 'image' has {max(channels)} channels; 1 (grey) or 3 (RGB) are understood")
