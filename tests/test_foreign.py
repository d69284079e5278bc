"""Tars that others wrote: indexed as they are, read exactly once, refused where a reader would lose samples."""

from __future__ import annotations

import io
import subprocess
import tarfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import shardstream as ss
from shardstream.cli import main

from .helpers import tree
from .toy import pack_toy, toy_pixels


def png(number: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(toy_pixels(number)).save(buffer, "png")
    return buffer.getvalue()


def tar(path: Path, members: Iterable[tuple[str, bytes | None]]) -> Path:
    """An archive of files, and of folders where the bytes are None."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = 0 if data is None else len(data)
            info.type = tarfile.DIRTYPE if data is None else tarfile.REGTYPE
            archive.addfile(info, None if data is None else io.BytesIO(data))
    return path


def sample(number: int, **other: bytes) -> list[tuple[str, bytes | None]]:
    members = {"png": png(number), "cls": b"%d" % (number % 3)} | other
    return [(f"s{number}.{name}", data) for name, data in members.items()]


def delivered(ds: ss.ShardDataset) -> list[str]:
    loader = ss.Loader(ds, batch_size=3, shuffle=True, drop_last=False)
    return sorted(key for batch in loader for key, valid in zip(batch["key"], batch["valid"], strict=True) if valid)


def refused(folder: Path, error: type[Exception], message: str, pattern: str | None = None) -> None:
    """Indexing raises, and leaves the folder as it was."""
    before = tree(folder)
    with pytest.raises(error, match=message):
        ss.index(pattern or str(folder), None, "train")
    assert tree(folder) == before


def test_a_folder_of_tars_becomes_a_dataset_without_a_byte_rewritten(tmp_path: Path) -> None:
    """Tars below the folder in order of their names; images, labels and other members by name."""
    tar(tmp_path / "b.tar", sample(2) + sample(3))
    tar(tmp_path / "deep" / "a.tar", sample(4, txt=b"four"))
    tar(tmp_path / "a.tar", sample(0) + sample(1))
    before = tree(tmp_path)
    manifest = ss.index(str(tmp_path), None, "train")
    assert {name: digest for name, digest in tree(tmp_path).items() if name in before} == before
    assert [shard.name for shard in manifest.splits["train"].shards] == ["a.tar", "b.tar", "deep/a.tar"]
    ds = ss.open(tmp_path)
    assert [item["key"] for item in ds] == ["s0", "s1", "s2", "s3", "s4"]
    for number, item in enumerate(ds):
        assert np.array_equal(np.asarray(item["image"]), toy_pixels(number))
        assert item["label"] == number % 3
        assert item["txt"] == (b"four" if number == 4 else None)
    assert delivered(ds) == ["s0", "s1", "s2", "s3", "s4"]
    assert main(["verify", str(tmp_path)]) == 0


def test_our_own_shards_are_foreign_tars_too(tmp_path: Path) -> None:
    """Packed by us, their manifest lost: indexing gives the same digest and the same batches."""
    ours = pack_toy(tmp_path / "out", 30)
    items = [item["key"] for item in ours]
    (tmp_path / "out" / "dataset.json").unlink()
    manifest = ss.index(str(tmp_path / "out" / "train"), str(tmp_path / "again"), "train")
    assert manifest.splits["train"].digest == ours.digest
    assert [item["key"] for item in ss.open(tmp_path / "again")] == items


def test_the_index_may_lie_elsewhere(tmp_path: Path) -> None:
    """--out: the folder of the tars is not touched, and the dataset is opened from the index."""
    tar(tmp_path / "theirs" / "x-000.tar", sample(0))
    tar(tmp_path / "theirs" / "x-001.tar", sample(1))
    before = tree(tmp_path / "theirs")
    ss.index(str(tmp_path / "theirs" / "x-{000..001}.tar"), str(tmp_path / "mine"), "val")
    assert tree(tmp_path / "theirs") == before
    assert sorted(tree(tmp_path / "mine")) == ["dataset.json", "val/index-00000.parquet"]
    assert delivered(ss.open(tmp_path / "mine", split="val")) == ["s0", "s1"]


def test_a_pattern_in_the_working_folder_and_a_single_tar_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a shell user types them."""
    tar(tmp_path / "x-0.tar", sample(0))
    tar(tmp_path / "x-1.tar", sample(1))
    monkeypatch.chdir(tmp_path)
    ss.index("x-{0..1}.tar", "both", "train")
    assert delivered(ss.open("both")) == ["s0", "s1"]
    ss.index("x-1.tar", "one", "train")
    assert delivered(ss.open("one")) == ["s1"]


def test_a_second_split_is_added_and_a_split_is_not_indexed_twice(tmp_path: Path) -> None:
    """The first one stays as it is."""
    tar(tmp_path / "train" / "a.tar", sample(0))
    tar(tmp_path / "val" / "a.tar", sample(1))
    ss.index(str(tmp_path / "train"), str(tmp_path / "set"), "train")
    ss.index(str(tmp_path / "val"), str(tmp_path / "set"), "val")
    assert delivered(ss.open(tmp_path / "set", split="train")) == ["s0"]
    assert delivered(ss.open(tmp_path / "set", split="val")) == ["s1"]
    before = tree(tmp_path / "set")
    with pytest.raises(ss.OutputExists, match="has a split 'val' already"):
        ss.index(str(tmp_path / "train"), str(tmp_path / "set"), "val")
    assert tree(tmp_path / "set") == before


def test_a_split_is_not_added_to_a_dataset_of_something_else(tmp_path: Path) -> None:
    """Refused before the first byte is written."""
    pack_toy(tmp_path / "out", 5)
    tar(tmp_path / "theirs" / "a.tar", sample(0))
    before = tree(tmp_path / "out")
    with pytest.raises(ss.ManifestError, match="cannot add splits of 'webdataset' to a dataset of 'toy'"):
        ss.index(str(tmp_path / "theirs"), str(tmp_path / "out"), "val")
    assert tree(tmp_path / "out") == before


def test_names_are_read_by_webdatasets_rule(tmp_path: Path) -> None:
    """Dots in the extension, upper case, folders with dots, './' in front, directory members."""
    members: list[tuple[str, bytes | None]] = [
        ("./", None),
        ("./v1.2/", None),
        ("./v1.2/a.PNG", png(1)),
        ("./v1.2/a.seg.PNG", png(2)),
        ("./v1.2/a.Cls", b"7\n"),
        ("./v1.2/b.png", png(3)),
        ("./v1.2/b.seg.png", png(4)),
        ("./v1.2/b.cls", b"8"),
    ]
    tar(tmp_path / "x.tar", members)
    ss.index(str(tmp_path), None, "train")
    ds = ss.open(tmp_path)
    assert [(item["key"], item["label"]) for item in ds] == [("v1.2/a", 7), ("v1.2/b", 8)]
    assert np.array_equal(np.asarray(ds[0]["image"]), toy_pixels(1))
    assert ds[1]["seg.png"] == png(4)
    assert dict(ds.info.fields) == {"png": "image", "seg.png": "bytes", "cls": "class"}


def test_gnu_tars_long_names_are_read(tmp_path: Path) -> None:
    """An archive that tar itself made, in its own format."""
    name = "k" * 120
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / f"{name}.png").write_bytes(png(1))
    (tmp_path / "in" / f"{name}.cls").write_bytes(b"1")
    subprocess.run(["tar", "--format=gnu", "-cf", tmp_path / "x.tar", "-C", tmp_path / "in", "."], check=True)
    ss.index(str(tmp_path), None, "train")
    assert [item["key"] for item in ss.open(tmp_path)] == [name]


