"""``shardstream doctor``: for each thing that is taken away, a line that says so and what to do; exit 1, no secrets."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch

from shardstream.cli import doctor_machine, doctor_mount, main
from shardstream.cli.doctor_finding import size
from shardstream.loaders.decoders import turbo_library
from shardstream.shard_writer.storage import open_store
from shardstream.shard_writer.write import WriteOptions, write_dataset

from ..toy import ToySource, pack_toy
from .conftest import Mounting

Line = dict[str, str]
KEY, SECRET = "AKIAVISIBLEKEY", "visible-secret-value"


class Answer(NamedTuple):
    """Exit code, lines by their check, and all that was printed."""

    code: int
    lines: dict[str, Line]
    printed: str


def examine(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> Answer:
    code = main(["doctor", "--json", *map(str, arguments)])
    printed = capsys.readouterr().out
    return Answer(code, {line["check"]: line for line in json.loads(printed)}, printed)


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A user without credentials anywhere."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "absent"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "absent-too"))


@pytest.fixture
def somebody(nobody: None, weed: Any, monkeypatch: pytest.MonkeyPatch) -> str:
    """A user of the S3 server by the environment alone, and a dataset there."""
    options = weed.storage_options
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", options["key"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", options["secret"])
    monkeypatch.setenv("AWS_ENDPOINT_URL", weed.endpoint_url)
    url: str = weed.url("doctor")
    write_dataset(ToySource(30), open_store(url), WriteOptions(shard_size=9_000))
    return url


def test_a_machine_without_a_dataset_is_well(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """No URL: cache, shared memory, decoder and GPU; a missing GPU is a note, unless one is needed."""
    answer = examine(capsys, "--cache-dir", tmp_path / "cache")
    assert (answer.code, list(answer.lines)) == (0, ["cache", "shared memory", "decoder", "gpu"])
    assert not (tmp_path / "cache").exists()
    quick = examine(capsys, "--cache-dir", tmp_path / "cache", "--quick")
    assert (quick.code, list(quick.lines)) == (0, ["cache", "shared memory"])


def test_lines_for_people_say_what_is_wrong_and_what_to_do(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """One line each, the state first, advice behind an arrow, a sum at the end."""
    assert main(["doctor", "--quick", "--mount", str(tmp_path)]) == 1
    first, *_, last = capsys.readouterr().out.splitlines()
    assert first.startswith(f"wrong  mount: {tmp_path} is an ordinary folder")
    assert " -> Mount the bucket there" in first
    assert last == "1 of 3 checks found something wrong."


@pytest.mark.s3
def test_a_dataset_on_s3_is_well(somebody: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Credentials from the environment, the bucket, the manifest, a block of data; the cache has room for all of it."""
    answer = examine(capsys, somebody, "--cache-dir", tmp_path)
    assert answer.code == 0
    assert [answer.lines[check]["state"] for check in ("credentials", "bucket", "dataset", "data", "cache")] == [
        "ok"
    ] * 5
    assert answer.lines["credentials"]["text"] == "found (env)."
    assert "30 samples" in answer.lines["dataset"]["text"]
    assert "all " in answer.lines["cache"]["text"]
    assert "data" not in examine(capsys, somebody, "--quick").lines


@pytest.mark.s3
@pytest.mark.parametrize(
    ("change", "url", "check", "says", "advice"),
    [
        ({"AWS_ACCESS_KEY_ID": None}, None, "credentials", "none in the environment", "AWS_ACCESS_KEY_ID"),
        ({"AWS_ACCESS_KEY_ID": KEY}, None, "bucket", "does not know this access key", "which credentials"),
        ({"AWS_SECRET_ACCESS_KEY": SECRET}, None, "bucket", "does not belong to the access key", "Set both"),
        ({"AWS_PROFILE": "absent-profile"}, None, "credentials", "absent-profile", "AWS_PROFILE"),
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, None, "bucket", "127.0.0.1:9 cannot be reached", "endpoint"),
        ({}, "s3://no-such-bucket-here/toy", "bucket", "no bucket no-such-bucket-here", "its name"),
        ({}, "s3://shardstream-test/nothing", "bucket", "there is no s3://shardstream-test/nothing", "pack a dataset"),
        ({}, "s3://no bucket/y", "bucket", "no bucket", "address"),
    ],
    ids=["credentials", "key", "secret", "profile", "endpoint", "bucket", "dataset", "name"],
)
def test_what_s3_refuses_is_named(
    somebody: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    change: Mapping[str, str | None],
    url: str | None,
    check: str,
    says: str,
    advice: str,
) -> None:
    """The first thing that is wrong is told, what lies behind it is not asked; neither key nor secret is shown."""
    for name, value in change.items():
        monkeypatch.setenv(name, value) if value else monkeypatch.delenv(name)
    if change.get("AWS_ACCESS_KEY_ID", "") is None:
        monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    answer = examine(capsys, url or somebody)
    assert answer.code == 1
    assert [name for name, line in answer.lines.items() if line["state"] == "wrong"] == [check]
    assert says in answer.lines[check]["text"]
    assert advice in answer.lines[check]["advice"]
    assert "dataset" not in answer.lines
    for secret in (KEY, SECRET, "testkey", "testsecret"):
        assert secret not in answer.printed


