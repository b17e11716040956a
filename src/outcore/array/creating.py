"""Making new arrays on disk: `create`.

Reads from : nothing
Hands to   : users, text, conversion

Guarantees
- The array stands under its name when it was closed without an error, and not before.
- Space for a known number of rows is taken at the start, so a full disk is an error before the work.
"""

from __future__ import annotations

import os
from math import prod
from typing import Any, Literal

import numpy as np
from numpy.typing import DTypeLike

from outcore.array.handle import Array
from outcore.dtypes import as_dtype
from outcore.errors import AddressError, ExistsError, OptionError
from outcore.storage import formats
from outcore.storage.file import open_file
from outcore.storage.flat import FlatStorage
from outcore.storage.npy import NpyWriter, refuse_objects
from outcore.storage.protocol import Spec, Storage
from outcore.storage.publish import Partial
from outcore.storage.raw import expand

Shape = int | tuple[int | None, ...]

#: Operating systems count the bytes of a file in 63 bits; some are left for its header.
MAX_FILE_BYTES = (1 << 63) - (1 << 32)


def create(
    address: str | os.PathLike[str],
    shape: Shape,
    dtype: DTypeLike = np.float64,
    *,
    chunks: tuple[int, ...] | Literal[True] | None = None,
    compression: str | int | None = None,
    compression_opts: int | None = None,
    shuffle: bool | None = None,
    overwrite: bool = False,
) -> Array:
    """Create an array on disk, to be filled by this and other processes.

    Use it as a context manager: the array appears under its name when the block ends, and not at all
    if the block ends with an error or the process is killed.

    Parameters
    ----------
    address : str or path
        ``"y.npy"``, ``"y.h5::/group/y"``, or any other name for raw binary. A new dataset in an existing HDF5
        file is added to a copy of the file, which then takes its place.
    shape : int or tuple of int
        A first axis of None starts with no rows and grows by ``Y.append``.
    dtype : dtype
        Structured types too; object types are refused.
    chunks : tuple of int or True, optional
        HDF5: the chunk shape; True lets outcore choose. Needed for compression and growth, then chosen
        if not given.
    compression : {"gzip", "lzf"} or int, optional
        HDF5: the filter, as h5py names it.
    compression_opts : int, optional
        HDF5: the filter's level; 4 for gzip.
    shuffle : bool, optional
        HDF5: reorder bytes before compression; by default whenever there is compression.
    overwrite : bool
        Whether an existing array of that name may be replaced; it stays until the new one is complete.

    Returns
    -------
    Array
        Writable by ``Y[a:b] = block`` and, for a first axis of None, ``Y.append(block)``. Pickled, it lets
        other processes write their rows to files in one piece (.npy, raw, HDF5 without chunks). Closed, it is
        open to read.

    Raises
    ------
    ExistsError
        The target exists and `overwrite` is False.
    WriterConflictError
        Somebody else is writing the same target.
    DiskFullError
        No space for the rows; nothing is left behind.
    DTypeError, OptionError, AddressError
        A type, shape, option or name that cannot be.

    Notes
    -----
    Memory: none for flat files; for compressed HDF5 the rows of one row of chunks, twice.

    Examples
    --------
    >>> import numpy as np, outcore as oc
    >>> with oc.create("y.npy", (None, 2), "f4") as y:
    ...     y.append(np.ones((3, 2)))
    ...     y.append(np.zeros((1, 2)))
    >>> y.shape
    (4, 2)
    """
    kind = as_dtype(dtype)
    path, inner = formats.split(address)
    refuse_objects(kind, str(address))
    sizes, growable = _check_shape(shape)
    kind, sizes = expand(kind, sizes)
    if prod(sizes) * kind.itemsize > MAX_FILE_BYTES:
        raise OptionError(
            f"shape={shape!r} of {kind} needs {prod(sizes) * kind.itemsize} bytes: more than any file has."
        )
    hdf5 = check_layout(
        address, chunks=chunks, compression=compression, compression_opts=compression_opts, shuffle=shuffle
    )
    if hdf5:
        options = {
            "chunks": chunks,
            "compression": compression,
            "compression_opts": compression_opts,
            "shuffle": shuffle,
        }
        partial, storage, spec = _begin_hdf5(path, inner, sizes, growable, kind, options, overwrite)
    else:
        partial, storage, spec = _begin_flat(path, sizes, growable, kind, overwrite)
    return Array(spec, storage, partial=partial, growable=growable)


