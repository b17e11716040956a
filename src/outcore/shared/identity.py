"""Which process this is: a process id, and when it started, since ids are used again.

Hands to   : shared.mailbox, shared.travel, shared.segment, shared.census
"""

from __future__ import annotations

import os
import sys

#: (pid, when it started): the same pair never names two processes, until the machine is started anew.
Identity = tuple[int, int]

_own: Identity = (0, 0)
_parent: tuple[int, Identity] = (0, (0, 0))  # and in which process that is so


def own() -> Identity:
    """Return the identity of this process."""
    global _own
    if _own[0] != os.getpid():  # a forked child inherits its parent's
        _own = (os.getpid(), started(os.getpid()) or 0)
    return _own


def started(pid: int) -> int | None:
    """Return when a process started, in ticks since the machine did; None if there is none."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as stat:
            fields = stat.read().rpartition(b")")[2].split()  # the name before may hold anything
    except OSError:
        return None
    return int(fields[19])


def parent() -> Identity | None:
    """Return the process whose child this is in the sense of multiprocessing; None if there is none."""
    # Whoever was started by multiprocessing has it imported; others need not pay for it.
    process = sys.modules.get("multiprocessing.process")
    found = None if process is None else process.parent_process()
    if found is None:
        return None
    global _parent
    if _parent[0] != os.getpid() or _parent[1][0] != found.pid:
        _parent = (os.getpid(), (found.pid, started(found.pid) or 0))
    return _parent[1] if _parent[1][1] else None


def is_alive(identity: Identity) -> bool:
    """Whether that very process still exists."""
    return started(identity[0]) == identity[1]
