"""A folder for the files of one run, with enough room, removed at the end.

Reads from : the operating system
Hands to   : demo.conduct

Guarantees
- The free space is checked before anything is written.
- The folder goes with the run, also after an error or an interrupt. After a `kill -9` it goes with the next
  run: a folder whose lock is free belongs to nobody.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from outcore.budget import format_bytes
from outcore.errors import DiskFullError, NotFoundError

try:
    import fcntl
except ImportError:  # Windows, where the demo is not meant to run
    fcntl = None  # type: ignore[assignment]  # a module elsewhere

PREFIX, KEPT_PREFIX = "outcore-demo-run-", "outcore-demo-kept-"
#: Beyond the estimate: file systems keep books, and others write too.
MARGIN = 1.05
#: A folder this young may be about to be locked.
YOUNG_S = 60.0


@contextmanager
def workplace(directory: str | None, needed_bytes: int, *, keep: bool) -> Iterator[Path]:
    """Make the folder; remove it unless `keep`.

    Parameters
    ----------
    directory : str, optional
        Where to make it; by default the first folder for temporary files that is on a disk.

    Raises
    ------
    NotFoundError
        `directory` does not exist.
    DiskFullError
        Not enough room; nothing was written.
    """
    base = _base(directory)
    _remove_dead(base)
    free = shutil.disk_usage(base).free
    if free < needed_bytes * MARGIN:
        raise DiskFullError(
            f"the demo needs {format_bytes(needed_bytes * MARGIN)}; {base} has {format_bytes(free)} free.\n"
            "Name another folder with --directory, or use less data: --size 0.1."
        )
    folder = Path(tempfile.mkdtemp(prefix=KEPT_PREFIX if keep else PREFIX, dir=base))
    try:
        with _locked(folder):
            yield folder
    finally:
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    if fcntl is None:
        yield
        return
    fd = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def _base(directory: str | None) -> Path:
    if directory is not None:
        base = Path(directory).expanduser().absolute()
        if not base.is_dir():
            raise NotFoundError(f"the folder {base} does not exist.\nCreate it first: mkdir -p {base}")
        return base
    candidates = [Path(tempfile.gettempdir()), Path("/var/tmp"), Path.cwd()]
    # A folder in memory would make every reader fast, and the files would use up the memory.
    usable = [
        path for path in candidates if path.is_dir() and os.access(path, os.W_OK) and not in_memory(path)
    ]
    return (usable or candidates)[0]


def in_memory(folder: Path) -> bool:
    """Whether a folder's file system is in memory; False where the system does not tell.

    Examples
    --------
    >>> in_memory(Path("/proc/no-such-mount"))
    False
    """
    mounts = Path("/proc/self/mounts")
    if not mounts.exists():
        return False
    found = ("", "")
    for line in mounts.read_text().splitlines():
        _, point, kind = line.split()[:3]
        # The last mount of the longest name is the one that is seen.
        if len(point) >= len(found[0]) and folder.resolve().is_relative_to(point):
            found = (point, kind)
    return found[1] in ("tmpfs", "ramfs")


def _remove_dead(base: Path) -> None:
    """Remove the folders of runs that were killed."""
    if fcntl is None:
        return
    for left in base.glob(PREFIX + "*"):
        with suppress(OSError):
            facts = left.lstat()
            if facts.st_uid != os.getuid() or time.time() - facts.st_mtime < YOUNG_S:
                continue
            fd = os.open(left, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(left, ignore_errors=True)
            finally:
                os.close(fd)
