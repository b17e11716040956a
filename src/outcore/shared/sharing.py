"""Making shared arrays, and getting at those of others: `share`, `shared_empty`, `attach`.

Reads from : shared.memfd, or shared.named where there is no memfd
Hands to   : users
"""

from __future__ import annotations

import os
import sys
from math import prod
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from outcore.dtypes import as_dtype
from outcore.errors import AddressError, DTypeError, OptionError, OutcoreError, ShapeError
from outcore.shared import mailbox, memfd, named, token, travel
from outcore.shared.header import HEADER_BYTES
from outcore.shared.records import SharedRecArray
from outcore.shared.segment import Segment, describe
from outcore.shared.sharedarray import SharedArray, attached
from outcore.storage.copying import as_bytes

#: Where segments are made; tests force the other one.
BACKEND: Any = memfd if sys.platform == "linux" and hasattr(os, "memfd_create") else named
MODES = ("r", "r+", "c")
_KINDS: dict[str, type[SharedArray]] = {cls._kind: cls for cls in (SharedArray, SharedRecArray)}
_BLOCK_BYTES = 1 << 24
_MOST_BYTES = sys.maxsize - HEADER_BYTES


def shared_empty(
    shape: int | tuple[int, ...],
    dtype: DTypeLike = np.float64,
    order: Literal["C", "F"] = "C",
    *,
    reserve: bool = True,
) -> SharedArray:
    """Make an array in shared memory, for this process and others to fill.

    Parameters
    ----------
    shape : int or tuple of int
    dtype : dtype
        Structured types too; object and other types whose values are addresses are refused.
    order : {"C", "F"}
        How the values lie in memory.
    reserve : bool
        Whether to take the memory now, so that running out of it is an error here. False: pages are taken as
        they are touched, for arrays of which only parts will be.

    Returns
    -------
    SharedArray of shape `shape`
        Full of zeros.

    Raises
    ------
    MemoryBudgetError
        More than the machine, or its control group, has free; nothing was touched.
    HandleLimitError
        This process has no file descriptor left.
    DTypeError, ShapeError, OptionError
        A type, shape or order that cannot be.

    Notes
    -----
    Memory: the array, and 4 kB.

    Examples
    --------
    >>> import outcore as oc
    >>> s = oc.shared_empty((4, 2), "f4")  # hand s[0:2] and s[2:4] to two children to fill
    >>> s.shape, s.dtype
    ((4, 2), dtype('float32'))
    """
    kind, sizes = checked(shape, dtype)
    if order not in ("C", "F"):
        raise OptionError(f"order={order!r} is neither 'C' nor 'F'.")
    segment = _make(kind, sizes, order, reserve=reserve)
    return _whole(segment, sizes, kind, order)


def share(a: ArrayLike, *, order: Literal["C", "F", "A"] = "A") -> SharedArray:
    """Copy an array into shared memory, once; from then on it travels between processes as a handle.

    Parameters
    ----------
    a : array-like
        An ndarray of any kind but object; an `outcore.Array` or another array on disk is read block by block.
        A `SharedArray` is copied too: it needs no sharing.
    order : {"A", "C", "F"}
        How the values shall lie in memory: "A" keeps Fortran order and makes C order of all else.

    Returns
    -------
    SharedArray
        Writable, with the shape, dtype and values of `a`. A `numpy.recarray` keeps its fields as attributes.

    Raises
    ------
    MemoryBudgetError
        More than the machine, or its control group, has free; nothing was touched.
    HandleLimitError
        This process has no file descriptor left.
    DTypeError
        Object arrays, text of variable width, masked arrays.
    OptionError
        Another order.

    Notes
    -----
    Memory: the copy, and 4 kB.

    Examples
    --------
    In a worker, ``return oc.share(a)`` instead of ``return a``: the parent gets the array without a copy.

    >>> import numpy as np, outcore as oc
    >>> s = oc.share(np.array([(b"chr1", 5)], dtype=[("chr", "S10"), ("pos", "i4")]))
    >>> s["pos"]
    SharedArray([5], dtype=int32)
    """
    if order not in ("A", "C", "F"):
        raise OptionError(f"order={order!r} is none of 'A', 'C', 'F'.")
    if isinstance(a, getattr(sys.modules.get("numpy.ma"), "MaskedArray", ())):  # who has one has imported it
        raise DTypeError(
            "a masked array is two arrays, its data and its mask; shared memory holds one.\n"
            "Use oc.share(a.filled()), or share a.data and np.ma.getmaskarray(a) both."
        )
    if not isinstance(a, np.ndarray) and _on_disk(a):
        return _read(a, "F" if order == "F" else "C")
    given = np.asarray(a)
    kind, sizes = checked(given.shape, given.dtype)
    cls = SharedRecArray if isinstance(a, np.recarray) and kind.names is not None else SharedArray
    fortran = order == "F" or (order == "A" and given.flags.fnc)
    lies: Literal["C", "F"] = "F" if fortran else "C"
    flat = given.T if fortran else given
    if flat.flags.c_contiguous and flat.nbytes:
        source = as_bytes(flat, 1, flat.nbytes)[0].data
        return _whole(_make(kind, sizes, lies, source=source), sizes, kind, lies, cls)
    made = _whole(_make(kind, sizes, lies), sizes, kind, lies, cls)
    made[...] = given
    return made


