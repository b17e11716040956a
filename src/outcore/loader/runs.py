"""Runs: neighbouring rows that belong together, as ranges ``[start, stop)``.

Reads from : anything with one value for each row, a block at a time
Hands to   : loader.indices (consecutive rows), loader.window and loader.splitting (groups)

Guarantees
- Values are read once, in blocks of at most 1 MB; what stays is O(runs).
- Neighbouring NaNs (and NaTs) are one group, as in ``np.unique``.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from outcore.array.handle import Array
from outcore.array.opening import asarray
from outcore.blocks.streaming import row_blocks
from outcore.errors import DTypeError, OptionError, ShapeError

#: Larger blocks are no faster, and a column of a hundred million values must not need its own size again.
BLOCK_BYTES = 1 << 20

Column = Array | NDArray[np.object_]


def column(values: Any, what: str) -> Column:
    """Open one value for each row, wherever they are.

    Parameters
    ----------
    values : Array, address, memmap, h5py.Dataset, ndarray or array-like, shape (n,)
        Python objects (text from pandas, say) stay the ndarray that they are in.
    what : str
        The name of the argument, for errors.

    Raises
    ------
    OptionError
        No array can be made of `values`.
    ShapeError
        Not one-dimensional.
    """
    known = isinstance(values, (Array, str, os.PathLike)) or isinstance(
        getattr(values, "dtype", None), np.dtype
    )
    if not known:  # lists, and the columns of table libraries
        try:
            values = np.asarray(values)
        except ValueError as error:
            raise OptionError(
                f"{what}: no array can be made of this {type(values).__name__} ({error}).\n"
                "Give one value for each row."
            ) from error
    objects = getattr(values, "dtype", None) == np.dtype(object)
    opened: Column = np.asarray(values) if objects else asarray(values)
    if opened.ndim != 1:
        raise ShapeError(
            f"{what} has shape {opened.shape}; expected one dimension, one value for each row.\n"
            f"Use {what}.ravel() if that is what it means."
        )
    return opened


def blocks(values: Column) -> Iterator[tuple[int, NDArray[Any]]]:
    """Read a column in blocks; each is valid until the next is asked for."""
    if isinstance(values, Array):
        yield from row_blocks(values, what="reading one value for each row", block_bytes=BLOCK_BYTES)
        return
    step = BLOCK_BYTES // values.itemsize
    for start in range(0, len(values), step):
        yield start, values[start : start + step]


@dataclass(frozen=True)
class GroupRuns:
    """Where equal neighbouring values begin.

    Attributes
    ----------
    starts : ndarray of int64, shape (k,)
        First row of each run; the first is 0.
    values : ndarray of shape (k,)
        The value of each run.
    """

    starts: NDArray[np.int64]
    values: NDArray[Any]


def group_runs(groups: Any, n_rows: int, *, unit: str = "rows") -> GroupRuns:
    """Find the runs of equal values in `groups`.

    Raises
    ------
    ShapeError
        Not one value for each of `n_rows`.
    DTypeError
        Values that cannot be compared.

    Examples
    --------
    >>> group_runs(["a", "a", "b", "a"], 4).starts.tolist()
    [0, 2, 3]
    """
    opened = column(groups, "groups")
    if len(opened) != n_rows:
        raise ShapeError(
            f"groups has {len(opened)} values; there are {n_rows} {unit}.\n"
            f"Give one value for each of the {unit}, groups of shape ({n_rows},)."
        )
    starts, values = [], []
    last: NDArray[Any] | None = None
    for start, block in blocks(opened):
        new = np.flatnonzero(_differ(block[1:], block[:-1])) + 1
        if last is None or _differ(block[:1], last)[0]:
            new = np.concatenate(([0], new))
        starts.append(new + start)
        values.append(block[new])
        last = block[-1:].copy()
    if last is None:
        return GroupRuns(np.empty(0, np.int64), np.empty(0, opened.dtype))
    return GroupRuns(np.concatenate(starts).astype(np.int64, copy=False), np.concatenate(values))


def _differ(a: NDArray[Any], b: NDArray[Any]) -> NDArray[np.bool]:
    """Compare element by element; NaN equals NaN."""
    if a.dtype.names:
        # Field by field: in one comparison, a NaN in one field would hide what the others say.
        changed = np.zeros(len(a), np.bool)
        for name in a.dtype.names:
            changed |= _differ(a[name], b[name])
        return changed
    try:
        changed = np.asarray(a != b, np.bool)
        if a.dtype.kind in "fcmMO" and changed.any():
            changed &= np.asarray(a == a, np.bool) | np.asarray(b == b, np.bool)
    except (TypeError, ValueError) as error:
        raise DTypeError(
            f"groups holds values that cannot be compared ({error}).\n"
            "Use numbers or text: np.unique(groups, return_inverse=True)[1] has one number for each group."
        ) from error
    # A field may hold several values for each row.
    return np.asarray(changed.any(axis=tuple(range(1, changed.ndim))), np.bool)


def consecutive(rows: NDArray[Any]) -> NDArray[np.int64]:
    """Find the runs of consecutive numbers in ascending `rows` without repeats.

    Returns
    -------
    ndarray of int64, shape (k, 2)
        Ranges ``[start, stop)``, ascending, no two of which adjoin.

    Examples
    --------
    >>> consecutive(np.array([3, 4, 5, 9])).tolist()
    [[3, 6], [9, 10]]
    """
    if not len(rows):
        return np.empty((0, 2), np.int64)
    step = BLOCK_BYTES // 8
    parts = [
        # Ascending, so the difference of unsigned numbers does not wrap around.
        np.flatnonzero(np.diff(rows[start : start + step + 1]) != 1) + (start + 1)
        for start in range(0, len(rows), step)
    ]
    first = np.concatenate([np.zeros(1, np.int64), *parts])
    last = np.append(first[1:], len(rows)) - 1
    return ranges(rows[first].astype(np.int64), rows[last].astype(np.int64))


def ranges(first: NDArray[np.int64], last: NDArray[np.int64] | None = None) -> NDArray[np.int64]:
    """Put ranges ``[first, last + 1)`` side by side; without `last`, each is of one row."""
    return np.stack([first, (first if last is None else last) + 1], axis=1)


def cut_at(runs: NDArray[np.int64], cuts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Cut ascending, disjoint `runs` in two wherever one of the ascending `cuts` lies inside.

    Examples
    --------
    >>> cut_at(np.array([[0, 5], [8, 9]]), np.array([3, 8])).tolist()
    [[0, 3], [3, 5], [8, 9]]
    """
    if not len(cuts) or not len(runs):
        return runs
    at = np.searchsorted(runs[:, 0], cuts, side="right") - 1
    inside = cuts[(at >= 0) & (cuts > runs[at, 0]) & (cuts < runs[at, 1])]
    # The runs are disjoint, so the starts and the stops keep each other company when sorted apart.
    pieces = np.empty((len(runs) + len(inside), 2), np.int64)
    for side in (0, 1):
        pieces[:, side] = np.sort(np.concatenate((runs[:, side], inside)))
    return pieces


def digest(numbers: NDArray[Any]) -> str:
    """Return a short hash of whole numbers, the same whatever type they are kept in."""
    hashed = hashlib.blake2b(digest_size=8)
    flat = numbers.reshape(-1)
    step = BLOCK_BYTES // 8
    for start in range(0, len(flat), step):
        hashed.update(flat[start : start + step].astype("<i8").tobytes())
    return f"blake2b {hashed.hexdigest()}"
