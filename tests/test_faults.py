"""What goes wrong in practice while packing: each fault is a clear error, and never leaves half a dataset."""

from __future__ import annotations

import contextlib
import os
import random
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import shardstream as ss
from shardstream.cli import main

from .helpers import command, picture_folder, tree
from .toy import pack_toy

Refused = Callable[..., None]


@pytest.fixture
def refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Refused:
    """Packing fails with the message, leaves nothing behind, and the command says it in one line."""

    def check(source: Path, message: str, name: str = "cifar10") -> None:
        out = tmp_path / "out"
        with pytest.raises(ss.SourceError, match=message):
            ss.write(name, source, out=out)
        assert not out.exists()
        capsys.readouterr()
        assert main(["write", name, "--source", str(source), "--out", str(out)]) == 1
        said = capsys.readouterr().err
        assert re.fullmatch(rf"shardstream write: .*{message}.*\n", said)
        assert not out.exists()

    return check


def linked(tmp_path: Path, source: Path) -> Path:
    """A writable folder of links to the files of another."""
    folder = tmp_path / "source"
    folder.mkdir()
    for file in source.iterdir():
        (folder / file.name).symlink_to(file)
    return folder


def test_a_truncated_pickle_is_named(real_data: Path, tmp_path: Path, refused: Refused) -> None:
    """An official data_batch_1 whose download was interrupted, among whole ones."""
    folder = linked(tmp_path, real_data / "cifar10/cifar-10-batches-py")
    (folder / "data_batch_1").unlink()
    (folder / "data_batch_1").symlink_to(real_data / "cifar10/truncated-originals/data_batch_1")
    refused(folder, "data_batch_1: 524,288 bytes are no whole CIFAR pickle.*download it again")


def test_a_truncated_archive_is_named(real_data: Path, refused: Refused) -> None:
    """The official tar.gz, cut short."""
    archive = real_data / "cifar10/truncated-originals/cifar-10-python.tar.gz"
    refused(archive, r"cifar-10-python\.tar\.gz: the archive of 786,432 bytes breaks after .* cut short")


def test_a_folder_of_something_else_is_named(real_data: Path, refused: Refused) -> None:
    """What was wanted, and what is there."""
    refused(real_data / "vqa", r"vqa holds no CIFAR-10\. Wanted .* found ")


def test_a_folder_without_pictures_is_named(tmp_path: Path, refused: Refused) -> None:
    """An empty folder, and one of text files."""
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").write_text("no picture")
    refused(tmp_path / "texts", "texts", name="folder")


def test_a_source_that_is_not_there_is_named(tmp_path: Path, refused: Refused) -> None:
    """Not an empty dataset."""
    refused(tmp_path / "absent", "absent")


def test_a_damaged_picture_is_named_and_no_dataset_stands(tmp_path: Path) -> None:
    """Found while packing, after shards were written: the staged work is no dataset."""
    source = picture_folder(tmp_path / "source", 30)
    picture = source / "train" / "cat" / "0009.png"
    picture.write_bytes(picture.read_bytes()[:20])
    for workers in (1, 2):
        out = tmp_path / f"out{workers}"
        with pytest.raises(ss.UndecodableImage, match=r"cat/0009.*no readable image"):
            ss.write("folder", source, out=out, shard_size="12KB", workers=workers)
        with pytest.raises(ss.DatasetNotFound):
            ss.open(out)


def test_an_output_that_is_not_empty_is_refused_and_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By the command, too."""
    source = picture_folder(tmp_path / "source", 5)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("precious")
    for extra in ([], ["--resume"]):
        assert main(["write", "folder", "--source", str(source), "--out", str(tmp_path / "out"), *extra]) == 1
        assert "not empty (1 files, thesis.tex ...)" in capsys.readouterr().err
    assert tree(tmp_path / "out").keys() == {"thesis.tex"}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of one megabyte."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root")
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"mounting is not allowed here: {mounted.stderr.strip()}")
    try:
        yield disk
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


@pytest.mark.parametrize("shard_size", [20_000, 600_000, 10_000_000])
def test_a_full_disk_is_an_error_and_the_work_resumes_elsewhere_or_after_space_is_made(
    tmp_path: Path, small_disk: Path, shard_size: int
) -> None:
    """Whether it ends in a small shard, in a large one or in the only one; nothing is published short."""
    blocker = small_disk / "blocker"
    blocker.write_bytes(bytes(500_000))
    out = small_disk / "out"
    with pytest.raises(ss.StorageError, match="No space left on device") as caught:
        pack_toy(out, 250, shard_size=shard_size)
    assert str(out) in str(caught.value)
    assert not any(name.endswith((".tmp", "dataset.json")) for name in tree(out))
    with pytest.raises(ss.DatasetNotFound, match="--resume"):
        ss.open(out)
    blocker.unlink()
    pack_toy(out, 250, shard_size=shard_size, resume=True)
    pack_toy(tmp_path / "roomy", 250, shard_size=shard_size)
    assert tree(out) == tree(tmp_path / "roomy")


@pytest.mark.parametrize("workers", [1, 2])
def test_the_command_reports_a_full_disk_in_one_line(
    tmp_path: Path, small_disk: Path, capfd: pytest.CaptureFixture[str], workers: int
) -> None:
    """From worker processes, too."""
    source = str(picture_folder(tmp_path / "source", 100))
    (small_disk / "blocker").write_bytes(bytes(800_000))
    out = ["--out", str(small_disk / "out"), "--shard-size", "100KB"]
    assert main(["write", "folder", "--source", source, *out, "--workers", str(workers)]) == 1
    said = capfd.readouterr().err
    assert re.fullmatch(r"shardstream write: cannot write .*No space left on device.*--resume.*\n", said)


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file stands where the folder should be made."""
    (tmp_path / "file").write_text("")
    source = picture_folder(tmp_path / "s", 3)
    assert main(["write", "folder", "--source", str(source), "--out", str(tmp_path / "file" / "out")]) == 1
    said = capsys.readouterr().err
    assert said.startswith("shardstream write: cannot ")
    assert str(tmp_path / "file") in said
    assert said.count("\n") == 1


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A source that makes 200 shards of one picture each."""
    return picture_folder(tmp_path_factory.mktemp("many"), 200)


@pytest.fixture(scope="module")
def undisturbed(many: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    out = tmp_path_factory.mktemp("undisturbed") / "out"
    ss.write("folder", many, out=out, shard_size="3KB")
    return tree(out)


def count_files(folder: Path) -> int:
    with contextlib.suppress(FileNotFoundError):  # the tree changes under the walk
        return sum(len(files) for _, _, files in os.walk(folder))
    return 0


def group_members(group: int) -> list[int]:
    """Processes of a process group that still run, in the order they were started."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            state, _, owner = stat.read_text().rpartition(")")[2].split()[:3]
            if int(owner) == group and state != "Z":
                found.append(int(stat.parent.name))
    return sorted(found)


