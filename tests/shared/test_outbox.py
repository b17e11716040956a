"""Letters from a worker to its parent: they wait in the kernel, and can be taken back."""

from __future__ import annotations

import os
import random
import socket
import sys
import threading
from collections.abc import Iterator

import pytest

from outcore.errors import HandleLimitError
from outcore.shared import identity, mailbox
from outcore.shared.board import ENTRY, Ticket
from outcore.shared.mailbox import Mailbox
from outcore.shared.outbox import Outbox, read, write

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs descriptors in messages")

NONCE = bytes(range(16))


class Worker:
    """What a worker has: a board, and an outbox that is left at a mailbox."""

    def __init__(self) -> None:
        self.page = os.memfd_create("outcore-board")
        self.segment = os.memfd_create("outcore-segment")
        self.travelling: set[int] = set()
        self.outbox = Outbox(lambda box: mailbox.deliver(identity.own(), box, self.page))

    def send(self, *numbers: int) -> list[bool]:
        sent = []
        for number in numbers:
            os.pwrite(self.page, ENTRY.pack(number), number * ENTRY.size)
            self.travelling.add(number)
            sent.append(self.outbox.put(NONCE, self.ticket(number), self.segment))
        return sent

    def ticket(self, number: int) -> Ticket:
        return Ticket(os.getpid(), self.page, number, number)

    def received_elsewhere(self, *numbers: int) -> None:
        for number in numbers:
            os.pwrite(self.page, bytes(ENTRY.size), number * ENTRY.size)
            self.travelling.discard(number)

    def take_back(self, *numbers: int) -> None:
        self.outbox.take_back(set(numbers), self._descriptor)

    def _descriptor(self, ticket: Ticket) -> int | None:
        return self.segment if ticket.number in self.travelling else None

    def end(self) -> None:
        self.outbox.close()


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> Iterator[Worker]:
    made = Worker()
    yield made
    made.end()
    os.close(made.page)
    os.close(made.segment)


@pytest.fixture
def box(monkeypatch: pytest.MonkeyPatch) -> Iterator[Mailbox]:
    """The mailbox of the parent, which here is this process too."""
    monkeypatch.setattr(mailbox, "_name", lambda of: f"\0outcore-tests/{os.getpid()}/{id(monkeypatch)}")
    made = Mailbox()
    made.listen()
    assert made.open
    yield made
    made.close()


def collected(box: Mailbox, worker: Worker, number: int) -> bool:
    """Whether a letter is there, with the right descriptor."""
    arrival = box.collect(worker.ticket(number))
    if arrival is None:
        return False
    assert (arrival.nonce, arrival.ticket) == (NONCE, worker.ticket(number))
    assert os.fstat(arrival.fd).st_ino == os.fstat(worker.segment).st_ino
    assert not os.get_inheritable(arrival.fd)
    os.close(arrival.fd)
    return True


def test_a_letter_says_what_was_written() -> None:
    ticket = Ticket(2**22, 1000, 2**30, 2**63)
    assert read(write(NONCE, ticket)) == (NONCE, ticket)


def test_letters_are_there_when_the_sender_is_not(box: Mailbox, worker: Worker) -> None:
    assert worker.send(1, 2, 3) == [True] * 3
    worker.end()
    assert [collected(box, worker, number) for number in (3, 1, 4, 2, 2)] == [True, True, False, True, False]


def test_without_a_mailbox_nothing_is_put_in(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mailbox, "_name", lambda of: f"\0outcore-tests/{os.getpid()}/nobody")
    assert worker.send(1) == [False]
    worker.take_back(1)


def test_a_mailbox_that_opens_later_gets_the_letters_sent_then(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mailbox, "_name", lambda of: f"\0outcore-tests/{os.getpid()}/late")
    assert worker.send(1) == [False]
    late = Mailbox()
    late.listen()
    assert worker.send(2) == [True]
    assert [collected(late, worker, number) for number in (1, 2)] == [False, True]
    late.close()


def test_what_others_received_is_taken_back_and_the_rest_stays(box: Mailbox, worker: Worker) -> None:
    worker.send(*range(1, 11))
    worker.received_elsewhere(2, 3, 7, 10)
    worker.take_back(2, 3, 7, 10)
    in_queue = []
    while (letter := worker.outbox._take()) is not None:
        in_queue.append(letter[1].number)
    assert sorted(in_queue) == [1, 4, 5, 6, 8, 9]


def test_what_stays_is_still_good_when_the_sender_is_dead(box: Mailbox, worker: Worker) -> None:
    worker.send(*range(1, 11))
    worker.received_elsewhere(5, 6)
    worker.take_back(5, 6)
    worker.end()
    assert [collected(box, worker, n) for n in range(1, 11)] == [n not in (5, 6) for n in range(1, 11)]


