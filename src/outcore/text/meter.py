"""What the progress bar of an ingest says besides bytes: rows, rows a second, and memory.

Reads from : /proc/self/status
Hands to   : text.passes
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from outcore.budget import format_bytes

_STATUS = Path("/proc/self/status")


class Meter:
    """Makes the line below the bar; each call samples the memory anew.

    Parameters
    ----------
    count : callable
        Returns the rows so far; those that there are when the meter is made do not count for the speed.

    Examples
    --------
    >>> n_rows = iter([1000, 1000])
    >>> Meter(lambda: next(n_rows), memory=lambda: 1_600_000_000)()
    '1,000 rows  0 rows/s  peak 1.6 GB'
    """

    def __init__(self, count: Callable[[], int], memory: Callable[[], int] | None = None) -> None:
        self._count = count
        self._memory = memory or anonymous_bytes
        self._start_s = time.monotonic()
        self._before = count()
        self._peak = 0

    def __call__(self) -> str:
        """Return the line."""
        n_rows, seconds = self._count(), time.monotonic() - self._start_s
        rate = (n_rows - self._before) / seconds if seconds > 0 else 0.0
        self._peak = max(self._peak, self._memory())
        peak = f"  peak {format_bytes(self._peak)}" if self._peak else ""
        return f"{n_rows:,} rows  {rate:,.0f} rows/s{peak}"


def anonymous_bytes() -> int:
    """Return the memory of this process that no file stands behind; 0 where the system does not tell.

    Pages of files that are mapped or cached are left out: the system takes them back when it needs them.
    """
    try:
        lines = _STATUS.read_text("ascii", "replace").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon:")), 0)
