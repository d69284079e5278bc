"""CIFAR copies that are wrapped, incomplete, damaged, or something else."""

from __future__ import annotations

import gzip
import pickle
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from shardstream.errors import SourceError
from shardstream.shard_writer.sources import cifar_files, open_source
from shardstream.shard_writer.types import Source

from .conformance import SourceConformance, samples_of


def tar(folder: Path, out: Path) -> Path:
    """The folder as GNU tar packs it."""
    subprocess.run(["tar", "-czf", out, "-C", folder.parent, folder.name], check=True)
    return out


def copy(folder: Path, to: Path) -> Path:
    """A writable copy."""
    shutil.copytree(folder, to, copy_function=shutil.copyfile)
    to.chmod(0o755)
    return to


class TestArchiveConformance(SourceConformance):
    """The official archive's form, packed by GNU tar."""

    @pytest.fixture
    def source(self, real_data: Path, tmp_path: Path) -> Source:
        return open_source("cifar10", str(tar(real_data / "cifar10/cifar-10-batches-py", tmp_path / "any-name.tar.gz")))


@pytest.mark.parametrize(
    ("name", "form"),
    [("cifar10", "cifar-10-batches-bin"), ("cifar100", "cifar-100-python"), ("cifar100", "cifar-100-binary")],
)
def test_an_archive_gives_the_samples_of_its_folder(real_data: Path, tmp_path: Path, name: str, form: str) -> None:
    """Given as a file, and found in the folder that holds it."""
    archive = tar(real_data / name / form, tmp_path / f"{'cifar-10-' if name == 'cifar10' else 'cifar-100-'}x.tar.gz")
    folder = open_source(name, str(real_data / name / form))
    for address in (archive, archive.parent):
        opened = open_source(name, str(address))
        assert opened.splits() == folder.splits()
        assert opened.about() == folder.about()
        for split in opened.splits():
            assert samples_of(opened.split(split)) == samples_of(folder.split(split))


def test_a_folder_that_contains_one_copy_is_enough(real_data: Path, tmp_path: Path) -> None:
    """``--source /data/cifar10`` where the copy lies one folder below."""
    copy(real_data / "cifar10/cifar-10-batches-bin", tmp_path / "cifar10/inner")
    assert open_source("cifar10", str(tmp_path / "cifar10")).splits() == ("train", "test")


def test_several_copies_are_named_and_none_is_chosen(real_data: Path) -> None:
    """The real folder holds pickles, .bin, parquet and broken downloads."""
    with pytest.raises(
        SourceError, match=r"several copies.*binary in cifar-10-batches-bin; pickles in cifar-10-batches-py"
    ):
        open_source("cifar10", str(real_data / "cifar10"))


def test_a_truncated_archive_is_refused_with_its_size(real_data: Path) -> None:
    """A real interrupted download of cifar-10-python.tar.gz."""
    broken = real_data / "cifar10/truncated-originals/cifar-10-python.tar.gz"
    with pytest.raises(
        SourceError, match=r"cifar-10-python\.tar\.gz: the archive of 786,432 bytes breaks after .*download it again"
    ):
        open_source("cifar10", str(broken))


def test_a_truncated_batch_is_refused(real_data: Path, tmp_path: Path) -> None:
    """A real interrupted data_batch_1 among whole ones."""
    folder = copy(real_data / "cifar10/cifar-10-batches-py", tmp_path / "c")
    shutil.copyfile(real_data / "cifar10/truncated-originals/data_batch_1", folder / "data_batch_1")
    source = open_source("cifar10", str(folder))
    with pytest.raises(SourceError, match="data_batch_1: 524,288 bytes are no whole CIFAR pickle"):
        source.split("train")
    assert len(source.split("test").records()) == 400


@pytest.mark.parametrize("missing", ["data_batch_3", "batches.meta"])
def test_a_missing_file_is_named(real_data: Path, tmp_path: Path, missing: str) -> None:
    """Four batches of five are no set of 40,000."""
    folder = copy(real_data / "cifar10/cifar-10-batches-py", tmp_path / "c")
    (folder / missing).unlink()
    with pytest.raises(SourceError, match=f"{missing} is missing.*download it again"):
        open_source("cifar10", str(folder)).split("train")


def test_the_other_cifar_is_recognised(real_data: Path) -> None:
    """The message says which source to use."""
    with pytest.raises(SourceError, match=r"holds no CIFAR-100.*It does hold CIFAR-10.*use 'cifar10'"):
        open_source("cifar100", str(real_data / "cifar10/cifar-10-batches-py"))


def test_a_wrong_folder_says_what_was_wanted_and_what_is_there(real_data: Path) -> None:
    """COCO is no CIFAR."""
    with pytest.raises(SourceError, match=r"holds no CIFAR-10. Wanted pickles .*found annotations/"):
        open_source("cifar10", str(real_data / "coco/tiny_coco"))


def test_an_address_with_nothing_is_refused(tmp_path: Path) -> None:
    """A typing error in the path, in a folder's and in an archive's."""
    with pytest.raises(SourceError, match="there is nothing there"):
        open_source("cifar10", str(tmp_path / "nothing"))
    with pytest.raises(SourceError, match="no such file"):
        open_source("cifar10", str(tmp_path / "nothing.tar.gz"))


