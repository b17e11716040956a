"""A page on which receivers tick off the handles that they have received.

Reads from : /proc/<pid>/fd of the process that sent a handle
Hands to   : shared.mailbox, shared.travel

Guarantees
- A tick is one write of eight bytes to the sender's page, for which the sender need not be awake.
- It is made only where the page holds the very number of the handle, so a descriptor that means
  something else by now is never written to.

Each entry has two words: the handle travels (its number, or 0 once it was received), and its descriptor
waits in the parent's mailbox (its number, or 0 once it was taken out).
"""

from __future__ import annotations

import contextlib
import os
import struct
from typing import NamedTuple

_WORD = struct.Struct("=Q")
ENTRY = struct.Struct("=QQ")


class Ticket(NamedTuple):
    """Where a handle is to be ticked off.

    Attributes
    ----------
    pid : int
        The sender.
    board : int
        Its descriptor of the page.
    slot : int
        Which entry; -1 for handles that nobody waits for, such as tokens.
    number : int
        Random, never 0.
    """

    pid: int
    board: int
    slot: int
    number: int


NO_TICKET = Ticket(0, -1, -1, 0)


def is_travelling(ticket: Ticket) -> bool | None:
    """Whether nobody has received the handle yet; None if the sender is gone or out of reach."""
    try:
        fd = _open(ticket, os.O_RDONLY)
    except OSError:
        return None
    try:
        return os.pread(fd, _WORD.size, ticket.slot * ENTRY.size) == _WORD.pack(ticket.number)
    finally:
        os.close(fd)


def received(ticket: Ticket) -> None:
    """Say that the handle was received."""
    _clear(ticket, 0)


def fetched(ticket: Ticket) -> None:
    """Say that the descriptor was taken out of the mailbox."""
    _clear(ticket, 1)


def _clear(ticket: Ticket, word: int) -> None:
    if ticket.slot < 0:
        return
    # A sender that has ended, or is out of reach, is not told: then its memory goes with it.
    with contextlib.suppress(OSError):
        fd = _open(ticket, os.O_RDWR)
        try:
            offset = ticket.slot * ENTRY.size + word * _WORD.size
            if os.pread(fd, _WORD.size, offset) == _WORD.pack(ticket.number):
                os.pwrite(fd, bytes(_WORD.size), offset)
        finally:
            os.close(fd)


def _open(ticket: Ticket, flags: int) -> int:
    # Not blocking, not controlling: by now the number may be that of a pipe or a terminal.
    return os.open(
        f"/proc/{ticket.pid}/fd/{ticket.board}", flags | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
    )
