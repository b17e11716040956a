"""Put files out of the page cache, look whether they are, and count what comes from the device then.

Guarantees
- `require` leaves no page of the file in memory or raises Skip: a figure is cold, or it is not shown. Dirty
  pages are written first; pages that some process has mapped and touched cannot be dropped.
"""

from __future__ import annotations

import ctypes
import mmap
import os
from pathlib import Path

import numpy as np

from benchmarks.measure import Skip

#: A few pages stay where another process looks at the file, for instance at its header.
MOST = 1e-3


def require(path: Path) -> None:
    """Drop a file, or all files of a folder, from the page cache.

    Raises
    ------
    Skip
        More than a trace of it stays there.
    """
    stayed = evict(path)
    if stayed > MOST:
        raise Skip(f"{stayed:.1%} of the file stay in the page cache: nothing cold can be measured")


def evict(path: Path) -> float:
    """Drop a file, or all files of a folder, from the page cache; return the share that stayed."""
    files = [file for file in path.rglob("*") if file.is_file()] if path.is_dir() else [path]
    stayed = total = 0.0
    for file in files:
        if not hasattr(os, "posix_fadvise"):
            return 1.0
        fd = os.open(file, os.O_RDONLY)
        try:
            os.fsync(fd)
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            size = os.fstat(fd).st_size
            stayed += resident_share(fd) * size
            total += size
        finally:
            os.close(fd)
    return stayed / total if total else 0.0


def resident_share(fd: int) -> float:
    """Ask the kernel which share of a file's pages is in memory (mincore on a mapping)."""
    size = os.fstat(fd).st_size
    if size == 0:
        return 0.0
    pages = np.zeros(-(-size // mmap.PAGESIZE), np.uint8)
    with mmap.mmap(fd, size, access=mmap.ACCESS_READ) as mapping:
        view = np.frombuffer(mapping, np.uint8)
        libc = ctypes.CDLL(None, use_errno=True)
        answer = libc.mincore(
            ctypes.c_void_p(view.ctypes.data), ctypes.c_size_t(size), ctypes.c_void_p(pages.ctypes.data)
        )
        del view
    if answer != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    return float(np.mean(pages & 1))


def read_through(path: Path) -> float:
    """Bring a file into the page cache; return the share of it that is there then."""
    with open(path, "rb", buffering=0) as file:
        while file.read(16 << 20):
            pass
        return resident_share(file.fileno())


def device_bytes() -> int:
    """Return how many bytes the device has delivered for this process so far, as the kernel counts them.

    Raises
    ------
    Skip
        The system does not count them.
    """
    try:
        fields = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    except OSError as error:
        raise Skip(f"the system does not count what is read: {error}") from error
    return int(fields["read_bytes"])
