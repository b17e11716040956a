"""From values to storage: casting, broadcasting, and rows that are changed in part.

Reads from : an ndarray or anything array-like
Hands to   : storage.protocol.Storage
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from outcore.array.indexing import Selection
from outcore.array.reading import BLOCK_BYTES, Fields, pick
from outcore.errors import ShapeError
from outcore.layout import Indices
from outcore.storage.protocol import Storage

#: Row numbers that are looked at together when rows are written one by one.
PART_ROWS = 1 << 16


def assign(
    storage: Storage,
    fields: Fields,
    layout: tuple[np.dtype[Any], tuple[int, ...]],
    selection: Selection,
    value: ArrayLike,
) -> None:
    """Do what ``ndarray[selection] = value`` does.

    Parameters
    ----------
    layout : (dtype, tuple of int)
        What one row looks like to the user: after `fields` were selected.

    Raises
    ------
    ShapeError
        `value` does not broadcast; nothing was written.
    """
    dtype, inner = layout
    cut = np.empty((0, *inner), np.uint8)[(slice(None), *selection.rest)].shape[1:]
    values = _broadcast(as_values(value, dtype), (*selection.lead, *cut)).reshape(selection.n_rows, *cut)
    rows = selection.rows
    whole = not fields and all(r == slice(0, n, 1) for r, n in zip(selection.rest, inner, strict=True))
    runs = [(rows.start, rows.stop, 0)] if isinstance(rows, slice) else _runs(rows)
    for start, stop, at in runs:
        part = values[at : at + stop - start]
        if whole:
            _write_whole(storage, start, part, dtype)
        else:
            _change_part(storage, fields, start, part, selection)


def as_values(value: ArrayLike, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Turn what is assigned into an array; tuples are rows of a structured type, as for NumPy."""
    if dtype.names is None or hasattr(value, "__array__"):
        return np.asarray(value)
    return np.asarray(value, dtype)


def _broadcast(value: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    while value.ndim > len(shape) and value.shape[0] == 1:
        value = value[0]
    try:
        return np.broadcast_to(value, shape)
    except ValueError as error:
        raise ShapeError(
            f"a value of shape {value.shape} does not fit rows of shape {shape}; nothing was written."
        ) from error


def _runs(rows: range | Indices) -> Iterator[tuple[int, int, int]]:
    """Cut row numbers into (first row, behind the last row, place in `rows`) of ascending neighbours."""
    # A part at a time: all runs of ``X[::2] = 0`` may need more memory than X.
    for low in range(0, len(rows), PART_ROWS):
        part = np.asarray(rows[low : low + PART_ROWS], np.int64)
        edges = [0, *(np.flatnonzero(np.diff(part) != 1) + 1).tolist(), len(part)]
        for a, b in pairwise(edges):
            yield int(part[a]), int(part[a]) + b - a, low + a


def _write_whole(storage: Storage, start: int, values: NDArray[Any], dtype: np.dtype[Any]) -> None:
    if values.dtype == dtype and values.flags.c_contiguous:
        storage.write_rows(start, values)
        return
    # Cast and broadcast a block at a time: the value may be a single number for a million rows.
    band = storage.band_rows
    step = max(BLOCK_BYTES // max(storage.row_bytes, 1) // band * band, band)
    first = min(band - start % band, len(values)) if start % band else 0
    for low, high in pairwise([*([0] if first else []), *range(first, len(values), step), len(values)]):
        storage.write_rows(start + low, np.ascontiguousarray(values[low:high], dtype))


def _change_part(
    storage: Storage, fields: Fields, start: int, values: NDArray[Any], selection: Selection
) -> None:
    # Read, change, write: rows are the unit of writing, so two processes may not change parts of one row.
    step = max(1, BLOCK_BYTES // max(storage.row_bytes, 1))
    for low in range(0, len(values), step):
        count = min(step, len(values) - low)
        block = np.empty((1, count, *storage.shape[1:]), storage.dtype)
        storage.read_windows(np.array([start + low]), count, block)
        pick(block[0], fields)[(slice(None), *selection.rest)] = values[low : low + count]
        storage.write_rows(start + low, block[0])
