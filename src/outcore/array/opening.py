"""Getting a handle on rows that exist: `open` and `asarray`.

Reads from : storage.formats
Hands to   : users, and everything that takes "an array"
"""

from __future__ import annotations

import os
import sys
from mmap import ALLOCATIONGRANULARITY
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from outcore.array.handle import Array
from outcore.dtypes import as_dtype
from outcore.errors import OptionError
from outcore.shared.sharedarray import SharedArray
from outcore.storage import formats
from outcore.storage.file import open_file
from outcore.storage.memory import MemoryStorage
from outcore.storage.npy import refuse_objects
from outcore.storage.protocol import Spec

MODES = ("r", "r+", "c")


def open_array(
    address: str | os.PathLike[str],
    mode: str = "r",
    *,
    dtype: DTypeLike | None = None,
    shape: tuple[int, ...] | None = None,
    offset: int = 0,
    order: str = "C",
) -> Array:
    """Open an array on disk; nothing but its header is read.

    Parameters
    ----------
    address : str or path
        ``"x.npy"``, ``"run.h5::/group/x"`` for a dataset in an HDF5 file, or any file of raw numbers
        (then `dtype` is needed).
    mode : {"r", "r+", "c"}
        As in `numpy.memmap`: read, read and write in place, or copy on write (changes stay in memory).
    dtype : dtype, optional
        For raw binary: the type of one value, structured types too.
    shape : tuple of int, optional
        For raw binary. A first axis of -1 takes all the rows that the file holds; None means (-1,).
    offset : int
        For raw binary: bytes before the first row.
    order : {"C", "F"}
        For raw binary: how the values lie.

    Returns
    -------
    Array

    Raises
    ------
    NotFoundError
        No such file, or no such dataset in it (the ones there are listed).
    FormatError
        Not an array file, a damaged header, or (`TruncatedError`) a file without its end.
    DTypeError
        Object arrays: their values mean nothing outside one process.
    FilterError
        An HDF5 filter that nothing installed here can decode.

    Notes
    -----
    Memory: none for the data. Time does not depend on the size of the file, but for chunked HDF5,
    where the positions of all chunks are looked up at the first read.

    Examples
    --------
    >>> import numpy as np, outcore as oc
    >>> np.save("x.npy", np.arange(10.0))
    >>> x = oc.open("x.npy")
    >>> x[2:4]
    array([2., 3.])
    """
    if mode not in MODES:
        raise OptionError(
            f"mode={mode!r} is not one of {', '.join(map(repr, MODES))}.\n"
            "Use oc.create to make a new array, mode='r+' to change an existing one."
        )
    if order not in ("C", "F"):
        raise OptionError(f"order={order!r} is neither 'C' nor 'F'.")
    path, inner = formats.split(address)
    given = None if dtype is None else as_dtype(dtype)
    sizes = None if shape is None else tuple(int(n) for n in np.atleast_1d(shape))
    return Array(formats.locate(path, inner, mode, dtype=given, shape=sizes, offset=offset, order=order))


def asarray(obj: Any) -> Array:
    """Make an `Array` of anything that holds rows, without copying them.

    Parameters
    ----------
    obj : Array, str, path, SharedArray, numpy.memmap, h5py.Dataset, ndarray or array-like
        Addresses are opened to read. Memory maps and HDF5 datasets become references to their
        files. Other arrays are referred to where they are, in memory.

    Returns
    -------
    Array

    Raises
    ------
    DTypeError
        Object arrays.

    Notes
    -----
    An array in this process's memory has no address, so the result works like any other but cannot be
    pickled. That of a `SharedArray` can.

    Examples
    --------
    >>> import numpy as np, outcore as oc
    >>> oc.asarray(np.arange(6)).windows([0, 2], 3)
    array([[0, 1, 2],
           [2, 3, 4]])
    """
    if isinstance(obj, Array):
        return obj
    if isinstance(obj, (str, os.PathLike)):
        return open_array(obj)
    if isinstance(obj, np.memmap):
        spec = _spec_of_memmap(obj)
        if spec is not None:
            return Array(spec)
    h5py = sys.modules.get("h5py")  # whoever passes a dataset has imported it
    if h5py is not None and isinstance(obj, h5py.Dataset):
        return Array(formats.module("hdf5").locate_dataset(obj))
    return _in_memory(obj if isinstance(obj, SharedArray) else np.asarray(obj))


def _in_memory(array: NDArray[Any]) -> Array:
    refuse_objects(array.dtype, "array")
    spec = Spec("memory", "memory", "", "r", array.shape, array.dtype)
    return Array(spec, MemoryStorage(array))


def _spec_of_memmap(array: np.memmap[Any, Any]) -> Spec | None:
    """Find where in its file a memory map, or a contiguous part of one, lies; None if it has no place."""
    mapping = getattr(array, "_mmap", None)
    if mapping is None or array.filename is None or array.mode == "c" or not array.size:
        return None  # private pages are not in the file
    if not (array.flags.c_contiguous or array.flags.f_contiguous):
        return None
    # `offset` is that of the whole map and stays the same in slices, so addresses are compared.
    begin = array.offset - array.offset % ALLOCATIONGRANULARITY
    inside = (
        array.__array_interface__["data"][0] - np.frombuffer(mapping, np.uint8).__array_interface__["data"][0]
    )
    path = os.path.abspath(array.filename)
    if not os.path.exists(path):
        return None
    file = open_file(path)
    try:
        fingerprint = file.fingerprint()
    finally:
        file.close()
    if _mapped_inode(array.__array_interface__["data"][0]) not in (None, fingerprint.inode):
        return None  # another file has taken the name since
    order = "C" if array.flags.c_contiguous else "F"
    return Spec("raw", path, "", "r", array.shape, array.dtype, order, begin + inside, fingerprint)


def _mapped_inode(address: int) -> int | None:
    """Find which file is mapped at `address`; None where the system does not tell."""
    try:
        with open("/proc/self/maps") as maps:
            for line in maps:
                span, _, _, _, inode = line.split(maxsplit=5)[:5]
                low, high = (int(bound, 16) for bound in span.split("-"))
                if low <= address < high:
                    return int(inode)
    except OSError:
        pass
    return None
