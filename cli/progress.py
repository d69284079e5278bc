"""Progress on a terminal: a bar per split with rate and time left, on stderr; nothing where that is no terminal."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

# Names, paths and captions are printed as they are: "[x]" is no style, ":apple:" no picture.
console = Console(markup=False, emoji=False, highlight=False)
# Results go to stdout, which may be piped into a JSON reader; progress goes to people.
notes = Console(stderr=True, markup=False, emoji=False, highlight=False)


class Bars:
    """A ``Reporter`` that draws; use as a context manager."""

    def __init__(self, verb: str, unit: str = "samples") -> None:
        self._verb = verb
        self._progress = Progress(
            TextColumn("{task.description:<20}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TextColumn(f"{unit}  " + "{task.fields[rate]}"),
            TimeRemainingColumn(),
            console=notes,
            disable=not notes.is_terminal,
        )
        self._task: TaskID | None = None
        self._bytes = 0

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def start(self, split: str, samples: int, done: int, nbytes: int) -> None:  # noqa: ARG002 - Reporter's signature
        """A new bar."""
        self._bytes = 0
        self._task = self._progress.add_task(f"{self._verb} {split}", total=samples, completed=done, rate="")

    def advance(self, samples: int, nbytes: int) -> None:
        """Move the bar; the rate is that of the whole split so far."""
        if self._task is None:
            return
        self._bytes += nbytes
        task = self._progress.tasks[self._task]
        seconds = max(task.elapsed or 0.0, 1e-3)
        self._progress.update(self._task, advance=samples, rate=f"{self._bytes / seconds / 1e6:,.1f} MB/s")
