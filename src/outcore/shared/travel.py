"""Handles on their way: who sends one keeps the memory until somebody has received it.

Reads from : shared.board, shared.mailbox
Hands to   : shared.sharedarray

Guarantees
- A handle that was pickled can be received as long as its sender lives, even if the sender has dropped
  the array; and by the sender's parent also if the sender is dead.
- Once it was received, the sender holds the memory no longer. It notices when it next sends or receives
  something; in a worker, also within a fraction of a second by itself.
- What nobody will receive any more is listed by `oc.segments`, and let go of by `release`.
"""

from __future__ import annotations

import os
import secrets
import sys
import threading
import time
import weakref
from dataclasses import dataclass
from typing import Any, NamedTuple

from outcore.shared import companion, identity, mailbox
from outcore.shared.board import ENTRY, NO_TICKET, Ticket
from outcore.shared.memory_limits import explain
from outcore.shared.segment import Place, Segment

#: A server of children takes at most some 250 descriptors for one child.
MAX_INHERITED = 200


class Handle(NamedTuple):
    """What a pickle holds instead of data.

    Attributes
    ----------
    place : tuple
        The fields of a `Place`.
    ticket : tuple
        The fields of a `Ticket`.
    inherited : multiprocessing's DupFd or None
        The descriptor itself, for a child that is being started.
    """

    place: tuple[Any, ...]
    ticket: tuple[int, ...]
    inherited: Any = None


@dataclass
class _Pin:
    """One handle that was sent."""

    segment: Segment | None  # None: received, but its descriptor is still in the parent's mailbox
    number: int
    sent_s: float


class _Board:
    """The handles that this process has sent."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.pins: dict[int, _Pin] = {}
        self._free: list[int] = []
        self._used = 0
        self._until_sweep = 0
        self._unfetched = 0
        try:
            self.fd = os.memfd_create("outcore-board", os.MFD_CLOEXEC)
        except OSError as error:
            raise explain(error, 0, "sending a shared array") from error
        os.fchmod(self.fd, 0o600)
        weakref.finalize(self, os.close, self.fd).atexit = False

    def enter(self, segment: Segment) -> Ticket:
        """Keep `segment` until the handle with this ticket was received."""
        with self.lock:
            self._until_sweep -= 1
            if self._until_sweep <= 0:
                self.sweep()
            slot = self._free.pop() if self._free else self._used
            self._used = max(self._used, slot + 1)
            number = secrets.randbits(63) + 1
            os.pwrite(self.fd, ENTRY.pack(number, 0), slot * ENTRY.size)
            self.pins[slot] = _Pin(segment, number, time.monotonic())
            return Ticket(os.getpid(), self.fd, slot, number)

    def mailed(self, ticket: Ticket) -> None:
        """Note, before it is pushed, that a descriptor waits in the parent's mailbox."""
        os.pwrite(self.fd, ENTRY.pack(ticket.number, ticket.number), ticket.slot * ENTRY.size)

    def not_mailed(self, ticket: Ticket) -> None:
        """Take that note back."""
        os.pwrite(self.fd, ENTRY.pack(ticket.number, 0), ticket.slot * ENTRY.size)

    @property
    def parent_is_asleep(self) -> bool:
        """Whether somebody else received handles whose descriptors the parent has not taken out."""
        # It would hold memory that nobody needs, so it is sent nothing more until it wakes.
        return self._unfetched > 0

    def sweep(self) -> bool:
        """Let go of what was received; True while something is still on its way."""
        with self.lock:
            words = memoryview(os.pread(self.fd, self._used * ENTRY.size, 0)).cast("Q")
            self._unfetched = 0
            for slot, pin in list(self.pins.items()):
                travelling, mailed = words[2 * slot], words[2 * slot + 1]
                if travelling:
                    continue
                pin.segment = None
                if mailed:
                    self._unfetched += 1
                else:
                    del self.pins[slot]
                    self._free.append(slot)
            # Each look costs as much as there are pins; this keeps the cost of one handle constant.
            self._until_sweep = len(self.pins) // 4
            return bool(self.pins)

    def release(self, nonce: bytes | None) -> int:
        """Stop waiting for the receivers of a segment, or of all."""
        with self.lock:
            self.sweep()
            found = [s for s, p in self.pins.items() if p.segment and nonce in (None, p.segment.nonce)]
            for slot in found:
                os.pwrite(self.fd, bytes(ENTRY.size), slot * ENTRY.size)
            self.sweep()
            return len(found)


_board: _Board | None = None
_inherited: weakref.WeakKeyDictionary[Any, set[bytes]] = weakref.WeakKeyDictionary()


def send(segment: Segment) -> Handle:
    """Make a handle that will be received elsewhere, and keep the memory until then."""
    board = _own_board()
    ticket = board.enter(segment)
    parent = identity.parent()
    if parent is not None and segment.fd >= 0 and not board.parent_is_asleep:
        board.mailed(ticket)
        if not mailbox.own().push(parent, segment.nonce, ticket, segment.fd):
            board.not_mailed(ticket)
    companion.attend(sweep)
    return Handle(_fields(segment.place), tuple(ticket), _inherit(segment))


def address(segment: Segment) -> Handle:
    """Make a handle that nobody waits for: it is good as long as this process has the array."""
    return Handle(_fields(segment.place), tuple(NO_TICKET))


def _fields(place: Place) -> tuple[Any, ...]:
    return (place.nonce, place.owner, place.fd, place.path)


def _inherit(segment: Segment) -> Any:
    """While a child is being started, let it inherit the descriptor."""
    context = sys.modules.get("multiprocessing.context")
    popen = None if context is None else context.get_spawning_popen()
    if segment.fd < 0 or getattr(popen, "method", None) not in ("spawn", "forkserver"):
        return None
    given = _inherited.setdefault(popen, set())
    if segment.nonce in given or len(given) >= MAX_INHERITED:
        return None  # the child has it already, or finds it through /proc
    given.add(segment.nonce)
    return sys.modules["multiprocessing.reduction"].DupFd(segment.fd)


def sweep() -> bool:
    """Let go of what was received; True while something is still on its way."""
    return _board is not None and _board.sweep()


def release(nonce: bytes | None = None) -> int:
    """Stop waiting for the receivers of a segment (of all segments by default); return how many.

    Whoever loads such a handle later gets a `SegmentGoneError`, unless the array still lives here.
    """
    return 0 if _board is None else _board.release(nonce)


def travelling() -> dict[bytes, int]:
    """Count the handles that were sent and not received, by segment."""
    counts: dict[bytes, int] = {}
    if _board is not None:
        _board.sweep()
        for pin in list(_board.pins.values()):
            if pin.segment is not None:
                counts[pin.segment.nonce] = counts.get(pin.segment.nonce, 0) + 1
    return counts


def _own_board() -> _Board:
    global _board
    if _board is None:
        _board = _Board()
    return _board


def _forget() -> None:
    # A forked child has sent nothing. Its copies of the descriptors go with the objects.
    global _board
    _board = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
