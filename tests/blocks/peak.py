"""What a call takes at most in this process: for scripts that tests run in a process of their own."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any


def taken() -> int:
    """Return the bytes of memory that belong to nobody else, or to shared memory."""
    with open("/proc/self/status") as lines:
        return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(("RssAnon", "RssShmem")))


def peak(call: Callable[[], Any]) -> tuple[Any, int]:
    """Return what `call` returns, and the most that it took at a time, looked at each millisecond."""
    base, ended, seen = taken(), threading.Event(), []

    def watch() -> None:
        while not ended.wait(0.001):
            seen.append(taken())

    watcher = threading.Thread(target=watch)
    watcher.start()
    result = call()
    seen.append(taken())
    ended.set()
    watcher.join()
    return result, max(seen) - base
