"""What is to be combined: names, arrays, options and attributes, checked before any file is made.

Reads from : what the caller of `combine` gives
Hands to   : combination.combining, combination.copying
"""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from outcore.array.handle import Array
from outcore.array.opening import asarray
from outcore.errors import AddressError, DTypeError, OptionError, OutcoreError
from outcore.storage import formats
from outcore.storage.hdf5_attributes import Attributes
from outcore.storage.hdf5_combine import New
from outcore.storage.hdf5_dataset import plain, reopened
from outcore.storage.hdf5_options import check_dtype, choose

NO_OPTIONS: dict[str, Any] = {
    "chunks": None,
    "compression": None,
    "compression_opts": None,
    "shuffle": None,
    "fletcher32": False,
}


@dataclass(frozen=True)
class Part:
    """One array on its way: in memory (`rows`) or elsewhere (`source`, `opened` here)."""

    name: str
    new: New
    rows: NDArray[Any] | None
    source: Array
    opened: bool

    @property
    def chunked(self) -> bool:
        """Whether its dataset is in chunks."""
        return self.new.options.chunks is not None

    @property
    def nbytes(self) -> int:
        """Bytes of its values."""
        return prod(self.new.shape) * self.new.dtype.itemsize

    def release(self) -> None:
        """Close the source if it is ours: there may be more of them than descriptors."""
        if self.opened:
            self.source.close()


def split(target: str | os.PathLike[str]) -> tuple[str, str]:
    """Split the target into the path of a file and the group to put arrays below.

    Raises
    ------
    AddressError
        A name that HDF5 files do not have, or a group that cannot be.
    """
    path, group = formats.split(target)
    if not group and formats.suffix_of(path) not in formats.HDF5_SUFFIXES:
        raise AddressError(
            f"{os.fspath(target)!r} has not the name of an HDF5 file, and many arrays need one.\n"
            f'Use "{os.path.splitext(os.fspath(target))[0]}.h5".'
        )
    return path, _inner_name(group, f"{path}::", "/") if group else "/"


def inner_names(arrays: Mapping[str, Any], path: str, group: str) -> dict[str, str]:
    """Find the place of each array in the file.

    Raises
    ------
    AddressError
        A name that cannot be; two that mean the same place, or one below another.
    """
    if not isinstance(arrays, Mapping):
        raise OptionError(
            f"arrays is a {type(arrays).__name__}, not a mapping of names to arrays.\n"
            'Use oc.combine({"a": a, "b": b}, ...).'
        )
    given: dict[str, str] = {}
    inners: dict[str, str] = {}
    for name in arrays:
        inner = _inner_name(name, "arrays: ", group)
        if inner in given:
            raise AddressError(
                f"{given[inner]!r} and {name!r} are both {path}::{inner}.\nGive each array a name of its own."
            )
        given[inner] = name
        inners[name] = inner
    for name, inner in inners.items():
        above = posixpath.dirname(inner)
        while above != "/":
            if above in given:
                raise AddressError(
                    f"{name!r} is below {given[above]!r}, which is an array and cannot be a group as well.\n"
                    "Choose another name for one of them."
                )
            above = posixpath.dirname(above)
    return inners


def _inner_name(name: Any, what: str, group: str) -> str:
    parts = name.strip("/").split("/") if isinstance(name, str) else []
    # HDF5 ends a name at a NUL, and stores it as UTF-8, which has no halves of surrogate pairs.
    bad = re.compile("[\0\ud800-\udfff]")
    if not parts or any(part in ("", ".", "..") or bad.search(part) for part in parts):
        raise AddressError(
            f"{what}{name!r} is not a name that HDF5 can have.\n"
            'Use text such as "a" or "group/b", without NUL, empty parts, "." and "..".'
        )
    return f"{group.rstrip('/')}/{'/'.join(parts)}"


def part_of(
    name: str, obj: Any, inner: str, path: str, options: dict[str, Any], attributes: Attributes
) -> Part:
    """Make of one array what is needed to write it, and take in its attributes.

    Raises
    ------
    DTypeError, OptionError
        Its values cannot be stored, or not with these options.
    NotFoundError, FormatError, ...
        What `outcore.asarray` raises.
    """
    if isinstance(obj, np.ndarray):
        _refuse_masks(obj, name)
        check_dtype(obj.dtype, f"{path}::{inner}")
        # Memory maps too: their pages are written from where they are.
        rows: NDArray[Any] | None = np.asarray(obj)
        source, dtype = asarray(rows), obj.dtype
    else:
        source = asarray(obj)
        # A file that was just found need not be opened now: there may be more of them than descriptors.
        found = source is not obj and source.spec.kind != "memory"
        rows = None if found else _at_hand(source)
        dtype = _keep_attributes(source, inner, attributes)
        check_dtype(dtype, f"{path}::{inner}")
    try:
        chosen = choose(source.shape, dtype, **(options if source.shape else NO_OPTIONS))
    except OptionError as error:
        raise OptionError(f"arrays[{name!r}]: {error}") from error
    return Part(name, New(inner, source.shape, dtype, chosen), rows, source, source is not obj)


def _refuse_masks(array: NDArray[Any], name: str) -> None:
    if not isinstance(array, np.ma.MaskedArray):
        return
    # As plain booleans: masks of structured arrays have fields.
    masked = np.count_nonzero(np.ascontiguousarray(np.ma.getmask(array)).view(np.bool))
    if masked:
        raise DTypeError(
            f"arrays[{name!r}] has {masked} masked values, and HDF5 has no masks.\n"
            "Give what should stand in their place: a.filled(value)."
        )


def _at_hand(source: Array) -> NDArray[Any] | None:
    """Return the rows where they are, if that is in memory; open the file otherwise, which may be gone."""
    try:
        return np.asarray(source, copy=False)
    except OutcoreError:
        raise
    except ValueError:  # NumPy's word for "only by reading"
        return None


def _keep_attributes(source: Array, inner: str, attributes: Attributes) -> np.dtype[Any]:
    """Take over the attributes of an HDF5 dataset; return its dtype with what h5py knows about it."""
    spec = source.spec
    whole = spec.kind in ("h5flat", "hdf5") and source.dtype == spec.dtype
    if not whole or spec.fingerprint is None:  # None: it is being written, and HDF5 must not be asked
        return source.dtype
    with reopened(spec) as (dataset, _):
        attributes.keep(inner, dataset)
        stored = dataset.dtype.base
        return stored if plain(stored) == source.dtype else source.dtype


def add_attributes(
    attributes: Attributes, attrs: Mapping[str, Mapping[str, Any]], inners: Iterable[str], group: str
) -> None:
    """Take in the attributes that the caller gives, for datasets and for groups above them.

    Raises
    ------
    OptionError
        Attributes for something else.
    DTypeError
        A value that HDF5 has no type for.
    """
    known = {group}
    for inner in inners:
        while inner != group:
            known.add(inner)
            inner = posixpath.dirname(inner)
    for name, values in attrs.items():
        place = group if name == "/" else _inner_name(name, "attrs: ", group)
        if place not in known:
            raise OptionError(
                f"attrs[{name!r}] is for nothing that is written here.\n"
                f"There are: {', '.join(sorted(known))}."
            )
        if not isinstance(values, Mapping):
            raise OptionError(
                f"attrs[{name!r}] is a {type(values).__name__}, not a mapping of names to values.\n"
                f'Use attrs={{{name!r}: {{"unit": "mm"}}}}.'
            )
        attributes.add(place, values, f"attrs[{name!r}]")
