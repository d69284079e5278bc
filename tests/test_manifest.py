"""Manifest and index are data from anywhere: what is not as we wrote it is a ManifestError, never another exception."""

from __future__ import annotations

import contextlib
import copy
import hashlib
import io
import json
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import shardstream as ss
from shardstream.shard_writer import manifest as manifests
from shardstream.shard_writer.manifest_parse import parse
from shardstream.shard_writer.storage import open_store

from .toy import pack_toy

JSON = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(), st.text(max_size=8),
        st.sampled_from(["../x", "/etc/passwd", "pipe://x", "a::b", ".", "train", "png", "int64", "image", "0" * 64]),
    ),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=5), children, max_size=3),
    max_leaves=6,
)  # fmt: skip


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("manifest") / "out"
    pack_toy(out, 12, shard_size=4_000)
    return out


@pytest.fixture
def damaged(packed: Path) -> Iterator[Callable[[bytes], Path]]:
    """The dataset with other bytes as its manifest; the true ones come back."""
    original = (packed / "dataset.json").read_bytes()

    def write(data: bytes) -> Path:
        (packed / "dataset.json").write_bytes(data)
        return packed

    yield write
    (packed / "dataset.json").write_bytes(original)


def places(body: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Paths of all values in a JSON document."""
    items = list(body.items()) if isinstance(body, dict) else list(enumerate(body)) if isinstance(body, list) else []
    return [found for key, value in items for found in [(*path, key), *places(value, (*path, key))]]


def changed(body: Any, path: tuple[Any, ...], change: Callable[[Any, Any], None]) -> Any:
    """A copy of a document in which ``change(parent, key)`` was called at a place."""
    result = copy.deepcopy(body)
    parent = result
    for key in path[:-1]:
        parent = parent[key]
    change(parent, path[-1])
    return result


def test_a_manifest_survives_the_way_through_json(packed: Path) -> None:
    """All values and their types; and through pickle, as workers get it."""
    manifest = manifests.load(open_store(packed))
    assert parse(json.loads(manifest.to_json()), "x") == manifest
    assert manifest.to_json() == (packed / "dataset.json").read_bytes()
    assert pickle.loads(pickle.dumps(manifest)) == manifest


def read_all(url: Path) -> list[Any]:
    """Everything that a reader gets of each sample, and what the loader delivers."""
    ds = ss.open(url)
    items = [item | {"image": item["image"].tobytes()} for item in ds]
    keys = [key for batch in ss.Loader(ds, batch_size=5) for key in batch["key"] if key]
    assert keys == [item["key"] for item in items]
    return items


def agree(items: list[Any], true: list[Any]) -> bool:
    """The same samples, and the same value wherever both know it by the same name."""
    pairs = zip(items, true, strict=True)
    return all(mine["key"] == his["key"] and all(his.get(n, v) == v for n, v in mine.items()) for mine, his in pairs)


@pytest.fixture(scope="module")
def true(packed: Path) -> list[Any]:
    return read_all(packed)


@given(data=st.data())
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_a_changed_manifest_is_refused_or_reads_the_same_samples(
    packed: Path, true: list[Any], damaged: Callable[[bytes], Path], data: st.DataObject
) -> None:
    """A value replaced, removed or added anywhere: ManifestError, or what the value said was not what matters."""
    body = json.loads((packed / "dataset.json").read_bytes())
    path = data.draw(st.sampled_from(places(body)))
    value = data.draw(JSON)
    change = data.draw(
        st.sampled_from([lambda p, k: p.__setitem__(k, value), lambda p, k: p.__delitem__(k), lambda p, _: p.clear()])
    )
    original = (packed / "dataset.json").read_bytes()
    url = damaged(json.dumps(changed(body, path, change)).encode())
    try:
        assert agree(read_all(url), true)
    except (ss.ManifestError, ss.StorageError, ss.CorruptData):
        pass  # refused at once, or: that shard is not there, those bytes are not its bytes
    except ss.OptionError as error:
        if "split" not in str(error):  # no split was renamed or taken out
            raise
    finally:
        damaged(original)


@given(data=st.data())
@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_changed_value_never_raises_anything_but_manifest_error(packed: Path, data: st.DataObject) -> None:
    """The parser alone, with up to three changes at once."""
    body = json.loads((packed / "dataset.json").read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        spots = places(body)
        if spots:
            value = data.draw(JSON)
            body = changed(body, data.draw(st.sampled_from(spots)), lambda p, k, value=value: p.__setitem__(k, value))
    with contextlib.suppress(ss.ManifestError):
        parse(body, "x")


@given(body=JSON)
def test_any_other_json_is_no_manifest(body: Any) -> None:
    """Of any type."""
    with pytest.raises(ss.ManifestError):
        parse(body, "x")


@given(data=st.data())
@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damaged_manifest_bytes_raise_manifest_error(
    packed: Path, damaged: Callable[[bytes], Path], data: st.DataObject
) -> None:
    """Bytes changed, cut or inserted."""
    original = (packed / "dataset.json").read_bytes()
    at = data.draw(st.integers(0, len(original)))
    middle, skip = data.draw(st.binary(max_size=3)), data.draw(st.integers(0, 40))
    try:
        ss.open(damaged(original[:at] + middle + original[at + skip :]))
    except ss.ManifestError as error:
        if "dataset.json" not in str(error):
            raise
    except ss.OptionError as error:
        if "split" not in str(error):
            raise
    finally:
        damaged(original)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda b: b.update(version=2), "format version 2, this library reads 1; upgrade"),
        (lambda b: b.update(format="other"), "'format' is 'other', not 'shardstream'"),
        (lambda b: b.pop("licence"), "'licence' is missing"),
        (lambda b: b.update(classes={"label": "abc"}), "'abc' is no list of text"),
        (lambda b: b["splits"]["train"].update(samples=13), "13 samples stated, its shards hold 12"),
        (lambda b: b["splits"]["train"].update(samples=12.0), "'samples' is 12.0, expected int"),
        (lambda b: b["splits"]["train"].update(samples=True), "'samples' is True, expected int"),
        (lambda b: b["splits"]["train"]["shards"].reverse(), "does not match its list of shards"),
        (lambda b: b["splits"]["train"]["shards"][0].update(name="../x.tar"), "not a plain relative path"),
        (lambda b: b["splits"]["train"]["shards"][0].update(name="/x.tar"), "not a plain relative path"),
        (lambda b: b["splits"]["train"].update(base="pipe:cat /etc/passwd"), "address of its tars is refused"),
        (lambda b: b["splits"]["train"].update(base="file://x::s3://y"), "address of its tars is refused"),
        (lambda b: b["splits"]["train"].update(image_field="jpg"), "image field 'jpg' is not among its fields png"),
        (lambda b: b["splits"]["train"].update(image_field=None), "field of type 'image' and names none"),
        (lambda b: b["splits"]["train"].update(label_column=None), "field of type 'class' and names none"),
        (lambda b: b["splits"]["train"].update(label_column="x"), "label column 'x' is no int64 among"),
        (lambda b: b["splits"]["train"]["columns"].update(label="int7"), "gives 'label' the type 'int7'"),
        (lambda b: b["splits"]["train"]["index"][0].update(shards=10**12), "covers 1000000000000 shards"),
        (lambda b: b["splits"]["train"]["index"][0].update(first_shard=1), "begins at shard 1, expected 0"),
        (lambda b: b["splits"]["train"]["index"][0].update(shards=-1), "counts nothing"),
        (lambda b: b["splits"].update(val=b["splits"]["train"]), "calls itself 'train'"),
    ],
)
def test_what_is_wrong_in_a_manifest_is_named(packed: Path, change: Callable[[Any], Any], message: str) -> None:
    """With both values where two disagree."""
    body = json.loads((packed / "dataset.json").read_bytes())
    change(body)
    with pytest.raises(ss.ManifestError, match=message):
        parse(body, "x")


@pytest.mark.parametrize("data", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b"null", b"1" * 5000])
def test_a_manifest_that_is_no_json_is_named(damaged: Callable[[bytes], Path], data: bytes) -> None:
    """Cut short, binary, nested beyond the parser's depth."""
    with pytest.raises(ss.ManifestError, match=r"dataset\.json"):
        ss.open(damaged(data))


@given(data=st.data())
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damaged_index_bytes_raise_manifest_error(packed: Path, data: st.DataObject) -> None:
    """Any byte of any index file: nothing is read from it."""
    index = packed / "train" / "index-00000.parquet"
    original = index.read_bytes()
    at = data.draw(st.integers(0, len(original) - 1))
    middle, skip = data.draw(st.binary(max_size=3)), data.draw(st.integers(0, 40))
    mutated = original[:at] + middle + original[at + skip :]
    try:
        index.write_bytes(mutated)
        if mutated == original:
            return
        for read in (lambda ds: ds[0], lambda ds: ds.index, lambda ds: next(iter(ss.Loader(ds)))):
            with pytest.raises(ss.ManifestError, match=r"index-00000\.parquet has digest .* the manifest says"):
                read(ss.open(packed))
    finally:
        index.write_bytes(original)


def test_a_missing_index_is_named(packed: Path) -> None:
    """As what it is."""
    index = packed / "train" / "index-00000.parquet"
    away = index.rename(index.with_suffix(".away"))
    try:
        with pytest.raises(ss.ManifestError, match=r"index-00000\.parquet is missing"):
            ss.open(packed)[0]
    finally:
        away.rename(index)


def reindexed(packed: Path, data: bytes, damaged: Callable[[bytes], Path]) -> Path:
    """The dataset with another index file, and a manifest that vouches for it."""
    (packed / "train" / "index-00000.parquet").write_bytes(data)
    body = json.loads((packed / "dataset.json").read_bytes())
    body["splits"]["train"]["index"][0].update(bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
    return damaged(json.dumps(body).encode())


def parquet(tables: list[pa.Table]) -> bytes:
    buffer = io.BytesIO()
    with pq.ParquetWriter(buffer, tables[0].schema) as writer:
        for table in tables:
            writer.write_table(table)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda groups: [pa.concat_tables(groups)], "12 rows in 1 groups"),
        (lambda groups: groups[:-1], "rows in"),
        (lambda groups: [groups[0].slice(1), *groups[1:]], "11 rows in"),
        (lambda groups: [group.drop_columns(["png_offset"]) for group in groups], "columns differ.*png_offset"),
        (lambda groups: [group.append_column("x", group["key"]) for group in groups], "columns differ"),
    ],
)
def test_an_index_that_disagrees_with_its_manifest_is_refused(
    packed: Path, damaged: Callable[[bytes], Path], change: Callable[[list[pa.Table]], list[pa.Table]], message: str
) -> None:
    """Though its digest is right: rows by shard, and the columns, must be those of the manifest."""
    index = packed / "train" / "index-00000.parquet"
    original = index.read_bytes()
    file = pq.ParquetFile(index)
    groups = [file.read_row_group(i) for i in range(file.num_row_groups)]
    try:
        url = reindexed(packed, parquet(change(groups)), damaged)
        with pytest.raises(ss.ManifestError, match=message):
            ss.open(url)[0]
    finally:
        index.write_bytes(original)


def test_an_index_that_is_no_parquet_is_named(packed: Path, damaged: Callable[[bytes], Path]) -> None:
    """Parquet's own exceptions do not come through."""
    index = packed / "train" / "index-00000.parquet"
    original = index.read_bytes()
    try:
        for data in (b"", b"PAR1", original[:-40], original[:40] + bytes(40) + original[80:]):
            url = reindexed(packed, data, damaged)
            with pytest.raises(ss.ManifestError, match=r"index-00000\.parquet"):
                read_all(url)
    finally:
        index.write_bytes(original)
