"""The rows of one split of a Hugging Face set, wherever they lie."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import pyarrow as pa


class Table(Protocol):
    """The rows of one split. Picklable."""

    @property
    def schema(self) -> pa.Schema:
        """Arrow schema, with Hugging Face's feature metadata where it was written."""
        ...

    @property
    def rows(self) -> int: ...

    @property
    def random_access(self) -> bool:
        """Reading any row costs that row, not its neighbours."""
        ...

    def row(self, index: int) -> dict[str, Any]:
        """All columns of one row as plain Python values; images as ``{"bytes", "path"}``."""
        ...

    def column(self, name: str) -> list[Any]: ...

    def image_sizes(self, name: str) -> Sequence[int]:
        """About the bytes of each row's image, without reading it: a pure function of the files."""
        ...

    def arrow(self) -> pa.Table:
        """Everything, in memory."""
        ...
