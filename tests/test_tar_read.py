"""Whole archives of every writer read the same as by tarfile, in few reads and constant memory."""

from __future__ import annotations

import io
import subprocess
import tarfile
import tracemalloc
from pathlib import Path
from typing import Any

import fsspec
import pytest
import webdataset
from hypothesis import given, settings
from hypothesis import strategies as st

from shardstream.errors import CorruptTar, StorageError
from shardstream.shard_writer.tar_read import TarLimits, TarMember, scan
from shardstream.shard_writer.tar_write import END, member_header, padding

_LETTERS = st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="/")
_PART = st.text(_LETTERS, min_size=1, max_size=60).filter(lambda part: part not in (".", ".."))
NAMES = st.lists(_PART, min_size=1, max_size=5).map("/".join)
FILES = st.dictionaries(NAMES, st.binary(max_size=1100), min_size=1, max_size=5)


def members(archive: bytes, **limits: int) -> list[TarMember]:
    return list(scan(io.BytesIO(archive), url="t.tar", size=len(archive), limits=TarLimits(**limits)))


def by_tarfile(archive: bytes) -> list[TarMember]:
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        infos = [info for info in tar if info.isreg()]
    return [TarMember(info.name.removeprefix("./"), info.offset_data, info.size) for info in infos]


def tar_of(files: dict[str, bytes], format_: int, **info_fields: Any) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=format_) as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            for key, value in info_fields.items():
                setattr(info, key, value)
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


