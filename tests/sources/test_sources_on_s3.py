"""Sources read through the store, so they work from a bucket; a real S3 server on loopback."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from shardstream.shard_writer.sources import SourceOptions, open_source
from shardstream.shard_writer.storage import open_store

from .conformance import samples_of
from .test_cifar_faults import tar

pytestmark = pytest.mark.s3


@pytest.fixture
def bucket(weed: Any, tmp_path: Path) -> Any:
    """``bucket(folder) -> (s3 address, options)`` of a folder's copy on the server."""

    def upload(folder: Path) -> tuple[str, SourceOptions]:
        url = weed.url(folder.name)
        store = open_store(url, weed.storage_options)
        for file in folder.rglob("*"):
            if file.is_file():
                store.write(file.relative_to(folder).as_posix(), file.read_bytes())
        return url, SourceOptions(storage_options=weed.storage_options)

    return upload


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("cifar10", "cifar10/cifar-10-batches-py"),
        ("cifar100", "cifar100/cifar-100-binary"),
        ("hf", "cifar100/hf-parquet"),
        ("folder", "imagenet/quirks-pillow"),
    ],
)
def test_a_source_in_a_bucket_gives_the_samples_of_its_folder(
    real_data: Path, bucket: Any, name: str, folder: str
) -> None:
    """Same keys, bytes and annotations."""
    local = open_source(name, str(real_data / folder))
    url, options = bucket(real_data / folder)
    remote = open_source(name, url, options)
    assert remote.splits() == local.splits()
    for split in local.splits():
        assert list(remote.split(split).records()) == list(local.split(split).records())
        assert samples_of(remote.split(split)) == samples_of(local.split(split))


def test_class_folders_in_a_bucket_are_classes(real_data: Path, bucket: Any, tmp_path: Path) -> None:
    """Object stores have no folders, only names with slashes; so no empty classes either."""
    real = real_data / "imagenet/ILSVRC/Data/CLS-LOC/train"
    for wnid in ("n01440764", "n04554684", "n03992509"):
        (tmp_path / "c/train" / wnid).mkdir(parents=True)
        for file in (real / wnid).iterdir():
            (tmp_path / "c/train" / wnid / file.name).write_bytes(file.read_bytes())
    local = open_source("folder", str(tmp_path / "c"))
    url, options = bucket(tmp_path / "c")
    remote = open_source("folder", url, options)
    assert remote.about().classes == local.about().classes == {"label": ("n01440764", "n03992509", "n04554684")}
    assert samples_of(remote.split("train")) == samples_of(local.split("train"))


def test_an_archive_in_a_bucket_is_read(real_data: Path, bucket: Any, tmp_path: Path) -> None:
    """The official .tar.gz where a cluster keeps it."""
    (tmp_path / "up").mkdir()
    tar(real_data / "cifar10/cifar-10-batches-bin", tmp_path / "up/cifar-10-binary.tar.gz")
    url, options = bucket(tmp_path / "up")
    local = open_source("cifar10", str(real_data / "cifar10/cifar-10-batches-bin"))
    for address in (url, f"{url}/cifar-10-binary.tar.gz"):
        assert samples_of(open_source("cifar10", address, options).split("test")) == samples_of(local.split("test"))
