"""Every error this library raises on purpose.

    ShardstreamError
    ├── OptionError        (ValueError)         an argument or option that cannot be honoured
    ├── MissingExtra       (ImportError)        an optional dependency is not installed
    ├── SourceError        (ValueError)         source files do not hold what their format promises
    ├── DatasetNotFound    (FileNotFoundError)  there is no dataset at that address
    ├── OutputExists       (FileExistsError)    the output holds something already
    ├── StorageError       (OSError)            bytes could not be read or written
    ├── ManifestError      (ValueError)         dataset.json or an index file is not ours, damaged or too new
    ├── StateError         (ValueError)         a saved loader state belongs to something else
    └── CorruptData        (ValueError)         bytes at rest are not what was written
        ├── CorruptTar                          a shard is no well-formed tar
        ├── ChecksumMismatch                    a member or shard differs from its checksum
        └── UndecodableImage                    an image does not decode

Each is also the builtin that a caller would catch. A message says what happened, the two values that disagree,
and what to do.
"""

from __future__ import annotations


class ShardstreamError(Exception):
    """Base of every error of this library."""


class OptionError(ShardstreamError, ValueError):
    """An argument or option cannot be honoured."""


class MissingExtra(ShardstreamError, ImportError):
    """An optional dependency is not installed; the message names the extra that brings it."""


class SourceError(ShardstreamError, ValueError):
    """Source files do not hold what their format promises."""


class DatasetNotFound(ShardstreamError, FileNotFoundError):
    """There is no dataset at that address."""


class OutputExists(ShardstreamError, FileExistsError):
    """The output address holds something already."""


class StorageError(ShardstreamError, OSError):
    """Bytes could not be read from or written to their store."""


class ManifestError(ShardstreamError, ValueError):
    """A manifest or index file is not ours, damaged, or of a newer format."""


class StateError(ShardstreamError, ValueError):
    """A saved loader state belongs to another dataset, order or library version."""


class CorruptData(ShardstreamError, ValueError):
    """Bytes at rest are not what was written."""


class CorruptTar(CorruptData):
    """A shard is no well-formed tar: url, offset, what was expected, what is there."""


class ChecksumMismatch(CorruptData):
    """A member or shard differs from the checksum in its index."""


class UndecodableImage(CorruptData):
    """An image's bytes do not decode, or decode to another size than the index says."""
