"""A page on which receivers tick off the handles that they have received.

Reads from : /proc/<pid>/fd of the process that sent a handle
Hands to   : shared.travel, shared.mailbox, shared.outbox, shared.resolving

Guarantees
- A tick is one write of eight bytes to the sender's page, for which the sender need not be awake, nor alive
  any longer: the page is opened before the array is, and lives as long as somebody has it open.
- It is made only where the page holds the very number of the handle, so a descriptor that means
  something else by now is never written to.

Each entry is one word: the number of the handle while it travels, 0 or that of another one since.
"""

from __future__ import annotations

import contextlib
import errno
import os
import struct
import tempfile
from typing import NamedTuple

from outcore.shared.memory_limits import explain

ENTRY = struct.Struct("=Q")


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
#: In place of a descriptor: the ticket is a file.
FILES = -2


def own_folder() -> str:
    """Return the folder of this user's files, on systems where segments need any; it may not exist."""
    uid = os.getuid() if hasattr(os, "getuid") else 0
    return os.path.join(tempfile.gettempdir(), f"outcore-{uid}")


def ticket_file(ticket: Ticket) -> str:
    """Return the file that stands for a ticket where there is no page."""
    return os.path.join(own_folder(), f"{ticket.pid}-{ticket.number:x}.ticket")


def reach(ticket: Ticket) -> int:
    """Open the page that a ticket names; -1 if there is none, or its sender is gone or out of reach.

    Raises
    ------
    HandleLimitError
        No descriptor is left.
    """
    if ticket.slot < 0 or ticket.board < 0:
        return -1
    try:
        # Not blocking, not controlling: by now the number may be that of a pipe or a terminal.
        return os.open(
            f"/proc/{ticket.pid}/fd/{ticket.board}",
            os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY,
        )
    except OSError as error:
        if error.errno in (errno.EMFILE, errno.ENFILE):
            raise explain(error, 0, "receiving a shared array") from error
        return -1


def is_travelling(page: int, ticket: Ticket) -> bool:
    """Whether nobody has received the handle yet."""
    return os.pread(page, ENTRY.size, ticket.slot * ENTRY.size) == ENTRY.pack(ticket.number)


def received(page: int, ticket: Ticket) -> None:
    """Say that the handle was received."""
    if ticket.board == FILES:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(ticket_file(ticket))
    if page < 0:
        return
    # OSError: the number is that of something else by now, a pipe for instance.
    with contextlib.suppress(OSError):
        if is_travelling(page, ticket):
            os.pwrite(page, bytes(ENTRY.size), ticket.slot * ENTRY.size)
