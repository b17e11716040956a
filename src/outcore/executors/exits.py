"""How processes ended.

Hands to   : executors.member, executors.foreign
"""

from __future__ import annotations

import signal
import time
from collections.abc import Mapping
from typing import Any

#: A pool notices the end of a worker before its exit status can be read.
_PATIENCE_S = 0.5


def how(status: int) -> str:
    """Say how a process ended, from its return code: "SIGKILL", "exit status 3"."""
    if status >= 0:
        return f"exit status {status}"
    try:
        return signal.Signals(-status).name
    except ValueError:  # a real-time signal
        return f"signal {-status}"


def how_they_ended(processes: Mapping[int, Any]) -> list[str]:
    """Say how those processes of a broken pool ended that were not ended by the pool itself.

    Parameters
    ----------
    processes : dict of multiprocessing.Process by pid
        Of other pools: anything; what has no exit code is left out.
    """
    deadline = time.monotonic() + _PATIENCE_S
    while time.monotonic() < deadline and any(_status(p) is None for p in processes.values()):
        time.sleep(0.01)
    ends = {pid: _status(process) for pid, process in processes.items()}
    # The pool ends the others by SIGTERM.
    return [
        f"process {pid}: {how(status)}"
        for pid, status in ends.items()
        if isinstance(status, int) and status not in (0, -signal.SIGTERM)
    ]


def _status(process: Any) -> Any:
    return getattr(process, "exitcode", 0)
