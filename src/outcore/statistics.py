"""Count, missing, minimum, maximum, mean and standard deviation of each column: `describe`.

Reads from : blocks.reducing
Hands to   : users, the command line

Guarantees
- One pass over the rows; memory is that of a block of rows for each worker and of a few values for each
  column.
- The same to the last bit on every executor and for every number of workers.
- Minimum and maximum are exact and of the column's own dtype; sums are formed in float64 at least.
- Stable: squares are taken of distances from the mean of a block of rows, and blocks are merged by Chan's
  formula, so a large mean does not swallow a small deviation.

Sums of squares were rejected: for values around 1e9 with deviation 1 they have no correct digit left.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from outcore.array.opening import asarray
from outcore.blocks.reducing import run_pass
from outcore.blocks.statistic import Block, Cost, Rows, Share, Statistic
from outcore.settings import MemoryLike, ProgressLike

#: Rows are worked on in pieces whose temporaries stay in the cache of one core.
PIECE_BYTES = 1 << 19
#: For each value of a piece: two temporaries of float64, or of what is wider, and a mask.
PIECE_VALUE_BYTES = 17
#: For each column: the sums of a piece, and temporaries while they are merged.
COLUMN_BYTES = 128
#: Kinds of dtype with a mean; dates have a minimum and a maximum too.
NUMBERS, ORDERED = "biuf", "biufmM"
#: Tables with more columns show this many at each end.
SHOWN = 10


@dataclass(frozen=True, eq=False)
class Description:
    """What `describe` found, one value for each column.

    For plain arrays the columns are the flattened axes behind the first (one column for 1-D arrays), and
    each statistic is an ndarray of shape (n_columns,). For structured arrays each statistic is a structured
    ndarray of shape (): ``d.mean["pos"]``.

    Attributes
    ----------
    names : tuple of str
        Field names, or positions such as "3" or "3,0".
    dtypes : tuple of numpy.dtype
        Of each column.
    n_rows : int
        Rows in the array.
    count : ndarray of int64
        Values that are there.
    missing : ndarray of int64
        NaN and NaT.
    min, max : ndarray
        Of the column's dtype. NaN (NaT) where there is no value; float64 for an array of integers without
        rows, since no integer says "none". Structured: only fields of numbers and dates.
    mean, std : ndarray of float64
        As `numpy.nanmean` and `numpy.nanstd` (ddof=0). Structured: only fields of numbers; NaN for other
        plain dtypes.
    """

    names: tuple[str, ...]
    dtypes: tuple[np.dtype[Any], ...]
    n_rows: int
    count: NDArray[Any]
    missing: NDArray[Any]
    min: NDArray[Any]
    max: NDArray[Any]
    mean: NDArray[Any]
    std: NDArray[Any]

    def to_dict(self) -> dict[str, Any]:
        """Return plain Python values, ready for JSON; None stands for NaN, NaT and "no such statistic"."""
        columns = []
        for i, (name, dtype) in enumerate(zip(self.names, self.dtypes, strict=True)):
            entry: dict[str, Any] = {"name": name, "dtype": str(dtype)}
            entry |= {word: _plain(self._value(word, i)) for word in _STATISTICS}
            columns.append(entry)
        return {"rows": self.n_rows, "columns": columns}

    def _value(self, statistic: str, column: int) -> Any:
        values = getattr(self, statistic)
        if values.dtype.names is None:
            return values[column] if values.ndim else None
        name = self.names[column]
        return values[name][()] if name in values.dtype.names else None

    def __str__(self) -> str:
        lines = [["column", "dtype", *_STATISTICS]]
        n = len(self.names)
        shown = range(n) if n <= 2 * SHOWN else [*range(SHOWN), *range(n - SHOWN, n)]
        for i in shown:
            cells = [_text(self._value(word, i)) for word in _STATISTICS]
            lines.append([self.names[i], str(self.dtypes[i]).lstrip("|"), *cells])
        widths = [max(len(line[j]) for line in lines) for j in range(len(lines[0]))]
        text = [
            "  ".join(
                c.ljust(w) if j < 2 else c.rjust(w) for j, (c, w) in enumerate(zip(line, widths, strict=True))
            )
            for line in lines
        ]
        if n > len(shown):
            text.insert(1 + SHOWN, f"... {n - len(shown)} more columns ...")
        return "\n".join([f"{self.n_rows} rows", *(line.rstrip() for line in text)])

    __repr__ = __str__


_STATISTICS = ("count", "missing", "min", "max", "mean", "std")


def describe(
    X: Any,
    *,
    executor: Any = None,
    workers: int | None = None,
    memory: MemoryLike | None = None,
    progress: ProgressLike | None = None,
) -> Description:
    """Summarise each column in one pass.

    Parameters
    ----------
    X : Array, str, path, numpy.memmap, h5py.Dataset or array-like, shape (n, ...)
        What `outcore.asarray` takes. Structured arrays have one column for each field.
    executor, workers, memory, progress
        As for `outcore.reduce_rows`.

    Returns
    -------
    Description
        Its text is a table.

    Raises
    ------
    ShapeError
        `X` has no dimensions.
    MemoryBudgetError
        A few rows and the sums for their columns do not fit in the budget.

    Notes
    -----
    Memory: for each worker a block of rows (some 4 MB), temporaries of about 1 MB, and 200 bytes a column.

    Infinite values count as values and spread as in NumPy: the mean is infinite, the deviation NaN.

    Examples
    --------
    >>> d = oc.describe(np.array([[1.0, 10.0], [3.0, np.nan]]))
    >>> print(d)
    2 rows
    column  dtype    count  missing  min  max  mean  std
    0       float64      2        0    1    3     2    1
    1       float64      1        1   10   10    10    0
    """
    (found,) = run_pass(
        "describe",
        asarray(X),
        [_Describing()],
        executor=executor,
        workers=workers,
        memory=memory,
        progress=progress,
    )
    result: Description = found
    return result


class _Describing(Statistic["list[_Column]", Description]):
    """The statistic behind `describe`."""

    def __init__(self) -> None:
        self._rows: Rows | None = None
        self._step = 1

    def bind(self, rows: Rows, share: Share) -> _Describing:
        """Choose how many rows make a piece."""
        bound = _Describing()
        bound._rows = rows
        fitting = max(1, PIECE_BYTES // max(8 * _n_values(rows), 1))
        # A power of two, as the rows of a block: a smaller block then has the same pieces.
        bound._step = 1 << (fitting.bit_length() - 1)
        return bound

    def cost(self, rows: Rows, block_rows: int) -> Cost:
        """Count the sums, and the temporaries for a piece."""
        n = _n_values(rows)
        fields = rows.dtype.itemsize if rows.dtype.names is not None else 0
        wide = max((dtype.itemsize for _, dtype, _ in _fields(rows) if dtype.kind in NUMBERS), default=8)
        piece = min(self._step, block_rows)
        each = PIECE_VALUE_BYTES + 2 * max(wide - 8, 0)
        return Cost(
            state_bytes=sum(prod(shape) * (24 + 2 * dtype.itemsize) for _, dtype, shape in _fields(rows)),
            block_bytes=piece * (n * each + fields) + COLUMN_BYTES * n,
            flops=8.0 * rows.n_rows * n,
            values=False,
            blas=False,
        )

    def zero(self) -> list[_Column]:
        """Return sums of no rows."""
        assert self._rows is not None
        return _columns(self._rows)

    def update(self, state: list[_Column], block: Block) -> list[_Column]:
        """Take in the block, a piece at a time."""
        for start in range(0, len(block), self._step):
            piece = block.rows[start : start + self._step]
            for column in state:
                column.update(piece if column.field is None else piece[column.field])
        return state

    def merge(self, state: list[_Column], other: list[_Column]) -> list[_Column]:
        """Put together the sums of each column."""
        for column, later in zip(state, other, strict=True):
            column.absorb(later)
        return state

    def finalize(self, state: list[_Column]) -> Description:
        """Make the table."""
        assert self._rows is not None
        return _assemble(self._rows, state)


class _Column:
    """The running sums of one field, or of all columns of a plain array."""

    def __init__(self, field: str | None, dtype: np.dtype[Any], shape: tuple[int, ...]) -> None:
        self.field = field
        self.dtype = dtype
        self.size = prod(shape)
        self.seen = 0
        self.count = np.zeros(self.size, np.int64)
        self.min: NDArray[Any] | None = None
        self.max: NDArray[Any] | None = None
        self.mean = np.full(self.size, np.nan)
        self.squares = np.full(self.size, np.nan)

    def update(self, piece: NDArray[Any]) -> None:
        """Take in rows; `piece` has at least one."""
        rows = piece.reshape(len(piece), self.size)
        missing = _missing(rows)
        count = np.full(self.size, len(rows)) if missing is None else len(rows) - missing.sum(axis=0)
        if self.dtype.kind in ORDERED:
            # fmin and fmax pass over NaN and NaT, and leave them only where there is nothing else.
            self._extremes(np.fmin.reduce(rows, axis=0), np.fmax.reduce(rows, axis=0))
        if self.dtype.kind in NUMBERS:
            # Infinite values make NaN on the way, as in NumPy; a column without values divides by zero.
            with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
                self._moments(count, *_piece_moments(rows, missing, count))
        self.seen += len(rows)
        self.count += count

    def absorb(self, later: _Column) -> None:
        """Take in the sums of later rows."""
        if later.min is not None and later.max is not None:
            self._extremes(later.min, later.max)
        if self.dtype.kind in NUMBERS:
            self._moments(later.count, later.mean, later.squares)
        self.seen += later.seen
        self.count += later.count

    def _extremes(self, low: NDArray[Any], high: NDArray[Any]) -> None:
        self.min = low if self.min is None else np.fmin(self.min, low)
        self.max = high if self.max is None else np.fmax(self.max, high)

    def _moments(self, count: NDArray[Any], mean: NDArray[Any], squares: NDArray[Any]) -> None:
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            self.mean, self.squares = _merge(self.count, self.mean, self.squares, count, mean, squares)

    @property
    def std(self) -> NDArray[Any]:
        """Standard deviation, dividing by the count."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.sqrt(self.squares / self.count)

    def extreme(self, found: NDArray[Any] | None) -> NDArray[Any]:
        """Return the minimum or maximum, or what says that there is none."""
        if found is not None:
            return found
        if self.dtype.kind in "mM":
            return np.full(self.size, "NaT", self.dtype)
        return np.full(self.size, np.nan, self.dtype if self.dtype.kind == "f" else np.float64)


