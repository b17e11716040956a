"""HDF5 files opened through h5py: locks, forks, and errors that say what to do.

Reads from : h5py
Hands to   : storage.hdf5, storage.hdf5_rows, storage.chunk_index, storage.hdf5_write

Guarantees
- Every failure to open is an OutcoreError with what to type; nothing is printed.
- A forked child never uses a handle of its parent: the HDF5 library would find the file in its
  inherited table and serve it from a copy of the parent's caches. The child opens with another
  driver, which the library holds to be another file.

Locks: HDF5's own, "best effort", which is its default: they keep a second writer out, and file systems
that know no locks (NFS) are no error. Switching them off for reading was rejected: a file that is
being written elsewhere would be read in the middle of a change.
"""

from __future__ import annotations

import errno
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import h5py

from outcore.errors import FormatError, NotFoundError, OutcoreError, TruncatedError, WriterConflictError
from outcore.storage.file import full

#: Within one process HDF5 wants the same locking from everybody who opens a file, so that of a handle that
#: the user holds already is tried as well.
LOCKINGS = ("best-effort", False, True)
#: How long a file that another process has locked is tried again.
PATIENCE_S = 0.3
#: How many datasets an error lists.
MAX_NAMES = 20

#: What to do where a second process wants to write chunks.
ONE_WRITER = (
    "Chunked HDF5 has one writer: send it the rows, or create the dataset without chunks and compression."
)

_HOME_PID = os.getpid()


def open_h5(
    path: str, mode: str = "r", *, lockings: tuple[bool | str, ...] = LOCKINGS, **options: Any
) -> Any:
    """Open `path` with h5py, and wait a little if another process has it locked.

    Raises
    ------
    FormatError, TruncatedError
        Not an HDF5 file, or not all of one.
    WriterConflictError
        Somebody else writes it, or it is to be written and somebody reads it.
    """
    for last in _attempts():
        try:
            return _open_once(path, mode, lockings, options)
        except WriterConflictError as error:
            if last or not _is_locked(error.__cause__):
                raise
    raise AssertionError("unreachable: the last attempt either opens or raises")


@contextmanager
def briefly_open(path: str) -> Iterator[Any]:
    """Open `path` to read, for a few calls.

    Under h5py's lock from open to close: a thread that opens the file to write at the same moment would be
    told that it is open to read. (A lock of our own could be copied in its locked state by a fork.)
    """
    for last in _attempts():
        with h5py._objects.phil:  # not while waiting
            try:
                h5 = _open_once(path, "r", LOCKINGS, {})
            except WriterConflictError as error:
                if last or not _is_locked(error.__cause__):
                    raise
                continue
            with h5:
                yield h5
            return


def _attempts() -> Iterator[bool]:
    """Yield False until `PATIENCE_S` is over, then True: others may have the file open only briefly too."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        yield False
        time.sleep(0.01)
    yield True


def _open_once(path: str, mode: str, lockings: tuple[bool | str, ...], options: dict[str, Any]) -> Any:
    options = {"driver": None if os.getpid() == _HOME_PID else "stdio"} | options
    for locking in lockings:
        try:
            return h5py.File(path, mode, locking=locking, **options)
        except OSError as error:
            if "flag values don't match" in str(error) and locking != lockings[-1]:
                continue
            raise _explained(path, mode, error) from error
    raise AssertionError("unreachable: the last way either opens or raises")


def _is_locked(error: BaseException | None) -> bool:
    return "unable to lock" in str(error)


def _explained(path: str, mode: str, error: OSError) -> OSError | OutcoreError:
    text = str(error)
    found = re.search(r"truncated file: eof = (\d+).* stored_eof = (\d+)", text)
    if found:
        return TruncatedError(
            f"{path} has {found[1]} bytes; its HDF5 header says {found[2]}: the end is missing.\n"
            "It was not closed by its writer, or cut: write it or copy it again."
        )
    if _is_locked(error):
        who = "writing" if mode == "r" else "using"
        return WriterConflictError(
            f"{path} is locked: another process is {who} it.\n"
            "Wait until it has closed the file. (HDF5's locks; see HDF5_USE_FILE_LOCKING.)"
        )
    if "already open for read-only" in text:
        return WriterConflictError(
            f"{path} cannot be opened to write: this process has it open to read.\n"
            "Close that first: X.close(), or close() of the h5py.File."
        )
    if "already open for write" in text or "consistency flags" in text:
        return WriterConflictError(
            f"{path} is marked as open for writing: its writer is at work, or was killed.\n"
            "Wait for it; if it is dead, clear the mark: h5clear -s FILE (part of the HDF5 tools)."
        )
    if isinstance(error, FileNotFoundError):
        return NotFoundError(f"{path} does not exist.\nCheck the name.")
    if isinstance(error, PermissionError):
        return error
    if isinstance(error, IsADirectoryError):
        return FormatError(f"{path} is a folder, not an HDF5 file.\nGive the name of a file in it.")
    if "file signature not found" in text:
        with open(path, "rb") as file:
            start = file.read(8)
        return FormatError(
            f"{path} is not an HDF5 file: it begins with {start!r}.\n"
            "Check the name; a raw binary file is opened with dtype= and a name that does not end in .h5."
        )
    return FormatError(
        f"{path} cannot be read as HDF5: {text}.\nThe file is damaged: write it or copy it again."
    )


@contextmanager
def disk_errors(path: str) -> Iterator[None]:
    """Turn h5py's ways to say "no space left" into a `DiskFullError`.

    h5py raises RuntimeError or OSError, with the errno of the system only in the text.
    """
    try:
        yield
    except (OSError, RuntimeError) as error:
        codes = (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC), errno.EFBIG)
        if isinstance(error, OutcoreError) or not any(f"errno = {code}," in str(error) for code in codes):
            raise
        raise full(path, os.path.getsize(path), OSError(errno.ENOSPC, "no space left")) from error


def put_out_of_reach(fd: int) -> None:
    """Put a file in memory in the place of an open one, so that HDF5 can "write" whatever it still holds.

    HDF5 cannot forget a file: it writes its caches when it closes it, at the latest when the process exits.
    In a forked child that undoes what the parent has written since; after a full disk it fails, and the
    process ends with a segmentation fault.
    """
    if hasattr(os, "memfd_create"):
        other = os.memfd_create("outcore-given-up")
    else:
        other = os.open(os.devnull, os.O_RDWR)
    os.dup2(other, fd, inheritable=False)
    os.close(other)


def dataset_names(group: Any) -> list[str]:
    """Names of the datasets below `group`, at most `MAX_NAMES` + 1 of them."""
    names: list[str] = []
    prefix = (group.name or "").rstrip("/")

    def visit(name: str, item: Any) -> bool | None:
        if isinstance(item, h5py.Dataset):
            names.append(f"{prefix}/{name}")
        return len(names) > MAX_NAMES or None  # anything but None ends the visit

    group.visititems(visit)
    return names


def listed(names: list[str]) -> str:
    """Write the names for an error text."""
    if not names:
        return "there are no datasets in it"
    more = ", ..." if len(names) > MAX_NAMES else ""
    return "there are: " + ", ".join(names[:MAX_NAMES]) + more
