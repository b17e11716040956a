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
MIN_ROWS, MAX_ROWS = 128, 8192
#: With so few centres and columns it is faster to compare all rows of a piece with one centre after the
#: other: 35 us instead of 82 for 8192 rows of 3 columns and 5 centres, 89 instead of 154 for 6553 of 20 and
#: 8; but 110 instead of 92 for 1310 of 100 and 10.
FEW_CENTRES, FEW_COLUMNS = 16, 32
#: Differences of rows from their centres, of which fewer are held at a time.
APART_BYTES = 1 << 18
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
    """

    start: int
    rows: NDArray[np.float64]
    labels: NDArray[np.intp]

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
        return min(self.step(), block_rows) * (8 * (k + 2 + (d if self.shift is not None else 0)) + 2)

    def shifted(self, block: Block) -> Iterator[tuple[int, NDArray[np.float64]]]:
        """Yield where each piece begins, and its rows less the shift; valid until the next one."""
        step = self.step()
        for start in range(0, len(block), step):
            rows = block.values[start : start + step]
            if self.shift is not None:
                rows = np.subtract(rows, self.shift, out=block.scratch("shifted", rows.shape))
            yield start, rows

    def gaps(self, rows: NDArray[np.float64], block: Block) -> NDArray[np.float64]:
        """Return the squared distances to all centres, shape (n, k), less the squares of the rows."""
        found: NDArray[np.float64] = block.scratch("gaps", (len(rows), len(self.centres)))
        with np.errstate(invalid="ignore", over="ignore"):
            np.matmul(rows, self._factor, out=found)
            found += self.squares
        return found

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
        k, d = self._shape
        choose = self._by_centre if k <= FEW_CENTRES and d <= FEW_COLUMNS else self._by_row
        for start, rows in self.shifted(block):
            labels = block.scratch("labels", (len(rows),), np.intp)
            least = choose(rows, labels, block, look=look)
            if look and not np.isfinite(least).all():
                refuse_nonfinite(block.values[start : start + len(rows)], block.start + start)
            yield Piece(start, rows, labels)

    # NaN is the least of its row, and so is minus infinity; plus infinity is where nothing else is.

    def _by_row(
        self, rows: NDArray[np.float64], labels: NDArray[np.intp], block: Block, *, look: bool
    ) -> NDArray[np.float64]:
        """Fill `labels`; return the least gap of each row, if it is to be looked at."""
        gaps = self.gaps(rows, block)
        gaps.argmin(axis=1, out=labels)
        return np.take_along_axis(gaps, labels[:, np.newaxis], axis=1) if look else gaps[:0]

    def _by_centre(
        self, rows: NDArray[np.float64], labels: NDArray[np.intp], block: Block, *, look: bool
    ) -> NDArray[np.float64]:
        """Do the same, comparing all rows with one centre after the other."""
        n, k = len(rows), len(self.centres)
        gaps = block.scratch("gaps", (k, n))
        nearer = block.scratch("nearer", (n,), np.bool_)
        small = block.scratch("small labels", (n,), np.int8)
        with np.errstate(invalid="ignore", over="ignore"):
            np.matmul(self._factor.T, rows.T, out=gaps)
            gaps += self.squares[:, np.newaxis]
            least: NDArray[np.float64] = gaps[0]
            small.fill(0)
            for centre in range(1, k):
                np.less(gaps[centre], least, out=nearer)
                np.minimum(least, gaps[centre], out=least)
                np.copyto(small, centre, where=nearer)
        labels[...] = small
        return least

    def apart_rows(self) -> int:
        """Return the rows whose differences from their centres are held at a time."""
        return max(64, APART_BYTES // (8 * self._shape[1]))

    def apart_bytes(self, block_rows: int) -> int:
        """Count the temporaries of `squared_distances`."""
        return 8 * (min(self.apart_rows(), block_rows) * self._shape[1] + min(self.step(), block_rows))

    def squared_distances(self, piece: Piece, block: Block) -> NDArray[np.float64]:
        """Return the squared distance of each row to its centre, from the difference: nothing cancels."""
        n, step = len(piece.rows), self.apart_rows()
        found: NDArray[np.float64] = block.scratch("squared", (n,))
        for start in range(0, n, step):
            part = slice(start, start + step)
            rows = piece.rows[part]
            apart = block.scratch("apart", rows.shape)
            np.take(self.centres, piece.labels[part], axis=0, out=apart, mode="clip")  # "raise" would copy
            np.subtract(rows, apart, out=apart)
            np.vecdot(apart, apart, out=found[part])
        return found


def choose_shift(mean: NDArray[np.float64], variance: float) -> NDArray[np.float64] | None:
    """Return the mean where it is large beside the deviation (`variance`: summed over columns), else None."""
    return mean if float(mean @ mean) > SHIFT_FROM * variance else None
