"""``Weighted``: weights of the user's own."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash
from numpy.typing import ArrayLike, NDArray

from ...errors import OptionError
from .base import Sampler
from .columns import label_column

if TYPE_CHECKING:
    from ..views import Items
    from .fit import Fitted

F64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ColumnRule:
    """An item weighs what a numeric column says."""

    column: str

    def weights(self, values: pa.Array, first: int) -> F64:
        if not (pa.types.is_integer(values.type) or pa.types.is_floating(values.type)):
            raise OptionError(f"column {self.column!r} holds {values.type}; weights are integers or floats.")
        if values.null_count:
            place = first + pc.index(values.is_null(), True).as_py()
            raise OptionError(f"column {self.column!r} is null for {values.null_count:,} items, the first is {place}.")
        weights: F64 = values.cast(pa.float64()).to_numpy(zero_copy_only=False)
        return weights


@dataclass(frozen=True, slots=True)
class ArrayRule:
    """An item weighs what stands at its number in an array."""

    array: NDArray[Any] = field(repr=False)

    @property
    def column(self) -> None:
        return None

    def weights(self, values: pa.Array, first: int) -> F64:
        return self.array[first : first + len(values)].astype(np.float64)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Weighted(Sampler):
    """Weights of your own, 0 or more, of which only proportions count: an index column, or one per item of the view.

    A column is named (joined ones too). An array (n,) stands in the view's order, is kept by reference and must not
    change; a state saved with other weights is refused. Where workers are spawned each gets a copy of the array.
    """

    weights: str | ArrayLike
    _array: NDArray[Any] | None = field(default=None, init=False)

    def check(self) -> None:
        if isinstance(self.weights, str):
            return
        array = np.asarray(self.weights)
        if array.ndim != 1 or array.dtype.kind not in "iuf":
            raise OptionError(
                f"weights have shape {array.shape} and type {array.dtype}; give one number per item of the view, or the"
                " name of an index column."
            )
        object.__setattr__(self, "_array", array)

    def __repr__(self) -> str:
        return str(self)

    def __str__(self) -> str:
        if self._array is None:
            shown = repr(self.weights)
        else:
            digest = xxhash.xxh3_128_hexdigest(self._array.tobytes())
            shown = f"<{len(self._array)} {self._array.dtype} {digest}>"
        return f"Weighted({shown}, size={self.size}, max_copies={self.max_copies})"

    def fit(self, items: Items, seed: int) -> Fitted:
        if self._array is not None and (len(self._array) != len(items) or len(items.parts) > 1):
            mixed = " of a mixture, which takes columns only" if len(items.parts) > 1 else ""
            raise OptionError(
                f"{len(self._array):,} weights were given for {len(items):,} {items.view.kind}s{mixed}; give one each, in"
                " the view's order."
            )
        return Sampler.fit(self, items, seed)

    def rule(self, items: Items) -> ColumnRule | ArrayRule:
        if self._array is not None:
            return ArrayRule(self._array)
        return ColumnRule(label_column(items, str(self.weights)))
