"""What one HDF5 dataset is: its dtype in NumPy's terms, where its bytes are, what its chunks went through.

Reads from : an h5py.Dataset
Hands to   : storage.hdf5, storage.hdf5_rows, storage.chunk_index

Rows are read without HDF5 only where the bytes in the file are the bytes that NumPy wants: the type in
the file must be the very type that h5py would write for that dtype. Where HDF5 converts (strings padded with
spaces, 24-bit integers, ...), `Layout.only_h5py` says why it must be asked.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from math import prod
from typing import Any

import h5py
import numpy as np

from outcore.errors import DTypeError, FilterError, FormatError, StaleArrayError
from outcore.storage.codecs import FILTER_NAMES, Filter, Pipeline
from outcore.storage.file import stale
from outcore.storage.hdf5_file import briefly_open
from outcore.storage.npy import refuse_objects
from outcore.storage.protocol import Spec


@dataclass(frozen=True)
class Layout:
    """What has to be known to read a dataset.

    Attributes
    ----------
    shape, dtype
        In NumPy's terms: without h5py's metadata; an HDF5 array type is more axes.
    offset : int or None
        First byte of the rows in the file, if they lie there in one piece, as they are.
    chunks : tuple of int or None
        Shape of a chunk, one size for each axis of `shape`.
    grid_axes : int
        How many axes HDF5 knows; the others come from an array type.
    filters : tuple of Filter
        In the order of writing.
    fill : bytes
        One value of the array, for chunks that were never written.
    only_h5py : str
        Why the chunks cannot be read without HDF5; "" if they can.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    offset: int | None
    chunks: tuple[int, ...] | None
    grid_axes: int
    filters: tuple[Filter, ...]
    fill: bytes
    only_h5py: str

    def pipeline(self) -> Pipeline:
        """Return the filters, ready to decode."""
        return Pipeline(self.filters, self.dtype.itemsize)


def examine(dataset: Any, address: str) -> Layout:
    """Find out what `dataset` is.

    Raises
    ------
    DTypeError
        Variable-length values, references, or a type that NumPy does not have or h5py cannot read.
    FormatError
        A dataset without a shape.
    """
    if dataset.shape is None:
        raise FormatError(
            f"{address} is an empty dataset (it has a type but no shape).\nThere are no rows in it."
        )
    try:
        stored = dataset.dtype
    except (TypeError, ValueError) as error:  # ValueError: the tag of an opaque type makes no sense
        raise DTypeError(f"{address} has a type that NumPy does not have: {error}.") from error
    refuse_objects(stored, address)
    base, inner = stored.subdtype or (stored, ())
    dtype, shape = plain(base), (*dataset.shape, *inner)
    properties = dataset.id.get_create_plist()
    kind = properties.get_layout()
    filters = tuple(_filter(*properties.get_filter(i)) for i in range(properties.get_nfilters()))
    offset, reason = None, ""
    if not _stored_as_numpy(dataset):
        _require_convertible(dataset, address)
        reason = f"its type in the file is not that of {dtype}"
    elif kind == h5py.h5d.CONTIGUOUS and properties.get_external_count():
        reason = "its rows are in external files"
    elif kind == h5py.h5d.CONTIGUOUS:
        # Space that was never allocated has an offset too in files with a user block.
        if dataset.id.get_storage_size() == prod(shape) * dtype.itemsize > 0:
            offset = dataset.id.get_offset()
        reason = "" if offset is not None else "nothing was ever written to it"
    elif kind != h5py.h5d.CHUNKED:
        reason = {h5py.h5d.COMPACT: "compact layout", h5py.h5d.VIRTUAL: "virtual dataset"}.get(
            kind, "unknown layout"
        )
    chunks = (*dataset.chunks, *inner) if kind == h5py.h5d.CHUNKED else None
    return Layout(
        shape, dtype, offset, chunks, len(dataset.shape), filters, _fill(dataset, dtype, inner), reason
    )


