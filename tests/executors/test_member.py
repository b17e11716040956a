"""Starting a worker, and hearing how it ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from multiprocessing import spawn

import pytest

from outcore.errors import PlatformError
from outcore.executors import member as module
from outcore.executors.member import Member
from outcore.executors.outcome import Failure
from outcore.executors.parcel import Parcel, pack
from outcore.executors.pickling import dumps
from outcore.executors.worker import Order
from outcore.settings import Settings
from tests.executors import tasks


@pytest.fixture
def member() -> Iterator[Member]:
    made = Member()
    yield made
    made.kill()
    made.end()
    made.release()


def answer(member: Member, function: object, *small: object, placed: object = None) -> object:
    parcel = None if placed is None else pack(placed, share=False)
    member.send(Order(4, dumps((function, small)), parcel, Settings(memory="5MB"), {}))
    message = None
    while message is None:
        message = member.receive()
    index, outcome = message
    assert index == 4
    assert isinstance(outcome, Parcel | Failure)
    return outcome.open(writable=True) if isinstance(outcome, Parcel) else outcome.error()


def test_it_says_that_it_is_there_and_works(member: Member) -> None:
    assert not member.ready
    assert answer(member, tasks.item, "x", placed={"x": 8}) == 8
    assert member.ready
    assert answer(member, tasks.item, "x") == 8  # it has it still
    member.clear()
    assert isinstance(answer(member, tasks.item, "x"), TypeError)
    assert answer(member, tasks.process_id) == member.pid


def until_it_ends(member: Member) -> None:
    while True:
        member.receive()


def test_how_it_ended(member: Member) -> None:
    os.kill(member.pid, signal.SIGKILL)
    with pytest.raises(EOFError):
        until_it_ends(member)
    assert member.end() == "SIGKILL"
    assert member.ended
    member.send(Order(0, b"", None, Settings(), {}))  # nobody reads it


def test_it_ends_when_it_is_dismissed() -> None:
    made = Member()
    made.dismiss()
    assert made.wait(60)
    assert made.end() == "exit status 0"
    made.release()
    made.release()


def test_it_ends_even_if_another_child_holds_the_pipe() -> None:
    made = Member()
    os.set_inheritable(made.connection.fileno(), True)
    other = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, close_fds=False)
    made.dismiss()
    assert made.wait(60)
    made.release()
    other.communicate(b"\n")


def test_no_signal_is_blocked_afterwards_here_or_there(member: Member) -> None:
    assert signal.pthread_sigmask(signal.SIG_BLOCK, set()) == set()
    found = answer(member, tasks.signals)
    assert found == (set(), signal.SIG_IGN)


def test_python_is_started_as_this_one_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "warnoptions", ["error::SyntaxWarning"])
    monkeypatch.setattr(sys, "_xoptions", {"utf8": "1", "dev": True})
    monkeypatch.setattr(sys, "path", ["", "a folder with 'quotes'", "folder \udcff"])
    command = module._command(9)
    assert command[0] == os.fsdecode(spawn.get_executable())
    assert {"-Werror::SyntaxWarning", "-Xutf8=1", "-Xdev"} <= set(command)
    assert command[-1].isascii()
    assert f"main(9, {os.getpid()})" in command[-1]


def test_blas_has_one_thread_from_the_start(member: Member) -> None:
    assert answer(member, tasks.environment, "OPENBLAS_NUM_THREADS") == "1"


def test_a_system_that_cannot_says_what_can(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(signal, "pthread_sigmask")  # Windows
    with pytest.raises(PlatformError, match="ProcessPoolExecutor"):
        Member()


def test_a_system_that_does_not_tell_when_processes_end(monkeypatch: pytest.MonkeyPatch) -> None:
    from outcore.executors.processes import Processes
    from tests.executors.pools import collected

    def refused(pid: int) -> int:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(os, "pidfd_open", refused)
    with Processes(1) as runner:
        placed = runner.place({"x": 3})
        runner.submit(0, tasks.process_id, placed)
        pid = collected(runner).value
        runner.submit(1, tasks.item, placed, "x")
        os.kill(pid, signal.SIGSTOP)
        time.sleep(0.05)
        os.kill(pid, signal.SIGKILL)
        assert collected(runner).value == 3
