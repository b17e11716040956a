"""Many datasets made in one HDF5 file: their places, then the chunks of those that have any.

Reads from : storage.hdf5_options, storage.hdf5_attributes
Hands to   : combination

Guarantees
- All datasets are made in one session. Those in one piece have all their space afterwards, and the file is
  closed by HDF5: they are written like raw files, by any number of threads.
- A session that fails neither writes to the file nor harms the process when it is closed. A child that was
  forked meanwhile does not write to it either.

The caller has put a file of its own at `path`: empty, or a copy of an HDF5 file that gets more datasets.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np

from outcore.errors import AddressError, ExistsError, OptionError
from outcore.storage.chunked_write import ChunkedWriter
from outcore.storage.hdf5_attributes import Attributes
from outcore.storage.hdf5_dataset import examine
from outcore.storage.hdf5_file import briefly_open, disk_errors, put_out_of_reach
from outcore.storage.hdf5_options import Options
from outcore.storage.hdf5_rows import cache_bytes
from outcore.storage.hdf5_write import new_chunked, new_flat, open_own, place
from outcore.storage.protocol import Fingerprint, Spec

#: Datasets of at least this many bytes begin on a page, so that a mapping of them is aligned.
ALIGNED_BYTES = 1 << 16
PAGE_BYTES = 4096


@dataclass(frozen=True)
class New:
    """A dataset to be made; its dtype may carry h5py's metadata, for enums and encodings."""

    inner: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    options: Options


@dataclass(frozen=True)
class Made:
    """A dataset that was made; `offset` is None where its rows are not in one piece."""

    inner: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    offset: int | None

    def spec(self, path: str, fingerprint: Fingerprint) -> Spec:
        """Return the address of the finished dataset."""
        kind, offset = ("hdf5", 0) if self.offset is None else ("h5flat", self.offset)
        return Spec(kind, path, self.inner, "r", self.shape, self.dtype, "C", offset, fingerprint)


def check_room(path: str, group: str, inners: Sequence[str], *, overwrite: bool) -> None:
    """Check that an existing file can take datasets of these names, the group above them included.

    Raises
    ------
    ExistsError
        A name is taken by a group, or `overwrite` is False and it is taken at all.
    AddressError
        A dataset, or a link that leads nowhere, is where a group is needed.
    FormatError, TruncatedError, WriterConflictError
        The file cannot be opened.
    """
    with briefly_open(path) as h5:
        for above in sorted({group, *(posixpath.dirname(inner) for inner in inners)}):
            _check_group(h5, path, above)
        for inner in inners:
            link = _link(h5, inner)
            if link is not None and isinstance(h5.get(inner), h5py.Group):
                raise ExistsError(
                    f"{path}::{inner} is a group; a dataset cannot take its name.\nChoose another name."
                )
            if link is not None and not overwrite:
                raise ExistsError(
                    f"{path}::{inner} exists and overwrite is False.\n"
                    "Use overwrite=True to replace it, or another name."
                )


def _check_group(h5: Any, path: str, group: str) -> None:
    parts = group.strip("/").split("/")
    for n in range(1, len(parts) + 1):
        name = "/" + "/".join(parts[:n])
        if name == "/" or _link(h5, name) is None:
            return
        found = h5.get(name)
        if not isinstance(found, h5py.Group):
            what = "a link that leads nowhere" if found is None else "no group"
            raise AddressError(
                f"{path}::{name} is {what}; nothing can be put below it.\nChoose another name."
            )


def _link(h5: Any, name: str) -> Any:
    try:
        return h5.get(name, getlink=True)
    except KeyError:
        return None


@contextmanager
def session(path: str, **options: Any) -> Iterator[Any]:
    """Open the file, and close it; after an error nothing of what HDF5 still holds reaches it.

    Raises
    ------
    DiskFullError
        Also where HDF5 meets it only when it closes the file.
    """
    h5 = open_own(path, **options)
    fd: int = h5.id.get_vfd_handle()
    _SESSIONS.add(fd)
    try:
        with disk_errors(path):
            yield h5
            h5.close()
    except BaseException:
        if _is_open(fd, path):
            put_out_of_reach(fd)
        with suppress(OSError, RuntimeError):  # the file is given up
            h5.close()
        raise
    finally:
        _SESSIONS.discard(fd)


_SESSIONS: set[int] = set()


def _after_fork() -> None:
    # Another thread may fork; HDF5 in the child would write what it holds when the child ends.
    for fd in _SESSIONS:
        put_out_of_reach(fd)
    _SESSIONS.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _is_open(fd: int, path: str) -> bool:
    # HDF5 may keep the file after a close that failed, whatever h5py says of it.
    try:
        return os.path.samestat(os.fstat(fd), os.stat(path))
    except OSError:
        return False


def make_datasets(path: str, group: str, news: Sequence[New], attributes: Attributes) -> list[Made]:
    """Make all datasets, the groups above them, and all attributes.

    Raises
    ------
    DiskFullError
        No room.
    OptionError
        A group that was there before cannot take a large attribute.
    """
    options = {"libver": ("v108", "latest")} if attributes.large else {}
    with session(path, alignment_threshold=ALIGNED_BYTES, alignment_interval=PAGE_BYTES, **options) as h5:
        h5.require_group(group)
        made = []
        for new in news:
            parent, name = place(h5, path, new.inner)
            if new.options.chunks is None:
                dataset = new_flat(parent, name, new.shape, new.dtype)
            else:
                dataset = new_chunked(parent, name, new.shape, new.dtype, new.options)
            layout = examine(dataset, f"{path}::{new.inner}")
            made.append(Made(new.inner, layout.shape, layout.dtype, layout.offset))
        for name in attributes.names():
            with _explained(path, name):
                attributes.write(name, h5[name])
        return made


@contextmanager
def _explained(path: str, name: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if "object header message is too large" not in str(error):
            raise
        raise OptionError(
            f"{path}::{name} was made in the older format, in which an attribute has at most 64 kB.\n"
            "Make the large attribute a dataset."
        ) from error


def chunk_session(path: str, news: Sequence[New]) -> AbstractContextManager[Any]:
    """Open the file to write the chunks of `news`."""
    cache = max(cache_bytes(new.options.chunks, new.shape, new.dtype) for new in news)
    return session(path, rdcc_nbytes=cache)


def chunk_writer(path: str, h5: Any, new: New, threads: int) -> ChunkedWriter:
    """Return a writer for one of the chunked datasets; its `finish` leaves the session open."""
    return ChunkedWriter(path, h5, h5[new.inner], growable=False, shared=True, threads=threads)
