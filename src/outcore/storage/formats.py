"""Which module opens what: addresses, suffixes, and the first bytes of files.

Hands to   : array.opening, array.creating, array.handle

Modules are imported when their format is first met, so that reading a .npy file never costs the
import of an HDF5 library.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any

import numpy as np

from outcore.errors import AddressError, FormatError, OptionError
from outcore.storage.file import open_file
from outcore.storage.protocol import Spec, Storage

#: Spec.kind -> the module whose ``open_spec(spec)`` opens it.
FORMATS = {
    "npy": "outcore.storage.npy",
    "raw": "outcore.storage.flat",
    "h5flat": "outcore.storage.flat",
    "hdf5": "outcore.storage.hdf5",
}
HDF5_SUFFIXES = (".h5", ".hdf5", ".hdf", ".he5", ".nc", ".h5ad", ".mat")
HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
SEPARATOR = "::"


def module(name: str) -> Any:
    """Import a format's module."""
    return import_module(f"outcore.storage.{name}")


def open_spec(spec: Spec) -> Storage:
    """Open what `spec` describes, after checking that the file is still the same one."""
    storage: Storage = import_module(FORMATS[spec.kind]).open_spec(spec)
    return storage


def split(address: str | os.PathLike[str]) -> tuple[str, str]:
    """Split an address into the absolute path of a file and the name inside it.

    Raises
    ------
    AddressError
        An empty path, or ``::`` with nothing behind it.

    Examples
    --------
    >>> split("/data/run.h5::/group/x")
    ('/data/run.h5', '/group/x')
    """
    text = os.fspath(address)
    if not isinstance(text, str):
        raise AddressError(f"{address!r} is not text.\nUse a str or a pathlib.Path.")
    path, separator, inner = text.partition(SEPARATOR)
    if not path or (separator and not inner.strip("/")):
        raise AddressError(
            f"{text!r} is not an address: the {'name inside the file' if path else 'path'} is empty.\n"
            'Use "x.npy", or "run.h5::/group/x" for a dataset in an HDF5 file.'
        )
    inner = "/" + inner.strip("/") if inner else ""
    return os.path.abspath(os.path.expanduser(path)), inner


def suffix_of(path: str) -> str:
    """Return the lower-case suffix of a path, with its dot."""
    return os.path.splitext(path)[1].lower()


def is_hdf5(path: str, inner: str) -> bool:
    """Whether an address means a dataset in an HDF5 file: by its name, or by its first bytes."""
    if inner or suffix_of(path) in HDF5_SUFFIXES:
        return True
    if suffix_of(path) == ".npy" or not os.path.isfile(path):
        return False
    with open(path, "rb") as file:
        return file.read(len(HDF5_SIGNATURE)) == HDF5_SIGNATURE


def locate(
    path: str,
    inner: str,
    mode: str,
    *,
    dtype: np.dtype[Any] | None = None,
    shape: tuple[int, ...] | None = None,
    offset: int = 0,
    order: str = "C",
) -> Spec:
    """Find out what an existing file holds.

    Raises
    ------
    NotFoundError
        No such file, or no such dataset in it.
    FormatError
        Not an array file, and no `dtype` was given to read it as raw binary.
    OptionError
        `dtype` or `shape` contradict what the file says.
    """
    if not os.path.exists(path):
        open_file(path)  # raises the error that names the nearest folder
    if os.path.isdir(path):
        raise FormatError(f"{path} is a folder, not an array file.\nName a file in it.")
    spec: Spec
    if is_hdf5(path, inner):
        spec = module("hdf5").locate(path, inner, mode)
    elif suffix_of(path) == ".npy" or module("npy").starts_like_npy(path):
        spec = module("npy").locate(path, mode)
    elif dtype is not None:
        return module("raw").locate(path, mode, dtype, shape, offset, order)  # type: ignore[no-any-return]
    else:
        raise FormatError(
            f"{path} is neither .npy nor HDF5 (its first bytes are {_first_bytes(path)!r}).\n"
            'For raw numbers give their type: oc.open(path, dtype="f4", shape=(-1, 5)).\n'
            "For text use oc.ingest."
        )
    if (dtype is not None and dtype != spec.dtype) or (shape is not None and shape != spec.shape):
        raise OptionError(
            f"{spec.address} holds {spec.shape} {spec.dtype}; dtype={dtype}, shape={shape} was asked for.\n"
            "Leave dtype and shape out: the file says what it holds."
        )
    return spec


def _first_bytes(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read(8)
