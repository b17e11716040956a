"""Segments mapped into this process, without a second descriptor for each map.

Reads from : the operating system
Hands to   : shared.memfd, shared.named

Guarantees
- The map lives exactly as long as the arrays on it: nothing can be closed under them, so nothing crashes.
- A map costs no descriptor beyond that of its segment.
"""

from __future__ import annotations

import ctypes
import functools
import mmap
import os
import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

_MAP_FIXED = 0x10
_MAP_NORESERVE = 0x4000


def map_file(fd: int, nbytes: int, *, writable: bool, private: bool = False) -> NDArray[np.uint8]:
    """Map the first `nbytes` of a file.

    Parameters
    ----------
    writable : bool
        Whether the pages may be written; else the kernel refuses it.
    private : bool
        Whether writes stay in this process (copy on write).

    Returns
    -------
    ndarray of uint8, shape (nbytes,)
    """
    flags = mmap.MAP_PRIVATE if private else mmap.MAP_SHARED
    access = mmap.PROT_READ | (mmap.PROT_WRITE if writable else 0)
    if sys.version_info >= (3, 13):
        made = mmap.mmap(fd, nbytes, flags=flags, prot=access, trackfd=False)
    elif sys.platform == "linux" and (call := _mmap()) is not None:
        # Before 3.13 Python duplicates the descriptor for each map. So Python reserves the addresses,
        # and the kernel is asked to put the file there; Python unmaps them in the end, as ever.
        made = mmap.mmap(
            -1, nbytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _MAP_NORESERVE, prot=access
        )
        address = _address(made)
        if call(address, nbytes, access, flags | _MAP_FIXED, fd, 0) != address:
            error = ctypes.get_errno()
            raise OSError(error, os.strerror(error))
    else:
        made = mmap.mmap(fd, nbytes, flags=flags, prot=access)
    # Through a memoryview: an array made from a bare mmap would not keep it from being closed.
    return np.frombuffer(memoryview(made), np.uint8)


def _address(made: mmap.mmap) -> int:
    address: int = np.frombuffer(made, np.uint8).__array_interface__["data"][0]
    return address


@functools.cache
def _mmap() -> Any:
    try:
        call = ctypes.CDLL(None, use_errno=True).mmap
    except (OSError, AttributeError):  # a C library that cannot be opened this way
        return None
    call.restype = ctypes.c_void_p
    call.argtypes = [
        ctypes.c_void_p,
        ctypes.c_size_t,
        ctypes.c_int,
        ctypes.c_int,
        ctypes.c_int,
        ctypes.c_longlong,
    ]
    return call
