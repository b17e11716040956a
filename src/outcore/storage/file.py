"""One open file: positional reads and writes that never share a position.

Reads from : the operating system
Hands to   : storage.gather, storage.flat, storage.chunked

Guarantees
- `read` and `write` move all bytes or raise; a short read names the offset where the file ended.
- Nothing here moves a shared file position, so threads and forked children never disturb each other.
- The descriptor is closed when the object is no longer referenced.

`PosixFile` needs preadv; `PortableFile` does the same work with seek and readinto on a handle of
its own for each thread, for systems without positional reads (Windows).
"""

from __future__ import annotations

import ctypes
import errno
import functools
import io
import mmap
import os
import struct
import threading
import weakref
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from outcore.errors import DiskFullError, NotFoundError, StaleArrayError
from outcore.storage.protocol import Fingerprint

#: Linux moves at most this many bytes in one call.
MAX_IO_BYTES = 0x7FFFF000
#: Linux and macOS take at most this many buffers in one call.
MAX_BUFFERS = 1024
#: Reads past the page cache begin and end at multiples of this, in the file and in memory: of what devices
#: ask for the most.
DIRECT_BYTES = 4096


class PosixFile:
    """A file opened for positional reading, and writing if asked."""

    positional = True

    def __init__(self, path: str, *, writable: bool = False) -> None:
        self.path = path
        self.writable = writable
        self.fd = _open(path, writable)
        self._finalizers: list[weakref.finalize[[int], PosixFile]] = []
        self._close_later(self.fd)
        self._map: NDArray[np.uint8] | None = None
        self._direct_fd: int | None = None
        #: Where the last single range ended. Only a hint, so threads may overwrite each other's.
        self.scanned_to = -1
        #: How many gathers in a row found everything in the page cache. Only a hint, too.
        self.hot_in_a_row = 0

    def _close_later(self, fd: int) -> None:
        finalizer = weakref.finalize(self, os.close, fd)
        finalizer.atexit = False
        self._finalizers.append(finalizer)

    def size(self) -> int:
        """Bytes in the file now."""
        return os.fstat(self.fd).st_size

    def fingerprint(self) -> Fingerprint:
        """Return what identifies this very file, whatever name it has."""
        return _fingerprint(os.fstat(self.fd), self.fd)

    def read(self, offset: int, buffers: Sequence[memoryview]) -> None:
        """Fill `buffers`, at most `MAX_BUFFERS` of them, one after the other, from `offset` on."""
        wanted = buffers[0].nbytes if len(buffers) == 1 else sum(buffer.nbytes for buffer in buffers)
        got = os.preadv(self.fd, buffers, offset)
        if got != wanted:
            self._read_rest(offset, buffers, got)

    def _read_rest(self, offset: int, buffers: Sequence[memoryview], got: int) -> None:
        # A signal, or more than MAX_IO_BYTES, cuts a read short; the end of the file reads as 0.
        for buffer in buffers:
            if got >= buffer.nbytes:
                got -= buffer.nbytes
                offset += buffer.nbytes
                continue
            flat = buffer.cast("B")
            while got < flat.nbytes:
                n = os.preadv(self.fd, [flat[got:]], offset + got)
                if n == 0:
                    raise ended(self, offset + got)
                got += n
            offset += flat.nbytes
            got = 0

    def read_direct(self, offset: int, room: memoryview, wanted: int) -> None:
        """Read past the page cache, where the system lets us, the first `wanted` bytes of `room` at least.

        All three are multiples of `DIRECT_BYTES`, and so is the address of `room`; but for `wanted`.
        """
        got = 0
        try:
            while got < wanted:
                n = os.preadv(self._open_direct(), [room[got:]], offset + got)
                if n == 0:
                    raise ended(self, offset + got)
                got += n
                if got % DIRECT_BYTES:
                    break  # the end of the file, or a signal: the rest begins where it may not
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOENT, errno.EOPNOTSUPP, errno.EACCES, errno.ENXIO):
                raise
            # A file system without direct reads, or no /proc to open the same file again by.
            self._direct_fd = self.fd
        if got < wanted:
            self.read(offset + got, [room[got:wanted]])

    def _open_direct(self) -> int:
        if self._direct_fd is None:
            # By the descriptor: the name may stand for another file by now.
            # Two threads may both come here; what each opened stays until the file is closed.
            fd = os.open(f"/proc/self/fd/{self.fd}", os.O_RDONLY | os.O_CLOEXEC | getattr(os, "O_DIRECT", 0))
            self._close_later(fd)
            self._direct_fd = fd
        return self._direct_fd

    def announce(self, offset: int, nbytes: int) -> None:
        """Tell the kernel that these bytes are wanted soon; it reads them in the background."""
        os.posix_fadvise(self.fd, offset, nbytes, os.POSIX_FADV_WILLNEED)

    def resident(self, offset: int) -> bool:
        """Whether the byte at `offset` is in the page cache; False also where nobody can tell."""
        if not hasattr(os, "RWF_NOWAIT"):
            return False
        try:
            return os.preadv(self.fd, [bytearray(1)], offset, os.RWF_NOWAIT) == 1
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS):
                return self._mapped_page_is_resident(offset)
            raise

    def _mapped_page_is_resident(self, offset: int) -> bool:
        # tmpfs does not know RWF_NOWAIT; mincore answers for every file system, if a little slower.
        if offset >= self.size() or (mincore := _libc("mincore")) is None:
            return False
        page = offset // mmap.PAGESIZE * mmap.PAGESIZE
        answer = ctypes.c_ubyte()
        address = ctypes.c_void_p(self.mapping().ctypes.data + page)
        return mincore(address, ctypes.c_size_t(1), ctypes.byref(answer)) == 0 and bool(answer.value & 1)

    def mapping(self) -> NDArray[np.uint8]:
        """Map the bytes of the file to read them; mapped once, and again when the file has grown."""
        size = self.size()
        if self._map is None or len(self._map) < size:
            mapped = mmap.mmap(self.fd, size, access=mmap.ACCESS_READ)
            if hasattr(mmap, "MADV_RANDOM"):
                # What is touched is in the page cache, but for pages that left it a moment ago, and holes of
                # sparse files, which only seem to be there. For each, megabytes around it would be read.
                mapped.madvise(mmap.MADV_RANDOM)
            self._map = np.frombuffer(mapped, np.uint8)
        return self._map

    def write(self, offset: int, data: memoryview) -> None:
        """Write all of `data`, a flat memoryview of bytes, at `offset`."""
        done = 0
        try:
            while done < data.nbytes:
                done += os.pwrite(self.fd, data[done : done + MAX_IO_BYTES], offset + done)
        except OSError as error:
            raise full(self.path, offset + done, error) from error

    def reserve(self, nbytes: int) -> None:
        """Take the disk space for `nbytes` now, so that running out of it is known before the work."""
        try:
            if hasattr(os, "posix_fallocate") and nbytes:
                os.posix_fallocate(self.fd, 0, nbytes)
            else:
                os.ftruncate(self.fd, nbytes)
        except OSError as error:
            if error.errno in (errno.EOPNOTSUPP, errno.EINVAL):
                os.ftruncate(self.fd, nbytes)
            else:
                raise full(self.path, nbytes, error) from error

    def truncate(self, nbytes: int) -> None:
        """Cut or extend the file to `nbytes`."""
        os.ftruncate(self.fd, nbytes)

    def sync(self) -> None:
        """Bring everything written so far to the device."""
        os.fsync(self.fd)

    def close(self) -> None:
        """Close the descriptor now; closing twice is harmless."""
        self._map = None
        self.fd = -1  # never the number of a file that somebody opens next
        self._direct_fd = None
        for finalizer in self._finalizers:
            finalizer()


