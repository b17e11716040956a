"""Outboxes that are left at a parent: what is in them can be received when their owner is dead."""

from __future__ import annotations

import errno
import os
import resource
import socket
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from outcore.errors import HandleLimitError
from outcore.shared import identity, mailbox
from outcore.shared.board import ENTRY, Ticket
from outcore.shared.mailbox import Mailbox
from outcore.shared.outbox import Outbox
from tests.shared import roles

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="abstract sockets and memfd")
NONCE = bytes(16)


class Sender:
    """A process that sends, as far as a mailbox can see."""

    def __init__(self, to: identity.Identity) -> None:
        self.page = os.memfd_create("outcore-board")
        self.box = Outbox(lambda fd: mailbox.deliver(to, fd, self.page))

    def put(self, slot: int, text: bytes = b"x") -> bool:
        fd = os.memfd_create("outcore:test")
        try:
            os.write(fd, text)
            os.pwrite(self.page, ENTRY.pack(100 + slot), slot * ENTRY.size)
            return self.box.put(NONCE, self.ticket(slot), fd)
        finally:
            os.close(fd)  # the kernel's queue holds it from here on

    def ticket(self, slot: int) -> Ticket:
        return Ticket(os.getpid(), self.page, slot, 100 + slot)

    def tick(self, slot: int) -> None:
        os.pwrite(self.page, ENTRY.pack(0), slot * ENTRY.size)

    def end(self) -> None:
        if self.page >= 0:
            self.box.close()
            os.close(self.page)
            self.page = -1


@pytest.fixture
def pair(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Mailbox, Sender]]:
    """A parent's mailbox under a name of its own, and somebody who sends to it."""
    parent, address = Mailbox(), (os.getpid(), 1)
    with monkeypatch.context() as patched:
        patched.setattr(identity, "own", lambda: address)
        parent.listen()
    assert parent.open
    sender = Sender(address)
    yield parent, sender
    sender.end()
    parent.close()


def text_of(arrival: Any) -> bytes:
    assert arrival is not None
    try:
        return os.pread(arrival.fd, 99, 0)
    finally:
        os.close(arrival.fd)


def test_what_was_put_in_arrives_when_it_is_asked_for(pair: tuple[Mailbox, Sender]) -> None:
    parent, sender = pair
    assert sender.put(0, b"zero")
    assert sender.put(1, b"one")
    one = sender.ticket(1)
    arrival = parent.collect(one)
    assert arrival is not None
    assert (arrival.nonce, arrival.ticket) == (NONCE, one)
    assert not os.get_inheritable(arrival.fd)
    parent.put_back(arrival)
    assert text_of(parent.collect(one)) == b"one"
    assert parent.collect(one) is None
    assert text_of(parent.collect(sender.ticket(0))) == b"zero"


def test_the_sender_may_have_ended_before_the_parent_looks(pair: tuple[Mailbox, Sender]) -> None:
    parent, sender = pair
    before = roles.fds()
    assert sender.put(0, b"late")
    ticket = sender.ticket(0)
    sender.end()
    assert text_of(parent.collect(ticket)) == b"late"
    parent.drain()
    assert roles.fds() == before - 3  # the sender's page and sockets; nothing stays here


def test_of_a_living_sender_nothing_is_taken_out_that_was_not_asked_for(pair: tuple[Mailbox, Sender]) -> None:
    parent, sender = pair
    for slot in range(5):
        assert sender.put(slot)
    parent.drain()
    assert parent.arrivals == {}
    ticket = sender.ticket(4)
    sender.end()
    parent.drain()
    assert len(parent.arrivals) == 5
    assert text_of(parent.collect(ticket)) == b"x"


def test_what_somebody_else_received_is_let_go_of(pair: tuple[Mailbox, Sender]) -> None:
    parent, sender = pair
    for slot in range(3):
        assert sender.put(slot)
    sender.tick(1)  # before the parent looks
    assert parent.collect(Ticket(os.getpid(), sender.page, 9, 999)) is None
    assert list(parent.arrivals) == [100, 102]
    sender.tick(2)  # and after
    before = roles.fds()
    parent.forget_received()
    assert list(parent.arrivals) == [100]
    assert roles.fds() == before - 1


def test_a_full_outbox_refuses_and_serves_again_when_it_was_emptied(pair: tuple[Mailbox, Sender]) -> None:
    parent, sender = pair
    n = 0
    while sender.put(n):
        n += 1
        assert n < 100_000
    assert n >= 64
    assert text_of(parent.collect(sender.ticket(n - 1))) == b"x"
    assert len(parent.arrivals) == n - 1
    assert sender.put(n)


