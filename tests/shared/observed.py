"""A program of several processes, run by a test that looks on: where each of them is, what they hold.

Reads from : /proc; a socket to which the program's processes report
Hands to   : tests.shared.matrix, tests.shared.test_stress

Guarantees
- Nobody sleeps to wait for somebody: a process that has come to a point says so and waits for the answer.
- The program's processes are found even if their parents are dead: all inherit an environment variable.
- Whatever happens, the program and all its descendants are gone when `Program.close` returns.

The first half runs in the program's processes, the second in the test. Only for Linux.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests import cgroup

SHM = Path("/dev/shm")
ROOT = Path(__file__).parents[2]
PATIENCE_S = 30.0  # more than anything here takes on a loaded machine; reached only if something hangs
_SOCKET = "OUTCORE_TEST_SOCKET"
_counter = itertools.count()


# ------------------------------------------------------------------------------- inside the program
def reach(role: str, moment: str, **facts: Any) -> None:
    """Say that this process is there, and wait until it may go on."""
    with _report(role, moment, facts) as connection:
        connection.recv(1)


def tell(role: str, moment: str, **facts: Any) -> None:
    """Say something, and go on."""
    _report(role, moment, facts).close()


def repeat(role: str, moment: str, action: Callable[[], object]) -> None:
    """Say that this process does something, and do it again and again until it may go on."""
    with _report(role, moment, {}) as connection:
        connection.setblocking(False)
        while True:
            action()
            with contextlib.suppress(BlockingIOError):
                connection.recv(1)
                return


class Gate:
    """What holds up whoever unpickles it; put before an array, it is loaded first."""

    def __init__(self, role: str, moment: str) -> None:
        self.where = (role, moment)

    def __reduce__(self) -> Any:
        return reach, self.where


def _report(role: str, moment: str, facts: dict[str, Any]) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    connection.settimeout(2 * PATIENCE_S)
    connection.connect("\0" + os.environ[_SOCKET])
    connection.send(json.dumps([role, moment, os.getpid(), facts]).encode())
    return connection


# ---------------------------------------------------------------------------------- outside of it
@dataclass(frozen=True)
class Visit:
    """What a process reported."""

    role: str
    moment: str
    pid: int
    facts: dict[str, Any]
    connection: socket.socket


class Program:
    """A function of a module under tests, run as the main program of a fresh Python."""

    def __init__(self, module: str, function: str, *arguments: str, folder: Path) -> None:
        self.name = f"outcore-tests/{os.getpid()}/{next(_counter)}"
        self._visits: list[Visit] = []
        self._open = False
        self.files_before = set(os.listdir(SHM))
        self._held = contextlib.ExitStack()
        try:
            self._group = self._held.enter_context(cgroup.counted())
        except cgroup.Unavailable:
            self._group = None  # then the whole machine's shared memory is looked at
        self._shared_before = 0 if self._group else _machine_shared_bytes()
        self._selector = selectors.DefaultSelector()
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._listener.bind("\0" + self.name)
        self._listener.listen(64)
        self._listener.setblocking(False)
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._stderr = folder / "stderr"
        command = [
            sys.executable,
            "-c",
            f"import sys; from {module} import {function}; {function}(*sys.argv[1:])",
            *arguments,
        ]
        with self._stderr.open("wb") as stderr:
            self.process = subprocess.Popen(
                command if self._group is None else self._group.entering(command),
                cwd=ROOT,
                env={**os.environ, _SOCKET: self.name},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
                start_new_session=True,  # a process group that can be killed as a whole
            )
        #: Semaphores of multiprocessing and loky that the program's processes use: name in /dev/shm.
        self.semaphores: set[str] = set()

    def __enter__(self) -> Program:
        return self

    def __exit__(self, *args: object) -> None:
        self.close()

    @property
    def stderr(self) -> str:
        return self._stderr.read_text(errors="replace")

    # ---- where its processes are ----------------------------------------------------------------

    def wait_for(self, role: str, moment: str, patience_s: float = PATIENCE_S) -> Visit:
        """Wait until a process has come somewhere; it goes on waiting there."""
        deadline = time.monotonic() + patience_s
        while True:
            for visit in self._visits:
                if (visit.role, visit.moment) == (role, moment):
                    return visit
            if time.monotonic() > deadline or self.process.poll() is not None:
                seen = [f"{v.role} {v.moment} {v.facts or ''}" for v in self._visits]
                raise AssertionError(
                    f"{role} did not come to {moment}; the program's exit code is {self.process.poll()}.\n"
                    f"Seen: {seen}\nStandard error:\n{self.stderr}"
                )
            self._pump(0.05)

    def let_go(self, *visits: Visit) -> None:
        """Let processes go on."""
        for visit in visits:
            with contextlib.suppress(OSError):  # it may be dead by now
                visit.connection.send(b"!")

    def open_all(self) -> None:
        """Let everybody go on, from now on."""
        self._open = True
        self.let_go(*self._visits)

    def finish(self, patience_s: float = PATIENCE_S) -> None:
        """Let everybody go on, and wait until the program has ended."""
        self.open_all()
        deadline = time.monotonic() + patience_s
        while self.process.poll() is None:
            if time.monotonic() > deadline:
                raise AssertionError(f"the program hangs.\nStandard error:\n{self.stderr}")
            self._pump(0.02)
        self._pump(0)

    def said(self, role: str, moment: str) -> dict[str, Any] | None:
        """Return the facts that a process reported, None if it did not."""
        self._pump(0)
        return next((v.facts for v in self._visits if (v.role, v.moment) == (role, moment)), None)

    def _pump(self, patience_s: float) -> None:
        while ready := self._selector.select(patience_s):
            patience_s = 0
            for key, _ in ready:
                if key.fileobj is self._listener:
                    connection, _ = self._listener.accept()
                    self._selector.register(connection, selectors.EVENT_READ)
                    continue
                connection = key.fileobj
                assert isinstance(connection, socket.socket)
                with contextlib.suppress(ConnectionError):
                    if message := connection.recv(65536):
                        visit = Visit(*json.loads(message), connection)
                        self._visits.append(visit)
                        if self._open:
                            self.let_go(visit)
                        continue
                self._selector.unregister(connection)
                connection.close()

    # ---- what they are and hold -----------------------------------------------------------------

    def pids(self) -> set[int]:
        """Return the program's living processes, orphans included."""
        mark = f"{_SOCKET}={self.name}".encode()
        found = set()
        for name in os.listdir("/proc"):
            with contextlib.suppress(OSError):
                if (
                    name.isdigit()
                    and mark in Path(f"/proc/{name}/environ").read_bytes().split(b"\0")
                    and Path(f"/proc/{name}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
                ):
                    found.add(int(name))
        return found

    def shared_bytes(self) -> int:
        """Return how much shared memory the program has made that still exists, whoever is dead by now.

        Where it can have no control group of its own: how much more the machine has than before.
        """
        return (self._group.shared() if self._group else _machine_shared_bytes()) - self._shared_before

    def note_semaphores(self) -> None:
        """Remember the semaphores that the program's processes use now."""
        used = set()
        for pid in self.pids():
            with contextlib.suppress(OSError):
                # By inode: the C library maps a semaphore under a temporary name and then renames it.
                used |= set(re.findall(r" (\d+) +/dev/shm/", Path(f"/proc/{pid}/maps").read_text()))
        for entry in os.scandir(SHM):
            if str(entry.inode()) in used and entry.name.startswith("sem."):
                self.semaphores.add(entry.name)

    def kill(self, pid: int, *, group: bool = False) -> None:
        """``kill -9``."""
        (os.killpg if group else os.kill)(pid, signal.SIGKILL)
        if pid == self.process.pid:
            self.process.wait(PATIENCE_S)

    def wait_until_gone(self, patience_s: float) -> set[int]:
        """Wait until all its processes have ended; return those that have not."""
        deadline = time.monotonic() + patience_s
        while (left := self.pids()) and time.monotonic() < deadline:
            self._pump(0.02)
        return left

    def close(self) -> None:
        """Kill whatever is left, and close everything."""
        deadline = time.monotonic() + PATIENCE_S
        while (left := self.pids()) and time.monotonic() < deadline:
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.01)
        self.process.wait(PATIENCE_S)
        for key in list(self._selector.get_map().values()):
            key.fileobj.close()
        self._selector.close()
        self._held.close()


def _machine_shared_bytes() -> int:
    found = re.search(r"^Shmem: +(\d+) kB", Path("/proc/meminfo").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024
