"""Objects on their way between processes: large arrays in them through shared memory, by address.

Reads from : shared.sharing
Hands to   : executors.processes, executors.foreign, executors.dask_client

Guarantees
- Pickling a parcel that lies in shared memory sends where it is, some hundred bytes whatever its size.
- The memory lives as long as the parcel, or anything that was opened from it, in any process. Nothing has to
  be closed.
- An array begins on a boundary of 64 bytes, as in memory of its own.

One segment for all arrays of an object, not one for each: a segment takes a descriptor, and a mixture has
hundreds of arrays.
"""

from __future__ import annotations

import contextlib
import io
import pickle
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from outcore.executors.pickling import dumps
from outcore.shared import travel
from outcore.shared.sharedarray import SharedArray
from outcore.shared.sharing import attach, shared_empty

#: Less than that is sent as it is: making a segment takes as long as copying so much through a pipe.
SHARE_BYTES = 1 << 16
_ALIGNMENT = 64


class Parcel:
    """An object on its way; made by `pack`.

    Parameters
    ----------
    data : bytes
        The pickle, without the buffers of arrays.
    sizes : tuple of int
        Bytes of each buffer.
    memory : SharedArray, str or list
        Where the buffers lie one after another: a segment; the token of one; or the buffers themselves.
    """

    def __init__(self, data: bytes, sizes: tuple[int, ...], memory: Any) -> None:
        self._data = data
        self._sizes = sizes
        self._memory = memory

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        memory = self._memory
        if isinstance(memory, SharedArray):
            # As bytes: some executors have ways of their own to send an array that they find.
            return _received, (self._data, self._sizes, pickle.dumps(memory, protocol=5))
        if isinstance(memory, list) and protocol < 5:  # as that of concurrent.futures
            memory = [bytes(buffer) for buffer in memory]
        return Parcel, (self._data, self._sizes, memory)

    @property
    def shared(self) -> bool:
        """Whether only processes of this machine can open it."""
        return not isinstance(self._memory, list)

    @property
    def nbytes(self) -> int:
        """Bytes of the pickle and of the arrays."""
        return len(self._data) + sum(self._sizes)

    def by_address(self) -> Parcel:
        """Return a parcel that can be sent any number of times, good as long as this one exists."""
        if not isinstance(self._memory, SharedArray):
            return self
        return Parcel(self._data, self._sizes, self._memory.token())

    def open(self, *, writable: bool, unpickler: type[pickle.Unpickler] = pickle.Unpickler) -> Any:
        """Return the object.

        Parameters
        ----------
        writable : bool
            Whether its arrays may be written to; those in shared memory are then written for all who have
            them.
        unpickler : type
            Finds the names.

        Raises
        ------
        SegmentGoneError
            The memory is gone, or on another machine.
        """
        found = [
            bytearray(buffer) if writable and memoryview(buffer).readonly else memoryview(buffer)
            for buffer in self._buffers(writable)
        ]
        buffers = found if writable else [memoryview(buffer).toreadonly() for buffer in found]
        return unpickler(io.BytesIO(self._data), buffers=buffers).load()

    def _buffers(self, writable: bool) -> list[Any]:
        memory = self._memory
        if isinstance(memory, list):
            return memory
        if isinstance(memory, str):
            memory = attach(memory, "r+" if writable else "r")
        whole = memoryview(memory.view(np.ndarray))
        return [whole[start : start + size] for start, size in _places(self._sizes)]


@dataclass
class Placed:
    """An object that all tasks of a pass share, as `Runner.place` returns it.

    Attributes
    ----------
    number : int
        Tells it from those that the same runner placed before.
    obj : object
        Kept: arrays in it that have an address are found here.
    parcel : Parcel
    far : object or None
        What workers on other machines are sent, as soon as there is one.
    """

    number: int
    obj: Any
    parcel: Parcel
    far: Any = None

    @classmethod
    def of(cls, obj: Any, number: int) -> Placed:
        """Pack an object."""
        return cls(number, obj, pack(obj, share=True))

    def let_go(self) -> None:
        """Receive here the handles of shared arrays inside that no worker has received.

        They would keep the memory; who sends a handle has it until it was received.
        """
        if travel.travelling():
            # Whatever loading it may raise, the workers have raised before, if there was a task.
            with contextlib.suppress(Exception):
                self.parcel.open(writable=False)


def pack(obj: Any, *, share: bool) -> Parcel:
    """Make a parcel of an object.

    Parameters
    ----------
    obj : object
    share : bool
        Whether arrays may go through shared memory, where they are large enough.

    Raises
    ------
    ExecutorError
        It cannot be pickled.
    MemoryBudgetError
        The machine has no room for the arrays.

    Notes
    -----
    Memory: a copy of the arrays, if they go through shared memory; else none before the parcel is pickled.

    Examples
    --------
    >>> parcel = pack({"q": np.ones(100_000)}, share=True)
    >>> len(pickle.dumps(parcel.by_address())) < 1000
    True
    >>> parcel.open(writable=False)["q"].sum()
    np.float64(100000.0)
    """
    buffers: list[pickle.PickleBuffer] = []
    data = dumps(obj, buffers)
    parts = [buffer.raw() for buffer in buffers]
    sizes = tuple(part.nbytes for part in parts)
    if not share or sum(sizes) < SHARE_BYTES:
        return Parcel(data, sizes, buffers)
    *_, (last, size) = _places(sizes)
    memory = shared_empty((last + size,), np.uint8)
    target: NDArray[np.uint8] = memory.view(np.ndarray)
    for part, (start, size) in zip(parts, _places(sizes), strict=True):
        target[start : start + size] = np.frombuffer(part, np.uint8) if size else 0
    return Parcel(data, sizes, memory)


def _places(sizes: tuple[int, ...]) -> list[tuple[int, int]]:
    places, start = [], 0
    for size in sizes:
        places.append((start, size))
        start += -(-size // _ALIGNMENT) * _ALIGNMENT
    return places


def _received(data: bytes, sizes: tuple[int, ...], handle: bytes) -> Parcel:
    return Parcel(data, sizes, pickle.loads(handle))
