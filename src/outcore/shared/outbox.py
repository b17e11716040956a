"""Descriptors on their way from a worker to its parent, which the worker can take back.

Reads from : shared.mailbox, the parent's one
Hands to   : shared.travel

Guarantees
- What was put in arrives, even if the sender is killed at once: the kernel's queue holds the memory.
- What somebody else has received meanwhile is taken out again, so a parent that sleeps holds none of it.
- Sending never waits. A full queue refuses, and then the sender's own descriptor has to serve.

An outbox is a pair of sockets. The parent is given one of them, once; the sender keeps both, writes letters
into the other one, and reads its own letters where it wants them back.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import sys
from array import array
from collections import deque
from collections.abc import Callable

from outcore.shared.board import Ticket

SUPPORTED = sys.platform == "linux" and hasattr(socket, "SCM_RIGHTS")
_LETTER = struct.Struct("=16siiQq")  # nonce, board, slot, number, pid
LETTER_BYTES = _LETTER.size
#: The queue takes some 277; what is left free is for letters that go from its head to its end.
_MOST = 256


def write(nonce: bytes, ticket: Ticket) -> bytes:
    """Write what stands in a letter, beside the descriptor."""
    return _LETTER.pack(nonce, ticket.board, ticket.slot, ticket.number, ticket.pid)


def read(letter: bytes) -> tuple[bytes, Ticket]:
    """Read what `write` wrote."""
    nonce, board, slot, number, pid = _LETTER.unpack(letter)
    return nonce, Ticket(pid, board, slot, number)


# Not socket.send_fds and recv_fds: in Python 3.11 to 3.13 they forget their flags.
def send_fds(to: socket.socket, message: bytes, fds: list[int]) -> None:
    """Send a message and descriptors, without waiting."""
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", fds))]
    to.sendmsg([message], rights, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)


def receive_fds(from_: socket.socket, nbytes: int, count: int) -> tuple[bytes, list[int]]:
    """Receive a message and up to so many descriptors, without waiting."""
    fds = array("i")
    message, ancillary, _, _ = from_.recvmsg(
        nbytes, socket.CMSG_LEN(count * fds.itemsize), socket.MSG_DONTWAIT | socket.MSG_CMSG_CLOEXEC
    )
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            fds.frombytes(data[: len(data) - len(data) % fds.itemsize])
    return message, list(fds)


class Outbox:
    """The letters of this process to one other process.

    Parameters
    ----------
    deliver : callable
        Gives a descriptor to that process, and says whether that was possible.
    """

    def __init__(self, deliver: Callable[[int], bool]) -> None:
        self._deliver = deliver
        self._delivered = False
        self._mine, self._theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        #: Numbers of the letters in the queue, first the next one; more if the parent has taken some out.
        self._inside: deque[int] = deque()

    def close(self) -> None:
        """Close this process's ends; letters that the other process has not read stay there for it."""
        self._mine.close()
        self._theirs.close()

    def put(self, nonce: bytes, ticket: Ticket, fd: int) -> bool:
        """Put a letter in; False if nobody is there to read it, or there is no room."""
        if len(self._inside) >= _MOST:
            self._look()
            if len(self._inside) >= _MOST:
                return False
        if not self._delivered:
            self._delivered = self._deliver(self._theirs.fileno())
        return self._delivered and self._put(nonce, ticket, fd)

    def _put(self, nonce: bytes, ticket: Ticket, fd: int) -> bool:
        try:
            send_fds(self._mine, write(nonce, ticket), [fd])
        except OSError:  # full, or more descriptors on their way than the system allows
            return False
        self._inside.append(ticket.number)
        return True

    def take_back(self, gone: set[int], still: Callable[[Ticket], int | None]) -> None:
        """Take out letters that are not needed any more.

        Parameters
        ----------
        gone : set of int
            Their numbers.
        still : callable
            The descriptor for a ticket that is still travelling; None if it is not.

        Notes
        -----
        A letter that stays is copied to the end of the queue before it is taken from the head, so it is in
        the queue at any time: this process may be killed, and the parent may be reading. What the parent
        gets twice it drops.
        """
        while not gone.isdisjoint(self._inside):
            head = self._look()
            if head is None:
                return
            nonce, ticket = head
            fd = still(ticket)
            if fd is not None and not self._put(nonce, ticket, fd):
                return  # no room for the copy: at another time
            taken = self._take()
            if taken is not None and taken[1].number != ticket.number:
                # The parent has read the head meanwhile, and this is the next one.
                fd = still(taken[1])
                if fd is not None:
                    self._put(*taken, fd)

    def _look(self) -> tuple[bytes, Ticket] | None:
        """Return the first letter and leave it there."""
        return self._next(socket.MSG_PEEK)

    def _take(self) -> tuple[bytes, Ticket] | None:
        """Take the first letter out; its descriptor is dropped by the kernel, as no room is given for it."""
        letter = self._next(0)
        if letter is not None:
            self._inside.popleft()
        return letter

    def _next(self, flags: int) -> tuple[bytes, Ticket] | None:
        letter = b""
        with contextlib.suppress(OSError):  # BlockingIOError, mostly
            letter = self._theirs.recv(LETTER_BYTES, flags | socket.MSG_DONTWAIT)
        if not letter:
            self._inside.clear()
            return None
        found = read(letter)
        while self._inside and self._inside[0] != found[1].number:
            self._inside.popleft()  # read by the parent
        if not self._inside:
            self._inside.append(found[1].number)
        return found
