"""A clone must be usable on any machine: no addresses of one of them, no bulky files, no endless modules."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

# Spelled so that this file does not match itself. Package registries are found by the machine's own configuration.
MACHINE = re.compile(
    r"index[-]url|registry *[=]|https?://[^ ]*/simple[/]?|(^|[^a-z.])/(work|farm|root)/", re.IGNORECASE
)
MAX_BYTES = 600 * 1024
MAX_LINES = 400


def findings(root: Path, paths: list[Path]) -> list[str]:
    """Everything that is wrong with these files, one line each."""
    found = []
    for path in paths:
        data = (root / path).read_bytes()
        if len(data) > MAX_BYTES:
            found.append(f"{path} has {len(data):,} bytes, more than {MAX_BYTES:,}")
        if b"\0" in data:
            continue
        lines = data.decode(errors="replace").splitlines()
        if path.suffix == ".py" and len(lines) > MAX_LINES:
            found.append(f"{path} has {len(lines)} lines, more than {MAX_LINES}")
        if path.parts[0] not in (".ci", "docker"):
            found += [f"{path}:{number} {line}" for number, line in enumerate(lines, 1) if MACHINE.search(line)]
    return found


def test_the_tree_names_no_machine_and_stays_small(root: Path, tracked: list[Path]) -> None:
    """No registry host, no absolute machine path, no file over 600 kB, no Python file over 400 lines."""
    assert findings(root, tracked) == []


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("setup.cfg", "index" + "-url = somewhere"),
        ("a.md", "see https://example.org/" + "simple/ for it"),
        ("a.py", 'DATA = "/' + 'work/shared/data"'),
        ("Makefile", "REGISTRY " + "= here"),
        ("big.json", "x" * (MAX_BYTES + 1)),
        ("long.py", "pass\n" * (MAX_LINES + 1)),
    ],
)
def test_a_planted_finding_is_reported(tmp_path: Path, name: str, text: str) -> None:
    """The guard itself, once per rule."""
    (tmp_path / name).write_text(text)
    assert len(findings(tmp_path, [Path(name)])) == 1