@pytest.mark.s3
def test_options_take_the_place_of_the_environment(nobody: None, weed: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """As ``info`` takes them: a key, a secret, an endpoint; or none at all for public buckets."""
    url, options = weed.url("given"), weed.storage_options
    write_dataset(ToySource(5), open_store(url, options), WriteOptions())
    place = f"endpoint_url={weed.endpoint_url}"
    given = [f"key={options['key']}", f"secret={options['secret']}", place]
    flags = [part for pair in given for part in ("--storage-option", pair)]
    assert examine(capsys, url, *flags).code == 0
    refused = examine(capsys, url, "--storage-option", "anon=true", "--storage-option", place)
    assert refused.lines["credentials"]["text"] == "none are used: anon=true."
    assert "may not read" in refused.lines["bucket"]["text"]


def test_a_shard_of_another_size_is_found(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Cut short, or absent: the first shard is looked at, every byte is ``verify``'s work."""
    pack_toy(tmp_path / "out", 30)
    assert examine(capsys, tmp_path / "out").code == 0
    shard = tmp_path / "out/train/train-000000.tar"
    shard.write_bytes(shard.read_bytes() + b"more")
    assert "the manifest says" in examine(capsys, tmp_path / "out").lines["data"]["text"]
    shard.unlink()
    answer = examine(capsys, tmp_path / "out")
    assert (answer.code, answer.lines["data"]["state"]) == (1, "wrong")


@pytest.mark.parametrize("body", [None, "{", '{"format": "shardstream", "version": 99}'])
def test_a_folder_that_is_no_dataset_is_wrong(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, body: str | None
) -> None:
    """No manifest, a damaged one, one of a newer version."""
    if body:
        (tmp_path / "dataset.json").write_text(body)
    answer = examine(capsys, tmp_path)
    assert (answer.code, answer.lines["dataset"]["state"]) == (1, "wrong")
    assert "dataset.json" in answer.lines["dataset"]["text"]


def test_a_cache_that_cannot_be_written_is_wrong(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Below a file; a dataset on a local disk needs no cache."""
    (tmp_path / "file").write_text("x")
    answer = examine(capsys, "--cache-dir", tmp_path / "file/cache", "--quick")
    assert (answer.code, answer.lines["cache"]["state"]) == (1, "wrong")
    assert "SHARDSTREAM_CACHE" in answer.lines["cache"]["advice"]
    pack_toy(tmp_path / "out", 5)
    local = examine(capsys, tmp_path / "out", "--cache-dir", tmp_path / "file/cache", "--quick")
    assert (local.code, "cache" in local.lines) == (0, False)


def test_a_cache_counts_what_it_holds_and_what_it_may_hold(tmp_path: Path) -> None:
    """Room is what lies there and what may still come: the bound less what is used, or the free space."""
    (tmp_path / "a.tar").write_bytes(bytes(6_000_000))
    (tmp_path / "unrelated").write_bytes(bytes(1_000_000))
    assert "room for 20.0 MB" in doctor_machine.cache(tmp_path, 20_000_000, None).text
    assert "room for 6.0 MB" in doctor_machine.cache(tmp_path, 5_000_000, None).text
    part = doctor_machine.cache(tmp_path, 20_000_000, 80_000_000)
    assert (part.state, "25% of the dataset's 80.0 MB" in part.text) == ("note", True)
    assert doctor_machine.cache(tmp_path, 20_000_000, 20_000_000).state == "ok"
    (tmp_path / "a.tar").unlink()
    assert "none is kept" in doctor_machine.cache(tmp_path, 3_000_000, None).text


def test_a_missing_decoder_is_a_note_and_a_false_one_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow takes over where there is none; other pixels are never taken."""
    assert doctor_machine.decoder().state == ("ok" if turbo_library.library() else "note")
    monkeypatch.setattr(doctor_machine, "available", lambda: False)
    assert doctor_machine.decoder().state == "note"
    monkeypatch.setattr(doctor_machine, "available", lambda: True)
    monkeypatch.setattr(doctor_machine, "decode_window", lambda *_: None)
    assert doctor_machine.decoder().state == "wrong"


def test_a_gpu_that_is_needed_and_absent_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a note: everything runs on the CPU."""
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert (doctor_machine.gpu(needed=False).state, doctor_machine.gpu(needed=True).state) == ("note", "wrong")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_is_named() -> None:
    """With its memory and the CUDA of this torch."""
    found = doctor_machine.gpu(needed=True)
    assert (found.state, "GB" in found.text) == ("ok", True)


def test_little_shared_memory_is_a_note(tmp_path: Path) -> None:
    """What Docker gives: a real file system of 64 MB."""
    assert "cannot run" in doctor_machine.shared_memory(tmp_path / "absent").text
    if os.geteuid() or shutil.which("mount") is None:
        pytest.skip("only root may mount a small file system")
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(tmp_path)], capture_output=True)
    if made.returncode:
        pytest.skip(f"no tmpfs can be mounted here: {made.stderr.decode()}")
    try:
        found = doctor_machine.shared_memory(tmp_path)
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)
    assert (found.state, "67.1 MB" in found.text, "--shm-size" in found.advice) == ("note", True, True)


def test_a_mount_is_alive_and_shows_what_it_should(
    mounting: Mounting, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Compared byte for byte with the address behind it, whichever of the two the job will read."""
    pack_toy(tmp_path / "bucket/toy", 20)
    pack_toy(tmp_path / "other/toy", 21)
    point = mounting(tmp_path / "bucket")
    for url in (point / "toy", tmp_path / "bucket/toy"):
        answer = examine(capsys, url, "--mount", f"{point}={tmp_path / 'bucket'}")
        assert answer.code == 0
        assert answer.lines["mount"]["text"] == f"{point / 'toy'} shows what {tmp_path / 'bucket/toy'} holds."
    assert "cache" in examine(capsys, point / "toy", "--mount", point).lines
    wrong = examine(capsys, tmp_path / "other/toy", "--mount", f"{point}={tmp_path / 'other'}")
    assert (wrong.code, "shows another dataset" in wrong.lines["mount"]["text"]) == (1, True)
    nowhere = examine(capsys, tmp_path / "bucket/toy", "--mount", f"{point}={tmp_path / 'elsewhere'}")
    assert "lies neither below" in nowhere.lines["mount"]["text"]


def test_mounts_that_do_not_work_are_told_apart(
    mounting: Mounting, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Absent, a file, not mounted, empty: one sentence each, and the dataset behind it is not asked for."""
    (tmp_path / "file").write_text("x")
    (tmp_path / "empty").mkdir()
    says = {
        tmp_path / "absent": "there is no such folder",
        tmp_path / "file": "that is no folder",
        tmp_path / "empty": "nothing is mounted there",
        mounting(tmp_path / "empty"): "is mounted (fuse.rclone), but empty",
    }
    for point, text in says.items():
        answer = examine(capsys, point / "toy", "--mount", point)
        assert answer.code == 1
        assert text in answer.lines["mount"]["text"]
        assert "dataset" not in answer.lines


def test_a_mount_that_hangs_is_told_within_a_bound(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The probe is a process of its own, which is left behind; here it sleeps instead."""
    monkeypatch.setattr(doctor_mount, "PATIENCE", 0.3)
    monkeypatch.setattr(doctor_mount, "_PROBE", "import time; time.sleep(60)")
    found = doctor_mount.examine(str(tmp_path), None)
    assert (found.state, "does not answer" in found.text) == ("wrong", True)


def test_the_command_stands_on_its_own(tmp_path: Path) -> None:
    """As a process: exit code 1 and the line on its standard output, for health checks."""
    command = [sys.executable, "-m", "shardstream.cli", "doctor", "--quick", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1
    assert "wrong  dataset" in done.stdout


@pytest.mark.parametrize(
    ("nbytes", "text"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1_000, "1.0 kB"),
        (64_000_000, "64.0 MB"),
        (2.5e11, "250 GB"),
        (3e12, "3.0 TB"),
    ],
)
def test_sizes_are_decimal(nbytes: float, text: str) -> None:
    """As disks and object stores are sold."""
    assert size(nbytes) == text
