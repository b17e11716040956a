"""The one thread of a worker: it ends the worker when its parent dies.

Hands to   : shared.family, shared.travel, executors.worker

Guarantees
- Only workers have it: processes that multiprocessing started, and ours. A program of its own never has.
- It sleeps in the kernel, and wakes when the parent ends, or now and then while something is to be done.

A worker whose parent was killed waits forever for work that nobody sends, and pins all the memory that it
shares. Asking the kernel for a signal at the parent's end (PR_SET_PDEATHSIG) was rejected: it is sent when
the *thread* that started the worker ends, which happens in healthy programs.
"""

from __future__ import annotations

import os
import select
import sys
import threading
import time
from collections.abc import Callable

from outcore.shared import identity

#: Environment variable: "stay" leaves workers alive when their parent dies.
SETTING = "OUTCORE_ORPHANS"
_CHORE_S = 0.1
_LOOK_S = 0.5
_START_S = 0.02
_SPAWNED = "--multiprocessing-fork"  # stands in the command by which multiprocessing spawns

_started = False
_wake_fd = -1
_chore: Callable[[], bool] | None = None
_busy = False  # whether the thread will look by itself


def accompany(*, forked: bool = False) -> None:
    """Start the thread in this process if multiprocessing started it, or as soon as it has.

    Parameters
    ----------
    forked : bool
        Whether this is a child at the moment of its fork: who its parent is, is not yet known then.
    """
    process = sys.modules.get("multiprocessing.process")
    util = sys.modules.get("multiprocessing.util")
    if process is None or util is None:
        return
    if not forked and (process.parent_process() is not None or _SPAWNED in sys.orig_argv):
        # A spawned process runs no after-fork functions (since Python 3.11.5), and learns who its parent is
        # after it has imported this: the thread waits for that.
        _start()
    else:
        # A child that is still being started; in the root this runs in the children that it forks.
        util.register_after_fork(_start, _call)


def follow(pid: int) -> None:
    """Start the thread in a worker that was started otherwise; `pid` is who started it."""
    _start(pid)


def _call(function: Callable[[], None]) -> None:
    function()


def _start(pid: int | None = None) -> None:
    global _started, _wake_fd
    # Asked for in the worker: the program may have changed it since the import. Windows has no poll, and its
    # workers no companion.
    if _started or os.environ.get(SETTING) == "stay" or not hasattr(select, "poll"):
        return
    _started = True
    _wake_fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK) if hasattr(os, "eventfd") else -1
    threading.Thread(target=_run, args=(os.getppid(), pid), name="outcore-companion", daemon=True).start()


def _run(above: int, followed: int | None) -> None:
    pid = _pid_of_parent() if followed is None else followed
    since = identity.started(pid)
    try:
        watched = os.pidfd_open(pid)
    except ProcessLookupError:
        os._exit(1)  # it died before we could look
    except (AttributeError, OSError):  # not Linux, or before 5.3
        watched = -1
        if since is None and identity.started(os.getpid()) is not None:
            os._exit(1)  # as above
    if since is not None and since > identity.own()[1]:
        os._exit(1)  # it died, and another process has its id
    events = select.poll()
    for fd in (watched, _wake_fd):
        if fd >= 0:
            events.register(fd, select.POLLIN)
    global _busy
    while True:
        patience_s = _CHORE_S if _busy else None if watched >= 0 else _LOOK_S
        ready = dict(events.poll(None if patience_s is None else patience_s * 1000))
        # A server of children ends with the parent too, so whoever is above this process tells, unless the
        # parent was dead before anybody asked who that is.
        gone = os.getppid() != above or identity.started(pid) != since if watched < 0 else watched in ready
        if gone:
            os._exit(1)  # nobody waits for what this process would still do, or say
        if _wake_fd in ready:
            os.eventfd_read(_wake_fd)
        # First, so that what is sent while the chore runs wakes this thread once more.
        _busy = False
        _busy = _chore is not None and _chore()


def _pid_of_parent() -> int:
    process = sys.modules["multiprocessing.process"]
    while (parent := process.parent_process()) is None:
        time.sleep(_START_S)
    pid: int = parent.pid
    return pid


def attend(chore: Callable[[], bool]) -> None:
    """Let the thread, where there is one, call `chore` every now and then as long as it returns True."""
    global _chore
    _chore = chore
    if _wake_fd >= 0 and not _busy:
        os.eventfd_write(_wake_fd, 1)


def forget() -> None:
    """Start anew in a forked child, which has inherited no thread."""
    global _started, _wake_fd, _chore, _busy
    if _wake_fd >= 0:
        os.close(_wake_fd)
    _started, _wake_fd, _chore, _busy = False, -1, None, False


def running() -> bool:
    """Whether this process has a companion."""
    return _started
