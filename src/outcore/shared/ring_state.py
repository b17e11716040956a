"""The state of a ring: which slot is whose, in which order.

Reads from : the first bytes of the ring's memory
Hands to   : shared.ring_seat, shared.ring_claims

Guarantees
- Each step is one write of eight bytes, so a process that is killed between two steps leaves a valid state.
- An item is readable only after its writer said that it is complete.
- Items are given out in the order in which their slots were claimed; a slot whose writer gave up, or died, is
  skipped.

Nothing here locks: all methods that write are called by one process at a time (shared.ring_seat).

A fixed order of slots (item n in slot n modulo n_slots) was rejected: one slow reader would hold up all
writers although other slots are free.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from outcore.shared.futex import Word

# The lowest two bits of a slot's word; what is to be read, now or soon, has 2 in common.
FREE, READING, WRITING, READY = 0, 1, 2, 3
_STATE, _ITEM = 3, 2
_NOTHING = 2**64 - 1

#: Words of the head: number of the last item; whether the ring is closed; process that has the lock.
_LAST, _CLOSED, _LOCKED_BY = 0, 1, 2
_WRITTEN_AT, _FREED_AT, _WORDS_AT = 64, 128, 192  # bytes; what is slept on has cache lines of its own
_PAGE_BYTES = 4096
_LINE_BYTES = 64


@dataclass
class Claim:
    """A slot that somebody reads or writes.

    Attributes
    ----------
    slot : int
        -1 for none.
    word : int
        What its word is as long as the claim holds.
    """

    slot: int = -1
    word: int = 0


def slots_at(n_slots: int) -> int:
    """Return the byte at which the slots begin: the first one lies at a page, as direct I/O wants it."""
    return -(-(_WORDS_AT + 16 * n_slots) // _PAGE_BYTES) * _PAGE_BYTES


def slot_bytes(nbytes: int) -> int:
    """Return how far apart slots of `nbytes` lie: no two share a cache line."""
    return -(-nbytes // _LINE_BYTES) * _LINE_BYTES


class RingState:
    """The words at the beginning of a ring.

    Parameters
    ----------
    memory : ndarray of uint8
        Of the ring; zeros are an empty ring.
    n_slots : int
    """

    def __init__(self, memory: NDArray[np.uint8], n_slots: int) -> None:
        self.n_slots = n_slots
        self._head = memory[:_WRITTEN_AT].view(np.uint64).data
        self.written = Word(memory[_WRITTEN_AT : _WRITTEN_AT + 4].view(np.uint32))
        self.freed = Word(memory[_FREED_AT : _FREED_AT + 4].view(np.uint32))
        both = memory[_WORDS_AT : _WORDS_AT + 16 * n_slots].view(np.uint64).reshape(2, n_slots)
        self._words, self._owners = both
        # Reading and writing one word is faster, and one instruction, this way.
        self._word, self._owner = self._words.data, self._owners.data

    # ---- to be called by one process at a time -----------------------------------------------

    def lock_is_held_by(self, pid: int) -> None:
        """Note who has the lock, for those who wait for it in vain."""
        self._head[_LOCKED_BY] = pid

    def claim_to_write(self, claim: Claim, owner: int) -> bool:
        """Claim a free slot, if there is one; return whether there is another one."""
        slot = int((self._words & _STATE).argmin())
        if self._word[slot] & _STATE != FREE:
            return False
        number = self._head[_LAST] + 1
        self._head[_LAST] = number
        self._claim(claim, slot, number << 2 | WRITING, owner)
        return bool((self._words & _STATE).min() == FREE)

    def claim_to_read(self, claim: Claim, owner: int) -> bool:
        """Claim the oldest item, if it is complete; return whether the next one is complete too."""
        slot = self._oldest()
        if self._word[slot] & _STATE != READY:
            return False
        self._claim(claim, slot, self._word[slot] & ~_STATE | READING, owner)
        return bool(self._word[self._oldest()] & _STATE == READY)

    def end(self, claim: Claim, state: int) -> None:
        """Give a slot back as `state`, FREE or READY, unless the claim has ended or never came about."""
        slot, word = claim.slot, claim.word
        if slot < 0 or self._word[slot] != word:
            return
        self._word[slot] = word & ~_STATE | READY if state == READY else FREE
        claim.slot = -1  # Ctrl-C does not come between these two lines, which call nothing
        if state == FREE:
            self.freed.changed()
        if state == READY or word & _STATE == WRITING:  # a complete item may have waited for one given up
            self.written.changed()

    def take_back(self, lives: Callable[[int, int], bool], me: int) -> bool:
        """Take back the slots whose claim does not live; return whether there was any.

        What a writer had begun is forgotten. What a reader had not finished is to be read once more.

        Parameters
        ----------
        lives : callable (slot, owner) -> bool
        me : int
            An owner that is alive: what it has forgotten was read.
        """
        any_taken = False
        states = self._words & _STATE
        for slot in np.flatnonzero((states == WRITING) | (states == READING)).tolist():
            word, owner = self._word[slot], self._owner[slot]
            if not lives(slot, owner):
                any_taken = True
                self.end(Claim(slot, word), READY if word & _STATE == READING and owner != me else FREE)
        return any_taken

    def close(self) -> None:
        """Say that there will be no more items."""
        self._head[_CLOSED] = 1
        self.written.changed()
        self.freed.changed()

    def _claim(self, claim: Claim, slot: int, word: int, owner: int) -> None:
        claim.slot, claim.word = slot, word  # first: what is claimed when Ctrl-C comes must be known
        self._owner[slot] = owner
        self._word[slot] = word

    def _oldest(self) -> int:
        return int(np.where(self._words & _ITEM, self._words, _NOTHING).argmin())

    # ---- to be called at any time ------------------------------------------------------------

    @property
    def closed(self) -> bool:
        """Whether there will be no more items."""
        return bool(self._head[_CLOSED])

    @property
    def n_ready(self) -> int:
        """Items that are complete and wait to be read."""
        return int(np.count_nonzero(self._words & _STATE == READY))

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to be read, and nothing is being written."""
        return not (self._words & _ITEM).any()

    @property
    def locked_by(self) -> int:
        """Process that had the lock last."""
        pid: int = self._head[_LOCKED_BY]
        return pid

    def describe(self, pid_of: Callable[[int], int]) -> str:
        """Say in words how many slots are in which state, and whose."""
        states, owners = (self._words & _STATE).tolist(), self._owners.tolist()

        def claimed(state: int) -> str:
            pids = [pid_of(owner) for owner, found in zip(owners, states, strict=True) if found == state]
            return f"{len(pids)}" + (f" (process {', '.join(map(str, sorted(set(pids))))})" if pids else "")

        return (
            f"of {self.n_slots} slots, free: {states.count(FREE)}, being written: {claimed(WRITING)},"
            f" waiting to be read: {states.count(READY)}, being read: {claimed(READING)}"
        )
