"""Shards that rot at rest: ``verify`` names them, readers raise; nobody ever gets fewer or other samples."""

from __future__ import annotations

import io
import json
import random
import re
import shutil
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import xxhash

import shardstream as ss
from shardstream.cli import main
from shardstream.loaders import fetch
from shardstream.shard_writer.manifest import load
from shardstream.shard_writer.storage import open_store
from shardstream.shard_writer.verify import Damage, verify

from .helpers import flip
from .toy import pack_toy, toy_pixels

COUNT = 8


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("damage") / "out"
    pack_toy(out, COUNT, shard_size=3_000)
    return out


@pytest.fixture
def copy(packed: Path, tmp_path: Path) -> Path:
    return shutil.copytree(packed, tmp_path / "copy")


def shard(url: Path, number: int = 1) -> Path:
    return url / "train" / f"train-{number:06d}.tar"


def found(url: Path) -> list[Damage]:
    store = open_store(url)
    return verify(store, load(store))


def members(path: Path) -> list[tarfile.TarInfo]:
    with tarfile.open(path) as tar:
        return tar.getmembers()


def delivered(url: Path, **options: Any) -> dict[str, bytes]:
    """All that a loader hands out, by key; filled slots left out."""
    loader = ss.Loader(ss.open(url), batch_size=3, **options)
    rows = [(batch["key"][i], batch["image"][i]) for batch in loader for i in range(3) if batch["valid"][i]]
    return {key: image.permute(1, 2, 0).numpy().tobytes() for key, image in rows}


TRUE = {f"train-{i:05d}": toy_pixels(i).tobytes() for i in range(COUNT)}


def test_an_undamaged_dataset_verifies_and_reads(packed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The yardstick of the tests below."""
    assert found(packed) == []
    assert delivered(packed) == TRUE
    assert main(["verify", str(packed)]) == 0
    assert f"every byte of {COUNT} samples is as packed" in capsys.readouterr().out


def flip_payload(path: Path) -> None:
    flip(path, members(path)[3].offset_data + 40)  # the second sample's image


def cut_at_a_member(path: Path) -> None:
    """A whole, valid tar with one sample less, as a copy that was cut and "repaired" would be."""
    path.write_bytes(path.read_bytes()[: members(path)[3].offset] + bytes(1024))


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: members(path)[3].offset_data + 10])


def zeros(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def another_tar(path: Path) -> None:
    """A valid tar of the same names and sizes."""
    buffer = io.BytesIO()
    with tarfile.open(path) as old, tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as new:
        for member in old:
            new.addfile(member, io.BytesIO(old.extractfile(member).read()[::-1]))  # type: ignore[union-attr]
    size = path.stat().st_size
    path.write_bytes(buffer.getvalue()[:size].ljust(size, b"\0"))


def grown(path: Path) -> None:
    path.write_bytes(path.read_bytes() + bytes(512))


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize(
    ("damage", "error", "message"),
    [
        (flip_payload, ss.ChecksumMismatch, r"train-000001\.tar: member (train-\d+)\.png at offset (\d+) has checksum"),
        (cut_at_a_member, ss.CorruptData, r"train-000001\.tar has [\d,]+ bytes, its manifest says"),
        (cut_short, ss.CorruptData, r"train-000001\.tar has [\d,]+ bytes, its manifest says"),
        (grown, ss.CorruptData, r"train-000001\.tar has [\d,]+ bytes, its manifest says"),
        (zeros, ss.ChecksumMismatch, r"train-000001\.tar: member train-\d+\.png at offset \d+ has checksum"),
        (another_tar, ss.ChecksumMismatch, r"train-000001\.tar: member train-\d+\.png at offset \d+ has checksum"),
        (Path.unlink, ss.StorageError, r"train-000001\.tar is missing; its manifest lists \d samples"),
    ],
)
def test_a_loader_raises_where_a_shard_is_damaged(
    copy: Path, damage: Callable[[Path], None], error: type[Exception], message: str, workers: int
) -> None:
    """In this process and in workers, shuffled or not; the sample is named with its offset."""
    damage(shard(copy))
    with pytest.raises(error, match=message) as caught:
        delivered(copy, num_workers=workers, shuffle=workers > 0)
    assert str(shard(copy)) in str(caught.value)
    with pytest.raises(error, match=message):
        list(ss.open(copy))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (flip_payload, r"train-\d+\.png  offset \d+: checksum [0-9a-f]{16}, packed was"),
        (cut_at_a_member, r"offset \d+: [\d,]+ bytes, packed were"),
        (cut_short, r"\.png  offset \d+: cut off: 10 of \d+ bytes are there"),
        (grown, r"offset \d+: [\d,]+ bytes, packed were"),
        (zeros, r"\.png  offset 512: checksum"),
        (another_tar, r"\.png  offset 512: checksum"),
        (Path.unlink, r"missing; it held \d samples"),
    ],
)
def test_verify_names_the_damaged_shard_and_exits_1(
    copy: Path, damage: Callable[[Path], None], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Shard, member and offset; no other shard is accused."""
    damage(shard(copy))
    assert main(["verify", str(copy)]) == 1
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("damaged")]
    assert lines
    assert all(str(shard(copy)) in line for line in lines)
    assert any(re.search(message, line) for line in lines), lines
    assert main(["verify", str(copy), "--json"]) == 1
    listed = json.loads(capsys.readouterr().out)
    assert {item["shard"] for item in listed} == {str(shard(copy))}
    assert len(listed) == len(lines)


def test_the_named_member_and_offset_are_the_damaged_ones(copy: Path) -> None:
    """Checked against tarfile's view of the archive."""
    for number, member in enumerate(members(shard(copy))):
        flip(shard(copy), member.offset_data)
        damage = found(copy)
        assert [(item.key, item.offset) for item in damage] == [(member.name, member.offset_data)], number
        flip(shard(copy), member.offset_data)
    assert found(copy) == []


