"""The weights of a block's rows, and the rows that count.

Hands to   : linalg.grams, linalg.covariance

Guarantees
- Negative and non-finite weights are refused; the row is named.
- Rows of weight 0 are left out, whatever they hold: NaN in them does no harm.
- Which rows are worked on together depends on the block alone.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from outcore.blocks.finite import refuse_nonfinite
from outcore.blocks.statistic import Block
from outcore.errors import OptionError


def block_weights(block: Block, column: int | None = None) -> NDArray[np.float64]:
    """Return the weights of a block, or a column of them, as float64.

    Raises
    ------
    NonFiniteError, OptionError
        NaN, infinity or a negative weight.
    """
    assert block.weights is not None
    found = block.weights if column is None else block.weights[:, column]
    weights = np.ascontiguousarray(found, np.float64)
    if weights.min() >= 0 and weights.max() < np.inf:
        return weights
    refuse_nonfinite(block.weights, block.start, "weights")
    row = int(np.argmax(weights < 0))
    where = f"row {block.start + row}" + ("" if column is None else f", column {column}")
    raise OptionError(
        f"weights hold {weights[row]:g} in {where}; a row cannot count less than not at all.\n"
        "Use weights from 0 on: 0 leaves a row out."
    )


def counting_rows(weights: NDArray[np.float64]) -> NDArray[np.intp] | None:
    """Return the positions of the rows whose weight is not 0; None if that is all of them."""
    return None if weights.all() else np.flatnonzero(weights)


def pieces(
    values: NDArray[np.float64],
    weights: NDArray[np.float64],
    kept: NDArray[np.intp] | None,
    buffer: NDArray[np.float64],
) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Cut the rows that count into pieces.

    Parameters
    ----------
    values : ndarray of shape (n, d)
    weights : ndarray of shape (n,)
    kept : ndarray of int, or None
        What `counting_rows` returned.
    buffer : ndarray of shape (m, d)
        Takes the rows of a piece, at most m, where some are left out.

    Yields
    ------
    rows, weights : ndarray of shape (k, d) and (k,)
        `rows` may lie in `buffer`, and may not be written to otherwise.
    """
    step = len(buffer)
    if kept is None:
        for low in range(0, len(values), step):
            yield values[low : low + step], weights[low : low + step]
        return
    for low in range(0, len(kept), step):
        chosen = kept[low : low + step]
        # "clip": the other modes copy through a buffer of their own, in case an index is out of bounds.
        rows = np.take(values, chosen, axis=0, out=buffer[: len(chosen)], mode="clip")
        yield rows, weights[chosen]


def refuse_counting(values: NDArray[np.float64], kept: NDArray[np.intp] | None, start: int) -> None:
    """Raise if a row that counts holds NaN or infinity; looks at all of them."""
    if kept is None:
        refuse_nonfinite(values, start)
        return
    bad = kept[~np.isfinite(values[kept]).all(axis=1)]
    for row in bad[:1]:
        refuse_nonfinite(values[row : row + 1], start + int(row))