def test_missing_parts_are_null_and_named_when_they_are_needed(tmp_path: Path) -> None:
    """A sample without label: no label column, the bytes stay; one without image: the loader names it."""
    tar(tmp_path / "x.tar", [*sample(0), ("s1.png", png(1)), ("s2.cls", b"2")])
    manifest = ss.index(str(tmp_path), None, "train")
    assert manifest.splits["train"].label_column is None
    ds = ss.open(tmp_path)
    assert ds.index["png_offset"].null_count == 1
    assert ds.index["cls_offset"].null_count == 1
    assert [item["cls"] for item in ds] == [b"0", None, b"2"]
    assert ds[2]["image"] is None
    with pytest.raises(ss.UndecodableImage, match=r"x\.tar: sample 's2'.* has no 'png' member"):
        list(ss.Loader(ds, batch_size=3))


def test_members_of_no_sample_are_counted_by_reason(tmp_path: Path) -> None:
    """Not read as samples, not silently lost: the manifest says how many and why."""
    extra: list[tuple[str, bytes | None]] = [("README", b"x"), ("._s0.png", b"mac"), ("__meta__/x.json", b"{}")]
    tar(tmp_path / "x.tar", extra + sample(0))
    manifest = ss.index(str(tmp_path), None, "train")
    assert sum(manifest.splits["train"].skipped.values()) == 3
    assert len(manifest.splits["train"].skipped) == 3
    assert "members left out" in manifest.notes[0]
    assert len(ss.open(tmp_path)) == 1


