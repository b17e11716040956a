"""What a worker process does with a batch, and how batches go there and come back.

Reads from : shared memory that the parent filled (loader.offloading)
Hands to   : loader.offloading, through shared memory of the worker

Guarantees
- The worker can only read the parent's rows; transforms get a copy of their own, so a batch whose worker dies
  in the middle of a change in place can be made again from the same rows.
- Messages are some hundred bytes for each array, whatever its size.
- What arrives is in memory of the parent; no descriptor and no map is held for it.

A map of the rows that copies what is written (`attach` with "c") was rejected instead of the copy: a
transform that keeps its batch would see later batches in the pages that it did not write, and would get
another class of array than in a thread. A segment of its own for each result was rejected too: it takes a
descriptor as long as the caller has the batch, and its pages are new ones, in both processes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from outcore.executors.parcel import SHARE_BYTES
from outcore.loader.keys import generator
from outcore.loader.offloading_slots import Slots
from outcore.shared.segment import under
from outcore.shared.sharedarray import SharedArray
from outcore.shared.sharing import attach

_ALIGNMENT = 64


# ---- on the way to the worker ------------------------------------------------------------------


@dataclass(frozen=True)
class Rows:
    """An array of the parent, by its token."""

    token: str

    def copied(self) -> NDArray[Any]:
        """Return its values in memory of this process."""
        return np.array(attach(self.token, "r"), order="C")


def described(batch: Any, slots: Slots, extra: list[Any]) -> Any:
    """Return a batch with addresses in place of arrays.

    Parameters
    ----------
    extra : list
        Takes arrays of `slots` that were filled here, because the batch had large arrays elsewhere: they are
        to be released when the answer has come.
    """

    def described_array(array: NDArray[Any]) -> Any:
        if isinstance(array, SharedArray) and (segment := under(array)) is not None and not segment.private:
            return Rows(array.token())
        if array.nbytes < SHARE_BYTES:
            return array
        filled = slots.empty(array.shape, array.dtype)
        filled[...] = array
        extra.append(filled)
        return described_array(filled)

    return rebuilt(batch, np.ndarray, described_array)


def rebuilt(batch: Any, kind: type[Any] | tuple[type[Any], ...], made: Callable[[Any], Any]) -> Any:
    """Return a batch in which `made` of them stands in place of all objects of one kind."""
    if isinstance(batch, kind):
        return made(batch)
    if type(batch) is dict:
        return {key: rebuilt(part, kind, made) for key, part in batch.items()}
    if type(batch) in (tuple, list):
        return type(batch)(rebuilt(part, kind, made) for part in batch)
    if isinstance(batch, tuple) and hasattr(batch, "_make"):
        return batch._make(rebuilt(part, kind, made) for part in batch)
    return batch


# ---- in the worker -----------------------------------------------------------------------------


class _Results:
    """The memory of this worker for results."""

    def __init__(self) -> None:
        self._slots = Slots()
        self._last: list[SharedArray] = []

    def renew(self) -> None:
        """Take back the memory of the last result: who sends the next batch has copied it."""
        self._slots.release(self._last)
        self._last = []

    def bytes(self, n_bytes: int) -> SharedArray:
        """Return memory that stays as it is until `renew`."""
        self._last = [self._slots.bytes(n_bytes)]
        return self._last[0]


_results = _Results()


def transformed(transforms: Sequence[Callable[..., Any]], batch: Any, key: tuple[int, int, int]) -> Any:
    """Make a batch: the task of the worker.

    Parameters
    ----------
    transforms : sequence of callable
        What is placed.
    batch : ndarray, tuple or dict
        As `described` returned it.
    key : tuple (seed, epoch, position)
        Of the random numbers.

    Returns
    -------
    object
        What `taken` understands.
    """
    _results.renew()
    batch = rebuilt(
        batch, (Rows, np.ndarray), lambda leaf: leaf.copied() if type(leaf) is Rows else leaf.copy()
    )
    rng = generator(*key)
    for transform in transforms:
        batch = transform(batch, rng)
    return _sent(batch)


@dataclass(frozen=True)
class _Place:
    """Where an array lies in the memory of a result."""

    start: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    order: Any

    def on(self, memory: NDArray[np.uint8]) -> NDArray[Any]:
        return np.ndarray(self.shape, self.dtype, memory, self.start, order=self.order)


def _sent(batch: Any) -> Any:
    arrays: list[NDArray[Any]] = []
    places: list[_Place] = []
    end = 0

    def place(array: NDArray[Any]) -> Any:
        nonlocal end
        if not _is_plain(array):
            return array  # whoever takes the batch decides what to say to that
        arrays.append(array)
        places.append(_Place(end, array.shape, array.dtype, "F" if array.flags.fnc else "C"))
        end += -(-array.nbytes // _ALIGNMENT) * _ALIGNMENT
        return places[-1]

    skeleton = rebuilt(batch, np.ndarray, place)
    if not arrays:
        return batch
    shared = _results.bytes(end) if end >= SHARE_BYTES else None
    memory = np.zeros(end or 1, np.uint8) if shared is None else shared.view(np.ndarray)
    for array, where in zip(arrays, places, strict=True):
        where.on(memory)[...] = array
    return _Outgoing(skeleton, memory.tobytes() if shared is None else shared.token())


def _is_plain(array: NDArray[Any]) -> bool:
    """Whether an array is all in its bytes, shape and type."""
    return type(array) in (np.ndarray, np.memmap, SharedArray) and not (
        array.dtype.hasobject or array.dtype.kind == "T" or array.dtype.metadata
    )


class _Outgoing:
    """A result as the worker has it; `Incoming` once it is loaded."""

    def __init__(self, skeleton: Any, memory: bytes | str) -> None:
        self._what = skeleton, memory

    def __reduce__(self) -> Any:
        return _arrived, self._what


# ---- back in the parent ------------------------------------------------------------------------


@dataclass(frozen=True)
class Incoming:
    """A result that still lies in memory of the worker."""

    skeleton: Any
    memory: NDArray[np.uint8]

    def copied(self, empty: Callable[[tuple[int, ...], DTypeLike], NDArray[Any]]) -> Any:
        """Return the batch in memory that `empty` gives."""

        def filled(place: _Place) -> NDArray[Any]:
            there = place.on(self.memory)
            if place.order == "F":
                here = empty(place.shape[::-1], place.dtype).T
            else:
                here = empty(place.shape, place.dtype)
            here[...] = there
            return here

        return rebuilt(self.skeleton, _Place, filled)


def _arrived(skeleton: Any, memory: bytes | str) -> Incoming:
    # Attached while the answer is loaded: if the worker died meanwhile, the runner has the batch made again.
    if isinstance(memory, str):
        return Incoming(skeleton, attach(memory, "r").view(np.ndarray))
    return Incoming(skeleton, np.frombuffer(memory, np.uint8))


def taken(answer: Any, empty: Callable[[tuple[int, ...], DTypeLike], NDArray[Any]]) -> Any:
    """Return the batch that a worker answered."""
    return answer.copied(empty) if isinstance(answer, Incoming) else answer
