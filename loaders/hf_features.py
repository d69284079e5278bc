"""``hf_features``: what Hugging Face ``datasets`` must be told to read a split without losing a value."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.compute as pc

from ..errors import CorruptData, MissingExtra, OptionError
from ..shard_writer.fields import IMAGE_EXTENSIONS
from ..shard_writer.index import SplitIndex
from ..shard_writer.json_shape import MEMBER, Kind, Shape, add_shape, json_types
from ..shard_writer.tar_group import split_name
from ..shard_writer.tar_read import scan
from .base import Dataset
from .dataset import ShardDataset

if TYPE_CHECKING:
    from datasets import Features

# What datasets' webdataset loader decodes by extension, whatever the features say (its DECODERS).
_TEXT = ("txt", "text", "transcript")
_WHOLE = ("cls", "cls2", "index", "inx", "id")
_JSON = ("json", "jsn")
_OPAQUE = ("ten", "tb", "mp", "msg", "npz", "cbor", "pth")
_COMPRESSED = ("bz2", "gz", "lz4", "xz", "zst")
_VALUES = {"bool": "bool", "int": "int64", "float": "float64", "string": "string", "null": "null"}


def hf_features(ds: Dataset) -> Features:
    """``datasets.Features`` with which ``load_dataset("webdataset", ...)`` reads every value of a split.

        load_dataset("webdataset", data_files=ds.urls, features=ss.hf_features(ds), split="train")

    Left alone, that loader infers types from five samples: later keys come as None, later types fail. Here they are
    those of the whole split, also where ``ds`` is a selection of its rows. Images are ``Image()``, JSON the struct of
    its kinds, ``.cls`` a ``ClassLabel`` where the manifest names the classes (else int64), ``.npy`` nested lists
    of their dtype, other members bytes. Null, ``[]``, ``{}`` and a list of nulls stay what they are. Arrow cannot
    keep one thing: integers where reals occur too become floats of equal value.

    Of sets that we packed the manifest knows the kinds; of indexed tars every JSON member is read, and ``.npy``
    members are read in both. Raises MissingExtra without ``datasets``; SourceError where two samples' JSON differ in
    shape; OptionError for members that ``datasets`` decodes to something no feature describes; CorruptData.
    """
    if not isinstance(ds, ShardDataset):
        raise OptionError(f"hf_features describes the shards of one split, not {ds!r}; ask for those of its parts.")
    hf = _library()
    columns: dict[str, Any] = {}
    for field, spellings in _spellings(ds).items():
        feature = _feature(hf, ds, field)
        columns |= dict.fromkeys(spellings, feature)
    features: Features = hf.Features({**columns, "__key__": hf.Value("string"), "__url__": hf.Value("string")})
    return features


def _library() -> Any:
    try:
        import datasets
    except ImportError as error:
        raise MissingExtra(
            f"hf_features makes datasets.Features, an optional package: pip install 'shardstream[hf]' ({error})"
        ) from error
    return datasets


def _spellings(ds: ShardDataset) -> dict[str, list[str]]:
    """Extension -> how it stands in the tars. We write lower case; others mix it, and ``datasets`` tells cases apart."""
    if ds.info.base is None:
        return {field: [field] for field in ds.info.fields}
    found: dict[str, dict[str, None]] = {field: {} for field in ds.info.fields}
    shards = ds.info.shard_store(ds.store)
    for number, entry in enumerate(ds.info.shards):
        with shards.open(ds.info.shard_path(number)) as file:
            for member in scan(file, url=ds.fetcher.url(number), size=entry.bytes):
                parts = split_name(member.name)
                if parts is not None and parts[1] in found:
                    found[parts[1]][member.name[len(parts[0]) + 1 :]] = None
    return {field: list(names) for field, names in found.items()}


def _feature(hf: Any, ds: ShardDataset, field: str) -> Any:
    *stems, kind = field.split(".")
    compressed = kind in _COMPRESSED  # datasets unpacks such members, then decodes what is inside
    if compressed:
        kind = stems[-1] if stems else ""
    if field == "cls" and ds.info.fields[field] == "class":
        return _class_feature(hf, ds)
    if kind in _TEXT:
        return hf.Value("string")
    if kind in _WHOLE:
        return hf.Value("int64")
    if kind in _OPAQUE or (compressed and kind in (*_JSON, "npy")):
        raise OptionError(
            f"datasets decodes members .{field} by itself, to what hf_features cannot describe; pass features of your own."
        )
    if kind in _JSON:
        return _json_feature(hf, _json_kind(ds, field))
    if kind == "npy":
        return _array_feature(hf, ds, field)
    return hf.Image() if kind in IMAGE_EXTENSIONS and not compressed else hf.Value("binary")


def _class_feature(hf: Any, ds: ShardDataset) -> Any:
    column = str(ds.packed.label_column)
    labels = pc.min_max(SplitIndex(ds.store, ds.packed).table([column])[column]).as_py()
    named = ds.classes and labels["min"] is not None and labels["min"] >= -1 and labels["max"] < len(ds.classes)
    return hf.ClassLabel(names=list(ds.classes)) if named else hf.Value("int64")


def _json_kind(ds: ShardDataset, field: str) -> Kind:
    if field == MEMBER and ds.info.json_types:
        return ds.info.json_types
    shape: Shape = {}
    for where, payload in _payloads(ds, field):
        try:
            value = json.loads(payload)
        except (ValueError, RecursionError) as error:
            raise CorruptData(f"{where} is no JSON: {error}") from error
        add_shape(value, shape, where, field)
    return json_types(shape, field)


def _json_feature(hf: Any, kind: Kind) -> Any:
    if isinstance(kind, dict):
        return {name: _json_feature(hf, item) for name, item in kind.items()}
    if isinstance(kind, list):
        return hf.List(_json_feature(hf, kind[0] if kind else "null"))
    return hf.Value(_VALUES[kind])


def _array_feature(hf: Any, ds: ShardDataset, field: str) -> Any:
    kinds: dict[tuple[np.dtype[Any], int], str] = {}
    for where, payload in _payloads(ds, field):
        try:
            array = np.load(io.BytesIO(payload), allow_pickle=False)
        except (ValueError, OSError, EOFError) as error:
            raise CorruptData(f"{where} is not a plain .npy array: {error}") from error
        kinds.setdefault((array.dtype, array.ndim), where)
    (dtype, depth), where = next(iter(kinds.items()))
    if len(kinds) > 1 or depth == 0 or dtype.kind not in "buif" or not dtype.isnative:
        found = ", ".join(f"{kind} of {ndim} dimensions ({first})" for (kind, ndim), first in kinds.items())
        raise OptionError(f"members .{field} fit no feature, they are {found}; pass features of your own.")
    feature = hf.Value(dtype.name)
    for _ in range(depth):
        feature = hf.List(feature)
    return feature


def _payloads(ds: ShardDataset, field: str) -> Iterator[tuple[str, bytes]]:
    """Every member of one extension in the whole split, with its address."""
    for shard, entry in enumerate(ds.info.shards):
        for row in range(entry.samples):
            payload = ds.fetcher.member(shard, row, field)
            if payload is not None:
                yield f"{ds.fetcher.url(shard)}: {ds.fetcher.rows(shard).key(row)}.{field}", bytes(payload)
