"""The first page of a segment: it says what the rest is, so that any descriptor describes itself.

Hands to   : shared.segment, shared.census

Guarantees
- A page that is not a complete header is refused, so a stranger's file is never taken for an array.
- Nothing in it is executed: the dtype is stored as in a .npy file.
"""

from __future__ import annotations

import ast
import functools
import struct
from dataclasses import dataclass
from typing import Any

import numpy as np

#: The data follows; segments are mapped from their first byte, so this need not be a page of the machine.
HEADER_BYTES = 4096
_MAGIC = b"outcore shm 1\n\0\0"
# magic, nonce, bytes of data, pid that made it, nanoseconds since 1970, length of the text that follows
_LAYOUT = struct.Struct("<16s16sQIQI")
_TEXT_BYTES = HEADER_BYTES - _LAYOUT.size


@dataclass(frozen=True)
class Header:
    """What a segment holds.

    Attributes
    ----------
    nonce : bytes
        16 random bytes: no other segment, of any time, has the same.
    nbytes : int
        Bytes of data after the header.
    pid : int
        Process that made it.
    made_ns : int
        When, in nanoseconds since 1970.
    site : str
        Where in that program: ``"load.py:12 in parse"``.
    dtype, shape, order
        Of the array that it was made for; dtype None where the description does not fit into a page.
    """

    nonce: bytes
    nbytes: int
    pid: int
    made_ns: int
    site: str
    dtype: np.dtype[Any] | None
    shape: tuple[int, ...]
    order: str


def pack(header: Header) -> bytes:
    """Write a header as one page."""
    descr = None if header.dtype is None else np.lib.format.dtype_to_descr(header.dtype)
    for described in (descr, None):  # thousands of fields do not fit; handles carry the dtype themselves
        text = repr((header.site[:200], described, header.shape, header.order)).encode()
        if len(text) <= _TEXT_BYTES:
            break
    fixed = _LAYOUT.pack(_MAGIC, header.nonce, header.nbytes, header.pid, header.made_ns, len(text))
    return (fixed + text).ljust(HEADER_BYTES, b"\0")


def unpack(page: bytes) -> Header | None:
    """Read a header; None if the page is something else."""
    if len(page) < HEADER_BYTES or not page.startswith(_MAGIC):
        return None
    _, nonce, nbytes, pid, made_ns, length = _LAYOUT.unpack_from(page)
    if length > _TEXT_BYTES:
        return None
    return Header(nonce, nbytes, pid, made_ns, *_parse(page[_LAYOUT.size : _LAYOUT.size + length]))


@functools.lru_cache(maxsize=64)  # many segments in a row are of one kind, and reading this costs most
def _parse(text: bytes) -> tuple[str, np.dtype[Any] | None, tuple[int, ...], str]:
    site, descr, shape, order = ast.literal_eval(text.decode())
    return site, None if descr is None else np.lib.format.descr_to_dtype(descr), shape, order
