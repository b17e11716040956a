"""The place of one process at a ring: the ring's lock, and the sign that the process is alive.

Reads from : shared.ring_locks, shared.ring_state
Hands to   : shared.ring_claims, shared.ring

Guarantees
- A process that dies, in whatever way, holds neither lock nor slots from then on.
- A forked child has neither the lock nor the sign nor the slots of its parent.
- One descriptor for each ring that a process uses, however often it received it.
"""

from __future__ import annotations

import math
import os
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from outcore.errors import RingTimeoutError
from outcore.shared import ring_locks
from outcore.shared.ring_locks import Locks
from outcore.shared.ring_state import Claim, RingState
from outcore.shared.segment import Segment

Result = TypeVar("Result")
#: A lock is held for some 10 microseconds; who does not get it for this long is told who has it.
_GRACE_S = 1.0
_SHORT_S, _LONG_S = 0.00002, 0.001
_PID_BITS = 32


class Seat:
    """One process at one ring; shared by its threads. Made by `seat_of`.

    Parameters
    ----------
    memory : ndarray of uint8
        Of the ring.
    segment : Segment
        What that lies in.
    n_slots : int
    """

    def __init__(self, memory: NDArray[np.uint8], segment: Segment, n_slots: int) -> None:
        self.state = RingState(memory, n_slots)
        self._segment = segment
        self.leave()

    def leave(self) -> None:
        """Start anew: in a forked child, which has inherited the seat of its parent."""
        if (locks := getattr(self, "_locks", None)) is not None:
            locks.close()
        self._locks: Locks | None = None
        self._threads = threading.Lock()  # the old one may be held by a thread that is not here
        #: What the slots that this process claims are marked with: its number, and its process id.
        self.owner = 0
        #: The last claim to each slot that was made here; one that Ctrl-C made everybody forget is gone.
        #: Not a WeakValueDictionary: an interrupt inside of its callbacks would be lost.
        self._claims: dict[int, weakref.ref[Claim]] = {}
        #: When to look for the dead again, by `time.monotonic`.
        self.look_again_s = 0.0

    def alone(self, action: Callable[..., Result], *args: Any, deadline: float = math.inf) -> Result:
        """Call a function while nobody else, in any process, changes the ring.

        Parameters
        ----------
        deadline : float
            When to give up, by `time.monotonic`; never before a second is over.

        Raises
        ------
        RingTimeoutError
            Somebody held the lock until then.
        """
        start, pause = time.monotonic(), _SHORT_S
        while True:
            with self._threads:
                locks = self._locks or self._open()
                # Ctrl-C may come at any line, and the lock must be given back in any case.
                try:
                    if locks.take():
                        self.state.lock_is_held_by(os.getpid())
                        if not self.owner:
                            self._sit(locks)
                        return action(*args)
                finally:
                    try:
                        locks.give()
                    except BaseException:
                        locks.give()
                        raise
            if time.monotonic() > max(deadline, start + _GRACE_S):
                raise RingTimeoutError(
                    f"the lock of the ring was held for {time.monotonic() - start:.1f} s by process"
                    f" {self.state.locked_by}, which needs it for microseconds.\n"
                    "That process is stopped (state T in ps): let it go on (kill -CONT), or end it."
                )
            # Not asked to wait by the kernel, which knows no time limit here.
            time.sleep(pause)
            pause = min(2 * pause, _LONG_S)

    def has(self, claim: Claim) -> None:
        """Note a claim that was made here; to be called in `alone`."""
        if claim.slot >= 0:
            self._claims[claim.slot] = weakref.ref(claim)

    def lives(self, slot: int, owner: int) -> bool:
        """Whether the claim to a slot, marked with `owner`, is still somebody's; to be called in `alone`."""
        if owner == self.owner:
            found = self._claims[slot]() if slot in self._claims else None
            return found is not None and found.slot == slot
        assert self._locks is not None
        return self._locks.sits(owner >> _PID_BITS)

    def _open(self) -> Locks:
        ring_locks.check()
        assert ring_locks.KIND is not None
        with _forking:
            self._locks = ring_locks.KIND(self._segment)
            return self._locks

    def _sit(self, locks: Locks) -> None:
        number = locks.sit()
        # Whoever had this number before is dead, and would be taken for us.
        self.state.take_back(lambda slot, owner: owner >> _PID_BITS != number, me=0)
        self.owner = number << _PID_BITS | os.getpid()


def pid_of(owner: int) -> int:
    """Return the process id in the mark of a slot."""
    return owner & ((1 << _PID_BITS) - 1)


_seats: weakref.WeakValueDictionary[bytes, Seat] = weakref.WeakValueDictionary()
#: Held while a descriptor is opened: a child must not inherit one that it does not know of.
_forking = threading.Lock()
_finding = threading.Lock()


def seat_of(memory: NDArray[np.uint8], segment: Segment, n_slots: int) -> Seat:
    """Return the seat of this process at a ring."""
    with _finding:
        found = _seats.get(segment.nonce)
        if found is None:
            found = _seats[segment.nonce] = Seat(memory, segment, n_slots)
        return found


def _leave_all() -> None:
    global _finding
    _forking.release()
    _finding = threading.Lock()
    for seat in list(_seats.values()):
        seat.leave()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_forking.acquire, after_in_parent=_forking.release, after_in_child=_leave_all)