@pytest.mark.parametrize("format_", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
@given(files=FILES)
@settings(max_examples=80, deadline=None)
def test_what_tarfile_writes_reads_as_tarfile_reads_it(format_: int, files: dict[str, bytes]) -> None:
    """Pax paths, GNU long names and raw UTF-8 in ustar fields."""
    archive = tar_of(files, format_)
    assert members(archive) == by_tarfile(archive)
    assert [member.name for member in members(archive)] == list(files)


@given(files=st.dictionaries(st.text("ab/é", min_size=1, max_size=230), st.binary(max_size=600), min_size=1))
@settings(max_examples=80, deadline=None)
def test_ustar_of_tarfile_reads_the_same_or_is_refused_for_its_names(files: dict[str, bytes]) -> None:
    """Prefix and name are joined; absolute names and trailing slashes are the only ones refused."""
    try:
        archive = tar_of(files, tarfile.USTAR_FORMAT)
    except ValueError:
        return
    if any(name.startswith("/") or name.endswith("/") for name in files):
        with pytest.raises(CorruptTar, match="usable member name"):
            members(archive)
    else:
        assert members(archive) == by_tarfile(archive)


@pytest.mark.parametrize("format_", ["v7", "oldgnu", "gnu", "ustar", "posix"])
def test_what_gnu_tar_writes_reads_as_tarfile_reads_it(tmp_path: Path, format_: str) -> None:
    """Directories are passed over, ./ is dropped, long names are joined."""
    names = ["a.jpg", "folder/b.json", "höhe/日本.cls"]
    long = ["x" * 90 + "/" + "y" * 90 + ".png"] if format_ != "v7" else []
    longer = ["z" * 180 + ".txt"] if format_ in ("oldgnu", "gnu", "posix") else []
    for name in names + long + longer:
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_bytes(name.encode() * 50)
    command = ["tar", f"--format={format_}", "-C", str(tmp_path / "in"), "-cf", str(tmp_path / "t.tar"), "."]
    subprocess.run(command, check=True)
    archive = (tmp_path / "t.tar").read_bytes()
    assert members(archive) == by_tarfile(archive)
    assert {member.name for member in members(archive)} == {*names, *long, *longer}
    found = {m.name: archive[m.offset : m.offset + m.size] for m in members(archive)}
    assert all(data == name.encode() * 50 for name, data in found.items())


@given(st.lists(st.binary(max_size=900), min_size=1, max_size=6))
@settings(max_examples=30, deadline=None)
def test_what_webdataset_writes_reads_as_tarfile_reads_it(payloads: list[bytes]) -> None:
    """Its TarWriter makes streamed ustar with a user name and fractional times."""
    out = io.BytesIO()
    with webdataset.TarWriter(out, encoder=False) as writer:
        for number, data in enumerate(payloads):
            writer.write({"__key__": f"train/{number:06d}", "jpg": data, "seg.png": data[::-1]})
    archive = out.getvalue()
    assert members(archive) == by_tarfile(archive)
    assert len(members(archive)) == 2 * len(payloads)


def test_sizes_in_base_256_are_read() -> None:
    """GNU's form for large numbers, here around a small one."""
    header = bytearray(tar_of({"a.jpg": b"x" * 700}, tarfile.GNU_FORMAT))
    header[124:136] = b"\x80" + (700).to_bytes(11, "big")
    archive = with_checksum(header)
    assert members(archive) == by_tarfile(archive) == [TarMember("a.jpg", 512, 700)]


def test_sizes_in_pax_replace_those_of_the_header() -> None:
    """As files of 8 GiB and more are written."""
    data = b"x" * 700
    record = b"12 size=700\n"
    pax = bytearray(member_header("p", len(record)))
    pax[156:157] = b"x"
    archive = with_checksum(pax) + record + padding(12) + member_header("a", 0) + data + padding(700) + END
    assert members(archive) == by_tarfile(archive) == [TarMember("a", 1536, 700)]


def with_checksum(archive: bytearray) -> bytes:
    archive[148:156] = b"%06o\0 " % (sum(archive[:148]) + sum(archive[156:512]) + 256)
    return bytes(archive)


def test_signed_checksums_are_accepted() -> None:
    """Old writers summed signed bytes; it shows where a name is not ASCII."""
    archive = bytearray(tar_of({"é.jpg": b"x"}, tarfile.GNU_FORMAT))
    total = sum(archive[:148]) + sum(archive[156:512]) + 256 - 2 * 256
    archive[148:156] = b"%06o\0 " % total
    assert members(bytes(archive)) == by_tarfile(bytes(archive))


@pytest.mark.parametrize(
    ("size", "checksum"), [(b"%011o\0", b"%07o\0"), (b"%010o \0", b"%06o \0"), (b"%11o ", b"%6o\0 ")]
)
def test_numbers_padded_in_the_ways_of_other_writers_are_read(size: bytes, checksum: bytes) -> None:
    """Rust's tar, node-tar, and space-padded fields of old Unix tars."""
    archive = bytearray(member_header("a.jpg", 700) + bytes(1024) + END)
    archive[124:136] = size % 700
    archive[148:156] = checksum % (sum(archive[:148]) + sum(archive[156:512]) + 256)
    assert members(bytes(archive)) == by_tarfile(bytes(archive)) == [TarMember("a.jpg", 512, 700)]


def test_a_global_header_with_a_comment_is_passed_over() -> None:
    """As ``git archive`` writes it."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT, pax_headers={"comment": "0123abc"}) as tar:
        tar.addfile(tarfile.TarInfo("a.jpg"))
    assert members(out.getvalue()) == by_tarfile(out.getvalue()) == [TarMember("a.jpg", 1536, 0)]


def test_an_archive_of_a_folder_given_by_a_dot_is_read() -> None:
    """Directories named '.', './' and 'x/' are passed over."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, kind in ((".", tarfile.DIRTYPE), ("./x/", tarfile.DIRTYPE), ("./x/a.jpg", tarfile.REGTYPE)):
            info = tarfile.TarInfo(name)
            info.type = kind
            tar.addfile(info)
    assert [member.name for member in members(out.getvalue())] == ["x/a.jpg"]


class Counting(io.BytesIO):
    """Counts reads and the bytes they asked for, and hands out at most a few kB at once, as sockets do."""

    reads = 0
    asked = 0

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(min(size or 0, 100_000))
        self.reads += 1
        self.asked += len(data)
        return data


def _large(count: int, size: int) -> Counting:
    block = b"\xff" * size + padding(size)
    return Counting(b"".join(member_header(f"{n:06d}.jpg", size) + block for n in range(count)) + END)


def test_large_payloads_are_skipped() -> None:
    """One read of 4 KiB per member, whatever its size."""
    file = _large(50, 1_000_000)
    assert len(list(scan(file, url="t.tar", size=len(file.getbuffer())))) == 50
    assert file.reads <= 52
    assert file.asked <= 52 * 4096


def test_tiny_members_are_read_in_large_pieces() -> None:
    """20,000 members of one block take a few hundred reads at most, and no byte twice."""
    file = _large(20_000, 3)
    total = len(file.getbuffer())
    assert len(list(scan(file, url="t.tar", size=total))) == 20_000
    assert file.reads < 400
    assert file.asked <= total


def test_memory_does_not_grow_with_the_archive() -> None:
    """Scanning 20,000 members keeps at most a few MB (one window of 1 MiB)."""
    file = _large(20_000, 3)
    size = len(file.getbuffer())
    tracemalloc.start()
    try:
        assert sum(1 for _ in scan(file, url="t.tar", size=size)) == 20_000
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


def test_remote_files_of_fsspec_are_read() -> None:
    """A file of fsspec's memory store gives the same members as local bytes."""
    archive = tar_of({"a.jpg": b"1" * 600, "b.jpg": b"2"}, tarfile.PAX_FORMAT)
    store = fsspec.filesystem("memory")
    store.pipe_file("/shardstream-tar-read/t.tar", archive)
    with store.open("/shardstream-tar-read/t.tar", "rb") as file:
        assert list(scan(file, url="memory://t.tar", size=len(archive))) == by_tarfile(archive)
    store.rm("/shardstream-tar-read", recursive=True)


def test_a_failing_disk_is_a_storage_error() -> None:
    """Not a CorruptTar: the bytes may be fine. The message names url and offset."""

    class Broken(io.BytesIO):
        def seek(self, *_: int) -> int:
            raise OSError(5, "Input/output error")

    with pytest.raises(StorageError, match=r"t\.tar from byte 0.*Input/output"):
        list(scan(Broken(), url="t.tar", size=2048))


@pytest.mark.parametrize(
    ("limits", "match"),
    [
        ({"members": 2}, "at most 2 headers"),
        ({"payload_bytes": 5}, "at most 5 payload"),
        ({"name_bytes": 4}, "4 bytes"),
    ],
)
def test_limits_are_held(limits: dict[str, int], match: str) -> None:
    """Count, total and name length each have a cap."""
    archive = tar_of({"a.jpg": b"12", "b.jpg": b"34", "c.jpg": b"56"}, tarfile.USTAR_FORMAT)
    assert len(members(archive, members=3, payload_bytes=6, name_bytes=5)) == 3
    with pytest.raises(CorruptTar, match=match):
        members(archive, **limits)
