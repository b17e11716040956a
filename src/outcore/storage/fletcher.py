"""HDF5's checksum of a chunk.

Hands to   : storage.codecs
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def fletcher32(data: NDArray[np.uint8]) -> int:
    """HDF5's variant of the checksum: big-endian words, an odd last byte as a high byte.

    Both sums are formed modulo 65535 with 65535 in the place of 0, unless all bytes are 0. The second
    sum counts word i (N - i) times. With the words laid out in rows of equal length it follows from
    the sums of the rows and of the columns, each of which is one pass without a running total.
    """
    count = len(data) // 2
    width = max(1 << (count.bit_length() // 2), 1)
    height = count // width
    words = data[: count * 2].view(">u2").astype(np.uint32)
    table = words[: height * width].reshape(height, width)
    rows = table.sum(axis=1, dtype=np.uint64)
    columns = table.sum(axis=0, dtype=np.uint64)
    tail = [int(word) for word in words[height * width :]]
    if len(data) % 2:
        tail.append(int(data[-1]) << 8)
    total = height * width + len(tail)
    first = int(rows.sum())
    # Sums of position x value, in Python's integers: each array is only as long as a square root.
    later = sum(row * width * at for at, row in enumerate(rows.tolist()))
    later += sum(column * at for at, column in enumerate(columns.tolist()))
    for at, word in enumerate(tail, height * width):
        first += word
        later += word * at
    return _folded(total * first - later) << 16 | _folded(first)


def _folded(value: int) -> int:
    return (value - 1) % 65535 + 1 if value else 0
