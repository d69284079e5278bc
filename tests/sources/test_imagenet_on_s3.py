"""ImageNet read from a bucket; a real S3 server on loopback."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from shardstream.shard_writer.sources import SourceOptions, open_source
from shardstream.shard_writer.storage import open_store

from .conformance import samples_of
from .imagenet_copies import mapping, picture, tar, train_files, train_tar, write

pytestmark = pytest.mark.s3


def test_archives_and_folders_in_a_bucket_give_the_samples_of_the_local_ones(weed: Any, tmp_path: Path) -> None:
    """Images of an archive are read as ranges of it; the class list lies above the innermost folder."""
    tests = {f"ILSVRC2012_test_{number:08d}.JPEG": picture(number) for number in (1, 2)}
    tars = {"LOC_synset_mapping.txt": mapping(), "ILSVRC2012_img_train.tar": train_tar(train_files())}
    write(tmp_path / "tars", {**tars, "ILSVRC2012_img_test.tar": tar(tests)})
    folders = {f"ILSVRC/Data/CLS-LOC/train/{path}": data for path, data in train_files().items()}
    write(tmp_path / "folders", {"LOC_synset_mapping.txt": mapping(), **folders})
    for name, inside in (("tars", ""), ("folders", ""), ("folders", "/ILSVRC/Data/CLS-LOC")):
        url = weed.url(name)
        store = open_store(url, weed.storage_options)
        for file in (tmp_path / name).rglob("*"):
            if file.is_file():
                store.write(file.relative_to(tmp_path / name).as_posix(), file.read_bytes())
        local = open_source("imagenet", str(tmp_path / name) + inside)
        remote = open_source("imagenet", url + inside, SourceOptions(storage_options=weed.storage_options))
        assert remote.splits() == local.splits()
        assert remote.about().classes == local.about().classes
        assert len(remote.about().classes["label"]) == 1000
        for split in local.splits():
            assert list(remote.split(split).records()) == list(local.split(split).records())
            assert samples_of(remote.split(split)) == samples_of(local.split(split))
