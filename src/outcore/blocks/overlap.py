"""Whether two arrays have bytes in common.

Reads from : the layout of arrays, on disk and in memory
Hands to   : blocks.targets
"""

from __future__ import annotations

import os
from math import prod
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from outcore.array import blockwise
from outcore.array.handle import Array
from outcore.storage.protocol import Spec

#: Whether strided arrays have a byte in common can be hard to say; after so much search they are taken to.
SEARCH = 1000


def overlap(one: Array, other: Array) -> Literal["same rows", "some"] | None:
    """Say how two arrays overlap.

    Returns
    -------
    str or None
        None: not at all. ``"same rows"``: row i of one may have bytes in common with row i of the other, and
        with no other row of it. ``"some"``: they overlap in another way.
    """
    views = blockwise.in_memory(one), blockwise.in_memory(other)
    if views[0] is not None and views[1] is not None and _share(views[0], views[1]):
        return "same rows" if _place(views[0]) == _place(views[1]) else "some"
    if "memory" not in (one.spec.kind, other.spec.kind):
        return _on_disk(one.spec, other.spec)
    files = [
        array.spec.path if view is None else _mapped_file(view)
        for array, view in zip((one, other), views, strict=True)
    ]
    # A part of a memory map whose place in the file cannot be told.
    return "some" if files[0] and files[1] and _same_file(files[0], files[1]) else None


def _mapped_file(rows: NDArray[Any]) -> str | None:
    base: Any = rows
    while base is not None:
        if isinstance(base, np.memmap) and base.filename is not None:
            return os.fspath(base.filename)
        base = getattr(base, "base", None)
    return None


def _share(one: NDArray[Any], other: NDArray[Any]) -> bool:
    try:
        return np.shares_memory(one, other, max_work=SEARCH)  # type: ignore[arg-type]  # stubs know 0 and -1
    except np.exceptions.TooHardError:
        return True


def _place(rows: NDArray[Any]) -> tuple[object, ...]:
    return rows.ctypes.data, rows.shape, rows.strides, rows.dtype


def _on_disk(one: Spec, other: Spec) -> Literal["same rows", "some"] | None:
    if not _same_file(one.path, other.path):
        return None
    if "hdf5" in (one.kind, other.kind):
        return "some" if one.inner == other.inner else None  # chunks are read and written whole
    ends = [spec.offset + prod(spec.shape) * spec.dtype.itemsize for spec in (one, other)]
    if one.offset >= ends[1] or other.offset >= ends[0]:
        return None
    return "same rows" if _lie(one) == _lie(other) else "some"


def _lie(spec: Spec) -> tuple[object, ...]:
    return spec.offset, spec.shape, spec.dtype.itemsize, spec.order


def _same_file(one: str, other: str) -> bool:
    try:
        return os.path.samefile(one, other)
    except OSError:
        return False  # one is gone, which who reads it will say
