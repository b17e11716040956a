"""Index expressions: what of NumPy's is supported on rows outside memory, and what it means.

Hands to   : array.handle

The first axis takes integers, slices, and integer or boolean arrays; the other axes take basic
indices. Everything else raises `SelectionError` with what to type instead.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import Any

import numpy as np

from outcore.errors import RowIndexError, SelectionError
from outcore.layout import Indices, normalise_rows

Basic = int | slice


@dataclass(frozen=True)
class Selection:
    """An index expression, understood.

    Attributes
    ----------
    rows : slice, range or ndarray of int64
        Rows to read, checked; a slice has step 1. A range is not spelled out before the budget was asked.
    lead : tuple of int
        The shape that the first axis becomes: () for an integer, (n,) for a slice.
    rest : tuple of int or slice
        Basic indices for the other axes, one for each, checked.
    """

    rows: slice | range | Indices
    lead: tuple[int, ...]
    rest: tuple[Basic, ...]

    @property
    def n_rows(self) -> int:
        """How many rows are read."""
        return self.rows.stop - self.rows.start if isinstance(self.rows, slice) else len(self.rows)

    def whole_rows(self, shape: tuple[int, ...]) -> bool:
        """Whether nothing is cut away from the rows."""
        return all(index == slice(0, size, 1) for index, size in zip(self.rest, shape[1:], strict=True))


def parse(key: Any, shape: tuple[int, ...]) -> Selection:
    """Understand ``X[key]`` for an array of `shape` with at least one dimension.

    Raises
    ------
    SelectionError
        Not supported outside memory.
    RowIndexError
        An index out of bounds.
    """
    keys = _expand(key if isinstance(key, tuple) else (key,), shape)
    rest = tuple(
        _basic(index, size, axis)
        for axis, (index, size) in enumerate(zip(keys[1:], shape[1:], strict=True), 1)
    )
    first, n_rows = keys[0], shape[0]
    if isinstance(first, slice):
        start, stop, step = _slice_bounds(first, n_rows, 0)
        if step == 1:
            stop = max(start, stop)
            return Selection(slice(start, stop), (stop - start,), rest)
        rows = range(start, stop, step)
        return Selection(rows, (len(rows),), rest)
    if _is_integer(first):
        row = _in_bounds(int(first), n_rows, 0)
        return Selection(slice(row, row + 1), (), rest)
    index = _array_index(first)
    if index.dtype == bool and index.ndim != 1:
        raise SelectionError(
            f"boolean index has {index.ndim} dimensions; on arrays outside memory it has one, for the rows.\n"
            "Read the rows first, then apply the mask to them."
        )
    flat = normalise_rows(index.ravel(), n_rows)
    return Selection(flat, (len(flat),) if index.dtype == bool else index.shape, rest)


def check_scalar_key(key: Any) -> None:
    """Check that `key` is one that NumPy takes for an array without dimensions: ``()`` or ``...``.

    Raises
    ------
    SelectionError
        Anything else.
    """
    inside = key if isinstance(key, tuple) else (key,)
    if inside != () and not (len(inside) == 1 and inside[0] is Ellipsis):
        raise SelectionError(
            f"an array without dimensions is indexed with {key!r}.\nUse X[()] to get its value."
        )


def _expand(keys: tuple[Any, ...], shape: tuple[int, ...]) -> list[Any]:
    for key in keys:
        if key is None:
            raise SelectionError(
                "np.newaxis is not supported on arrays outside memory.\nUse np.expand_dims on the result."
            )
    dots = [i for i, key in enumerate(keys) if key is Ellipsis]
    if len(dots) > 1:
        raise SelectionError("an index can have only one ellipsis ('...').")
    given = len(keys) - len(dots)
    if given > len(shape):
        raise RowIndexError(f"{given} indices were given; the array has {len(shape)} dimensions {shape}.")
    fill = [slice(None)] * (len(shape) - given)
    if dots:
        return [*keys[: dots[0]], *fill, *keys[dots[0] + 1 :]]
    return [*keys, *fill]


def _basic(index: Any, size: int, axis: int) -> Basic:
    if _is_integer(index):
        return _in_bounds(int(index), size, axis)
    if isinstance(index, slice):
        start, stop, step = _slice_bounds(index, size, axis)
        if step > 0:
            return slice(start, max(start, stop), step)
        # Python cannot write "down to and including 0" as a number.
        return slice(start, None if stop < 0 else stop, step) if start > stop else slice(0, 0, 1)
    raise SelectionError(
        f"axis {axis} is indexed with a {type(index).__name__}; arrays outside memory take arrays of\n"
        "indices only on the first axis. Read the rows first: X[rows][:, columns]."
    )


def _array_index(index: Any) -> np.ndarray[Any, Any]:
    if isinstance(index, (list, range, np.ndarray)) or hasattr(index, "__array__"):
        try:
            array = np.asarray(index)
        except ValueError as error:
            raise SelectionError(f"rows are indexed with {index!r}, which is no array: {error}.") from error
        if array.size == 0 and array.dtype == np.float64 and not isinstance(index, np.ndarray):
            array = array.astype(np.int64)  # np.asarray([]) has no better idea
        if array.dtype.kind in "iub":
            return array
    raise SelectionError(
        f"rows are indexed with {index!r} ({type(index).__name__}).\n"
        "Use an integer, a slice, an array of integers or booleans, or a field name."
    )


def _is_integer(index: Any) -> bool:
    if isinstance(index, (bool, np.bool)):
        raise SelectionError(
            "a single True or False is not an index here.\nUse an array of booleans, one for each row."
        )
    try:
        operator.index(index)
    except TypeError:  # an ndarray has __index__ too, and only for a single integer does it answer
        return False
    return not (isinstance(index, np.ndarray) and index.ndim > 0)


def _in_bounds(index: int, size: int, axis: int) -> int:
    if not -size <= index < size:
        raise RowIndexError(f"index {index} is out of bounds for axis {axis} with size {size}.")
    return index + size if index < 0 else index


def _slice_bounds(index: slice, size: int, axis: int) -> tuple[int, int, int]:
    try:
        return index.indices(size)
    except (TypeError, ValueError) as error:
        raise SelectionError(f"axis {axis}: {index} is not a slice of integers ({error}).") from error
