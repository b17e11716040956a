"""`Array`: a reference to rows on disk or in memory.

Reads from : storage.protocol.Storage, opened when rows are first needed
Hands to   : everything; users see it as ``oc.Array``

Guarantees
- A pickle holds the address, never the data: a few hundred bytes whatever the size.
- The file is opened in each process when rows are first read there; a file that was replaced or cut
  since is a `StaleArrayError` then.
- Results are plain ndarrays, equal to NumPy's. Memory is checked against the budget before reading.

Opening at unpickling was rejected: an error there kills a worker of a process pool instead of
reaching whoever asked for the result.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from math import prod
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from outcore.array.indexing import Selection, check_scalar_key, parse
from outcore.array.reading import (
    BLOCK_BYTES,
    Fields,
    Request,
    check_budget,
    fetch,
    field_layout,
    read_windows,
)
from outcore.array.writing import as_values, assign
from outcore.errors import ClosedError, DTypeError, ReadOnlyError, SelectionError, ShapeError
from outcore.layout import normalise_rows, normalise_starts
from outcore.settings import MemoryLike
from outcore.shared.lost import LostArray
from outcore.shared.sharedarray import SharedArray
from outcore.storage import formats
from outcore.storage.memory import MemoryStorage
from outcore.storage.protocol import Spec, Storage
from outcore.storage.publish import Partial


class Array:
    """A reference to rows on disk or in memory; made by `outcore.open`, `create` and `asarray`.

    Behaves like a read-only (or, opened with ``"r+"``, writable) `numpy.ndarray` that is read when
    indexed. Cheap to open, to pickle and to hand to any process.

    Attributes
    ----------
    shape, dtype, ndim, size, nbytes
        As on `numpy.ndarray`.
    address : str
        What to give `outcore.open` for the same rows; ``"memory"`` for arrays without an address.
    mode : str
        ``"r"``, ``"r+"`` or ``"c"``.
    info : dict
        Format, reader and layout.

    Examples
    --------
    >>> import numpy as np, outcore as oc
    >>> x = oc.asarray(np.arange(12).reshape(6, 2))
    >>> x[[5, 0]]
    array([[10, 11],
           [ 0,  1]])
    """

    #: Set when the file is opened.
    _storage_or_none: Storage | None = None

    def __init__(
        self,
        spec: Spec,
        storage: Storage | None = None,
        *,
        fields: Fields = (),
        partial: Partial | None = None,
        growable: bool = False,
        parent: Array | None = None,
    ) -> None:
        # A selection of fields reads through the array that it was selected from, which alone owns the file.
        self._parent = parent
        self._spec = spec
        if storage is not None:
            self._storage_or_none = storage
        self._fields = fields
        self._partial = partial
        self._growable = growable
        self._closed = False
        self.dtype, self._inner_shape = field_layout(spec.dtype, spec.shape[1:], fields)

    # ---- facts -------------------------------------------------------------------------------

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes of all axes."""
        # An open storage may have grown.
        known = self._parent if self._parent is not None else self._storage_or_none or self._spec
        return (*known.shape[:1], *self._inner_shape)

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of values."""
        return prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes that the values take in memory."""
        return self.size * self.dtype.itemsize

    @property
    def address(self) -> str:
        """What to give `outcore.open` to refer to the same rows."""
        return self.spec.address

    @property
    def mode(self) -> str:
        """``"r"``, ``"r+"`` or ``"c"``, as in `numpy.memmap`."""
        return self.spec.mode

    @property
    def spec(self) -> Spec:
        """The address and layout that a pickle holds."""
        return self._spec if self._parent is None else self._parent.spec

    @property
    def info(self) -> dict[str, Any]:
        """Facts about where the rows are and how they are read."""
        facts = {"address": self.address, "shape": self.shape, "dtype": str(self.dtype), "mode": self.mode}
        return facts | self._storage.info()

    def __len__(self) -> int:
        if not self.shape:
            raise SelectionError("len() of an array without dimensions.\nUse X[()] to get its value.")
        return self.shape[0]

    def __repr__(self) -> str:
        field = "".join(f"[{list(f) if isinstance(f, tuple) else f!r}]" for f in self._fields)
        state = ", being written" if self._partial is not None else ""
        facts = f"shape={self.shape} dtype={self.dtype} mode={self.mode!r}"
        return f"<outcore.Array {self.address!r}{field} {facts}{state}>"

    # ---- reading -----------------------------------------------------------------------------

    def __getitem__(self, key: Any) -> Any:
        """Read what ``ndarray[key]`` would give; field names give an `Array` of that field.

        Raises
        ------
        SelectionError
            An index that is not supported outside memory.
        RowIndexError
            Out of bounds.
        MemoryBudgetError
            The result is larger than the memory budget.
        """
        if isinstance(key, str) or (isinstance(key, list) and key and all(isinstance(k, str) for k in key)):
            return self._select_field(key)
        if not self.shape:
            check_scalar_key(key)
            value = self._read_scalar()
        else:
            selection = parse(key, self.shape)
            value = self._fetch(f"reading {selection.n_rows} rows", Request.of(selection, self.shape))
        # NumPy gives an array without dimensions where the index has an ellipsis, else a scalar.
        dots = any(index is Ellipsis for index in (key if isinstance(key, tuple) else (key,)))
        return value[()] if value.ndim == 0 and not dots else value

    def take(
        self, rows: ArrayLike, out: NDArray[Any] | None = None, *, memory: MemoryLike | None = None
    ) -> NDArray[Any]:
        """Read the given rows, in the given order.

        Parameters
        ----------
        rows : array-like of int or bool, shape (n,)
            Any order, repeats allowed, negative ones count from the end; booleans select rows.
        out : ndarray of shape (n, *X.shape[1:]), optional
            Filled and returned instead of a new array.
        memory : int, float or str, optional
            Budget for this call; see `outcore.options`.

        Returns
        -------
        ndarray of shape (n, *X.shape[1:])

        Raises
        ------
        RowIndexError
            A row lies outside the array; nothing was read.
        ShapeError
            `out` does not fit.
        MemoryBudgetError
            The result and its working memory are larger than the budget.

        Notes
        -----
        Memory: the result, 32 bytes a row, and a few megabytes of buffers.

        Examples
        --------
        >>> import numpy as np, outcore as oc
        >>> oc.asarray(np.array([10, 11, 12])).take([2, 0, 2])
        array([12, 10, 12])
        """
        self._refuse_scalar("take")
        index = normalise_rows(rows, self.shape[0])
        request = Request(index, 1, (len(index),), self._inner_shape)
        return self._fetch(f"take({len(index)} rows)", request, out, memory)

    def windows(
        self,
        starts: ArrayLike,
        length: int,
        out: NDArray[Any] | None = None,
        *,
        memory: MemoryLike | None = None,
    ) -> NDArray[Any]:
        """Read the rows ``[s, s + length)`` for each ``s`` in `starts`.

        Parameters
        ----------
        starts : array-like of int, shape (n_windows,)
            First row of each window; any order, repeats and overlaps allowed.
        length : int
            Rows in each window.
        out : ndarray of shape (n_windows, length, *X.shape[1:]), optional
            Filled and returned instead of a new array.
        memory : int, float or str, optional
            Budget for this call; see `outcore.options`.

        Returns
        -------
        ndarray of shape (n_windows, length, *X.shape[1:])

        Raises
        ------
        RowIndexError
            A window leaves the array; the first such start is named, and `out` is untouched.
        ShapeError
            `length` is below 1, or `out` does not fit.
        MemoryBudgetError
            The result and its working memory are larger than the budget.

        Notes
        -----
        Memory: the result, 32 bytes a window, and a few megabytes of buffers.

        Examples
        --------
        >>> import numpy as np, outcore as oc
        >>> x = oc.asarray(np.arange(12).reshape(6, 2))
        >>> x.windows([3, 0], 2)[:, 0]
        array([[6, 7],
               [0, 1]])
        """
        self._refuse_scalar("windows")
        begins = normalise_starts(starts, length, self.shape[0])
        request = Request(begins, int(length), (len(begins), int(length)), self._inner_shape)
        return self._fetch(f"windows({len(begins)} x {length} rows)", request, out, memory)

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        """Read everything; obeys the memory budget."""
        view = self._storage.view() if not self._fields else None
        if view is not None and copy is not True and (dtype is None or view.dtype == dtype):
            return view
        if copy is False:
            raise ValueError(
                f"{self!r} cannot become an ndarray without reading it.\n"
                "Use np.asarray(X), or X[a:b] for a part."
            )
        if dtype is not None and dtype != self.dtype:
            converted = self.size * np.dtype(dtype).itemsize
            check_budget(
                f"np.asarray(dtype={np.dtype(dtype)})", {"rows": self.nbytes, "converted": converted}
            )
        whole = self._read_scalar() if not self.shape else self[:]
        result: NDArray[Any] = whole if dtype is None else whole.astype(dtype, copy=False)
        return result

    def __iter__(self) -> Iterator[Any]:
        """Iterate over rows, read a block at a time."""
        step = max(1, BLOCK_BYTES // max(self._storage.row_bytes, 1))
        for start in range(0, len(self), step):
            yield from self[start : start + step]

    # ---- writing -----------------------------------------------------------------------------

    def __setitem__(self, key: Any, value: ArrayLike) -> None:
        """Write rows in place; values are cast and broadcast as NumPy does.

        Raises
        ------
        ReadOnlyError
            The array was opened with mode "r".
        ShapeError
            `value` does not broadcast to the rows.
        """
        self._require_writable()
        if isinstance(key, str):
            self._select_field(key)[...] = value
            return
        if self.shape:
            selection = parse(key, self.shape)
        else:
            check_scalar_key(key)
            selection = Selection(slice(0, 1), (1,), ())
        assign(self._storage, self._fields, (self.dtype, self._inner_shape), selection, value)

    def append(self, block: ArrayLike) -> None:
        """Write rows behind the last one of an array that was created with a first axis of None.

        Parameters
        ----------
        block : array-like of shape (n, *X.shape[1:])

        Raises
        ------
        ShapeError
            `block` has another row shape.
        ReadOnlyError
            The array has a fixed number of rows.
        """
        self._require_writable()
        if not self._growable:
            raise ReadOnlyError(
                f"{self.address} has a fixed number of rows ({len(self)}); nothing can be appended.\n"
                "Create it with a first axis of None: oc.create(address, (None, ...), dtype)."
            )
        given = as_values(block, self.dtype)
        if given.ndim != self.ndim or given.shape[1:] != self.shape[1:]:
            raise ShapeError(
                f"block has shape {given.shape}; rows of {self.address} have shape {self.shape[1:]}.\n"
                f"Append a block of shape (n, {', '.join(map(str, self.shape[1:]))})."
            )
        before = len(self)
        self._storage.grow(before + len(given))
        try:
            self[before:] = given
        except BaseException:
            self._storage.grow(before)
            raise

    def flush(self) -> None:
        """Wait until everything written so far is on the device."""
        self._storage.flush()

    def close(self) -> None:
        """Finish a created array, so that it appears under its name; let go of an opened one.

        Only the process that created an array finishes it; in a forked child its copy is just closed.
        """
        if self._closed:
            return
        if self._partial is None:
            if self._storage_or_none is not None:
                self._storage_or_none.close()
            self._storage_or_none = None
            self._closed = True
            return
        if not self._partial.owned:
            self.discard()  # in a forked child: the parent's file stays as it is, and unfinished
            return
        try:
            storage = self._storage
            storage.finish()
            storage.close()
            self._partial.commit()
        except BaseException:
            self.discard()
            raise
        self._become_readable(storage.shape)

    def discard(self) -> None:
        """Give up a created array: nothing appears under its name."""
        if self._partial is not None:
            if self._storage_or_none is not None:
                self._storage_or_none.close()
            self._partial.discard()
            self._partial = None
        self._storage_or_none = None
        self._closed = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if kind is not None and self._partial is not None:
            self.discard()
        else:
            self.close()

    # ---- travelling --------------------------------------------------------------------------

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle as the address: opened again where it arrives, when rows are first read."""
        spec = self.spec
        if spec.kind == "memory":
            rows = self._storage.view()
            if isinstance(rows, SharedArray):
                return _restore_shared, (rows, self._fields)
            raise DTypeError(
                f"{self!r} lives in this process's memory only; a pickle would hold {self.nbytes} bytes.\n"
                "Share it, oc.asarray(oc.share(a)), or write it to disk (oc.create), and send that array."
            )
        return _restore, (replace(spec, shape=(*self.shape[:1], *spec.shape[1:])), self._fields)

    # ---- inside ------------------------------------------------------------------------------

    @property
    def _storage(self) -> Storage:
        # Two threads may open it at the same moment: the first one's file is used by both, the other is
        # dropped. A lock here could be copied in its locked state by a fork.
        if self._closed:
            raise ClosedError(f"{self.address} was closed.\nOpen it again: oc.open({self.address!r}).")
        if self._parent is not None:
            return self._parent._storage
        if self._storage_or_none is not None:
            return self._storage_or_none
        first: Storage = vars(self).setdefault("_storage_or_none", formats.open_spec(self._spec))
        return first

    def _select_field(self, name: str | list[str]) -> Array:
        field: str | tuple[str, ...] = name if isinstance(name, str) else tuple(name)
        parent = self if self._parent is None else self._parent
        return Array(parent.spec, fields=(*self._fields, field), parent=parent)

    def _refuse_scalar(self, what: str) -> None:
        if not self.shape:
            raise SelectionError(
                f"{what} needs rows; {self.address} has no dimensions.\nUse X[()] to get its value."
            )

    def _require_writable(self) -> None:
        if self._storage.writable:
            return
        if self.mode == "r+":
            raise ReadOnlyError(
                f"{self.address} cannot be written in place: {self.info}.\n"
                "Write the rows to a new array with oc.create."
            )
        raise ReadOnlyError(
            f'{self.address} was opened with mode="{self.mode}"; nothing was written.\n'
            f'Open it to write: oc.open({self.address!r}, mode="r+").'
        )

    def _read_scalar(self) -> NDArray[Any]:
        out = np.empty((1, 1, *self._inner_shape), self.dtype)
        read_windows(self._storage, self._fields, np.zeros(1, np.int64), 1, out)
        return out.reshape(self._inner_shape)

    def _fetch(
        self,
        what: str,
        request: Request,
        out: NDArray[Any] | None = None,
        memory: MemoryLike | None = None,
    ) -> NDArray[Any]:
        return fetch(self._storage, self._fields, self.dtype, request, what=what, out=out, memory=memory)

    def _become_readable(self, shape: tuple[int, ...]) -> None:
        assert self._partial is not None
        spec, target = self._spec, self._partial.target
        self._partial = None
        self._growable = False
        del self._storage_or_none
        located: Spec = formats.locate(
            target, spec.inner, "r", dtype=spec.dtype, shape=shape, offset=spec.offset
        )
        self._spec = located


def _restore_shared(rows: SharedArray | LostArray, fields: Fields) -> Array | LostArray:
    if isinstance(rows, LostArray):
        return rows
    return Array(
        Spec("memory", "memory", "", "r", rows.shape, rows.dtype), MemoryStorage(rows), fields=fields
    )


def _restore(spec: Spec, fields: Fields) -> Array:
    return Array(spec, fields=fields)
