"""Damaged, cut, hostile and mistaken files are never read as fewer members."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import re
import sys
import tarfile
import time
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shardstream.errors import CorruptTar
from shardstream.shard_writer.tar_read import TarMember, scan
from shardstream.shard_writer.tar_write import BLOCK, END, member_header, padding


def members(archive: bytes) -> list[TarMember]:
    return list(scan(io.BytesIO(archive), url="s3://b/t.tar", size=len(archive)))


def by_tarfile(archive: bytes) -> list[TarMember]:
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        infos = [info for info in tar if info.isreg()]
    return [TarMember(re.sub(r"^(\./)+", "", info.name), info.offset_data, info.size) for info in infos]


def block(name: str, data: bytes, kind: bytes = b"0", **fields: bytes) -> bytes:
    """A header of any type and its payload, with a true checksum; fields replace bytes: ``at124=b"..."``."""
    header = bytearray(member_header("name", len(data)))
    header[:100] = name.encode().ljust(100, b"\0")
    header[156:157] = kind
    for field, value in fields.items():
        start = int(field.removeprefix("at"))
        header[start : start + len(value)] = value
    header[148:156] = b"%06o\0 " % (sum(header[:148]) + sum(header[156:]) + 256)
    return bytes(header) + data + padding(len(data))


FILE = block("a.jpg", b"\xffpayload")
SMALL = FILE + block("a.json", b"{}" * 300) + member_header("é" * 70 + ".cls", 1) + b"7" + padding(1) + END


def refused(archive: bytes, match: str) -> str:
    with pytest.raises(CorruptTar, match=match) as caught:
        members(archive)
    message = str(caught.value)
    assert message.startswith("s3://b/t.tar: no well-formed tar at byte ")
    assert "expected " in message
    assert "found " in message
    return message


def headers_of(archive: bytes) -> list[int]:
    """Offsets of all header blocks, extended ones too."""
    offsets, at = [], 0
    while archive[at : at + BLOCK].strip(b"\0"):
        offsets.append(at)
        at += BLOCK + -(-int(archive[at + 124 : at + 135], 8) // BLOCK) * BLOCK
    return offsets


def _archive_of(format_: int) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=format_) as tar:
        for name in ("a.jpg", "folder/" * 15 + "b.jpg"):
            info = tarfile.TarInfo(name)
            info.size, info.mtime = 700, 1_700_000_000
            tar.addfile(info, io.BytesIO(b"\xaa" * 700))
    return out.getvalue()


ARCHIVES = {
    "ours": SMALL,
    "ustar": _archive_of(tarfile.USTAR_FORMAT),
    "pax": _archive_of(tarfile.PAX_FORMAT),
    "gnu": _archive_of(tarfile.GNU_FORMAT),
}


@pytest.mark.parametrize("writer", ARCHIVES)
def test_every_single_bit_flip_in_every_header_raises(writer: str) -> None:
    """All 4,096 bits of each header block, checksum field and unused bytes among them."""
    archive = ARCHIVES[writer]
    assert len(members(archive)) == len(by_tarfile(archive)) > 1
    for header in headers_of(archive):
        for bit in range(8 * BLOCK):
            flipped = bytearray(archive)
            flipped[header + bit // 8] ^= 1 << bit % 8
            with pytest.raises(CorruptTar):
                members(bytes(flipped))


def test_a_file_cut_at_any_byte_raises() -> None:
    """Member boundaries and the middle of the two end blocks among them; the message names the place."""
    for length in range(len(SMALL)):
        with pytest.raises(CorruptTar):
            members(SMALL[:length])
    assert "at byte 1024: expected a tar header or the two zero blocks" in refused(SMALL[:1024], "cut short")


def test_a_file_shorter_than_its_store_said_raises() -> None:
    """The size is known from the listing; a read that ends early is no end of archive."""
    with pytest.raises(CorruptTar, match="more bytes of a file of"):
        list(scan(io.BytesIO(SMALL[:-100]), url="t.tar", size=len(SMALL)))


def test_zeros_over_any_block_of_headers_raise() -> None:
    """A lost disk block over a member's header is not the end of the archive."""
    for header in headers_of(SMALL):
        zeroed = SMALL[:header] + bytes(BLOCK) + SMALL[header + BLOCK :]
        refused(zeroed, "one zero block, then data|extended header before belongs to")
    refused(bytes(1024) + SMALL, "zeros after the end of the archive")