def plain(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return `dtype` without the metadata that h5py attaches for enums and encodings."""
    if dtype.subdtype is not None:
        base, shape = dtype.subdtype
        return np.dtype((plain(base), shape))
    if dtype.names is None or dtype.fields is None:
        return np.dtype(dtype.str)
    fields = [dtype.fields[name] for name in dtype.names]
    return np.dtype(
        {
            "names": list(dtype.names),
            "formats": [plain(field[0]) for field in fields],
            "offsets": [field[1] for field in fields],
            "itemsize": dtype.itemsize,
        }
    )


def require_decodable(layout: Layout, address: str, mode: str) -> None:
    """Check that somebody here can undo every filter.

    Raises
    ------
    FilterError
        With the number and name of the filter, and what to install.
    """
    unknown = layout.pipeline().unknown if mode == "r" else None
    if mode == "r" and unknown is None and not layout.only_h5py:
        return
    for f in layout.filters:
        if not h5py.h5z.filter_avail(f.code) and not plugin_brings(f.code):
            raise FilterError(
                f"{address} is compressed with filter {f.code} ({f.name}), which nothing here can decode.\n"
                "Install HDF5's filter plugins: pip install hdf5plugin. If it is not among them, ask the"
                " writer of the file for it, and set HDF5_PLUGIN_PATH."
            )


def plugin_brings(code: int) -> bool:
    """Whether HDF5 knows filter `code` once hdf5plugin, if installed, has registered its filters."""
    try:
        import_module("hdf5plugin")  # registers its filters with HDF5
    except ImportError:
        return False
    return bool(h5py.h5z.filter_avail(code))


@contextmanager
def reopened(spec: Spec) -> Iterator[tuple[Any, Layout]]:
    """Open the dataset of `spec` for a moment and check that it is still what it was.

    Raises
    ------
    StaleArrayError
        It is gone, or has another shape, dtype or chunks.
    """
    with briefly_open(spec.path) as h5:
        dataset = h5.get(spec.inner)
        if not isinstance(dataset, h5py.Dataset):
            raise stale(spec.path, f"lost its dataset {spec.inner}")
        layout = examine(dataset, spec.address)
        check_unchanged(spec, layout)
        yield dataset, layout


def check_unchanged(spec: Spec, layout: Layout) -> None:
    """Raise `StaleArrayError` unless `layout` still holds the rows of `spec`; more rows are fine."""
    same = (
        layout.dtype == spec.dtype
        and layout.shape[1:] == spec.shape[1:]
        and len(layout.shape) == len(spec.shape)
    )
    if not same or layout.shape[:1] < spec.shape[:1]:
        raise StaleArrayError(
            f"{spec.address} was {spec.shape} {spec.dtype} and is now {layout.shape} {layout.dtype}:"
            f' it was written anew since the array was opened.\nOpen it again: oc.open("{spec.address}").'
        )


def _filter(code: int, _: int, values: tuple[int, ...], name: bytes) -> Filter:
    return Filter(
        code, tuple(values), FILTER_NAMES.get(code) or name.decode(errors="replace") or "without a name"
    )


def _stored_as_numpy(dataset: Any) -> bool:
    try:
        return bool(h5py.h5t.py_create(dataset.dtype, logical=True) == dataset.id.get_type())
    except (TypeError, ValueError):
        return False


def _require_convertible(dataset: Any, address: str) -> None:
    try:
        memory = h5py.h5t.py_create(dataset.dtype)
        known = h5py.h5t.find(dataset.id.get_type(), memory) is not None
    except (TypeError, ValueError):
        known = False
    if not known:  # an opaque type whose tag is none of h5py's, or not of that size
        raise DTypeError(
            f"{address}: HDF5 cannot read its type as dtype {dataset.dtype}, for which h5py takes it.\n"
            "Read it with the program that wrote it, and store numbers or text."
        )


def _fill(dataset: Any, dtype: np.dtype[Any], inner: tuple[int, ...]) -> bytes:
    value = np.zeros(inner, dtype)
    if dataset.id.get_create_plist().fill_value_defined() == h5py.h5d.FILL_VALUE_USER_DEFINED:
        value[...] = dataset.fillvalue
    return value.tobytes()
