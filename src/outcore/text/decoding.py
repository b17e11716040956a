"""Compressed bytes to plain ones: gzip, bzip2, xz and zstd, as a stream.

Reads from : an open file, or anything with ``read(n)``
Hands to   : text.streams, text.archives

Guarantees
- Files of several members or frames (``cat a.gz b.gz``, bgzip, pbzip2, pzstd) are read to their end, and
  zeros behind the end are no error. Anything else behind it is: bytes are never left out silently.
- Memory is a few times `PIECE_BYTES`, and the window that the format asks for (xz -9: 64 MB).

Each decoder is driven here, by one loop, because the file classes of the standard library differ: BZ2File and
LZMAFile take a damaged second stream for rubbish and end without a word, and GzipFile reads 8 kB at a time,
which makes threads wait for each other's interpreter lock.
"""

from __future__ import annotations

import bz2
import io
import lzma
import zlib
from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Any, Protocol

from outcore.errors import IngestError, OptionError
from outcore.text.parallel_gzip import ParallelGzip, worth
from outcore.text.raw_bytes import Readable

#: Compressed bytes taken at a time. Each piece costs a wait for the interpreter lock, or several.
PIECE_BYTES = 1 << 20


class DamageError(ValueError):
    """Compressed data that is cut short, or not what it says it is; a Stream makes an IngestError of it."""


class Decompressor(Protocol):
    """What bz2, lzma, zstd and isal offer: one frame, fed piece by piece."""

    @property
    def eof(self) -> bool:
        """Whether the frame ended."""

    @property
    def needs_input(self) -> bool:
        """Whether nothing comes without more data."""

    @property
    def unused_data(self) -> bytes:
        """What followed the frame."""

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        """Take `data` in and give up to `max_length` bytes."""


class Frames:
    """The bytes of all frames of compressed data, one after the other.

    Parameters
    ----------
    raw : Readable
        At the first compressed byte.
    begin : callable
        Makes the decompressor of the next frame.
    single : bool
        Whether to end with the first frame, whatever follows.
    """

    def __init__(self, raw: Readable, begin: Callable[[], Decompressor], *, single: bool = False) -> None:
        self._raw = raw
        self._begin = begin
        self._single = single
        self._frame = begin()
        self._rest = b""
        self._ended = False

    def read(self, nbytes: int) -> bytes:
        """Read up to `nbytes`; none at the end of the last frame.

        Raises
        ------
        DamageError
            The data ends inside a frame; decompressors raise their own errors for what else is wrong.
        """
        while not self._ended:
            if self._frame.eof:
                self._next()
                continue
            hungry = self._frame.needs_input
            data = self._take() if hungry else b""
            found = self._frame.decompress(data, nbytes)
            if found:
                return found
            # At the end it is asked once more: it may hold back what did not fit the last time.
            if hungry and not data and not self._frame.eof:
                raise DamageError("it ends before its end mark")
        return b""

    def _take(self) -> bytes:
        data, self._rest = self._rest, b""
        return data or self._raw.read(PIECE_BYTES)

    def _next(self) -> None:
        self._rest = self._frame.unused_data
        self._ended = self._single
        while not self._ended:
            self._rest = self._rest.lstrip(b"\0")
            if self._rest:
                self._frame = self._begin()
                return
            self._rest = self._raw.read(PIECE_BYTES)
            self._ended = not self._rest


class _Zlib:
    """The decompressor of zlib with the interface of the others."""

    def __init__(self, wbits: int) -> None:
        self._inflate = zlib.decompressobj(wbits)
        self.needs_input = True

    @property
    def eof(self) -> bool:
        return self._inflate.eof

    @property
    def unused_data(self) -> bytes:
        return self._inflate.unused_data

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        tail = self._inflate.unconsumed_tail
        found = self._inflate.decompress(tail + data if tail else data, max(max_length, 0))
        self.needs_input = not self._inflate.unconsumed_tail
        return found


def decoder(compression: str, raw: Readable, *, name: str, threads: int = 1) -> Readable:
    """Make the decoder of a compression.

    Parameters
    ----------
    compression : str
        As `compression_of` names it.
    raw : Readable
        At the first compressed byte.
    name : str
        The file, for messages.
    threads : int
        Threads that may decode; only gzip in a large regular file uses more than one, see
        `text.parallel_gzip`.

    Raises
    ------
    OptionError
        Zstandard data, and no module that decodes it.
    """
    begin = _beginning(compression, name)
    if (
        compression == "gzip"
        and isinstance(raw, io.FileIO)
        and worth(raw, threads, has_isal=_isal() is not None)
    ):
        return ParallelGzip(raw, threads, lambda: Frames(raw, begin))
    return Frames(raw, begin)


def _beginning(compression: str, name: str) -> Callable[[], Decompressor]:
    if compression == "gzip":
        return inflater(raw=False)
    if compression == "bzip2":
        return bz2.BZ2Decompressor
    if compression == "xz":
        return lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ)
    module = _zstd()
    if module is None:
        raise OptionError(
            f"{name} is compressed by zstd, which Python reads by itself from 3.14 on.\n"
            'Install what reads it: pip install "outcore[codecs]" (or: pip install backports.zstd).'
        )
    made: Callable[[], Decompressor] = module.ZstdDecompressor
    return made


def inflater(*, raw: bool) -> Callable[[], Decompressor]:
    """Choose what makes decompressors of deflate: the data of zip if `raw`, else one member of gzip."""
    isal = _isal()
    if isal is None:
        return lambda: _Zlib(-zlib.MAX_WBITS if raw else zlib.MAX_WBITS + 16)
    flag = isal.DECOMP_DEFLATE if raw else isal.DECOMP_GZIP
    return lambda: isal.IgzipDecompressor(flag=flag)


def damage() -> tuple[type[Exception], ...]:
    """Return what decoders raise for damaged data; an OSError among them has no number."""
    own = [module.IsalError for module in (_isal(),) if module] + [
        module.ZstdError for module in (_zstd(),) if module
    ]
    return (DamageError, EOFError, OSError, zlib.error, lzma.LZMAError, *own)


def damaged(path: str, compression: str, reason: object) -> IngestError:
    """Say that compressed data cannot be decoded."""
    return IngestError(
        f"{path}: the {compression} data is damaged or cut short ({reason}).\nFetch or make the file again."
    )


def _isal() -> Any:
    return _optional("isal.igzip_lib")


def _zstd() -> Any:
    return _optional("compression.zstd") or _optional("backports.zstd")


@cache  # a failed import looks through all folders, and there may be many files
def _optional(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError:
        return None
