"""Segments with a name: systems where a process cannot open the descriptors of another one.

Reads from : a file in a folder of our own (macOS, BSD), a named section (Windows)
Hands to   : shared.sharing, shared.resolving, shared.looking

Guarantees
- POSIX: everybody who has the segment holds a shared lock on its file. The last one to let go removes it;
  if all were killed, the next program that makes a segment does. So nothing piles up, but after ``kill -9``
  of everybody a file stays until then. A forked child keeps the memory it inherited, but the name goes with
  its parent's last array.
- Nothing is removed but files of ours in a folder of ours.
- Windows: the system counts the handles of a section, and frees it with the last one.

Written for systems that Linux programs do not need; there the tests force it (docs/architecture.md says
what was not run where).
"""

from __future__ import annotations

import contextlib
import mmap
import os
import re
import stat
import sys
import weakref
from pathlib import Path

import numpy as np

from outcore.shared.board import own_folder
from outcore.shared.header import HEADER_BYTES, Header, pack, unpack
from outcore.shared.mapping import map_file
from outcore.shared.memfd import fill
from outcore.shared.memory_limits import check_room, explain
from outcore.shared.segment import Segment

try:
    import fcntl

    _LOCKS = True
except ImportError:  # Windows
    _LOCKS = False

#: Prefix of a Windows section; in the session of the user who is logged in.
_SECTION = "Local\\outcore-"
_NAME = re.compile("[0-9a-f]{32}")
_TICKET = re.compile(r"[0-9]{1,9}-[0-9a-f]{1,16}\.ticket")


def create(header: Header, *, reserve: bool, source: memoryview | None = None) -> Segment:
    """Make a segment; see `outcore.shared.memfd.create`."""
    what = f"a shared array of shape {header.shape} and dtype {header.dtype}"
    total = HEADER_BYTES + header.nbytes
    if reserve:
        check_room(total, what)
    try:
        if _LOCKS:
            return _create_file(header, total, reserve, source)
        return _create_section(header, total, source)
    except OSError as error:
        raise explain(error, total, what) from error


def attach(path: str, nonce: bytes, mode: str) -> Segment | None:
    """Open a segment by its name; None if it is not there, or not ours to open.

    Raises
    ------
    HandleLimitError, MemoryBudgetError
        It is there, but this process has no descriptor, or the system no room, for it.
    """
    try:
        return _attach_file(path, nonce, mode) if _LOCKS else _attach_section(path, nonce, mode)
    except OSError as error:
        explained = explain(error, 0, "receiving a shared array")
        if explained is error:
            return None
        raise explained from error


# ---- files -------------------------------------------------------------------------------------


def folder() -> Path:
    """Return the folder of this user's segments, made if it is missing."""
    made = _folder()
    made.mkdir(mode=0o700, exist_ok=True)
    if not _is_private(made):
        raise PermissionError(
            f"{made} is not a folder that only you may write to.\nSet TMPDIR to a folder of your own."
        )
    return made


def files() -> list[Path]:
    """List the files of this user's segments; the folder is not made for that."""
    try:
        return _ours(_NAME)
    except FileNotFoundError:
        return []


def _ours(name: re.Pattern[str]) -> list[Path]:
    # Only those: the folder is in a place where everybody may put something.
    if not _is_private(_folder()):
        return []
    return sorted(path for path in _folder().iterdir() if name.fullmatch(path.name))


def _is_private(path: Path) -> bool:
    found = path.lstat()  # a link would lead sweep() into a folder of somebody's choice
    others = stat.S_IWGRP | stat.S_IWOTH
    return stat.S_ISDIR(found.st_mode) and found.st_uid == _uid() and not found.st_mode & others


def _folder() -> Path:
    return Path(own_folder())


def _uid() -> int:
    return os.getuid() if hasattr(os, "getuid") else 0


