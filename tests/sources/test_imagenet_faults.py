"""ImageNet files that are not what they promise."""

from __future__ import annotations

from pathlib import Path

import pytest

from shardstream.errors import SourceError
from shardstream.shard_writer.sources import imagenet_facts, open_source

from .imagenet_copies import WNIDS, mapping, picture, tar, train_files, train_tar, write


def records(root: Path, split: str = "train") -> list[str]:
    return [record.key for record in open_source("imagenet", str(root)).split(split).records()]


@pytest.mark.parametrize("damage", ["header", "cut"])
def test_a_damaged_inner_archive_is_named_with_its_place(tmp_path: Path, damage: str) -> None:
    """Outer, inner, byte."""
    inner = bytearray(tar({f"{WNIDS[0]}_{n}.JPEG": picture(n) for n in range(3)}))
    if damage == "header":
        inner[inner.index(f"{WNIDS[0]}_1.JPEG".encode()) + 3] ^= 1
    else:
        del inner[1536:]
    outer = tar({f"{WNIDS[1]}.tar": tar({f"{WNIDS[1]}_1.JPEG": picture(9)}), f"{WNIDS[0]}.tar": bytes(inner)})
    root = write(tmp_path, {"ILSVRC2012_img_train.tar": outer})
    with pytest.raises(SourceError, match=rf"ILSVRC2012_img_train\.tar.*{WNIDS[0]}\.tar.*\d"):
        records(root)


def test_a_cut_outer_archive_is_refused(tmp_path: Path) -> None:
    """An interrupted download."""
    root = write(tmp_path, {"ILSVRC2012_img_train.tar": train_tar(train_files())[:-12_000]})
    with pytest.raises(SourceError, match=r"ILSVRC2012_img_train\.tar"):
        records(root)


def test_images_right_in_the_train_archive_are_refused(tmp_path: Path) -> None:
    """The archive of another task."""
    root = write(tmp_path, {"ILSVRC2012_img_train.tar": tar({"x.JPEG": picture(1)})})
    with pytest.raises(SourceError, match=r"x\.JPEG"):
        records(root)


def test_a_class_that_is_not_in_the_list_is_refused(tmp_path: Path) -> None:
    """Of ImageNet-21k, say."""
    files = {"LOC_synset_mapping.txt": mapping(), "train/n99999999/n99999999_1.JPEG": picture(1)}
    with pytest.raises(SourceError, match="n99999999"):
        records(write(tmp_path, files))


@pytest.mark.parametrize("form", ["cut", "gap"])
def test_a_class_list_that_is_not_of_1000_is_refused(tmp_path: Path, form: str) -> None:
    """A cut file would shift every label after the gap, silently."""
    listed = mapping().splitlines(keepends=True)
    listed = listed[:-1] if form == "cut" else listed[:500] + listed[501:]
    wnid = WNIDS[10] if form == "cut" else WNIDS[-1]
    files = {"LOC_synset_mapping.txt": b"".join(listed), f"train/{wnid}/{wnid}_1.JPEG": picture(1)}
    with pytest.raises(SourceError, match="999"):
        records(write(tmp_path, files))


def test_two_class_lists_that_disagree_are_refused(tmp_path: Path) -> None:
    """One of them would number the classes otherwise."""
    other = mapping().replace(WNIDS[500].encode(), b"n10000001")
    files = {"LOC_synset_mapping.txt": mapping(), "synset_words.txt": other}
    files |= {f"train/{WNIDS[-1]}/{WNIDS[-1]}_1.JPEG": picture(1)}
    with pytest.raises(SourceError, match=r"synset_words\.txt"):
        records(write(tmp_path, files))


def test_an_image_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    """In one inner archive, under one name."""
    import io
    import tarfile

    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for number in (1, 2):
            info = tarfile.TarInfo(f"{WNIDS[0]}_7.JPEG")
            info.size = len(picture(number))
            archive.addfile(info, io.BytesIO(picture(number)))
    root = write(tmp_path, {"ILSVRC2012_img_train.tar": tar({f"{WNIDS[0]}.tar": buffer.getvalue()})})
    with pytest.raises(SourceError, match=f"{WNIDS[0]}_7"):
        records(root)


def test_one_image_under_two_extensions_is_refused(tmp_path: Path) -> None:
    """A converted copy beside the original."""
    files = {f"train/{WNIDS[0]}/{WNIDS[0]}_7.{kind}": picture(1) for kind in ("JPEG", "jpg")}
    with pytest.raises(SourceError, match=f"{WNIDS[0]}_7"):
        records(write(tmp_path, files))


def test_an_image_named_for_another_class_is_refused(tmp_path: Path) -> None:
    """It lies in the wrong folder."""
    files = {f"train/{WNIDS[0]}/{WNIDS[1]}_7.JPEG": picture(1)}
    with pytest.raises(SourceError, match=f"{WNIDS[0]}.*{WNIDS[1]}|{WNIDS[1]}.*{WNIDS[0]}"):
        records(write(tmp_path, files))


def test_a_split_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    """Which one is meant?"""
    files = {f"train/{path}": data for path, data in train_files().items()}
    files["ILSVRC2012_img_train.tar"] = train_tar(train_files())
    with pytest.raises(SourceError, match=r"twice|2 times"):
        records(write(tmp_path, files))


def test_two_folders_of_one_split_are_refused(tmp_path: Path) -> None:
    """A source one level too high: two copies would be joined."""
    files = {
        f"{copy}/train/{path}": data for copy in "ab" for path, data in list(train_files().items())[ord(copy) % 2 :: 2]
    }
    with pytest.raises(SourceError, match="train"):
        records(write(tmp_path, files))


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    """With what is expected."""
    with pytest.raises(SourceError, match=r"ILSVRC2012_img_train\.tar"):
        open_source("imagenet", str(write(tmp_path, {"cat/1.jpg": picture(1)}))).splits()


def test_an_absent_folder_is_refused(tmp_path: Path) -> None:
    """A typing error in --source."""
    with pytest.raises(SourceError, match="nowhere"):
        open_source("imagenet", str(tmp_path / "nowhere")).splits()


def test_a_whole_train_split_must_have_the_official_sizes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The right count with a class too few: images lie in wrong folders."""
    monkeypatch.setattr(imagenet_facts, "COUNTS", {"train": 6, "val": 1, "test": 1})
    root = write(tmp_path, {f"train/{path}": data for path, data in train_files().items()})
    with pytest.raises(SourceError, match="3 classes"):
        open_source("imagenet", str(root)).about()


def test_more_images_than_there_are_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Something was added."""
    monkeypatch.setattr(imagenet_facts, "COUNTS", {"train": 5, "val": 1, "test": 1})
    root = write(tmp_path, {f"train/{path}": data for path, data in train_files().items()})
    with pytest.raises(SourceError, match=r"6 images.*5"):
        open_source("imagenet", str(root)).about()


def test_the_md5_is_compared_when_asked(tmp_path: Path) -> None:
    """145 GB are read only then."""
    from shardstream.shard_writer.sources import SourceOptions

    root = write(tmp_path, {"ILSVRC2012_img_train.tar": train_tar(train_files())})
    open_source("imagenet", str(root)).about()
    with pytest.raises(SourceError, match="1d675b47d978889d74fa0da5fadfb00e"):
        open_source("imagenet", str(root), SourceOptions(md5=True)).about()
