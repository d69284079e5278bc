"""What a sampler adds to batches: fields of a row that its loss needs, from the row's index columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ..rows import OPEN_SHARDS, Recent
from .base import Sampler
from .fit import Fitted

if TYPE_CHECKING:
    from ..views import Items

I64 = NDArray[np.int64]


class Delivered:
    """Fields by (shard, item). Keeps the column of shards in use. Picklable."""

    def __init__(self, sampler: Sampler, fitted: Fitted, items: Items) -> None:
        self._sampler, self._items = sampler, items
        self._rule = fitted.rules[0] if sampler.delivers else None
        self._values: Recent[pa.Array] = Recent(OPEN_SHARDS)

    def of(self, shards: I64, items: I64) -> Mapping[str, NDArray[Any]]:
        """Fields (n, ...) of the items (n,) of a batch."""
        if self._rule is None:
            return {}
        opened = [self._values.get(int(shard), self._column) for shard in shards]
        rows = [values.slice(item, 1) for values, item in zip(opened, items.tolist(), strict=True)]
        nothing = self._values.get(0, self._column).slice(0, 0)  # a rank without a row still has the fields
        return self._sampler.fields(self._rule, pa.concat_arrays([nothing, *rows]))

    def _column(self, shard: int) -> pa.Array:
        return self._items.values(shard, None if self._rule is None else self._rule.column)
