"""Say what a test left behind: file descriptors, threads, processes, files in /dev/shm.

Reads from : /proc and /dev/shm (Linux); elsewhere only threads are looked at
Hands to   : the autouse fixture in conftest.py

Guarantees
- Nothing is reported that goes away within GRACE_S of the test's end, or with a garbage collection.
- A process is ours when it inherited a descriptor of ours (a fork), an environment variable of ours (a
  fresh interpreter) or has one of ours as parent. So an orphan is found too, and other runs of these
  tests on the same machine are not mistaken for it.
- What may stay is listed one by one below, each with its reason.

Looking only at our own children was rejected: an orphaned worker has no parent left to find it by.
"""

from __future__ import annotations

import builtins
import contextlib
import gc
import os
import re
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

GRACE_S = 2.0  # a joined pool's processes and a thread past its last statement take a moment to disappear
HAVE_PROC = Path("/proc/self/fd").is_dir()
SHM = Path("/dev/shm")

# Inherited by every process that is started with our environment ...
MARK_NAME = "OUTCORE_TEST_RUN"
MARK_VALUE = f"{os.getpid()}-{time.time_ns()}"
os.environ[MARK_NAME] = MARK_VALUE
# ... and by every process that is forked without an exec, whose /proc/<pid>/environ does not show it.
MARK_FD = os.memfd_create(f"outcore-tests-{MARK_VALUE}") if hasattr(os, "memfd_create") else -1

# Servers that live as long as the interpreter, by design of their libraries: module, object, and the
# attributes that hold its process id and our end of the pipe to it. What they serve is not excused: a
# semaphore, a segment or a worker that stays is still reported.
KEPT_SERVERS = (
    ("multiprocessing.resource_tracker", "_resource_tracker", "_pid", "_fd"),  # since the first spawn
    ("multiprocessing.forkserver", "_forkserver", "_forkserver_pid", "_forkserver_alive_fd"),
    ("loky.backend.resource_tracker", "_resource_tracker", "_pid", "_fd"),  # since loky's first executor
)
# Polars starts an I/O runtime with the first file that it reads and never ends it; nothing else here uses
# epoll or eventfd outside of a selector that is closed with its owner.
SHARED_BOARD = "/memfd:outcore-board (deleted)"  # one for each process that has ever sent a shared array
POLARS_FDS = ("anon_inode:[eventpoll]", "anon_inode:[eventfd]")


@dataclass(frozen=True)
class Snapshot:
    """What existed at one moment."""

    fds: dict[int, str]
    threads: frozenset[threading.Thread]
    pids: frozenset[int]
    shm: frozenset[str]


def snapshot() -> Snapshot:
    return Snapshot(
        _fds(), frozenset(threading.enumerate()), _pids(), frozenset(os.listdir(SHM) if SHM.is_dir() else ())
    )


def left_since(before: Snapshot) -> list[str]:
    """Everything of ours that exists now and did not exist `before`, one line each; empty when clean."""
    found = _look(before)
    if not found:
        return []  # the usual case costs no collection
    deadline = time.monotonic() + GRACE_S
    vars(builtins).pop("_", None)  # a doctest's last result
    while True:
        gc.collect()
        if "outcore.shared.travel" in sys.modules:
            sys.modules["outcore.shared.travel"].sweep()  # arrays that were received by somebody
            sys.modules["outcore.shared.mailbox"].own().drain()  # connections of children that have ended
        found = _look(before)
        if not found or time.monotonic() > deadline:
            return found
        time.sleep(0.02)


def _look(before: Snapshot) -> list[str]:
    return [
        *(f"file descriptor {n}: {target}" for n, target in sorted(_new_fds(before).items())),
        *(f"thread {t.name!r} (daemon={t.daemon})" for t in threading.enumerate() if t not in before.threads),
        *_new_processes(before),
        *_new_segments(before),
    ]


def _fds() -> dict[int, str]:
    targets = {}
    for name in os.listdir("/proc/self/fd") if HAVE_PROC else ():
        with contextlib.suppress(OSError):  # the descriptor of this very listing is closed by now
            targets[int(name)] = os.readlink(f"/proc/self/fd/{name}")
    return targets


def _new_fds(before: Snapshot) -> dict[int, str]:
    kept = {fd for _, fd in _servers()}
    return {
        number: target
        for number, target in _fds().items()
        if before.fds.get(number) != target
        and number not in kept
        and target != SHARED_BOARD
        and not (target in POLARS_FDS and "polars" in sys.modules)
    }


def _servers() -> list[tuple[int | None, int | None]]:
    """Process id and descriptor of each server that runs."""
    found = []
    for module, name, pid, fd in KEPT_SERVERS:
        server = getattr(sys.modules.get(module), name, None)
        found.append((getattr(server, pid, None), getattr(server, fd, None)))
    return found


def _pids() -> frozenset[int]:
    return (
        frozenset(int(name) for name in os.listdir("/proc") if name.isdigit()) if HAVE_PROC else frozenset()
    )


def _new_processes(before: Snapshot) -> list[str]:
    """Live processes of ours; a zombie has ended already, and an unreaped Popen warns by itself."""
    found = []
    kept = {pid for pid, _ in _servers()}
    for pid in sorted(_pids() - before.pids - kept):
        try:
            state = _state(pid)
            command = (
                Path(f"/proc/{pid}/cmdline")
                .read_bytes()
                .replace(b"\0", b" ")
                .decode(errors="replace")
                .strip()
            )
            if state in "ZX" or not is_ours(pid):
                continue
        except OSError:
            continue  # ended while we looked
        found.append(f"process {pid} (state {state}, parent {_parent(pid)}): {command[:200]}")
    return found


def is_ours(pid: int) -> bool:
    """Whether the process descends from this run of the tests, even if its parents are gone."""
    mark = f"{MARK_NAME}={MARK_VALUE}".encode()
    try:
        if pid == os.getpid() or mark in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
            return True
        if any(f"outcore-tests-{MARK_VALUE}" in _target(link) for link in _links(pid)):
            return True
    except PermissionError:
        return False  # another user's
    parent = _parent(pid)
    return parent > 1 and is_ours(parent)


def _links(pid: int) -> list[str]:
    return [f"/proc/{pid}/fd/{name}" for name in os.listdir(f"/proc/{pid}/fd")]


def _target(link: str) -> str:
    try:
        return os.readlink(link)
    except FileNotFoundError:
        return ""  # closed while we looked: a program that has just started opens and closes its libraries


def _stat(pid: int) -> list[str]:
    # The command's name, second field, is in parentheses and may hold anything.
    return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()


def _state(pid: int) -> str:
    return _stat(pid)[0]


def _parent(pid: int) -> int:
    with contextlib.suppress(OSError):
        return int(_stat(pid)[1])
    return 0


def _new_segments(before: Snapshot) -> list[str]:
    names = set(os.listdir(SHM)) - before.shm if SHM.is_dir() else set()
    return [f"shared memory file {SHM / name}" for name in sorted(names) if not held_by_others(name)]


def held_by_others(name: str) -> bool:
    """Whether a process that is not ours has the segment mapped: then another program made it."""
    # By inode: the C library maps a semaphore under a temporary name and then renames it.
    try:
        inode = str((SHM / name).stat().st_ino)
    except OSError:
        return True  # gone by now
    held = re.compile(rf"^\S+ \S+ \S+ \S+ {inode} +{re.escape(str(SHM))}/", re.MULTILINE)
    for pid in _pids():
        with contextlib.suppress(OSError):
            if held.search(Path(f"/proc/{pid}/maps").read_text(errors="replace")) and not is_ours(pid):
                return True
    return False
