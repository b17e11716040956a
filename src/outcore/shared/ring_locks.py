"""Locks that end with the process that holds them.

Reads from : the kernel's record locks
Hands to   : shared.ring_seat

Guarantees
- Whoever dies, in whatever way, loses the lock and the sign of life: the kernel takes them away when the last
  thread of the process has ended, so nothing is written to a slot after it was taken back.

Linux locks bytes for an open file (OFD locks): byte 0 is the ring's lock, byte n the sign of the process with
number n. Elsewhere records are locked for a process, and its number is its process id: that finds the dead as
well, unless another process has got the same id or nobody has waited for the dead child yet.

Asking /proc whether a process lives was rejected for Linux: a process counts as dead there while its last
threads may still be writing.
"""

from __future__ import annotations

import ctypes
import errno
import itertools
import os
import sys
import weakref
from typing import Protocol

from outcore.errors import PlatformError
from outcore.shared import named
from outcore.shared.memory_limits import explain
from outcore.shared.segment import Segment

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]  # a module elsewhere


class Locks(Protocol):
    """The lock of a ring, and the signs of those who use it."""

    def take(self) -> bool:
        """Take the lock, unless somebody has it."""

    def give(self) -> None:
        """Give it back; without effect for those who do not have it."""

    def sit(self) -> int:
        """Show a sign that nobody else shows, and return its number; whoever calls has the lock."""

    def sits(self, number: int) -> bool:
        """Whether another process shows that sign."""

    def close(self) -> None:
        """Give back the lock, the sign and the descriptor."""


class _Flock(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_short),
        ("whence", ctypes.c_short),
        ("start", ctypes.c_longlong),
        ("length", ctypes.c_longlong),
        ("pid", ctypes.c_int),
    )


class OpenFileLocks:
    """Locks of an open file: Linux."""

    def __init__(self, segment: Segment) -> None:
        path = f"/proc/self/fd/{segment.fd}" if segment.fd >= 0 else segment.path
        try:
            # Opened anew: what was inherited, or duplicated, has the same locks as the original.
            self.fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except OSError as error:
            raise explain(error, 0, "using a ring") from error
        self.close = weakref.finalize(self, os.close, self.fd)
        self.close.atexit = False
        # PyDLL keeps Python's lock, for which a process would have to wait while all others wait for it.
        self._fcntl = ctypes.PyDLL(None, use_errno=True).fcntl
        self._locked = _Flock(fcntl.F_WRLCK, os.SEEK_SET, 0, 1)
        self._unlocked = _Flock(fcntl.F_UNLCK, os.SEEK_SET, 0, 1)

    def take(self) -> bool:
        """Take byte 0, unless somebody has it."""
        return self._set(self._locked)

    def give(self) -> None:
        """Give back byte 0."""
        self._set(self._unlocked)

    def sit(self) -> int:
        """Take the first byte that nobody has."""
        return next(n for n in itertools.count(1) if self._set(_Flock(fcntl.F_WRLCK, os.SEEK_SET, n, 1)))

    def sits(self, number: int) -> bool:
        """Ask the kernel, which takes no lock for that."""
        asked = _Flock(fcntl.F_WRLCK, os.SEEK_SET, number, 1)
        self._call(fcntl.F_OFD_GETLK, asked)
        return bool(asked.type != fcntl.F_UNLCK)

    def _set(self, lock: _Flock) -> bool:
        return self._call(fcntl.F_OFD_SETLK, lock)

    def _call(self, command: int, lock: _Flock) -> bool:
        while self._fcntl(self.fd, command, ctypes.byref(lock)) != 0:
            error = ctypes.get_errno()
            if error in (errno.EAGAIN, errno.EACCES):
                return False
            if error != errno.EINTR:
                raise OSError(error, os.strerror(error))
        return True


class _LockFile:
    """The file on which rings are locked where there is one lock for each process and record.

    One for all rings: closing any descriptor of a file gives back all locks that the process has on it. It is
    empty and stays.
    """

    _open: weakref.ref[_LockFile] | None = None

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.fd = os.open(named.folder() / ".rings", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        weakref.finalize(self, os.close, self.fd).atexit = False

    @classmethod
    def open(cls) -> _LockFile:
        found = None if cls._open is None else cls._open()
        if found is None or found.pid != os.getpid():
            found = cls()
            cls._open = weakref.ref(found)
        return found


class ProcessLocks:
    """Locks of a process: other POSIX systems."""

    def __init__(self, segment: Segment) -> None:
        self._file: _LockFile | None = _LockFile.open()
        self._record = int.from_bytes(segment.nonce[:7], "little")

    def take(self) -> bool:
        """Take the record of this ring, unless another process has it."""
        try:
            self._lock(fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            return False
        return True

    def give(self) -> None:
        """Give back that record."""
        self._lock(fcntl.LOCK_UN)

    def sit(self) -> int:
        """Return the process id: there is one sign for each process."""
        return os.getpid()

    def sits(self, number: int) -> bool:
        """Ask whether there is a process with that id."""
        try:
            os.kill(number, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
        return True

    def close(self) -> None:
        """Let go of the file; with its last user in this process, its locks go."""
        self._file = None

    def _lock(self, operation: int) -> None:
        assert self._file is not None
        fcntl.lockf(self._file.fd, operation, 1, self._record)


#: Which locks there are; tests force the other ones.
KIND: type[OpenFileLocks] | type[ProcessLocks] | None = None
if fcntl is not None:
    KIND = OpenFileLocks if hasattr(fcntl, "F_OFD_SETLK") and sys.maxsize > 2**32 else ProcessLocks


def check() -> None:
    """Refuse rings on systems without locks that end with their holder."""
    if KIND is None:
        raise PlatformError(
            f"oc.SharedRing needs file locks that end with their process; {sys.platform} has none.\n"
            "Use oc.shared_empty((n, ...)) and pass the numbers of its rows through a multiprocessing.Queue."
        )