def test_all_zeros_and_only_folders_hold_no_member() -> None:
    """An empty shard is an error: webdataset reads 10,240 zeros as a shard without samples."""
    refused(bytes(10240), "holds no member")
    refused(END, "holds no member")
    refused(block("folder/", b"", b"5") + END, "holds no member")
    refused(b"", "an empty file")


def test_data_after_the_end_raises() -> None:
    """Zero padding may follow the end in whole blocks, nothing else."""
    assert members(SMALL + bytes(9 * BLOCK)) == members(SMALL)
    refused(SMALL + SMALL, f"at byte {len(SMALL)}: .*two archives joined")
    refused(SMALL + bytes(511) + b"x", f"at byte {len(SMALL) + 511}: expected zeros")
    refused(SMALL + bytes(3), "whole blocks")


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (gzip.compress(SMALL), "gzip"),
        (bz2.compress(SMALL), "bzip2"),
        (lzma.compress(SMALL), "xz data"),
        (b"\n <!DOCTYPE html><html><body>Please log in</body></html>", "HTML"),
        (b"<html>" + b"x" * 5000, "HTML"),
        (b"<?xml version='1.0'?><Error><Code>NoSuchKey</Code></Error>", "XML"),
        (b'{"error": "no such bucket"}', "JSON"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "git lfs pull"),
        (b"\xff\xd8\xff\xe0" + b"x" * 3000, "JPEG"),
        (b"PAR1" + b"x" * 3000, "Parquet"),
        (b"just some text " * 200, "text b'just some text"),
        (b"\x01\x02\x03" * 700, r"bytes b'\\x01"),
        (SMALL[1:] + b"\0", "expected a tar header"),
    ],
)
def test_other_content_is_named_by_what_it_looks_like(data: bytes, match: str) -> None:
    """Compressed tars, error pages, pointers and other files under a .tar name."""
    refused(data, match)


