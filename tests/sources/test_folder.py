"""Folders of images, against the files themselves."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest
from PIL import Image

from shardstream.errors import OptionError, SourceError
from shardstream.shard_writer.sources import SourceOptions, open_source
from shardstream.shard_writer.sources.folder_keys import path_keys
from shardstream.shard_writer.types import Sample, Source

from .conformance import SourceConformance

TRAIN = "imagenet/ILSVRC/Data/CLS-LOC/train"


def put(root: Path, *paths: str) -> Path:
    """Small images of distinct colour under the given names; other files hold text."""
    for number, path in enumerate(paths):
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        kinds = {"jpg": "JPEG", "jpeg": "JPEG", "png": "PNG", "webp": "WEBP", "gif": "GIF", "tif": "TIFF", "bmp": "BMP"}
        kind = kinds.get(path.rpartition(".")[2].lower())
        if kind is None:
            target.write_text("text")
            continue
        buffer = io.BytesIO()
        Image.new("RGB", (4 + number, 5), (number, 9, 9)).save(buffer, kind)
        target.write_bytes(buffer.getvalue())
    return root


def samples(source: Source, split: str = "train") -> dict[str, Sample]:
    """Every sample of a split by key."""
    opened = source.split(split)
    return {record.key: opened.read(record) for record in opened.records()}


class TestImageNetConformance(SourceConformance):
    """230 real classes in train, an unlabelled flat test split."""

    @pytest.fixture
    def source(self, real_data: Path) -> Source:
        return open_source("folder", str(real_data / TRAIN).removesuffix("/train"))


class TestFlatConformance(SourceConformance):
    """Real photos with odd headers: CMYK, grey, EXIF of every orientation, broken EXIF."""

    @pytest.fixture
    def source(self, real_data: Path) -> Source:
        return open_source("folder", str(real_data / "imagenet/quirks-pillow"))


class TestClassFoldersConformance(SourceConformance):
    """Splits, mixed formats, an empty class, colliding names."""

    @pytest.fixture
    def source(self, tmp_path: Path) -> Source:
        put(tmp_path, "train/b/1.jpg", "train/b/1.png", "train/a/x.y.jpeg", "val/a/deep/er/1.webp", "test/u.png")
        (tmp_path / "val/c").mkdir()
        return open_source("folder", str(tmp_path))


def test_every_real_imagenet_file_comes_back_bit_for_bit(real_data: Path) -> None:
    """230 files; class numbers are positions in the sorted synset folders; the file with a quote keeps it."""
    root = real_data / TRAIN
    files = sorted(path.relative_to(root).as_posix() for path in root.rglob("*.JPEG"))
    classes = sorted(os.listdir(root))
    assert len(files) == 230
    source = open_source("folder", str(root))
    found = samples(source)
    assert list(found) == [file.removesuffix(".JPEG") for file in files]
    assert "n03992509/n03992509_potter's_wheel" in found
    for file, sample in zip(files, found.values(), strict=True):
        assert sample.image == (root / file).read_bytes()
        assert sample.annotations["path"] == file
        assert sample.label == classes.index(file.split("/")[0])
        assert sample.annotations["label_name"] == file.split("/")[0]
    assert source.about().classes == {"label": tuple(classes)}
    assert source.split("train").info.shuffle


def test_folders_named_like_splits_are_splits(tmp_path: Path) -> None:
    """One class has one number in every split, though val lacks some."""
    source = open_source("folder", str(put(tmp_path, "train/a/1.jpg", "train/b/1.jpg", "val/b/2.jpg", "test/c/3.jpg")))
    assert source.splits() == ("train", "val", "test")
    assert source.about().classes == {"label": ("a", "b", "c")}
    assert [sample.label for sample in samples(source, "val").values()] == [1]
    assert [source.split(name).info.shuffle for name in source.splits()] == [True, False, False]


def test_a_class_called_train_beside_other_classes_is_a_class(tmp_path: Path) -> None:
    """Trains, cars and planes."""
    source = open_source("folder", str(put(tmp_path, "train/1.jpg", "car/1.jpg")), SourceOptions(split_name="mine"))
    assert source.splits() == ("mine",)
    assert source.about().classes == {"label": ("car", "train")}


def test_a_name_for_the_split_is_refused_where_folders_name_splits(tmp_path: Path) -> None:
    """It would be ignored."""
    source = open_source("folder", str(put(tmp_path, "train/a/1.jpg")), SourceOptions(split_name="mine"))
    with pytest.raises(OptionError, match="'mine' cannot rename"):
        source.splits()


def test_an_empty_class_keeps_its_number_and_is_noted(tmp_path: Path) -> None:
    """Dropping it would shift the numbers of the classes after it."""
    put(tmp_path, "a/1.jpg", "b/notes.txt", "d/1.jpg")
    (tmp_path / "c").mkdir()
    source = open_source("folder", str(tmp_path))
    assert source.about().classes == {"label": ("a", "b", "c", "d")}
    assert {sample.label for sample in samples(source).values()} == {0, 3}
    assert "train: 2 class folders hold no image: b, c" in source.about().notes


def test_files_that_are_not_taken_are_counted_by_kind(tmp_path: Path) -> None:
    """Nothing disappears silently; AppleDouble files only look like images."""
    put(tmp_path, "a/1.jpg", "a/2.gif", "a/3.tif", "a/4.tif", "a/._1.jpg", "a/README", "a/x.txt")
    notes = open_source("folder", str(tmp_path)).about().notes
    assert notes == ("left out, not jpg, jpeg, png, webp: 1 .gif, 2 .tif, 1 .txt, 1 hidden, 1 without extension",)


@pytest.mark.parametrize(
    ("files", "field"),
    [
        (["1.jpg", "2.JPEG"], "jpg"),
        (["1.png", "2.PNG"], "png"),
        (["1.webp"], "webp"),
        (["1.png", "2.jpg"], "jpg"),
        (["1.png", "2.webp"], "jpg"),
    ],
)
def test_a_split_has_one_image_field(tmp_path: Path, files: list[str], field: str) -> None:
    """Mixed folders go under jpg; the index knows each image's true format."""
    assert open_source("folder", str(put(tmp_path, *files))).split("train").info.image_field == field


