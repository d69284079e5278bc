"""The registry of sources."""

from __future__ import annotations

import subprocess
import sys

import pytest

from shardstream.errors import OptionError
from shardstream.shard_writer.sources import SOURCES, SourceOptions, open_source


def test_an_unknown_name_is_refused_with_the_names_that_exist() -> None:
    """The message lists every source."""
    with pytest.raises(OptionError, match=r"'cifar11' is not known.*cifar10, cifar100.*photos"):
        open_source("cifar11", "/x")


@pytest.mark.parametrize("name", ["cifar10", "cifar100", "folder", "hf"])
def test_a_source_without_address_is_refused(name: str) -> None:
    """These do not ship with pip."""
    with pytest.raises(OptionError, match="--source"):
        open_source(name)


@pytest.mark.parametrize("name", ["digits", "photos"])
def test_an_address_is_refused_where_none_applies(name: str) -> None:
    """It would be ignored."""
    with pytest.raises(OptionError, match="take no --source"):
        open_source(name, "/x")


@pytest.mark.parametrize(("name", "source"), [("folder", "/x"), ("hf", "/x"), ("photos", None)])
def test_encode_is_refused_where_original_files_are_kept(name: str, source: str | None) -> None:
    """Original bytes are never re-encoded."""
    with pytest.raises(OptionError, match="encode='raw' does not apply"):
        open_source(name, source, SourceOptions(encode="raw"))


@pytest.mark.parametrize("name", ["cifar10", "digits"])
def test_a_lossy_encoding_is_refused(name: str) -> None:
    """JPEG would change the benchmark."""
    with pytest.raises(OptionError, match="not one of 'png', 'raw'"):
        open_source(name, "/x" if name == "cifar10" else None, SourceOptions(encode="jpg"))


def test_credentials_are_not_shown() -> None:
    """Options stand in logs and tracebacks."""
    assert "hunter2" not in repr(SourceOptions(storage_options={"secret": "hunter2"}))


def test_listing_sources_imports_no_heavy_module() -> None:
    """``shardstream --help`` must not wait for datasets and scikit-learn."""
    code = (
        "import sys; from shardstream.shard_writer.sources import SOURCES;"
        "print(sorted({'datasets', 'sklearn', 'skimage'} & set(sys.modules)), len(SOURCES))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split("]") == ["[", f" {len(SOURCES)}\n"]
