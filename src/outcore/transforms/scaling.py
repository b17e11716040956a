"""Columns of mean 0 and deviation 1: `standardize`.

Reads from : transforms.batches, transforms.naming, transforms.moments
Hands to   : users, by `outcore.transforms`
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from outcore.dtypes import as_dtype
from outcore.errors import DTypeError, FieldError, OptionError, ShapeError
from outcore.transforms.batches import Batch, Key, Transform, as_key, changed_one
from outcore.transforms.moments import Moments, Scale, given
from outcore.transforms.naming import Column, Columns, Header, as_columns


def standardize(
    statistics: Moments | None = None,
    *,
    mean: ArrayLike | None = None,
    std: ArrayLike | None = None,
    key: Key | None = None,
    columns: Column | Sequence[Column] | slice | range | None = None,
    dtype: DTypeLike | None = None,
) -> Transform:
    """Subtract the mean of each column and divide by its standard deviation.

    Parameters
    ----------
    statistics : Description, optional
        What `outcore.describe` found in the array that is trained on.
    mean, std : array-like, optional
        Instead of `statistics`: numbers, or arrays of the shape of a row.
    key : int or str, optional
        The element of a tuple, or of a dict, to standardize. None: the first element of a tuple, or the batch
        itself where it is one array; of a dict it must be said.
    columns : str, int, slice, range or list, optional
        The columns to standardize; the others keep their values. Numbers along the last axis, or names of
        fields. Where the statistics are of fields and the batch has none, because `select` stacked them, the
        names of the fields that its columns are. None: all; all fields of numbers.
    dtype : dtype or str, optional
        Of the result. None: that of the array where it is of floating point; else float32 for booleans and
        integers of 8 and 16 bits and float64 for longer ones, as NumPy finds for them and a float32.

    Returns
    -------
    callable
        ``transform(batch, rng) -> batch``

    Raises
    ------
    OptionError
        Neither or both of `statistics`, and `mean` with `std`; a mean or deviation that is NaN, infinite or
        negative; columns that the statistics do not have.
    ShapeError
        When applied: the array has another number of columns than the statistics.
    FieldError
        When applied: no such element, or no such field.
    DTypeError
        When applied: the array holds no real numbers, or its dtype cannot hold the mean.

    Notes
    -----
    The last axes are the row, so windows, (n, length, columns), work as rows do. Statistics of a single
    column apply to every value. A deviation of 0 counts as 1, and so does one below the spacing of floating
    point numbers at the mean, which is what rounding leaves of a constant.

    Memory: arrays of floating point are changed in place; integers, read-only arrays, and arrays that share
    memory with another part of the batch get a new one.

    Examples
    --------
    >>> X = np.array([[1.0, 10.0], [3.0, 10.0]])
    >>> scale = oc.transforms.standardize(oc.describe(X))
    >>> X_batch, y_batch = scale((X[:1].copy(), np.array([1])))
    >>> X_batch
    array([[-1.,  0.]])
    """
    center, spread = given(statistics, mean, std)
    kind = None if dtype is None else as_dtype(dtype)
    if kind is not None and kind.kind != "f":
        raise DTypeError(f'standardize: dtype={str(kind)!r} holds no fractions.\nUse for example dtype="f4".')
    where = None if key is None else as_key("standardize", key)
    wanted = None if columns is None else as_columns("standardize", "columns", columns)
    named = center.dtype.names
    if named is not None:
        header = Header(len(named), named)
        numbers = list(range(len(named))) if wanted is None else _numbers(header, wanted)
        if len(set(numbers)) < len(numbers):
            raise OptionError(f"standardize: columns={columns!r} names a field twice.\nName each once.")
        scales = {named[i]: Scale.of(center[named[i]], spread[named[i]], named[i], kind) for i in numbers}
        return _StandardizeFields(scales, where, in_order=wanted is not None)
    if wanted is not None:
        if center.ndim == 0:
            raise OptionError(
                f"standardize: columns={columns!r}, but mean={mean!r} is one number.\nGive one a column."
            )
        others = np.setdiff1d(np.arange(center.shape[-1]), _numbers(Header(center.shape[-1], None), wanted))
        # (x - 0) / 1 is x, to the last bit.
        center[..., others], spread[..., others] = 0, 1
    scale = Scale.of(center, spread, "column", kind)
    if statistics is not None and center.shape == (1,):
        scale = Scale(scale.mean.reshape(()), scale.std.reshape(()), kind)
    return _Standardize(scale, where)


def _numbers(header: Header, columns: Columns) -> list[int]:
    try:
        return header.numbers("standardize", "columns", columns)
    except (FieldError, ShapeError) as error:
        raise OptionError(f"{error}\nThese are the columns of the statistics.") from error


@dataclass(frozen=True, eq=False)
class _Standardize:
    scale: Scale
    key: Key | None

    def __call__(self, batch: Batch, rng: Any = None) -> Batch:
        return changed_one("standardize", batch, self.key, 0, self._change)

    def _change(self, array: NDArray[Any], in_place: bool, name: str) -> NDArray[Any]:
        if array.dtype.names is not None:
            raise FieldError(
                f"standardize: {name} has fields, {', '.join(array.dtype.names)}; the statistics are of "
                "columns.\nUse oc.describe of the structured array, or select before."
            )
        return self.scale(array, in_place, name)

    def __repr__(self) -> str:
        dtype = None if self.scale.dtype is None else str(self.scale.dtype)
        return f"standardize({self.scale}, key={self.key!r}, dtype={dtype!r})"


@dataclass(frozen=True, eq=False)
class _StandardizeFields:
    """For statistics of fields; `in_order`: these are the columns of arrays without fields too."""

    scales: dict[str, Scale]
    key: Key | None
    in_order: bool

    def __call__(self, batch: Batch, rng: Any = None) -> Batch:
        return changed_one("standardize", batch, self.key, 0, self._change)

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}: {scale}" for name, scale in self.scales.items())
        return f"standardize({fields}, key={self.key!r})"

    def _change(self, array: NDArray[Any], in_place: bool, name: str) -> NDArray[Any]:
        fields = array.dtype.names
        if fields is None:
            return self._stacked(name)(array, in_place, name)
        if missing := [field for field in self.scales if field not in fields]:
            raise FieldError(
                f"standardize: {name} has no field {missing[0]!r}; its fields are {', '.join(fields)}.\n"
                f"Name those to standardize: columns=[{fields[0]!r}]."
            )
        kinds = {field: array.dtype[field] for field in fields}
        for field, scale in self.scales.items():
            kind = kinds[field]
            kinds[field] = np.dtype((scale.result(kind.base), kind.shape))
        if in_place and all(kinds[field] == array.dtype[field] for field in fields):
            made = array
        else:
            made = np.empty(array.shape, list(kinds.items()))
        for field in fields:
            old = new = array[field]
            if field in self.scales:
                new = self.scales[field](old, made is array, f"{name}[{field!r}]")
            if made is not array or new is not old:
                made[field] = new
        return made

    def _stacked(self, name: str) -> Scale:
        if not self.in_order:
            raise OptionError(
                f"standardize: the statistics are of fields ({', '.join(self.scales)}), but {name} has "
                "none.\nSay which of them its columns are, in their order: columns=[...]."
            )
        scales = list(self.scales.values())
        return Scale(
            np.concatenate([scale.mean.reshape(-1) for scale in scales]),
            np.concatenate([scale.std.reshape(-1) for scale in scales]),
            scales[0].dtype,
        )
