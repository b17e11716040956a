"""What tasks of an executor that we did not start share: kept for the next one, for a moment.

Hands to   : executors.errand

Guarantees
- Tasks of one pass that run in the same process, one after another or side by side, open their object once:
  files are opened once, buffers are used again.
- A newer object of the same runner takes the place of the older one before it is opened.
- What no task has used for a second is dropped: nobody tells a worker of somebody else's that a pass has
  ended.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from outcore.shared import travel

#: Longer than the caller takes to give out the next task, and short for memory that nobody needs.
KEEP_S = 1.0


@dataclass
class _Kept:
    number: int
    obj: Any
    users: int
    used: float


class Recent:
    """Objects by the name of their runner."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Begin anew, as in a forked child, which has inherited no thread."""
        self._lock = threading.RLock()
        self._kept: dict[str, _Kept] = {}
        self._sweeping = False

    def borrow(self, runner: str, number: int, open_it: Callable[[], Any]) -> Any:
        """Return the object with this number; opened if it is not there. To be followed by `give_back`."""
        with self._lock:
            kept = self._kept.get(runner)
            if kept is None or kept.number != number:
                self._kept.pop(runner, None)
                del kept
                kept = self._kept[runner] = _Kept(number, open_it(), 0, 0.0)
            kept.users += 1
            return kept.obj

    def give_back(self, runner: str, number: int) -> None:
        """Say that a task has ended."""
        with self._lock:
            kept = self._kept.get(runner)
            if kept is None or kept.number != number:
                return
            kept.users -= 1
            kept.used = time.monotonic()
            if not self._sweeping:
                self._sweeping = True
                threading.Thread(target=self._sweep, name="outcore-recent", daemon=True).start()

    def users(self, runner: str) -> int:
        """Count the tasks of a runner that run in this process."""
        with self._lock:
            kept = self._kept.get(runner)
            return kept.users if kept is not None else 0

    def drop(self, runner: str) -> None:
        """Drop what a runner had, if no task uses it."""
        with self._lock:
            if self.users(runner) == 0:
                self._kept.pop(runner, None)

    def _sweep(self) -> None:
        while True:
            time.sleep(KEEP_S / 4)
            travel.sweep()  # results that were received: not every worker has a companion that sees to it
            with self._lock:
                late = time.monotonic() - KEEP_S
                for runner in [r for r, kept in self._kept.items() if kept.users == 0 and kept.used < late]:
                    del self._kept[runner]
                if not self._kept:
                    self._sweeping = False
                    return


recent = Recent()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=recent.forget)
