"""Which of CIFAR's published forms a folder holds: official pickles, official .bin files, parquet, or an archive."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ...errors import SourceError
from .cifar_files import Files
from .options import some


@dataclass(frozen=True, slots=True, kw_only=True)
class CifarSpec:
    """What the two CIFAR sets differ in. Columns are ours: ``label`` and, for CIFAR-100, ``coarse_label``."""

    name: str
    title: str
    duplicates: str
    classes: Mapping[str, int]
    """Column -> number of classes."""
    pickle_keys: Mapping[str, str]
    """Column -> key of its labels in a pickle."""
    meta_keys: Mapping[str, str]
    """Column -> key of its class names in the meta pickle."""
    parquet_columns: Mapping[str, str]
    binary_order: tuple[str, ...]
    """Columns in the order of the label bytes of a .bin record."""
    python: Mapping[str, tuple[str, ...]]
    """Split -> pickles, in official order."""
    python_meta: str
    binary: Mapping[str, tuple[str, ...]]
    binary_names: Mapping[str, str]
    """Column -> text file of class names."""
    archive: str
    """How the official archives' names begin."""
    full: Mapping[str, int]


CIFAR10 = CifarSpec(
    name="cifar10",
    title="CIFAR-10",
    duplicates="3.25 %",
    classes={"label": 10},
    pickle_keys={"label": "labels"},
    meta_keys={"label": "label_names"},
    parquet_columns={"label": "label"},
    binary_order=("label",),
    python={"train": tuple(f"data_batch_{i}" for i in range(1, 6)), "test": ("test_batch",)},
    python_meta="batches.meta",
    binary={"train": tuple(f"data_batch_{i}.bin" for i in range(1, 6)), "test": ("test_batch.bin",)},
    binary_names={"label": "batches.meta.txt"},
    archive="cifar-10-",
    full={"train": 50_000, "test": 10_000},
)
CIFAR100 = CifarSpec(
    name="cifar100",
    title="CIFAR-100",
    duplicates="10 %",
    classes={"label": 100, "coarse_label": 20},
    pickle_keys={"label": "fine_labels", "coarse_label": "coarse_labels"},
    meta_keys={"label": "fine_label_names", "coarse_label": "coarse_label_names"},
    parquet_columns={"label": "fine_label", "coarse_label": "coarse_label"},
    binary_order=("coarse_label", "label"),
    python={"train": ("train",), "test": ("test",)},
    python_meta="meta",
    binary={"train": ("train.bin",), "test": ("test.bin",)},
    binary_names={"label": "fine_label_names.txt", "coarse_label": "coarse_label_names.txt"},
    archive="cifar-100-",
    full={"train": 50_000, "test": 10_000},
)
_PARQUET = re.compile(r"(train|test)\b[^/]*\.parquet")


@dataclass(frozen=True, slots=True)
class Layout:
    """One published form found in a folder."""

    kind: str
    """``pickles``, ``binary``, ``parquet`` or ``archive``."""
    folder: str
    splits: Mapping[str, tuple[str, ...]]
    """Split -> files that are needed, relative to the folder."""

    def path(self, name: str) -> str:
        return f"{self.folder}/{name}" if self.folder else name

    def __str__(self) -> str:
        return f"{self.kind} in {self.folder or 'the folder itself'}"


def find_layout(files: Files, spec: CifarSpec) -> Layout:
    """The one form of ``spec`` below an address, at any depth.

    Raises SourceError where there is none (saying what was looked for and what is there) or several (naming them).
    """
    sizes = files.sizes()
    if not sizes:
        raise SourceError(
            f"{files.where}: there is nothing there. Check the address; hub names are written hf:owner/name."
        )
    found = list(layouts(sizes, spec))
    if len(found) == 1:
        return found[0]
    if found:
        raise SourceError(
            f"{files.where} holds several copies of {spec.title}: {'; '.join(map(str, found))}. Give one address."
        )
    other = CIFAR100 if spec is CIFAR10 else CIFAR10
    also = list(layouts(sizes, other))
    hint = f" It does hold {other.title} ({also[0]}): use {other.name!r}." if also else ""
    raise SourceError(
        f"{files.where} holds no {spec.title}. Wanted pickles ({some(spec.python['train'], 2)}, {spec.python_meta}),"
        f" .bin files ({some(spec.binary['train'], 2)}), train-*.parquet / test-*.parquet or {spec.archive}*.tar.gz;"
        f" found {some(sizes)}.{hint}"
    )


def layouts(sizes: Mapping[str, int], spec: CifarSpec) -> Iterator[Layout]:
    """All forms of ``spec`` among file names, judged by the official names inside each folder."""
    folders: dict[str, set[str]] = {}
    for path in sorted(sizes):
        folder, _, name = path.rpartition("/")
        folders.setdefault(folder, set()).add(name)
    for folder, names in folders.items():
        yield from _in_folder(folder, names, spec)


def _in_folder(folder: str, names: set[str], spec: CifarSpec) -> Iterator[Layout]:
    pickles = _present(spec.python, names)
    # CIFAR-100's pickles are called "train" and "test"; only their meta file tells them from anything else.
    if pickles and (spec.python_meta in names or spec is CIFAR10):
        yield Layout("pickles", folder, pickles)
    if binary := _present(spec.binary, names):
        yield Layout("binary", folder, binary)
    tables: dict[str, tuple[str, ...]] = {}
    for name in sorted(names):
        if match := _PARQUET.match(name):
            tables[match.group(1)] = (*tables.get(match.group(1), ()), name)
    if tables:
        yield Layout("parquet", folder, {split: tables[split] for split in ("train", "test") if split in tables})
    for name in sorted(names):
        if name.startswith(spec.archive) and name.endswith((".tar.gz", ".tgz")):
            yield Layout("archive", folder, {"archive": (name,)})


def _present(wanted: Mapping[str, tuple[str, ...]], names: set[str]) -> dict[str, tuple[str, ...]]:
    """Splits of which at least one file is there: a lone missing batch must be noticed, not taken for a smaller set."""
    return {split: needed for split, needed in wanted.items() if names.intersection(needed)}
