"""Where each peer's own virtual environment lies, and which peers there are."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
VENVS = HERE.parent / ".peers"
REQUIREMENTS = HERE / "requirements"
PEERS = tuple(sorted(path.stem for path in REQUIREMENTS.glob("*.txt")))


def python_of(name: str) -> Path:
    """The Python of one peer's environment, whether it is there or not."""
    return VENVS / name / "bin" / "python"


def stamp_of(name: str) -> Path:
    """Holds the requirements that were installed; written last."""
    return VENVS / name / "installed.txt"


def wanted(name: str) -> str:
    """What ``stamp_of`` holds where the environment is up to date."""
    return f"python {sys.version.split()[0]}\n{(REQUIREMENTS / f'{name}.txt').read_text()}"


def is_installed(name: str) -> bool:
    """Whether the environment holds what the requirements say."""
    return python_of(name).exists() and stamp_of(name).exists() and stamp_of(name).read_text() == wanted(name)


def versions_of(name: str) -> dict[str, str]:
    """Versions of the pinned packages as the environment's own Python finds them, and of torch and numpy."""
    pinned = [line.partition("==")[0] for line in wanted(name).splitlines() if "==" in line]
    names = sorted({*pinned, "torch", "numpy"})
    code = "import importlib.metadata as m, sys; print(*[m.version(name) for name in sys.argv[1:]])"
    found = subprocess.run([python_of(name), "-c", code, *names], check=True, capture_output=True, text=True)
    return dict(zip(names, found.stdout.split(), strict=True))
