"""The image, really built: what is in it, who runs in it, and what ``doctor`` says when something is taken away."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from shardstream.shard_writer.storage import open_store

from ..toy import pack_toy
from .conftest import ROOT, processes_with
from .image import WHEELS, Builder, CannotBuild, Container, container, folder, unavailable

pytestmark = [pytest.mark.docker, pytest.mark.timeout(600)]
TAG = f"localhost/shardstream-test:{os.getpid()}"
PLANTED = "planted-secret-value"
INSTALLED = "opt/venv/lib/python3.11/site-packages/shardstream"
OURS = (INSTALLED, "opt/shardstream", "home", "usr/local/bin", "cache", "results", "mnt")
MOUNTING = {"user": "0", "capabilities": ("SYS_ADMIN",)}
THREE_EPOCHS = """
import json, os, sys
from argparse import Namespace
from pathlib import Path
sys.path.insert(0, "/opt/shardstream/examples")
import stream_epoch
found = {"user": os.getuid()}
for name, url in (("mount", "/mnt/data/toy"), ("s3", sys.argv[1]), ("disk", "/local/toy")):
    out = Path("/tmp/keys") / name
    stream_epoch.stream(Namespace(url=url, split="train", batch_size=16, workers=2 if name == "mount" else 0, out=out))
    found[name] = (out / "rank-00000.txt").read_text().splitlines()
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What git knows of this tree, and things that must never get into an image."""
    reason = unavailable()
    if reason:
        pytest.skip(reason)
    if not (ROOT / ".git").exists():
        pytest.skip("no git checkout: only a clone knows what is tracked")
    target = tmp_path_factory.mktemp("context")
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    for name in {name for name in listing.stdout.decode().split("\0") if name and (ROOT / name).is_file()}:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, target / name)
    for name in ("docker/secrets/credentials", ".env", "data/x.tar", "cli/__pycache__/x.pyc"):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        (target / name).write_text(PLANTED)
    return target


@pytest.fixture(scope="module")
def builder(context: Path) -> Iterator[Builder]:
    """The image of target cpu is there under ``TAG``, its build stage under ``TAG-build``."""
    builder = Builder(folder())
    try:
        with builder.prepared():
            builder.build(f"{TAG}-build", "build", context)
            builder.build(TAG, "cpu", context)
    except CannotBuild as error:
        pytest.skip(str(error))
    yield builder
    builder.buildah("rmi", TAG, f"{TAG}-build")
    builder.buildah("rmi", "--prune")  # layers that no image holds any more; the base is one


@pytest.fixture(scope="module")
def box(builder: Builder) -> Iterator[Container]:
    with container(builder, TAG) as made:
        yield made


class Cloud(NamedTuple):
    """A dataset on the S3 server and on disk, and what a container is given to reach it."""

    url: str
    environment: Mapping[str, str]
    volumes: tuple[str, ...]
    secret: str

    @property
    def bucket(self) -> str:
        return self.url.removeprefix("s3://").removesuffix("/toy")

    def mounting(self, **change: str) -> dict[str, Any]:
        """Options of a run that mounts the bucket."""
        given = {**self.environment, "MOUNT_BUCKET": self.bucket, "MOUNT_PATIENCE": "8", **change}
        return {**MOUNTING, "environment": given, "volumes": self.volumes}


@pytest.fixture(scope="module")
def cloud(_weed_server: Any, tmp_path_factory: pytest.TempPathFactory) -> Cloud:
    weed, tmp_path = _weed_server, tmp_path_factory.mktemp("cloud")
    if weed._process is None:
        weed.start()
    pack_toy(tmp_path / "local/toy", 60)
    url, options = f"{weed.url('image')}/toy", weed.storage_options
    here, there = open_store(tmp_path / "local/toy"), open_store(url, options)
    for entry in here.files():
        there.write(entry.path, here.read(entry.path))
    credentials = tmp_path / "credentials"
    credentials.write_text(
        f"[default]\naws_access_key_id = {options['key']}\naws_secret_access_key = {options['secret']}\n"
    )
    environment = {"AWS_ENDPOINT_URL": weed.endpoint_url, "AWS_SHARED_CREDENTIALS_FILE": "/run/secrets/credentials"}
    volumes = (f"{credentials}:/run/secrets/credentials:ro", f"{tmp_path / 'local'}:/local:ro")
    return Cloud(url, environment, volumes, options["secret"])


def findings(done: subprocess.CompletedProcess[str]) -> dict[str, dict[str, str]]:
    """The lines of ``doctor --json``, by their check."""
    try:
        return {line["check"]: line for line in json.loads(done.stdout[done.stdout.index("[") :])}
    except ValueError as error:
        raise AssertionError(done.stdout + done.stderr) from error


def test_the_image_says_who_runs_and_how_it_is_watched(box: Container) -> None:
    """An ordinary user behind tini and the entrypoint, a health check, no variable with a key in it."""
    said = box.configuration
    assert said["User"] == "10001:10001"
    assert said["Entrypoint"] == ["tini", "--", "shardstream-entrypoint"]
    assert said["Healthcheck"]["Test"] == ["CMD", "shardstream-healthcheck"]
    assert [name for name in said["Env"] if name.startswith(("AWS_", "RCLONE_", "PIP_"))] == []


def test_nothing_gets_in_that_is_not_named(builder: Builder, box: Container) -> None:
    """Secrets and data in the context stay outside, of the stage that is thrown away, too; no source is left over."""
    with container(builder, f"{TAG}-build") as stage:
        sources = {path.relative_to(stage.root / "src").as_posix() for path in (stage.root / "src").rglob("*")}
    assert "loaders/fetch.py" in sources
    assert not any(
        name.startswith(("tests", "data", "docker/secrets", ".")) or "__pycache__" in name for name in sources
    )
    root = box.root
    assert (root / INSTALLED / "cli/doctor.py").is_file()
    assert (root / "opt/venv/bin/rclone").is_file()
    assert not (root / "src").exists()
    own = [path for top in OURS for path in (root / top).rglob("*") if path.is_file()]
    assert len(own) > 100
    assert [path for path in own if PLANTED.encode() in path.read_bytes()] == []


@pytest.mark.slow
def test_the_cuda_target_is_built_with_an_index_that_stays_a_secret(
    builder: Builder, context: Path, tmp_path: Path
) -> None:
    """A private index has a password: pip reads it while building, no file and no history of the image has it."""
    pip = tmp_path / "pip.conf"
    pip.write_text(f"[global]\nno-index = true\nno-deps = true\nfind-links = {WHEELS}\n# {PLANTED}\n")
    tag = f"{TAG}-cuda"
    builder.build(tag, "cuda", context, pip=pip)
    try:
        with container(builder, tag) as made:
            assert "NVIDIA_VISIBLE_DEVICES=all" in made.configuration["Env"]
            assert made.configuration["User"] == "10001:10001"
            assert (made.root / INSTALLED / "__init__.py").is_file()
            assert not (made.root / "etc/pip.conf").exists()
        assert PLANTED not in builder.must("inspect", "--type", "image", tag)
    finally:
        builder.buildah("rmi", tag)


def test_a_machine_by_itself_is_well(box: Container) -> None:
    """What ``docker run shardstream`` prints: doctor as the ordinary user, with a cache that it may write."""
    done = box.run("sh", "-c", "id -u; shardstream doctor --json")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("10001\n")
    assert findings(done)["cache"]["text"].startswith("/cache is writable")
    assert findings(done)["decoder"]["state"] == "ok"


def test_an_epoch_from_the_mount_is_that_of_s3_and_of_the_disk(box: Container, cloud: Cloud) -> None:
    """Key by key and pixel by pixel, through a bucket that root mounted for the ordinary user."""
    done = box.run("python3", "-c", THREE_EPOCHS, cloud.url, **cloud.mounting())
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["user"] == 10001
    assert len(set(found["disk"])) == 60
    assert found["mount"] == found["s3"] == found["disk"]


def test_a_mounted_bucket_is_well_and_healthy(box: Container, cloud: Cloud) -> None:
    """doctor compares the mount with the bucket; the health check passes as root, as Docker runs it, and for the user."""
    compared = f"shardstream doctor {cloud.url} --mount /mnt/data=s3://{cloud.bucket} --json"
    done = box.run(
        "sh", "-c", f"{compared} && shardstream-healthcheck >&2", **cloud.mounting(SHARDSTREAM_URL="/mnt/data/toy")
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = findings(done)
    assert {line["state"] for name, line in found.items() if name != "gpu"} == {"ok"}
    assert "/mnt/data/toy shows what s3://" in found["mount"]["text"]
    assert "ok     dataset: /mnt/data/toy holds toy" in done.stderr
    assert cloud.secret not in done.stdout + done.stderr


def test_a_mount_that_dies_is_unhealthy(box: Container, cloud: Cloud, tmp_path: Path) -> None:
    """The server of the mount is killed under a running container: the health check says so and ends with 1."""
    signals = tmp_path / "signals"
    signals.mkdir()
    signals.chmod(0o777)
    script = "touch /signals/ready; while [ ! -e /signals/killed ]; do sleep 0.1; done; shardstream-healthcheck"
    options = cloud.mounting() | {"volumes": (*cloud.volumes, f"{signals}:/signals")}
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(box.run, "sh", "-c", script, **options)
        while not (signals / "ready").exists():
            assert not running.done(), running.result()
            time.sleep(0.05)
        for server in processes_with(f"mounted:{cloud.bucket}/"):
            os.kill(server, signal.SIGKILL)
        (signals / "killed").touch()
        done = running.result(timeout=120)
    assert done.returncode == 1
    assert "wrong  mount: /mnt/data: the process that serves the mount has died." in done.stdout


TAKEN_AWAY = {
    "credentials": ({"AWS_SHARED_CREDENTIALS_FILE": "/absent"}, [], "none in the environment"),
    "bucket": ({}, ["s3://no-such-bucket-here/toy"], "no bucket no-such-bucket-here"),
    "endpoint": ({"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, [], "cannot be reached"),
    "mount": ({}, ["--mount", "/mnt/data"], "nothing is mounted there"),
    "cache": ({"SHARDSTREAM_CACHE": "/etc/cache"}, [], "cannot be written to by user 10001"),
}
# All in one process: importing torch anew for each takes longer than the checks.
MANY_DOCTORS = """
import json, os, sys
from shardstream.cli import main, progress
answers, before = {}, dict(os.environ)
for name, (change, arguments) in json.loads(sys.argv[1]).items():
    os.environ.update(change)
    with progress.console.capture() as printed:
        code = main(["doctor", "--quick", "--json", *arguments])
    answers[name] = [code, json.loads(printed.get())]
    os.environ.clear()
    os.environ.update(before)
