"""Show what a run is doing: a bar on a terminal, one plain line a unit elsewhere."""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

from audit.units import Observer

if TYPE_CHECKING:
    from rich.progress import TaskID


def done_already(units: int) -> str:
    """How many units were found done."""
    return "1 unit was done already" if units == 1 else f"{units} units were done already"


class Shown(Observer, Protocol):
    """An observer that is opened and closed."""

    def __enter__(self) -> Self:
        """Start showing."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop showing."""


class Lines:
    """A plain line for each unit done; what was there already is counted and said once.

    Args:
        quiet: Say nothing.
    """

    def __init__(self, quiet: bool = False) -> None:
        self._quiet = quiet
        self._reused = 0

    def begin(self, unit: str) -> None:
        """Nothing: the line comes when the unit is done."""

    def advance(self, unit: str, share: float) -> None:
        """Nothing: logs show no bars."""

    def end(self, unit: str, seconds: float, reused: bool) -> None:
        """One line for a unit that was done here."""
        if reused:
            self._reused += 1
        else:
            self.say(f"{unit}  {seconds:.1f} s")

    def say(self, words: str) -> None:
        """The words, on a line of stderr."""
        if not self._quiet:
            print(words, file=sys.stderr, flush=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._reused:
            self.say(done_already(self._reused))


class Bars:
    """A bar for the unit at work, above it a line for each unit done; without colour where NO_COLOR is set."""

    def __init__(self) -> None:
        from rich.console import Console  # a run without a terminal does not pay for it
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        self._console = Console(stderr=True, highlight=False, soft_wrap=True)
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TimeElapsedColumn(),
            console=self._console,
            transient=True,
        )
        self._task: TaskID | None = None
        self._reused = 0

    def begin(self, unit: str) -> None:
        """A new bar; units come one after another, and one that broke has left its own."""
        self._remove()
        self._task = self._progress.add_task(unit, total=None)  # most units are short and tell no share

    def advance(self, unit: str, share: float) -> None:
        """Move the bar."""
        if self._task is not None:
            self._progress.update(self._task, total=1.0, completed=share)

    def end(self, unit: str, seconds: float, reused: bool) -> None:
        """Take the bar away, leave a line."""
        if reused:
            self._reused += 1
            return
        self._remove()
        self.say(f"{unit}  {seconds:.1f} s")

    def _remove(self) -> None:
        if self._task is not None:
            self._progress.remove_task(self._task)
            self._task = None

    def say(self, words: str) -> None:
        """A line above the bars."""
        self._console.print(words, markup=False)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()
        if self._reused:
            self.say(done_already(self._reused))


@contextmanager
def part_of(observer: Observer, unit: str) -> Iterator[None]:
    """A piece of work that is not stored, shown like a unit."""
    started = time.perf_counter()
    observer.begin(unit)
    yield
    observer.end(unit, time.perf_counter() - started, reused=False)


def shown(quiet: bool = False) -> Shown:
    """Bars on a terminal, plain lines elsewhere."""
    if quiet:
        return Lines(quiet=True)
    return Bars() if sys.stderr.isatty() and os.environ.get("TERM") != "dumb" else Lines()