def test_all_damage_is_listed_not_the_first(copy: Path) -> None:
    """In several shards, and an index file."""
    flip_payload(shard(copy, 0))
    shard(copy, 1).unlink()
    damage = found(copy)
    assert [item.shard for item in damage] == [str(shard(copy, 0)), str(shard(copy, 1))]
    index = copy / "train" / "index-00000.parquet"
    flip(index, 100)
    damage = found(copy)
    assert [item.shard for item in damage] == [str(index), str(shard(copy, 0)), str(shard(copy, 1))]
    assert damage[0].what.count("digest") == 1
    index.unlink()
    assert "is missing" in found(copy)[0].what


def test_damage_outside_the_payloads_is_found_and_harms_no_reader(copy: Path) -> None:
    """A header's byte, a padding byte, a byte of the end: readers use the index, and verify knows all bytes."""
    member = members(shard(copy))[0]
    size = shard(copy).stat().st_size
    header, padding, end = member.offset + 110, member.offset_data + member.size + 3, size - 5
    for offset, what in [(header, "no well-formed tar at byte"), (padding, "padding"), (end, "well-formed tar")]:
        flip(shard(copy), offset)
        damage = found(copy)
        assert len(damage) == 1
        assert damage[0].shard == str(shard(copy))
        assert damage[0].key is None
        assert what in damage[0].what
        assert delivered(copy) == TRUE
        flip(shard(copy), offset)


def sweep(url: Path, flips: list[tuple[int, int]]) -> None:
    """Flip each bit alone: verify always tells, the loader raises or delivers exactly what was packed."""
    path = shard(url)
    inside = {at for member in members(path) for at in range(member.offset_data, member.offset_data + member.size)}
    images = {
        at
        for member in members(path)
        if member.name.endswith(".png")
        for at in range(member.offset_data, member.offset_data + member.size)
    }
    for offset, bit in flips:
        flip(path, offset, bit)
        damage = found(url)
        assert [item.shard for item in damage] == [str(path)], offset
        assert (damage[0].key is not None) == (offset in inside), offset
        if offset in images:
            with pytest.raises(ss.ChecksumMismatch):
                delivered(url)
        else:
            assert delivered(url) == TRUE, offset
        flip(path, offset, bit)


def test_a_seeded_sample_of_bit_flips_is_always_found(copy: Path) -> None:
    """150 of all bits of a shard."""
    chance = random.Random(0)
    size = shard(copy).stat().st_size
    sweep(copy, [(chance.randrange(size), chance.randrange(8)) for _ in range(150)])


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_bit_flip_in_any_byte_is_found(copy: Path) -> None:
    """Every byte of a shard, one after the other."""
    sweep(copy, [(offset, offset % 8) for offset in range(shard(copy).stat().st_size)])


class Counter:
    """Stands for the xxhash module and counts what is digested."""

    def __init__(self) -> None:
        self.calls = 0

    def xxh3_64_intdigest(self, data: Any) -> int:
        self.calls += 1
        return xxhash.xxh3_64_intdigest(data)


@pytest.fixture
def counter(monkeypatch: pytest.MonkeyPatch) -> Iterator[Counter]:
    counter = Counter()
    monkeypatch.setattr(fetch, "xxhash", counter)
    return counter


def test_each_member_is_checked_once_per_process(packed: Path, counter: Counter) -> None:
    """Two epochs check each image once; items read the JSON and check that, too, once."""
    ds = ss.open(packed)
    loader = ss.Loader(ds, batch_size=3, shuffle=True, drop_last=False)
    for _ in range(3):
        assert sum(int(batch["valid"].sum()) for batch in loader) == COUNT
    assert counter.calls == COUNT
    for _ in range(2):
        assert len(list(ds)) == COUNT
    assert counter.calls == 2 * COUNT


def test_checks_can_be_left_out(copy: Path, counter: Counter) -> None:
    """verify=False digests nothing; a changed number in the JSON comes through."""
    ds = ss.open(copy, verify=False)
    assert len(list(ss.Loader(ds, batch_size=2))) == COUNT // 2
    assert counter.calls == 0
    number = ss.open(copy)[0]["number"]
    path = Path(ds.urls[0])
    path.write_bytes(path.read_bytes().replace(f'"number":{number}'.encode(), f'"number":{(number + 1) % 10}'.encode()))
    assert ss.open(copy, verify=False)[0]["number"] == (number + 1) % 10
    with pytest.raises(ss.ChecksumMismatch, match=r"\.json at offset"):
        ss.open(copy)[0]


def test_a_damaged_sample_raises_every_time_it_is_asked_for(copy: Path) -> None:
    """A second epoch does not take it for checked."""
    flip_payload(shard(copy, 0))
    loader = ss.Loader(ss.open(copy), batch_size=COUNT)
    for _ in range(2):
        with pytest.raises(ss.ChecksumMismatch):
            list(loader)


def test_json_that_is_none_is_named(tmp_path: Path) -> None:
    """In somebody else's tars, whose digests are right and whose content is not."""
    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        for name, data in (("a.json", b'{"n": 1}'), ("b.json", b"[1, 2]"), ("c.json", b"no json")):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    ss.index(str(tmp_path), None, "train")
    ds = ss.open(tmp_path)
    assert ds[0] == {"key": "a", "n": 1}
    assert ds[1] == {"key": "b", "json": [1, 2]}
    with pytest.raises(ss.CorruptData, match=r"x\.tar: sample 'c'.*its 'json' member is no JSON"):
        ds[2]