def test_a_zip_archive_is_named() -> None:
    """The commonest mistake with downloaded benchmarks."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("a", b"x" * 2000)
    refused(out.getvalue(), "zip archive")


@pytest.mark.parametrize(
    ("kind", "match"),
    [
        (b"1", "hard link"),
        (b"2", "symbolic link"),
        (b"3", "character device"),
        (b"4", "block device"),
        (b"6", "FIFO"),
        (b"S", "sparse"),
        (b"K", "GNU long link name"),
        (b"Z", "type b'Z'"),
    ],
)
def test_everything_but_files_and_folders_is_refused(kind: bytes, match: str) -> None:
    """Links, devices, FIFOs and sparse files have no payload that could be served."""
    message = refused(FILE + block("evil", b"", kind) + END, match)
    assert "at byte 1024" in message
    assert "b'evil'" in message


@pytest.mark.parametrize(
    ("field", "match"),
    [
        (b"\xff" * 12, "negative base-256"),
        (b"\xc0" + bytes(11), "negative base-256"),
        (b"\x80" + b"\x7f" * 11, "a payload within the file"),
        (b"\xbf" + b"\xff" * 11, "a payload within the file"),
        (b"77777777777\0", "a payload within the file"),
        (b"00000002001\0", "a payload within the file"),
        (b"-0000000001\0", "octal size"),
        (b"00000_00001\0", "octal size"),
        (b"0o000000001\0", "octal size"),
        (b"00000000009\0", "octal size"),
        (b"0000001\0junk", "octal size"),
        (bytes(12), "octal size"),
    ],
)
def test_impossible_sizes_are_refused(field: bytes, match: str) -> None:
    """Negative, beyond the file, or no octal number; tarfile takes some of these (CVE-2025-8194 loops on one)."""
    refused(FILE + block("a", b"", at124=field) + END, match)


@pytest.mark.parametrize(
    "name", ["", ".", "/etc/passwd", ".//etc", "../x", "a/../../x", "a/..", "a\nb", "a\x1bb", "a\x7f", "a/"]
)
@pytest.mark.parametrize("long", [False, True])
def test_unusable_names_are_refused(name: str, long: bool) -> None:
    """In the header itself and in a pax path."""
    if not long:
        refused(FILE + block(name, b"x") + END, "usable member name")
        return
    record = pax({"path": name})
    refused(FILE + block("x", record, b"x") + FILE + END, "usable member name|pax path that is not empty")


def pax(records: dict[str, str]) -> bytes:
    out = b""
    for keyword, value in records.items():
        body = f" {keyword}={value}\n".encode()
        size = next(n for n in range(len(body), len(body) + 9) if len(str(n)) + len(body) == n)
        out += b"%d" % size + body
    return out


def test_names_that_are_no_utf8_or_hide_bytes_are_refused() -> None:
    """Latin-1 bytes; a NUL in a pax path or GNU long name; bytes after the NUL of a header field."""
    refused(block("a", b"", at0=b"\xe9.jpg") + END, "a name in UTF-8")
    refused(block("x", pax({"path": "a\0b"}), b"x") + FILE + END, "control character")
    refused(block("x", b"a\0b\0", b"L") + FILE + END, "control character")
    refused(block("a", b"", at50=b"hidden") + END, "only zeros after the end of the name")
    refused(block("a", b"", at345=b"p\0q") + END, "only zeros after the end of the prefix")


@pytest.mark.parametrize(
    "data",
    [
        b"12 path=a\n",
        b"8 path=a\n",
        b"010 path=a\n",
        b"011 path=a\n",
        b"10 path:a\n",
        b"10 path=ab",
        b"99 path=a\n",
        b"x path=a\n",
        b"4 =\n",
        b"99999999999999999999 a=b\n",
        b"10 path=a\n\0",
        b"-5 a=b\n",
        b"0 a=b\n",
    ],
)
def test_broken_pax_records_are_refused(data: bytes) -> None:
    """Lengths that are wrong, huge, zero or padded; no '='; no newline; NUL after them."""
    refused(block("x", data, b"x") + FILE + END, "a pax record")


@pytest.mark.parametrize(
    ("extended", "match"),
    [
        (block("x", pax({"size": "-1"}), b"x"), "decimal pax size"),
        (block("x", pax({"size": "+7"}), b"x"), "decimal pax size"),
        (block("x", pax({"size": "9" * 19}), b"x"), "a payload within the file"),
        (block("x", pax({"size": "9" * 5000}), b"x"), "decimal pax size"),
        (block("x", pax({"path": "a"}) * 2, b"x"), "one pax path"),
        (block("x", pax({"GNU.sparse.major": "1"}), b"x"), "sparse"),
        (block("x", pax({"path": "a"}), b"g"), "global pax header"),
        (block("x", pax({"size": "5"}), b"g"), "global pax header"),
        (block("x", pax({"path": "a"}), b"x") * 2, "another extended header"),
        (block("x", pax({"path": "a"}), b"x") + block("x", b"b\0", b"L"), "another extended header"),
        (block("x", b"\0", b"L"), "a GNU long name"),
        (block("x", pax({"c": "x" * 2_000_000}), b"x"), "at most 1048576 bytes"),
        (block("x", b"", b"x", at124=b"77777777777\0"), "at most 1048576 bytes"),
        (block("x", b"n" * 1_048_577, b"L"), "at most 1048576 bytes"),
        (block("x", pax({"path": "n" * 5000}), b"x"), "a name of at most 4096 bytes"),
        (block("x", pax({"path": "a"}), b"x")[:-1] + b"h", "zeros after the extended header"),
    ],
)
def test_extended_headers_that_readers_disagree_about_are_refused(extended: bytes, match: str) -> None:
    """Doubled, global, oversized, sparse, or with records hidden in their padding."""
    refused(extended + FILE + END, match)


def test_an_extended_header_without_a_member_is_refused() -> None:
    """Its member was lost."""
    refused(FILE + block("x", pax({"path": "a"}), b"x") + END, "extended header before belongs to")


@pytest.mark.parametrize(
    ("member", "match"),
    [
        (block("a", b"", at257=b"ustar  \0", at345=b"14723012345\0"), "GNU or v7"),
        (block("a", b"", at257=b"USTAR\0\0\0"), "the magic of"),
        (block("folder", b"data", b"5"), "a directory without payload"),
        (block("x", pax({"path": "b"}), b"x") + block("cut/", b"", b"\0"), "file or directory"),
    ],
)
def test_headers_that_readers_disagree_about_are_refused(member: bytes, match: str) -> None:
    """Times where ustar has its prefix, unknown magic, folders with a payload, files that look like folders."""
    refused(FILE + member + END, match)


def test_ten_thousand_extended_headers_do_not_recurse() -> None:
    """Tarfile recurses once per header; here stack depth is constant."""
    comment = block("g", pax({"comment": "x"}), b"g")
    assert [member.name for member in members(comment * 10_000 + FILE + END)] == ["a.jpg"]
    refused(block("x", pax({"comment": "x"}), b"x") * 10_000 + FILE + END, "another extended header")
    assert sys.getrecursionlimit() < 10_000


def test_a_megabyte_of_tiny_pax_records_takes_linear_time() -> None:
    """200,000 records in one header, four headers: a bomb for quadratic readers."""
    bomb = block("g", b"5 a=\n" * 200_000, b"g")
    start = time.monotonic()
    assert len(members(bomb * 4 + FILE + END)) == 1
    assert time.monotonic() - start < 20


Mutation = tuple[int, int]
MUTATIONS = st.lists(st.tuples(st.integers(0, 10_239), st.integers(0, 255)), min_size=1, max_size=4)


def mutate(archive: bytes, mutations: list[Mutation], *, repair: bool) -> bytes:
    out = bytearray(archive)
    for at, value in mutations:
        out[at % len(out)] = value
    for header in headers_of(archive) if repair else []:
        here = out[header : header + BLOCK]
        total = sum(here) - sum(here[148:156]) + 256
        out[header + 148 : header + 156] = b"%06o\0 " % total
    return bytes(out)


@pytest.mark.parametrize("writer", ARCHIVES)
@given(mutations=MUTATIONS)
@settings(max_examples=300, deadline=None)
def test_random_damage_raises_or_leaves_what_tarfile_reads(writer: str, mutations: list[Mutation]) -> None:
    """Never another exception and never another result than tarfile's."""
    damaged = mutate(ARCHIVES[writer], mutations, repair=False)
    try:
        found = members(damaged)
    except CorruptTar:
        return
    assert found == by_tarfile(damaged)


