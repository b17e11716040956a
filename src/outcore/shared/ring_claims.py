"""Getting a slot of a ring, and giving it back.

Reads from : shared.ring_seat, shared.ring_state
Hands to   : shared.ring

Guarantees
- A slot is given back however its block ends, Ctrl-C at any line included. (Where that comes just as the
  block ends, nobody is left to give it back at once; its process does so when it next looks for the dead.)
- Who waits sleeps in the kernel, and looks for the dead before it gives up. Busy or waiting, a process that
  uses the ring notices within a fraction of a second that another one died.
"""

from __future__ import annotations

import math
import os
import time
from types import TracebackType
from typing import Any

from numpy.typing import NDArray

from outcore.errors import OptionError, RingClosedError, RingTimeoutError
from outcore.shared.futex import EVERYBODY
from outcore.shared.ring_seat import Seat, pid_of
from outcore.shared.ring_state import FREE, READY, WRITING, Claim

#: Each process that uses a ring looks this often whether another one has died.
LOOK_S = 0.05


class Block:
    """One slot for one ``with`` block.

    Parameters
    ----------
    seat : Seat
        Of this process.
    slots : ndarray of shape (n_slots, ...)
        Read-only for readers.
    timeout : float or None
        Seconds to wait.
    reading : bool
        Or writing.
    """

    def __init__(self, seat: Seat, slots: NDArray[Any], timeout: float | None, *, reading: bool) -> None:
        if timeout is not None and not timeout >= 0:
            raise OptionError(f"timeout={timeout!r} is neither None nor a number of seconds of 0 or more.")
        self._seat, self._slots, self._timeout, self._reading = seat, slots, timeout, reading
        self._claim = Claim()
        self._pid = 0

    def __enter__(self) -> NDArray[Any]:
        if self._claim.slot >= 0:
            raise OptionError(
                "this block has a slot already; call ring.write() or ring.read() for each block."
            )
        self._pid = os.getpid()
        try:
            _wait_for_slot(self._seat, self._claim, self._timeout, reading=self._reading)
            slot: NDArray[Any] = self._slots[self._claim.slot, ...]
        except BaseException:
            _give_back(self._seat, self._claim, READY if self._reading else FREE)
            raise
        return slot

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if os.getpid() != self._pid:
            return  # a child that was forked inside the block: the slot is its parent's
        state = READY if kind is None and not self._reading else FREE
        try:
            _give_back(self._seat, self._claim, state)
        except BaseException:
            # Ctrl-C: a slot that a living process never gives back would hold up all others.
            _give_back(self._seat, self._claim, state)
            raise


def close(seat: Seat) -> None:
    """Say that there will be no more items."""
    seat.alone(seat.state.close)
    seat.state.freed.wake(EVERYBODY)
    seat.state.written.wake(EVERYBODY)


def _wait_for_slot(seat: Seat, claim: Claim, timeout: float | None, *, reading: bool) -> None:
    deadline = math.inf if timeout is None else time.monotonic() + timeout
    state = seat.state
    word = state.written if reading else state.freed
    last = False
    while True:
        seen, now = word.value, time.monotonic()  # before trying: every later change ends the wait
        look = last or now >= seat.look_again_s
        if look:
            seat.look_again_s = now + LOOK_S
        more = seat.alone(_try, seat, claim, reading, look, deadline=deadline)
        if claim.slot >= 0:
            # Each change wakes one process. The next one is woken by this one, if there is something for it.
            if more:
                word.wake(1)
            return
        over = state.closed and (not reading or state.is_empty)
        left = deadline - time.monotonic()
        if not over and left > 0:
            word.wait(seen, min(left, LOOK_S))
        elif not look:
            last = True  # somebody may have died and left a slot, or an item
        elif over:
            raise _closed(reading)
        else:
            raise _late(seat, timeout, reading)


def _try(seat: Seat, claim: Claim, reading: bool, look: bool) -> bool:
    state = seat.state
    if look and state.take_back(seat.lives, seat.owner):
        state.freed.wake(EVERYBODY)
        state.written.wake(EVERYBODY)
    if reading:
        more = state.claim_to_read(claim, seat.owner) or state.closed
    else:
        more = not state.closed and state.claim_to_write(claim, seat.owner)
    seat.has(claim)
    return more


def _give_back(seat: Seat, claim: Claim, state: int) -> None:
    if claim.slot < 0:
        return
    was_writing = claim.word & WRITING == WRITING
    seat.alone(seat.state.end, claim, state)
    if state == FREE:
        seat.state.freed.wake(1)
    if state == READY or was_writing:
        seat.state.written.wake(1)


def _closed(reading: bool) -> RingClosedError:
    if reading:
        return RingClosedError("the ring was closed, and all its items were read.")
    return RingClosedError(
        "the ring was closed, so nothing can be written to it.\n"
        "Call ring.close() when all writers are done, or make a new oc.SharedRing."
    )


def _late(seat: Seat, timeout: float | None, reading: bool) -> RingTimeoutError:
    what, cure = (
        ("no item could be read", "Are the writers slow, or did they end without ring.close()?")
        if reading
        else (
            "no slot became free",
            "Are the readers slow, or did they end? More slots bridge a longer pause.",
        )
    )
    return RingTimeoutError(f"{what} within {timeout} s; {seat.state.describe(pid_of)}.\n{cure}")
