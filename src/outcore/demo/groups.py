"""A memory limit that the kernel enforces on one command: a control group of its own.

Reads from : /sys/fs/cgroup (version 1 or 2), /proc/self/cgroup
Hands to   : demo.children

Guarantees
- Nothing outside the new group is changed, and the group lies below our own, so no limit is escaped.
- The group is removed after the command, with whatever still lives in it.
- Where no group can be made, `find_limit` says why, and commands run without.

The page cache counts towards the limit, but for the group that touched a page first: drop a file from the
cache before it is read under the limit.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

MOUNT = Path("/sys/fs/cgroup")
#: How long killed processes may take to leave their group.
PATIENCE_S = 10.0


@dataclass(frozen=True)
class Limit:
    """How commands are limited.

    Attributes
    ----------
    nbytes : int
        What a command may use, page cache included.
    parent : Path or None
        The group below which new ones can be made; None if commands run without a limit.
    version : int
        Of the control groups.
    reason : str
        Why there is no limit.
    """

    nbytes: int
    parent: Path | None = None
    version: int = 2
    reason: str = ""

    @contextlib.contextmanager
    def group(self) -> Iterator[Group | None]:
        """Make a group for one command; remove it afterwards."""
        if self.parent is None:
            yield None
            return
        group = Group(self.parent / f"outcore-demo-{os.getpid()}-{time.monotonic_ns()}", self.version)
        group.path.mkdir()
        try:
            group.set_limit(self.nbytes)
            yield group
        finally:
            group.remove()


@dataclass(frozen=True)
class Group:
    """One control group."""

    path: Path
    version: int

    def enter(self, command: Sequence[str]) -> list[str]:
        """Return the command that moves itself into the group and then becomes `command`.

        So that its very first allocation is counted; a process that is moved later brings nothing along.
        """
        return ["/bin/sh", "-c", 'echo $$ > "$0" && exec "$@"', str(self.path / "cgroup.procs"), *command]

    def set_limit(self, nbytes: int) -> None:
        """Limit memory, and forbid swapping where the kernel counts it."""
        limit, swap = (
            ("memory.limit_in_bytes", "memory.swappiness")
            if self.version == 1
            else ("memory.max", "memory.swap.max")
        )
        (self.path / limit).write_text(str(nbytes))
        if (self.path / swap).exists():
            (self.path / swap).write_text("0")

    def anonymous_bytes(self) -> int:
        """Memory in use that is no file's page cache."""
        names = ("total_rss", "total_shmem") if self.version == 1 else ("anon", "shmem")
        return sum(self._field("memory.stat", name) for name in names)

    def out_of_memory(self) -> bool:
        """Whether the kernel killed something for exceeding the limit."""
        return self._field("memory.oom_control" if self.version == 1 else "memory.events", "oom_kill") > 0

    def _field(self, file: str, name: str) -> int:
        for line in (self.path / file).read_text().splitlines():
            key, _, value = line.partition(" ")
            if key == name:
                return int(value)
        return 0

    def remove(self) -> None:
        """Kill what still lives in the group and remove it."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            for pid in (self.path / "cgroup.procs").read_text().split():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
            try:
                self.path.rmdir()
                return
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.01)  # a killed process leaves the group a moment later


def find_limit(nbytes: int) -> Limit:
    """Find out whether commands can be limited here, by limiting one that does nothing."""
    reasons = []
    for parent, version in _parents():
        limit = Limit(nbytes, parent, version)
        try:
            _clear(parent)
            with limit.group() as group:
                assert group is not None
                # Version 2 may let us make groups and still refuse to move processes into them.
                subprocess.run(group.enter(["true"]), check=True, capture_output=True)
            return limit
        except OSError as error:
            reasons.append(f"{parent}: {error.strerror}")
        except subprocess.CalledProcessError:
            reasons.append(f"{parent}: no process may be moved there")
    return Limit(nbytes, reason=reasons[0] if reasons else f"no memory controller under {MOUNT}")


def _parents() -> list[tuple[Path, int]]:
    """List the groups below which a new one may be possible, ours first, with their versions."""
    own = {}
    membership = Path("/proc/self/cgroup")
    for line in membership.read_text().splitlines() if membership.exists() else ():
        _, controllers, name = line.split(":", 2)
        own[controllers] = name.lstrip("/")
    found: list[tuple[Path, int]] = []
    for controllers, name in own.items():
        if "memory" in controllers.split(","):
            # In a container the group may be mounted as the root, its own name missing below it.
            found += [(path, 1) for path in (MOUNT / "memory" / name, MOUNT / "memory") if path.is_dir()][:1]
    if "" in own:
        # Version 2 hands memory down only from groups without processes of their own, so look upwards.
        here = MOUNT / own[""]
        found += [
            (path, 2) for path in (here, *here.parents) if path.is_relative_to(MOUNT) and _hands_down(path)
        ]
    return found


def _hands_down(path: Path) -> bool:
    controllers = path / "cgroup.subtree_control"
    return controllers.is_file() and "memory" in controllers.read_text().split()


def _clear(parent: Path) -> None:
    """Remove the groups of earlier runs that were killed; a group in use cannot be removed."""
    for left in parent.glob("outcore-demo-*-*"):
        if not Path("/proc", left.name.split("-")[2]).exists():
            with contextlib.suppress(OSError):
                left.rmdir()
