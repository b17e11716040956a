"""Where outboxes are left: what a worker has sent can be received here when the worker is dead.

Reads from : a socket of this process that any child finds by name
Hands to   : shared.travel (deliver), shared.resolving (collect)

Guarantees
- What is in an outbox that was left here is kept by the kernel, even if the sender is killed at once.
- If this process dies, the outboxes go with it and the kernel frees the memory.
- No thread, no file, nothing inherited: the name is made of this process's id and start time.
- Only processes of the same user are listened to, and sent to.
- Letters of a living sender stay in its outbox, from where it takes them back when they are not needed any
  more; they are read here only if there is no other way to the memory.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import struct
import threading
import weakref
from dataclasses import dataclass

from outcore.shared import identity
from outcore.shared.board import Ticket, is_travelling
from outcore.shared.memory_limits import explain
from outcore.shared.outbox import LETTER_BYTES, SUPPORTED, read, receive_fds, send_fds

_GREETING = b"outcore outbox 1"
_CREDENTIALS = struct.Struct("iII")  # pid, uid, gid
_BACKLOG = 4096
#: Descriptors of dead senders that are taken out to see what lies behind them; each is one of this process.
_KEPT = 64


class Sender:
    """An outbox that was left here, and the board on which its letters are ticked off.

    Parameters
    ----------
    pid : int
        Whose it is.
    box, page : int
        Descriptors of the socket and of the board; closed with this object.
    """

    def __init__(self, pid: int, box: int, page: int) -> None:
        self.pid = pid
        self.box = socket.socket(fileno=box)
        self.page = page
        weakref.finalize(self, _close, self.box, page).atexit = False

    def is_travelling(self, ticket: Ticket) -> bool:
        """Whether nobody has received the handle yet; true to the last moment of a sender that is dead."""
        return is_travelling(self.page, ticket)


def _close(box: socket.socket, page: int) -> None:
    box.close()
    os.close(page)


@dataclass
class Arrival:
    """A descriptor that was taken out and is not asked for yet."""

    nonce: bytes
    ticket: Ticket
    fd: int
    sender: Sender


class Mailbox:
    """The socket of one process, and what was left there."""

    def __init__(self) -> None:
        self.lock = threading.RLock()  # a garbage collection inside may run code that comes back here
        self.arrivals: dict[int, Arrival] = {}
        self.reason = ""  # why there is no mailbox
        #: Letters that were read while no descriptor was left to take theirs: number of the handle.
        self.dropped: set[int] = set()
        self._look_at = 16
        self._greeters: list[socket.socket] = []
        self._senders: dict[int, Sender] = {}  # by the descriptor of the outbox
        self._ended = select.poll() if hasattr(select, "poll") else None
        self._listener: socket.socket | None = None

    def listen(self) -> None:
        """Open the socket."""
        if not SUPPORTED:
            self.reason = "this system has no abstract sockets"
            return
        # Whatever prevents it, importing outcore goes on: then the sender of a handle has to stay alive.
        try:
            made = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        except OSError as error:
            self.reason = f"the socket cannot be made: {error.strerror}"
            return
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
        """Whether children can leave their outboxes here."""
        return self._listener is not None

    def close(self) -> None:
        """Close everything; in a forked child this leaves the parent's mailbox as it is."""
        for connection in self._greeters:
            connection.close()
        if self._listener is not None:
            self._listener.close()
        for arrival in self.arrivals.values():
            os.close(arrival.fd)
        self.arrivals.clear()
        for sender in list(self._senders.values()):
            self._forget(sender)
        self._greeters = []
        self._listener = None

    # ---- what others may ask for -------------------------------------------------------------

    def collect(self, ticket: Ticket) -> Arrival | None:
        """Hand over the descriptor of one handle, if it came here; what lies before it is taken out too.

        Raises
        ------
        HandleLimitError
            No descriptor is left to take it.
        """
        with self.lock:
            try:
                self._accept()
                for sender in [s for s in self._senders.values() if s.pid == ticket.pid]:
                    while ticket.number not in self.arrivals and self._read(sender):
                        pass
            except OSError as error:
                explained = explain(error, 0, "receiving a shared array")
                if explained is not error:
                    raise explained from error
            return self.arrivals.pop(ticket.number, None)

    def put_back(self, arrival: Arrival) -> None:
        """Keep a descriptor for later after all."""
        with self.lock:
            self.arrivals[arrival.ticket.number] = arrival

    def drain(self) -> None:
        """Take out what processes that have ended have left; who lives takes back what is not needed."""
        with self.lock:
            # OSError: no descriptor is left, and things wait in the kernel as before.
            with contextlib.suppress(OSError):
                self._accept()
                for fd, _ in self._ended.poll(0) if self._ended is not None else ():
                    sender = self._senders[fd]
                    while len(self.arrivals) < _KEPT and self._read(sender):
                        pass
            if len(self.arrivals) >= self._look_at:
                self.forget_received()
                self._look_at = 2 * len(self.arrivals) + 16  # so that looking costs each arrival little

    def forget_received(self) -> None:
        """Let go of descriptors whose handles were received by somebody else."""
        with self.lock:
            for number, arrival in list(self.arrivals.items()):
                if not arrival.sender.is_travelling(arrival.ticket):
                    del self.arrivals[number]
                    os.close(arrival.fd)

    # ---- receiving ---------------------------------------------------------------------------

    def _accept(self) -> None:
        if self._listener is None:
            return
        with contextlib.suppress(BlockingIOError):
            while True:
                connection, _ = self._listener.accept()
                connection.setblocking(False)
                self._greeters.append(connection)
        self._greeters = [connection for connection in self._greeters if not self._greet(connection)]

    def _greet(self, connection: socket.socket) -> bool:
        """Take the outbox that is left here; False if it is not there yet."""
        self._make_sure_of(2)
        try:
            message, fds = receive_fds(connection, 2 * len(_GREETING), 2)
        except BlockingIOError:
            return False
        except OSError:
            message, fds = b"", []
        pid, uid = _peer(connection)
        connection.close()
        if message == _GREETING and len(fds) == 2 and uid == os.geteuid():
            with contextlib.suppress(OSError):  # it is no socket: nobody of ours
                sender = Sender(pid, *fds)
                self._senders[fds[0]] = sender
                if self._ended is not None:
                    self._ended.register(fds[0], 0)  # wakes for nothing but the end
                return True
        for fd in fds:
            os.close(fd)
        return True

    def _read(self, sender: Sender) -> bool:
        """Read one letter; False if there is none."""
        self._make_sure_of(1)
        try:
            letter, fds = receive_fds(sender.box, LETTER_BYTES, 1)
        except BlockingIOError:
            return False
        except ConnectionError:
            letter, fds = b"", []
        if not letter:
            self._forget(sender)
            return False
        if len(letter) == LETTER_BYTES:
            self._arrived(letter, fds, sender)
        return True

    def _arrived(self, letter: bytes, fds: list[int], sender: Sender) -> None:
        nonce, ticket = read(letter)
        travelling = sender.is_travelling(ticket) and ticket.number not in self.arrivals
        if fds and travelling:
            self.arrivals[ticket.number] = Arrival(nonce, ticket, fds.pop(), sender)
        elif travelling:
            self.dropped.add(ticket.number)
        for fd in fds:  # somebody else has received the handle
            os.close(fd)

    def _forget(self, sender: Sender) -> None:
        # Its arrivals still look at its board, which is closed with the last of them.
        fd = sender.box.fileno()
        del self._senders[fd]
        if self._ended is not None:
            self._ended.unregister(fd)
        sender.box.close()

    def _make_sure_of(self, n: int) -> None:
        """Raise an OSError unless `n` descriptors can be had: those without room are lost when they come."""
        made: list[int] = []
        try:
            while self._listener is not None and len(made) < n:
                made.append(os.dup(self._listener.fileno()))
        finally:
            for fd in made:
                os.close(fd)


