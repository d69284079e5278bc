"""Where bytes live: one small ``Store`` over fsspec for local disk, S3 and HTTP."""

from .address import expand, join, scheme_of
from .mounts import Mount, around, mount_of
from .store import Entry, Store, Whole, open_store

__all__ = ["Entry", "Mount", "Store", "Whole", "around", "expand", "join", "mount_of", "open_store", "scheme_of"]
