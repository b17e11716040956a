"""Another dtype: `astype`.

Reads from : transforms.batches
Hands to   : users, by `outcore.transforms`
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from outcore.dtypes import as_dtype
from outcore.errors import DTypeError
from outcore.transforms.batches import Batch, Key, Transform, as_keys, changed


def astype(dtype: DTypeLike, *, keys: Key | tuple[Key, ...] | list[Key] | None = None) -> Transform:
    """Cast arrays, as `numpy.ndarray.astype` does.

    Parameters
    ----------
    dtype : dtype or str
        As in ``"f4"``.
    keys : int, str or a list of them, optional
        The elements of a tuple, or of a dict, to cast; None: every array of the batch, labels too.

    Returns
    -------
    callable
        ``transform(batch, rng) -> batch``

    Raises
    ------
    DTypeError
        Not a dtype. When applied: NumPy cannot cast this array, or a value does not fit: NaN, infinite or too
        large for an integer, too large for a shorter floating point (of which NumPy only warns).
    FieldError
        When applied: no such element.

    Notes
    -----
    Memory: the new arrays. An array that has the dtype already is passed on as it is.

    Examples
    --------
    >>> to_f4 = oc.transforms.astype("f4", keys=0)
    >>> X, y = to_f4((np.ones((2, 3)), np.array([0, 1])))
    >>> X.dtype, y.dtype
    (dtype('float32'), dtype('int64'))
    """
    return _Cast(as_dtype(dtype), as_keys("astype", keys))


@dataclass(frozen=True)
class _Cast:
    dtype: np.dtype[Any]
    keys: tuple[Key, ...] | None

    def __call__(self, batch: Batch, rng: Any = None) -> Batch:
        return changed("astype", batch, self.keys, self._change)

    def __repr__(self) -> str:
        return f"astype({str(self.dtype)!r}, keys={self.keys})"

    def _change(self, array: NDArray[Any], in_place: bool, name: str) -> NDArray[Any]:
        if (array.dtype.names is None) != (self.dtype.names is None):
            raise DTypeError(
                f"astype: {name} is of dtype {array.dtype}, which does not become {self.dtype}.\n"
                "Only one of them has fields; use select to stack fields into columns."
            )
        try:
            # Integers made of NaN differ from machine to machine, and NumPy's warning is lost in a worker.
            with np.errstate(invalid="raise", over="raise"):
                return array.astype(self.dtype, copy=False)
        except FloatingPointError as error:
            raise DTypeError(
                f"astype: {name} of dtype {array.dtype} holds NaN, infinite or too large values, which "
                f"{self.dtype} cannot hold.\nUse fillna before, or a wider dtype."
            ) from error
        except (TypeError, ValueError) as error:
            raise DTypeError(
                f"astype: {name} of dtype {array.dtype} does not become {self.dtype}: {error}.\n"
                "Name the arrays that do: keys=."
            ) from error
