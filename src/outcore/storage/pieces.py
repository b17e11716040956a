"""Arrays in memory, written to places in a file by a few threads.

Reads from : ndarrays
Hands to   : combination

Guarantees
- A C-contiguous array goes to the file from where it is; of others, each thread copies a piece at a time.
- The file does not depend on the number of threads or the size of the pieces.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import accumulate
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from outcore.storage.copying import flat_view
from outcore.storage.file import PosixFile
from outcore.storage.threads import run_threads

#: Bytes written by one call, between two looks at whether another thread has failed.
PIECE_BYTES = 16 << 20


class Pieces:
    """An array cut into at most `nbytes` each (or one value), in C order.

    Parameters
    ----------
    array : ndarray
        Any strides; at least one value.
    nbytes : int

    Examples
    --------
    >>> [
    ...     (at, piece.tolist())
    ...     for at, piece in map(Pieces(np.arange(6, dtype="i1").reshape(2, 3), 2), range(4))
    ... ]
    [(0, [0, 1]), (2, [2]), (3, [3, 4]), (5, [5])]
    """

    def __init__(self, array: NDArray[Any], nbytes: int) -> None:
        self._array = np.atleast_1d(array)
        shape, item = self._array.shape, int(array.dtype.itemsize)
        # The first axis whose slices fit; what is before it is gone through one index at a time.
        self._axis = next(
            k for k in range(len(shape)) if prod(shape[k + 1 :]) * item <= nbytes or k + 1 == len(shape)
        )
        self._inner = prod(shape[self._axis + 1 :]) * item
        self._leads: int = prod(shape[: self._axis])
        self._length = shape[self._axis]
        self._step = max(1, nbytes // self._inner)
        self._steps: int = -(-self._length // self._step)

    def __len__(self) -> int:
        return self._leads * self._steps

    def __call__(self, number: int) -> tuple[int, NDArray[Any]]:
        """Return where in the bytes of the array the piece begins, and a view of it."""
        lead, step = divmod(number, self._steps)
        low = step * self._step
        index: list[int | slice] = []
        if self._axis:
            index += (int(i) for i in np.unravel_index(lead, self._array.shape[: self._axis]))
        view = self._array[(*index, slice(low, low + self._step))]
        return (lead * self._length + low) * self._inner, view


def write_arrays(
    file: PosixFile,
    placed: Sequence[tuple[NDArray[Any], int]],
    *,
    threads: int,
    copy_bytes: int,
    done: Callable[[int], object],
) -> None:
    """Write each array to its offset.

    Parameters
    ----------
    placed : sequence of (ndarray, int)
        Arrays with at least one value, and where in the file they begin.
    copy_bytes : int
        What each thread may copy at a time, of arrays that are not C-contiguous.
    done : callable
        Told the bytes of each piece that was written; from any of the threads.
    """
    cut = [Pieces(array, PIECE_BYTES if array.flags.c_contiguous else copy_bytes) for array, _ in placed]
    ends = list(accumulate(map(len, cut)))

    def step(job: int) -> None:
        which = bisect_right(ends, job)
        at, piece = cut[which](job - (ends[which - 1] if which else 0))
        # As items without fields: NumPy copies fields only, and would leave what was in memory in the holes.
        whole = np.ascontiguousarray(piece.view(f"V{piece.dtype.itemsize}"))
        file.write(placed[which][1] + at, flat_view(whole))
        done(piece.nbytes)

    if ends:
        run_threads(ends[-1], step, threads)
