"""One worker process, as the process that started it sees it.

Reads from : executors.worker, over a pipe
Hands to   : executors.processes

Guarantees
- Starting one works from a script without ``if __name__ == "__main__"``, a notebook, standard input, ``python
  -c``: the program's own file plays no part in it.
- How a worker ended is known exactly: its process is a child of this one, and only this object waits for it.
- Ctrl-C at the terminal reaches the worker at no moment, not while it starts either.

multiprocessing's own processes were rejected: they import the program's own file before they do anything,
which runs a script once more that was not written for that.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import subprocess
import sys
from multiprocessing import spawn
from multiprocessing.connection import Connection, Pipe
from typing import Any

from outcore.errors import PlatformError
from outcore.executors.exits import how
from outcore.executors.worker import CLEAR, END, READY, Order

#: One thread from the start: each worker would make as many as there are cores before it can be told not to.
_ONE_THREAD = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


class Member:
    """A worker process; started by `Member()`.

    Raises
    ------
    OSError
        The system allows no further process, or no descriptor.
    PlatformError
        Windows.
    """

    def __init__(self) -> None:
        if not hasattr(signal, "pthread_sigmask"):
            raise PlatformError(
                "worker processes of outcore need Linux or macOS.\n"
                "Use threads, executor=None, or executor=concurrent.futures.ProcessPoolExecutor()."
            )
        #: Whether it has said that it is there.
        self.ready = False
        #: Number of the object that it has at hand.
        self.placed: int | None = None
        here, there = Pipe()
        try:
            # A blocked signal stays blocked in the child, until it ignores it.
            before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
            try:
                self._process = subprocess.Popen(
                    _command(there.fileno()),
                    stdin=subprocess.DEVNULL,
                    pass_fds=[there.fileno()],
                    env={**os.environ, **dict.fromkeys(_ONE_THREAD, "1")},
                )
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, before)
        except BaseException:
            here.close()
            raise
        finally:
            there.close()
        self.connection: Connection = here
        #: Wakes whoever waits for it when the process ends; None where the system has no such thing.
        self.sentinel: int | None = None
        if hasattr(os, "pidfd_open"):
            with contextlib.suppress(OSError):  # Linux before 5.3
                self.sentinel = os.pidfd_open(self.pid)

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    @property
    def ended(self) -> bool:
        """Whether the process has ended."""
        return self._process.poll() is not None

    def send(self, order: Order) -> None:
        """Give it a task; a process that has ended is not noticed here."""
        with contextlib.suppress(ConnectionError):
            self.connection.send_bytes(pickle.dumps(order, protocol=5))

    def clear(self) -> None:
        """Have it drop what it has at hand: its last result, and what was placed."""
        self.placed = None
        with contextlib.suppress(OSError):
            self.connection.send_bytes(CLEAR)

    def receive(self) -> Any:
        """Return what it has sent; None for the sign that it is there.

        Raises
        ------
        EOFError
            It has ended.
        """
        try:
            data = self.connection.recv_bytes()
        except OSError as error:  # ended in the middle of sending
            raise EOFError from error
        if data == READY:
            self.ready = True
            return None
        return pickle.loads(data)

    def end(self) -> str:
        """Wait until it has ended; say how: "SIGKILL", "exit status 3"."""
        return how(self._process.wait())

    def dismiss(self) -> None:
        """Let it end once it has nothing to do."""
        # The end of the pipe alone does not reach it if some other child of this process has inherited it.
        with contextlib.suppress(OSError):
            self.connection.send_bytes(END)
        self.connection.close()

    def wait(self, timeout_s: float) -> bool:
        """Wait for its end; False if it did not end within the time."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(max(timeout_s, 0.0))
        return self.ended

    def terminate(self) -> None:
        """Ask it to end in the middle of its work."""
        self._process.terminate()

    def kill(self) -> None:
        """End it."""
        self._process.kill()

    def release(self) -> None:
        """Let go of what this process has of it; it has ended."""
        self.connection.close()
        if self.sentinel is not None:
            os.close(self.sentinel)
            self.sentinel = None


def _command(descriptor: int) -> list[str]:
    options = [f"-W{given}" for given in sys.warnoptions]
    options += [
        f"-X{name}" if value is True else f"-X{name}={value}" for name, value in sys._xoptions.items()
    ]
    options += ["-O"] * sys.flags.optimize
    # The path as it is now: programs change it, and this package itself may have been found by such a change.
    path = list(map(str, sys.path))
    program = (
        f"import sys; sys.path[:] = {path!a}; "
        f"from outcore.executors.worker import main; main({descriptor}, {os.getpid()})"
    )
    # multiprocessing knows where Python is if it was told so: a program that embeds it has to.
    return [os.fsdecode(spawn.get_executable()), *options, "-c", program]
