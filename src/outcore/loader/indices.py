"""Which rows of the arrays take part: what users give as ``indices=``.

Reads from : loader.runs (a column of row numbers or of booleans, a block at a time)
Hands to   : loader.samples

Guarantees
- Slices and ranges, and arrays that turn out to count evenly, cost O(1) memory.
- Other arrays are checked once and kept in the smallest unsigned type that holds a row number.
- The order is the user's; repeats are kept.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from outcore.errors import OptionError, RowIndexError, ShapeError
from outcore.layout import normalise_rows
from outcore.loader.runs import BLOCK_BYTES, Column, blocks, column, consecutive, digest, ranges
from outcore.shared.sharedarray import SharedArray
from outcore.shared.sharing import share

#: More bytes of row numbers go to other processes through shared memory.
SHARED_BYTES = 64 << 10


class Indices(ABC):
    """Row numbers, all of them inside the arrays.

    Attributes
    ----------
    n : int
        How many.
    n_rows : int
        Rows of the arrays.
    nbytes : int
        Bytes that the numbers take.
    """

    n: int
    n_rows: int
    nbytes: int = 0

    @abstractmethod
    def rows(self, samples: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the row of each sample; samples are in ``[0, n)``, unchecked."""

    @abstractmethod
    def runs(self) -> NDArray[np.int64]:
        """Return the ranges ``[start, stop)`` of consecutive rows, ascending, without repeats."""

    @abstractmethod
    def digest(self) -> str:
        """Describe which rows these are, in one line that differs where the rows or their order do."""