def deliver(to: identity.Identity, box: int, page: int) -> bool:
    """Leave an outbox and its board at the mailbox of another process; False if it has none."""
    try:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    except OSError:  # no descriptor is left: the one that the array has must do
        return False
    with connection:
        connection.setblocking(False)
        try:
            connection.connect(_name(to))
            if _peer(connection)[1] != os.geteuid():
                return False
            send_fds(connection, _GREETING, [box, page])
        except OSError:  # that process has not imported outcore
            return False
    return True


def _name(of: identity.Identity) -> str:
    # Abstract names belong to a network namespace, in which two process namespaces may use the same ids.
    try:
        namespace = os.stat("/proc/self/ns/pid").st_ino
    except OSError:
        namespace = 0
    return f"\0outcore/{os.geteuid()}/{namespace}/{of[0]}/{of[1]}"


def _peer(connection: socket.socket) -> tuple[int, int]:
    """Return process id and user of the other end."""
    peer = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, uid, _ = _CREDENTIALS.unpack(peer)
    return pid, uid


_own: Mailbox | None = None


def own() -> Mailbox:
    """Return the mailbox of this process, opened when it is first asked for."""
    global _own
    if _own is None:
        _own = Mailbox()
        _own.listen()
    return _own


def shut() -> None:
    """Close the mailbox of this process at its end: Python complains of sockets that were not closed."""
    if _own is not None:
        _own.close()


def renew() -> None:
    """Replace the mailbox that a forked child inherited by one of its own."""
    global _own
    if _own is not None:
        _own.close()
        _own = None
    own()
