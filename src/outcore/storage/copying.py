"""Gather byte ranges of memory, a mapped file included, into one buffer.

Hands to   : storage.gather (hot files), storage.memory

Guarantees
- Memory beyond `out` is `COPY_BYTES` a thread, however many and however long the ranges are.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from outcore.layout import Indices
from outcore.storage.threads import run_threads

#: Bytes that one thread copies at a time.
COPY_BYTES = 1 << 20
#: Copying less takes a few milliseconds; where cores are busy, waiting for a second thread takes longer.
SHARED_BYTES = 32 << 20
#: More threads than this do not copy faster on any memory bus met so far.
THREADS = 4

Bytes = NDArray[np.uint8]


def as_bytes(array: NDArray[Any], n: int, nbytes: int) -> NDArray[np.uint8]:
    """View a C-contiguous array as `n` rows of `nbytes` bytes each."""
    # Through uint8: dates and structured types with dates have no buffer of their own.
    return np.ndarray((n, nbytes), np.uint8, flat_view(array) if array.nbytes else b"")


def flat_view(array: NDArray[Any]) -> memoryview:
    """View a C-contiguous array as bytes, as system calls want them."""
    return memoryview(array.reshape(-1).view(np.uint8).data)


def copy_ranges(
    source: Bytes,
    base: int,
    unit: int,
    starts: Indices,
    out: Bytes,
    check: Callable[[], None] = lambda: None,
) -> None:
    """Fill ``out[i]`` with the ``out.shape[1]`` bytes of `source` from ``base + starts[i] * unit`` on.

    Parameters
    ----------
    check : callable
        Called before every piece that is copied; may raise.
    """
    n, nbytes = out.shape
    threads = min(os.cpu_count() or 1, THREADS) if out.nbytes >= SHARED_BYTES else 1
    if nbytes > COPY_BYTES:
        pieces = -(-nbytes // COPY_BYTES)

        def copy_piece(job: int) -> None:
            slot, piece = divmod(job, pieces)
            low, high = piece * COPY_BYTES, min((piece + 1) * COPY_BYTES, nbytes)
            begin = base + int(starts[slot]) * unit
            check()
            out[slot, low:high] = source[begin + low : begin + high]

        run_threads(n * pieces, copy_piece, threads)
        return
    size = COPY_BYTES // nbytes
    copy = _copier(source, base, unit, starts, out)

    def copy_part(job: int) -> None:
        check()
        copy(job * size, min((job + 1) * size, n))

    run_threads(-(-n // size), copy_part, threads)


def _copier(source: Bytes, base: int, unit: int, starts: Indices, out: Bytes) -> Callable[[int, int], object]:
    """Return ``copy(low, high)``, which fills ``out[low:high]`` from bytes in memory.

    The way depends on the sizes: `numpy.take` moves whole rows fastest, and windows of rows that are not too
    short are just more rows. A slice costs about 300 ns, and its threads wait for each other more often.
    """
    nbytes = out.shape[1]
    if nbytes % unit == 0 and (nbytes == unit or unit >= 1024):
        length = nbytes // unit
        table = source[base : base + (len(source) - base) // unit * unit].reshape(-1, unit)
        within = np.arange(length)

        def take(low: int, high: int) -> None:
            rows = (starts[low:high, None] + within).ravel() if length > 1 else starts[low:high]
            # mode="clip" only because "raise" copies through a buffer; all rows were checked.
            table.take(rows, axis=0, out=out[low:high].reshape(-1, unit), mode="clip")

        return take
    if nbytes >= 8192:

        def slices(low: int, high: int) -> None:
            for slot, start in enumerate(starts[low:high].tolist(), low):
                begin = base + start * unit
                out[slot] = source[begin : begin + nbytes]

        return slices

    def items(low: int, high: int) -> None:
        # One void item a range: NumPy then moves whole ranges instead of single bytes.
        ranges = np.ndarray((len(source) - nbytes + 1,), f"V{nbytes}", source, 0, (1,))
        out[low:high].view(f"V{nbytes}")[:, 0] = ranges[base + starts[low:high] * unit]

    return items
