"""AugMix: several chains of operations, mixed with each other and with the image itself."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..errors import OptionError
from . import distributions as dist
from .boxes import F64, I64, U64
from .memory import blank_like
from .policy import Policy, drawn
from .policy_ops import play
from .policy_space import MIX, MIX_PLAIN
from .rows import chunks, column

DEEPEST = 3
BINS = 10


class AugMix(Policy):
    """``mixture_width`` chains of 1 to 3 operations, or ``chain_depth``, added up (Hendrycks et al. 2020).

        out = m image + (1 - m) (w1 chain1 + w2 chain2 + ...)      m ~ Beta(alpha), w ~ Dirichlet(alpha)

    torchvision's definition: bins 0..severity - 1 of 10, without ``all_ops`` none of brightness, colour, contrast and
    sharpness; the sum's fraction is cut off.
    """

    def __init__(
        self,
        severity: int = 3,
        mixture_width: int = 3,
        chain_depth: int = -1,
        alpha: float = 1.0,
        all_ops: bool = True,
        interpolation: str = "bilinear",
        fill: int | None = None,
    ) -> None:
        super().__init__(interpolation, fill)
        if not 1 <= severity <= BINS or mixture_width < 1 or not alpha > 0:
            raise OptionError(
                f"{self.name}: severity is {severity}, mixture_width {mixture_width}, alpha {alpha}; give a severity "
                f"in 1..{BINS}, one chain or more, and an alpha above 0"
            )
        self.severity, self.mixture_width, self.chain_depth, self.alpha = severity, mixture_width, chain_depth, alpha
        self.all_ops = all_ops

    def draw(self, sizes: I64, seeds: U64) -> F64:
        """(B, 1 + width + width * depth * 2): the image's weight, the chains' weights, then each chain's steps."""
        width, deepest = self.mixture_width, max(self.chain_depth, DEEPEST)
        weighing = (2 + width) * dist.UNIFORMS
        u = self.uniforms(seeds, weighing + width * (1 + 3 * deepest))
        gammas = u[:, :weighing].reshape(len(u), 2 + width, dist.UNIFORMS)
        own = dist.beta(self.alpha, gammas[:, :2])[:, None]
        weights = np.concatenate([own, dist.dirichlet(self.alpha, gammas[:, 2:]) * (1 - own)], axis=1)
        steps = self._chains(u[:, weighing:].reshape(len(u), width, 1 + 3 * deepest), deepest, sizes)
        return np.concatenate([weights, steps.reshape(len(u), width * deepest * 2)], axis=1)

    def _chains(self, u: F64, deepest: int, sizes: I64) -> F64:
        """Steps (B, width, depth, 2) from uniforms (B, width, 1 + 3 * depth); Identity beyond a chain's end."""
        count, width = u.shape[:2]
        depth = np.floor(1 + u[..., :1] * DEEPEST) if self.chain_depth <= 0 else self.chain_depth
        choice, place, sign = u[..., 1:].reshape(count, width * deepest, 3).transpose(2, 0, 1)
        bins = np.floor(place * self.severity).astype(np.int64)
        steps = drawn(MIX if self.all_ops else MIX_PLAIN, choice, bins, BINS, sign, sizes).reshape(
            count, width, deepest, 2
        )
        return np.where((np.arange(deepest) < depth)[..., None], steps, 0.0)

    def play(self, images: Tensor, params: F64) -> Tensor:
        width = self.mixture_width
        weights, steps = params[:, : 1 + width], params[:, 1 + width :].reshape(len(params), width, -1, 2)
        parts = [images, *(play(images, steps[:, chain], self.look) for chain in range(width))]
        out = blank_like(images)
        for rows in chunks(np.arange(len(images)), images):
            some = slice(int(rows[0]), int(rows[-1]) + 1)
            mixed = torch.mul(images[some], column(weights[some, 0], images))
            for part, weight in zip(parts[1:], weights[some, 1:].T, strict=True):
                mixed.add_(torch.mul(part[some], column(weight, images)))
            out[some] = mixed
        return out

    def extra_repr(self) -> str:
        used = f"severity={self.severity}, mixture_width={self.mixture_width}, chain_depth={self.chain_depth}"
        return f"{used}, alpha={self.alpha}, all_ops={self.all_ops}, {super().extra_repr()}"
