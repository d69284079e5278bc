"""Samples of a tar are those that webdataset makes of it, and what belongs to no sample is reported."""

from __future__ import annotations

import io
import logging
import re

import pytest
import webdataset
from hypothesis import given, settings
from hypothesis import strategies as st
from webdataset.tariterators import base_plus_ext, group_by_keys, tar_file_expander

from shardstream.errors import CorruptTar
from shardstream.shard_writer.tar_group import group, split_name
from shardstream.shard_writer.tar_read import TarMember, scan


def listed(*names: str) -> list[TarMember]:
    return [TarMember(name, 512 + 1024 * at, 1) for at, name in enumerate(names)]


def grouped(*names: str) -> list[tuple[str, dict[str, str]]]:
    samples = group(listed(*names), url="t.tar", on_skipped=lambda *_: None)
    return [(key, {ext: member.name for ext, member in sample.items()}) for key, sample in samples]


_KEY = st.text("ab/_é 0", min_size=1, max_size=8).filter(lambda key: not key.startswith("/") and not key.endswith("/"))
_EXTENSION = st.text("abJ0", min_size=1, max_size=3)
_SAMPLES = st.dictionaries(_KEY, st.sets(st.lists(_EXTENSION, min_size=1, max_size=2).map(".".join)), min_size=1)


@given(_SAMPLES)
@settings(max_examples=100, deadline=None)
def test_tars_of_webdataset_give_the_samples_of_webdataset(samples: dict[str, set[str]]) -> None:
    """The same keys, lower-case extensions and bytes; extensions that fall together raise in both."""
    out = io.BytesIO()
    with webdataset.TarWriter(out, encoder=False) as writer:
        for key, extensions in samples.items():
            writer.write({"__key__": key, **{ext: f"{key} {ext}".encode() for ext in extensions}})
    archive = out.getvalue()
    if not any(samples.values()):
        return
    skipped: list[str] = []
    members = scan(io.BytesIO(archive), url="t.tar", size=len(archive))
    ours = group(members, url="t.tar", on_skipped=lambda member, _: skipped.append(member.name))
    try:
        theirs = list(group_by_keys(tar_file_expander([{"url": "t.tar", "stream": io.BytesIO(archive)}])))
    except ValueError:
        with pytest.raises(CorruptTar, match="one member per key"):
            list(ours)
        return
    expected = [(s["__key__"], {ext: data for ext, data in s.items() if not ext.startswith("__")}) for s in theirs]
    found = [(key, {e: archive[m.offset : m.offset + m.size] for e, m in sample.items()}) for key, sample in ours]
    assert found == expected
    # webdataset drops keys like "__x__/a", which are its own; nothing else that it wrote is skipped.
    assert [name for name in skipped if not re.match("__[^/]*__/", name)] == []


@given(st.lists(st.text("ab.J", min_size=1, max_size=6), min_size=1, max_size=3).map("/".join))
@settings(max_examples=300, deadline=None)
def test_names_are_split_where_webdataset_splits_them(name: str) -> None:
    """Wherever both see a sample; hidden files and empty extensions are ours to report."""
    key, extension = base_plus_ext(name)
    base = name.rsplit("/", 1)[-1]
    if base.startswith(".") or (base.endswith(".") and base.count(".") == 1):
        assert split_name(name) is None
    else:
        assert split_name(name) == (None if key is None else (key, extension.lower()))


def test_consecutive_members_of_a_key_are_one_sample() -> None:
    """Folders stay in the key, dots in folders are no extension, extensions are lower case."""
    assert grouped("v1.0/a.JPG", "v1.0/a.seg.png", "v1.0/b.jpg", "a.jpg") == [
        ("v1.0/a", {"jpg": "v1.0/a.JPG", "seg.png": "v1.0/a.seg.png"}),
        ("v1.0/b", {"jpg": "v1.0/b.jpg"}),
        ("a", {"jpg": "a.jpg"}),
    ]


def test_a_key_that_comes_back_raises() -> None:
    """webdataset would hand out two half samples; the message names both places."""
    with pytest.raises(CorruptTar, match=r"t\.tar: .* byte 2560: .*key 'a'.*'a\.json' again.*first at byte 512"):
        grouped("a.jpg", "b.jpg", "a.json")


@pytest.mark.parametrize("second", ["a.jpg", "a.JPG"])
def test_an_extension_twice_under_a_key_raises(second: str) -> None:
    """Also when the two differ by case alone; the message names both."""
    with pytest.raises(CorruptTar, match=rf"'a\.jpg' at byte 512 and '{second}'"):
        grouped("a.jpg", second)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("README", "no dot"),
        ("v1.0/README", "no dot"),
        ("._a.jpg", "hidden"),
        ("x/._a.jpg", "hidden"),
        (".DS_Store", "hidden"),
        ("a.", "nothing after the dot"),
        ("__meta__/info.json", "webdataset"),
        ("__info__", "webdataset"),
    ],
)
def test_members_of_no_sample_are_reported_and_split_none(name: str, reason: str) -> None:
    """The callback gets member and reason; the sample around them stays whole."""
    skipped: list[tuple[str, str]] = []
    members = listed("a.jpg", name, "a.json")
    samples = list(group(members, on_skipped=lambda member, why: skipped.append((member.name, why))))
    assert [(key, list(sample)) for key, sample in samples] == [("a", ["jpg", "json"])]
    assert [skip[0] for skip in skipped] == [name]
    assert reason in skipped[0][1]


def test_skipped_members_are_logged_by_default(caplog: pytest.LogCaptureFixture) -> None:
    """Nothing is dropped silently."""
    with caplog.at_level(logging.WARNING, logger="shardstream"):
        assert list(group(listed("README"))) == []
    assert "'README' at byte 512 belongs to no sample: no dot" in caplog.text


def test_samples_come_before_the_archive_ends() -> None:
    """Grouping is lazy: a sample is yielded when the next key begins."""
    members = iter(listed("a.jpg", "b.jpg", "c.jpg"))
    assert next(group(members))[0] == "a"
    assert [member.name for member in members] == ["c.jpg"]
