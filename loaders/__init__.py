"""Bytes in motion: order, fetch, decode, batch, device."""

from . import samplers, scoring, subsets
from .answers import AnswerVocabulary
from .base import Dataset
from .batch import Batch, RaggedImages
from .bottleneck import Bottleneck
from .config import LoaderConfig, LoaderOptions, StreamConfig, StreamOptions
from .dataset import ShardDataset
from .decode import DecodePlanner
from .hf_features import hf_features
from .hf_trainer import hf_loader
from .loader import Loader
from .metrics import Metrics, StageTime
from .mix import mix
from .mixed import MixedDataset
from .open import open_dataset
from .order import EpochOrder, OrderSpec
from .preemption import Preemption
from .seeding import seed_all, worker_init_fn
from .simulate import Simulation, simulate
from .stream import Stream
from .world import World

__all__ = [
    "AnswerVocabulary",
    "Batch",
    "Bottleneck",
    "Dataset",
    "DecodePlanner",
    "EpochOrder",
    "Loader",
    "LoaderConfig",
    "LoaderOptions",
    "Metrics",
    "MixedDataset",
    "OrderSpec",
    "Preemption",
    "RaggedImages",
    "ShardDataset",
    "Simulation",
    "StageTime",
    "Stream",
    "StreamConfig",
    "StreamOptions",
    "World",
    "hf_features",
    "hf_loader",
    "mix",
    "open_dataset",
    "samplers",
    "scoring",
    "seed_all",
    "simulate",
    "subsets",
    "worker_init_fn",
]
