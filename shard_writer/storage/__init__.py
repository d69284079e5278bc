"""Where bytes live: one small ``Store`` over fsspec for local disk, S3 and HTTP."""

from .store import Entry, Store, Whole, expand, join, open_store

__all__ = ["Entry", "Store", "Whole", "expand", "join", "open_store"]
