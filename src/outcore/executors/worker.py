"""The main loop of a worker process.

Reads from : a pipe to the process that started it (executors.member)
Hands to   : executors.member

Guarantees
- BLAS at one thread; the options of the caller; Ctrl-C is the caller's business.
- Ends when the pipe ends, and at once when the process that started it is killed.
- The program's own file is not imported, unless a name from it is met that pickle could not send by value.
- Standard output and error are those of the caller.
"""

from __future__ import annotations

import io
import os
import pickle
import signal
import sys
from dataclasses import dataclass
from multiprocessing import spawn
from multiprocessing.connection import Connection
from typing import Any

from outcore.errors import ExecutorError
from outcore.executors.blas_threads import one_blas_thread
from outcore.executors.outcome import Failure, perform
from outcore.executors.parcel import Parcel
from outcore.settings import Settings, adopt
from outcore.shared import companion

#: What is no order, and no answer.
READY, CLEAR, END = b"ready", b"clear", b"end"


@dataclass(frozen=True)
class Order:
    """One task.

    Attributes
    ----------
    index : int
    task : bytes
        Pickle of the function and its small arguments.
    parcel : Parcel or None
        What is placed, if that is not what was sent before.
    settings : Settings
        Options in force.
    main : dict
        Where the program's own file is, as multiprocessing says it.
    """

    index: int
    task: bytes
    parcel: Parcel | None
    settings: Settings
    main: dict[str, Any]


class Desk:
    """What a worker has at hand: the object that is placed, and its last result."""

    def __init__(self) -> None:
        self._placed: Any = None
        self._broken: Failure | None = None
        #: Whoever is sent the address of a result finds it here until the next order.
        self.kept: Parcel | Failure | None = None

    def carry_out(self, order: Order) -> Parcel | Failure:
        """Run a task; return what is to be sent back."""
        self.kept = None
        adopt(order.settings)
        _main.facts = order.main
        if order.parcel is not None:
            self._open(order.parcel)
        if self._broken is not None:
            return self._broken
        try:
            function, small = _Unpickler(io.BytesIO(order.task)).load()
        except BaseException as error:  # whatever importing a module of the user raises
            return Failure.of(error)
        self.kept = perform(function, self._placed, small, share=True)
        return self.kept.by_address() if isinstance(self.kept, Parcel) else self.kept

    def clear(self) -> None:
        """Drop everything."""
        self._placed = self._broken = self.kept = None

    def _open(self, parcel: Parcel) -> None:
        self.clear()  # first: both may not fit side by side
        try:
            self._placed = parcel.open(writable=False, unpickler=_Unpickler)
        except BaseException as error:  # also the SystemExit of a script that is imported for a name in it
            self._broken = Failure.of(error)


def main(descriptor: int, parent: int) -> None:
    """Work until the pipe ends.

    Parameters
    ----------
    descriptor : int
        Of the pipe.
    parent : int
        Process that started this one.
    """
    # Blocked by the parent until here, so that none comes while Python starts.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    companion.follow(parent)
    desk = Desk()
    with Connection(descriptor) as connection, one_blas_thread():
        try:
            connection.send_bytes(READY)
            while True:
                data = connection.recv_bytes()
                if data == END:
                    return
                if data == CLEAR:
                    desk.clear()
                    continue
                order: Order = pickle.loads(data)
                answer = (order.index, desk.carry_out(order))
                connection.send_bytes(pickle.dumps(answer, protocol=5))
                del data, order, answer
        except (EOFError, ConnectionError):  # the pass has ended
            return


class _Main:
    """The program's own file, imported at most once."""

    def __init__(self) -> None:
        self.facts: dict[str, Any] = {}
        self._imported = False
        self.importing = False

    def bring(self) -> None:
        """Import it under the name that multiprocessing gives it, so that `__main__` is it."""
        if self._imported:
            return
        self.importing = True
        try:
            spawn.prepare(self.facts)
        finally:
            self.importing = False
        self._imported = True


_main = _Main()


def main_file() -> dict[str, Any]:
    """Return where the program's own file is, in the words of `multiprocessing.spawn.prepare`."""
    # Not by get_preparation_data: that settles the start method of the whole program.
    module = sys.modules["__main__"]
    name = getattr(getattr(module, "__spec__", None), "name", None)
    path = getattr(module, "__file__", None)
    if name is not None:
        return {"init_main_from_name": name}
    # Standard input has a name as well.
    return {"init_main_from_path": os.path.abspath(path)} if path and os.path.isfile(path) else {}


def check_not_importing_main() -> None:
    """Refuse to start workers from the program's own file while a worker imports it.

    Raises
    ------
    ExecutorError
        This is a worker that does so.
    """
    if _main.importing:
        raise ExecutorError(
            "worker processes need a function or class that this script defines, and importing the script"
            " starts workers again.\n"
            'Put what the script does under  if __name__ == "__main__":  or pip install cloudpickle.'
        )


class _Unpickler(pickle.Unpickler):
    """Imports the program's own file when a name from it is met."""

    def find_class(self, module: str, name: str, /) -> Any:
        if module != "__main__":
            return super().find_class(module, name)
        if not hasattr(sys.modules["__main__"], name.split(".")[0]):
            _main.bring()
        try:
            return super().find_class(module, name)
        except AttributeError as error:
            raise ExecutorError(
                f"{name} is defined in a notebook or an interactive session, where workers cannot find it.\n"
                "Move it into a module that can be imported, or let it travel by value:"
                " pip install cloudpickle."
            ) from error
