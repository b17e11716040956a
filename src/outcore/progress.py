"""Progress bars: only where somebody watches, only for work that takes a while.

Reads from : the options in force
Hands to   : text, conversion, statistics, demo

Guarantees
- Nothing is written unless a bar is shown; bars go to standard error and are wiped when the work ends.
- By default a bar appears only on a terminal, and only once the work has lasted `PATIENCE_S`.
- The drawing library is imported when the first bar appears, and no thread is started.
- A callable gets ``(done, total)`` at most every `REFRESH_S`, and once at the end of work that succeeded.
- What is told besides (`details`) is asked for when a bar is drawn, by the thread that advances it.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from outcore.errors import OptionError
from outcore.settings import ProgressLike, current

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

#: Work shorter than this shows no bar of its own accord: a bar that flashes by tells nobody anything.
PATIENCE_S = 2.0
REFRESH_S = 0.1
#: Stands for a total that nobody knows, such as that of a pipe.
UNKNOWN = -1

Advance = Callable[[int], None]


@contextmanager
def bar(
    what: str,
    total: int,
    progress: ProgressLike | None = None,
    *,
    unit: str = "bytes",
    done: int = 0,
    details: Callable[[], str] | None = None,
) -> Iterator[Advance]:
    """Report progress while the block runs.

    Parameters
    ----------
    what : str
        One word for the work, shown before the bar.
    total : int
        How much there is to do; `UNKNOWN`, or anything below zero, shows what was done, and no share of it.
    progress : bool or callable, optional
        True: a bar at once; False: nothing; a callable: gets ``(done, total)``. None takes the value of
        ``oc.options`` and, where that is not set, a bar when standard error is a terminal.
    unit : str
        ``"bytes"``, or what the numbers count, such as ``"rows"``.
    done : int
        How much was done before, by a run that was interrupted.
    details : callable, optional
        Returns a line to show below the bar.

    Yields
    ------
    callable
        ``advance(n)``: another `n` units are done.

    Raises
    ------
    OptionError
        `progress` is neither True, False, None nor a callable.

    Examples
    --------
    >>> with bar("copy", 10, lambda done, total: print(done, "of", total)) as advance:
    ...     advance(10)
    10 of 10
    """
    if progress is None:
        progress = current().progress
    if progress is not None and not isinstance(progress, bool) and not callable(progress):
        raise OptionError(
            f"progress={progress!r} is neither True, False nor a callable.\n"
            "Use progress=True, progress=False or progress=lambda done, total: ..."
        )
    if progress is False or (progress is None and not _watched()):
        yield _nothing
        return
    report = (
        _Reports(progress, total, done)
        if callable(progress)
        else _Drawing(what, total, unit, done, details, at_once=progress is True)
    )
    try:
        yield report.advance
    except BaseException:
        report.abandon()
        raise
    report.complete()


def _watched() -> bool:
    return sys.stderr is not None and sys.stderr.isatty()


def _nothing(n: int) -> None:
    """Take the place of a bar where none is wanted."""


class _Reports:
    """Calls the user's function, not too often."""

    def __init__(self, function: Callable[[int, int], None], total: int, done: int) -> None:
        self._function = function
        self._total = total
        self._done = done
        self._told = -1
        self._next_s = 0.0

    def advance(self, n: int) -> None:
        self._done += n
        now = time.monotonic()
        if now >= self._next_s:
            self._next_s = now + REFRESH_S
            self._tell()

    def _tell(self) -> None:
        if self._told != self._done:
            self._told = self._done
            self._function(self._done, self._total)

    def complete(self) -> None:
        self._tell()

    def abandon(self) -> None:
        """Leave the last report as it is: the work failed."""


class _Drawing:
    """A bar on standard error, drawn by whoever advances it."""

    def __init__(
        self,
        what: str,
        total: int,
        unit: str,
        done: int,
        details: Callable[[], str] | None,
        *,
        at_once: bool,
    ) -> None:
        self._what = what
        self._total = total if total >= 0 else None
        self._unit = unit
        self._done = done
        self._details = details
        self._next_s = time.monotonic() + (0.0 if at_once else PATIENCE_S)
        self._display: Progress | None = None
        self._task: TaskID | None = None
        if at_once:
            self.advance(0)

    def advance(self, n: int) -> None:
        self._done += n
        now = time.monotonic()
        if now < self._next_s:
            return
        self._next_s = now + REFRESH_S
        if self._display is None:
            self._display = _new_display(self._unit, self._details)
            self._task = self._display.add_task(self._what, total=self._total, completed=self._done)
            self._display.start()
        self._draw(self._display)

    def _draw(self, display: Progress) -> None:
        assert self._task is not None
        display.update(self._task, completed=self._done)
        display.refresh()

    def complete(self) -> None:
        if self._display is not None:
            self._draw(self._display)
        self.abandon()

    def abandon(self) -> None:
        """Wipe the bar, so that what is printed next stands on a line of its own."""
        if self._display is not None:
            self._display.stop()
            self._display = None


def _new_display(unit: str, details: Callable[[], str] | None) -> Progress:
    # Imported here: it costs as much as everything else together and is needed for long work only.
    from rich import progress as rich
    from rich.console import Console, RenderableType
    from rich.text import Text

    class Display(rich.Progress):
        """A bar, and a line below it."""

        def get_renderables(self) -> Iterator[RenderableType]:
            yield from super().get_renderables()
            if details is not None:
                yield Text(f"  {details()}", style="progress.download", no_wrap=True, overflow="ellipsis")

    amount: list[rich.ProgressColumn] = (
        [rich.DownloadColumn(), rich.TransferSpeedColumn()]
        if unit == "bytes"
        else [rich.MofNCompleteColumn()]
    )
    console = Console(file=sys.stderr)
    return Display(
        rich.TextColumn("{task.description}"),
        # The figures beside it take about fifty columns; cut short they would say something else.
        rich.BarColumn(max(4, min(40, console.width - 50))),
        rich.TaskProgressColumn(),
        *amount,
        rich.TimeRemainingColumn(),
        console=console,
        auto_refresh=False,  # a refreshing thread would have to be joined before a fork
        transient=True,
    )