def test_an_archive_that_unpacks_beyond_bounds_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A gzip bomb: 1,000 times its size, stopped at the bound."""
    monkeypatch.setattr(cifar_files, "MAX_UNPACKED", 1 << 20)
    (tmp_path / "bomb.tar.gz").write_bytes(gzip.compress(bytes(4 << 20)))
    with pytest.raises(SourceError, match="unpack to over 1,048,576"):
        open_source("cifar10", str(tmp_path / "bomb.tar.gz"))


def test_a_gzip_file_of_no_tar_is_refused(tmp_path: Path) -> None:
    """Damage inside a whole gzip layer."""
    (tmp_path / "x.tar.gz").write_bytes(gzip.compress(b"not a tar" * 1000))
    with pytest.raises(SourceError, match="its gzip layer is whole, the tar inside is not"):
        open_source("cifar10", str(tmp_path / "x.tar.gz"))


def batch(**changes: Any) -> dict[str, Any]:
    good = {
        "data": np.zeros((4, 3072), np.uint8),
        "labels": [0, 1, 2, 9],
        "filenames": list("abcd"),
        "batch_label": "x",
    }
    return {name: value for name, value in {**good, **changes}.items() if value is not None}


WRONG = {
    "a label too large": (batch(labels=[0, 1, 2, 10]), "runs from 0 to 10, expected 0 to 9"),
    "a negative label": (batch(labels=[-1, 0, 0, 0]), "runs from -1 to 0"),
    "a label too few": (batch(labels=[0, 1, 2]), "4 images, 3 entries of label"),
    "fractional labels": (batch(labels=[0.5, 1, 2, 3]), "no list of whole numbers"),
    "no labels": (batch(labels=None), "'labels' is no list"),
    "no pixels": (batch(data=None), "'data' is NoneType"),
    "64x64 pixels": (batch(data=np.zeros((4, 12288), np.uint8)), "expected uint8"),
    "float pixels": (batch(data=np.zeros((4, 3072), np.float32)), "expected uint8"),
    "a file name too few": (batch(filenames=list("abc")), "3 entries of filenames"),
}


@pytest.mark.parametrize(("content", "message"), WRONG.values(), ids=WRONG.keys())
def test_a_batch_that_breaks_its_format_is_refused(
    real_data: Path, tmp_path: Path, content: dict[str, Any], message: str
) -> None:
    """Every promise of the pickle is checked."""
    folder = copy(real_data / "cifar10/cifar-10-batches-py", tmp_path / "c")
    (folder / "test_batch").write_bytes(pickle.dumps(content, protocol=2))
    with pytest.raises(SourceError, match=f"test_batch.*{message}"):
        open_source("cifar10", str(folder)).split("test")


def test_a_binary_file_cut_short_is_refused(real_data: Path, tmp_path: Path) -> None:
    """No whole number of records."""
    folder = copy(real_data / "cifar100/cifar-100-binary", tmp_path / "c")
    data = (folder / "test.bin").read_bytes()
    (folder / "test.bin").write_bytes(data[:-1])
    with pytest.raises(
        SourceError, match=r"test\.bin: 1,844,399 bytes are no whole number of 3074-byte records \(3073 left"
    ):
        open_source("cifar100", str(folder)).split("test")


def test_a_binary_label_out_of_range_is_refused(real_data: Path, tmp_path: Path) -> None:
    """CIFAR-100's coarse label has 20 classes."""
    folder = copy(real_data / "cifar100/cifar-100-binary", tmp_path / "c")
    data = bytearray((folder / "test.bin").read_bytes())
    data[3074 * 7] = 20
    (folder / "test.bin").write_bytes(data)
    with pytest.raises(SourceError, match="'coarse_label' runs from 0 to 20, expected 0 to 19"):
        open_source("cifar100", str(folder)).split("test")


def test_damaged_parquet_is_refused(real_data: Path, tmp_path: Path) -> None:
    """Cut in the middle."""
    folder = copy(real_data / "cifar10/hf-parquet/plain_text", tmp_path / "c")
    file = folder / "test-00000-of-00001.parquet"
    file.write_bytes(file.read_bytes()[:200_000])
    with pytest.raises(SourceError, match="200,000 bytes are no readable parquet"):
        open_source("cifar10", str(folder)).split("test")


def test_parquet_with_lossy_images_is_refused(real_data: Path, tmp_path: Path) -> None:
    """JPEG copies of CIFAR circulate; they are another benchmark."""
    folder = copy(real_data / "cifar10/hf-parquet/plain_text", tmp_path / "c")
    file = folder / "test-00000-of-00001.parquet"
    table = pq.read_table(file)
    images = table["img"].to_pylist()
    images[3] = {"bytes": b"\xff\xd8\xff\xe0", "path": None}
    pq.write_table(table.set_column(0, "img", pa.array(images, table.schema.field("img").type)), file)
    with pytest.raises(SourceError, match="row 3 is no 32x32 RGB PNG"):
        open_source("cifar10", str(folder)).split("test")