def test_without_a_descriptor_left_it_is_said_and_letters_wait_in_the_kernel(
    pair: tuple[Mailbox, Sender],
) -> None:
    parent, sender = pair
    assert sender.put(0, b"first")
    assert text_of(parent.collect(sender.ticket(0))) == b"first"
    assert sender.put(1, b"second")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.dup(0)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))
    try:
        with pytest.raises(HandleLimitError, match="receiving a shared array"):
            parent.collect(sender.ticket(1))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert text_of(parent.collect(sender.ticket(1))) == b"second"


def test_nobody_listens() -> None:
    sender = Sender((2**30, 5))
    before = roles.fds()
    assert not sender.put(0)
    assert roles.fds() == before
    sender.end()


def test_a_mailbox_that_is_closed_leaves_nothing(pair: tuple[Mailbox, Sender]) -> None:
    parent, sender = pair
    assert sender.put(0)
    assert sender.put(1)
    before = roles.fds() - 1  # the listening socket
    assert parent.collect(Ticket(os.getpid(), sender.page, 9, 999)) is None
    assert len(parent.arrivals) == 2
    parent.close()
    assert roles.fds() == before
    parent.close()


def test_strangers_at_the_door_are_sent_away(
    pair: tuple[Mailbox, Sender], monkeypatch: pytest.MonkeyPatch
) -> None:
    parent, sender = pair
    before = roles.fds()
    for message, fds in [
        (b"hello", []),
        (b"x" * 500, [0]),
        (mailbox._GREETING, []),
        (mailbox._GREETING, [0]),
        (mailbox._GREETING, [sender.page, sender.page]),  # no socket
    ]:
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as stranger:
            stranger.connect(mailbox._name((os.getpid(), 1)))
            socket.send_fds(stranger, [message], fds)
            parent.drain()
    parent.drain()
    assert roles.fds() == before
    assert parent.arrivals == {}


def test_processes_of_other_users_are_not_listened_to_and_not_sent_to(
    pair: tuple[Mailbox, Sender], monkeypatch: pytest.MonkeyPatch
) -> None:
    parent, sender = pair
    assert sender.put(0)
    before = roles.fds()
    monkeypatch.setattr(mailbox, "_peer", lambda connection: (os.getpid(), os.geteuid() + 1))
    assert parent.collect(sender.ticket(0)) is None
    other = Sender((os.getpid(), 1))
    assert not other.put(0)
    other.end()
    assert roles.fds() == before


@pytest.mark.parametrize("step", ["socket", "bind"])
def test_a_mailbox_that_cannot_be_opened_says_why_and_stops_nobody(
    step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    assert mailbox.own().open
    taken = mailbox._name(identity.own())
    with monkeypatch.context() as patched:
        if step == "socket":
            patched.setattr(socket, "socket", fail)
        else:
            patched.setattr(mailbox, "_name", lambda of: taken)
        box = Mailbox()
        box.listen()
    assert not box.open
    assert box.reason.startswith("the socket cannot be")
    assert box.collect(Ticket(1, 1, 1, 1)) is None
    box.drain()
    box.close()


def test_a_system_without_abstract_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mailbox, "SUPPORTED", False)
    box = Mailbox()
    box.listen()
    assert (box.open, box.reason) == (False, "this system has no abstract sockets")
    assert box.collect(Ticket(1, 1, 1, 1)) is None


def test_a_forked_child_has_a_mailbox_of_its_own_and_leaves_the_parents() -> None:
    assert mailbox.own().open
    name = mailbox._name(identity.own())
    reading, writing = os.pipe()
    if (pid := os.fork()) == 0:
        os.write(writing, f"{mailbox.own().open} {mailbox._name(identity.own()) != name}".encode())
        os._exit(0)
    os.waitpid(pid, 0)
    os.close(writing)
    assert os.read(reading, 100) == b"True True"
    os.close(reading)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as probe:
        probe.connect(name)
    mailbox.own().drain()


def test_the_name_tells_users_processes_and_namespaces_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    namespace = os.stat("/proc/self/ns/pid").st_ino
    assert mailbox._name((7, 8)) == f"\0outcore/{os.geteuid()}/{namespace}/7/8"

    def missing(path: str) -> None:
        raise FileNotFoundError(path)

    with monkeypatch.context() as patched:
        patched.setattr(os, "stat", missing)
        assert mailbox._name((7, 8)) == f"\0outcore/{os.geteuid()}/0/7/8"
