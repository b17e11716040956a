"""Copying an array to another format, type or layout: `convert`.

Reads from : blocks.row_blocks
Hands to   : users, the command line

Guarantees
- The target appears whole or not at all, and only then replaces what was there.
- Memory is that of one block of rows, whatever the size of the array.
"""

from __future__ import annotations

import os
from typing import Any, Literal

import numpy as np
from numpy.typing import DTypeLike, NDArray

from outcore import progress as bars
from outcore.array.creating import create
from outcore.array.handle import Array
from outcore.array.opening import asarray
from outcore.blocks.streaming import row_blocks
from outcore.dtypes import as_dtype
from outcore.errors import DTypeError, OptionError
from outcore.settings import MemoryLike, ProgressLike


def convert(
    X: Any,
    target: str | os.PathLike[str],
    *,
    dtype: DTypeLike | None = None,
    casting: Literal["no", "equiv", "safe", "same_kind", "unsafe"] = "same_kind",
    chunks: tuple[int, ...] | Literal[True] | None = None,
    compression: str | int | None = None,
    compression_opts: int | None = None,
    shuffle: bool | None = None,
    memory: MemoryLike | None = None,
    progress: ProgressLike | None = None,
    overwrite: bool = False,
) -> Array:
    """Write an array to a new place, in any format, within the memory budget.

    Parameters
    ----------
    X : Array, str, path, numpy.memmap, h5py.Dataset or array-like, shape (n, ...)
        What `outcore.asarray` takes.
    target : str or path
        The new address; its suffix names the format (see `outcore.create`).
    dtype : dtype, optional
        Type of the stored values; that of `X` by default.
    casting : {"no", "equiv", "safe", "same_kind", "unsafe"}
        What `dtype` may do to the values, as in `numpy.can_cast`; but "same_kind" neither cuts text short nor
        lets integers wrap around.
    chunks, compression, compression_opts, shuffle
        For HDF5, as in `outcore.create`.
    memory : int, float or str, optional
        Budget for this call; see `outcore.options`.
    progress : bool or callable, optional
        A bar (True), none (False), or ``callable(done_bytes, total_bytes)``; by default a bar for long
        work on a terminal.
    overwrite : bool
        Whether an existing target may be replaced; it stays until the new one is complete.

    Returns
    -------
    Array
        The target, open to read.

    Raises
    ------
    ExistsError
        The target exists and `overwrite` is False.
    DTypeError
        The values cannot become `dtype` under `casting`.
    MemoryBudgetError
        A single row does not fit in the budget.
    DiskFullError
        Nothing stands under the target's name.

    Notes
    -----
    Memory: one block of rows, at most 16 MB (or one row) and at most the budget, and once more that much
    where the type changes.

    Examples
    --------
    >>> np.save("x.npy", np.arange(6.0).reshape(3, 2))
    >>> oc.convert("x.npy", "x.h5::/x", dtype="f4", compression="gzip").dtype
    dtype('float32')
    """
    source = asarray(X)
    kind = source.dtype if dtype is None else as_dtype(dtype)
    _check_cast(source, kind, casting)
    total = source.nbytes
    with create(
        target,
        source.shape,
        kind,
        chunks=chunks,
        compression=compression,
        compression_opts=compression_opts,
        shuffle=shuffle,
        overwrite=overwrite,
    ) as made:
        if not source.shape:
            made[()] = source[()]
            return made
        extra = kind.itemsize * (source.size // len(source) if len(source) else 0)
        with bars.bar("convert", total, progress) as advance:
            for start, block in row_blocks(source, what="convert", row_extra_bytes=extra, memory=memory):
                if casting == "same_kind":
                    _check_range(block, kind, start)
                made[start : start + len(block)] = block
                advance(block.nbytes)
    return made


def _check_cast(source: Array, kind: np.dtype[Any], casting: str) -> None:
    try:
        possible = np.can_cast(source.dtype, kind, casting)  # type: ignore[arg-type]  # checked by NumPy itself
    except (ValueError, TypeError) as error:
        raise OptionError(f'casting={casting!r}: {error}.\nUse "same_kind" or "unsafe".') from error
    # NumPy calls text cut short "same kind"; nothing here is ever cut without being asked for.
    cut = casting == "same_kind" and any(
        old.kind == new.kind and new.kind in "SU" and new.itemsize < old.itemsize
        for old, new in _pairs(source.dtype, kind)
    )
    if not possible or cut:
        raise DTypeError(
            f"{source.address} holds {source.dtype}; casting={casting!r} does not turn that into {kind}.\n"
            'Use casting="unsafe" if losing what does not fit is what you want, or another dtype.'
        )


def _check_range(block: NDArray[Any], kind: np.dtype[Any], start: int) -> None:
    """Refuse integers that would wrap around, which NumPy calls "same kind" too."""
    names = kind.names
    if names and block.dtype.names:
        for old, new in zip(block.dtype.names, names, strict=True):
            _check_range(block[old], kind[new], start)
        return
    if block.dtype.kind not in "iu" or kind.kind not in "iu" or np.can_cast(block.dtype, kind):
        return
    limits = np.iinfo(kind)
    wrong = (block < limits.min) | (block > limits.max)
    if wrong.any():
        at = np.argwhere(wrong)[0]
        raise DTypeError(
            f"row {start + int(at[0])} holds {block[tuple(at)]}; {kind} holds {limits.min} to {limits.max}.\n"
            'Use a wider dtype, or casting="unsafe" to let it wrap around.'
        )


def _pairs(old: np.dtype[Any], new: np.dtype[Any]) -> list[tuple[np.dtype[Any], np.dtype[Any]]]:
    if old.names and new.names and len(old.names) == len(new.names):
        return [(old[a].base, new[b].base) for a, b in zip(old.names, new.names, strict=True)]
    return [(old, new)]
