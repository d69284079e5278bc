"""Install the peers, each into its own environment: ``python benchmarks/peers/install.py [NAME ...]``.

``benchmarks/.peers/NAME`` is a virtual environment that also sees the packages of the Python that runs this script,
so torch is there once; what a peer pins otherwise lies in its own environment and goes before. An environment that
holds its requirements is left alone. What cannot be installed is said, with the reason, and the rest goes on; the exit
code is 1 then. ffcv is compiled: on Debian, ``apt-get install g++ pkg-config libopencv-dev libturbojpeg0-dev`` first.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
import venv
from importlib.metadata import version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # `python -P`, which make uses, leaves it out

from venvs import PEERS, REQUIREMENTS, VENVS, is_installed, python_of, stamp_of, versions_of, wanted

SAME = ("torch", "torchvision")
"""Every side runs on the same build of these."""


def install(name: str, limit: float) -> str:
    """Make one environment; what was installed, in words. Raises CalledProcessError or TimeoutExpired."""
    if is_installed(name):
        return f"{_versions(name)} (was there)"
    folder, started = VENVS / name, time.monotonic()
    shutil.rmtree(folder, ignore_errors=True)
    venv.create(folder, symlinks=True)
    _share_packages(name)
    _pip(name, limit)
    stamp_of(name).write_text(wanted(name))
    return f"{_versions(name)} in {time.monotonic() - started:.0f} s"


def _share_packages(name: str) -> None:
    """A path file puts this Python's packages behind the environment's own, pip among them."""
    site = subprocess.run(
        [python_of(name), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        check=True,
        capture_output=True,
        text=True,
    )
    shared = dict.fromkeys(sysconfig.get_path(kind) for kind in ("purelib", "platlib"))
    (Path(site.stdout.strip()) / "shared.pth").write_text("".join(f"{path}\n" for path in shared))


def _pip(name: str, limit: float) -> None:
    with tempfile.TemporaryDirectory() as folder:
        same = Path(folder) / "same.txt"
        same.write_text("".join(f"{package}=={version(package)}\n" for package in SAME))
        pip = [python_of(name), "-m", "pip", "install", "--disable-pip-version-check", "-c", same]
        subprocess.run(
            [*pip, "-r", REQUIREMENTS / f"{name}.txt"], check=True, capture_output=True, text=True, timeout=limit
        )


def _versions(name: str) -> str:
    return ", ".join(f"{package} {number}" for package, number in versions_of(name).items())


def _reason(error: subprocess.SubprocessError) -> str:
    """The line of pip's output that says why."""
    if isinstance(error, subprocess.TimeoutExpired):
        return f"not done within {error.timeout:.0f} s"
    lines = str(getattr(error, "stderr", "")).strip().splitlines()
    told = [line.strip() for line in lines if "Error" in line or line.startswith(("ERROR", "error"))]
    return "; ".join(dict.fromkeys(told[:3])) or "pip gave no reason"


def main() -> int:
    """Install those named, or all; 1 where one is missing in the end."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(PEERS)}; default: all")
    parser.add_argument("--limit", type=float, default=600, metavar="SECONDS", help="given to each; default 600")
    given = parser.parse_args()
    unknown = sorted(set(given.names) - set(PEERS))
    if unknown:
        parser.error(f"no such peer: {', '.join(unknown)}; there are {', '.join(PEERS)}")
    failed = 0
    for name in given.names or PEERS:
        try:
            print(f"{name}: {install(name, given.limit)}", flush=True)
        except subprocess.SubprocessError as error:
            failed += 1
            print(f"{name}: NOT INSTALLED: {_reason(error)}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
