"""How good a shuffle is, as one number: how much more a batch's mean varies than after a full shuffle.

Reads from : blocks.streaming (values, for the share between blocks)
Hands to   : loader.loading

Guarantees
- `predict` is exact for the mean of a batch that lies in one buffer of whole blocks, over all orders.
- `between_share` reads the values once; its memory is that of a piece of them.

A full shuffle has 1. Sorted data in blocks are the worst case: all of the variance is between blocks, and a
batch of m samples out of G blocks has about 1 + m / G. Data in random order have about 1, however few blocks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from outcore.array.opening import asarray
from outcore.blocks.finite import refuse_nonfinite
from outcore.blocks.streaming import row_blocks
from outcore.errors import DTypeError, OptionError, ShapeError

#: Above this a shuffle's text says how to improve it.
GOOD = 1.15
#: Values that are looked at together.
PIECE = 1 << 17


@dataclass(frozen=True)
class ShuffleQuality:
    """How good a shuffle is.

    Attributes
    ----------
    kind : str
        "full", "block" or "none".
    block_size, blocks_per_buffer, batch_size : int
        Samples of a block, blocks of a buffer, samples of a batch.
    between : float
        The share of the variance that lies between blocks: 1 for sorted data, about 1 / block_size for data
        in random order.
    variance_ratio : float
        Variance of the mean of a batch, divided by that after a full shuffle.
    """

    kind: str
    block_size: int
    blocks_per_buffer: int
    batch_size: int
    between: float
    variance_ratio: float

    def __str__(self) -> str:
        m, ratio = self.batch_size, f"{self.variance_ratio:.3f}"
        if self.kind == "full":
            how = "Full shuffle: every sample can be anywhere."
        elif self.kind == "none":
            how = f"No shuffle: each batch is {m} neighbouring samples."
        else:
            how = (
                f"Block shuffle: each batch is {m} samples out of {self.blocks_per_buffer} blocks of"
                f" {self.block_size}; between blocks lies {self.between:.3g} of the variance."
            )
        cure = ""
        if self.kind == "block" and self.variance_ratio > GOOD:
            cure = "; more memory= or a smaller block_size= lowers it"
        return f"{how}\nThe variance of a batch's mean is {ratio} times that after a full shuffle{cure}."


def predict(n: int, block_size: int, blocks_per_buffer: int, batch_size: int, between: float) -> float:
    """Return the variance of the mean of a batch, divided by that after a full shuffle.

    Parameters
    ----------
    n, block_size, blocks_per_buffer, batch_size : int
    between : float
        The share of the variance between blocks, of blocks of this size; see `between_share`. All of it is
        between blocks of one sample, whatever is given.

    Returns
    -------
    float
        1 where all samples are in one buffer, or in one batch.

    Notes
    -----
    With B blocks in all, G of them and M samples in a buffer, batches of m, and variance 1: the mean of a
    buffer has the variance ``v = between / G * (1 - (G-1) / (B-1))``, and a batch out of it
    ``v + (1 - v) / m * (1 - (m-1) / (M-1))``. A full shuffle is a single buffer. A batch larger than a
    buffer counts as a buffer of its size.

    Examples
    --------
    >>> round(predict(4000 * 32, 32, 64, 64, 1.0), 2)
    1.94
    >>> round(predict(4000 * 32, 32, 2560, 256, 1.0), 2)
    1.03
    """
    if block_size == 1:
        between = 1.0
    n_blocks = -(-n // block_size)
    m = min(batch_size, n)
    g = min(max(float(blocks_per_buffer), m / block_size), float(n_blocks))
    if g >= n_blocks or m >= n:
        return 1.0
    buffer_mean = between / g * (1 - (g - 1) / (n_blocks - 1))
    rest = 0.0
    if m < g * block_size:
        rest = (1 - buffer_mean) / m * (1 - (m - 1) / (g * block_size - 1))
    return (buffer_mean + rest) / ((1 - (m - 1) / (n - 1)) / m)


def between_share(values: Any, block_size: int) -> float:
    """Return the share of the variance of `values` that lies between blocks of neighbouring ones.

    Parameters
    ----------
    values : Array or array-like, shape (n,)
        Numbers, one for each sample: labels, or one column of the features.
    block_size : int

    Returns
    -------
    float
        From 0 to 1; 0 where all values are equal.

    Raises
    ------
    ShapeError
        `values` has not one dimension.
    DTypeError
        They are no real numbers.
    NonFiniteError
        NaN or infinity; the first such sample is named.
    OptionError
        `block_size` is not positive.

    Notes
    -----
    Memory: about 6 MB, whatever n.

    Examples
    --------
    >>> between_share(np.arange(1000), 10) > 0.999
    True
    """
    array = asarray(values)
    if array.ndim != 1:
        raise ShapeError(
            f"values has the shape {array.shape}: there must be one number for each sample.\n"
            "Give one column, such as values[:, 0]."
        )
    if array.dtype.kind not in "biuf":
        raise DTypeError(
            f"values of dtype {array.dtype} have no variance.\nGive numbers, such as labels from 0."
        )
    if block_size < 1:
        raise OptionError(
            f"block_size={block_size}: a block has at least one sample.\nUse an integer from 1."
        )
    squares = _Squares(block_size)
    pieces = row_blocks(
        array, what="shuffle_quality()", row_extra_bytes=40, block_bytes=PIECE * array.dtype.itemsize
    )
    for start, piece in pieces:
        squares.add(start, piece)
    return squares.share()


class _Squares:
    """Sums of squares within and between blocks, of values that come in pieces of any size.

    All sums are of distances from the mean of the first piece: for values around 1e9 with deviation 1,
    squares of the values themselves have no correct digit left.
    """

    def __init__(self, block_size: int) -> None:
        self._block_size = block_size
        self._count = 0
        self._shift = self._sum = self._squares = 0.0
        #: Sum of (sum of a block)**2 / (its values), of the blocks that are complete.
        self._blocks = 0.0
        #: The block that is not: what it has so far.
        self._open_sum, self._open_count = 0.0, 0

    def add(self, start: int, piece: NDArray[Any]) -> None:
        values = piece.astype(np.float64)
        total = values.sum()
        if not np.isfinite(total):
            refuse_nonfinite(piece, start, "values")
        if not self._count:
            self._shift = float(total / len(values))
        values -= self._shift
        self._count += len(values)
        self._sum += float(values.sum())
        self._squares += float(values @ values)
        first = min(self._block_size - self._open_count, len(values))
        self._open_sum += float(values[:first].sum())
        self._open_count += first
        if self._open_count < self._block_size:
            return
        self._close()
        rest = values[first:]
        whole = len(rest) // self._block_size
        sums = rest[: whole * self._block_size].reshape(whole, self._block_size).sum(axis=1)
        self._blocks += float(sums @ sums) / self._block_size
        tail = rest[whole * self._block_size :]
        self._open_sum, self._open_count = float(tail.sum()), len(tail)

    def share(self) -> float:
        if self._open_count:
            self._close()
        if not self._count:
            return 0.0
        common = self._sum * self._sum / self._count
        total = self._squares - common
        # What rounding leaves of equal values is no variance.
        if total <= 1e-13 * self._squares or total <= 0:
            return 0.0
        return min(max((self._blocks - common) / total, 0.0), 1.0)

    def _close(self) -> None:
        self._blocks += self._open_sum * self._open_sum / self._open_count
        self._open_sum, self._open_count = 0.0, 0
