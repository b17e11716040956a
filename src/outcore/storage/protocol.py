"""What a place for rows must be able to do: the manual for adding a format.

A `Storage` knows a shape and a dtype, and moves rows between its place and NumPy buffers. It
never decides how much memory to use, never converts dtypes and never understands index
expressions: `outcore.array` does all of that above it.

To add a format
---------------
1. Write a module with a subclass of `Storage`; `read_windows` and `info` are all that reading needs.
2. Write ``open_spec(spec)`` in it, and enter the module in `outcore.storage.formats`.
3. Run ``outcore.testing.StorageTests`` on it (see CONTRIBUTING.md).

Guarantees that every storage gives
- Buffers it fills are filled wholly or an error is raised; never stale or partial bytes.
- It may be used from several threads at once, and in a forked child while the parent reads.
- Memory beyond the caller's buffers stays below `extra_bytes`.
- No reference to it is pickled: `Spec` is, and it is opened again where it arrives.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from outcore.errors import ReadOnlyError
from outcore.layout import Indices


@dataclass(frozen=True)
class Fingerprint:
    """What tells a file from another one that took its name.

    Modification time is compared only where the file system tells no birth time: rows may be
    written in place while others read.
    """

    inode: int
    birth_ns: int | None
    mtime_ns: int
    size: int


@dataclass(frozen=True)
class Spec:
    """The address of an array and all that is needed to open it again: what a pickle holds.

    Attributes
    ----------
    kind : str
        A key of `outcore.storage.formats.FORMATS`.
    path : str
        Absolute path of the file.
    inner : str
        Name of the dataset inside the file, or "".
    mode : str
        "r", "r+" or "c", as in `numpy.memmap`.
    shape, dtype, order
        As NumPy's.
    offset : int
        Where the first byte of the data is, for flat files.
    fingerprint : Fingerprint or None
        None for a file that is still being written.
    """

    kind: str
    path: str
    inner: str
    mode: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    order: str = "C"
    offset: int = 0
    fingerprint: Fingerprint | None = None

    @property
    def address(self) -> str:
        """The address as a user would type it."""
        return f"{self.path}::{self.inner}" if self.inner else self.path

    def __reduce__(self) -> tuple[Any, ...]:
        # By position: names of fields would double the size of a pickle.
        mark = self.fingerprint
        parts = (self.kind, self.path, self.inner, self.mode, self.shape, self.dtype, self.order, self.offset)
        return _spec, (
            *parts,
            None if mark is None else (mark.inode, mark.birth_ns, mark.mtime_ns, mark.size),
        )


def _spec(*parts: Any) -> Spec:
    *where, mark = parts
    made = Spec(*where)
    return made if mark is None else replace(made, fingerprint=Fingerprint(*mark))


class Storage(ABC):
    """Rows somewhere: the abstract class behind every `outcore.Array`.

    Attributes
    ----------
    shape : tuple of int
        The first entry is the number of rows.
    dtype : numpy.dtype
        Of the stored values.
    writable : bool
        Whether `write_rows` may be called.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    writable: bool = False

    @property
    def row_bytes(self) -> int:
        """Bytes of one row."""
        return prod(self.shape[1:]) * self.dtype.itemsize

    @abstractmethod
    def read_windows(self, starts: Indices, length: int, out: NDArray[Any]) -> None:
        """Fill ``out[i]`` with the rows ``[starts[i], starts[i] + length)``.

        Parameters
        ----------
        starts : ndarray of int64, shape (n_windows,)
            Checked by the caller; any order, repeats and overlaps allowed.
        length : int
            At least 1.
        out : ndarray of shape (n_windows, length, *shape[1:]), C-contiguous
            Of this storage's dtype.
        """

    def read_columns(self, starts: Indices, length: int, low: int, high: int, out: NDArray[Any]) -> None:
        """Fill ``out[i]`` with the rows of window i, cut to ``[low, high)`` on the second axis.

        Storages that can leave the other columns unread override this; `narrows` says so.
        """
        whole = np.empty((len(starts), length, *self.shape[1:]), self.dtype)
        self.read_windows(starts, length, whole)
        out[...] = whole[:, :, low:high]

    def read_rows(self, start: int, out: NDArray[Any]) -> None:
        """Fill `out` with the rows from `start` on, in the calling thread where that is possible.

        For callers that read in several threads themselves.
        """
        if out.size:
            self.read_windows(np.array([start], np.int64), len(out), out[None])

    def read_rows_bytes(self, n_rows: int) -> int:
        """Count the bytes that `read_rows` needs besides `out`, at most."""
        return self.extra_bytes(1, n_rows)

    def announce(self, start: int, n_rows: int) -> None:  # noqa: B027 - nothing to do is a fine answer
        """Have the device begin to read rows that will be asked for soon."""

    #: Whether `read_direct` is there.
    reads_direct: bool = False

    def read_direct(self, start: int, n_rows: int, room: NDArray[np.uint8]) -> NDArray[Any]:
        """Read rows past the page cache; return them where they lie in `room`.

        `room` has `direct_room_bytes` bytes.
        """
        # Only storages whose `reads_direct` is true are asked, and those have their own.
        raise NotImplementedError(f"{type(self).__name__} says that it reads directly, and does not.")

    def is_cached(self, start: int, n_rows: int) -> bool:
        """Whether the rows seem to be in the page cache: some of them are."""
        return False

    #: Writing is cheapest in multiples of this many rows.
    band_rows: int = 1

    #: Rows are decoded this many at a time, from multiples of it on: asked for fewer, they are decoded again.
    decoded_rows: int = 1

    #: Whether `read_columns` reads less than whole rows.
    narrows: bool = False

    def write_rows(self, start: int, block: NDArray[Any]) -> None:
        """Write `block`, C-contiguous and of this dtype, to the rows from `start` on."""
        raise ReadOnlyError(f"{self.info()['format']} cannot be written here.")

    def grow(self, n_rows: int) -> None:
        """Make room for `n_rows` rows in all; only for arrays created with a first axis of None."""
        raise ReadOnlyError(f"{self.info()['format']} has a fixed number of rows.")

    def finish(self) -> None:  # noqa: B027 - nothing to do is a fine answer
        """Write what makes a new file complete: its header, its last chunk. Called once, at the end."""

    def extra_bytes(self, n_windows: int, length: int) -> int:
        """Bytes that `read_windows` needs besides `out`, at most."""
        return 24 * n_windows

    def view(self) -> NDArray[Any] | None:
        """Return the rows as an ndarray if they are in this process's memory already."""
        return None

    @abstractmethod
    def info(self) -> dict[str, Any]:
        """Facts for ``X.info``: at least ``format`` and ``reader``."""

    def flush(self) -> None:  # noqa: B027 - nothing to do is a fine answer
        """Bring everything written so far to the device."""

    def close(self) -> None:  # noqa: B027 - nothing to do is a fine answer
        """Let go of files; the storage is not used afterwards."""