def _create_file(header: Header, total: int, reserve: bool, source: memoryview | None) -> Segment:
    sweep()
    path = str(folder() / header.nonce.hex())
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_SH)
        if reserve and hasattr(os, "posix_fallocate"):
            os.posix_fallocate(fd, 0, total)
        else:
            os.ftruncate(fd, total)
        os.pwrite(fd, pack(header), 0)
        if source is not None:
            fill(fd, source)
        mapped = map_file(fd, total, writable=True)
    except BaseException:
        os.unlink(path)
        os.close(fd)
        raise
    return _held(Segment(header, mapped, -1, writable=True, path=path), fd)


def _attach_file(path: str, nonce: bytes, mode: str) -> Segment | None:
    if not _NAME.fullmatch(os.path.basename(path)):
        return None
    fd = os.open(path, (os.O_RDWR if mode == "r+" else os.O_RDONLY) | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        fcntl.flock(fd, fcntl.LOCK_SH)
        header = unpack(os.pread(fd, HEADER_BYTES, 0))
        # Without a link it was removed between the two lines above.
        if header is None or header.nonce != nonce or os.fstat(fd).st_nlink == 0:
            os.close(fd)
            return None
        total = HEADER_BYTES + header.nbytes
        mapped = map_file(fd, total, writable=mode != "r", private=mode == "c")
    except BaseException:
        os.close(fd)
        raise
    made = Segment(header, mapped, -1, writable=mode != "r", private=mode == "c", path=path)
    return _held(made, fd)


def _held(made: Segment, fd: int) -> Segment:
    weakref.finalize(made, _let_go, made.path, fd, os.getpid())
    return made


def _let_go(path: str, fd: int, owner: int) -> None:
    # A forked child shares the lock of its parent, and must not take it for itself.
    if os.getpid() == owner:
        _remove_unheld(path, fd)
    os.close(fd)


def _remove_unheld(path: str, fd: int) -> None:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return  # somebody has it
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def sweep() -> None:
    """Remove the files of segments that nobody has any more: all their holders were killed."""
    for path in files():
        # Gone by now; or somebody else's, in spite of its name and place.
        with contextlib.suppress(FileNotFoundError, IsADirectoryError, PermissionError):
            fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            try:
                if os.fstat(fd).st_size:  # an empty one is being made
                    _remove_unheld(str(path), fd)
            finally:
                os.close(fd)
    with contextlib.suppress(FileNotFoundError):
        for ticket in _ours(_TICKET):
            _remove_if_dead(ticket)


def _remove_if_dead(ticket: Path) -> None:
    pid = int(ticket.name.partition("-")[0])
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, PermissionError):  # it was killed; the id may be that of another user by now
        ticket.unlink(missing_ok=True)


# ---- sections ----------------------------------------------------------------------------------


def _create_section(header: Header, total: int, source: memoryview | None) -> Segment:
    name = _SECTION + header.nonce.hex()
    section = _section(total, name, mmap.ACCESS_WRITE)
    section[:HEADER_BYTES] = pack(header)
    mapped = np.frombuffer(memoryview(section), np.uint8)
    made = Segment(header, mapped, -1, writable=True, path=name)
    if source is not None:
        made.data[:] = np.frombuffer(source, np.uint8)
    return made


def _attach_section(path: str, nonce: bytes, mode: str) -> Segment | None:
    # A section that does not exist would be made, full of zeros; the header tells.
    header = unpack(bytes(_section(HEADER_BYTES, path, mmap.ACCESS_READ)[:HEADER_BYTES]))
    if header is None or header.nonce != nonce:
        return None
    access = {"r": mmap.ACCESS_READ, "r+": mmap.ACCESS_WRITE, "c": mmap.ACCESS_COPY}[mode]
    # Windows rounds sizes up to pages; the header knows the true one.
    mapped = np.frombuffer(memoryview(_section(HEADER_BYTES + header.nbytes, path, access)), np.uint8)
    return Segment(header, mapped, -1, writable=mode != "r", private=mode == "c", path=path)


def _section(nbytes: int, name: str, access: int) -> mmap.mmap:
    if sys.platform == "win32":  # also for mypy: elsewhere mmap has no tagname
        return mmap.mmap(-1, nbytes, tagname=name, access=access)
    raise NotImplementedError("named sections exist on Windows only")