def _missing(rows: NDArray[Any]) -> NDArray[Any] | None:
    """Where NaN or NaT stand, or None where there cannot be or is none."""
    if rows.dtype.kind not in "fcmM":
        return None
    found: NDArray[Any] = np.isnat(rows) if rows.dtype.kind in "mM" else np.isnan(rows)
    return found if found.any() else None


def _piece_moments(
    rows: NDArray[Any], missing: NDArray[Any] | None, count: NDArray[Any]
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Mean and sum of squared distances from it, over the rows of one piece."""
    values = rows.astype(np.result_type(rows.dtype, np.float64))
    if missing is not None:
        values[missing] = 0
    mean = values.sum(axis=0) / count
    # A second look at the distances takes out what rounding left in the mean.
    distance = values - mean
    if missing is not None:
        distance[missing] = 0
    rest = distance.sum(axis=0) / count
    squares = np.einsum("ij,ij->j", distance, distance) - count * rest * rest
    finite = np.isfinite(rest)
    return np.where(finite, mean + rest, mean), np.where(finite, np.maximum(squares, 0), np.nan)


def _merge(
    n_a: NDArray[Any],
    mean_a: NDArray[Any],
    squares_a: NDArray[Any],
    n_b: NDArray[Any],
    mean_b: NDArray[Any],
    squares_b: NDArray[Any],
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Chan's formula for the moments of two sets of rows; a column that one of them lacks is the other's."""
    n = n_a + n_b
    distance = mean_b - mean_a
    finite = np.isfinite(distance)
    mean = np.where(finite, mean_a + distance * (n_b / n), mean_a + mean_b)
    squares = squares_a + squares_b + distance * distance * (n_a * (n_b / n))
    mean = np.where(n_a == 0, mean_b, np.where(n_b == 0, mean_a, mean))
    squares = np.where(n_a == 0, squares_b, np.where(n_b == 0, squares_a, squares))
    return mean, squares


def _fields(rows: Rows) -> list[tuple[str | None, np.dtype[Any], tuple[int, ...]]]:
    """List name, dtype and shape of each field, or of all columns of a plain array."""
    if rows.dtype.names is None:
        return [(None, rows.dtype, rows.row_shape)]
    fields = [(name, rows.dtype[name]) for name in rows.dtype.names]
    return [(name, dtype.base, (*rows.row_shape, *dtype.shape)) for name, dtype in fields]


def _columns(rows: Rows) -> list[_Column]:
    return [_Column(*field) for field in _fields(rows)]


def _n_values(rows: Rows) -> int:
    return sum(prod(shape) for _, _, shape in _fields(rows))


def _assemble(rows: Rows, columns: list[_Column]) -> Description:
    if rows.dtype.names is None:
        (only,) = columns
        inner = rows.row_shape
        names = tuple(",".join(map(str, index)) for index in np.ndindex(inner)) if inner else ("0",)
        return Description(
            names,
            (rows.dtype,) * len(names),
            rows.n_rows,
            only.count,
            only.seen - only.count,
            only.extreme(only.min),
            only.extreme(only.max),
            only.mean,
            only.std,
        )
    return _assemble_fields(rows, columns)


def _assemble_fields(rows: Rows, columns: list[_Column]) -> Description:
    shapes = {name: (*rows.row_shape, *rows.dtype[name].shape) for name in rows.dtype.names or ()}
    ordered = [column for column in columns if column.dtype.kind in ORDERED]
    numbers = [column for column in columns if column.dtype.kind in NUMBERS]
    return Description(
        tuple(shapes),
        tuple(column.dtype for column in columns),
        rows.n_rows,
        _record([(c, c.count) for c in columns], shapes),
        _record([(c, c.seen - c.count) for c in columns], shapes),
        _record([(c, c.extreme(c.min)) for c in ordered], shapes),
        _record([(c, c.extreme(c.max)) for c in ordered], shapes),
        _record([(c, c.mean) for c in numbers], shapes),
        _record([(c, c.std) for c in numbers], shapes),
    )


def _record(parts: list[tuple[_Column, NDArray[Any]]], shapes: dict[str, tuple[int, ...]]) -> NDArray[Any]:
    """Put one statistic of several fields into a structured array without dimensions."""
    named = [(str(column.field), values, shapes[str(column.field)]) for column, values in parts]
    record = np.zeros((), [(name, values.dtype, shape) for name, values, shape in named])
    for name, values, shape in named:
        record[name] = values.reshape(shape)
    return record


def _plain(value: Any) -> Any:
    """Turn a NumPy scalar or array into what JSON can hold: NaN and NaT are None, infinities are text."""
    if isinstance(value, np.ndarray):
        return [_plain(v) for v in value]
    if isinstance(value, (np.datetime64, np.timedelta64)):
        return None if np.isnat(value) else str(value)
    if isinstance(value, np.floating):
        return None if np.isnan(value) else float(value) if np.isfinite(value) else str(value)
    return None if value is None else value.item()


def _text(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, np.ndarray):
        return np.array2string(value, threshold=6, edgeitems=2, precision=4)
    if isinstance(value, np.floating):
        return f"{value:.6g}"
    return str(value)
