"""Bytes as they lie on disk or come through a pipe: what they are, and a look ahead.

Reads from : an open file, or anything with ``read(n)``
Hands to   : text.decoding, text.archives, text.origins

Guarantees
- What is compressed is known by its first bytes, not by its name.
"""

from __future__ import annotations

import re
from typing import Any, Protocol

from outcore.errors import OptionError

#: First bytes that tell what a file is.
MAGIC_BYTES = 10
_MAGIC = {
    "gzip": re.compile(rb"\x1f\x8b\x08"),
    # With the start of its first block, or the end of an empty file: a text may begin with BZh.
    "bzip2": re.compile(rb"BZh[1-9](?:1AY&SY|\x17rE8P\x90)"),
    "xz": re.compile(rb"\xfd7zXZ\0"),
    "zstd": re.compile(rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18"),  # a frame, or one to be skipped
}
_FOREIGN = {
    b"PK\x03\x04": ("a zip archive", "name its members, behind its path: {path}::*.csv"),
    b"PK\x05\x06": ("an empty zip archive", "fetch or make it again"),
    b"7z\xbc\xaf\x27\x1c": ("a 7z archive", "7z x {path}"),
    b"\x04\x22\x4d\x18": ("lz4 data", "lz4 -d {path}"),
    b"\x1f\x9d": ("data of compress", "uncompress {path}"),
}


class Readable(Protocol):
    """Where bytes come from: up to `nbytes` of them, none at the end."""

    def read(self, nbytes: int, /) -> bytes:
        """Read."""


def compression_of(start: bytes) -> str:
    r"""Name the compression that the first `MAGIC_BYTES` of a file tell; "" for none.

    Examples
    --------
    >>> compression_of(b"\x1f\x8b\x08\x00"), compression_of(b"BZh9,x,y\n1")
    ('gzip', '')
    """
    return next((name for name, magic in _MAGIC.items() if magic.match(start)), "")


def foreign(start: bytes) -> tuple[str, str] | None:
    """Say what a file is that is neither text nor decoded here, and what to do; None if it may be text."""
    return next((found for magic, found in _FOREIGN.items() if start.startswith(magic)), None)


class Ahead:
    """Anything with ``read(n)``, with a look at its first bytes and a count of what was read.

    Parameters
    ----------
    file : object
        What has the method; one that gives text, or that has nothing yet, is refused.
    path : str
        Its name, for messages.
    """

    def __init__(self, file: Any, path: str) -> None:
        self._file = file
        self._path = path
        self._start = b""
        self.count = 0

    def peek(self, nbytes: int) -> bytes:
        """Return the next `nbytes`, fewer at the end; they will be read again."""
        while len(self._start) < nbytes and (found := self._more(nbytes - len(self._start))):
            self._start += found
        return self._start

    def read(self, nbytes: int) -> bytes:
        """Read up to `nbytes`; none at the end."""
        if not self._start:
            found = self._more(nbytes)
        else:
            found, self._start = self._start[:nbytes], self._start[nbytes:]
        self.count += len(found)
        return found

    def _more(self, nbytes: int) -> bytes:
        found = self._file.read(nbytes)
        if isinstance(found, bytes):
            return found
        if isinstance(found, (bytearray, memoryview)):
            return bytes(found)
        raise OptionError(
            f"{self._path}: read({nbytes}) gave {found!r:.40}, {type(found).__name__}; expected bytes.\n"
            'Open files in binary mode, open(path, "rb"), and pipes to wait for data.'
        )
