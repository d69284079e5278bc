"""Plain arrays gathered from mapped shards: the same batches as member by member, and nothing unverified."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import shardstream as ss
from shardstream.errors import ChecksumMismatch
from shardstream.loaders.gather import Gather
from shardstream.loaders.pieces import Piece
from shardstream.loaders.raw import LARGE, copy_rows, plain_array
from shardstream.memory import address_of
from shardstream.shard_writer.storage import open_store
from shardstream.shard_writer.types import About, Record, Sample, SplitInfo
from shardstream.shard_writer.write import WriteOptions, write_dataset

SHAPE = (5, 7, 3)


def npy(array: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def images(count: int, shape: tuple[int, ...] = SHAPE) -> list[np.ndarray]:
    return [np.random.default_rng(i).integers(0, 256, shape, dtype=np.uint8) for i in range(count)]


@dataclass(frozen=True)
class Arrays:
    """A source of images as arrays, and its one split."""

    images: list[np.ndarray]
    notes: bool = False
    """Whether each has JSON, of another length than its neighbours'."""
    info: SplitInfo = field(
        default_factory=lambda: SplitInfo(
            name="train", image_field="npy", columns={"label": "int64"}, label_column="label", shuffle=False
        )
    )

    def about(self) -> About:
        return About(name="arrays", licence="CC0-1.0", classes={"label": ("a", "b")})

    def splits(self) -> tuple[str, ...]:
        return ("train",)

    def split(self, name: str) -> Arrays:  # noqa: ARG002 - there is one
        return self

    def records(self) -> list[Record]:
        return [Record(f"{number:04d}", 1000, number) for number in range(len(self.images))]

    def read(self, record: Record) -> Sample:
        label = record.where % 2
        notes: Any = {"note": "x" * (700 * record.where)} if self.notes else {}
        return Sample(record.key, npy(self.images[record.where]), notes, label, {"label": label})


def packed(folder: Path, made: list[np.ndarray], shard_size: int = 100_000) -> ss.ShardDataset:
    write_dataset(Arrays(made), open_store(folder), WriteOptions(shard_size=shard_size))
    return ss.open(folder, "train")


def batches(ds: ss.ShardDataset, **options: Any) -> list[dict[str, Any]]:
    return list(ss.Loader(ds, batch_size=4, drop_last=False, num_workers=0, **options))


def test_gathered_rows_are_the_arrays_that_were_packed(tmp_path: Path) -> None:
    """In every order, with a label beside them, the last batch filled with zeros."""
    made = images(11)
    ds = packed(tmp_path, made, shard_size=9_000)
    assert len(ds.counts) > 1
    for shuffle in (False, True):
        for batch in batches(ds, shuffle=shuffle):
            for row, index in enumerate(batch["index"].tolist()):
                expected = made[index].transpose(2, 0, 1) if index >= 0 else np.zeros((3, 5, 7))
                assert np.array_equal(batch["image"][row].numpy(), expected)


