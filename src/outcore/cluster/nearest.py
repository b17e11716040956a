"""The nearest centre of each row.

Hands to   : cluster.lloyd, cluster.farthest, cluster.transforming

Guarantees
- Of centres at the same distance the first is taken, as in scikit-learn.
- Rows are worked on in pieces that stay in the cache of one core; which pieces, depends on the block alone.
- With a `shift`, a common mean of rows and centres costs no digits: distances come from |c|² - 2xc, whose
  terms are as large as the mean and whose difference is not.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from outcore.blocks.finite import refuse_nonfinite
from outcore.blocks.statistic import Block

#: Rows and distances of a piece take about so much each.
PIECE_BYTES = 1 << 20
MIN_ROWS, MAX_ROWS = 256, 8192
#: Rows are shifted where the mean's square is more than so many times their variance: two digits.
SHIFT_FROM = 100.0


@dataclass(frozen=True, eq=False)
class Piece:
    """Some rows of a block, and their nearest centres.

    Attributes
    ----------
    start : int
        First row, counted from the start of the block.
    rows : ndarray of float64, shape (n, d)
        Less the shift.
    labels : ndarray of intp, shape (n,)
    gaps : ndarray of float64, shape (n, k)
        Squared distances to all centres, less the square of the row.
    """

    start: int
    rows: NDArray[np.float64]
    labels: NDArray[np.intp]
    gaps: NDArray[np.float64]

    @property
    def part(self) -> slice:
        """The rows of the block."""
        return slice(self.start, self.start + len(self.rows))


class Nearest:
    """Centres, ready to be compared with rows.

    Parameters
    ----------
    centres : ndarray of float64, shape (k, d)
        Less the shift.
    shift : ndarray of float64, shape (d,), optional
        What to take from the rows before they are compared.
    """

    def __init__(self, centres: NDArray[np.float64], shift: NDArray[np.float64] | None = None) -> None:
        self.centres = np.ascontiguousarray(centres)
        self.shift = shift
        self._shape: tuple[int, int] = self.centres.shape
        self._factor = np.ascontiguousarray(-2.0 * self.centres.T)
        self.squares = np.einsum("ij,ij->i", self.centres, self.centres)

    @property
    def nbytes(self) -> int:
        """Bytes of the centres as they are held."""
        k, d = self._shape
        return 16 * k * d + 8 * k

    def step(self) -> int:
        """Return the rows of a piece."""
        k, d = self._shape
        # Sums of a piece are added up as a whole matrix: with many centres that wants many rows.
        return max(MIN_ROWS, min(MAX_ROWS, PIECE_BYTES // (8 * max(d, k))), min(k // 2, 2048))

    def piece_bytes(self, block_rows: int) -> int:
        """Count the temporaries of `pieces`."""
        k, d = self._shape
        return min(self.step(), block_rows) * 8 * (k + 1 + (d if self.shift is not None else 0))

    def _shifted(self, block: Block, start: int) -> NDArray[np.float64]:
        """Return a piece of the block's rows, less the shift; valid until the next call."""
        rows = block.values[start : start + self.step()]
        if self.shift is None:
            return rows
        shifted: NDArray[np.float64] = block.scratch("shifted", rows.shape)
        return np.subtract(rows, self.shift, out=shifted)

    def pieces(self, block: Block, *, look: bool = False) -> Iterator[Piece]:
        """Yield the rows of a block in pieces, each valid until the next one.

        Parameters
        ----------
        block : Block
        look : bool
            Whether to look out for NaN and infinity.

        Raises
        ------
        NonFiniteError
            A row holds one of them.
        """
        for start in range(0, len(block), self.step()):
            rows = self._shifted(block, start)
            gaps = block.scratch("gaps", (len(rows), len(self.centres)))
            labels = block.scratch("labels", (len(rows),), np.intp)
            with np.errstate(invalid="ignore", over="ignore"):
                np.matmul(rows, self._factor, out=gaps)
                gaps += self.squares
            gaps.argmin(axis=1, out=labels)
            # NaN is the least of a row, and so is minus infinity; plus infinity is where nothing else is.
            if look and not np.isfinite(np.take_along_axis(gaps, labels[:, np.newaxis], axis=1)).all():
                refuse_nonfinite(block.values[start : start + len(rows)], block.start + start)
            yield Piece(start, rows, labels, gaps)

    def squared_distances(self, piece: Piece, block: Block) -> NDArray[np.float64]:
        """Return the squared distance of each row to its centre, from the difference: nothing cancels."""
        apart = block.scratch("apart", piece.rows.shape)
        np.take(self.centres, piece.labels, axis=0, out=apart, mode="clip")  # "raise" would buffer the result
        np.subtract(piece.rows, apart, out=apart)
        found: NDArray[np.float64] = np.vecdot(apart, apart)
        return found


def choose_shift(mean: NDArray[np.float64], variance: float) -> NDArray[np.float64] | None:
    """Return the mean where it is large beside the deviation (`variance`: summed over columns), else None."""
    return mean if float(mean @ mean) > SHIFT_FROM * variance else None
