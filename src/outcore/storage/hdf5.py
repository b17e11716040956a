"""HDF5 datasets as arrays: found, described, opened, created.

Reads from : h5py, for a moment; then the file itself wherever that is possible
Hands to   : array.opening, array.creating, storage.formats

Which way a dataset is read
- Rows in one piece in the file: as raw bytes (`storage.flat`), no HDF5 involved.
- Chunks whose filters are known, opened to read: `storage.chunked`, decoded in threads.
- Everything else, and writing to existing chunked datasets: h5py (`storage.hdf5_rows`); ``X.info["reader"]``
  says why.
"""

from __future__ import annotations

import os
from math import prod
from typing import Any

import h5py

from outcore.errors import (
    AddressError,
    ClosedError,
    NotFoundError,
    OptionError,
    OutcoreError,
    TruncatedError,
    WriterConflictError,
)
from outcore.storage.chunk_index import build, stamp_of
from outcore.storage.chunked import ChunkedStorage
from outcore.storage.file import open_file, stale, verify
from outcore.storage.hdf5_dataset import Layout, examine, reopened, require_decodable
from outcore.storage.hdf5_file import MAX_NAMES, ONE_WRITER, briefly_open, dataset_names, listed
from outcore.storage.hdf5_options import check_dtype, check_options
from outcore.storage.hdf5_rows import H5pyStorage
from outcore.storage.hdf5_write import create
from outcore.storage.protocol import Fingerprint, Spec, Storage

__all__ = ["check_dtype", "check_options", "create", "has", "locate", "locate_dataset", "open_spec"]

#: Drivers whose file is one file with a name that others can open.
_FILE_DRIVERS = ("sec2", "stdio", "direct", "windows")


def locate(path: str, inner: str, mode: str) -> Spec:
    """Find a dataset and return where and what its rows are.

    Parameters
    ----------
    inner : str
        Name of the dataset, or "" for the only one in the file.

    Raises
    ------
    NotFoundError
        No such file or dataset; the datasets there are listed.
    AddressError
        A group, or a name is needed because there are several datasets.
    FormatError, TruncatedError
        Not an HDF5 file, or not all of one.
    DTypeError, FilterError
        Values or filters that cannot be read.
    """
    file = open_file(path, writable=mode == "r+")
    try:
        fingerprint, size = file.fingerprint(), file.size()
    finally:
        file.close()
    with briefly_open(path) as h5:
        dataset = _find(h5, path, inner)
        if not os.path.samefile(dataset.file.filename, path):  # an external link leads to another file
            elsewhere = os.path.abspath(dataset.file.filename), dataset.name
        else:
            return _spec(dataset, path, inner or dataset.name, mode, fingerprint, size)
    return locate(*elsewhere, mode)


def has(path: str, inner: str) -> bool:
    """Whether the HDF5 file at `path` has anything named `inner`.

    Raises
    ------
    FormatError, TruncatedError, WriterConflictError
        The file cannot be opened.
    """
    with briefly_open(path) as h5:
        try:
            return h5.get(inner, getlink=True) is not None
        except KeyError:
            return False


def locate_dataset(dataset: Any) -> Spec:
    """Return where the rows of an open `h5py.Dataset` are; what was written through it is flushed first.

    Raises
    ------
    AddressError
        The dataset is in memory, or has no name.
    ClosedError
        Its file is closed.
    StaleArrayError
        Its file has been moved or replaced.
    """
    if not dataset:
        raise ClosedError(
            f"{dataset!r}: its file is closed.\nOpen it by its address: oc.open('FILE.h5::/NAME')."
        )
    h5 = dataset.file
    if h5.driver not in _FILE_DRIVERS:
        raise AddressError(
            f"{dataset!r} is in a file of driver {h5.driver!r}, which nobody else can open by its name.\n"
            "Read it into memory (dataset[...]), or write it to a file on disk."
        )
    if dataset.name is None:
        raise AddressError(
            f"{dataset!r} has no name, so it has no address.\nGive it one: group['x'] = dataset."
        )
    if h5.mode != "r":
        h5.flush()
    path = os.path.abspath(h5.filename)
    file = open_file(path)
    try:
        fingerprint, size = file.fingerprint(), file.size()
    finally:
        file.close()
    if h5.driver == "sec2" and fingerprint.inode != os.fstat(h5.id.get_vfd_handle()).st_ino:
        raise stale(path, "was moved or replaced")
    return _spec(dataset, path, dataset.name, "r", fingerprint, size)


