"""Dates in HDF5, which has no type for them: stored in h5py's way, so that h5py gives them back as dates.

Hands to   : storage.hdf5_options, storage.hdf5_write, storage.hdf5_attributes

A date in the file is an opaque value of eight bytes whose tag is its dtype, such as "NUMPY:<M8[s]": the bytes
are NumPy's own, so rows are read without HDF5 here too. Programs that do not know the tag see bytes.

Integers with the unit in an attribute were rejected: fields have no attributes, and h5py would give integers.
"""

from __future__ import annotations

from typing import Any

import h5py
import numpy as np


def marked(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return `dtype` with h5py's mark on all dates in it, also within fields; then h5py has a type for them.

    Other marks of h5py (enums, encodings of text) stay, and a type without dates is returned as it is.

    Examples
    --------
    >>> h5py.h5t.py_create(marked(np.dtype("M8[s]")), logical=True).get_tag()
    b'NUMPY:<M8[s]'
    """
    if dtype.subdtype is not None:
        base, shape = dtype.subdtype
        new = marked(base)
        return dtype if new is base else np.dtype((new, shape))
    if dtype.names is not None and dtype.fields is not None:
        fields = [dtype.fields[name] for name in dtype.names]
        formats = [marked(field[0]) for field in fields]
        if all(new is field[0] for new, field in zip(formats, fields, strict=True)):
            return dtype
        return np.dtype(
            {
                "names": list(dtype.names),
                "formats": formats,
                "offsets": [field[1] for field in fields],
                "itemsize": dtype.itemsize,
            }
        )
    if dtype.kind not in "mM" or h5py.check_opaque_dtype(dtype):
        return dtype
    date: np.dtype[Any] = h5py.opaque_dtype(dtype)
    return date
