"""Rows, windows and runs: the arithmetic of reading, without any reading.

Hands to   : array (checking what users ask for), storage (what to read together)

Everything here is pure: integers and integer arrays in, the same out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from outcore.errors import RowIndexError, SelectionError, ShapeError

Indices = NDArray[np.int64]

#: Two reads closer than this cost the device no more than one: the kernel moves whole pages.
PAGE_BYTES = 4096


def normalise_rows(rows: ArrayLike, n_rows: int) -> Indices:
    """Turn `rows` into non-negative int64 indices below `n_rows`; negative ones count from the end.

    Raises
    ------
    SelectionError
        `rows` is not one-dimensional, or neither integer nor boolean.
    RowIndexError
        A row lies outside the array; the first such is named.

    Examples
    --------
    >>> normalise_rows([-1, 0], 5).tolist()
    [4, 0]
    """
    given = np.asarray(rows)
    if given.ndim != 1:
        raise SelectionError(
            f"rows have {given.ndim} dimensions {given.shape}; expected one dimension.\n"
            "Flatten them first: X.take(rows.ravel())."
        )
    if given.dtype == bool:
        if len(given) != n_rows:
            raise RowIndexError(
                f"boolean index has {len(given)} entries; the array has {n_rows} rows.\n"
                "Give one entry for each row."
            )
        return np.flatnonzero(given).astype(np.int64, copy=False)
    if given.size == 0:
        return np.empty(0, np.int64)
    if given.dtype.kind not in "iu":
        raise SelectionError(
            f"rows have dtype {given.dtype}; expected integers or booleans.\nUse rows.astype(np.int64)."
        )
    if given.dtype.kind == "u" and int(given.max()) >= n_rows:
        first = int(given[np.argmax(given >= n_rows)])
        raise _outside("row", first, n_rows)
    result = given.astype(np.int64, copy=True)
    low, high = int(result.min()), int(result.max())
    if low < -n_rows or high >= n_rows:
        first = int(result[np.argmax((result < -n_rows) | (result >= n_rows))])
        raise _outside("row", first, n_rows)
    if low < 0:
        result[result < 0] += n_rows
    return result


def normalise_starts(starts: ArrayLike, length: Any, n_rows: int) -> Indices:
    """Check that every window ``[s, s + length)`` lies inside ``[0, n_rows)``; return int64 starts.

    Negative starts are refused: a window that begins before the first row is nearly always a bug.

    Raises
    ------
    ShapeError
        `length` is not a positive integer.
    SelectionError
        `starts` is not a one-dimensional array of integers.
    RowIndexError
        A window leaves the array; the first such start is named.
    """
    if isinstance(length, bool) or not isinstance(length, (int, np.integer)) or length < 1:
        raise ShapeError(
            f"window length is {length!r}; expected a whole number of rows, 1 or more.\n"
            "Use length=1 or X.take."
        )
    given = np.asarray(starts)
    if given.ndim != 1 or (given.size and given.dtype.kind not in "iu"):
        raise SelectionError(
            f"starts have shape {given.shape} and dtype {given.dtype}; expected a list of integers.\n"
            "Use starts.ravel().astype(np.int64)."
        )
    last = n_rows - int(length)
    if given.size == 0:
        return np.empty(0, np.int64)
    if int(given.min()) < 0 or int(given.max()) > last:
        at = int(np.argmax((given < 0) | (given > last))) if last >= 0 else 0
        raise RowIndexError(
            f"window {at} starts at row {int(given[at])} and has {length} rows; there are {n_rows}.\n"
            + (f"Starts must lie in [0, {last}]." if last >= 0 else f"Use a length of at most {n_rows}.")
        )
    return given.astype(np.int64, copy=True)


def _outside(what: str, value: int, n_rows: int) -> RowIndexError:
    return RowIndexError(
        f"{what} {value} is out of bounds; the array has {n_rows} rows.\n"
        + (
            f"Valid rows are {-n_rows} to {n_rows - 1}."
            if n_rows
            else "An array without rows has nothing to take."
        )
    )


@dataclass(frozen=True)
class Runs:
    """Sorted reads of one length, cut into runs that one read each can serve.

    Attributes
    ----------
    first : ndarray of int64, shape (n_runs + 1,)
        Run r holds the reads ``first[r]`` to ``first[r + 1]``.
    begin, nbytes : ndarray of int64, shape (n_runs,)
        The bytes of the file that run r covers.
    plain : bool
        No read shares a byte with its neighbour and no gap is bridged: bytes can go straight
        from the file to their places.
    """

    first: Indices
    begin: Indices
    nbytes: Indices
    plain: bool


def cut_runs(offsets: Indices, nbytes: int, *, gap: int = PAGE_BYTES) -> Runs:
    """Cut sorted byte offsets of reads of `nbytes` each into runs.

    Reads that overlap, touch, or leave less than `gap` bytes between them share a run.

    Examples
    --------
    >>> runs = cut_runs(np.array([0, 8, 5000]), 8, gap=100)
    >>> runs.begin.tolist(), runs.nbytes.tolist(), runs.plain
    ([0, 5000], [16, 8], True)
    """
    between = np.diff(offsets) - nbytes
    breaks = np.flatnonzero(between >= gap) + 1
    first = np.concatenate(([0], breaks, [len(offsets)])).astype(np.int64)
    begin = offsets[first[:-1]]
    last = offsets[first[1:] - 1] + nbytes
    plain = bool(np.all((between == 0) | (between >= gap)))
    return Runs(first, begin, last - begin, plain)


def check_out(out: Any, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return `out` if results of `shape` and `dtype` can be written into it.

    Raises
    ------
    ShapeError
        `out` is not an ndarray, or differs in shape, dtype, or is read-only.
    """
    if not isinstance(out, np.ndarray):
        raise _misfit(f"is a {type(out).__name__}", shape, dtype)
    if out.shape != shape or out.dtype != dtype:
        raise _misfit(f"has shape {out.shape} and dtype {out.dtype}", shape, dtype)
    if not out.flags.writeable:
        raise _misfit("is read-only", shape, dtype)
    return out


def _misfit(what: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> ShapeError:
    return ShapeError(
        f"out {what}; expected an ndarray of shape {shape} and dtype {dtype} that can be written.\n"
        f"Use out=np.empty({shape}, {dtype.str!r})."
    )
