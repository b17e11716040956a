"""Memory that the C library's allocator keeps back, given to the system.

Hands to   : blocks.passing, blocks.source

States are made by the workers and dropped where they are merged. What one thread has allocated and another
one frees stays with the first one's part of the heap: a pass with large states was seen to take a third more
than what exists at a time.
"""

from __future__ import annotations

import ctypes
import functools
import sys
from collections.abc import Callable


def give_back() -> None:
    """Return free pages of the heap to the system; nothing where the C library is not glibc."""
    trim = _trim()
    if trim is not None:
        trim(ctypes.c_size_t(0))


@functools.cache
def _trim() -> Callable[[ctypes.c_size_t], object] | None:
    if not sys.platform.startswith("linux"):
        return None
    return getattr(ctypes.CDLL(None), "malloc_trim", None)
