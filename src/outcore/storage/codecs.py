"""HDF5's filters without HDF5: bytes of one chunk in, bytes of one chunk out.

Hands to   : storage.chunk_reading (decoding), storage.chunk_storing (encoding), storage.hdf5 (what is known)

A pipeline is the list of filters that a dataset was written with. Each chunk carries a mask of the
filters that were skipped for it. Deflate, shuffle and fletcher32 are always known; zstd and blosc
where numcodecs is installed. Everything else is left to h5py.

Guarantees
- No state: one pipeline serves any number of threads. The loops run outside of Python's lock.
- What comes back has exactly the length asked for and a right checksum, or `DecodeError` is raised.

The last step of decoding, undoing the shuffle, is left to whoever places the rows: it is a
transposition, and can write straight to where the rows belong. numcodecs' Shuffle was no faster than
the same transposition in NumPy with one thread, and slower with two.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from outcore.storage.fletcher import fletcher32

try:  # gzip chunks are decoded about a third faster
    inflater: Any = import_module("isal.isal_zlib")
except ImportError:
    inflater = zlib

Bytes = NDArray[np.uint8]
Decoder = Callable[[Bytes, tuple[int, ...], int], Bytes]

#: Threads that encode or decode, at most.
THREADS = 8

DEFLATE, SHUFFLE, FLETCHER32 = 1, 2, 3
BLOSC, ZSTD = 32001, 32015

#: Registered filters, by the names that users know; for messages.
FILTER_NAMES = {
    DEFLATE: "gzip", SHUFFLE: "shuffle", FLETCHER32: "fletcher32", 4: "szip", 5: "nbit", 6: "scaleoffset",
    307: "bzip2", 32000: "lzf", BLOSC: "blosc", 32004: "lz4", 32008: "bitshuffle", 32013: "zfp", ZSTD: "zstd",
    32017: "sz", 32018: "fcidecomp", 32019: "jpeg", 32024: "sz3", 32026: "blosc2", 32028: "sperr",
}  # fmt: skip


def worker_count() -> int:
    """How many threads encode or decode: one a core."""
    return min(os.cpu_count() or 1, THREADS)


class DecodeError(ValueError):
    """The bytes of a chunk are not what the filters should have made; the text says why."""


@dataclass(frozen=True)
class Filter:
    """One filter of a dataset: its registered number, its parameters, and its name for messages."""

    code: int
    values: tuple[int, ...]
    name: str


class Chunk(NamedTuple):
    """The bytes of a decoded chunk: in the order of rows or, `shuffled`, first all first bytes, and so on."""

    data: Bytes
    shuffled: bool


class Pipeline:
    """The filters of one dataset, in the order of writing.

    Parameters
    ----------
    filters : sequence of Filter
    itemsize : int
        Bytes of one value; a shuffle by this width can be left to whoever places the rows.
    """

    def __init__(self, filters: Sequence[Filter], itemsize: int) -> None:
        self.filters = tuple(filters)
        self.itemsize = itemsize
        self._decoders = {f.code: _decoder(f.code) for f in filters}

    @property
    def unknown(self) -> Filter | None:
        """The first filter that only h5py may decode, or None."""
        return next((f for f in self.filters if self._decoders[f.code] is None), None)

    @property
    def encodes(self) -> bool:
        """Whether `encode` knows every filter."""
        return all(f.code in _ENCODERS for f in self.filters)

    def untouched(self, mask: int) -> bool:
        """Whether a chunk with this mask is stored as it is."""
        return all(mask >> at & 1 for at in range(len(self.filters)))

    def decode(self, raw: Bytes, mask: int, nbytes: int) -> Chunk:
        """Undo the filters of one chunk.

        Parameters
        ----------
        raw : ndarray of uint8
            The chunk as it is in the file.
        mask : int
            Bit i is set where filter i was skipped for this chunk.
        nbytes : int
            Bytes of the chunk in memory.

        Raises
        ------
        DecodeError
            The bytes are damaged, or decode to another length.
        """
        applied = [f for at, f in enumerate(self.filters) if not mask >> at & 1]
        lazy = bool(applied) and applied[0].code == SHUFFLE and applied[0].values[:1] == (self.itemsize,)
        for f in reversed(applied[1:] if lazy else applied):
            decoder = self._decoders[f.code]
            if decoder is None:
                raise DecodeError(f"{f.name}: nothing here decodes it")
            raw = decoder(raw, f.values, nbytes)
        if len(raw) != nbytes:
            raise DecodeError(f"it decodes to {len(raw)} bytes instead of {nbytes}")
        return Chunk(raw, lazy and self.itemsize > 1)

    def encode(self, rows: Bytes) -> Bytes:
        """Apply the filters to the bytes of one chunk."""
        for f in self.filters:
            rows = _ENCODERS[f.code](rows, f.values)
        return rows


# ---- decoding: (bytes, parameters, expected length of the chunk) -> bytes ----------------------


def _inflate(raw: Bytes, _: tuple[int, ...], nbytes: int) -> Bytes:
    try:
        # The expected length as the first buffer: nothing is then copied to make room.
        return np.frombuffer(inflater.decompress(raw, zlib.MAX_WBITS, nbytes + 64), np.uint8)
    except (zlib.error, inflater.error) as error:
        raise DecodeError(f"gzip: {error}") from error


def _unshuffle(raw: Bytes, values: tuple[int, ...], _: int) -> Bytes:
    size = values[0]
    count = len(raw) // size
    if size == 1 or count < 2:
        return raw
    result = np.empty_like(raw)
    planes = raw[: count * size].reshape(size, count)
    weave(planes, result[: count * size].reshape(count, size))
    result[count * size :] = raw[count * size :]  # what does not fill a value stays at the end
    return result


def weave(planes: NDArray[np.uint8], target: NDArray[np.uint8]) -> None:
    """Write ``planes[j, ...]`` to ``target[..., j]`` for each byte j: the shuffle undone, in place.

    Byte by byte is 1.5 times faster than one transposed copy, whose innermost loop would be `j`.
    """
    for j, plane in enumerate(planes):
        target[..., j] = plane


def _check_fletcher32(raw: Bytes, _: tuple[int, ...], __: int) -> Bytes:
    if len(raw) < 4:
        raise DecodeError(f"fletcher32: {len(raw)} bytes have no room for a checksum")
    data = raw[:-4]
    stored = int.from_bytes(raw[-4:].tobytes(), "little")
    found = fletcher32(data)
    # HDF5 before 1.6.3 stored each half with its bytes swapped; HDF5 still accepts that, so we do.
    swapped = (found >> 8 & 0x00FF00FF) | (found << 8 & 0xFF00FF00)
    if stored not in (found, swapped):
        raise DecodeError(f"fletcher32: the checksum is {found:08x}, the file says {stored:08x}")
    return data


_DECODERS: dict[int, Decoder] = {DEFLATE: _inflate, SHUFFLE: _unshuffle, FLETCHER32: _check_fletcher32}
_NUMCODECS = {ZSTD: "zstd", BLOSC: "blosc"}


def _decoder(code: int) -> Decoder | None:
    # numcodecs is large, so it is imported for the first file that needs it.
    if code not in _NUMCODECS:
        return _DECODERS.get(code)
    name = _NUMCODECS[code]
    try:
        decompress = import_module(f"numcodecs.{name}").decompress
    except ImportError:
        return None

    def decode(raw: Bytes, _: tuple[int, ...], __: int) -> Bytes:
        try:
            return np.frombuffer(decompress(raw), np.uint8)
        except (RuntimeError, ValueError) as error:
            raise DecodeError(f"{name}: {error}") from error

    return decode


# ---- encoding: (bytes, parameters) -> bytes ----------------------------------------------------


def _deflate(rows: Bytes, values: tuple[int, ...]) -> Bytes:
    return np.frombuffer(zlib.compress(rows.data, values[0]), np.uint8)


def _shuffle(rows: Bytes, values: tuple[int, ...]) -> Bytes:
    size = values[0]
    count = len(rows) // size
    if size == 1 or count < 2:
        return rows
    result = np.empty_like(rows)
    result[: count * size].reshape(size, count)[...] = rows[: count * size].reshape(count, size).T
    result[count * size :] = rows[count * size :]
    return result


def _add_fletcher32(rows: Bytes, _: tuple[int, ...]) -> Bytes:
    checksum = fletcher32(rows).to_bytes(4, "little")
    return np.concatenate((rows, np.frombuffer(checksum, np.uint8)))


_ENCODERS: dict[int, Callable[[Bytes, tuple[int, ...]], Bytes]] = {
    DEFLATE: _deflate,
    SHUFFLE: _shuffle,
    FLETCHER32: _add_fletcher32,
}