def attach(token_text: str, mode: Literal["r", "r+", "c"] = "r+") -> SharedArray:
    """Open an array that another program of the same user shares.

    Parameters
    ----------
    token_text : str
        What ``S.token()`` returned there.
    mode : {"r+", "r", "c"}
        As in `numpy.memmap`: read and write, read only (the kernel refuses writes), or copy on write (changes
        stay in this process, whatever the others do).

    Returns
    -------
    SharedArray

    Raises
    ------
    SegmentGoneError
        That program has ended, or let go of the array, or belongs to somebody else.
    ReadOnlyError
        Mode "r+" for an array that was frozen.
    AddressError
        The text is not a token.
    HandleLimitError
        This process has no file descriptor left.

    Notes
    -----
    Memory: none, whatever the size; with "c" the pages that are written.

    Examples
    --------
    >>> import numpy as np, outcore as oc
    >>> s = oc.share(np.arange(3))
    >>> private = oc.attach(s.token(), mode="c")
    >>> private[0] = 7
    >>> s[0]
    np.int64(0)
    """
    if mode not in MODES:
        raise OptionError(f"mode={mode!r} is not one of {', '.join(map(repr, MODES))}.")
    kind, handle, offset, shape, strides, dtype = token.read(token_text)
    cls = _KINDS.get(kind, SharedArray)
    try:
        return attached(cls, handle, mode, offset, shape, strides, dtype, strict=True)
    except OutcoreError:
        raise
    except (ValueError, TypeError) as error:  # a view that leaves its segment
        raise AddressError(
            f"the token names an array that does not fit its memory: {error}.\n"
            "Use the text that S.token() returned, as a whole."
        ) from error


def _make(
    dtype: np.dtype[Any],
    shape: tuple[int, ...],
    order: str,
    *,
    reserve: bool = True,
    source: memoryview | None = None,
) -> Segment:
    # What was received since the last time is let go of first: its memory may be what is needed now.
    travel.sweep()
    mailbox.own().drain()
    mailbox.own().forget_received()
    header = describe(dtype, shape, order, prod(shape) * dtype.itemsize)
    made: Segment = BACKEND.create(header, reserve=reserve, source=source)
    return made


def _whole(
    segment: Segment,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    order: str,
    cls: type[SharedArray] = SharedArray,
) -> SharedArray:
    made = cls._on(segment, 0, shape[::-1] if order == "F" else shape, None, dtype)
    return made.T if order == "F" else made


def checked(shape: int | tuple[int, ...], dtype: DTypeLike) -> tuple[np.dtype[Any], tuple[int, ...]]:
    """Return the type and shape as those of an array in shared memory, or refuse them by name."""
    kind = as_dtype(dtype)
    if kind.hasobject or kind.kind == "T":
        what = "text of variable width" if kind.kind == "T" else "Python objects"
        cure = '"U20"' if kind.kind == "T" else 'a numeric type, "S20" or "U20"'
        raise DTypeError(
            f"dtype {kind} holds {what}: addresses that mean nothing in another process.\n"
            f"Convert it first: a.astype({cure}), or structured fields of such types."
        )
    given: tuple[Any, ...] = tuple(shape) if isinstance(shape, (tuple, list)) else (shape,)
    if any(isinstance(n, bool) or not isinstance(n, (int, np.integer)) or n < 0 for n in given):
        raise ShapeError(f"shape={shape!r} is not a tuple of whole numbers of 0 or more.")
    # A subarray type, such as ("f4", (2,)), is a longer shape.
    sizes = (*(int(n) for n in given), *kind.shape)
    if prod(max(n, 1) for n in sizes) * max(kind.itemsize, 1) > _MOST_BYTES:
        raise ShapeError(f"shape={shape!r} of dtype {kind.base} has more bytes than any machine can address.")
    return kind.base, sizes


def _on_disk(a: Any) -> bool:
    """Whether `a` is something to be read in blocks: an outcore.Array, an HDF5 dataset."""
    # What NumPy computes with is in memory; a column of a data frame need not count its rows from 0.
    if hasattr(a, "__array_ufunc__") or not isinstance(getattr(a, "dtype", None), np.dtype):
        return False
    return hasattr(a, "__getitem__") and len(getattr(a, "shape", ())) > 0


def _read(a: Any, order: Literal["C", "F"]) -> SharedArray:
    kind, sizes = checked(tuple(a.shape), a.dtype)
    made = _whole(_make(kind, sizes, order), sizes, kind, order)
    step = max(1, _BLOCK_BYTES // max(made.nbytes // max(len(made), 1), 1))
    for start in range(0, len(made), step):
        made[start : start + step] = a[start : start + step]
    return made
