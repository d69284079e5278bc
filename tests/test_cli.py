"""The command as a process: what pipes, shells and Ctrl-C get of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import shardstream as ss
from shardstream.cli import main
from shardstream.shard_writer.storage import open_store
from shardstream.shard_writer.types import About
from shardstream.shard_writer.write import WriteOptions, write_dataset

from .helpers import command, picture_folder, run, tree
from .toy import ToySource


class Styled(ToySource):
    """Names that a terminal library would take for styles and pictures."""

    def about(self) -> About:
        return About(
            name="[red]toy[/red]",
            licence="[/x] :apple:",
            classes={"label": (":apple:", "[bold]", "[/bold]", "ä", "\N{SNOWMAN}", "a b", "c")},
            notes=("see [1], [/2] :warning:",),
        )


@pytest.fixture(scope="module")
def styled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("styled") / "[out] :apple:"
    write_dataset(Styled(20), open_store(out), WriteOptions(shard_size=9_000))
    return out


def test_every_command_works_through_pipes(tmp_path: Path) -> None:
    """Write, index, info, verify, stats, sheet: exit 0, nothing on stderr, JSON that parses."""
    source, out = picture_folder(tmp_path / "source", 12), tmp_path / "out"
    steps: list[list[Any]] = [
        ["write", "folder", "--source", source, "--out", out, "--shard-size", "12KB"],
        ["index", out / "train", "--out", tmp_path / "indexed", "--split", "all"],
        ["info", out, "--json"],
        ["verify", tmp_path / "indexed", "--json"],
        ["stats", out, "--json", "--pixels"],
        ["sheet", out, "--out", tmp_path / "sheet.png", "--count", "4"],
    ]
    for step in steps:
        done = run(*step)
        assert (done.returncode, done.stderr) == (0, ""), step
        assert "\x1b" not in done.stdout
        if "--json" in step:
            assert json.loads(done.stdout) is not None
    assert json.loads(run("verify", out, "--json").stdout) == []
    assert (tmp_path / "sheet.png").stat().st_size > 1000


def test_the_installed_script_is_the_same_command(tmp_path: Path) -> None:
    """``shardstream`` beside this Python."""
    script = Path(sys.executable).with_name("shardstream")
    if not script.exists():
        pytest.skip("shardstream is not installed here, only imported")
    done = subprocess.run([script, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f"shardstream {ss.__version__}"


def test_names_are_printed_as_they_are(styled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Brackets and colons of names, notes and paths are text: no style, no picture, no error."""
    assert main(["info", str(styled)]) == 0
    shown = capsys.readouterr().out
    for text in ("[red]toy[/red]", "licence: [/x] :apple:", "note: see [1], [/2] :warning:", "[out] :apple:"):
        assert text in shown.replace("\n", "") or text in shown
    assert main(["info", str(styled), "--json"]) == 0
    assert capsys.readouterr().out.encode() == (styled / "dataset.json").read_bytes()
    assert main(["stats", str(styled)]) == 0
    assert ":apple:" in capsys.readouterr().out
    assert main(["stats", str(styled), "--json"]) == 0
    assert list(json.loads(capsys.readouterr().out)["train"]["histograms"]["label"])[:2] == [":apple:", "[bold]"]


def test_damage_is_printed_with_its_path_as_it_is(
    styled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A path that a shell can be given."""
    shard = styled / "train" / "train-000000.tar"
    whole = shard.read_bytes()
    shard.unlink()
    try:
        assert main(["verify", str(styled)]) == 1
    finally:
        shard.write_bytes(whole)
    shown = capsys.readouterr().out
    assert f"damaged {shard}: missing; it held" in shown
    assert "1 damaged" in shown


def test_a_split_option_takes_some_of_the_splits(tmp_path: Path) -> None:
    """--split may be repeated; the rest is added by --resume."""
    source = picture_folder(picture_folder(tmp_path / "source", 4, "train"), 4, "val")
    arguments = ["write", "folder", "--source", str(source), "--out", str(tmp_path / "out")]
    assert main([*arguments, "--split", "val"]) == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["dataset.json", "val"]
    assert main(arguments) == 1
    assert main([*arguments, "--resume"]) == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["dataset.json", "train", "val"]


def test_storage_options_are_text_and_switches() -> None:
    """True and false are what they say; a secret of digits stays text; a value may hold '='."""
    from shardstream.cli.commands import storage_options

    found = storage_options(["anon=true", "use_ssl=false", "key=12345", "secret=a=b=="])
    assert found == {"anon": True, "use_ssl": False, "key": "12345", "secret": "a=b=="}


@pytest.mark.s3
def test_an_unknown_storage_option_is_named(tmp_path: Path) -> None:
    """Before anything is sent anywhere; other options' values are not shown."""
    done = run(
        "info",
        "s3://bucket/x",
        "--storage-option",
        "endpont_url=http://127.0.0.1:1",
        "--storage-option",
        "secret=S3CRET",
    )
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "endpont_url" in done.stderr
    assert "S3CRET" not in done.stderr


def test_a_path_into_a_file_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What the operating system refuses is no traceback either."""
    (tmp_path / "file").write_text("x")
    for arguments in (["info", str(tmp_path / "file")], ["verify", str(tmp_path / "file" / "x")]):
        assert main(arguments) == 1
        said = capsys.readouterr().err
        assert said.startswith(f"shardstream {arguments[0]}: ")
        assert said.count("\n") == 1


@pytest.mark.parametrize(("packing", "code"), [(False, 130), (True, 7)])
def test_a_packing_worker_that_waits_ends_without_a_word(packing: bool, code: int) -> None:
    """At Ctrl-C; one that packs gives up its shard, as an interrupted program does."""
    script = f"""
import os, signal, sys, time
from shardstream.shard_writer import executors
executors._packing = {packing}
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])  # as its server leaves it
executors._start(None)
try:
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(30)
except KeyboardInterrupt:
    sys.exit(7)
"""
    done = subprocess.run([sys.executable, "-P", "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (code, "")


def has_begun(process: subprocess.Popen[str], out: Path, moment: str) -> bool:
    """Whether 20 shards are there, or the server of the workers is being started: it imports for seconds."""
    if moment == "packing":
        return len(list(out.glob("train/*.tar"))) >= 20
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return any("forkserver" in Path(f"/proc/{child}/cmdline").read_text() for child in children)


@pytest.mark.parametrize(("workers", "moment"), [(1, "packing"), (2, "packing"), (2, "starting")])
def test_ctrl_c_is_one_line_and_keeps_what_is_finished(tmp_path: Path, workers: int, moment: str) -> None:
    """SIGINT to the whole process group, as a terminal sends it; --resume goes on from there."""
    source, out = picture_folder(tmp_path / "source", 150), tmp_path / "out"
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a test run in the background inherits "ignored"
    process = subprocess.Popen(
        command("write", "folder", "--source", source, "--out", out, "--shard-size", "3KB", "--workers", str(workers)),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    while process.poll() is None and not has_begun(process, out, moment):
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert said.strip() == "interrupted; what is finished is kept: repeat with --resume"
    committed = [path.stem for path in out.glob(".packing/train/*.parquet")]
    finished = {path: path.stat().st_mtime_ns for path in out.glob("train/*.tar") if path.stem in committed}
    assert len(finished) >= (19 if moment == "packing" else 0)
    ss.write("folder", source, out=out, shard_size="3KB", resume=True)
    assert {path: path.stat().st_mtime_ns for path in finished} == finished
    ss.write("folder", source, out=tmp_path / "once", shard_size="3KB")
    assert tree(out) == tree(tmp_path / "once")