def test_keys_keep_what_a_tar_allows_and_replace_what_it_does_not() -> None:
    """Dots would end the key; backslashes and control characters are refused by the planner."""
    found = path_keys(["a/it's a b.c.jpg", "a/x\\y.jpg", "a/tab\there.jpg", "v1.0/x.jpg"])
    assert found == {
        "a/it's a b.c.jpg": "a/it's a b_c",
        "a/x\\y.jpg": "a/x_y",
        "a/tab\there.jpg": "a/tab_here",
        "v1.0/x.jpg": "v1_0/x",
    }


def test_colliding_names_get_keys_that_do_not_depend_on_listing_order() -> None:
    """Later ones in sorted order get the extension, then a number; a real name of that form is not overrun."""
    paths = ["1.png", "1.jpg", "1.jpeg", "1_png.jpg", "1.PNG"]
    found = path_keys(paths)
    assert found == path_keys(reversed(paths))
    assert found == {"1.PNG": "1", "1.jpeg": "1_jpeg", "1.jpg": "1_jpg", "1.png": "1_png", "1_png.jpg": "1_png_jpg"}
    assert path_keys(["a.b.jpg", "a_b.jpg", "a.b.JPG"])["a_b.jpg"] == "a_b_jpg_2"


def test_a_file_name_that_is_no_unicode_is_refused(tmp_path: Path) -> None:
    """It cannot stand in JSON."""
    put(tmp_path, "1.jpg")
    try:
        os.rename(os.fsencode(tmp_path / "1.jpg"), os.fsencode(tmp_path) + b"/\xff.jpg")
    except OSError:
        pytest.skip("this file system stores Unicode names only")
    with pytest.raises(SourceError, match="not Unicode text; rename"):
        open_source("folder", str(tmp_path)).split("train").records()


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    """The message says what is there instead."""
    with pytest.raises(SourceError, match=r"no images \(jpg, jpeg, png, webp\).*found a/1\.txt"):
        open_source("folder", str(put(tmp_path, "a/1.txt"))).splits()


def test_images_beside_class_folders_are_refused(tmp_path: Path) -> None:
    """They have no class, their neighbours do."""
    with pytest.raises(SourceError, match=r"1 images lie beside class folders: 2\.jpg"):
        open_source("folder", str(put(tmp_path, "a/1.jpg", "2.jpg"))).splits()


def test_an_absent_split_is_refused_with_those_that_exist(tmp_path: Path) -> None:
    """A typing error in --split."""
    with pytest.raises(SourceError, match="'tset' is not there; there are train"):
        open_source("folder", str(put(tmp_path, "1.jpg"))).split("tset")
