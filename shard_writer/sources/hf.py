"""Any Hugging Face image set: on the hub, in parquet files, or saved by ``save_to_disk``."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ...errors import OptionError, SourceError
from ..storage import Store, join, open_store
from ..types import About
from .hf_arrow import hub_tables, saved_tables
from .hf_features import roles_of
from .hf_parquet import ParquetTable
from .hf_split import HfSplit, image_field
from .hf_tables import Table
from .options import SourceOptions, keep_bytes, need_source, some

HUB = "hf:"
_NUMBERED = re.compile(r"^(?P<split>\w+(?:\.\w+)*)-\d+-of-\d+(?:-\w+)?\.parquet$")
_WORD = re.compile(r"(?:^|[^A-Za-z])(train|validation|valid|val|test|dev)(?=[^A-Za-z]|$)")
_MAX_CLASSES = 1_000_000


@dataclass(slots=True)
class HfSource:
    """``Source`` over the splits of a Hugging Face set."""

    name: str
    where: str
    tables: Mapping[str, Table]
    image_column: str | None
    identity: Mapping[str, str]
    _splits: dict[str, HfSplit] | None = field(default=None, init=False, repr=False, compare=False)

    def about(self) -> About:
        opened = self._open()
        classes = max((split.classes for split in opened.values()), key=len, default=())
        return About(
            name=self.name,
            licence="see the set's own card",
            classes={"label": classes} if classes else {},
            identity=self.identity,
            notes=tuple(note for split in opened.values() for note in _notes(split)),
        )

    def splits(self) -> tuple[str, ...]:
        return tuple(self.tables)

    def split(self, name: str) -> HfSplit:
        if name not in self.tables:
            raise SourceError(f"{self.where}: split {name!r} is not there; there are {some(self.tables)}.")
        return self._open()[name]

    def _open(self) -> dict[str, HfSplit]:
        if self._splits is None:
            self._splits = self._all_splits()
        return self._splits

    def _all_splits(self) -> dict[str, HfSplit]:
        roles = {name: roles_of(table.schema, self.image_column, self.where) for name, table in self.tables.items()}
        labels = {name: self.tables[name].column(role.label) if role.label else [] for name, role in roles.items()}
        named = next(
            (role.classes[role.label] for role in roles.values() if role.label and role.label in role.classes), None
        )
        classes = named or _numbers([label for column in labels.values() for label in column], self.where)
        return {
            name: HfSplit(
                table=table,
                name=name,
                where=self.where,
                roles=roles[name],
                classes=classes if roles[name].label else (),
                labelled=_labelled(labels[name]),
                image_field=image_field(table, roles[name].image),
                # Parquet too large to keep unpacked is read in its own order: a shuffled one would unpack every row
                # group again and again.
                shuffle=name == "train" and table.random_access,
            )
            for name, table in self.tables.items()
        }


def _labelled(labels: Sequence[int | None]) -> str:
    known = sum(label not in (None, -1) for label in labels)
    return "none" if not known else "all" if known == len(labels) else "some"


def _numbers(labels: Sequence[int | None], where: str) -> tuple[str, ...]:
    """Class names of integer labels without names: the numbers themselves."""
    top = max((label for label in labels if label is not None), default=-1)
    if top >= _MAX_CLASSES:
        raise SourceError(
            f"{where}: column 'label' reaches {top:,}; with no class names it is taken for ids, not classes. Rename it."
        )
    return tuple(map(str, range(top + 1)))


def _notes(split: HfSplit) -> list[str]:
    notes = [f"{split.name}: image column {name} is left out" for name in split.roles.left_out]
    if split.roles.label and split.labelled != "all":
        count = "all" if split.labelled == "none" else "some"
        notes.append(f"{split.name}: {count} labels are hidden (null or -1); they are null")
    if split.name == "train" and not split.shuffle:
        notes.append(f"{split.name}: packed in the order of its parquet files")
    return notes


def open_hf(source: str | None, options: SourceOptions) -> HfSource:
    """``owner/name`` or ``hf:owner/name`` on the hub, a folder of parquet files, one parquet file, or a folder saved
    by ``save_to_disk``. Raises SourceError for anything else, OptionError where a choice is needed.
    """
    url = need_source("hf", source, "a hub name like hf:owner/name, a parquet file or folder, or a save_to_disk folder")
    keep_bytes("hf", options.encode)
    name = url.removeprefix(HUB).rstrip("/").rsplit("/", 1)[-1]
    if url.startswith(HUB):
        return _hub(url.removeprefix(HUB), name, options)
    folder, _, last = url.rstrip("/").rpartition("/")
    if last.endswith(".parquet"):
        store = open_store(folder or ("/" if url.startswith("/") else "."), options.storage_options)
        files = [last] if store.exists(last) else []
    else:
        store = open_store(url, options.storage_options)
        files = [entry.path for entry in store.files()]
    if not files and re.fullmatch(r"[\w.-]+/[\w.-]+", url):
        return _hub(url, name, options)
    return _from_files(url, name.removesuffix(".parquet"), store, files, options)


def _hub(repository: str, name: str, options: SourceOptions) -> HfSource:
    identity = {"hub": repository, "revision": options.revision or "main", "config": options.config or "default"}
    return HfSource(name, f"hf:{repository}", hub_tables(repository, options), options.image_column, identity)


def _from_files(url: str, name: str, store: Store, files: Sequence[str], options: SourceOptions) -> HfSource:
    tables: Mapping[str, Table]
    if "dataset_dict.json" in files or "dataset_info.json" in files:
        tables = saved_tables(store.url, options)
        used = [file for file in files if file.endswith(".arrow")]
    else:
        used = [file for file in files if file.endswith(".parquet")]
        if not used:
            raise SourceError(
                f"{url}: no parquet file, no save_to_disk folder (dataset_info.json); found {some(files)}."
                " Hub names are written hf:owner/name."
            )
        tables = {
            split: ParquetTable(store, tuple(held)) for split, held in parquet_splits(used, options.config, url).items()
        }
    identity = {file: f"size:{store.size(file)}" for file in used}
    return HfSource(name, url, tables, options.image_column, identity)


def parquet_splits(files: Sequence[str], config: str | None, where: str) -> dict[str, list[str]]:
    """Split -> parquet files in name order.

    ``train-00000-of-00002.parquet``, ``train.parquet`` and ``train/0000.parquet`` are train, as is a file that names
    no split.

    Raises OptionError where several sub-folders hold the same split: those are configurations, and one is needed.
    """
    chosen = [file for file in sorted(files) if config is None or config in file.split("/")[:-1]]
    if not chosen:
        raise OptionError(f"{where}: no sub-folder {config!r} with parquet files among {some(sorted(files))}.")
    splits: dict[str, list[str]] = {}
    for file in chosen:
        splits.setdefault(_split_of(file), []).append(file)
    for split, held in splits.items():
        folders = sorted({join(*file.split("/")[:-1]) if "/" in file else "." for file in held})
        if len(folders) > 1:
            raise OptionError(
                f"{where}: split {split!r} lies in several folders: {some(folders)}. Choose one with config."
            )
    return {split: splits[split] for split in sorted(splits, key=_usual_order)}


def _usual_order(split: str) -> tuple[int, str]:
    usual = ("train", "validation", "valid", "val", "dev", "test")
    return (usual.index(split) if split in usual else len(usual), split)


def _split_of(file: str) -> str:
    *folders, name = file.split("/")
    if match := _NUMBERED.match(name):
        return match["split"]
    for part in (name.removesuffix(".parquet"), *reversed(folders)):
        if match := _WORD.search(part):
            return match[1]
    return "train"
