"""Where the rows go: a flat file under construction, an HDF5 file, or shared memory.

Hands to   : text.ingesting

Guarantees
- `write` may be called by several threads at once, for rows that do not overlap.
- A file appears under its name in `commit`, and not before.
- `keep` leaves what was written so far for a later run to take over.

HDF5 can neither place rows whose number is unknown in one piece, nor take a crash while it grows. So the rows
are collected in a flat file beside the target and put into HDF5 at the end, by `outcore.convert`: room for
both is needed meanwhile. Counting all records beforehand was rejected: it reads compressed text twice.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from outcore.array.handle import Array
from outcore.array.opening import open_array
from outcore.conversion import convert
from outcore.errors import IngestError
from outcore.settings import MemoryLike, ProgressLike
from outcore.shared.sharedarray import SharedArray
from outcore.storage import formats
from outcore.storage.file import open_file
from outcore.storage.flat import FlatStorage
from outcore.storage.npy import NpyWriter
from outcore.storage.protocol import Spec
from outcore.storage.publish import Partial
from outcore.text.schema import Schema

#: Bytes of a finished array that are copied at a time when rows are added to it.
COPY_BYTES = 8 << 20
#: Stands for a number of rows that is not known yet.
_MANY = 1 << 40


class Target(ABC):
    """Rows that are being written."""

    @abstractmethod
    def write(self, start: int, rows: NDArray[Any]) -> None:
        """Write rows from row `start` on."""

    @abstractmethod
    def sync(self) -> None:
        """Wait until what was written so far is on the device."""

    @abstractmethod
    def finish(self, n_rows: int) -> None:
        """Bring what was written into its final form; only `commit` follows."""

    @abstractmethod
    def commit(self) -> Array | SharedArray:
        """Give the rows their name; return them, open to read."""

    @abstractmethod
    def discard(self) -> None:
        """Remove what was written; the target stays as it was."""


class FlatTarget(Target):
    """A .npy file, or raw binary.

    Parameters
    ----------
    path : str
        The final name.
    npy : bool
        Whether it gets a header.
    resume : str, optional
        A partial file to take over; see `Partial`.
    """

    def __init__(
        self,
        path: str,
        row: tuple[np.dtype[Any], tuple[int, ...]],
        *,
        npy: bool,
        overwrite: bool,
        resume: str | None = None,
    ) -> None:
        self._dtype, inner = row
        self._partial = Partial(path, overwrite=overwrite, resume=resume)
        self._npy = npy
        try:
            shape = (0, *inner)
            self._file = open_file(self._partial.path, writable=True)
            offset = NpyWriter.header_bytes(shape, self._dtype) if npy else 0
            spec = Spec(
                "npy" if npy else "raw", self._partial.path, "", "r+", shape, self._dtype, "C", offset
            )
            self._storage = (
                NpyWriter(spec, self._file) if npy else FlatStorage(spec, self._file, writable=True)
            )
        except BaseException:
            self._partial.discard()
            raise

    @property
    def path(self) -> str:
        """The partial file."""
        return self._partial.path

    def write(self, start: int, rows: NDArray[Any]) -> None:
        """Write rows from row `start` on."""
        self._storage.write_rows(start, rows)

    def begin_with(self, rows: Array) -> None:
        """Begin with the rows of another array."""
        step = max(1, COPY_BYTES // max(1, self._storage.row_bytes))
        for start in range(0, len(rows), step):
            self.write(start, rows[start : start + step])

    def cut(self, n_rows: int) -> None:
        """Forget all rows but the first `n_rows`.

        Raises
        ------
        IngestError
            There are fewer.
        """
        wanted, size = self._storage.offset + n_rows * self._storage.row_bytes, self._file.size()
        if size < wanted and n_rows:
            raise IngestError(
                f"{self.path} has {size} bytes; {n_rows} rows that were written take {wanted}: it was cut.\n"
                "Run again: it begins anew."
            )
        self._file.truncate(wanted)

    def sync(self) -> None:
        """Wait until what was written so far is on the device."""
        self._storage.flush()

    def finish(self, n_rows: int) -> None:
        """Write the header."""
        self._storage.grow(n_rows)
        if isinstance(self._storage, NpyWriter):
            self._storage.finish()
        else:
            self._file.truncate(n_rows * self._storage.row_bytes)
        self.sync()

    def commit(self) -> Array:
        """Give the file its name."""
        shape, target = self._storage.shape, self._partial.target
        self._storage.close()
        self._partial.commit()
        return open_array(target) if self._npy else open_array(target, dtype=self._dtype, shape=shape)

    def keep(self) -> None:
        """Leave the partial file as it is, for a later run."""
        self._storage.close()
        self._partial.keep()

    def discard(self) -> None:
        """Remove the partial file."""
        self._storage.close()
        self._partial.discard()


class Hdf5Target(Target):
    """A dataset in an HDF5 file, filled from a flat file beside it."""

    def __init__(
        self,
        address: str,
        rows: FlatTarget,
        *,
        chunks: tuple[int, ...] | Literal[True] | None,
        compression: str | int | None,
        memory: MemoryLike | None,
        progress: ProgressLike | None,
        overwrite: bool,
    ) -> None:
        self._address = address
        self._rows = rows
        self._options: dict[str, Any] = {
            "chunks": chunks,
            "compression": compression,
            "memory": memory,
            "progress": progress,
            "overwrite": overwrite,
        }
        self._shape: tuple[int, ...] = ()

    def write(self, start: int, rows: NDArray[Any]) -> None:
        """Write rows from row `start` on."""
        self._rows.write(start, rows)

    def sync(self) -> None:
        """Wait until what was written so far is on the device."""
        self._rows.sync()

    def finish(self, n_rows: int) -> None:
        """Complete the flat file."""
        self._rows.finish(n_rows)

    def commit(self) -> Array:
        """Make the dataset of the rows."""
        with open_array(self._rows.path) as rows:
            made = convert(rows, self._address, **self._options)
        self._rows.discard()
        return made

    def discard(self) -> None:
        """Remove the flat file."""
        self._rows.discard()


def check_hdf5(
    address: str,
    schema: Schema,
    chunks: tuple[int, ...] | Literal[True] | None,
    compression: str | int | None,
) -> None:
    """Check that HDF5 can hold what the rows will be, though widths of text may still be unknown.

    Raises
    ------
    DTypeError, OptionError, FilterError
    """
    some = {column: np.dtype(f"{column.dtype.kind}1") for column in schema.columns if column.unmeasured}
    whole = schema.with_columns(tuple(replace(c, dtype=some.get(c, c.dtype)) for c in schema.columns))
    hdf5 = formats.module("hdf5")
    hdf5.check_dtype(whole.dtype, address)
    hdf5.check_options((_MANY, *whole.row_shape), whole.dtype, chunks=chunks, compression=compression)


class MemoryTarget(Target):
    """Shared memory that has room for all records."""

    def __init__(self, rows: SharedArray, *, exact: bool) -> None:
        self._rows = rows
        self._exact = exact
        self._n_rows = 0

    def write(self, start: int, rows: NDArray[Any]) -> None:
        """Copy rows to row `start` and on."""
        self._rows[start : start + len(rows)] = rows

    def sync(self) -> None:
        """Nothing to wait for."""

    def finish(self, n_rows: int) -> None:
        """Check that the rows are those that the caller made room for."""
        if self._exact and n_rows != len(self._rows):
            raise IngestError(
                f"the files gave {n_rows} rows; the shared array has {len(self._rows)}.\n"
                "Give target=None for an array of the right length."
            )
        self._n_rows = n_rows

    def commit(self) -> SharedArray:
        """Return the rows."""
        return self._rows if len(self._rows) == self._n_rows else self._rows[: self._n_rows]

    def discard(self) -> None:
        """Leave the memory to whoever holds it."""
