"""Segments without a name: Linux.

Reads from : the kernel
Hands to   : shared.sharing, shared.resolving, shared.named (`fill`)

Guarantees
- The memory is freed by the kernel with its last descriptor and its last map, whoever dies and how.
- A segment cannot shrink or grow, so no access to it can fail later (SIGBUS).
- It is not in /dev/shm, so a small or full /dev/shm does not matter.
- What does not fit is refused before anything is touched.

Other processes of the same user open it through /proc/<pid>/fd, for which nobody has to be awake.
"""

from __future__ import annotations

import errno
import os
import platform
import re

import numpy as np

from outcore.errors import ReadOnlyError
from outcore.shared.header import HEADER_BYTES, Header, pack, unpack
from outcore.shared.mapping import map_file
from outcore.shared.memory_limits import check_room, explain
from outcore.shared.segment import Segment

try:
    import fcntl
except ImportError:  # Windows, where nothing here is called
    fcntl = None  # type: ignore[assignment]  # a module elsewhere

# Python learns these later than the kernel did: MFD_NOEXEC_SEAL (Linux 6.3), F_SEAL_FUTURE_WRITE (5.1).
_NOEXEC_SEAL = 0x8
_SEAL_FUTURE_WRITE = 0x10
_WRITE_BYTES = 1 << 24
_RESERVE_BYTES = 1 << 26
PREFIX = "outcore:"


def create(header: Header, *, reserve: bool, source: memoryview | None = None) -> Segment:
    """Make a segment.

    Parameters
    ----------
    reserve : bool
        Whether to take all its memory now.
    source : memoryview of bytes, optional
        What it shall hold; zeros by default.

    Raises
    ------
    MemoryBudgetError
        The memory is not there; nothing was touched.
    HandleLimitError
        No descriptor is left.
    """
    what = f"a shared array of shape {header.shape} and dtype {header.dtype}"
    total = HEADER_BYTES + header.nbytes
    if reserve:
        check_room(total, what)
    try:
        fd = _new(PREFIX + header.site.split(" ")[0])
    except OSError as error:
        raise explain(error, total, what) from error
    try:
        os.fchmod(fd, 0o600)  # it starts as readable by everybody who gets hold of it
        os.ftruncate(fd, total)
        os.pwrite(fd, pack(header), 0)
        if source is not None:
            fill(fd, source)
        elif reserve and header.nbytes:
            # In pieces: a signal undoes the piece that it meets, and one of a profiler comes every 10 ms.
            for start in range(0, total, _RESERVE_BYTES):
                os.posix_fallocate(fd, start, min(_RESERVE_BYTES, total - start))
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW)
        mapped = map_file(fd, total, writable=True)
    except OSError as error:
        os.close(fd)
        raise explain(error, total, what) from error
    except BaseException:
        os.close(fd)
        raise
    return Segment(header, mapped, fd, writable=True)


def _new(name: str) -> int:
    flags = os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING
    short = os.fsdecode(os.fsencode(name)[:200])  # the kernel takes 249 bytes
    try:
        fd = os.memfd_create(short, flags | _NOEXEC_SEAL)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        fd = os.memfd_create(short, flags)  # before Linux 6.3
    return fd


def fill(fd: int, source: memoryview) -> None:
    """Write the data of a segment."""
    # Written, not copied into a map: twice as fast, since no page is cleared first, and running out of
    # memory is an error here instead of a signal.
    done = 0
    while done < len(source):
        done += os.pwrite(fd, source[done : done + _WRITE_BYTES], HEADER_BYTES + done)


def attach(path: str, nonce: bytes, mode: str) -> Segment | None:
    """Open a segment by a path to one of its descriptors; None if it is not there, or not ours to open.

    Parameters
    ----------
    path : str
        ``/proc/<pid>/fd/<n>``.
    mode : {"r", "r+", "c"}
        "r" is enforced by the kernel: a descriptor opened to read makes no writable map.

    Raises
    ------
    HandleLimitError
        No descriptor is left here.
    MemoryBudgetError
        The system has no room for another map.
    ReadOnlyError
        Mode "r+" for a frozen segment.
    """
    fd = _open(path, os.O_RDWR if mode == "r+" else os.O_RDONLY)
    if fd < 0:
        return None
    total = HEADER_BYTES
    try:
        header = unpack(os.pread(fd, HEADER_BYTES, 0))
        total += header.nbytes if header is not None else 0
        if header is None or header.nonce != nonce or os.fstat(fd).st_size < total:
            os.close(fd)
            return None
        private = mode == "c"
        if mode == "r+" and is_frozen(fd):
            raise refusal(header)
        if private and is_frozen(fd) and _kernel() < (5, 5):
            # There the kernel would share a private map of a sealed file: a copy is what was asked for.
            mapped = np.fromfile(f"/proc/self/fd/{fd}", np.uint8)
        else:
            mapped = map_file(fd, total, writable=mode != "r", private=private)
    except OSError as error:
        os.close(fd)
        raise explain(error, total, "receiving a shared array") from error
    except BaseException:
        os.close(fd)
        raise
    return Segment(header, mapped, fd, writable=mode != "r", private=private)


def _open(path: str, flags: int) -> int:
    # By now the number may be that of anything: a socket, a pipe, a terminal, a device that notices being
    # opened. So it is looked at first, and whatever goes wrong with something else is no error of ours.
    try:
        if not os.readlink(path).startswith(f"/memfd:{PREFIX}"):
            return -1
        return os.open(path, flags | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError as error:
        explained = explain(error, 0, "receiving a shared array")
        if explained is not error:
            raise explained from error
        return -1


def freeze(fd: int) -> None:
    """Refuse, from now on, every new way to write to a segment.

    Raises
    ------
    PermissionError
        The descriptor can only read.
    """
    try:
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEAL_FUTURE_WRITE)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        # Before Linux 5.1 only NumPy refuses.


def is_frozen(fd: int) -> bool:
    """Whether `freeze` was called on the segment, in whatever process."""
    return bool(fcntl.fcntl(fd, fcntl.F_GET_SEALS) & _SEAL_FUTURE_WRITE)


def refusal(header: Header) -> ReadOnlyError:
    """Return the error for who wants to write to a frozen segment."""
    return ReadOnlyError(
        f"the shared array made at {header.site} was frozen; mode='r+' cannot write to it.\n"
        "Use mode='r', or mode='c' for changes that stay in this process."
    )


def _kernel() -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", platform.release())[:2])
