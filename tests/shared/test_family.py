"""What importing outcore costs and leaves."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest

from outcore.shared import family, identity, mailbox
from tests.shared import roles


def what_an_import_does() -> None:
    import threading

    print(len([fd for fd in os.listdir("/proc/self/fd") if is_socket(fd)]))
    print(threading.active_count())
    print(mailbox.own().open)


def is_socket(fd: str) -> bool:
    try:
        return os.readlink(f"/proc/self/fd/{fd}").startswith("socket:")
    except OSError:
        return False


@pytest.mark.skipif(sys.platform != "linux", reason="/proc")
def test_importing_opens_one_socket_and_starts_no_thread() -> None:
    ended = roles.run_program("what_an_import_does", module="tests.shared.test_family")
    assert (ended.stdout, ended.stderr) == ("1\n1\nTrue\n", "")


def test_importing_alone_imports_no_numpy_and_ends_without_a_word() -> None:
    code = "import outcore, sys; print('numpy' in sys.modules)"
    ended = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", code], capture_output=True, text=True, check=True
    )
    assert (ended.stdout, ended.stderr) == ("False\n", "")


def test_joining_again_does_nothing() -> None:
    before, box = roles.fds(), mailbox.own()
    family.join()
    assert mailbox.own() is box
    assert roles.fds() == before


@pytest.mark.skipif(not mailbox.own().open, reason="no mailbox on this system")
def test_a_forked_child_opens_its_own_and_closes_nothing_of_its_parent() -> None:
    name = mailbox._name(identity.own())
    if (pid := os.fork()) == 0:
        os._exit(mailbox._name(identity.own()) == name or not mailbox.own().open)
    assert os.waitpid(pid, 0)[1] == 0
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as probe:
        probe.connect(name)
    mailbox.own().drain()
