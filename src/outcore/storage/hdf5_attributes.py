"""Attributes of HDF5 objects that are still to be made.

Reads from : h5py.Dataset, and what users give as ``attrs=``
Hands to   : storage.hdf5_combine

Guarantees
- Types are kept as they are in the file: byte order, enums, padding and encoding of text, named types as
  plain ones.
- What cannot be stored is an error when it is taken in, before the target is touched.
- References, and what HDF5 keeps for itself about dimension scales, are left out: in another file they would
  lead nowhere.

They wait in an HDF5 file in memory. Python values were rejected: h5py gives the same `str` for ASCII and for
UTF-8, and writing it back would make another type of it.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from math import prod
from types import TracebackType
from typing import Any, Self

import h5py
import numpy as np

from outcore.errors import DTypeError
from outcore.storage.hdf5_dates import marked

#: An attribute beyond about 64 kB needs the newer kind of object header, known to HDF5 since 1.8.
LARGE_BYTES = 60_000


class Attributes:
    """A collection of attributes, each under the name of the object that it is for.

    Attributes
    ----------
    large : bool
        Whether one of them needs the newer kind of object header.
    """

    def __init__(self) -> None:
        # Of its own name: HDF5 takes files in memory of the same name for the same file.
        name = f"outcore-attributes-{secrets.token_hex(8)}"
        self._h5 = h5py.File(name, "w", driver="core", backing_store=False, libver="latest")
        self.large = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._h5.close()

    def keep(self, name: str, dataset: Any) -> None:
        """Take in what `dataset` has, for the object `name`.

        Raises
        ------
        DTypeError
            An attribute of variable length whose values NumPy cannot hold.
        """
        own = (b"CLASS", b"NAME") if h5py.h5ds.is_scale(dataset.id) else ()
        for attribute in _attributes(dataset):
            if attribute.name in own or attribute.get_type().detect_class(h5py.h5t.REFERENCE):
                continue
            try:
                self._copy(attribute, self._h5.require_group(name))
            except TypeError as error:
                raise DTypeError(
                    f"attribute {attribute.name.decode(errors='replace')!r} of {dataset.file.filename}::"
                    f"{dataset.name} has a type that NumPy does not have ({error}).\n"
                    "Delete it there, or give the values alone: np.asarray(dataset)."
                ) from error

    def add(self, name: str, values: Mapping[str, Any], what: str) -> None:
        """Take in what the user gives; it replaces what is there.

        Raises
        ------
        DTypeError
            HDF5 has no type for a value, or it is a reference.
        """
        group = self._h5.require_group(name)
        for key, value in values.items():
            try:
                dtype = getattr(value, "dtype", None)  # of an array, a scalar, or h5py.Empty
                dated = marked(dtype) if isinstance(dtype, np.dtype) else None
                group.attrs.create(key, value, dtype=None if dated is dtype else dated)
                attribute = group.attrs.get_id(key)
                if attribute.get_type().detect_class(h5py.h5t.REFERENCE):
                    raise TypeError("a reference leads nowhere in another file")
            except (TypeError, ValueError) as error:
                raise DTypeError(
                    f"{what}[{key!r}] = {value!r} cannot be an attribute: {error}.\n"
                    "Use a number, text, np.datetime64, or an array of numbers, dates or bytes."
                ) from error
            self.large |= _nbytes(attribute) > LARGE_BYTES

    def write(self, name: str, to: Any) -> None:
        """Give what waits under `name` to the object `to`."""
        if name not in self._h5:
            return
        for attribute in _attributes(self._h5[name]):
            self._copy(attribute, to)

    def names(self) -> list[str]:
        """List the objects for which something waits, from the outer to the inner ones."""
        found = ["/"]
        self._h5.visit(lambda name: found.append(f"/{name}"))
        return [name for name in found if len(self._h5[name].attrs)]

    def _copy(self, attribute: Any, to: Any) -> None:
        if h5py.h5a.exists(to.id, attribute.name):
            h5py.h5a.delete(to.id, attribute.name)
        kind, space = attribute.get_type(), attribute.get_space()
        pointers = _holds_pointers(kind)
        made = h5py.h5a.create(to.id, attribute.name, kind.copy(), space)
        self.large |= _nbytes(attribute) > LARGE_BYTES
        if space.get_simple_extent_type() == h5py.h5s.NULL:
            return
        # Without pointers the bytes are moved as they are, also where NumPy has no such type.
        values = np.zeros(attribute.shape, attribute.dtype if pointers else f"V{kind.get_size()}")
        between = h5py.h5t.py_create(attribute.dtype) if pointers else kind
        attribute.read(values, mtype=between)
        made.write(values, mtype=between)


def _attributes(thing: Any) -> Iterator[Any]:
    for number in range(h5py.h5a.get_num_attrs(thing.id)):
        yield h5py.h5a.open(thing.id, index=number)


def _nbytes(attribute: Any) -> int:
    shape = attribute.shape  # None for one that has no value
    return 0 if shape is None else prod(shape) * int(attribute.get_type().get_size())


def _holds_pointers(kind: Any) -> bool:
    try:
        return bool(kind.dtype.hasobject)
    except TypeError:
        if kind.detect_class(h5py.h5t.VLEN) or kind.detect_class(h5py.h5t.STRING):
            raise
        return False
