"""shardstream: pack an image benchmark once into WebDataset shards, stream it exactly once per epoch, anywhere.

import shardstream as ss

ss.write("cifar10", source="cifar-10-batches-py", out="cifar10-shards")
ds = ss.open("cifar10-shards", split="train")
for batch in ss.Loader(ds, batch_size=256, shuffle=True, transform=ss.presets.cifar_train(), num_workers=2):
    ...
"""

from . import transforms
from .api import write
from .errors import (
    ChecksumMismatch,
    CorruptData,
    CorruptTar,
    DatasetNotFound,
    ManifestError,
    MissingExtra,
    OptionError,
    OutputExists,
    ShardstreamError,
    SourceError,
    StateError,
    StorageError,
    UndecodableImage,
)
from .loaders import (
    AnswerVocabulary,
    Batch,
    Loader,
    Preemption,
    RaggedImages,
    ShardDataset,
    Stream,
    World,
    hf_features,
    hf_loader,
    mix,
    samplers,
    scoring,
    seed_all,
    subsets,
    worker_init_fn,
)
from .loaders import open_dataset as open  # noqa: A004 - ss.open(url), as in io.open
from .shard_writer.foreign import index_tars as index
from .transforms import presets

__version__ = "0.1.0"

__all__ = [
    "AnswerVocabulary",
    "Batch",
    "ChecksumMismatch",
    "CorruptData",
    "CorruptTar",
    "DatasetNotFound",
    "Loader",
    "ManifestError",
    "MissingExtra",
    "OptionError",
    "OutputExists",
    "Preemption",
    "RaggedImages",
    "ShardDataset",
    "ShardstreamError",
    "SourceError",
    "StateError",
    "StorageError",
    "Stream",
    "UndecodableImage",
    "World",
    "hf_features",
    "hf_loader",
    "index",
    "mix",
    "open",
    "presets",
    "samplers",
    "scoring",
    "seed_all",
    "subsets",
    "transforms",
    "worker_init_fn",
    "write",
]
