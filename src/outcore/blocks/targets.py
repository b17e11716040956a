"""Where values for each row go: memory, shared memory or an array on disk; written by every worker.

Reads from : array.handle, array.creating
Hands to   : statistics that have a value for each row, through `Share`

Guarantees
- What the user gave as `out` is checked before the first row is read. It does not overlap what is read,
  unless each row is written where it was read from, and only after that.
- An array that the pass creates appears under its name when the pass has succeeded, and not at all otherwise.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from outcore.array.creating import create
from outcore.array.handle import Array
from outcore.array.opening import asarray
from outcore.blocks.overlap import overlap
from outcore.blocks.statistic import RowTarget, Share
from outcore.errors import OptionError, ReadOnlyError, ShapeError
from outcore.shared.sharedarray import SharedArray
from outcore.shared.sharing import shared_empty


class _InMemory(RowTarget):
    """An ndarray that the workers see: in this process, or in shared memory."""

    def __init__(self, values: NDArray[Any]) -> None:
        self.values = values

    def write(self, start: int, values: NDArray[Any]) -> None:
        self.values[start : start + len(values)] = values

    def whole(self) -> Any:
        return self.values


class _Staged(_InMemory):
    """Shared memory that stands in for an ndarray which workers cannot see."""

    def __init__(self, values: SharedArray, out: NDArray[Any] | None) -> None:
        super().__init__(values)
        self._out = out

    def __reduce__(self) -> tuple[Any, ...]:
        return _InMemory, (self.values,)

    def whole(self) -> Any:
        if self._out is None:
            return self.values.view(np.ndarray)
        self._out[...] = self.values
        return self._out


class _OnDisk(RowTarget):
    """An array on disk, written in place."""

    def __init__(self, array: Array) -> None:
        self._array = array

    def write(self, start: int, values: NDArray[Any]) -> None:
        self._array[start : start + len(values)] = values

    def whole(self) -> Any:
        return self._array


class Targets(Share):
    """Makes the targets of one pass, counts their bytes, and finishes those on disk.

    Parameters
    ----------
    n_rows : int
    read : sequence of Array
        What the pass reads.
    shares_memory : bool
        Whether workers see this process's memory.
    in_place : bool
        Whether a row that was read may be written over.
    making : bool
        False while only a plan is wanted: bytes are counted, nothing is made.
    """

    def __init__(
        self, n_rows: int, read: Sequence[Array], *, shares_memory: bool, in_place: bool, making: bool
    ) -> None:
        self._n_rows = n_rows
        self._read = read
        self._shares_memory = shares_memory
        self._in_place = in_place
        self.making = making
        self._created: list[Array] = []
        self.new_bytes = 0

    def target(self, out: Any, row_shape: tuple[int, ...], dtype: DTypeLike) -> RowTarget:
        """See `Share.target`."""
        shape, kind = (self._n_rows, *row_shape), np.dtype(dtype)
        if isinstance(out, (str, os.PathLike)):
            if not self.making:
                return _Nowhere()
            array = create(out, shape, kind)
            self._created.append(array)
            return _OnDisk(array)
        if out is not None:
            _check(out, shape, kind)
            self._refuse_overlap(out)
        if isinstance(out, Array):
            array = out
            if array.mode != "r+":
                raise ReadOnlyError(
                    f'{array.address} was opened with mode="{array.mode}" and is to take the result.\n'
                    f'Open it to write: oc.open({array.address!r}, mode="r+"), or make it with oc.create.'
                )
            if not self._shares_memory and array.spec.kind == "hdf5":
                raise OptionError(
                    f"{array.address} has chunks, which one process writes; the workers are others.\n"
                    "Use threads, executor=None, or an array without chunks, oc.create(address, shape)."
                )
            return _OnDisk(array)
        size = prod(shape) * kind.itemsize
        if isinstance(out, SharedArray) or (out is not None and self._shares_memory):
            return _InMemory(out)
        self.new_bytes += size
        if not self.making:
            return _Nowhere()
        if self._shares_memory:
            return _InMemory(np.empty(shape, kind))
        return _Staged(shared_empty(shape, kind), out)

    def _refuse_overlap(self, out: Any) -> None:
        placed = asarray(out)
        for array in self._read:
            found = overlap(array, placed)
            if found is None or (found == "same rows" and self._in_place):
                continue
            why = (
                "a block that is worked on again, or by another statistic, would be read as it was written"
                if found == "same rows"
                else "some rows would be read as they were written"
            )
            raise OptionError(
                f"out overlaps what is read ({array!r}): {why}.\n"
                f"Give an array of its own, out=np.empty({out.shape}, {out.dtype.name!r})."
            )

    def commit(self) -> None:
        """Let created arrays appear."""
        while self._created:
            self._created.pop(0).close()

    def discard(self) -> None:
        """Give up created arrays."""
        while self._created:
            self._created.pop().discard()


class _Nowhere(RowTarget):
    """Stands where a target would, in a plan."""

    def write(self, start: int, values: NDArray[Any]) -> None:
        raise AssertionError("a plan writes nothing")

    def whole(self) -> Any:
        return None


def _check(out: Any, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    if not isinstance(out, (np.ndarray, Array)):
        raise ShapeError(
            f"out is a {type(out).__name__}, which cannot take rows.\n"
            "Give an ndarray, an outcore.Array that can be written, or the address of an array to create."
        )
    if out.shape != shape:
        raise ShapeError(
            f"out has shape {out.shape}; the result has shape {shape}.\nUse out=np.empty({shape})."
        )
    if not np.can_cast(dtype, out.dtype, "same_kind"):
        raise ShapeError(
            f"out has dtype {out.dtype}; the result has dtype {dtype}, which does not fit into it.\n"
            f"Use out=np.empty({shape}, {dtype.name!r})."
        )
    if isinstance(out, np.ndarray) and not out.flags.writeable:
        raise ReadOnlyError("out is read-only.\nGive an array that can be written: out=np.empty(...).")
