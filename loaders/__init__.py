"""Bytes in motion: order, fetch, decode, batch, device."""

from . import samplers, scoring
from .answers import AnswerVocabulary
from .batch import Batch, RaggedImages
from .config import LoaderConfig, LoaderOptions, StreamConfig, StreamOptions
from .dataset import ShardDataset, open_dataset
from .decode import DecodePlanner
from .hf_features import hf_features
from .loader import Loader
from .order import EpochOrder, OrderSpec
from .seeding import seed_all, worker_init_fn
from .simulate import Simulation, simulate
from .stream import Stream
from .world import World

__all__ = [
    "AnswerVocabulary",
    "Batch",
    "DecodePlanner",
    "EpochOrder",
    "Loader",
    "LoaderConfig",
    "LoaderOptions",
    "OrderSpec",
    "RaggedImages",
    "ShardDataset",
    "Simulation",
    "Stream",
    "StreamConfig",
    "StreamOptions",
    "World",
    "hf_features",
    "open_dataset",
    "samplers",
    "scoring",
    "seed_all",
    "simulate",
    "worker_init_fn",
]
