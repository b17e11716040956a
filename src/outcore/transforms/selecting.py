"""Columns or fields of one array into X, y and weights: `select`.

Reads from : transforms.batches, transforms.naming
Hands to   : users, by `outcore.transforms`

Guarantees
- One new array for each result, filled column by column or at once, never row by row. Results share no memory
  with each other.
- Only numbers get into an array of several columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any, ClassVar

import numpy as np
from numpy.typing import DTypeLike, NDArray

from outcore.dtypes import as_dtype
from outcore.errors import DTypeError, OptionError, ShapeError
from outcore.transforms.batches import Batch, Transform, the_array
from outcore.transforms.naming import Column, Columns, Header, as_columns, shown

NUMBERS = "biufc"

#: How columns can be asked for.
Wish = Column | Sequence[Column] | slice | range


def select(
    x: Wish | None = None,
    y: Wish | None = None,
    weights: Column | None = None,
    *,
    dtype: DTypeLike | None = None,
) -> Transform:
    """Take columns of a batch apart into ``(x, y)`` or ``(x, y, weights)``.

    The batch is one array: of two or more axes, whose last one are the columns, or structured, whose fields
    are the columns. One name or number gives an array without an axis of columns; a list, a slice or a range
    one with it, even for a single column.

    Parameters
    ----------
    x : str, int, slice, range or list, optional
        Names of fields, or numbers of columns (fields have numbers too; negative ones count from the end).
        None: all that `y` and `weights` do not name.
    y : str, int, slice, range or list, optional
        As `x`. None: there is none, and the result is `x` alone.
    weights : str or int, optional
        One column.
    dtype : dtype or str, optional
        Of `x`. None: the dtype of the columns, and the one that NumPy finds for all of them where they differ
        (``np.result_type``): float64 for int32 beside float32. Use ``"f4"`` for Keras and PyTorch.

    Returns
    -------
    callable
        ``transform(batch, rng) -> batch``

    Raises
    ------
    OptionError
        Something that names no column; `weights` without `y`.
    DTypeError
        `dtype` holds no numbers. When applied: a column of `x` is no number, or does not become one of
        `dtype` (floating point does not become an integer).
    FieldError, ShapeError
        When applied: no such field, no such column.
    TransformError
        When applied: the batch is not one array.

    Notes
    -----
    Memory: the results. `y` and `weights` keep their dtype, and `y` alone may be text. A field that has axes
    of its own keeps them where it is asked for alone, and gives as many columns as it has values in a list.

    Examples
    --------
    >>> rows = np.array([(1, 0.5, b"no"), (2, 1.5, b"yes")], "i4, f4, S3")
    >>> x, y = oc.transforms.select(["f0", "f1"], "f2", dtype="f4")(rows)
    >>> x
    array([[1. , 0.5],
           [2. , 1.5]], dtype=float32)
    >>> y
    array([b'no', b'yes'], dtype='|S3')
    >>> x, y = oc.transforms.select(y=-1)(np.arange(6).reshape(2, 3))
    >>> x.tolist(), y.tolist()
    ([[0, 1], [3, 4]], [2, 5])
    """
    kind = None if dtype is None else as_dtype(dtype)
    if kind is not None and kind.kind not in NUMBERS:
        raise DTypeError(f'select: dtype={str(kind)!r} holds no numbers.\nUse for example dtype="f4".')
    wanted = [
        None if given is None else as_columns("select", name, given)
        for name, given in (("x", x), ("y", y), ("weights", weights))
    ]
    if wanted[2] is not None and not isinstance(wanted[2], (int, str)):
        raise OptionError(f"select: weights={weights!r} names several columns.\nEach sample has one weight.")
    if weights is not None and y is None:
        raise OptionError(
            f"select: weights={weights!r} without y; weights stand behind y: (x, y, weights).\nName y too."
        )
    return _Select(wanted[0], wanted[1], wanted[2], kind)


@dataclass(frozen=True)
class _Select:
    x: Columns | None
    y: Columns | None
    weights: Columns | None
    dtype: np.dtype[Any] | None
    #: How parts are taken out, by what the columns are: finding that out takes as long as doing it.
    _found: dict[Any, list[_Part]] = field(default_factory=dict, repr=False)

    ignores_rng: ClassVar[bool] = True

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_found": {}}

    def __call__(self, batch: Batch, rng: Any = None) -> Batch:
        array = the_array("select", batch)
        header = Header.of("select", array)
        key = array.dtype, header.width
        if key not in self._found:
            self._found[key] = self._find(array, header)
        parts = [part.taken(array) for part in self._found[key]]
        return tuple(parts) if len(parts) > 1 else parts[0]

    def _find(self, array: NDArray[Any], header: Header) -> list[_Part]:
        rest = {
            number
            for name, columns in (("y", self.y), ("weights", self.weights))
            if columns is not None
            for number in header.numbers("select", name, columns)
        }
        x = self.x
        if x is None:
            x = tuple(number for number in range(header.width) if number not in rest)
            if not x:
                raise ShapeError(f"select: y and weights leave no column for x; {header}.\nName x.")
        parts = [_part(array, header, "x", x, self.dtype)]
        for name, columns in (("y", self.y), ("weights", self.weights)):
            if columns is not None:
                parts.append(_part(array, header, name, columns, None))
        return parts

    def __repr__(self) -> str:
        dtype = None if self.dtype is None else str(self.dtype)
        return f"select({shown(self.x)}, {shown(self.y)}, {shown(self.weights)}, dtype={dtype!r})"


@dataclass(frozen=True)
class _Part:
    """What one of x, y and weights takes out: columns, or fields, alone or side by side."""

    numbers: list[int]
    names: tuple[str, ...] | None
    alone: bool
    dtype: np.dtype[Any]

    def taken(self, array: NDArray[Any]) -> NDArray[Any]:
        """Return a new array, or the array itself where that is the same."""
        if self.names is not None:
            parts = [array[self.names[number]] for number in self.numbers]
            return (
                np.array(parts[0], self.dtype, order="C")
                if self.alone
                else _stacked(parts, array.ndim, self.dtype)
            )
        if self.alone:
            return np.array(array[..., self.numbers[0]], self.dtype, order="C")
        return _chosen(array, self.numbers, self.dtype)


def _part(
    array: NDArray[Any], header: Header, name: str, columns: Columns, dtype: np.dtype[Any] | None
) -> _Part:
    """Find out what one of x, y and weights names."""
    numbers = header.numbers("select", name, columns)
    alone = isinstance(columns, (int, str))
    dtypes = [array.dtype] if header.names is None else [array.dtype[number].base for number in numbers]
    for number, found in zip(numbers, dtypes, strict=False):
        called = number if header.names is None else repr(header.names[number])
        if found.kind not in NUMBERS and not (alone and name == "y"):
            raise DTypeError(
                f"select: {name} takes column {called}, whose dtype {found} is no number.\n"
                f"Name those that are: {name}=[...]; text becomes numbers by oc.ingest(categories=...)."
            )
        if dtype is not None and not np.can_cast(found, dtype, "same_kind"):
            raise DTypeError(
                f"select: {name} takes column {called}, whose dtype {found} does not become {dtype}: its "
                'fractions would be lost.\nUse dtype="f4", or astype behind select.'
            )
    # Native byte order: frameworks take no other.
    kind = dtype if dtype is not None else np.result_type(*set(dtypes)).newbyteorder("=")
    return _Part(numbers, header.names, alone, kind)


def _stacked(parts: list[NDArray[Any]], ndim: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Put fields side by side; `ndim` axes of each are those of the array."""
    outer = parts[0].shape[:ndim]
    widths = [prod(part.shape[ndim:]) for part in parts]
    made = np.empty((*outer, sum(widths)), dtype)
    end = 0
    for part, width in zip(parts, widths, strict=True):
        end += width
        made[..., end - width : end] = part.reshape(*outer, width)
    return made


def _chosen(array: NDArray[Any], numbers: list[int], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Copy columns of a plain array; the array itself where that is the same."""
    step = numbers[1] - numbers[0] if len(numbers) > 1 else 1
    if step > 0 and numbers == list(range(numbers[0], numbers[-1] + 1, step)):
        view = array[..., numbers[0] : numbers[-1] + 1 : step]
        if len(numbers) == array.shape[-1] and array.dtype == dtype and array.flags.c_contiguous:
            return array
        return np.array(view, dtype, order="C")
    if array.dtype == dtype:
        return array.take(numbers, axis=-1)
    made = np.empty((*array.shape[:-1], len(numbers)), dtype)
    for place, number in enumerate(numbers):
        made[..., place] = array[..., number]
    return made