def test_a_tar_without_samples_among_others_keeps_the_shards_in_step(tmp_path: Path) -> None:
    """It is an empty row group, not a missing one."""
    tar(tmp_path / "a.tar", sample(0))
    tar(tmp_path / "b.tar", [("README", b"x")])
    tar(tmp_path / "c.tar", sample(1) + sample(2))
    ss.index(str(tmp_path), None, "train")
    ds = ss.open(tmp_path)
    assert [item["key"] for item in ds] == ["s0", "s1", "s2"]
    assert delivered(ds) == ["s0", "s1", "s2"]
    assert main(["verify", str(tmp_path)]) == 0


def test_extensions_that_are_called_like_our_own_fields_are_plain_members(tmp_path: Path) -> None:
    """``.key``, ``.label`` and ``.facts`` are somebody's files."""
    tar(tmp_path / "x.tar", [("s0.key", b"k"), ("s0.label", b"l"), ("s0.facts", b"f"), ("s0.png", png(0))])
    ss.index(str(tmp_path), None, "train")
    item = ss.open(tmp_path)[0]
    assert (item["key"], item[".key"], item["label"], item["facts"]) == ("s0", b"k", b"l", b"f")
    assert delivered(ss.open(tmp_path)) == ["s0"]


def test_tars_without_images_are_read(tmp_path: Path) -> None:
    """Text and JSON only: items hold them, and a loader delivers keys, or what a transform makes of the items."""
    members = [
        (f"s{i}.{name}", data) for i in range(5) for name, data in (("txt", b"t%d" % i), ("json", b'{"n":%d}' % i))
    ]
    tar(tmp_path / "x.tar", members)
    manifest = ss.index(str(tmp_path), None, "train")
    assert manifest.splits["train"].image_field is None
    ds = ss.open(tmp_path)
    assert ds[3] == {"key": "s3", "txt": b"t3", "n": 3}
    assert delivered(ds) == [f"s{i}" for i in range(5)]
    doubled = ds.with_transform(lambda rows: {"twice": [2 * n for n in rows["n"]]})
    batch = next(iter(ss.Loader(doubled, batch_size=5)))
    assert batch["twice"].tolist() == [0, 2, 4, 6, 8]


def test_interleaved_keys_are_refused(tmp_path: Path) -> None:
    """webdataset would hand out two half samples."""
    tar(tmp_path / "x.tar", [("a.png", png(0)), ("b.png", png(1)), ("a.cls", b"1")])
    refused(tmp_path, ss.CorruptTar, r"x\.tar: .*'a\.cls' again after other samples")


def test_the_same_key_in_two_tars_is_refused(tmp_path: Path) -> None:
    """Both addresses are named."""
    tar(tmp_path / "a.tar", sample(0))
    tar(tmp_path / "b.tar", sample(1) + sample(0))
    refused(tmp_path, ss.CorruptTar, r"b\.tar: key 's0' stands in .*a\.tar too")


def test_a_member_twice_under_one_key_is_refused(tmp_path: Path) -> None:
    """In any case of its extension."""
    tar(tmp_path / "a.tar", [("a.png", png(0)), ("a.PNG", png(1))])
    refused(tmp_path, ss.CorruptTar, r"'a\.png' at byte .* 'a\.PNG'")


