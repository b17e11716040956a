"""New HDF5 datasets: their place made, ready for rows.

Reads from : storage.hdf5_options
Hands to   : storage.flat (rows in one piece), storage.chunked_write (chunks), storage.hdf5_combine (many at
             once)

Guarantees
- Options are checked before the file is touched.
- A contiguous dataset has all its space, and its file is closed by HDF5, before the first row is written:
  from then on it is written like a raw file, by any number of processes.

The caller has put a file of its own at `path`: empty, or a copy of an HDF5 file that gets one dataset more.
It holds a lock on it (storage.publish) that HDF5's own would run into, so HDF5's is off here.
"""

from __future__ import annotations

import os
import posixpath
from math import prod
from typing import Any

import h5py
import numpy as np

from outcore.errors import AddressError, ExistsError, WriterConflictError
from outcore.storage.chunked_write import ChunkedWriter
from outcore.storage.file import open_file
from outcore.storage.flat import FlatStorage
from outcore.storage.hdf5_dates import marked
from outcore.storage.hdf5_file import disk_errors, open_h5
from outcore.storage.hdf5_options import Options, Shape, check_dtype, choose
from outcore.storage.hdf5_rows import cache_bytes
from outcore.storage.protocol import Spec, Storage


def create(
    path: str,
    inner: str,
    shape: tuple[int | None, ...],
    dtype: np.dtype[Any],
    *,
    chunks: int | bool | tuple[int, ...] | None = None,
    compression: Any = None,
    compression_opts: Any = None,
    shuffle: bool | None = None,
    fletcher32: bool = False,
) -> Storage:
    """Add a dataset to the file at `path` and return a storage to write it.

    Parameters
    ----------
    shape : tuple of int
        A first axis of None grows.
    chunks : tuple of int, int or True, optional
        Shape of a chunk, rows of a chunk, or True for chunks of about 1 MB. None: rows in one piece, unless
        something else asks for chunks.
    compression : {"gzip", "lzf"}, int or hdf5plugin filter, optional
    compression_opts : optional
        Level 0 to 9 of gzip (default 4), or the options of another filter.
    shuffle : bool, optional
        Default: True with gzip, lzf, lz4 and zstd.
    fletcher32 : bool
        Store a checksum with each chunk.

    Raises
    ------
    OptionError, DTypeError, FilterError, AddressError
        Before anything is written.
    DiskFullError
        No room for the rows.
    """
    dtype = np.dtype(dtype)
    check_dtype(dtype, f"{path}::{inner}")
    if not inner.strip("/"):
        raise AddressError(f'{path}: a dataset in an HDF5 file needs a name.\nUse "{path}::/x", for example.')
    options = choose(
        shape,
        dtype,
        chunks=chunks,
        compression=compression,
        compression_opts=compression_opts,
        shuffle=shuffle,
        fletcher32=fletcher32,
    )
    sizes = tuple(n or 0 for n in shape)
    if options.chunks is None:
        return _create_flat(path, inner, sizes, dtype)
    h5 = open_own(path, rdcc_nbytes=cache_bytes(options.chunks, sizes, dtype))
    try:
        dataset = new_chunked(*place(h5, path, inner), shape, dtype, options)
        return ChunkedWriter(path, h5, dataset, growable=shape[0] is None)
    except BaseException:
        h5.close()
        raise


def _create_flat(path: str, inner: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Storage:
    with disk_errors(path), open_own(path) as h5:  # closing it writes too
        made = new_flat(*place(h5, path, inner), shape, dtype)
        offset = made.id.get_offset() if prod(shape) * dtype.itemsize else 0
    file = open_file(path, writable=True)
    try:
        file.reserve(file.size())
    except BaseException:
        file.close()
        raise
    return FlatStorage(Spec("h5flat", path, inner, "r+", shape, dtype, "C", offset), file, writable=True)


def new_flat(parent: Any, name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
    """Make a dataset in one piece that has all its space already."""
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_layout(h5py.h5d.CONTIGUOUS)
    properties.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    properties.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    properties.set_obj_track_times(False)
    kind = h5py.h5t.py_create(marked(dtype), logical=True)
    space = h5py.h5s.create_simple(shape) if shape else h5py.h5s.create(h5py.h5s.SCALAR)
    return h5py.Dataset(h5py.h5d.create(parent.id, name.encode(), kind, space, properties))


def new_chunked(parent: Any, name: str, shape: Shape, dtype: np.dtype[Any], options: Options) -> Any:
    """Make a dataset in chunks; a first axis of None grows."""
    return parent.create_dataset(
        name,
        shape=tuple(n or 0 for n in shape),
        dtype=marked(dtype),
        # A chunk is at least 1 long, and no longer than an axis may become: so an axis of 0 may grow.
        maxshape=tuple(n or None for n in shape),
        chunks=options.chunks,
        **options.filters,
    )


def open_own(path: str, **options: Any) -> Any:
    """Open the caller's own file, empty or a copy, to add to it."""
    file = open_file(path)
    try:
        empty = file.size() == 0
    finally:
        file.close()
    try:
        # A file that this process has made is in no inherited table of HDF5, so a forked child needs no other
        # driver; and only this one tells the descriptor.
        return open_h5(path, "w" if empty else "r+", lockings=(False,), driver="sec2", **options)
    except WriterConflictError as error:
        setting = os.environ.get("HDF5_USE_FILE_LOCKING")
        if setting is None:
            raise
        raise WriterConflictError(
            f"{path} cannot be created while HDF5_USE_FILE_LOCKING={setting} makes HDF5 lock every file:"
            " outcore holds a lock on it already.\nUnset that variable, or set it to FALSE, and start again."
        ) from error


def place(h5: Any, path: str, inner: str) -> tuple[Any, str]:
    """Make the groups above `inner`, remove a dataset of that name; return group and name."""
    above, name = posixpath.split("/" + inner.strip("/"))
    try:
        parent = h5.require_group(above)
    except (TypeError, ValueError) as error:
        raise AddressError(
            f"{path}::{inner}: {above} is, or is below, a dataset; nothing can be put into it.\n"
            "Choose another name."
        ) from error
    if isinstance(parent.get(name), h5py.Group):
        raise ExistsError(
            f"{path}::{inner} is a group; a dataset cannot take its name.\nChoose another name."
        )
    if parent.get(name, getlink=True) is not None:
        del parent[name]
    return parent, name