# type, size, name and prefix decide what is read; the checksum is made right again, as an attacker would.
_FIELDS = st.sampled_from([*range(100), *range(124, 136), *[156] * 9, *range(257, 265), *range(345, 500)])
FORGERIES = st.lists(
    st.tuples(st.integers(0, 3), _FIELDS, st.sampled_from([*b"\0 /.0123457xgLKS9-_\x80\xff"])), min_size=1, max_size=4
)


@pytest.mark.parametrize("writer", ARCHIVES)
@given(forgeries=FORGERIES)
@settings(max_examples=300, deadline=None)
def test_forged_headers_raise_or_read_as_by_tarfile(writer: str, forgeries: list[tuple[int, int, int]]) -> None:
    """With true checksums: what we accept, tarfile reads the same."""
    archive = ARCHIVES[writer]
    headers = headers_of(archive)
    forged = mutate(archive, [(headers[n % len(headers)] + at, value) for n, at, value in forgeries], repair=True)
    try:
        found = members(forged)
    except CorruptTar:
        return
    assert found == by_tarfile(forged)


@given(st.binary(max_size=3000))
@settings(max_examples=200, deadline=None)
def test_random_bytes_raise(data: bytes) -> None:
    """No random file is a tar."""
    with pytest.raises(CorruptTar):
        members(data)
