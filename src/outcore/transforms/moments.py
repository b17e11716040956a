"""Mean and deviation as they are given, checked, and applied to one array.

Reads from : statistics, by what its result looks like
Hands to   : transforms.scaling

Guarantees
- NaN stays NaN, and a column that does not vary becomes 0, never infinite.
- Statistics that could only make NaN are refused before the first batch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from outcore.errors import DTypeError, OptionError, ShapeError

NUMBERS = "biuf"


class Moments(Protocol):
    """What is used of the result of `outcore.describe`."""

    @property
    def names(self) -> tuple[str, ...]: ...  # noqa: D102 - as there

    @property
    def mean(self) -> NDArray[Any]: ...  # noqa: D102 - as there

    @property
    def std(self) -> NDArray[Any]: ...  # noqa: D102 - as there


def given(
    statistics: Moments | None, mean: ArrayLike | None, std: ArrayLike | None
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return mean and deviation in arrays of our own, of the shape of a row, or with the same fields."""
    if (statistics is None) == (mean is None) or (mean is None) != (std is None):
        raise OptionError(
            "standardize: give either what oc.describe(X) returned, or both mean= and std=; "
            f"got statistics={'None' if statistics is None else type(statistics).__name__}, "
            f"mean={'None' if mean is None else 'given'}, std={'None' if std is None else 'given'}."
        )
    if statistics is None:
        return _paired(np.asarray(mean), np.asarray(std))
    names, *found = (getattr(statistics, name, None) for name in ("names", "mean", "std"))
    if not isinstance(names, tuple) or not all(isinstance(one, np.ndarray) for one in found):
        raise OptionError(
            f"standardize: statistics is a {type(statistics).__name__}; expected what oc.describe(X) "
            "returns.\nUse standardize(oc.describe(X)), or standardize(mean=..., std=...)."
        )
    center, spread = _paired(statistics.mean, statistics.std)
    if center.dtype.names is None and names:
        # describe flattens the axes of a row; its last name is the last place: "27,27".
        row_shape = tuple(int(place) + 1 for place in names[-1].split(","))
        return center.reshape(row_shape), spread.reshape(row_shape)
    return center, spread


def _paired(center: NDArray[Any], spread: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    if center.dtype.names is not None or spread.dtype.names is not None:
        if not center.dtype.names or center.dtype.names != spread.dtype.names or center.ndim or spread.ndim:
            raise OptionError(
                f"standardize: mean has dtype {center.dtype} and shape {center.shape}, std {spread.dtype} "
                f"and {spread.shape}; expected the same fields, of numbers, and shape ()."
            )
        return center.copy(), spread.copy()
    if center.dtype.kind not in NUMBERS or spread.dtype.kind not in NUMBERS:
        raise OptionError(
            f"standardize: mean has dtype {center.dtype}, std {spread.dtype}; expected real numbers."
        )
    try:
        shape = np.broadcast_shapes(center.shape, spread.shape)
    except ValueError as error:
        raise OptionError(
            f"standardize: mean has shape {center.shape}, std {spread.shape}.\nGive one of each for a column."
        ) from error
    wide = np.result_type(center, spread, np.float64)
    return np.broadcast_to(center, shape).astype(wide), np.broadcast_to(spread, shape).astype(wide)


@dataclass(frozen=True, eq=False)
class Scale:
    """Mean and deviation of the columns of one array, or of one field."""

    mean: NDArray[Any]
    std: NDArray[Any]
    dtype: np.dtype[Any] | None

    @classmethod
    def of(cls, mean: NDArray[Any], std: NDArray[Any], called: str, dtype: np.dtype[Any] | None) -> Scale:
        """Check the numbers; a deviation of nothing becomes 1."""
        for name, values, wrong in (
            ("mean", mean, ~np.isfinite(mean)),
            ("std", std, ~(np.isfinite(std) & (std >= 0))),
        ):
            if wrong.any():
                place = [int(i) for i in np.unravel_index(int(wrong.argmax()), wrong.shape)]
                where = " ".join([called, ",".join(map(str, place))]).strip()
                raise OptionError(
                    f"standardize: the {name} of {where} is {values[tuple(place)]}, which scales nothing.\n"
                    "A column without values has none, and infinite values spoil it; leave it out: columns=."
                )
        rounding = 2 * np.finfo(np.float64).eps * np.abs(mean)
        return cls(mean, np.where(std <= rounding, 1, std), dtype)

    def result(self, dtype: np.dtype[Any]) -> np.dtype[Any]:
        """Return what an array of `dtype` becomes."""
        if self.dtype is not None:
            return self.dtype
        return dtype.newbyteorder("=") if dtype.kind == "f" else np.result_type(dtype, np.float32)

    def __call__(self, values: NDArray[Any], in_place: bool, name: str) -> NDArray[Any]:
        """Scale values."""
        if values.dtype.kind not in NUMBERS:
            raise DTypeError(
                f"standardize: {name} is of dtype {values.dtype}; expected real numbers.\n"
                "Name the columns that are, or the array that holds them: columns=, key=."
            )
        n_axes = self.mean.ndim
        if values.ndim <= n_axes or values.shape[values.ndim - n_axes :] != self.mean.shape:
            raise ShapeError(
                f"standardize: the statistics are of {_counted(self.mean.shape)}, but {name} has shape "
                f"{values.shape}, of which a row has {_counted(values.shape[1:])}.\n"
                "Put standardize before what takes columns away, with columns=; or give the statistics of "
                "those that are left: mean=d.mean[1:], std=d.std[1:]."
            )
        result = self.result(values.dtype)
        work = np.result_type(values.dtype, result, np.float32)
        with np.errstate(over="ignore", under="ignore"):
            mean, std = self.mean.astype(work), self.std.astype(work)
        if not (np.isfinite(mean).all() and np.isfinite(std).all()):
            raise DTypeError(
                f"standardize: {name} is of dtype {values.dtype}, which cannot hold the statistics: a mean "
                f"of {np.abs(self.mean).max()}, a deviation of {self.std.max()}.\nUse astype before."
            )
        std = np.where(std == 0, 1, std).astype(work)
        scaled = np.subtract(
            values, mean, out=values if in_place and work == result == values.dtype else None, dtype=work
        )
        made: NDArray[Any] = np.divide(scaled, std, out=scaled).astype(result, copy=False)
        return made

    def __repr__(self) -> str:
        return f"mean={_short(self.mean)}, std={_short(self.std)}"


def _counted(shape: tuple[int, ...]) -> str:
    return f"{shape[-1]} columns" if len(shape) == 1 else f"shape {shape}"


def _short(values: NDArray[Any]) -> str:
    return np.array2string(values, threshold=6, edgeitems=2, precision=4, separator=", ").replace("\n", "")
