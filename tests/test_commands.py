"""The commands as a user types them: what they print, where they fail, with which exit code."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import shardstream as ss
from shardstream.cli import main

from .toy import pack_toy


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    pack_toy(tmp_path / "out", 30)
    return tmp_path / "out"


def test_info_prints_a_table_and_the_manifest_as_json(packed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """--json is dataset.json itself."""
    assert main(["info", str(packed)]) == 0
    assert "toy" in capsys.readouterr().out
    assert main(["info", str(packed), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads((packed / "dataset.json").read_text())


def test_verify_passes_whole_data_and_names_damage(packed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit 0 and 1; shard, member and offset stand in the JSON."""
    assert main(["verify", str(packed)]) == 0
    assert "every byte of 30 samples is as packed" in capsys.readouterr().out
    shard = packed / "train/train-000001.tar"
    data = bytearray(shard.read_bytes())
    data[520] ^= 4
    shard.write_bytes(data)
    assert main(["verify", str(packed), "--json"]) == 1
    (damage,) = json.loads(capsys.readouterr().out)
    assert damage["shard"] == str(shard)
    assert damage["offset"] == 512
    assert damage["key"].endswith(".png")


def test_stats_gives_histograms_and_pixels(packed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As the manifest has them."""
    assert main(["stats", str(packed), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["train"]
    assert sum(found["histograms"]["label"].values()) == 30
    assert len(found["pixel_mean"]) == 3


def test_stats_pixels_computes_what_packing_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """--pixels decodes the images of an indexed set; equal to those counted while packing."""
    expected = pack_toy(tmp_path / "out", 30).statistics
    shutil.move(tmp_path / "out/train", tmp_path / "tars")
    (tmp_path / "tars/index-00000.parquet").unlink()
    assert main(["index", str(tmp_path / "tars")]) == 0
    capsys.readouterr()
    assert main(["stats", str(tmp_path / "tars"), "--pixels", "--json"]) == 0
    text = capsys.readouterr().out
    found = json.loads(text[text.index("{\n") :])["train"]
    assert np.allclose(found["pixel_mean"], expected["pixel_mean"], atol=1e-12)


@pytest.mark.parametrize("preset", ["none", "train", "cifar_eval", "eval"])
def test_sheet_draws_a_png(packed: Path, tmp_path: Path, preset: str) -> None:
    """As many tiles as asked for; not a blank page."""
    out = tmp_path / f"{preset}.png"
    assert main(["sheet", str(packed), "--out", str(out), "--count", "12", "--preset", preset]) == 0
    with Image.open(out) as page:
        assert np.asarray(page).std() > 20


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["info", "nowhere"], 1, "no dataset at"),
        (["info", "gopher://x"], 1, "scheme 'gopher'"),
        (["verify", "nowhere", "--storage-option", "key"], 1, "write it as K=V"),
        (["write", "cifar10", "--out", "x"], 1, "--source"),
        (["write", "digits", "--out", "x", "--shard-size", "many"], 1, "size 'many' is not understood"),
        (["write", "digits", "--out", "x", "--workers", "0"], 1, "workers must be at least 1"),
        (["write", "mnist", "--out", "x"], 2, "invalid choice"),
        (["index", "nowhere"], 1, "no .tar below"),
    ],
)
def test_mistakes_are_one_line_and_leave_nothing_behind(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    code: int,
    message: str,
) -> None:
    """A message, the exit code, an untouched folder."""
    monkeypatch.chdir(tmp_path)
    try:
        found = main(arguments)
    except SystemExit as stop:  # argparse ends the process itself
        found = int(stop.code or 0)
    assert found == code
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_parts_of_a_write_commit_when_the_last_is_done(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """--part 0/2 and 1/2 give what one command gives."""
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    common = ["write", "digits", "--shard-size", "256KB", "--out"]
    assert main([*common, str(whole)]) == 0
    assert main([*common, str(parts), "--part", "0/2"]) == 0
    assert "part 0/2 is done" in capsys.readouterr().out
    with pytest.raises(ss.DatasetNotFound, match="--resume"):
        ss.open(parts)
    assert main([*common, str(parts), "--part", "1/2"]) == 0
    files = [{p.relative_to(d): p.read_bytes() for p in d.rglob("*") if p.is_file()} for d in (whole, parts)]
    assert files[0] == files[1]


def test_the_demo_ends_well(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One epoch of it: every step is there, its pictures are drawn, nothing is damaged."""
    out = tmp_path / "demo"
    assert main(["demo", "--out", str(out), "--epochs", "1"]) == 0
    printed = capsys.readouterr().out
    assert "0 damaged" in printed
    assert "each photo" in printed
    assert "NOT exactly once" not in printed
    assert {path.name for path in out.glob("*.png")} == {"digits.png", "photos.png"}
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/file").touch()
    assert main(["demo", "--out", str(tmp_path / "mine")]) == 1
    assert (tmp_path / "mine/file").exists()
