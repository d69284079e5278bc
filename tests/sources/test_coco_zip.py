"""COCO in zips: members by ranged reads, checked, in every form a zip takes."""

from __future__ import annotations

import io
import pickle
import shutil
import struct
import zipfile
from pathlib import Path
from typing import IO, Any

import pytest

import shardstream as ss
from shardstream.shard_writer.sources import SourceOptions, open_source
from shardstream.shard_writer.sources.coco_zip import read_member, zip_members
from shardstream.shard_writer.storage import Store, open_store

from .coco_files import body, picture, write_coco, zipped
from .conformance import SourceConformance, samples_of


class TestRealZips(SourceConformance):
    @pytest.fixture
    def source(self, real_data: Path, tmp_path: Path) -> Any:
        return open_source("coco", str(zipped(real_data / "coco/COCO-MINI", tmp_path / "zips")))


class Pipe(io.RawIOBase):
    """A file that cannot seek, so that zipfile writes sizes and checksums behind the data, not before it."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        return self.file.write(data)


def archive(path: Path, method: int = zipfile.ZIP_STORED, *, stream: bool = False) -> dict[str, bytes]:
    """A zip of three members, the second with a long local header; or one that was streamed, with zip64 headers."""
    contents = {f"val2017/{n}.jpg": bytes([n]) * 10_000 + picture(n) for n in (1, 2, 3)}
    with path.open("wb") as raw, zipfile.ZipFile(Pipe(raw) if stream else raw, "w") as file:
        for number, (name, data) in enumerate(contents.items()):
            info = zipfile.ZipInfo(name)
            info.compress_type = method
            if number == 1:
                info.extra = struct.pack("<HH", 0xCAFE, 300) + bytes(300)
            with file.open(info, "w", force_zip64=stream) as member:
                member.write(data)
    return contents


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("stream", [False, True])
def test_members_are_what_was_put_in(tmp_path: Path, method: int, stream: bool) -> None:
    """Stored, deflated, streamed, with zip64 headers, with a local header longer than one read guesses."""
    contents = archive(tmp_path / "a.zip", method, stream=stream)
    store = open_store(str(tmp_path))
    members = list(zip_members(store, "a.zip"))
    assert {member.name: read_member(store, "a.zip", member) for member in members} == contents
    for member in members:
        assert read_member(store, "a.zip", pickle.loads(pickle.dumps(member))) == contents[member.name]


def test_an_archive_behind_other_bytes_is_read(tmp_path: Path) -> None:
    """Offsets in the directory count from the archive's own begin."""
    contents = archive(tmp_path / "a.zip")
    (tmp_path / "a.zip").write_bytes(b"#!/bin/sh\nexit\n" + (tmp_path / "a.zip").read_bytes())
    store = open_store(str(tmp_path))
    assert {m.name: read_member(store, "a.zip", m) for m in zip_members(store, "a.zip")} == contents


def test_a_member_costs_one_read_of_its_own_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From a bucket, reading an image must not fetch megabytes around it."""
    folder = zipped(write_coco(tmp_path / "coco", instances_val2017=body()), tmp_path / "zips")
    split = open_source("coco", str(folder)).split("val2017")
    records, ranges, read = list(split.records()), [], Store.read

    def spy(self: Store, path: str, start: int = 0, end: int | None = None) -> bytes:
        data = read(self, path, start, end)
        ranges.append(len(data))
        return data

    monkeypatch.setattr(Store, "read", spy)
    sample = pickle.loads(pickle.dumps(split)).read(records[1])
    assert len(ranges) == 1
    assert len(sample.image) < ranges[0] < len(sample.image) + 200


def spoil(path: Path, at: int, value: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= value
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("at", "value", "message"),
    [
        (5_000, 0xFF, r"member val2017/1\.jpg is damaged: [\d,]+ bytes of crc \w+, the archive's directory says"),
        (0, 0xFF, r"member val2017/1\.jpg is damaged: no header at offset 0"),
        (6, 1, r"member val2017/1\.jpg is encrypted"),
    ],
    ids=["a flipped bit", "no header", "encrypted"],
)
def test_a_damaged_member_is_named(tmp_path: Path, at: int, value: int, message: str) -> None:
    """Never a picture of other bytes."""
    archive(tmp_path / "a.zip")
    spoil(tmp_path / "a.zip", at, value)
    store = open_store(str(tmp_path))
    with pytest.raises(ss.SourceError, match=message):
        read_member(store, "a.zip", next(iter(zip_members(store, "a.zip"))))


def test_a_damaged_deflated_member_is_named(tmp_path: Path) -> None:
    """Whether the stream breaks or unpacks to something else."""
    archive(tmp_path / "a.zip", zipfile.ZIP_DEFLATED)
    store = open_store(str(tmp_path))
    member = next(iter(zip_members(store, "a.zip")))
    whole = (tmp_path / "a.zip").read_bytes()
    for at in range(60, member.stored, 97):
        (tmp_path / "a.zip").write_bytes(whole)
        spoil(tmp_path / "a.zip", at, 0x10)
        with pytest.raises(ss.SourceError, match=r"member val2017/1\.jpg is damaged"):
            read_member(store, "a.zip", member)


def test_other_methods_are_refused(tmp_path: Path) -> None:
    """bzip2 and lzma zips exist; COCO's are not."""
    archive(tmp_path / "a.zip", zipfile.ZIP_BZIP2)
    store = open_store(str(tmp_path))
    with pytest.raises(ss.SourceError, match=r"packed with method 12, not stored or deflated; unpack the archive"):
        read_member(store, "a.zip", next(iter(zip_members(store, "a.zip"))))


def test_archives_beside_what_was_unpacked_from_them_do_not_count(tmp_path: Path) -> None:
    """Everybody leaves the zips lying there; a half-unpacked picture is refused, not preferred."""
    folder = write_coco(tmp_path / "coco", instances_val2017=body())
    alone = samples_of(open_source("coco", str(folder)).split("val2017"))
    for file in zipped(folder, tmp_path / "zips").iterdir():
        shutil.copy(file, folder)
    source = open_source("coco", str(folder), SourceOptions(unlisted=True))
    split = source.split("val2017")
    assert samples_of(split) == alone
    assert all(record.where.place.member is None for record in split.records())
    cut = folder / "val2017/000000000042.jpg"
    cut.write_bytes(cut.read_bytes()[:500])
    with pytest.raises(
        ss.SourceError, match=r"two pictures could be 000000000042\.jpg .* with 500 bytes and val2017\.zip:"
    ):
        open_source("coco", str(folder)).split("val2017").records()


@pytest.mark.s3
def test_zips_in_a_bucket_give_the_samples_of_the_folder(real_data: Path, weed: Any, tmp_path: Path) -> None:
    """The official archives where a cluster keeps them, packed without a local copy."""
    folder = real_data / "coco/COCO-MINI"
    url = weed.url("coco")
    store = open_store(url, weed.storage_options)
    for file in zipped(folder, tmp_path / "zips").iterdir():
        store.write(file.name, file.read_bytes())
    remote = open_source("coco", url, SourceOptions(storage_options=weed.storage_options))
    local = open_source("coco", str(folder))
    assert remote.splits() == local.splits() == ("train2017", "val2017")
    assert samples_of(remote.split("val2017")) == samples_of(local.split("val2017"))