class PortableFile(PosixFile):
    """The same work where the system has neither positional reads nor page-cache advice."""

    positional = False

    def __init__(self, path: str, *, writable: bool = False) -> None:
        super().__init__(path, writable=writable)
        # A position is shared by everybody who shares a handle, so each thread and each process has its own.
        self._own = threading.local()

    def _handle(self) -> io.FileIO:
        if getattr(self._own, "pid", None) != os.getpid():
            if not os.path.exists(self.path) or not os.path.samestat(os.fstat(self.fd), os.stat(self.path)):
                raise stale(self.path, "was replaced")
            fd = _open(self.path, self.writable)
            self._own.handle = io.FileIO(fd, "r+" if self.writable else "r", closefd=False)
            weakref.finalize(self._own.handle, os.close, fd).atexit = False
            self._own.pid = os.getpid()
        handle: io.FileIO = self._own.handle
        return handle

    def read(self, offset: int, buffers: Sequence[memoryview]) -> None:
        """Fill `buffers` one after the other from `offset` on."""
        handle = self._handle()
        handle.seek(offset)
        for buffer in buffers:
            flat, done = buffer.cast("B"), 0
            while done < flat.nbytes:
                n = handle.readinto(flat[done : done + MAX_IO_BYTES])
                if not n:
                    raise ended(self, offset + done)
                done += n
            offset += flat.nbytes

    def read_direct(self, offset: int, room: memoryview, wanted: int) -> None:
        """Read as everything is read: the system offers nothing else."""
        self.read(offset, [room[:wanted]])

    def announce(self, offset: int, nbytes: int) -> None:
        """Nothing to tell: the system offers no such advice."""

    def resident(self, offset: int) -> bool:
        """Never known: the system does not tell."""
        return False

    def write(self, offset: int, data: memoryview) -> None:
        """Write all of `data` at `offset`."""
        handle, done = self._handle(), 0
        try:
            handle.seek(offset)
            while done < data.nbytes:
                done += handle.write(data[done : done + MAX_IO_BYTES])
        except OSError as error:
            raise full(self.path, offset + done, error) from error

    def close(self) -> None:
        """Close every handle now; closing twice is harmless."""
        self._own = threading.local()
        super().close()


