"""Samples: what a batch has rows of, and which rows of the arrays each of them needs.

Reads from : loader.indices, loader.window
Hands to   : loader.order (how many), loader.reading (which rows), loader.state (what they are)

Guarantees
- O(1) time and memory for any number of rows, but for what `indices` and `groups` hold themselves.
- `describe` differs wherever the rows of any sample do, and is the same on every machine.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from outcore.errors import OptionError
from outcore.loader.indices import Indices, RowRange, indices_of
from outcore.loader.runs import digest
from outcore.loader.window import Starts, Window, cut, too_long


class Samples:
    """Numbers 0 to n - 1, and the rows they stand for.

    Attributes
    ----------
    n : int
        Samples in all.
    span : int
        Rows from the first that a sample needs to the last, both included: 1 without a window.
    contiguous : bool
        Whether neighbouring samples need neighbouring rows, or rows in common, but at the ends of runs and
        groups: a block of samples is then best read as one range of rows.
    """

    def __init__(
        self, where: Indices | Starts, *, span: int, contiguous: bool, facts: dict[str, str] | None = None
    ) -> None:
        self.n = where.n
        self.span = span
        self.contiguous = contiguous
        self._where = where
        self._facts = facts

    @property
    def nbytes(self) -> int:
        """Bytes that are held to know which rows the samples are."""
        return self._where.nbytes

    @property
    def plain(self) -> bool:
        """Whether sample k + 1 is the row behind that of sample k, for all k."""
        return self.span == 1 and isinstance(self._where, RowRange) and self._where.step == 1

    def rows_of_blocks(self, n_samples: int, n_blocks: int, reach: int) -> int:
        """Estimate how many rows blocks of neighbouring samples need together.

        Parameters
        ----------
        n_samples, n_blocks : int
            All samples of the blocks, and how many blocks they are.
        reach : int
            Rows that a sample needs, from the first to the last.
        """
        if not isinstance(self._where, Starts):
            return n_samples * reach
        stride = min(self._where.stride, reach)
        # At its end a block, and a piece of rows that belong together, needs the rest of the last window.
        ends = n_blocks + -(-self._where.n_pieces * n_samples // self.n)
        return min(n_samples * stride + ends * (reach - stride), n_samples * reach)

    def rows(self, samples: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the first row of each sample.

        Parameters
        ----------
        samples : ndarray of int64
            In ``[0, n)``, unchecked.

        Returns
        -------
        ndarray of int64
            Perhaps `samples` itself.
        """
        return self._where.rows(samples)

    def describe(self) -> dict[str, str]:
        """Return readable facts that are the same for the same samples only.

        Notes
        -----
        Row numbers given as an array are hashed at the first call: about a second for 100 million.
        """
        facts = self._facts
        if facts is None:
            assert isinstance(self._where, Indices)
            facts = {"indices": self._where.digest()}
        return {"samples": str(self.n), **facts}


def samples_of(n_rows: int, indices: Any = None, window: Window | None = None) -> Samples:
    """Combine rows, the choice among them, and windows.

    Parameters
    ----------
    n_rows : int
        Rows of the arrays.
    indices : slice, range, array-like of int, or of bool of shape (n_rows,), optional
        Rows that take part, in their order. With a window: all rows of a sample must lie in one run of
        consecutive rows out of these; order and repeats mean nothing then.
    window : Window, optional
        Without, each row is a sample.

    Raises
    ------
    RowIndexError, ShapeError, SelectionError
        `indices` that do not fit the arrays.
    OptionError
        No sample at all: `indices` that choose nothing, or a window longer than every group.

    Examples
    --------
    >>> samples_of(10, slice(2, None), oc.Window(4, stride=2)).rows(np.arange(3)).tolist()
    [2, 4, 6]
    """
    if window is not None and not isinstance(window, Window):
        raise OptionError(f"window={window!r} is no Window.\nUse window=oc.Window(length, ...).")
    chosen = indices_of(indices, n_rows)
    if not chosen.n:
        raise OptionError(
            "the arrays have no rows: there is nothing to make batches of."
            if not n_rows
            else f"indices choose none of the {n_rows} rows: there is nothing to make batches of."
        )
    if window is None:
        return Samples(chosen, span=1, contiguous=isinstance(chosen, RowRange) and abs(chosen.step) == 1)
    return _windows(n_rows, chosen, window)


def _windows(n_rows: int, chosen: Indices, window: Window) -> Samples:
    facts = {"window": window.describe()}
    if isinstance(chosen, RowRange) and abs(chosen.step) > 1:
        # Each row is a run of its own: spelling them out could take more memory than there is.
        if window.span > 1:
            raise too_long(window, 1, chosen.n)
        each = RowRange(chosen.ascending(), n_rows)
        return Samples(each, span=1, contiguous=False, facts=facts | {"indices": each.digest()})
    runs = chosen.runs()
    starts = cut(window, n_rows, runs)
    if len(runs) == 1:
        facts["indices"] = RowRange(range(int(runs[0, 0]), int(runs[0, 1])), n_rows).digest()
    else:
        n = int((runs[:, 1] - runs[:, 0]).sum())
        facts["indices"] = f"{n} of {n_rows} rows in {len(runs)} runs, {digest(runs)}"
    if starts.groups is not None:
        facts["groups"] = starts.groups
    return Samples(starts, span=window.span, contiguous=window.stride <= window.span, facts=facts)
