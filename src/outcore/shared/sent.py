"""What this process has sent, and who keeps the memory until it was received.

Reads from : shared.board, from the sender's side; shared.outbox, shared.mailbox
Hands to   : shared.travel

Guarantees
- The cost of one handle does not grow with the number of those on their way.
- What was received is not in the outbox any longer, so a parent that sleeps holds none of it.
- Where there is no page to tick handles off on (no memfd), each has an empty file; its receiver removes it.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import sys
import threading
import weakref
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from outcore.shared import identity, mailbox
from outcore.shared.board import ENTRY, FILES, Ticket, ticket_file
from outcore.shared.memory_limits import explain
from outcore.shared.outbox import SUPPORTED, Outbox
from outcore.shared.segment import Segment


@dataclass
class _Pin:
    """One handle that was sent."""

    segment: Segment
    number: int


class Sent:
    """The handles that this process has sent; made anew in a forked child."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.pins: dict[int, _Pin] = {}
        self._free: list[int] = []
        self._used = 0
        #: What the page holds as long as nothing was received.
        self._numbers = np.zeros(64, np.uint64)
        self._until_sweep = 0
        self._sweeping = False
        self._outbox: Outbox | None = None
        self.board = self._open()

    def enter(self, segment: Segment) -> Ticket:
        """Keep `segment` until the handle with this ticket was received."""
        with self.lock:
            self._until_sweep -= 1
            if self._until_sweep <= 0:
                self.sweep()
            slot = self._free.pop() if self._free else self._used
            self._used = max(self._used, slot + 1)
            if self._used > len(self._numbers):
                self._numbers = np.concatenate([self._numbers, np.zeros_like(self._numbers)])
            ticket = Ticket(os.getpid(), self.board, slot, secrets.randbits(63) + 1)
            self._write(ticket, ticket.number)
            self._numbers[slot] = ticket.number
            self.pins[slot] = _Pin(segment, ticket.number)
            return ticket

    def mail(self, segment: Segment, ticket: Ticket, to: identity.Identity) -> None:
        """Leave the descriptor where it can be received even if this process is dead by then."""
        with self.lock:
            if self._outbox is None and SUPPORTED:
                try:
                    self._outbox = Outbox(lambda box: mailbox.deliver(to, box, self.board))
                except OSError:  # no descriptor is left: the one that the array has must do
                    return
                util = sys.modules.get("multiprocessing.util")
                if util is not None:  # after those of queues (-5), which still send what was put into them
                    util.Finalize(None, self._end, exitpriority=-100)
            if self._outbox is not None:
                self._outbox.put(segment.nonce, ticket, segment.fd)

    def sweep(self) -> bool:
        """Let go of what was received; True while something is still on its way."""
        with self.lock:
            if self._sweeping:  # a garbage collection inside came back here
                return True
            self._sweeping = True
            try:
                # In this order, and compared again below, for the sake of what is entered meanwhile.
                numbers = self._numbers[: self._used].copy()
                words = self._words()[: len(numbers)]
                gone = set()
                for slot in np.flatnonzero(words != numbers).tolist():
                    if slot in self.pins and self.pins[slot].number == numbers[slot]:
                        gone.add(self.pins.pop(slot).number)
                        self._numbers[slot] = 0
                        self._free.append(slot)
                if gone and self._outbox is not None:
                    self._outbox.take_back(gone, self._descriptor)
                # Each look costs as much as there are pins; this keeps the cost of one handle constant.
                self._until_sweep = len(self.pins) // 4
            finally:
                self._sweeping = False
            return bool(self.pins)

    def forget(self) -> None:
        """Close what waits for the parent; in a forked child this leaves that of the parent as it is."""
        if self._outbox is not None:
            self._outbox.close()

    def _descriptor(self, ticket: Ticket) -> int | None:
        """Return the descriptor of a handle that is still travelling."""
        pin = self.pins.get(ticket.slot)
        return None if pin is None or pin.number != ticket.number else pin.segment.fd

    def _end(self) -> None:
        # A parent that sleeps must not hold, when this worker has ended, what others have received.
        with self.lock:
            self.sweep()
            self.forget()

    def release(self, nonce: bytes | None) -> int:
        """Stop waiting for the receivers of a segment, or of all."""
        with self.lock:
            self.sweep()
            found = [
                Ticket(os.getpid(), self.board, slot, pin.number)
                for slot, pin in self.pins.items()
                if nonce in (None, pin.segment.nonce)
            ]
            for ticket in found:
                self._write(ticket, 0)
            self.sweep()
            return len(found)

    def _open(self) -> int:
        try:
            fd = os.memfd_create("outcore-board", os.MFD_CLOEXEC)
        except OSError as error:
            raise explain(error, 0, "sending a shared array") from error
        os.fchmod(fd, 0o600)
        weakref.finalize(self, os.close, fd).atexit = False
        return fd

    def _write(self, ticket: Ticket, number: int) -> None:
        os.pwrite(self.board, ENTRY.pack(number), ticket.slot * ENTRY.size)

    def _words(self) -> NDArray[np.uint64]:
        return np.frombuffer(os.pread(self.board, self._used * ENTRY.size, 0), np.uint64)


class SentByFiles(Sent):
    """The same for systems where nobody can open the descriptors of another process."""

    def _open(self) -> int:
        # The files go with the process that made them, unless it is killed.
        weakref.finalize(self, _remove_all, self.pins, os.getpid())
        return FILES

    def _write(self, ticket: Ticket, number: int) -> None:
        path = ticket_file(ticket)
        if number:
            os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600))
        else:
            with contextlib.suppress(FileNotFoundError):  # received at this moment
                os.unlink(path)

    def _words(self) -> NDArray[np.uint64]:
        words = np.zeros(len(self._numbers), np.uint64)
        for slot, pin in list(self.pins.items()):
            if os.path.exists(ticket_file(Ticket(os.getpid(), FILES, slot, pin.number))):
                words[slot] = pin.number
        return words


def _remove_all(pins: dict[int, _Pin], owner: int) -> None:
    if os.getpid() == owner:
        for slot, pin in pins.items():
            with contextlib.suppress(FileNotFoundError):
                os.unlink(ticket_file(Ticket(owner, FILES, slot, pin.number)))
