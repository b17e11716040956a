"""`SharedRing`: a stream of arrays between processes through a fixed number of slots.

Reads from : shared.sharing (the memory), shared.ring_claims (whose slot it is)
Hands to   : users, as ``oc.SharedRing``; the loader

Guarantees
- Items are read in the order in which their slots were claimed, complete, and each by one reader.
- Whoever is killed, at whatever moment: the others go on. The slot of a dead writer is free again and was
  never readable; the item of a dead reader is read once more, by another one, as the oldest.
- Nothing is allocated, cleared or opened for an item.
- A writer waits only while no slot is free, a reader only while the oldest item is not complete.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from outcore.errors import DTypeError, OptionError, RingClosedError, RowIndexError, ShapeError
from outcore.shared import ring_locks, ring_seat
from outcore.shared.memory_limits import check_room
from outcore.shared.ring_claims import Block, close
from outcore.shared.ring_seat import Seat
from outcore.shared.ring_state import slot_bytes, slots_at
from outcore.shared.sharedarray import SharedArray
from outcore.shared.sharing import checked, shared_empty


class SharedRing:
    """A bounded first-in-first-out stream of equal arrays between any number of processes and threads.

    It pickles as a handle: hand it to children as an argument, through a queue, or by fork.

    Parameters
    ----------
    n_slots : int
        Items that can be in the ring at once, those that are being written and read included.
    shape : int or tuple of int
        Of each item.
    dtype : dtype
        Of each item; structured types too, but no objects.

    Attributes
    ----------
    n_slots, shape, dtype
        As given.

    Raises
    ------
    MemoryBudgetError
        The slots do not fit into the free memory; nothing was touched.
    HandleLimitError
        This process has no file descriptor left.
    DTypeError, ShapeError, OptionError
        A type, shape or number that cannot be.
    PlatformError
        A system without locks that end with their process (Windows).

    Notes
    -----
    Memory: n_slots items, each rounded up to 64 bytes, and 8 kB. Two descriptors in each process, whatever
    the number of slots and items.

    A reader that dies may have used its item already, so items are delivered at least once; each is delivered
    exactly once as long as no reader dies. A writer that is alive but does not finish its slot holds up
    the readers, who get the items in order.

    Examples
    --------
    >>> ring = oc.SharedRing(4, (2, 3), "f4")
    >>> with ring.write() as slot:  # in a child: fill the memory that the reader will see
    ...     slot[...] = 7
    >>> with ring.read() as batch:  # in the parent: no copy
    ...     float(batch.sum())
    42.0
    """

    def __init__(self, n_slots: int, shape: int | tuple[int, ...], dtype: DTypeLike = np.float64) -> None:
        ring_locks.check()
        kind, sizes = checked(shape, dtype)
        count = _count(n_slots)
        nbytes = slots_at(count) + count * slot_bytes(math.prod(sizes) * kind.itemsize)
        check_room(nbytes, f"a ring of {count} slots of shape {sizes} and dtype {kind}")
        self._is(shared_empty(nbytes, np.uint8), count, sizes, kind)

    def _is(self, memory: SharedArray, n_slots: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Self:
        self.n_slots, self.shape, self.dtype = n_slots, shape, dtype
        self._memory = memory
        self._found: Seat | None = None
        return self

    # ---- without a copy ----------------------------------------------------------------------

    def write(self, timeout: float | None = None) -> AbstractContextManager[NDArray[Any]]:
        """Claim a free slot, to be filled inside a ``with`` block; what is filled is readable after it.

        Parameters
        ----------
        timeout : float, optional
            Seconds to wait for a free slot; for ever by default.

        Returns
        -------
        context manager of an ndarray of shape `self.shape`
            Holds the values of some earlier item, or zeros. It must not be used after the block: the memory
            is then somebody else's.

        Raises
        ------
        RingTimeoutError
            No slot became free in time.
        RingClosedError
            The ring was closed. Who has a slot by then may finish it.

        Notes
        -----
        Memory: none. If the block raises, the slot is given back and nobody will read it.

        Examples
        --------
        >>> ring = oc.SharedRing(2, 3, "i4")
        >>> with ring.write(timeout=60) as slot:
        ...     slot[...] = [1, 2, 3]
        >>> ring.n_ready
        1
        """
        return Block(self._seat, self._to_write, timeout, reading=False)

    def read(self, timeout: float | None = None) -> AbstractContextManager[NDArray[Any]]:
        """Claim the oldest item, to be used inside a ``with`` block; its slot is free after it.

        Parameters
        ----------
        timeout : float, optional
            Seconds to wait for an item; for ever by default.

        Returns
        -------
        context manager of an ndarray of shape `self.shape`
            Read-only. It must not be used after the block: copy what is to be kept.

        Raises
        ------
        RingTimeoutError
            No item was complete in time.
        RingClosedError
            The ring was closed and everything was read.

        Notes
        -----
        Memory: none. If the block raises, the item was delivered all the same. If the process dies in it,
        the item is delivered once more, to somebody else.

        Examples
        --------
        >>> ring = oc.SharedRing(2, 3, "i4")
        >>> ring.put([1, 2, 3])
        >>> with ring.read() as item:
        ...     int(item.sum())
        6
        """
        return Block(self._seat, self._to_read, timeout, reading=True)

    def slot(self, i: int) -> SharedArray:
        """Return one slot, whatever it holds, for programs that keep their own books about the slots.

        Parameters
        ----------
        i : int
            0 to n_slots - 1.

        Returns
        -------
        SharedArray of shape `self.shape`
            Writable; it pickles as a handle. Nothing keeps others from writing to it. Freezing it would
            freeze the ring.

        Raises
        ------
        RowIndexError
            There is no such slot.

        Notes
        -----
        Memory: none.

        Examples
        --------
        >>> oc.SharedRing(2, 3, "i4").slot(1)
        SharedArray([0, 0, 0], dtype=int32)
        """
        if not 0 <= i < self.n_slots:
            raise RowIndexError(
                f"slot {i} is none of the {self.n_slots} of this ring, 0 to {self.n_slots - 1}."
            )
        start = slots_at(self.n_slots) + i * slot_bytes(math.prod(self.shape) * self.dtype.itemsize)
        return SharedArray._on(self._memory._shared(), start, self.shape, None, self.dtype)

    # ---- with a copy -------------------------------------------------------------------------

    def put(self, array: ArrayLike, timeout: float | None = None) -> None:
        """Copy an array into the ring.

        Parameters
        ----------
        array : array-like of shape `self.shape`
            Of a type that NumPy converts to the ring's with ``casting="same_kind"``.
        timeout : float, optional
            Seconds to wait for a free slot; for ever by default.

        Raises
        ------
        RingTimeoutError
            No slot became free in time.
        RingClosedError
            The ring was closed.
        ShapeError, DTypeError
            The array does not fit; no slot was claimed.

        Notes
        -----
        Memory: none but that of the slot.

        Examples
        --------
        >>> ring = oc.SharedRing(2, (), "f8")
        >>> ring.put(0.5)
        >>> ring.get()
        array(0.5)
        """
        given = np.asarray(array)
        self._fits("the array", given, given.dtype, self.dtype)
        with self.write(timeout) as slot:
            np.copyto(slot, given, casting="same_kind")

    def get(self, timeout: float | None = None, out: NDArray[Any] | None = None) -> NDArray[Any]:
        """Copy the oldest item out of the ring.

        Parameters
        ----------
        timeout : float, optional
            Seconds to wait for an item; for ever by default.
        out : ndarray of shape `self.shape`, optional
            Filled and returned instead of a new array.

        Returns
        -------
        ndarray of shape `self.shape`
            In memory of this process.

        Raises
        ------
        RingTimeoutError
            No item was complete in time.
        RingClosedError
            The ring was closed and everything was read.
        ShapeError, DTypeError
            `out` does not fit; no item was claimed.

        Notes
        -----
        Memory: one item, unless `out` is given.

        Examples
        --------
        >>> ring = oc.SharedRing(2, 3, "i4")
        >>> ring.put([1, 2, 3])
        >>> ring.get(timeout=60)
        array([1, 2, 3], dtype=int32)
        """
        if out is None:
            filled = np.empty(self.shape, self.dtype)
        else:
            filled = out
            self._fits("out", out, self.dtype, out.dtype)
        with self.read(timeout) as item:
            np.copyto(filled, item, casting="same_kind")
        return filled

    def _fits(self, what: str, array: NDArray[Any], source: np.dtype[Any], target: np.dtype[Any]) -> None:
        if array.shape != self.shape:
            raise ShapeError(
                f"{what} has shape {array.shape}; items of this ring have shape {self.shape}.\n"
                "Items are not broadcast: use np.broadcast_to, or ring.write()."
            )
        if not np.can_cast(source, target, "same_kind"):
            raise DTypeError(
                f"{what} has dtype {array.dtype}; items of this ring have dtype {self.dtype}.\n"
                'NumPy does not convert these with casting="same_kind"; use astype if the values allow it.'
            )

    # ---- the end -----------------------------------------------------------------------------

    def close(self) -> None:
        """Say, to all processes, that there will be no more items; more than once does no harm.

        Who wants to write gets a `RingClosedError`. Who wants to read gets what there is, then that error;
        iteration ends.

        Notes
        -----
        The memory needs no closing: it is freed with the last ring, and slot, in any process.

        Examples
        --------
        >>> ring = oc.SharedRing(2, 3, "i4")
        >>> ring.put([1, 2, 3])
        >>> ring.close()
        >>> [item.tolist() for item in ring]
        [[1, 2, 3]]
        """
        close(self._seat)

    @property
    def closed(self) -> bool:
        """Whether there will be no more items but those that were begun."""
        return self._seat.state.closed

    @property
    def n_ready(self) -> int:
        """Items that are complete and wait to be read, at this moment."""
        return self._seat.state.n_ready

    def __len__(self) -> int:
        return self.n_slots

    def __bool__(self) -> bool:
        return True

    def __iter__(self) -> Iterator[NDArray[Any]]:
        """Yield copies of the items until the ring is closed and empty."""
        while True:
            try:
                item = self.get()
            except RingClosedError:
                return
            yield item

    def __repr__(self) -> str:
        return f"<outcore.SharedRing n_slots={self.n_slots} shape={self.shape} dtype={self.dtype}>"

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self  # a copy would lead nowhere

    def __reduce__(self) -> Any:
        return _received, (self._memory, self.n_slots, self.shape, self.dtype)

    # ---- this process ------------------------------------------------------------------------

    @property
    def _seat(self) -> Seat:
        # Found when it is first used: a handle that cannot be received must not raise while it is unpickled.
        if self._found is None:
            memory = self._memory
            segment = memory._shared()
            values = memory.view(np.ndarray)
            start, step = slots_at(self.n_slots), slot_bytes(math.prod(self.shape) * self.dtype.itemsize)
            one = np.ndarray(self.shape, self.dtype, values, start)
            slots = np.ndarray((self.n_slots, *self.shape), self.dtype, values, start, (step, *one.strides))
            self._to_write, self._to_read = slots, slots.view()
            self._to_read.flags.writeable = False
            self._found = ring_seat.seat_of(values, segment, self.n_slots)
        return self._found


def _received(memory: SharedArray, n_slots: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> SharedRing:
    return SharedRing.__new__(SharedRing)._is(memory, n_slots, shape, dtype)


def _count(n_slots: Any) -> int:
    if isinstance(n_slots, bool) or not isinstance(n_slots, (int, np.integer)) or n_slots < 1:
        raise OptionError(f"n_slots={n_slots!r} is not a whole number of 1 or more.")
    return int(n_slots)
