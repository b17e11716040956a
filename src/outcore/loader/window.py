"""Windows: what a sequence model takes as one sample.

Reads from : loader.runs (groups, a block at a time)
Hands to   : users (`outcore.Window`), loader.samples

Guarantees
- A window and its target lie in one group and in one run of consecutive rows.
- Where windows begin takes 16 bytes for each group that has any; nothing is kept for each window.

A list of all window starts was rejected: a billion rows at stride 1 would take 8 GB of it.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from outcore.errors import OptionError
from outcore.loader.runs import cut_at, digest, group_runs


@dataclass(frozen=True, eq=False)
class Window:
    """Samples that are windows of rows, and the row that each is to predict.

    The sample that begins at row `s` has the rows ``s, s + sampling_rate, ...``, `length` of them; its target
    is `horizon` rows behind the last. In each group the first window begins at the first row, and
    another one every `stride` rows, as long as its rows and its target are all in the group. Where the
    Loader's `indices` leave rows out, it is as if a group ended.

    Parameters
    ----------
    length : int
        Rows in a window.
    stride : int
        Rows from the beginning of one window to that of the next.
    sampling_rate : int
        Rows from one row of a window to the next.
    horizon : int
        Rows from the last row of a window to its target; 0: the target is in the window's last row.
    groups : Array, ndarray or array-like, shape (n_rows,), optional
        A new group begins wherever the value changes: a recording, a patient, a chromosome. No window crosses
        from one to the next. Anything that `outcore.asarray` takes, addresses too.

    Attributes
    ----------
    span : int
        Rows from the first that a sample needs to the last, both included.

    Raises
    ------
    OptionError
        Not whole numbers, or too small ones.

    Notes
    -----
    Memory: `groups` are read in blocks of 1 MB when the Loader is made; 16 bytes for each group are kept.

    Examples
    --------
    >>> oc.Window(10, sampling_rate=2, horizon=1).span
    20
    """

    length: int
    stride: int = 1
    sampling_rate: int = 1
    horizon: int = 0
    groups: Any = field(default=None, repr=False)

    def __post_init__(self) -> None:
        for name, least in (("length", 1), ("stride", 1), ("sampling_rate", 1), ("horizon", 0)):
            # As Python ints: the span of NumPy's could wrap around.
            object.__setattr__(self, name, _whole(getattr(self, name), name, least))

    @property
    def span(self) -> int:
        """Rows from the first that a sample needs to the last, both included."""
        return (self.length - 1) * self.sampling_rate + self.horizon + 1

    def describe(self) -> str:
        """Return the numbers, in one line."""
        return (
            f"length={self.length} stride={self.stride} sampling_rate={self.sampling_rate} "
            f"horizon={self.horizon}"
        )


def _whole(value: Any, name: str, least: int) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        number = least - 1
    if isinstance(value, (bool, np.bool)) or number < least:
        raise OptionError(f"{name}={value!r}: expected a whole number of rows, {least} or more.")
    return number


class Starts:
    """The rows where windows begin, ascending.

    Parameters
    ----------
    first : ndarray of int64, shape (k,)
        Where the first window of each piece begins, ascending.
    counts : ndarray of int64, shape (k,)
        Windows in each piece; none is 0.
    stride : int
        Rows between the beginnings of two windows in a piece.
    groups : str, optional
        Describes the groups that were respected.

    Attributes
    ----------
    n : int
        Windows in all.
    """

    def __init__(
        self, first: NDArray[np.int64], counts: NDArray[np.int64], stride: int, groups: str | None = None
    ) -> None:
        self.groups = groups
        self._stride = self.stride = stride
        self.n_pieces = len(counts)
        self._ends = np.cumsum(counts)
        # Recordings of one length are common, and a division is several times faster than a search.
        self._each = int(counts[0]) if np.all(counts == counts[0]) else None
        # What to add to stride * sample, for the samples of each piece.
        self._base = first - stride * (self._ends - counts)
        self.n = int(self._ends[-1])

    @property
    def nbytes(self) -> int:
        """Bytes of where the pieces begin and end."""
        return self._ends.nbytes + self._base.nbytes

    def rows(self, samples: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return where each sample begins; samples are in ``[0, n)``, unchecked."""
        rows = samples * self._stride
        if len(self._base) == 1:
            rows += self._base[0]
        elif self._each is not None:
            rows += self._base[samples // self._each]
        else:
            rows += self._base[np.searchsorted(self._ends, samples, side="right")]
        return rows


def cut(window: Window, n_rows: int, runs: NDArray[np.int64]) -> Starts:
    """Find where windows begin.

    Parameters
    ----------
    window : Window
        What to look for; its groups are read here.
    n_rows : int
        Rows of the arrays.
    runs : ndarray of int64, shape (k, 2)
        Ranges of consecutive rows ``[start, stop)`` that may be used: ascending, disjoint.

    Raises
    ------
    ShapeError
        `window.groups` has not one value for each row.
    OptionError
        Every group, or run of rows, is shorter than the window.

    Examples
    --------
    >>> starts = cut(Window(3, groups=list("aaaabbb")), 7, np.array([[0, 7]]))
    >>> starts.rows(np.arange(starts.n)).tolist()
    [0, 1, 4]
    """
    groups = None
    pieces = runs
    if window.groups is not None:
        begin = group_runs(window.groups, n_rows).starts
        pieces = cut_at(runs, begin)
        groups = f"{len(begin)} runs in {n_rows} rows, {digest(begin)}"
    lengths = pieces[:, 1] - pieces[:, 0]
    fits = lengths >= window.span
    if not fits.any():
        raise too_long(window, int(lengths.max(initial=0)), len(pieces))
    # Where the stride is longer than the arrays, each piece has one window whatever it is.
    stride = min(window.stride, n_rows)
    counts = (lengths[fits] - window.span) // stride + 1
    return Starts(pieces[fits, 0], counts, stride, groups)


def too_long(window: Window, longest: int, n_pieces: int) -> OptionError:
    """Make the error of a window that fits nowhere."""
    where, cure = f"the one run of rows has {longest}", ""
    if n_pieces > 1:
        where = (
            f"the longest of {n_pieces} runs of rows has {longest}.\n"
            "A run ends where the group changes and where indices leave rows out"
        )
        cure = ", or indices that keep neighbours together: oc.split with seed=None or groups="
    return OptionError(
        f"A window of {window.describe()} needs {window.span} rows from the first to the target; {where}.\n"
        f"Use a window that needs no more than {longest}{cure}."
    )