#: The class that `open_file` uses; tests force the portable one.
FILE_CLASS: type[PosixFile] = (
    PosixFile if hasattr(os, "preadv") and hasattr(os, "posix_fadvise") else PortableFile
)


def open_file(path: str, *, writable: bool = False) -> PosixFile:
    """Open `path` with the best class that this system allows."""
    return FILE_CLASS(path, writable=writable)


def verify(file: PosixFile, expected: Fingerprint | None, needed_bytes: int) -> None:
    """Check that `file` is the one that was opened before and still long enough.

    Raises
    ------
    StaleArrayError
        It was replaced, or it is shorter than the array needs.
    """
    found = file.fingerprint()
    if expected is not None:
        same = found.inode == expected.inode and found.birth_ns == expected.birth_ns
        if same and found.birth_ns is None:
            same = found.mtime_ns == expected.mtime_ns
        if not same:
            raise stale(file.path, "was replaced")
    if found.size < needed_bytes:
        raise stale(
            file.path, f"has {found.size} bytes left of the {needed_bytes} that the array needs: it was cut"
        )


def stale(path: str, what: str) -> StaleArrayError:
    """Build the error for a file that is no longer the one that was opened."""
    return StaleArrayError(f'{path} {what} since the array was opened.\nOpen it again: oc.open("{path}").')


def ended(file: PosixFile, offset: int) -> StaleArrayError:
    """Build the error for a file that ends at `offset` in the middle of a read."""
    return StaleArrayError(
        f"{file.path} ends at byte {file.size()}; byte {offset} was asked for: it was cut.\n"
        f'Write the file again, then oc.open("{file.path}").'
    )


def full(path: str, offset: int, error: OSError) -> OSError:
    """Turn "no space left" into an error that says where; anything else stays as it is."""
    if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):  # EFBIG: more than the file system holds
        return error
    found = DiskFullError(
        errno.ENOSPC,
        f"the disk is full at byte {offset} of {path}; nothing stands under the final name.\n"
        "Free some space or write to another disk, then run it again.",
    )
    found.filename = path
    return found


def _open(path: str, writable: bool) -> int:
    flags = (
        (os.O_RDWR if writable else os.O_RDONLY) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
    )
    try:
        return os.open(path, flags)
    except FileNotFoundError as error:
        raise NotFoundError(
            f"{path} does not exist.\nCheck the name; the folder is {_nearest(path)}."
        ) from error


def _nearest(path: str) -> str:
    folder = os.path.dirname(os.path.abspath(path))
    while not os.path.isdir(folder):
        folder = os.path.dirname(folder)
    return folder if folder == os.path.dirname(os.path.abspath(path)) else f"missing too; {folder} is there"


def _fingerprint(found: os.stat_result, fd: int) -> Fingerprint:
    return Fingerprint(found.st_ino, _birth_ns(found, fd), found.st_mtime_ns, found.st_size)


def _birth_ns(found: os.stat_result, fd: int) -> int | None:
    if hasattr(found, "st_birthtime"):  # macOS, and Windows from Python 3.12 on
        return int(found.st_birthtime * 1e9)  # type: ignore[attr-defined]
    statx = _libc("statx")
    if statx is None:
        return None
    # struct statx: mask at byte 0, birth time (seconds, nanoseconds) at byte 80; the layout is kernel ABI.
    answer = ctypes.create_string_buffer(256)
    at_empty_path, want_birth = 0x1000, 0x800
    if statx(fd, b"", at_empty_path, want_birth, answer) != 0:
        return None
    (mask,) = struct.unpack_from("I", answer, 0)
    if not mask & want_birth:
        return None
    seconds, nanoseconds = struct.unpack_from("qI", answer, 80)
    return int(seconds) * 10**9 + int(nanoseconds)


@functools.cache
def _libc(name: str) -> Any:
    """Return a function of the C library, or None where there is no such function."""
    # Python offers birth times on Linux only from 3.15 on. Inode numbers are reused at once on
    # ext4, so without a birth time a file written anew under the same name may look unchanged.
    try:
        return getattr(ctypes.CDLL(None, use_errno=True), name, None)
    except (OSError, TypeError):  # TypeError: Windows wants the name of a library
        return None
