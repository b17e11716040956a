"""Handing an array from a child to its parent, and to workers: what it costs by size.

Against  : pickling, multiprocessing.shared_memory, joblib's memmapping
Targets  : the same time for 1 MB and 4 GB (largest / smallest < 2), a median below 3 ms, 1000 times faster
           than pickling at 1 GB; below 1 kB in the pipe; 1 GB used by five processes takes < 1.05 GB
Repeat   : .venv-bench/bin/python -m benchmarks handover

The child has filled the array before the clock starts. It stops when the parent has read the first and the
last value. The parent lets go of the array before the next turn, so nothing is mapped already.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from multiprocessing.connection import Connection
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import outcore as oc
from benchmarks.measure import Rates, Skip, interleave
from benchmarks.report import Report, Table, Target, beats, compare
from benchmarks.settings import Settings

MB = 1 << 20
OURS, PICKLE, SHM, JOBLIB = "outcore", "pickle", "shared_memory", "joblib memmapping"
#: Hand-overs in a turn; a turn of pickling is one.
MANY = 20
#: Pickled, an array is in memory three or four times: here, in the message, there, and in what is received.
PICKLE_AT_MOST = 1024 * MB
CHILDREN = 4


def run(settings: Settings) -> Report:
    """From a child to its parent, to a joblib worker, and what it takes in memory."""
    sizes = [MB, 16 * MB, 64 * MB] if settings.quick else [MB, 16 * MB, 256 * MB, 1024 * MB, 4096 * MB]
    report = Report("handing over an array")
    by_size = {size: _from_child(size, settings.many_repeats) for size in sizes}
    for size, rates in by_size.items():
        report.tables.append(compare(f"child to parent, {size // MB} MB", rates, OURS, size))
    times = {size: 1e3 / rates.median(OURS) for size, rates in by_size.items()}
    report.tables.append(_times(times))
    report.targets.append(
        Target("slowest size / fastest size", 2, max(times.values()) / min(times.values()), at_most=True)
    )
    report.targets.append(Target("median of the slowest size", 3, max(times.values()), " ms", at_most=True))
    largest = max(size for size in sizes if size <= PICKLE_AT_MOST)
    report.targets.append(
        beats(by_size[largest], OURS, PICKLE, 1000, f"× pickling, {largest // MB} MB, child to parent")
    )
    report.targets += _pipe(sizes)
    report.targets.append(_memory(sizes[-1] if settings.quick else 1024 * MB))
    size = 64 * MB if settings.quick else 1024 * MB
    report.tables.append(
        compare(f"argument of a joblib task, {size // MB} MB", _to_worker(size, settings.repeats), OURS, size)
    )
    return report


# ---- from a child to its parent ------------------------------------------------------------------


def _from_child(size: int, repeats: int) -> Rates:
    contenders = {
        name: partial(_turn, name, size, 1 if name == PICKLE else MANY) for name in (OURS, PICKLE, SHM)
    }
    if size > PICKLE_AT_MOST:
        contenders[PICKLE] = _too_much
    return interleave(contenders, min(repeats, 7), "hand-overs/s", warm_up=size == MB)


def _too_much(seed: int) -> float:
    raise Skip("would be in memory several times over; not tried")


def _turn(name: str, size: int, count: int, seed: int) -> float:
    with _child(_serve, name, size) as pipe:
        pipe.recv()  # ready: filled
        spent = []
        for _ in range(count + 1):
            pipe.send(True)
            sent_s, thing = pipe.recv()
            array, release = _open(name, thing)
            checked = array[0] + array[-1]
            spent.append(time.perf_counter() - sent_s)
            if checked != 3:
                raise RuntimeError(f"{name}: wrong values arrived")
            del array, thing
            release()
        pipe.send(False)
    kept = spent[1:] if count > 1 else spent  # the first one loads modules and opens sockets
    return len(kept) / sum(kept)


def _serve(pipe: Connection, name: str, size: int) -> None:
    array: NDArray[Any]
    memory = None
    if name == OURS:
        array = oc.shared_empty(size // 8)
    elif name == SHM:
        memory = SharedMemory(create=True, size=size)
        array = np.ndarray(size // 8, buffer=memory.buf)
    else:
        array = np.empty(size // 8)
    array[:] = 1
    array[-1] = 2
    pipe.send("ready")
    while pipe.recv():
        begin_s = time.perf_counter()  # the clock of the machine: the same in all processes
        thing = array if memory is None else {"name": memory.name, "shape": array.shape, "dtype": "f8"}
        pipe.send((begin_s, thing))
    del array
    if memory is not None:
        memory.close()
        memory.unlink()


def _open(name: str, thing: Any) -> tuple[NDArray[Any], Callable[[], None]]:
    if name != SHM:
        return thing, _nothing
    memory = SharedMemory(name=thing["name"])
    return np.ndarray(thing["shape"], thing["dtype"], buffer=memory.buf), memory.close


def _nothing() -> None:
    """Let go of nothing: the array was all there was."""


@contextmanager
def _child(target: Callable[..., None], *arguments: Any) -> Iterator[Connection]:
    context = multiprocessing.get_context("fork")  # the quickest to start; nothing of the start is timed
    ours, theirs = context.Pipe()
    child = context.Process(target=target, args=(theirs, *arguments))
    child.start()
    theirs.close()
    try:
        yield ours
        child.join()
    finally:
        child.kill()
        child.join()
        ours.close()


# ---- what travels, and what is kept --------------------------------------------------------------


def _pipe(sizes: list[int]) -> list[Target]:
    shared = oc.shared_empty(sizes[-1] // 8, reserve=False)
    structured = oc.shared_empty(10, "chr:S10 pos:i4 pct:f4 c:i4 t:i4")
    found = []
    for what, array in (
        (f"{sizes[-1] // MB} MB", shared),
        ("a slice of it", shared[7:9]),
        ("structured", structured),
    ):
        handle = pickle.dumps(array)
        pickle.loads(handle)  # received, so that nothing waits for it
        found.append(Target(f"in a pickle: {what}", 1000, len(handle), " bytes", at_most=True))
    return found + _executor(sizes[-1])


def _executor(size: int) -> list[Target]:
    """Count what an executor writes to its pipes for one argument and one result, its own words included."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("fork"), initializer=_count_writes) as pool:
        pool.submit(int).result()  # started
        given = oc.shared_empty(size // 8, reserve=False)
        with _counted() as written:
            pool.submit(len, given).result()
        pool.submit(_written_since).result()
        pool.submit(partial(oc.shared_empty, size // 8, reserve=False)).result()
        answered = pool.submit(_written_since).result()
    return [
        Target(f"in an executor's pipe: {size // MB} MB, {what}", 1000, count, " bytes", at_most=True)
        for what, count in (("argument", sum(written)), ("result", answered))
    ]


_writes: list[int] = []
_send = Connection._send


def _noting(self: Connection, data: Any, *rest: Any) -> None:
    _writes.append(len(data))
    _send(self, data, *rest)


def _count_writes() -> None:
    Connection._send = _noting


@contextmanager
def _counted() -> Iterator[list[int]]:
    _writes.clear()
    _count_writes()
    try:
        yield _writes
    finally:
        Connection._send = _send


def _written_since() -> int:
    """Return how much this worker has written since it was last asked; the answer itself counts later."""
    count = sum(_writes)
    _writes.clear()
    return count


def _memory(size: int) -> Target:
    """Add up what a parent and four children have of one array, all pages touched by all."""
    shared = oc.shared_empty(size // 8)
    shared[:] = 1
    with (
        _child(_touch, shared) as a,
        _child(_touch, shared) as b,
        _child(_touch, shared) as c,
        _child(_touch, shared) as d,
    ):
        pipes = (a, b, c, d)
        for pipe in pipes:
            pipe.send(shared)
        pids = [pipe.recv() for pipe in pipes]
        float(shared.sum())
        total = sum(_pss(pid) for pid in pids) + _pss(None)
        for pipe in pipes:
            pipe.send("done")
    return Target(
        f"PSS of a {size // MB} MB array in a parent and {CHILDREN} children, over its size",
        1.05, total / size, at_most=True,
    )  # fmt: skip


def _touch(pipe: Connection, shared: NDArray[Any]) -> None:
    received = pipe.recv()
    float(received.sum())
    pipe.send(os.getpid())
    pipe.recv()


def _pss(pid: int | None) -> int:
    total, ours = 0, False
    for line in Path(f"/proc/{pid or 'self'}/smaps").read_text().splitlines():
        if line[0] in "0123456789abcdef" and "-" in line.split()[0]:
            ours = "/memfd:outcore:" in line
        elif ours and line.startswith("Pss:"):
            total += int(line.split()[1]) * 1024
    return total


# ---- to a worker of joblib -----------------------------------------------------------------------


def _to_worker(size: int, repeats: int) -> Rates:
    try:
        import joblib
    except ImportError as error:
        raise Skip("joblib is not installed; use make bench") from error
    plain = np.ones(size // 8)
    shared = oc.share(plain)
    with joblib.Parallel(n_jobs=2) as parallel:
        contenders = {
            OURS: partial(_task, parallel, joblib.delayed(_ends), shared),
            JOBLIB: partial(_task, parallel, joblib.delayed(_ends), plain),
        }
        return interleave(contenders, repeats, "tasks/s", warm_up=True)


def _task(parallel: Any, delayed: Any, array: NDArray[Any], seed: int) -> float:
    if isinstance(array, oc.SharedArray):
        given: NDArray[Any] = array
    else:
        given = array.copy()  # joblib remembers what it has written out; a new array is what comes next
    begin_s = time.perf_counter()
    found = parallel([delayed(given)])
    spent = time.perf_counter() - begin_s
    if found != [2.0]:
        raise RuntimeError("wrong values arrived")
    return 1 / spent


def _ends(array: NDArray[Any]) -> float:
    return float(array[0] + array[-1])


def _times(times: dict[int, float]) -> Table:
    rows = [[f"{size // MB} MB", f"{ms:.3f}"] for size, ms in times.items()]
    return Table(
        "outcore, child to parent", ["", "ms"], rows, figures={"ms": {str(k): v for k, v in times.items()}}
    )
