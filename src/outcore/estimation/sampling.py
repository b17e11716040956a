"""Some rows to begin with, spread over the whole array: `sample_rows`, `random_state`.

Reads from : array.Array, blocks.row_blocks (weights)
Hands to   : the estimators, to find where to begin

Guarantees
- Memory is that of the rows taken, whatever the size of the array; they are read in order, each once.
- The same seed gives the same rows, whatever the format of the array.
"""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray

from outcore import budget
from outcore.array.handle import Array
from outcore.blocks.finite import refuse_nonfinite
from outcore.blocks.statistic import Block
from outcore.blocks.streaming import row_blocks
from outcore.errors import OptionError
from outcore.linalg.weighing import block_weights

#: A sample takes about as much as two blocks of a pass, and at most so many rows ...
SAMPLE_BYTES, SAMPLE_ROWS = 8 << 20, 20_000
#: ... but so many for each centre that is to be found in it.
ROWS_A_CENTRE = 20
#: Rows that are not float64 are converted so many bytes at a time.
PIECE_BYTES = 4 << 20

Random = np.random.RandomState | np.random.Generator


@dataclass(frozen=True, eq=False)
class Sample:
    """Rows of an array.

    Attributes
    ----------
    rows : ndarray of float64, shape (n, d)
        A copy.
    weights : ndarray of float64, shape (n,), or None
    numbers : ndarray of int64, shape (n,)
        Which rows they are; ascending.
    """

    rows: NDArray[np.float64]
    weights: NDArray[np.float64] | None
    numbers: NDArray[np.int64]


def random_state(seed: Any) -> Random:
    """Return a source of random numbers, as `random_state=` of scikit-learn does.

    Parameters
    ----------
    seed : None, int, numpy.random.Generator or numpy.random.RandomState
        None is NumPy's global state, ``np.random.seed``. An int begins anew at each call.

    Raises
    ------
    OptionError
        None of these.

    Examples
    --------
    >>> random_state(0).uniform() == random_state(0).uniform()
    True
    """
    if seed is None or seed is np.random:
        return np.random.mtrand._rand
    if isinstance(seed, (np.random.RandomState, np.random.Generator)):
        return seed
    if _is_int(seed) and 0 <= int(seed) < 1 << 32:
        return np.random.RandomState(int(seed))
    raise OptionError(
        f"random_state={seed!r} is no seed.\n"
        "Use None, an int from 0 to 4294967295, a numpy.random.Generator or a numpy.random.RandomState."
    )


def sample_size(n_rows: int, n_columns: int, n_centres: int, wanted: int | None = None) -> int:
    """Say how many rows a start is made of; depends on the data and on what is asked, not on the budget.

    Examples
    --------
    >>> sample_size(1_000_000, 100, 8), sample_size(1_000_000, 900, 200), sample_size(50, 2, 3)
    (10485, 4000, 50)
    """
    fitting = min(SAMPLE_ROWS, SAMPLE_BYTES // (8 * max(n_columns, 1)))
    size = max(fitting, ROWS_A_CENTRE * n_centres) if wanted is None else max(wanted, n_centres)
    return min(n_rows, size)


def sample_rows(source: Array, n: int, rng: Random, weights: Array | None = None) -> Sample:
    """Read `n` rows, one at random from each of `n` equal stretches; all rows if there are no more.

    Parameters
    ----------
    source : Array of shape (n_rows, d)
    n : int
    rng : RandomState or Generator
    weights : Array of shape (n_rows,), optional
        Rows of weight 0 are as if they were not there. Read whole, twice.

    Raises
    ------
    NonFiniteError
        A row taken holds NaN or infinity, or a weight does.
    OptionError
        A weight is negative.
    MemoryBudgetError
        The rows do not fit in the budget.

    Notes
    -----
    Memory: 8 * n * d bytes for the rows, and a few megabytes.

    Stretches were preferred to rows drawn from the whole: as random for rows in any order, never twice the
    same row, spread evenly where rows are sorted by time or by kind, and no list as long as the array.
    """
    n_rows, n_columns = source.shape
    size = min(n, n_rows)
    budget.require(f"a sample of {size} rows", {"rows": 8 * size * n_columns, "numbers": 16 * size})
    if weights is None:
        numbers = _spread(n_rows, size, rng)
        taken = None
    else:
        numbers = _positive(weights, size, rng)
        taken = weights.take(numbers).astype(np.float64)
    rows = np.empty((len(numbers), n_columns))
    step = max(1, PIECE_BYTES // (8 * n_columns))
    for start in range(0, len(numbers), step):
        part = slice(start, start + step)
        if source.dtype == np.float64:
            source.take(numbers[part], out=rows[part])
        else:
            rows[part] = source.take(numbers[part])
        _refuse(rows[part], numbers[part])
    return Sample(rows, taken, numbers)


def _is_int(seed: Any) -> bool:
    return isinstance(seed, Integral) and not isinstance(seed, bool)


def _spread(n_rows: int, n: int, rng: Random) -> NDArray[np.int64]:
    """Choose `n` of `n_rows` numbers, ascending."""
    if n >= n_rows:
        return np.arange(n_rows, dtype=np.int64)
    edges = np.arange(n + 1, dtype=np.int64) * n_rows // n
    sizes = np.diff(edges)
    inside = np.minimum((rng.uniform(size=n) * sizes).astype(np.int64), sizes - 1)
    found: NDArray[np.int64] = edges[:-1] + inside
    return found


def _positive(weights: Array, n: int, rng: Random) -> NDArray[np.int64]:
    """Choose up to `n` rows with a positive weight."""
    total = 0
    for start, block in row_blocks(weights, what="sample_weight"):
        total += int(np.count_nonzero(block_weights(Block(start, block, block))))
    wanted = _spread(total, min(n, total), rng)
    chosen, seen = [], 0
    for start, block in row_blocks(weights, what="sample_weight"):
        places = np.flatnonzero(block)
        low, high = np.searchsorted(wanted, (seen, seen + len(places)))
        chosen.append(start + places[wanted[low:high] - seen])
        seen += len(places)
    return np.concatenate(chosen) if chosen else np.zeros(0, np.int64)


def _refuse(rows: NDArray[np.float64], numbers: NDArray[np.int64]) -> None:
    with np.errstate(over="ignore", invalid="ignore"):
        fine = np.isfinite(rows.sum(axis=1))
    if fine.all():
        return
    for at in np.flatnonzero(~fine):
        refuse_nonfinite(rows[at : at + 1], int(numbers[at]))
