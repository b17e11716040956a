"""`Segment`: shared memory as this process sees it.

Reads from : shared.memfd or shared.named, whichever this system has
Hands to   : shared.sharedarray, shared.resolving, shared.travel, shared.ring

Guarantees
- A segment that is mapped here already is not mapped again: views of it arrive sharing one map.
- It is at the bottom of every array on it, views and plain ndarrays included: the descriptor and the map go
  with the last of them. Nothing else has to be closed, or could be closed too early.
"""

from __future__ import annotations

import os
import secrets
import sys
import time
import weakref
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from outcore.shared.header import HEADER_BYTES, Header
from outcore.shared.identity import Identity, own


@dataclass(frozen=True)
class Place:
    """Where a segment can be found: the part of a handle that names it.

    Attributes
    ----------
    nonce : bytes
        Of its header; what is found elsewhere under the same number is something else.
    owner : tuple (pid, started)
        A process that has it open ...
    fd : int
        ... under this descriptor; -1 where segments are found by `path`.
    path : str
        A file or section, on systems where a process cannot open the descriptors of another one.
    """

    nonce: bytes
    owner: Identity
    fd: int
    path: str = ""


class Segment:
    """A mapped segment; made by `outcore.shared.segments`.

    Parameters
    ----------
    header : Header
    mapped : ndarray of uint8
        The whole segment, header included.
    fd : int
        Closed with this object; -1 where there is none.
    writable, private : bool
        How it was mapped.
    path : str
        Its name, where it has one.
    """

    def __init__(
        self,
        header: Header,
        mapped: NDArray[np.uint8],
        fd: int,
        *,
        writable: bool,
        private: bool = False,
        path: str = "",
    ) -> None:
        self.header = header
        self.nonce = header.nonce
        self.fd = fd
        self.writable = writable
        self.private = private
        self.path = path
        #: For uses that shall not keep this object alive; arrays are made from the object itself.
        self.data = mapped[HEADER_BYTES : HEADER_BYTES + header.nbytes]
        self.address = self.data.__array_interface__["data"][0]
        if fd >= 0:
            # At exit the kernel closes it; a finalizer would run while other threads still use it.
            weakref.finalize(self, os.close, fd).atexit = False
        if not private:
            _mapped[self.nonce, writable] = self

    @property
    def __array_interface__(self) -> dict[str, Any]:
        """The data as bytes: what NumPy makes of it has this object, not the map alone, as its base."""
        return self.data.__array_interface__

    @property
    def place(self) -> Place:
        """Where other processes find it, as long as this one has it open."""
        return Place(self.nonce, own(), self.fd, self.path)

    def __repr__(self) -> str:
        return f"<Segment {self.nonce.hex()} {self.header.nbytes} bytes made at {self.header.site}>"


_mapped: weakref.WeakValueDictionary[tuple[bytes, bool], Segment] = weakref.WeakValueDictionary()


def under(array: Any) -> Segment | None:
    """Return the segment that an array lies in, None if it has memory of its own."""
    # Asked anew each time: NumPy tells a subclass of a new view before it has its final place and shape, and
    # sometimes (squeeze) by way of a plain array.
    base = array
    while base is not None and not isinstance(base, Segment):
        base = getattr(base, "base", None)
    return base


def find(nonce: bytes, *, writable: bool) -> Segment | None:
    """Return a segment that is mapped here already, writable if that is asked for."""
    found = _mapped.get((nonce, True))
    return found if found is not None or writable else _mapped.get((nonce, False))


def mapped_here() -> list[Segment]:
    """List the segments that this process has mapped through arrays."""
    return list(_mapped.values())


def describe(dtype: np.dtype[Any], shape: tuple[int, ...], order: str, nbytes: int) -> Header:
    """Make the header of a new segment; the first caller outside outcore is its site."""
    return Header(secrets.token_bytes(16), nbytes, os.getpid(), time.time_ns(), _site(), dtype, shape, order)


def _site() -> str:
    frame = sys._getframe(1)
    while frame.f_back is not None and str(frame.f_globals.get("__name__")).startswith("outcore."):
        frame = frame.f_back
    code = frame.f_code
    return f"{os.path.basename(code.co_filename)}:{frame.f_lineno} in {code.co_name}"