def check_layout(
    address: str | os.PathLike[str],
    *,
    chunks: tuple[int, ...] | Literal[True] | None,
    compression: str | int | None,
    compression_opts: int | None = None,
    shuffle: bool | None = None,
) -> bool:
    """Say whether an address means HDF5, after checking that the options fit it.

    Raises
    ------
    AddressError
        An HDF5 file without the name of a dataset.
    OptionError
        Options that only HDF5 has, for a flat file.
    """
    path, inner = formats.split(address)
    hdf5 = bool(inner) or formats.suffix_of(path) in formats.HDF5_SUFFIXES
    if hdf5 and not inner:
        raise AddressError(f'{address} names an HDF5 file but no dataset in it.\nUse "{address}::/x".')
    if not hdf5 and (
        chunks is not None or compression is not None or compression_opts is not None or shuffle
    ):
        raise OptionError(
            f"{address} is a flat file; chunks={chunks} and compression={compression!r} need HDF5.\n"
            f'Use "{os.path.splitext(os.fspath(address))[0]}.h5::/x", or leave them out.'
        )
    return hdf5


def _check_shape(shape: Shape) -> tuple[tuple[int, ...], bool]:
    given = tuple(shape) if isinstance(shape, (tuple, list)) else (shape,)
    growable = bool(given) and given[0] is None
    sizes = (0, *given[1:]) if growable else given
    if any(isinstance(n, bool) or not isinstance(n, (int, np.integer)) or n < 0 for n in sizes):
        raise OptionError(
            f"shape={shape!r} is not a tuple of sizes.\n"
            "Use whole numbers of 0 or more; only the first may be None (grows by append)."
        )
    return tuple(int(n) for n in sizes if n is not None), growable


def _begin_flat(
    path: str, sizes: tuple[int, ...], growable: bool, dtype: np.dtype[Any], overwrite: bool
) -> tuple[Partial, Storage, Spec]:
    npy = formats.suffix_of(path) == ".npy"
    partial = Partial(path, overwrite=overwrite)
    try:
        file = open_file(partial.path, writable=True)
        offset = NpyWriter.header_bytes(sizes, dtype) if npy else 0
        spec = Spec("npy" if npy else "raw", partial.path, "", "r+", sizes, dtype, "C", offset)
        if not growable:
            file.reserve(offset + prod(sizes) * dtype.itemsize)
        storage = NpyWriter(spec, file) if npy else FlatStorage(spec, file, writable=True)
        return partial, storage, spec
    except BaseException:
        partial.discard()
        raise


def _begin_hdf5(
    path: str,
    inner: str,
    sizes: tuple[int, ...],
    growable: bool,
    dtype: np.dtype[Any],
    options: dict[str, Any],
    overwrite: bool,
) -> tuple[Partial, Storage, Spec]:
    hdf5 = formats.module("hdf5")
    hdf5.check_dtype(dtype, f"{path}::{inner}")
    exists = os.path.lexists(path)
    if exists and not overwrite and hdf5.has(path, inner):
        raise ExistsError(
            f"{path}::{inner} exists and overwrite is False.\n"
            "Use overwrite=True to replace it, or another name."
        )
    # The file is replaced by a copy of itself with one dataset more, so its own name must be free to take.
    partial = Partial(path, overwrite=exists)
    try:
        if exists:
            partial.begin_with(path)
        shape = (None, *sizes[1:]) if growable else sizes
        storage: Storage = hdf5.create(partial.path, inner, shape, dtype, **options)
        kind = "h5flat" if isinstance(storage, FlatStorage) else "hdf5"
        offset = storage.offset if isinstance(storage, FlatStorage) else 0
        return partial, storage, Spec(kind, partial.path, inner, "r+", sizes, dtype, "C", offset)
    except BaseException:
        partial.discard()
        raise