class RowRange(Indices):
    """Rows that count evenly.

    Parameters
    ----------
    chosen : range
        Inside ``[0, n_rows)``.
    n_rows : int
        Rows of the arrays.
    """

    def __init__(self, chosen: range, n_rows: int) -> None:
        self.n, self.n_rows = len(chosen), n_rows
        self.start, self.step = (chosen.start, chosen.step if self.n > 1 else 1) if self.n else (0, 1)

    def rows(self, samples: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return ``start + step * samples``; `samples` itself where that is the same."""
        if self.step == 1:
            return samples if self.start == 0 else samples + self.start
        return samples * self.step + self.start

    def ascending(self) -> range:
        """Return the same rows in ascending order."""
        ends = (self.start, self.start + self.step * (self.n - 1))
        return range(min(ends), max(ends) + 1, abs(self.step)) if self.n else range(0)

    def runs(self) -> NDArray[np.int64]:
        """Return one run; or each row alone where rows are left out, which takes 16 bytes a row."""
        rows = self.ascending()
        if not rows:
            return np.empty((0, 2), np.int64)
        if rows.step == 1:
            return np.array([[rows.start, rows.stop]], np.int64)
        return ranges(np.arange(rows.start, rows.stop, rows.step, dtype=np.int64))

    def digest(self) -> str:
        """Describe the rows by their numbers."""
        if (self.n, self.start, self.step) == (self.n_rows, 0, 1):
            return f"all {self.n_rows} rows"
        stop = self.start + self.step * self.n
        return f"range({self.start}, {stop}, {self.step}) of {self.n_rows} rows"


class RowList(Indices):
    """Rows in any order.

    Parameters
    ----------
    chosen : ndarray of unsigned integers
        Inside ``[0, n_rows)``; kept.
    n_rows : int
        Rows of the arrays.
    """

    def __init__(self, chosen: NDArray[Any], n_rows: int) -> None:
        self.n, self.n_rows, self.nbytes = len(chosen), n_rows, chosen.nbytes
        self._chosen = chosen

    def __getstate__(self) -> dict[str, Any]:
        # Loaders are sent to many processes, and there may be a number for each of a hundred million rows.
        if self.nbytes >= SHARED_BYTES and not isinstance(self._chosen, SharedArray):
            self._chosen = share(self._chosen)
        return self.__dict__

    def rows(self, samples: NDArray[np.int64]) -> NDArray[np.int64]:
        """Look the rows up."""
        return self._chosen[samples].astype(np.int64)

    def runs(self) -> NDArray[np.int64]:
        """Find the runs; rows that do not ascend are sorted first, in a copy."""
        ascending = self._chosen if _ascend(self._chosen) else np.unique(self._chosen)
        return consecutive(ascending)

    @cached_property
    def _digest(self) -> str:
        return digest(self._chosen)

    def digest(self) -> str:
        """Describe the rows by a hash of their numbers."""
        return f"{self.n} of {self.n_rows} rows, {self._digest}"


def indices_of(indices: Any, n_rows: int) -> Indices:
    """Understand what users give as ``indices=``.

    Parameters
    ----------
    indices : slice, range, array-like of int, or of bool of shape (n_rows,), optional
        None means all rows. Negative numbers count from the end, as in NumPy.
    n_rows : int
        Rows of the arrays.

    Raises
    ------
    RowIndexError
        A row outside the arrays; the first such is named.
    ShapeError
        Not one-dimensional, or a mask without one entry for each row.
    SelectionError
        Neither integers nor booleans.
    OptionError
        A slice that makes no sense, or nothing that an array could be made of.

    Notes
    -----
    Memory: O(1) for slices and ranges; otherwise 1, 2, 4 or 8 bytes an index, whichever a row number needs.

    Examples
    --------
    >>> indices_of([-1, 0, 0], 10).rows(np.arange(3)).tolist()
    [9, 0, 0]
    """
    if indices is None:
        return RowRange(range(n_rows), n_rows)
    if isinstance(indices, slice):
        try:
            return RowRange(range(*indices.indices(n_rows)), n_rows)
        except (TypeError, ValueError) as error:
            raise OptionError(
                f"indices={indices} is not a slice of whole numbers ({error}).\nUse slice(start, stop, step)."
            ) from error
    if isinstance(indices, range):
        _check_range(indices, n_rows)
        if not indices or min(indices[0], indices[-1]) >= 0:
            return RowRange(indices, n_rows)
        if max(indices[0], indices[-1]) < 0:
            return RowRange(
                range(indices[0] + n_rows, indices[-1] + n_rows + indices.step, indices.step), n_rows
            )
    given = column(indices, "indices")
    rows = _of_mask(given, n_rows) if given.dtype == np.bool else _of_numbers(given, n_rows)
    counted = _as_range(rows)
    return RowList(rows, n_rows) if counted is None else RowRange(counted, n_rows)


def _check_range(rows: range, n_rows: int) -> None:
    """Name the first row of `rows` that lies outside ``[-n_rows, n_rows)``."""
    if not rows or (min(rows[0], rows[-1]) >= -n_rows and max(rows[0], rows[-1]) < n_rows):
        return
    first = rows[0]
    if -n_rows <= first < n_rows:  # it leaves on its way, upwards or downwards
        room = n_rows - first if rows.step > 0 else first + n_rows + 1
        first += rows.step * -(-room // abs(rows.step))
    raise RowIndexError(
        f"indices={rows} has row {first}; the arrays have {n_rows} rows.\n"
        f"Use range({min(max(rows.start, 0), n_rows)}, {n_rows}), or slice(start, stop), "
        "which stops at the end."
    )


def _of_mask(mask: Column, n_rows: int) -> NDArray[Any]:
    if len(mask) != n_rows:
        raise ShapeError(
            f"indices is a mask of {len(mask)} booleans; the arrays have {n_rows} rows.\n"
            "Give one for each row, or row numbers: np.flatnonzero(mask)."
        )
    # Read twice: collecting the pieces of a mask of unknown size would need twice the memory.
    n = sum(int(np.count_nonzero(block)) for _, block in blocks(mask))
    rows = np.empty(n, _smallest(n_rows))
    done = 0
    for start, block in blocks(mask):
        found = np.flatnonzero(block) + start
        rows[done : done + len(found)] = found
        done += len(found)
    return rows


def _of_numbers(given: Column, n_rows: int) -> NDArray[Any]:
    rows = np.empty(len(given), _smallest(n_rows))
    for start, block in blocks(given):
        rows[start : start + len(block)] = normalise_rows(block, n_rows)
    return rows


def _smallest(n_rows: int) -> np.dtype[Any]:
    return np.min_scalar_type(max(n_rows - 1, 0))


def _as_range(rows: NDArray[Any]) -> range | None:
    """Return the range that `rows` are, or None."""
    if len(rows) < 2:
        return range(int(rows[0]), int(rows[0]) + 1) if len(rows) else range(0)
    start, step = int(rows[0]), int(rows[1]) - int(rows[0])
    if step == 0:
        return None
    block = BLOCK_BYTES // 8
    for at in range(0, len(rows), block):
        part = rows[at : at + block]
        if not np.array_equal(part, np.arange(at, at + len(part)) * step + start):
            return None
    return range(start, start + step * len(rows), step)


def _ascend(rows: NDArray[Any]) -> bool:
    block = BLOCK_BYTES // 8
    return all(
        bool(np.all(rows[at + 1 : at + block + 1] > rows[at : at + block][: len(rows) - at - 1]))
        for at in range(0, len(rows), block)
    )
