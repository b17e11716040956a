"""Gzip decoded by several threads, with rapidgzip, where that is faster than one.

Reads from : a regular file
Hands to   : text.decoding

Guarantees
- The bytes, and the errors, are those of the decoder with one thread. rapidgzip is believed only where it
  read the file without a word and a member ends where the file does; else the other decoder reads on from
  the same byte, and says what is wrong in its own words. Needed: rapidgzip 0.16 takes a file that was cut in
  the first bytes of a member for whole, and zeros behind the last member for damage.
- Memory is about `PARALLEL_BYTES` for each thread, for text that deflates to a tenth or more. What deflates
  further is left to one thread: rapidgzip holds whole chunks as they are when decoded, twice and more.

Measured on two cores, 482 MB of text in 218 MB of gzip: isal 0.56 s of processor time, zlib 1.6 s, rapidgzip
2.1 to 2.8 s on however many threads, because it must decode without knowing what came before. So it pays only
where there are many cores, and later with isal than without.
"""

from __future__ import annotations

import io
import os
import zlib
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from outcore.text.raw_bytes import Readable

#: Memory for each thread beyond the first.
PARALLEL_BYTES = 64 << 20
#: Threads from which on rapidgzip is faster than isal, and than zlib.
LEAST_THREADS_ISAL, LEAST_THREADS_ZLIB = 8, 4
LEAST_FILE_BYTES = 16 << 20
_CHUNK_BYTES = 512 << 10
_PROBE_BYTES = 64 << 10
_LEAST_SHARE = 0.1
_TAIL_BYTES = 256 << 10
_DROPPED_BYTES = 1 << 20
# What Cython makes of the exceptions of C++.
_CPP = (RuntimeError, ValueError, IndexError, ArithmeticError, OSError)


def worth(raw: io.FileIO, threads: int, *, has_isal: bool) -> bool:
    """Whether to decode `raw`, which is gzip and at its start, with `threads` threads."""
    if threads < (LEAST_THREADS_ISAL if has_isal else LEAST_THREADS_ZLIB):
        return False
    if os.fstat(raw.fileno()).st_size < LEAST_FILE_BYTES or find_spec("rapidgzip") is None:
        return False
    probe = os.pread(raw.fileno(), _PROBE_BYTES, 0)
    try:
        text = zlib.decompressobj(zlib.MAX_WBITS + 16).decompress(probe, int(_PROBE_BYTES / _LEAST_SHARE))
    except zlib.error:
        return False
    return len(text) < _PROBE_BYTES / _LEAST_SHARE


class ParallelGzip:
    """The decompressed bytes of a gzip file, as long as rapidgzip understands it.

    Parameters
    ----------
    raw : io.FileIO
        At its start; rapidgzip reads it by `pread`, so its position stays.
    threads : int
    serial : callable
        Makes the decoder that reads on from the position of `raw` where rapidgzip gives up.
    """

    def __init__(self, raw: io.FileIO, threads: int, serial: Callable[[], Readable]) -> None:
        rapidgzip = import_module("rapidgzip")
        self._raw = raw
        self._serial = serial
        self._given = 0
        self._other: Readable | None = None
        self._file: Any = rapidgzip.RapidgzipFile(
            raw.fileno(),
            threads,
            chunk_size=_CHUNK_BYTES,
            io_read_method=rapidgzip.IOReadMethod.PREAD,
        )

    def read(self, nbytes: int) -> bytes:
        """Read up to `nbytes`; none at the end."""
        if self._other is None:
            try:
                found: bytes = self._file.read(nbytes)
                if found or self._complete():
                    self._given += len(found)
                    return found
            except _CPP:
                # Not the last word: see the guarantees.
                pass
            self._other = self._read_on()
        return self._other.read(nbytes)

    def position(self) -> int:
        """Compressed bytes decoded so far."""
        return self._raw.tell() if self._other is not None else int(self._file.tell_compressed()) // 8

    def close(self) -> None:
        """End the threads. Python aborts at its end if that is forgotten."""
        self._file.close()

    def _complete(self) -> bool:
        """Whether the file certainly ends with the end of a member."""
        size = os.fstat(self._raw.fileno()).st_size
        tail = os.pread(self._raw.fileno(), _TAIL_BYTES, max(size - _TAIL_BYTES, 0))
        # The last four bytes of a member are its length. If that is what came, there was one member, and all
        # of it; of several, the last one is looked for.
        only = int.from_bytes(tail[-4:], "little") == self._given % 2**32
        return only or ends_with_member(tail)

    def _read_on(self) -> Readable:
        self._file.close()
        self._raw.seek(0)
        other = self._serial()
        left = self._given
        while left and (found := other.read(min(left, 1 << 20))):
            left -= len(found)
        return other


def ends_with_member(tail: bytes) -> bool:
    r"""Whether the last bytes of a file hold a whole gzip member at their end.

    Examples
    --------
    >>> import gzip
    >>> member = gzip.compress(b"x")
    >>> ends_with_member(b"..." + member), ends_with_member(member + member[:10])
    (True, False)
    """
    at = tail.rfind(b"\x1f\x8b\x08")
    while at >= 0:
        if _is_member(tail[at:]):
            return True
        at = tail.rfind(b"\x1f\x8b\x08", 0, at)
    return False


def _is_member(data: bytes) -> bool:
    inflate = zlib.decompressobj(zlib.MAX_WBITS + 16)
    try:
        while data and not inflate.eof:
            inflate.decompress(data, _DROPPED_BYTES)
            data = inflate.unconsumed_tail
    except zlib.error:
        return False
    return inflate.eof and not inflate.unused_data
