"""Options of new HDF5 datasets: checked, and chosen where they are left open.

Hands to   : storage.hdf5_write

Nothing here touches a file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import h5py
import numpy as np

from outcore.errors import DTypeError, FilterError, OptionError
from outcore.storage.codecs import FILTER_NAMES
from outcore.storage.hdf5_dataset import plugin_brings
from outcore.storage.hdf5_dates import marked
from outcore.storage.npy import refuse_objects

#: Size of a chunk where none is given: large enough to compress well, small enough for a few to fit a cache.
CHUNK_BYTES = 1 << 20
#: HDF5 counts the bytes of a chunk in 32 bits.
MAX_CHUNK_BYTES = (1 << 32) - 1
GZIP_LEVEL = 4
#: Compressions that do better on shuffled bytes; blosc and bitshuffle bring a shuffle of their own.
SHUFFLED = ("gzip", "lzf", 32004, 32015)

Shape = tuple[int | None, ...]


@dataclass(frozen=True)
class Options:
    """What a new dataset will be.

    Attributes
    ----------
    chunks : tuple of int or None
        None for rows in one piece.
    filters : dict
        The other arguments of h5py's ``create_dataset``.
    """

    chunks: tuple[int, ...] | None
    filters: dict[str, Any]


def choose(
    shape: Shape,
    dtype: np.dtype[Any],
    *,
    chunks: Any,
    compression: Any,
    compression_opts: Any,
    shuffle: bool | None,
    fletcher32: bool,
) -> Options:
    """Check what was asked for and choose the rest.

    Raises
    ------
    OptionError
        A value that makes no sense.
    FilterError
        A filter that is not installed.
    """
    if isinstance(compression, Mapping):  # hdf5plugin's filters
        compression, compression_opts = compression["compression"], compression["compression_opts"]
    opts = _check_compression(compression, compression_opts)
    shuffle = compression in SHUFFLED if shuffle is None else bool(shuffle)
    wanted = chunks not in (None, False) or compression is not None or shuffle or fletcher32
    if not wanted and shape[:1] != (None,):
        return Options(None, {})
    if not shape:
        raise OptionError(
            f"shape () has no rows to put into chunks; chunks={chunks!r}, compression={compression!r}.\n"
            "Leave chunks, compression, shuffle and fletcher32 out."
        )
    filters = {
        "compression": compression,
        "compression_opts": opts,
        "shuffle": shuffle,
        "fletcher32": bool(fletcher32),
    }
    return Options(_choose_chunks(chunks, shape, dtype), filters)


def check_options(shape: Shape, dtype: np.dtype[Any], *, chunks: Any, compression: Any) -> None:
    """Raise what `choose` raises."""
    choose(
        shape,
        dtype,
        chunks=chunks,
        compression=compression,
        compression_opts=None,
        shuffle=None,
        fletcher32=False,
    )


def check_dtype(dtype: np.dtype[Any], address: str) -> None:
    """Raise `DTypeError` for a dtype that HDF5 cannot hold."""
    refuse_objects(dtype, address)
    try:
        h5py.h5t.py_create(marked(dtype), logical=True)
    except (TypeError, ValueError) as error:  # ValueError: a type or a field without bytes
        raise DTypeError(
            f"{address}: HDF5 has no type for dtype {dtype} ({error}).\n"
            'Use a fixed width in bytes, such as "S10", for text, and no fields without bytes.'
        ) from error


def _check_compression(compression: Any, opts: Any) -> Any:
    if compression is None:
        if opts is not None:
            raise OptionError(
                f'compression_opts={opts!r} needs a compression.\nUse compression="gzip" with it.'
            )
        return None
    if compression == "gzip":
        level = GZIP_LEVEL if opts is None else opts
        if isinstance(level, bool) or level not in range(10):
            raise OptionError(
                f"compression_opts={opts!r}; the level of gzip is 0 to 9.\nUse compression_opts=4."
            )
        return level
    if compression == "lzf":
        if opts is not None:
            raise OptionError(f"compression_opts={opts!r}: lzf has no options.\nLeave it out.")
        return None
    if isinstance(compression, bool) or not isinstance(compression, int):
        raise OptionError(
            f"compression={compression!r} is not known.\n"
            'Use "gzip", "lzf", the number of an HDF5 filter, or a filter of hdf5plugin.'
        )
    if not h5py.h5z.filter_avail(compression) and not plugin_brings(compression):
        name = FILTER_NAMES.get(compression, "unknown to us")
        raise FilterError(
            f"HDF5 filter {compression} ({name}) is not installed here.\nTry: pip install hdf5plugin."
        )
    return opts


def _choose_chunks(chunks: Any, shape: Shape, dtype: np.dtype[Any]) -> tuple[int, ...]:
    rest = tuple(n or 0 for n in shape[1:])
    if chunks is None or isinstance(chunks, (bool, np.bool)):
        return automatic_chunks(shape[0], rest, dtype.itemsize)
    if isinstance(chunks, (int, np.integer)):
        given: tuple[Any, ...] = (int(chunks), *(max(n, 1) for n in rest))
    else:
        given = tuple(chunks) if isinstance(chunks, (tuple, list)) else ()
    whole = all(isinstance(n, (int, np.integer)) and not isinstance(n, bool) for n in given)
    if len(given) != len(shape) or not whole:
        raise OptionError(f"chunks={chunks!r} does not fit the shape {shape}.\nGive one size for each axis.")
    if min(given) < 1:
        raise OptionError(
            f"chunks={chunks!r}: sizes of chunks are 1 or more.\nUse chunks=True to have them chosen."
        )
    # A chunk larger than an axis that cannot grow would only take space.
    sizes = tuple(int(c) if n is None else min(int(c), max(n, 1)) for c, n in zip(given, shape, strict=True))
    size = prod(sizes) * dtype.itemsize
    if size > MAX_CHUNK_BYTES:
        raise OptionError(
            f"chunks={chunks!r} have {size} bytes each; HDF5 allows {MAX_CHUNK_BYTES}.\n"
            "Use smaller chunks; about 1 MB is a good size."
        )
    return sizes


def automatic_chunks(n_rows: int | None, rest: tuple[int, ...], itemsize: int) -> tuple[int, ...]:
    """Take whole rows, about `CHUNK_BYTES` of them; split larger ones, their first axes first."""
    room = max(CHUNK_BYTES // max(itemsize, 1), 1)
    sizes = []
    for n in reversed(rest):
        sizes.append(min(max(n, 1), room))
        room = max(room // max(n, 1), 1)
    rows = room if n_rows is None else min(room, max(n_rows, 1))
    return (rows, *reversed(sizes))