def test_a_queue_that_is_full_refuses_until_something_was_taken_back_or_out(
    box: Mailbox, worker: Worker
) -> None:
    sent = worker.send(*range(1, 300))
    room = sent.index(False)
    assert room > 50
    assert not any(sent[room:])
    worker.received_elsewhere(room)  # the last one, behind all others
    worker.take_back(room)
    assert worker.send(300, 301) == [True, False]
    assert collected(box, worker, 1)
    assert worker.send(302, 303) == [True, False]


def test_letters_of_a_living_sender_are_left_where_it_can_take_them_back(
    box: Mailbox, worker: Worker
) -> None:
    worker.send(1, 2)
    box.drain()
    assert not box.arrivals
    worker.received_elsewhere(1)
    worker.take_back(1)
    worker.end()
    box.drain()
    assert set(box.arrivals) == {2}


def test_what_was_received_before_the_sender_died_is_not_kept_for_ever(box: Mailbox, worker: Worker) -> None:
    worker.send(1, 2)
    worker.end()  # killed: it has taken nothing back
    worker.received_elsewhere(1)  # by somebody who had opened the page before
    box.drain()
    assert set(box.arrivals) == {2}
    worker.received_elsewhere(2)
    box.forget_received()
    assert not box.arrivals
    assert not box._senders  # nothing of the dead is left open


def test_many_letters_of_a_dead_sender_do_not_take_all_descriptors(box: Mailbox, worker: Worker) -> None:
    worker.send(*range(1, 201))
    worker.end()
    box.drain()
    assert 0 < len(box.arrivals) < 100
    assert all(collected(box, worker, number) for number in range(1, 201))


def test_a_letter_that_arrives_twice_is_kept_once(box: Mailbox, worker: Worker) -> None:
    worker.send(1)
    worker.outbox._put(NONCE, worker.ticket(1), worker.segment)
    worker.end()
    n_fds = len(os.listdir("/proc/self/fd"))
    box.drain()
    assert set(box.arrivals) == {1}
    assert len(os.listdir("/proc/self/fd")) <= n_fds + 2  # the board and the letter


def test_strangers_are_not_listened_to(box: Mailbox, worker: Worker) -> None:
    for message, n_fds in ((b"", 0), (b"hello", 0), (b"outcore outbox 1", 1), (b"outcore outbox 1", 2)):
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as stranger:
            stranger.connect(mailbox._name(identity.own()))
            if message:
                socket.send_fds(stranger, [message], [worker.segment] * n_fds)  # these are no sockets
    n_fds_before = len(os.listdir("/proc/self/fd"))
    box.drain()
    assert not box._senders
    assert len(os.listdir("/proc/self/fd")) == n_fds_before
    worker.send(1)
    assert collected(box, worker, 1)


def test_a_greeting_that_comes_late_is_waited_for(box: Mailbox, worker: Worker) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as slow:
        slow.connect(mailbox._name(identity.own()))
        box.drain()
        assert len(box._greeters) == 1
    box.drain()
    assert not box._greeters


def test_without_a_descriptor_to_spare_the_letters_wait(box: Mailbox, worker: Worker) -> None:
    resource = pytest.importorskip("resource")
    worker.send(1, 2, 3)
    box.drain()
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(map(int, os.listdir("/proc/self/fd")))
    held: list[int] = []  # all that is free below the limit: at least the one above the highest
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(before[0], highest + 2), before[1]))
        while True:
            try:
                held.append(os.dup(worker.page))
            except OSError:
                break
        with pytest.raises(HandleLimitError, match="ulimit -n"):
            box.collect(worker.ticket(2))
        os.close(held.pop())
        with pytest.raises(HandleLimitError, match="ulimit -n"):
            box.collect(worker.ticket(2))  # it took the one before
        assert set(box.arrivals) == {1}
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
        for fd in held:
            os.close(fd)
    assert [collected(box, worker, number) for number in (1, 2, 3)] == [True] * 3
    assert not box.dropped


def test_nothing_is_lost_while_both_ends_read(box: Mailbox, worker: Worker) -> None:
    rng = random.Random(0)
    numbers = range(1, 3001)
    found: set[int] = set()
    ready, end = threading.Event(), threading.Event()

    def receive() -> None:
        mine = random.Random(1)
        ready.wait()
        while not end.is_set():
            if waiting := sorted(worker.travelling):
                number = mine.choice(waiting)
                if collected(box, worker, number):
                    found.add(number)

    reader = threading.Thread(target=receive)
    reader.start()
    refused = set()
    for number in numbers:
        if worker.send(number) == [False]:
            refused.add(number)
        ready.set()
        if number % 10 == 0:
            gone = {n for n in list(worker.travelling) if rng.random() < 0.2}
            worker.received_elsewhere(*gone)
            worker.take_back(*gone)
    end.set()
    reader.join()
    # What is neither received nor refused is in the queue, or among what was taken out before it.
    for number in sorted(worker.travelling - refused - found):
        assert collected(box, worker, number), number
