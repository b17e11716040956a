"""Run a command as a fresh process under a memory limit that the kernel enforces.

Reads from : /sys/fs/cgroup (version 1 or 2), /proc/self/cgroup
Hands to   : the `cgroup` fixture of conftest.py, tests.shared.observed, and the benchmarks

Guarantees
- The group is made for one run and removed after it, with whatever still lives inside.
- The command is charged from its first instruction on: it is started by a shell that has moved into the
  group before it executes the command.
- A machine without a writable memory controller raises Unavailable, with the reason, and nothing else.

The page cache counts towards the limit too, but for the group that touched a page first: a file that
another process has just written costs this group nothing. Drop it from the cache first
(`os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)` after an fsync) where that matters.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

MOUNT = Path("/sys/fs/cgroup")
SAMPLE_S = 0.005  # the kernel keeps no peak of anonymous memory alone, so it is sampled


class Unavailable(Exception):  # noqa: N818 -- a fact about the machine, not an error
    """This machine lets us make no memory cgroup; the text says why."""


@dataclass(frozen=True)
class Outcome:
    """What became of the command; the peaks are bytes."""

    returncode: int  # negative: the signal that ended it; -9 with oom_kills > 0: over the limit
    stdout: str
    stderr: str
    peak_anonymous: int  # anonymous and shared memory, without the page cache of files; sampled
    peak_total: int  # with the page cache, as the kernel counted it
    oom_kills: int


@dataclass(frozen=True)
class _Group:
    path: Path
    version: int

    def number(self, v1: str, v2: str) -> int:
        return int((self.path / (v1 if self.version == 1 else v2)).read_text())

    def field(self, file: str, name: str) -> int:
        for line in (self.path / file).read_text().splitlines():
            key, _, value = line.partition(" ")
            if key == name:
                return int(value)
        return 0

    def anonymous(self) -> int:
        names = ("total_rss", "total_shmem") if self.version == 1 else ("anon", "shmem")
        return sum(self.field("memory.stat", name) for name in names)

    def shared(self) -> int:
        """Bytes of shared memory that its processes made and that still exist, even if they are dead."""
        return self.field("memory.stat", "total_shmem" if self.version == 1 else "shmem")

    def entering(self, command: Sequence[str | os.PathLike[str]]) -> list[str]:
        """Return a command that enters the group and then is `command`."""
        # `exec` keeps the pid, so the shell is gone when the command starts.
        enter = 'echo $$ > "$0" && exec "$@"'
        return ["/bin/sh", "-c", enter, str(self.path / "cgroup.procs"), *map(os.fspath, command)]

    def oom_kills(self) -> int:
        return self.field("memory.oom_control" if self.version == 1 else "memory.events", "oom_kill")

    def pids(self) -> list[int]:
        return [int(pid) for pid in (self.path / "cgroup.procs").read_text().split()]

    def peak_total(self) -> int:
        try:
            return self.number("memory.max_usage_in_bytes", "memory.peak")
        except FileNotFoundError:  # memory.peak came with Linux 5.19
            return 0


def check() -> None:
    """Raise Unavailable where `run_limited` would."""
    with _new_group(1 << 30):
        pass


def run_limited(
    command: Sequence[str | os.PathLike[str]],
    limit_bytes: int,
    *,
    timeout_s: float = 60.0,
    env: Mapping[str, str] | None = None,
    cwd: str | os.PathLike[str] | None = None,
) -> Outcome:
    """Run `command` inside a new group limited to `limit_bytes`, and wait for it.

    Past `timeout_s` everything in the group is killed and subprocess.TimeoutExpired raised.
    """
    with _new_group(limit_bytes) as group:
        ended = threading.Event()
        peak = [0]

        def sample() -> None:
            while True:
                peak[0] = max(peak[0], group.anonymous())
                if ended.wait(SAMPLE_S):
                    return

        sampler = threading.Thread(target=sample, name="cgroup sampler")
        process = subprocess.Popen(
            group.entering(command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=env,
            cwd=cwd,
        )
        sampler.start()
        try:
            stdout, stderr = process.communicate(timeout=timeout_s)
        except BaseException:
            _kill_all(group)
            process.kill()  # it may not have entered the group yet
            process.communicate()
            raise
        finally:
            ended.set()
            sampler.join()
        return Outcome(process.returncode, stdout, stderr, peak[0], group.peak_total(), group.oom_kills())


@contextlib.contextmanager
def counted() -> Iterator[_Group]:
    """Make a group without a limit, for a program whose memory is to be told from that of others."""
    with _new_group(1 << 50) as group:
        yield group


@contextlib.contextmanager
def _new_group(limit_bytes: int) -> Iterator[_Group]:
    parent, version = _parent()
    group = _Group(parent / f"outcore-test-{os.getpid()}-{time.time_ns()}", version)
    try:
        group.path.mkdir()
    except OSError as error:
        raise Unavailable(f"cannot make a group in {parent}: {error.strerror}") from error
    try:
        _limit(group, limit_bytes)
        yield group
    finally:
        _remove(group)


def _limit(group: _Group, limit_bytes: int) -> None:
    limit = "memory.limit_in_bytes" if group.version == 1 else "memory.max"
    # Without swap the limit is a limit; a kernel without swap accounting has no such file.
    swap, swap_value = ("memory.swappiness", "0") if group.version == 1 else ("memory.swap.max", "0")
    try:
        (group.path / limit).write_text(str(limit_bytes))
        if (group.path / swap).exists():
            (group.path / swap).write_text(swap_value)
    except OSError as error:
        raise Unavailable(f"cannot set a limit in {group.path}: {error.strerror}") from error


def _parent() -> tuple[Path, int]:
    """The group below which a new one can be made, and its version."""
    if not MOUNT.is_dir():
        raise Unavailable(f"{MOUNT} does not exist")
    own = {}
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, name = line.split(":", 2)
        own[controllers] = name.lstrip("/")
    candidates: list[tuple[Path, int]] = []
    for controllers, name in own.items():
        if "memory" in controllers.split(","):
            candidates += [(MOUNT / "memory" / name, 1), (MOUNT / "memory", 1)]
    # Version 2 hands the memory controller down only from groups without processes of their own, so
    # look upwards from ours; subtree_control is the machine's business and is not changed here.
    if "" in own:
        here = MOUNT / own[""]
        candidates += [(p, 2) for p in (here, *here.parents) if p.is_relative_to(MOUNT)]
    for path, version in candidates:
        handed_down = path / "cgroup.subtree_control"
        if version == 2 and not (handed_down.is_file() and "memory" in handed_down.read_text().split()):
            continue
        if path.is_dir() and os.access(path, os.W_OK):
            return path, version
    raise Unavailable(f"no memory controller that we may write to under {MOUNT}")


def _kill_all(group: _Group) -> None:
    for pid in group.pids():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _remove(group: _Group) -> None:
    deadline = time.monotonic() + 10
    while True:
        _kill_all(group)
        try:
            group.path.rmdir()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)  # a killed process leaves the group a moment later
