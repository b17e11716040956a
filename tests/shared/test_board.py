"""Ticks on the sender's page: only where they belong."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator

import pytest

from outcore.errors import HandleLimitError
from outcore.shared import board
from outcore.shared.board import ENTRY, FILES, NO_TICKET, Ticket
from tests.shared import roles

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="/proc and memfd")


@pytest.fixture
def page() -> Iterator[int]:
    fd = os.memfd_create("outcore-board")
    os.pwrite(fd, ENTRY.pack(11) + ENTRY.pack(22), 0)
    yield fd
    os.close(fd)


def words(fd: int) -> list[int]:
    return [word for (word,) in ENTRY.iter_unpack(os.pread(fd, 2 * ENTRY.size, 0))]


def tick(ticket: Ticket) -> None:
    reached = board.reach(ticket)
    board.received(reached, ticket)
    if reached >= 0:
        os.close(reached)


def test_a_tick_clears_its_own_entry_once(page: int) -> None:
    second = Ticket(os.getpid(), page, 1, 22)
    assert board.is_travelling(page, second)
    for _ in range(2):
        tick(second)
        assert words(page) == [11, 0]
        assert not board.is_travelling(page, second)


def test_an_entry_that_another_handle_has_by_now_is_left_alone(page: int) -> None:
    tick(Ticket(os.getpid(), page, 0, 99))
    assert words(page) == [11, 22]


def test_another_process_ticks_it_off(page: int) -> None:
    ticket = Ticket(os.getpid(), page, 0, 11)
    if (pid := os.fork()) == 0:
        os.close(page)
        tick(ticket)
        os._exit(0)
    os.waitpid(pid, 0)
    assert words(page) == [0, 22]


@pytest.mark.parametrize(
    "ticket", [Ticket(2**30, 3, 0, 5), Ticket(1, 10**6, 0, 5), Ticket(1, FILES, 0, 5), NO_TICKET], ids=str
)
def test_a_sender_out_of_reach_is_not_told(ticket: Ticket) -> None:
    before = roles.fds()
    assert board.reach(ticket) == -1
    tick(ticket)
    assert roles.fds() == before


def test_no_descriptor_left_is_said_and_not_taken_for_out_of_reach(
    page: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: object) -> int:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(os, "open", full)
    with pytest.raises(HandleLimitError, match="receiving a shared array"):
        board.reach(Ticket(os.getpid(), page, 0, 11))


def test_a_descriptor_that_is_something_else_by_now_is_neither_read_nor_written() -> None:
    reading, writing = os.pipe()
    one, other = socket.socketpair()
    folder = os.open("/", os.O_RDONLY)
    before = roles.fds()
    try:
        os.write(writing, b"12345678" * 4)
        for number in (reading, writing, one.fileno(), folder):
            tick(Ticket(os.getpid(), number, 0, int.from_bytes(b"12345678", sys.byteorder)))
        assert os.read(reading, 100) == b"12345678" * 4
        assert roles.fds() == before
    finally:
        for fd in (reading, writing, folder):
            os.close(fd)
        one.close()
        other.close()


def test_where_there_is_no_page_the_ticket_is_a_file(
    tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    ticket = Ticket(7, FILES, 3, 255)
    path = board.ticket_file(ticket)
    assert path == f"{tmp_path}/outcore-{os.getuid()}/7-ff.ticket"
    os.makedirs(board.own_folder())
    open(path, "w").close()
    for _ in range(2):
        tick(ticket)
        assert not os.path.exists(path)