print(json.dumps(answers))
"""


@pytest.fixture(scope="module")
def answers(box: Container, cloud: Cloud) -> dict[str, Any]:
    """What doctor says to the ordinary user when one thing is taken away: exit code and lines."""
    cases = {name: (change, own or [cloud.url]) for name, (change, own, _) in TAKEN_AWAY.items()}
    cases["mount"][1].append(cloud.url)
    done = box.run(
        "python3", "-c", MANY_DOCTORS, json.dumps(cases), environment=cloud.environment, volumes=cloud.volumes
    )
    assert done.returncode == 0, done.stderr
    assert cloud.secret not in done.stdout + done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize("name", TAKEN_AWAY)
def test_doctor_names_what_was_taken_away(answers: dict[str, Any], name: str) -> None:
    """One thing at a time: one line is wrong, it says what and what to do, exit 1."""
    code, lines = answers[name]
    assert code == 1
    (wrong,) = [line for line in lines if line["state"] == "wrong"]
    assert wrong["check"] == ("bucket" if name == "endpoint" else name)
    assert TAKEN_AWAY[name][2] in wrong["text"]
    assert wrong["advice"]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"capabilities": ()}, "without SYS_ADMIN"),
        ({"user": None}, "needs user 0 to mount"),
        ({"AWS_SHARED_CREDENTIALS_FILE": "/absent"}, "cannot be listed"),
        ({"MOUNT_BUCKET": "no-such-bucket-here"}, "shows nothing"),
    ],
    ids=["capability", "user", "credentials", "bucket"],
)
def test_a_bucket_that_cannot_be_mounted_ends_the_container(
    box: Container, cloud: Cloud, change: dict[str, Any], says: str
) -> None:
    """Before the command starts, with the flag of ``docker run`` or the variable that is missing."""
    environment = {name: value for name, value in change.items() if name.isupper()}
    options = cloud.mounting(**environment) | {name: value for name, value in change.items() if name.islower()}
    done = box.run("echo", "started", **options)
    assert done.returncode == 1
    assert says in done.stderr
    assert "started" not in done.stdout