def test_no_decoder_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And one member of a shard is asked for by itself, to see what it is."""
    ds = packed(tmp_path, images(9))
    asked: list[int] = []
    original = type(ds.fetcher)._member

    def member(self: Any, shard: int, row: int, *rest: Any, **more: Any) -> Any:
        asked.append(row)
        return original(self, shard, row, *rest, **more)

    monkeypatch.setattr(type(ds.fetcher), "_member", member)
    monkeypatch.setattr("shardstream.loaders.pictures.decode_parts", None)
    for _ in range(2):
        assert sum(int(batch["valid"].sum()) for batch in batches(ds)) == 9
    assert len(asked) <= 3  # of three batches


def test_an_array_that_was_read_by_itself_before_is_still_looked_at(tmp_path: Path) -> None:
    """That its bytes are sound does not say that it is of the form of the others."""
    made = [*images(3), *images(1, (7, 5, 3))]
    ds = packed(tmp_path, made)
    assert all(np.array_equal(np.asarray(ds[i]["image"]), made[i]) for i in range(4))
    (batch,) = batches(ds)
    assert all(np.array_equal(batch["image"][i].permute(1, 2, 0).numpy(), made[i]) for i in range(4))


@pytest.mark.parametrize("verify", [True, False])
def test_a_block_that_rots_on_disk_is_fetched_again(tmp_path: Path, verify: bool) -> None:
    """Of remote arrays, as of any members; without checksums nobody notices."""
    made = images(11)
    packed(tmp_path / "out", made, shard_size=9_000)
    address = f"memory://rot{verify}"
    fsspec.filesystem("memory").put(str(tmp_path / "out"), address, recursive=True)
    batches(ss.open(address, "train", cache_dir=tmp_path / "cache"))
    for file in (tmp_path / "cache").rglob("*"):
        if file.is_file() and file.stat().st_size > 2_000:
            data = bytearray(file.read_bytes())
            for place in range(600, len(data), 500):
                data[place] ^= 0xFF
            file.write_bytes(bytes(data))
    ds = ss.open(address, "train", cache_dir=tmp_path / "cache", verify=verify)
    try:
        right = all(
            np.array_equal(batch["image"][row].permute(1, 2, 0).numpy(), made[index])
            for batch in batches(ds)
            for row, index in enumerate(batch["index"].tolist())
            if index >= 0
        )
    except ss.ShardstreamError:
        right = False
    assert right == verify


@pytest.mark.parametrize("block", [2_000, 1_000_000])
def test_remote_arrays_need_no_decoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    """Though members lie across the edges of blocks; the same batches as from mapped shards."""
    made = images(11)
    local = packed(tmp_path, made, shard_size=9_000)
    address = "memory://" + tmp_path.name + str(block)
    fsspec.filesystem("memory").put(str(tmp_path), address, recursive=True)
    monkeypatch.setattr("shardstream.loaders.pictures.decode_parts", None)
    remote = ss.open(address, "train", cache_dir=tmp_path / "cache", block_bytes=block)
    for mine, theirs in zip(batches(remote, shuffle=True), batches(local, shuffle=True), strict=True):
        assert torch.equal(mine["image"], theirs["image"])
        assert mine["key"] == theirs["key"]
    assert remote.fetcher.counters.bytes_delivered == 11 * 5 * 7 * 3


def test_more_rows_than_are_kept_go_shard_by_shard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same batches."""
    ds = packed(tmp_path, images(23), shard_size=9_000)
    kept = batches(ds, shuffle=True)
    monkeypatch.setattr("shardstream.loaders.fetch.MOST_ROWS", 22)
    for mine, theirs in zip(batches(ss.open(tmp_path, "train"), shuffle=True), kept, strict=True):
        assert mine["key"] == theirs["key"]
        for name in ("image", "label", "seed", "orig_size", "index"):
            assert torch.equal(mine[name], theirs[name])


@pytest.mark.parametrize("most", [1_000, 0])
@pytest.mark.parametrize("shape", [(7, 5, 3), (4, 7, 3)])
@pytest.mark.parametrize("shard_size", [9_000, 100_000])
def test_batches_of_different_shapes_go_through_the_decoder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shape: tuple[int, ...], most: int, shard_size: int
) -> None:
    """Though each shard by itself, or the first batch of one, holds arrays of one shape, perhaps of as many bytes."""
    monkeypatch.setattr("shardstream.loaders.fetch.MOST_ROWS", most)
    made = [*images(8), *images(8, shape)]
    ds = packed(tmp_path, made, shard_size=shard_size)
    found = [*batches(ds), *batches(ds, shuffle=True), *batches(ds, shuffle=True, seed=1)]
    assert sum(isinstance(batch["image"], ss.RaggedImages) for batch in found)
    for batch in found:
        for row, index in enumerate(batch["index"].tolist()):
            if index >= 0:
                assert np.array_equal(batch["image"][row].permute(1, 2, 0).numpy(), made[index])


