"""Options of ``Stream`` and ``Loader``: typed keywords outside, one frozen value inside."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypedDict

from ..errors import OptionError
from .order import WINDOW, rank_positions
from .samplers import Natural, Sampler
from .world import World

Decode = Literal["fast", "exact", "gpu"]
WorkerKind = Literal["process", "thread"]


class StreamOptions(TypedDict, total=False):
    """Keywords of ``ss.Stream``; their meaning stands in ``StreamConfig``."""

    batch_size: int
    global_batch_size: int
    shuffle: bool
    seed: int
    drop_last: bool
    transform: Callable[[Any], Any]
    sample_transform: Callable[[Any], Any]
    rename: Mapping[str, str]
    world: World
    shuffle_window: int
    shuffle_lanes: int
    view: str
    sampler: Sampler
    body_size: tuple[int, int]
    decode: Decode
    masks: bool


class LoaderOptions(StreamOptions, total=False):
    """Keywords of ``ss.Loader``: those of ``ss.Stream`` and how batches reach the device."""

    device: Any
    num_workers: int
    prefetch_factor: int
    pin_memory: bool
    persistent_workers: bool
    multiprocessing_context: str
    worker_kind: WorkerKind
    device_ahead: int
    live: bool | Literal["always"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamConfig:
    """Which samples come in which batches, and what is done to them in the worker."""

    batch_size: int | None = None
    """Rows per rank. Give this or ``global_batch_size``; neither means 1."""
    global_batch_size: int | None = None
    """Rows over all ranks. With the same value every world size sees the same sequence of global batches."""
    shuffle: bool = False
    """True: training, a new order each epoch. False: evaluation, canonical order, nothing random."""
    seed: int = 0
    drop_last: bool | None = None
    """Drop the last incomplete global batch; default: as ``shuffle``. Otherwise its empty slots are ``valid=False``."""
    transform: Callable[[Any], Any] | None = None
    """Takes and returns the batch."""
    sample_transform: Callable[[Any], Any] | None = None
    """Takes one decoded RGB PIL image in the worker, under generators seeded for (seed, epoch, key, copy)."""
    rename: Mapping[str, str] = field(default_factory=dict)
    """Batch fields under other names, ``{"image": "pixel_values", "label": "labels"}``."""
    world: World = field(default_factory=World.from_environment)
    shuffle_window: int = WINDOW
    """Neighbours in a shard that are permuted together. Lanes times window is how far items travel: 1 and 1 keep
    shards whole and in order (only they are permuted), one window over everything is a global shuffle."""
    shuffle_lanes: int | None = None
    """Places of the epoch that are read side by side; default: the largest divisor of 384 that leaves each a full
    window. World sizes that divide it read whole lanes, nearly their own shards."""
    view: str = "image"
    """What an item is: ``image`` with all its annotations; ``caption``, ``person`` or ``question``: one item per part;
    ``caption:random``, one drawn per image and epoch; ``caption:first``; ``caption:all``, images with lists."""
    sampler: Sampler = field(default_factory=Natural)
    """How often each item comes in an epoch: ``ss.samplers``."""
    body_size: tuple[int, int] = (128, 128)
    """view="person": height and width of the body crop."""
    decode: Decode = "fast"
    """``fast``: only the planned window of a JPEG is decoded, and resized as torchvision resizes uint8 tensors.
    ``exact``: as Pillow does both, for reference numbers; at most a grey level away, in rare values two.
    ``gpu`` (``Loader`` on a CUDA device): baseline JPEGs are decoded, cropped and resized there, the rest as ``fast``."""
    masks: bool = False
    """Carry objects' segmentations, so that ``batch.targets(masks=True)`` can draw them."""

    def __post_init__(self) -> None:
        if not self.shuffle and self.sampler != Natural():
            raise OptionError(
                f"sampler {self.sampler} with shuffle=False: evaluation takes every item once, in order. Pass"
                " shuffle=True to train with it, or leave the sampler out."
            )
        if self.batch_size is not None and self.global_batch_size is not None:
            raise OptionError(
                f"batch_size {self.batch_size} (per rank) and global_batch_size {self.global_batch_size} are both given;"
                " give one."
            )
        if self.decode == "gpu":
            raise OptionError(
                "decode='gpu' is for ss.Loader, which decodes after the copy; a Stream takes 'fast', 'exact'."
            )
        if self.decode not in ("fast", "exact"):
            raise OptionError(f"decode {self.decode!r} is not one of 'fast', 'exact', 'gpu'.")
        sides: tuple[int, ...] = self.body_size
        if len(sides) != 2 or min(sides) < 1:
            raise OptionError(f"body_size {self.body_size} is not (height, width), each at least 1.")
        if self.global_batch < 1:
            raise OptionError(f"the batch size must be at least 1, not {self.global_batch}.")

    @property
    def global_batch(self) -> int:
        """Rows over all ranks."""
        if self.global_batch_size is not None:
            return self.global_batch_size
        return (1 if self.batch_size is None else self.batch_size) * self.world.world_size

    @property
    def rows(self) -> int:
        """Rows of one rank's batch."""
        return -(-self.global_batch // self.world.world_size)

    def positions(self, start: int, stop: int) -> range:
        """Positions of global batch [start, stop) that this rank takes."""
        return rank_positions(start, stop, self.world.rank, self.world.world_size, self.shuffle)

    @property
    def drops_last(self) -> bool:
        return self.shuffle if self.drop_last is None else self.drop_last


@dataclass(frozen=True, slots=True, kw_only=True)
class LoaderConfig:
    """How batches reach the device."""

    device: Any = "cpu"
    num_workers: int = 0
    worker_kind: WorkerKind = "process"
    """``process``: workers of torch's DataLoader. ``thread``: threads of this process, which share its caches and hand
    over batches without a copy; decoding and resizing release the interpreter lock. Same batches, bit for bit."""
    prefetch_factor: int | None = None
    """Batches each worker prepares ahead; default 2."""
    pin_memory: bool | None = None
    """Default: where the device is CUDA."""
    persistent_workers: bool = False
    multiprocessing_context: str | None = None
    device_ahead: int = 1
    """Batches that are copied to a CUDA device, on a stream of their own, while the caller works on this one."""
    live: bool | Literal["always"] = False
    """A line on stderr that shows what the loader does, where that is a terminal; ``always``: elsewhere, too."""

    def __post_init__(self) -> None:
        if self.num_workers < 0:
            raise OptionError(f"num_workers must be 0 or more, not {self.num_workers}.")
        if self.worker_kind not in ("process", "thread"):
            raise OptionError(f"worker_kind {self.worker_kind!r} is not one of 'process', 'thread'.")
        if self.device_ahead < 0:
            raise OptionError(f"device_ahead must be 0 or more, not {self.device_ahead}.")
        if self.live not in (False, True, "always"):
            raise OptionError(f"live {self.live!r} is not one of False, True, 'always'.")
        if self.num_workers == 0 and self.prefetch_factor is not None:
            raise OptionError(f"prefetch_factor {self.prefetch_factor} needs num_workers above 0.")

    @property
    def ahead(self) -> int:
        """Batches that may be ready or in the making, over all workers."""
        return self.num_workers * (self.prefetch_factor or 2)
