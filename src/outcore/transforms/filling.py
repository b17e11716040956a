"""Values where NaN stands: `fillna`.

Reads from : transforms.batches
Hands to   : users, by `outcore.transforms`
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from outcore.errors import DTypeError, FieldError, OptionError, ShapeError
from outcore.transforms.batches import Batch, Key, Transform, as_keys, changed

#: What NaN can stand in.
FLOATS = "fc"


def fillna(
    value: ArrayLike | Mapping[str, float] = 0, *, keys: Key | tuple[Key, ...] | list[Key] | None = None
) -> Transform:
    """Put a value where NaN stands.

    Arrays of floating point are filled, and such fields of structured arrays, nested ones too. Everything
    else stays as it is: integers and text, and dates, whose NaT is no NaN.

    Parameters
    ----------
    value : number, array-like or dict
        One number; or one for each column, of the shape of a row's last axes; or, for structured arrays, one
        for each field that is to be filled.
    keys : int, str or a list of them, optional
        The elements of a tuple, or of a dict, to fill; None: every array of the batch.

    Returns
    -------
    callable
        ``transform(batch, rng) -> batch``

    Raises
    ------
    OptionError
        `value` is NaN, or is no number.
    ShapeError
        When applied: `value` has not as many numbers as the array has columns.
    FieldError
        When applied: no such element, or no such field.
    DTypeError
        When applied: the array cannot hold `value`.

    Notes
    -----
    Memory: one byte for each value. Arrays are filled in place; one that is read-only is copied, and only if
    a NaN is in it.

    Examples
    --------
    >>> fill = oc.transforms.fillna(0, keys=0)
    >>> X, y = fill((np.array([[1.0, np.nan]]), np.array([np.nan])))
    >>> X, y
    (array([[1., 0.]]), array([nan]))
    >>> oc.transforms.fillna([7, 8])(np.array([[np.nan, 1], [1, np.nan]]))
    array([[7., 1.],
           [1., 8.]])
    """
    checked = {str(name): _number(one) for name, one in value.items()} if isinstance(value, Mapping) else None
    if checked == {}:
        raise OptionError("fillna: value={} names no field.\nUse one number for all of them: fillna(0).")
    return _Fill(_number(value) if checked is None else checked, as_keys("fillna", keys))


def _number(value: Any) -> NDArray[Any]:
    try:
        numbers = np.array(value)
    except ValueError as error:
        raise OptionError(f"fillna: value={value!r} is no array: {error}.") from error
    if numbers.dtype.kind not in "biufc":
        raise OptionError(
            f"fillna: value={value!r} is no number.\nUse a number, or one for each column: fillna([0, -1])."
        )
    if np.isnan(numbers).any():
        raise OptionError(f"fillna: value={value!r} holds NaN, which is what is to be replaced.")
    numbers.flags.writeable = False
    return numbers


@dataclass(frozen=True, eq=False)
class _Fill:
    value: NDArray[Any] | dict[str, NDArray[Any]]
    keys: tuple[Key, ...] | None

    ignores_rng: ClassVar[bool] = True

    def __call__(self, batch: Batch, rng: Any = None) -> Batch:
        return changed("fillna", batch, self.keys, self._change)

    def __repr__(self) -> str:
        given = self.value
        value = {k: v.tolist() for k, v in given.items()} if isinstance(given, dict) else given.tolist()
        return f"fillna({value!r:.200}, keys={self.keys})"

    def _change(self, array: NDArray[Any], in_place: bool, name: str) -> NDArray[Any]:
        filled = array if in_place else None
        for path, value in self._wanted(array, name):
            part = _at(array, path)
            value = _fitting(value, part, "".join([name, *(f"[{field!r}]" for field in path)]))
            holes = np.isnan(part)
            if holes.any():
                filled = np.array(array) if filled is None else filled
                np.copyto(_at(filled, path), value, where=holes)
        return array if filled is None else filled

    def _wanted(self, array: NDArray[Any], name: str) -> Iterator[tuple[tuple[str, ...], NDArray[Any]]]:
        """List what to fill, as names of fields inside fields, and by what."""
        if not isinstance(self.value, dict):
            if self.value.ndim and array.dtype.names is not None:
                raise ShapeError(
                    f"fillna: value is of shape {self.value.shape}, but {name} has fields, not columns: "
                    f"{', '.join(array.dtype.names)}.\n"
                    f"Give a dict: fillna({{{array.dtype.names[0]!r}: 0}})."
                )
            yield from ((path, self.value) for path in _floats(array.dtype))
            return
        for field, value in self.value.items():
            if field not in (array.dtype.names or ()):
                there = (
                    f"Its fields are: {', '.join(array.dtype.names)}."
                    if array.dtype.names
                    else "It has none."
                )
                raise FieldError(f"fillna: {name} has no field {field!r}.\n{there}")
            yield from ((path, value) for path in _floats(array.dtype[field], (field,)))


def _floats(dtype: np.dtype[Any], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    if dtype.names is not None:
        for name in dtype.names:
            yield from _floats(dtype[name].base, (*path, name))
    elif dtype.base.kind in FLOATS:
        yield path


def _at(array: NDArray[Any], path: tuple[str, ...]) -> NDArray[Any]:
    for name in path:
        array = array[name]
    return array


def _fitting(value: NDArray[Any], part: NDArray[Any], name: str) -> NDArray[Any]:
    # The first axis are the samples, whatever their number is.
    if value.ndim and (value.ndim >= part.ndim or part.shape[-value.ndim :] != value.shape):
        raise ShapeError(
            f"fillna: value has shape {value.shape}, {name} has shape {part.shape}, of which a row is "
            f"{part.shape[1:]}.\nGive one number, or one for each column; keys= says which arrays are meant."
        )
    if np.can_cast(value.dtype, part.dtype, "same_kind"):
        with np.errstate(over="ignore"):
            cast = value.astype(part.dtype)
        if bool((np.isinf(cast) == np.isinf(value)).all()):
            return cast
    raise DTypeError(
        f"fillna: value={value.tolist()!r:.60} does not fit into {name}, whose dtype is {part.dtype}.\n"
        "Use another number, or astype before."
    )