@pytest.mark.parametrize("most", [1_000, 0])
def test_what_is_copied_is_counted_and_what_was_verified_is_not_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    """In each epoch the bytes of all images; each member is compared with its checksum once."""
    monkeypatch.setattr("shardstream.loaders.fetch.MOST_ROWS", most)
    ds = packed(tmp_path, images(11), shard_size=9_000)
    loader = ss.Loader(ds, batch_size=1, shuffle=True, num_workers=2, worker_kind="thread")
    for epoch in (1, 2):
        assert sum(int(batch["valid"].sum()) for batch in loader) == 11
        assert ds.fetcher.counters.bytes_delivered == epoch * 11 * 5 * 7 * 3
        metrics = loader.metrics()
        assert metrics.stages["assemble"].times == metrics.batches == metrics.images == epoch * 11
    verified = [ds.fetcher.rows(shard).members["npy"].verified for shard in range(len(ds.counts))]
    assert all((serials > 0).all() for serials in verified)


def test_mapped_shards_stay_mapped_as_long_as_their_addresses_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where more shards are open than a process keeps open."""
    monkeypatch.setattr("shardstream.loaders.shard_bytes.OPEN_SHARDS", 1)
    ds = packed(tmp_path, images(20), shard_size=9_000)
    batches(ds, shuffle=True)
    table = ds.fetcher.array_table("npy")
    assert table is not None
    held = [piece for piece in table._memory.values() if isinstance(piece, Piece)]
    assert len(held) >= len(ds.counts)
    for address in table._addresses.tolist():
        assert any(piece.address <= address < piece.address + len(piece.data) for piece in held)


def test_a_selection_and_a_mixture_are_copied_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each row is its own picture."""
    made = images(12)
    ds = packed(tmp_path / "a", made, shard_size=9_000)
    other = packed(tmp_path / "b", made[::-1])
    monkeypatch.setattr("shardstream.loaders.pictures.decode_parts", None)
    for batch in batches(ds.select([1, 5, 6, 11]), shuffle=True):
        for row, key in enumerate(filter(None, batch["key"])):
            assert np.array_equal(batch["image"][row].permute(1, 2, 0).numpy(), made[int(key)])
    for batch in batches(ss.mix([ds, other])):
        for row, (key, part) in enumerate(zip(batch["key"], batch["dataset"].tolist(), strict=True)):
            if part >= 0:
                expected = (made, made[::-1])[part][int(key)]
                assert np.array_equal(batch["image"][row].permute(1, 2, 0).numpy(), expected)


@pytest.mark.parametrize(
    "odd",
    [images(1, (4, 7, 3))[0], images(1, (5, 7, 1))[0], np.asfortranarray(images(1)[0]), images(1, (7, 5, 3))[0]],
    ids=["smaller", "grey", "column by column", "turned"],
)
def test_one_array_of_another_form_sends_all_through_the_decoder(tmp_path: Path, odd: np.ndarray) -> None:
    """Nothing is read as what it is not, though sizes and places may fit."""
    made = [*images(5), odd]
    ds = packed(tmp_path, made)
    assert len(ds.counts) == 1
    found: dict[int, Any] = {}
    for batch in batches(ds, shuffle=False):
        found |= {int(i): batch["image"][row] for row, i in enumerate(batch["index"]) if i >= 0}
    for index, array in enumerate(made):
        expected = np.broadcast_to(array.transpose(2, 0, 1), (3, *array.shape[:2]))
        assert np.array_equal(found[index].numpy(), expected)


@pytest.mark.parametrize("row", [4, 5])
@pytest.mark.parametrize("at", [3, 100, 140])
def test_changed_bytes_are_found_before_they_are_delivered(tmp_path: Path, at: int, row: int) -> None:
    """In the header as in the pixels, first of its batch or not; the error names the sample."""
    ds = packed(tmp_path, images(6))
    place = int(ds.index["npy_offset"][row].as_py())
    shard = tmp_path / "train" / "train-000000.tar"
    data = bytearray(shard.read_bytes())
    data[place + at] ^= 1
    shard.write_bytes(bytes(data))
    with pytest.raises(ChecksumMismatch, match=f"000{row}"):
        batches(ds)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 5), max_size=20), st.randoms(use_true_random=False))
