"""Descriptors that wait in the kernel until the parent takes them out: the producer may be dead by then.

Reads from : a socket of this process that any child finds by name
Hands to   : shared.travel (push), shared.resolving (collect)

Guarantees
- What was pushed arrives, even if the sender is killed at once: the kernel's queue holds the memory.
- If the parent dies, the queue goes with it and the kernel frees the memory.
- No thread, no file, nothing inherited: the name is made of the parent's process id and start time.
- Only processes of the same user are listened to, and sent to.

Sending never waits. A full queue (some 280 messages that the parent has not taken out) refuses, and then
the sender's own descriptor has to serve.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import sys
import threading
from dataclasses import dataclass

from outcore.shared import identity
from outcore.shared.board import Ticket, fetched, is_travelling

SUPPORTED = sys.platform == "linux" and hasattr(socket, "SCM_RIGHTS")
_MESSAGE = struct.Struct("=16siiQq")  # nonce, board, slot, number, pid
_CREDENTIALS = struct.Struct("iII")  # pid, uid, gid
_BACKLOG = 4096


@dataclass
class Arrival:
    """A descriptor that was taken out and is not asked for yet."""

    nonce: bytes
    ticket: Ticket
    fd: int


class Mailbox:
    """The socket of one process, and what came through it."""

    def __init__(self) -> None:
        self.lock = threading.RLock()  # a garbage collection inside may run code that comes back here
        self.arrivals: dict[int, Arrival] = {}
        self.reason = ""  # why there is no mailbox
        #: Messages that came while no descriptor was left to take theirs: number of the handle.
        self.dropped: set[int] = set()
        self._look_at = 16
        self._connections: list[socket.socket] = []
        self._listener: socket.socket | None = None
        self._outgoing: tuple[identity.Identity, socket.socket] | None = None

    def listen(self) -> None:
        """Open the socket."""
        if not SUPPORTED:
            self.reason = "this system has no abstract sockets"
            return
        made = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            made.bind(_name(identity.own()))
            made.listen(_BACKLOG)
            made.setblocking(False)
        except OSError as error:
            made.close()
            self.reason = f"the socket cannot be opened: {error.strerror}"
            return
        self._listener = made

    @property
    def open(self) -> bool:
        """Whether children can push descriptors to this process."""
        return self._listener is not None

    def close(self) -> None:
        """Close everything; in a forked child this leaves the parent's mailbox as it is."""
        for connection in self._connections:
            connection.close()
        if self._listener is not None:
            self._listener.close()
        if self._outgoing is not None:
            self._outgoing[1].close()
        for arrival in self.arrivals.values():
            os.close(arrival.fd)
        self.arrivals.clear()
        self._connections = []
        self._listener = self._outgoing = None

    # ---- receiving ---------------------------------------------------------------------------

    def collect(self, number: int) -> Arrival | None:
        """Take out everything that waits, and hand over the descriptor of one handle."""
        with self.lock:
            self.drain()
            if len(self.arrivals) >= self._look_at:
                self.forget_received()
                self._look_at = 2 * len(self.arrivals) + 16  # so that looking costs each arrival little
            return self.arrivals.pop(number, None)

    def put_back(self, arrival: Arrival) -> None:
        """Keep a descriptor for later after all."""
        with self.lock:
            self.arrivals[arrival.ticket.number] = arrival

    def drain(self) -> None:
        """Take out everything that waits."""
        with self.lock:
            self._accept()
            self._connections = [connection for connection in self._connections if self._read(connection)]

    def forget_received(self) -> None:
        """Let go of descriptors whose handles were received by somebody else."""
        with self.lock:
            for number, arrival in list(self.arrivals.items()):
                if is_travelling(arrival.ticket) is False:
                    del self.arrivals[number]
                    os.close(arrival.fd)

    def _accept(self) -> None:
        if self._listener is None:
            return
        # OSError: no descriptor is left for the connection, which then waits in the kernel as before.
        with contextlib.suppress(BlockingIOError, OSError):
            while True:
                connection, _ = self._listener.accept()
                connection.setblocking(False)
                if _peer_uid(connection) != os.geteuid():
                    connection.close()
                else:
                    self._connections.append(connection)

    def _read(self, connection: socket.socket) -> bool:
        """Read all messages of one sender; False once it has closed its end."""
        while True:
            try:
                message, fds, flags, _ = socket.recv_fds(connection, _MESSAGE.size, 1, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return True
            except ConnectionError:
                message, fds, flags = b"", [], 0
            if not message:
                connection.close()
                return False
            if len(message) == _MESSAGE.size:
                self._arrived(message, fds, truncated=bool(flags & socket.MSG_CTRUNC))
            else:  # nobody of ours
                for fd in fds:
                    os.close(fd)

    def _arrived(self, message: bytes, fds: list[int], *, truncated: bool) -> None:
        nonce, board, slot, number, pid = _MESSAGE.unpack(message)
        ticket = Ticket(pid, board, slot, number)
        fetched(ticket)
        if not fds or truncated:
            self.dropped.add(number)
            return
        os.set_inheritable(fds[0], False)
        if is_travelling(ticket) is False:  # somebody else has received the handle
            os.close(fds[0])
        else:
            self.arrivals[number] = Arrival(nonce, ticket, fds[0])

    # ---- sending -----------------------------------------------------------------------------

    def push(self, to: identity.Identity, nonce: bytes, ticket: Ticket, fd: int) -> bool:
        """Send a descriptor to the mailbox of another process; False if it has none or is full."""
        message = _MESSAGE.pack(nonce, ticket.board, ticket.slot, ticket.number, ticket.pid)
        with self.lock:
            for _ in range(2):  # a connection may have broken since it was last used
                connection = self._connect(to)
                if connection is None:
                    return False
                try:
                    socket.send_fds(connection, [message], [fd], socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
                except BlockingIOError:
                    return False
                except OSError:  # broken, or more descriptors on their way than the system allows
                    connection.close()
                    self._outgoing = None
                else:
                    return True
        return False

    def _connect(self, to: identity.Identity) -> socket.socket | None:
        if self._outgoing is not None and self._outgoing[0] == to:
            return self._outgoing[1]
        if not SUPPORTED:
            return None
        made = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        made.setblocking(False)
        try:
            made.connect(_name(to))
            stranger = _peer_uid(made) != os.geteuid()
        except OSError:  # that process has not imported outcore
            stranger = True
        if stranger:
            made.close()
            return None
        if self._outgoing is not None:
            self._outgoing[1].close()
        self._outgoing = (to, made)
        return made


def _name(of: identity.Identity) -> str:
    # Abstract names belong to a network namespace, in which two process namespaces may use the same ids.
    try:
        namespace = os.stat("/proc/self/ns/pid").st_ino
    except OSError:
        namespace = 0
    return f"\0outcore/{os.geteuid()}/{namespace}/{of[0]}/{of[1]}"


def _peer_uid(connection: socket.socket) -> int:
    peer = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    uid: int = _CREDENTIALS.unpack(peer)[1]
    return uid


_own: Mailbox | None = None


def own() -> Mailbox:
    """Return the mailbox of this process, opened when it is first asked for."""
    global _own
    if _own is None:
        _own = Mailbox()
        _own.listen()
    return _own


def renew() -> None:
    """Replace the mailbox that a forked child inherited by one of its own."""
    global _own
    if _own is not None:
        _own.close()
        _own = None
    own()
