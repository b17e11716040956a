"""Programs that share an array between a producer, a parent and a consumer, to be killed at some moment.

Reads from : tests.shared.observed
Hands to   : tests.shared.test_matrix

Each program is a function of (method, moment); at "before" and "attached" the producer, a child, makes the
array, and it travels to a consumer:

    Process    producer ── pipe ──▶ parent ── argument ──▶ consumer
    Queue      producer ── queue ─▶ consumer, and ── another queue ──▶ parent
    executors  producer ── result ▶ parent ── argument ──▶ consumer

At "mid-write" the parent makes it, and producer and consumer fill one half each, over and over.

What a role has seen of the array it reports as a checksum, or as the name of the error that it got.
"""

from __future__ import annotations

import multiprocessing
import zlib
from collections.abc import Callable
from concurrent.futures import Executor, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any

import numpy as np

import outcore as oc
from outcore.errors import OutcoreError
from tests.shared.observed import Gate, reach, repeat, tell

N_VALUES = 1 << 23
NBYTES = 8 * N_VALUES  # large enough to show in the memory of the whole machine

_kept: list[Any] = []  # what a worker of an executor keeps from one task to the next


def values() -> np.ndarray[Any, Any]:
    return np.arange(N_VALUES, dtype=np.int64)


def halves(whole: Any) -> tuple[Any, Any]:
    return whole[: N_VALUES // 2], whole[N_VALUES // 2 :]


def checksum(array: Any) -> int:
    return zlib.crc32(memoryview(np.asarray(array)).cast("B"))


def _seen(look: Callable[[], int]) -> dict[str, Any]:
    """Return what a role found, or how its program learnt that there is nothing to be found."""
    try:
        return {"checksum": look()}
    except (OutcoreError, BrokenProcessPool) as error:
        return {"error": type(error).__name__}


# ----------------------------------------------------------------------------------------- the roles
def produce(send: Callable[[Any], None]) -> None:
    made = oc.share(values())
    send(made)
    reach("producer", "attached")
    tell("producer", "end", checksum=checksum(made))


def produce_into_pipe(end: Any) -> None:
    produce(lambda made: end.send((Gate("parent", "before"), made)))


def produce_into_queues(to_consumer: Any, to_parent: Any) -> None:
    def send(made: Any) -> None:
        to_consumer.put((Gate("consumer", "before"), made))
        to_parent.put((Gate("parent", "before"), made))

    produce(send)


def produce_as_result() -> Any:
    made = oc.share(values())
    _kept.append(made)
    tell("producer", "attached")
    return Gate("parent", "before"), made


def look_again() -> None:
    """Look at what this worker produced in an earlier task."""
    tell("producer", "end", **_seen(lambda: checksum(_kept[0])))


def consume(gate: Gate | None, given: Any) -> None:
    if gate is not None:  # a fork pickles nothing
        reach(*gate.where)
    seen = _seen(lambda: checksum(given))
    reach("consumer", "attached", **seen)
    tell("consumer", "end", **_seen(lambda: checksum(given)))


def consume_from_queue(queue: Any) -> None:
    consume(*queue.get())


def fill(role: str, begin: int, end: int, part: Any) -> None:
    """Fill a part again and again until told to stop; at the end it is full."""

    def write() -> None:
        part[...] = 0
        part[...] = values()[begin:end]

    repeat(role, "mid-write", write)
    tell(role, "end", checksum=checksum(part))


def fill_from_queue(queue: Any) -> None:
    fill(*queue.get())


# -------------------------------------------------------------------------------------- the programs
def _writers(whole: Any) -> list[tuple[Any, ...]]:
    """Return the arguments of `fill` for each of those who fill a half."""
    middle = N_VALUES // 2
    first, second = halves(whole)
    return [("producer", 0, middle, first), ("consumer", middle, N_VALUES, second)]


def _end(array: Any, moment: str, failures: list[str], exits: list[int | None]) -> None:
    """Report what the parent has in the end."""
    if moment == "mid-write":
        first, second = map(checksum, halves(array))
        tell("parent", "end", first=first, second=second, failures=failures, exits=exits)
    else:
        tell("parent", "end", whole=checksum(array), failures=failures, exits=exits)


def _run_processes(first: Any, second: Any, array: Any, moment: str) -> None:
    reach("parent", moment if moment == "mid-write" else "attached")
    first.join()
    second.join()
    _end(array, moment, [], [first.exitcode, second.exitcode])


def by_process(method: str, moment: str) -> None:
    context: Any = multiprocessing.get_context(method)
    if moment == "mid-write":
        array = oc.shared_empty(N_VALUES, np.int64)
        first, second = (context.Process(target=fill, args=part) for part in _writers(array))
        first.start()
        second.start()
    else:
        near, far = context.Pipe(duplex=False)
        first = context.Process(target=produce_into_pipe, args=(far,))
        first.start()
        far.close()
        _, array = near.recv()
        second = context.Process(target=consume, args=(Gate("consumer", "before"), array))
        second.start()
        near.close()
    _run_processes(first, second, array, moment)


def by_queue(method: str, moment: str) -> None:
    context: Any = multiprocessing.get_context(method)
    one, other = context.Queue(), context.Queue()
    if moment == "mid-write":
        array = oc.shared_empty(N_VALUES, np.int64)
        children = [context.Process(target=fill_from_queue, args=(queue,)) for queue in (one, other)]
        for child, queue, part in zip(children, (one, other), _writers(array), strict=True):
            child.start()
            queue.put(part)
    else:
        children = [
            context.Process(target=produce_into_queues, args=(one, other)),
            context.Process(target=consume_from_queue, args=(one,)),
        ]
        for child in children:
            child.start()
        _, array = other.get()
    _run_processes(*children, array, moment)


def by_executor(method: str, moment: str) -> None:
    context = multiprocessing.get_context(method)
    _by_executors(lambda: ProcessPoolExecutor(1, context), moment)


def by_loky(method: str, moment: str) -> None:
    import loky

    _by_executors(lambda: loky.ProcessPoolExecutor(1), moment)


def _by_executors(make: Callable[[], Executor], moment: str) -> None:
    """Two executors of one worker each, so that each role has a process of its own."""
    failures = []
    with make() as one, make() as other:
        if moment == "mid-write":
            array = oc.shared_empty(N_VALUES, np.int64)
            first, second = _writers(array)
            tasks = [one.submit(fill, *first), other.submit(fill, *second)]
        else:
            _, array = one.submit(produce_as_result).result()
            tasks = [other.submit(consume, Gate("consumer", "before"), array)]
        reach("parent", moment if moment == "mid-write" else "attached")
        for task in tasks:
            failures.append(_failure(task.result))
        if moment != "mid-write":
            failures.append(_failure(lambda: one.submit(look_again).result()))
    _end(array, moment, [failure for failure in failures if failure], [])


def _failure(call: Callable[[], object]) -> str:
    try:
        call()
    except BrokenProcessPool as error:
        return type(error).__name__
    return ""


CHANNELS: dict[str, Callable[[str, str], None]] = {
    "Process": by_process,
    "Queue": by_queue,
    "ProcessPoolExecutor": by_executor,
    "loky": by_loky,
}


def run(method: str, channel: str, moment: str) -> None:
    """Be the parent."""
    CHANNELS[channel](method, moment)