@pytest.mark.parametrize("keep", [0, 100, 512, 700, -1024, -1, -10240 + 512])
def test_a_cut_tar_is_refused(tmp_path: Path, keep: int) -> None:
    """At any place; tarfile would read fewer members. Python pads archives to 10,240 bytes."""
    path = tar(tmp_path / "b.tar", [member for i in range(9) for member in sample(i)])
    tar(tmp_path / "a.tar", sample(50))
    data = path.read_bytes()
    end = len(data.rstrip(b"\0"))
    end += -end % 512 + 1024
    path.write_bytes(data[:end][:keep] if keep <= 0 else data[:keep])
    refused(tmp_path, ss.CorruptTar, r"b\.tar: no well-formed tar at byte")


def test_a_label_that_is_no_number_is_named(tmp_path: Path) -> None:
    """Or too large for a column."""
    for text in (b"cat", b"", b"1.5", b"9" * 30):
        tar(tmp_path / "x.tar", sample(0, cls=text))
        refused(tmp_path, ss.SourceError, r"x\.tar: s0\.cls holds b'.*', no whole number")


def test_a_damaged_image_is_named(tmp_path: Path) -> None:
    """While indexing, not in the tenth epoch."""
    tar(tmp_path / "x.tar", sample(0) + sample(1, png=b"\xff\xd8 no jpeg"))
    refused(tmp_path, ss.UndecodableImage, r"x\.tar: s1\.png: .* are no readable image")


def test_a_missing_tar_of_a_pattern_is_named(tmp_path: Path) -> None:
    """Before any other is read; never a dataset of the rest."""
    for number in (0, 1, 3):
        tar(tmp_path / f"x-{number:03d}.tar", sample(number))
    pattern = str(tmp_path / "x-{000..003}.tar")
    refused(tmp_path, ss.SourceError, r"x-002\.tar of the pattern does not exist", pattern)


def test_a_pattern_over_two_folders_is_refused(tmp_path: Path) -> None:
    """A dataset has one base address."""
    tar(tmp_path / "a" / "x.tar", sample(0))
    tar(tmp_path / "b" / "x.tar", sample(1))
    refused(tmp_path, ss.OptionError, "spans several folders", str(tmp_path / "{a,b}/x.tar"))


def test_a_folder_without_tars_or_samples_is_refused(tmp_path: Path) -> None:
    """An empty dataset is nobody's wish."""
    refused(tmp_path, ss.SourceError, r"no \.tar below")
    tar(tmp_path / "x.tar", [("README", b"no sample")])
    refused(tmp_path, ss.SourceError, r"makes a sample: .*no dot in its name")


@pytest.mark.parametrize("split", ["", "../x", "a/b", ".hidden", "a:b"])
def test_a_split_name_that_is_no_folder_name_is_refused(tmp_path: Path, split: str) -> None:
    """It could not be opened again."""
    tar(tmp_path / "x.tar", sample(0))
    with pytest.raises(ss.OptionError, match="--split"):
        ss.index(str(tmp_path), None, split)
    assert tree(tmp_path).keys() == {"x.tar"}


def test_a_changed_tar_is_found_after_indexing(tmp_path: Path) -> None:
    """The index holds its digests: a replaced file raises and verify names it."""
    path = tar(tmp_path / "x.tar", sample(0) + sample(1))
    ss.index(str(tmp_path), None, "train")
    data = path.read_bytes()
    path.write_bytes(data.replace(png(1), png(1)[:-1] + b"x"))
    with pytest.raises(ss.ChecksumMismatch, match=r"x\.tar: member s1\.png at offset"):
        list(ss.Loader(ss.open(tmp_path), batch_size=2))
    assert main(["verify", str(tmp_path)]) == 1


def test_statistics_are_counted_for_foreign_tars_too(tmp_path: Path) -> None:
    """Image sizes and the labels' histogram."""
    tar(tmp_path / "x.tar", [member for i in range(7) for member in sample(i)])
    ss.index(str(tmp_path), None, "train")
    found = ss.open(tmp_path).statistics
    assert found["histograms"] == {"label": {"0": 3, "1": 2, "2": 2}}
    assert found["image_sizes"]["width"] == {"min": 10, "max": 10, "mean": 10.0}
