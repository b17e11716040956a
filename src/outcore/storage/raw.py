"""Raw binary files: bytes without a header, described by the caller.

Reads from : the size of a file
Hands to   : storage.flat
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from outcore.errors import FormatError, OptionError, TruncatedError
from outcore.storage.file import open_file
from outcore.storage.npy import refuse_objects
from outcore.storage.protocol import Spec


def expand(dtype: np.dtype[Any], shape: tuple[int, ...]) -> tuple[np.dtype[Any], tuple[int, ...]]:
    """Turn a sub-array type such as ``"3f4"`` into its base type and more axes, as `numpy.empty` does."""
    return (dtype, shape) if dtype.subdtype is None else (dtype.subdtype[0], (*shape, *dtype.subdtype[1]))


def locate(
    path: str, mode: str, dtype: np.dtype[Any], shape: tuple[int, ...] | None, offset: int, order: str
) -> Spec:
    """Check the description against the size of `path`.

    Parameters
    ----------
    shape : tuple of int, optional
        A first axis of -1 takes as many rows as the file holds. None means one dimension, all of the file.

    Raises
    ------
    TruncatedError
        The file is shorter than `shape` needs.
    FormatError
        The file does not hold a whole number of rows.
    OptionError
        A shape or offset that makes no sense.
    """
    refuse_objects(dtype, path)
    shape = (-1,) if shape is None else shape
    dtype, shape = expand(dtype, shape)
    if offset < 0 or any(n < 0 for n in shape[1:]) or (shape and shape[0] < -1):
        raise OptionError(
            f"shape={shape}, offset={offset}: sizes cannot be negative.\n"
            "Only the first axis may be -1: as many rows as there are."
        )
    file = open_file(path)
    try:
        size, fingerprint = file.size(), file.fingerprint()
    finally:
        file.close()
    if shape and shape[0] == -1:
        row = prod(shape[1:]) * dtype.itemsize
        if row == 0 or (size - offset) < 0 or (size - offset) % row:
            raise FormatError(
                f"{path} has {size} bytes; from byte {offset} on they are not whole rows of {row} bytes.\n"
                f"Check dtype={dtype} and shape={shape}."
            )
        shape = ((size - offset) // row, *shape[1:])
    needed = offset + prod(shape) * dtype.itemsize
    if size < needed:
        raise TruncatedError(
            f"{path} has {size} bytes; shape {shape} of {dtype} from byte {offset} needs {needed}.\n"
            "Use shape=(-1, ...) to take the rows that are there."
        )
    order = "F" if order == "F" and sum(n > 1 for n in shape) > 1 else "C"
    return Spec("raw", path, "", mode, shape, dtype, order, offset, fingerprint)
