"""What becomes of a task in another process: a parcel with its result, or the error, ready to travel.

Reads from : executors.parcel
Hands to   : executors.worker, executors.errand; executors.processes and executors.foreign, which open it

Guarantees
- Nothing that a task returns or raises can break the executor that carries it: an error that pickles badly
  arrives as an `ExecutorError` with its text.
- An error that arrives has the worker's traceback, process and machine as a note.
"""

from __future__ import annotations

import os
import pickle
import platform
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from outcore.errors import ExecutorError
from outcore.executors.parcel import Parcel, pack
from outcore.executors.pickling import dumps


@dataclass(frozen=True)
class Failure:
    """An error on its way.

    Attributes
    ----------
    data : bytes or None
        Its pickle; None if it has none that can be loaded.
    summary : str
        Its class and text.
    trace : str
        The worker's traceback.
    where : str
        Process and machine.
    """

    data: bytes | None
    summary: str
    trace: str
    where: str

    @classmethod
    def of(cls, error: BaseException) -> Failure:
        """Make what travels of an error that was caught."""
        trace = "".join(traceback.format_exception(error))
        summary = "".join(traceback.format_exception_only(error)).strip()
        where = f"process {os.getpid()} on {platform.node() or 'this machine'}"
        data: bytes | None
        try:
            data = dumps(error)
            # An __init__ with other arguments than `args` fails only here.
            data = data if type(pickle.loads(data)) is type(error) else None
        except Exception:  # whatever the class does when it is pickled
            data = None
        return cls(data, summary, trace, where)

    def error(self) -> BaseException:
        """Return the error, to be raised here."""
        found: BaseException
        try:
            if self.data is None:
                raise pickle.UnpicklingError
            found = pickle.loads(self.data)
        except Exception:  # whatever the class does when it is loaded, where it may not even be known
            found = ExecutorError(
                f"a task raised {self.summary}\n"
                "The error itself cannot travel between processes; use threads, executor=None, to catch it."
            )
        found.add_note(f"Raised in {self.where}:\n{self.trace.rstrip()}")
        return found


def perform(
    function: Callable[..., Any], placed: Any, small: tuple[Any, ...], *, share: bool
) -> Parcel | Failure:
    """Run a task; return what is to be sent back.

    Parameters
    ----------
    share : bool
        Whether the receiver is on this machine.
    """
    try:
        return pack(function(placed, *small), share=share)
    except BaseException as error:  # SystemExit too: it is the task that ends, not the worker
        return Failure.of(error)
