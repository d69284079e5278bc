"""``Natural``: every item alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from .base import Sampler

if TYPE_CHECKING:
    from ..views import Items


@dataclass(frozen=True, slots=True)
class Alike:
    """A rule that reads no column."""

    @property
    def column(self) -> None:
        return None

    def weights(self, values: pa.Array, first: int) -> NDArray[np.float64]:  # noqa: ARG002 - wherever they are
        return np.ones(len(values))

    @property
    def table(self) -> NDArray[np.float64]:
        return np.ones(1)

    def classes(self, values: pa.Array, first: int) -> NDArray[np.int64]:  # noqa: ARG002
        return np.zeros(len(values), dtype=np.int64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Natural(Sampler):
    """Every item once; with ``size``, that many items, each as often as any other to within one copy."""

    def rule(self, items: Items) -> Alike:  # noqa: ARG002 - nothing to count
        return Alike()
