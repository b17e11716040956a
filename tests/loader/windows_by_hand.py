"""Windows enumerated row by row, to hold `outcore.Window` against.

Hands to   : the tests of loader
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

from outcore.loader.window import Window

#: Of a window, so small that several fit in a few rows.
NUMBERS = {
    "length": st.integers(1, 6),
    "stride": st.integers(1, 5),
    "sampling_rate": st.integers(1, 3),
    "horizon": st.integers(0, 4),
}


def starts_by_hand(n_rows: int, window: Window, allowed: set[int] | None = None) -> list[int]:
    """Where windows begin: every stride rows from where the rows that belong together begin."""
    groups: Sequence[Any] = [0] * n_rows if window.groups is None else list(window.groups)
    needed = [*range(0, window.length * window.sampling_rate, window.sampling_rate)]
    needed.append(needed[-1] + window.horizon)
    starts: list[int] = []
    first = 0
    for row in range(n_rows):
        if allowed is not None and row not in allowed:
            first = row + 1
            continue
        if row and first <= row - 1 and groups[row] != groups[row - 1]:
            first = row
        if (row - first) % window.stride:
            continue
        last = row + needed[-1]
        together = range(row, last + 1)
        inside = last < n_rows and (allowed is None or allowed.issuperset(together))
        if inside and all(groups[each] == groups[row] for each in together):
            starts.append(row)
    return starts
