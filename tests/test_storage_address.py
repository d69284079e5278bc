"""Addresses are data from elsewhere: a closed list of schemes, and brace patterns that cannot eat the machine."""

from __future__ import annotations

import itertools
import time

import braceexpand
import hypothesis.strategies as st
import pytest
from hypothesis import given

from shardstream.errors import OptionError
from shardstream.shard_writer.storage import Store, expand, join


@pytest.mark.parametrize(
    "url",
    [
        "pipe:cat x",
        "reference://x",
        "gs://b/x",
        "ftp://h/x",
        "zip://a.tar",
        "simplecache::s3://b/x",
        "filecache::file:///x",
        "s3://b/x::memory://y",
        "s3:b/x",
        "s3://",
        "http:",
    ],
)
def test_an_address_outside_the_list_is_refused(url: str) -> None:
    """Nothing that runs a command, chains filesystems or names no place is opened."""
    with pytest.raises(OptionError, match=r"."):
        Store(url)


@pytest.mark.parametrize(
    ("url", "scheme", "normal"),
    [
        ("/data/set", "file", "/data/set"),
        ("/data/set//", "file", "/data/set"),
        ("file:///data/./set/", "file", "/data/set"),
        ("file:///", "file", "/"),
        ("FILE:///data", "file", "/data"),
        ("/", "file", "/"),
        ("s3://bucket", "s3", "s3://bucket"),
        ("S3://bucket/Set/", "s3", "s3://bucket/Set"),
        ("https://host/set/", "https", "https://host/set"),
        ("memory://x", "memory", "memory://x"),
    ],
)
def test_an_address_has_one_normal_form(url: str, scheme: str, normal: str) -> None:
    """Lower-case scheme, no trailing slash, absolute local paths without a scheme."""
    store = Store(url)
    assert (store.scheme, store.url, store.is_local) == (scheme, normal, scheme == "file")


def test_parts_are_joined_with_single_slashes() -> None:
    """However many slashes the parts bring."""
    assert join("s3://b/x/", "/train/", "a.tar") == "s3://b/x/train/a.tar"
    assert join("/data") == "/data"
    assert join("/", "a") == "/a"
    assert Store("/").full("etc") == "/etc"


def test_braces_expand_as_webdataset_writes_them() -> None:
    """Zero-padded ranges, lists, both, and none."""
    assert expand("a-{000..002}.tar") == ["a-000.tar", "a-001.tar", "a-002.tar"]
    assert expand("{train,val}/{0..1}") == ["train/0", "train/1", "val/0", "val/1"]
    assert expand("{{0..1},x}") == ["0", "1", "x"]
    assert expand("plain.tar") == ["plain.tar"]


def test_the_bound_is_the_last_number_that_is_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Exactly as many as the bound says, and not one more."""
    monkeypatch.setattr("shardstream.shard_writer.storage.address.MAX_EXPANSION", 1000)
    assert len(expand("{000..999}")) == 1000
    with pytest.raises(OptionError, match=r"1,001 addresses, more than 1,000"):
        expand("{0..1000}")


@pytest.mark.parametrize(
    "pattern",
    [
        "{0..1000000}",
        "{0..99999999999999}",
        "{-1..99999999999999}",
        "{99999999999999..-5}",
        "{0..9999}{0..9999}{0..9999}",
        "{a..z}{a..z}{a..z}{a..z}{a..z}",
        "{{a..z}{a..z}{a..z}{a..z}{a..z}{a..z}{a..z},x}",
        "{a,b}" * 21,
        "{" + "{a,b}" * 40 + ",c}",
    ],
)
def test_a_pattern_of_too_many_addresses_is_refused_at_once(pattern: str) -> None:
    """The number is computed, not tried: a manifest cannot make us allocate it."""
    started = time.monotonic()
    with pytest.raises(OptionError, match=r"more than 1,000,000"):
        expand(pattern)
    assert time.monotonic() - started < 1


@pytest.mark.parametrize("pattern", ["{0..3", "a{b,{c}", "a}b"])
def test_an_unbalanced_pattern_is_refused(pattern: str) -> None:
    """Half a brace is a typing error, named with its pattern."""
    with pytest.raises(OptionError, match="unbalanced"):
        expand(pattern)


PIECES = [
    "{",
    "}",
    ",",
    "a",
    "{0..3}",
    "{-2..2}",
    "{5..1..2}",
    "{0..4..0}",
    "{a..d}",
    "{x,y}",
    "\\",
    "{}",
    "..",
    "{Y..b..2}",
]


@given(st.lists(st.sampled_from(PIECES), max_size=6).map("".join))
def test_the_computed_number_is_at_least_the_true_one(pattern: str) -> None:
    """Against braceexpand itself: whatever is allowed expands to exactly what braceexpand gives."""
    try:
        wanted = list(itertools.islice(braceexpand.braceexpand(pattern), 20_000))
    except (braceexpand.UnbalancedBracesError, IndexError):
        with pytest.raises(OptionError):
            expand(pattern)
    else:
        assert expand(pattern) == wanted