def test_a_gathered_column_stands_in_the_order_of_the_batch(shards: list[int], random: Any) -> None:
    """Whatever shards the rows lie in."""
    rows = [random.randrange(10) for _ in shards]

    class Reader:
        def rows(self, shard: int) -> Any:
            return np.arange(10) + 100 * shard

    found = Gather(Reader(), np.array(shards, dtype=np.int64), np.array(rows, dtype=np.int64))  # type: ignore[arg-type]
    taken = found.take(lambda column: column, np.int64)  # type: ignore[arg-type, return-value]
    assert taken.tolist() == [100 * shard + row for shard, row in zip(shards, rows, strict=True)]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 9), min_size=1, max_size=30), st.sampled_from([1, 147, LARGE - 1, LARGE, LARGE + 5]))
def test_rows_are_copied_from_wherever_they_lie(chosen: list[int], size: int) -> None:
    """In any order, some twice, from memory that lies apart; short and long ones."""
    sources = [np.random.default_rng(i).integers(0, 256, size, dtype=np.uint8) for i in range(10)]
    out = np.zeros((len(chosen) + 1, size), np.uint8)
    copy_rows(np.array([address_of(sources[i]) for i in chosen]), out[:-1])
    assert np.array_equal(out[:-1], np.stack([sources[i] for i in chosen]))
    assert not out[-1].any()


def test_members_of_other_sizes_between_them_do_no_harm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """JSON of several lengths: an array is found by its offset alone."""
    monkeypatch.setattr("shardstream.loaders.pictures.decode_parts", None)
    made = images(9)
    write_dataset(Arrays(made, notes=True), open_store(tmp_path), WriteOptions())
    ds = ss.open(tmp_path, "train")
    assert len(set(np.diff(ds.column("npy_offset")).tolist())) > 1
    for batch in batches(ds, shuffle=True):
        for row, index in enumerate(batch["index"].tolist()):
            if index >= 0:
                assert np.array_equal(batch["image"][row].permute(1, 2, 0).numpy(), made[index])


def test_a_plain_array_is_what_numpy_loads() -> None:
    """Or left to it."""
    for array in (images(1)[0], images(1, (1, 1, 3))[0]):
        assert np.array_equal(plain_array(npy(array)), np.load(io.BytesIO(npy(array))))  # type: ignore[arg-type]
    for data in (npy(images(1)[0].astype(np.float32)), npy(images(1)[0])[:-1], b"", b"\x93NUMPY\x02\x00" + bytes(200)):
        assert plain_array(data) is None


def test_mutations_of_a_batch_do_not_reach_the_shard_or_other_batches(tmp_path: Path) -> None:
    """Every field of a batch is its own memory."""
    ds = packed(tmp_path, images(8))
    loader = ss.Loader(ds, batch_size=4, num_workers=0, shuffle=False)
    first = [{name: value.clone() for name, value in b.items() if isinstance(value, torch.Tensor)} for b in loader]
    for batch in loader:
        for value in batch.values():
            if isinstance(value, torch.Tensor):
                assert value.untyped_storage().nbytes() <= value.nbytes  # what torch.save writes of it
                value.zero_()
    loader.set_epoch(0)
    for before, after in zip(first, loader, strict=True):
        assert all(torch.equal(value, after[name]) for name, value in before.items())


@pytest.mark.parametrize(("workers", "kind"), [(1, "thread"), (3, "thread"), (2, "process")])
def test_batches_are_the_same_for_any_number_and_kind_of_workers(tmp_path: Path, workers: int, kind: Any) -> None:
    """Values and the order of the axes in memory."""
    ds = packed(tmp_path, images(50), shard_size=20_000)
    alone = batches(ds, shuffle=True)
    other = list(ss.Loader(ds, batch_size=4, drop_last=False, shuffle=True, num_workers=workers, worker_kind=kind))
    for mine, theirs in zip(alone, other, strict=True):
        assert mine["key"] == theirs["key"]
        assert torch.equal(mine["image"], theirs["image"])
        assert mine["image"].stride() == theirs["image"].stride()
