"""Run a counted loop on a few threads that end with the call.

Hands to   : storage.gather, storage.copying, storage.chunked

A standing pool was rejected: in a forked child its threads are dead and its locks may be held.
Starting a thread takes some 50 microseconds, which the callers weigh against the work.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable


def run_threads(jobs: int, step: Callable[[int], object], threads: int) -> None:
    """Call ``step(0) ... step(jobs - 1)``, started in order, on `threads` threads; raise the first error.

    The calling thread works too, so one thread means no thread is started; where the system allows no more
    threads, fewer do the work. All have ended when this returns or raises, Ctrl-C included.
    """
    counter = itertools.count()
    errors: list[BaseException] = []

    def work() -> None:
        while not errors:
            job = next(counter)
            if job >= jobs:
                return
            try:
                step(job)
            except BaseException as error:
                errors.append(error)

    helpers: list[threading.Thread] = []
    try:
        for _ in range(min(threads, jobs) - 1):
            helper = threading.Thread(target=work, name="outcore-read")
            try:
                helper.start()
            except RuntimeError:  # "can't start new thread"
                break
            helpers.append(helper)
        work()
    except BaseException as error:  # Ctrl-C, between two jobs
        errors.append(error)
    for helper in helpers:
        while helper.is_alive():
            try:
                helper.join()
            except BaseException as error:
                errors.append(error)
    if errors:
        raise errors[0]
