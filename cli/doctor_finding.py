"""What ``doctor`` says about one thing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "note", "wrong"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One line: ``ok``, a ``note`` (it works, and could work better), or ``wrong`` (what is needed does not work)."""

    check: str
    state: State
    text: str
    advice: str = ""
    """What to do."""

    def __str__(self) -> str:
        return f"{self.state:<5}  {self.check}: {self.text}" + (f" -> {self.advice}" if self.advice else "")


def size(nbytes: float) -> str:
    """``"64 MB"``, ``"1.5 GB"``: decimal, as disks and object stores count."""
    for unit, scale in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if nbytes >= scale:
            return f"{nbytes / scale:,.0f} {unit}" if nbytes >= 100 * scale else f"{nbytes / scale:,.1f} {unit}"
    return f"{nbytes:,.0f} bytes"
