"""One sample as a dict: its image decoded, its label, its joined columns, its JSON and other members."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from ..errors import CorruptData
from ..shard_writer.manifest import SplitManifest
from .decode import decode_image
from .fetch import Fetcher
from .rows import NO_LABEL
from .stages import DECODE

Item = dict[str, Any]


def read_sample(fetcher: Fetcher, info: SplitManifest, joined: Sequence[str], shard: int, row: int) -> Item:
    """Everything of one sample; JSON keys stand beside ``key``, ``image`` and ``label``, which come first."""
    rows = fetcher.rows(shard)
    item: Item = {"key": rows.key(row)}
    if info.image_field is not None:
        data = fetcher.member(shard, row, info.image_field)
        place = where(fetcher, info, shard, row)
        with DECODE:
            item["image"] = None if data is None else decode_image(data, place, int(rows.orientation[row]))
    if rows.label is not None:
        label = int(rows.label[row])
        item["label"] = None if label == NO_LABEL else label
    item |= {name: rows.columns[name][row].as_py() for name in joined if name not in item}
    for name, kind in info.fields.items():
        if name == info.image_field or kind == "class":
            continue
        payload = fetcher.member(shard, row, name)
        if kind == "json" and payload is not None:
            found = _json(payload, name, where(fetcher, info, shard, row))
            found = found if isinstance(found, dict) else {name: found}
            item.update({key: value for key, value in found.items() if key not in item})
        else:
            # somebody else's member may be called .key or .label
            item[f".{name}" if name in item else name] = None if payload is None else bytes(payload)
    return item


def read_record(fetcher: Fetcher, info: SplitManifest, shard: int, row: int) -> Item:
    """A sample's JSON, without its image; raises CorruptData where it has none or it is no object."""
    payload, place = fetcher.member(shard, row, "json"), where(fetcher, info, shard, row)
    found = None if payload is None else _json(payload, "json", place)
    if not isinstance(found, dict):
        raise CorruptData(f"{place}: its 'json' member is {type(found).__name__}, expected an object.")
    return found


def where(fetcher: Fetcher, info: SplitManifest, shard: int, row: int) -> str:
    """A sample's address for messages: shard, key, offset."""
    rows = fetcher.rows(shard)
    offset = rows.members[info.image_field].offset[row] if info.image_field else 0
    return f"{fetcher.url(shard)}: sample {rows.key(row)!r} at offset {offset}"


def _json(payload: memoryview | bytes, name: str, place: str) -> Any:
    try:
        return json.loads(bytes(payload))
    except (ValueError, RecursionError) as error:
        raise CorruptData(f"{place}: its {name!r} member is no JSON: {error}") from error
