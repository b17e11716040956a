"""Words of shared memory that processes sleep on until another process changes them.

Hands to   : shared.ring_state, shared.ring_claims

Guarantees
- Nothing has to be cleaned up: who sleeps is known to the kernel only, and who dies is forgotten.
- A change between looking at a word and going to sleep ends the sleep at once.
- Waking somebody does not give up Python's lock; sleeping does, and Ctrl-C ends it.

Condition variables and semaphores were rejected: a process that is killed at the wrong moment leaves them
locked, or counted once too often, for ever.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import sys
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

EVERYBODY = 0x7FFFFFFF
#: Without the flag PRIVATE: the sleepers are in other processes.
_WAIT, _WAKE = 0, 1
_NUMBERS = {"x86_64": 202, "aarch64": 98, "riscv64": 98}
_SHORT_S, _LONG_S = 0.0002, 0.004


class _Timespec(ctypes.Structure):
    _fields_ = (("s", ctypes.c_long), ("ns", ctypes.c_long))


def _syscall(library: type[ctypes.CDLL]) -> Any:
    call = library(None, use_errno=True).syscall
    call.restype = ctypes.c_long
    call.argtypes = [
        ctypes.c_long,
        ctypes.c_void_p,
        ctypes.c_int,
        ctypes.c_uint32,
        ctypes.c_void_p,
        ctypes.c_void_p,
        ctypes.c_uint32,
    ]
    return call


#: Whether the kernel is asked; else it is polled. Tests force the latter.
SUPPORTED = sys.platform == "linux" and sys.maxsize > 2**32 and platform.machine() in _NUMBERS
_number = _NUMBERS.get(platform.machine(), -1)
# PyDLL keeps Python's lock: asking for it back could cost as much as other threads' switch interval.
_sleeping: Any = _syscall(ctypes.CDLL) if SUPPORTED else None
_waking: Any = _syscall(ctypes.PyDLL) if SUPPORTED else None


class Word:
    """One word that counts changes of something.

    Parameters
    ----------
    memory : ndarray of uint32, shape (1,)
        In memory that other processes have mapped too.
    """

    def __init__(self, memory: NDArray[np.uint32]) -> None:
        self._memory = memory.data
        self._address: int = memory.__array_interface__["data"][0]

    @property
    def value(self) -> int:
        """How many changes there were, modulo 2**32."""
        value: int = self._memory[0]
        return value

    def changed(self) -> None:
        """Count a change; only one process at a time may do so."""
        self._memory[0] = (self._memory[0] + 1) & 0xFFFFFFFF

    def wake(self, sleepers: int) -> None:
        """Wake at most so many of those who sleep on it."""
        if SUPPORTED:
            _waking(_number, self._address, _WAKE, sleepers, None, None, 0)

    def wait(self, seen: int, limit_s: float) -> None:
        """Sleep until the value is not `seen` any more, or `limit_s` is over, or somebody wakes us."""
        if not SUPPORTED:
            self._poll(seen, limit_s)
            return
        limit = _Timespec(int(limit_s), int(limit_s % 1 * 1e9))
        if _sleeping(_number, self._address, _WAIT, seen, ctypes.addressof(limit), None, 0) != 0:
            error = ctypes.get_errno()
            if error not in (errno.EAGAIN, errno.EINTR, errno.ETIMEDOUT):
                raise OSError(error, os.strerror(error))

    def _poll(self, seen: int, limit_s: float) -> None:
        end = time.monotonic() + limit_s
        pause = _SHORT_S
        while self.value == seen and (left := end - time.monotonic()) > 0:
            time.sleep(min(pause, left))
            pause = min(2 * pause, _LONG_S)