def open_spec(spec: Spec) -> Storage:
    """Open again what `spec` was made from, and check that it is still the same.

    Raises
    ------
    StaleArrayError
        The file was replaced, or the dataset is another one.
    WriterConflictError
        It is not complete yet, or somebody else writes to it.
    """
    if spec.fingerprint is None:
        raise WriterConflictError(f"{spec.address} is being written by another process.\n{ONE_WRITER}")
    file = open_file(spec.path, writable=spec.mode == "r+")
    try:
        verify(file, spec.fingerprint, 0)
        stamp = stamp_of(file)
        with reopened(spec) as (dataset, layout):
            require_decodable(layout, spec.address, spec.mode)
            reason = _why_h5py(layout, spec)
            if not reason:
                return ChunkedStorage(spec, file, layout, build(dataset, layout, stamp))
        return H5pyStorage(spec, file, layout, reason)
    except BaseException:
        file.close()
        raise


def _spec(dataset: Any, path: str, inner: str, mode: str, fingerprint: Fingerprint, size: int) -> Spec:
    address = f"{path}::{inner}"
    layout = examine(dataset, address)
    require_decodable(layout, address, mode)
    if layout.offset is not None:
        needed = layout.offset + prod(layout.shape) * layout.dtype.itemsize
        if size < needed:
            raise TruncatedError(
                f"{path} has {size} bytes; {inner} needs {needed}: the end is missing.\nCopy it again."
            )
        return Spec("h5flat", path, inner, mode, layout.shape, layout.dtype, "C", layout.offset, fingerprint)
    if mode == "c":
        raise OptionError(
            f'mode="c" needs rows in one piece in the file; those of {address} are not.\n'
            'Use mode="r" and change the copies: X[a:b] is one.'
        )
    return Spec("hdf5", path, inner, mode, layout.shape, layout.dtype, fingerprint=fingerprint)


def _why_h5py(layout: Layout, spec: Spec) -> str:
    if layout.only_h5py:
        return layout.only_h5py
    if spec.mode != "r":
        return f"opened with mode {spec.mode}"
    unknown = layout.pipeline().unknown
    return f"filter {unknown.name} is decoded by h5py only" if unknown is not None else ""


def _find(h5: Any, path: str, inner: str) -> Any:
    if not inner:
        names = dataset_names(h5)
        if len(names) != 1:
            error = AddressError if names else NotFoundError
            raise error(_choose(f"{path} holds {_count(names)}; which one is meant?", path, names))
        inner = names[0]
    try:
        found = h5[inner]
    except (KeyError, OSError, ValueError) as error:
        raise _missing(h5, path, inner, error) from error
    if isinstance(found, h5py.Dataset):
        return found
    if not isinstance(found, h5py.Group):
        raise AddressError(
            f"{path}::{inner} is a named type, not a dataset.\nIn the file {listed(dataset_names(h5))}."
        )
    names = dataset_names(found)
    raise AddressError(_choose(f"{path}::{inner} is a group with {_count(names)}.", path, names))


def _missing(h5: Any, path: str, inner: str, error: Exception) -> OutcoreError:
    try:
        link = h5.get(inner, getlink=True)
    except KeyError:
        link = None
    if isinstance(link, (h5py.SoftLink, h5py.ExternalLink)):
        target = f"{link.filename}::{link.path}" if isinstance(link, h5py.ExternalLink) else link.path
        return NotFoundError(f"{path}::{inner} is a link to {target}, which cannot be opened: {error}.")
    return NotFoundError(_choose(f"{path} has no dataset {inner}.", path, dataset_names(h5)))


def _choose(what: str, path: str, names: list[str]) -> str:
    example = f'\nUse "{path}::{names[0]}", for example.' if names else ""
    return f"{what}\n  In it {listed(names)}.{example}"


def _count(names: list[str]) -> str:
    return (
        f"more than {MAX_NAMES} datasets"
        if len(names) > MAX_NAMES
        else f"{len(names)} dataset{'s' * (len(names) != 1)}"
    )