class Writing:
    """``shardstream write`` at work in a process group of its own."""

    def __init__(self, source: Path, out: Path, workers: int, *extra: str) -> None:
        arguments = ["--out", str(out), "--shard-size", "3KB", "--workers", str(workers), *extra]
        self.out = out
        self.process = subprocess.Popen(
            command("write", "folder", "--source", source, *arguments),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def until(self, files: int, pause: float = 0.0) -> bool:
        """Wait until that many files stand there, and a moment more; whether it is still at work."""
        while self.process.poll() is None and count_files(self.out) < files:
            time.sleep(0.001)
        time.sleep(pause)
        return self.process.poll() is None

    def kill_all(self) -> None:
        """SIGKILL to the command and all its workers."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.communicate()

    def kill_command(self) -> None:
        """SIGKILL to the command alone; its workers must end by themselves."""
        self.process.kill()
        deadline = time.monotonic() + 60
        while set(group_members(self.process.pid)) - {self.process.pid}:
            assert time.monotonic() < deadline, "workers of a killed command live on"
            time.sleep(0.02)
        self.process.communicate()

    def kill_worker(self) -> None:
        """SIGKILL to one worker, as the kernel does when memory runs out: the command ends and says how to go on."""
        # The command came first, then resource tracker and fork server; the last one is a worker.
        os.kill(group_members(self.process.pid)[-1], signal.SIGKILL)
        _, said = self.process.communicate(timeout=100)
        assert self.process.returncode == 1
        assert re.fullmatch(r"shardstream write: a packing worker was killed \(out of memory\?\).*--resume.*\n", said)


@pytest.mark.parametrize(
    ("workers", "kills"),
    [
        (1, [Writing.kill_all, Writing.kill_all, Writing.kill_all]),
        (2, [Writing.kill_all, Writing.kill_command, Writing.kill_worker]),
    ],
)
def test_killed_again_and_again_a_resumed_write_ends_in_the_same_bytes(
    many: Path, undisturbed: dict[str, str], tmp_path: Path, workers: int, kills: list[Callable[[Writing], None]]
) -> None:
    """SIGKILL at three random moments of one write, each time resumed: nothing is lost, doubled or left over."""
    out, chance = tmp_path / "out", random.Random(workers)
    extra: list[str] = []
    for kill in kills:
        files = count_files(out) + chance.randrange(10, 110)  # of 402 while the work is staged
        writing = Writing(many, out, workers, *extra)
        assert writing.until(files, chance.random() / 100)
        kill(writing)
        assert files <= count_files(out) < 402
        with pytest.raises(ss.DatasetNotFound, match="--resume"):
            ss.open(out)
        extra = ["--resume"]
    ss.write("folder", many, out=out, shard_size="3KB", workers=workers, resume=True)
    assert tree(out) == undisturbed


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("workers", [1, 2])
def test_killed_at_any_of_25_moments_a_write_resumes_to_the_same_bytes(
    many: Path, undisturbed: dict[str, str], tmp_path: Path, workers: int
) -> None:
    """From before the first file to after the commit; each with an output of its own."""
    chance = random.Random(100 + workers)
    killed = 0
    for number in range(25):
        out = tmp_path / str(number)
        writing = Writing(many, out, workers)
        killed += writing.until(chance.randrange(0, 404), chance.random() / 20)
        writing.kill_all()
        with contextlib.suppress(ss.DatasetNotFound):
            assert len(ss.open(out)) == 200
        ss.write("folder", many, out=out, shard_size="3KB", resume=True)
        assert tree(out) == undisturbed
    assert killed >= 20
