"""The live line: only for people, unless it is asked for."""

from __future__ import annotations

from pathlib import Path

import pytest

import shardstream as ss
from shardstream.loaders import live

from .toy import pack_toy


@pytest.fixture(scope="module")
def ds(tmp_path_factory: pytest.TempPathFactory) -> ss.ShardDataset:
    return pack_toy(tmp_path_factory.mktemp("live") / "out", 40)


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "IN_PLACE", 0.0)
    monkeypatch.setattr(live, "IN_A_LOG", 0.0)


def test_in_a_log_only_always_prints(ds: ss.ShardDataset, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing by default, nothing for True; a line per look for "always", all on stderr."""
    for wanted in (False, True):
        list(ss.Loader(ds, batch_size=8, live=wanted))
        assert capsys.readouterr() == ("", "")
    list(ss.Loader(ds, batch_size=8, live="always"))
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 4  # between five batches
    assert all("img/s" in line and "loop waits" in line for line in err.splitlines())


def test_in_a_terminal_one_line_is_renewed_within_its_width(
    ds: ss.ShardDataset, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends with the epoch, so that what is printed next stands alone."""
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "40")
    list(ss.Loader(ds, batch_size=8, live=True))
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert err.endswith("\n")
    drawn = [part.removeprefix("\x1b[K").rstrip("\n") for part in err.split("\r")[1:]]
    assert len(drawn) == 4
    assert all("img/s" in part and len(part) <= 39 for part in drawn)


def test_another_value_is_refused(tmp_path: Path) -> None:
    """With the values that there are."""
    with pytest.raises(ss.OptionError, match="'sometimes'"):
        ss.Loader(pack_toy(tmp_path / "out", 10), live="sometimes")  # type: ignore[typeddict-item]
