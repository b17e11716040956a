"""Arrays in other processes: sent, inherited, written to, killed."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import outcore as oc
from outcore.storage import gather
from outcore.testing import assert_same, example

METHODS = [
    method for method in ("spawn", "forkserver", "fork") if method in multiprocessing.get_all_start_methods()
]
NAMES = ["y.npy", "y.bin"]
TIMEOUT_S = 60


@pytest.fixture
def array(tmp_path: Path) -> Iterator[oc.Array]:
    np.save(tmp_path / "x.npy", example((1000, 5), "f8"))
    with oc.open(tmp_path / "x.npy") as opened:
        opened[0]
        yield opened


# ---- what runs in the other processes -------------------------------------------------------------


def total(array: oc.Array, rows: slice) -> float:
    return float(array[rows].sum())


def answer(given: Any, questions: Any, answers: Any) -> None:
    """Read from an array that came as an argument, and from those that come through a queue."""
    answers.put(total(given, slice(None)))
    while (array := questions.get()) is not None:
        answers.put(array)
        answers.put(total(array, slice(None)))


def fill(array: oc.Array, low: int, high: int) -> int:
    for row in range(low, high, 10):
        array[row : row + 10] = np.arange(row, row + 10)[:, None]
    array.flush()
    return os.getpid()


def pid_and_first(array: oc.Array) -> tuple[int, float]:
    return os.getpid(), array[0, 1]


# ---- sent -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_arguments_and_queues_of_multiprocessing(array: oc.Array, method: str) -> None:
    context = multiprocessing.get_context(method)
    questions, answers = context.Queue(), context.Queue()
    child = context.Process(target=answer, args=(array, questions, answers))
    child.start()
    try:
        assert answers.get(timeout=TIMEOUT_S) == array[:].sum()
        questions.put(array)
        back = answers.get(timeout=TIMEOUT_S)
        assert answers.get(timeout=TIMEOUT_S) == array[:].sum()
        questions.put(None)
        assert_same(back[5:9], array[5:9])
        back.close()
    finally:
        child.join(TIMEOUT_S)
        child.kill()
        child.join()
        for queue in (questions, answers):
            queue.close()
            queue.join_thread()
    assert child.exitcode == 0
    child.close()


def loky_pool() -> Executor:
    loky = pytest.importorskip("loky")
    return loky.ProcessPoolExecutor(1)  # type: ignore[no-any-return]


POOLS: dict[str, Callable[[], Executor]] = {
    "spawn": lambda: ProcessPoolExecutor(1, multiprocessing.get_context("spawn")),
    "fork": lambda: ProcessPoolExecutor(1, multiprocessing.get_context("fork")),
    "loky": loky_pool,
}


@pytest.mark.parametrize("pool", POOLS)
def test_pools_read_and_write_by_the_handle(tmp_path: Path, array: oc.Array, pool: str) -> None:
    np.save(tmp_path / "s.npy", example((20,), [("a", "i4"), ("b", "f8")]))
    with POOLS[pool]() as executor:
        pid, value = executor.submit(pid_and_first, array).result(TIMEOUT_S)
        assert pid != os.getpid()
        assert value == array[0, 1]
        field = executor.submit(total, oc.open(tmp_path / "s.npy")["b"], slice(3, 9))
        assert field.result(TIMEOUT_S) == sum(range(3, 9))
        # An error of the array comes back whole, and the pool lives on.
        stale = oc.open(tmp_path / "s.npy")
        (tmp_path / "s.npy").unlink()
        with pytest.raises(oc.errors.NotFoundError, match=r"s\.npy"):
            executor.submit(total, stale, slice(3, 9)).result(TIMEOUT_S)
        assert executor.submit(total, array, slice(None)).result(TIMEOUT_S) == array[:].sum()


# ---- inherited ------------------------------------------------------------------------------------


def in_children(n: int, work: Callable[[], bool]) -> list[int]:
    """Run ``work()`` in forked children at once; their exit codes, 0 for true."""
    children = []
    for _ in range(n):
        child = os.fork()
        if child == 0:
            good = False
            try:
                good = work()
            finally:
                os._exit(0 if good else 1)
        children.append(child)
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]


@pytest.mark.parametrize("way", ["hot", "cold"])
def test_forked_children_read_while_threads_of_the_parent_read(
    tmp_path: Path, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gather, "_is_hot", lambda *given: way == "hot")
    monkeypatch.setattr(gather, "SMALL_BYTES", 1000)  # so that every read starts threads
    rows = example((5000, 40), "f8")
    np.save(tmp_path / "x.npy", rows)
    opened, wanted = oc.open(tmp_path / "x.npy"), np.random.default_rng(0).permutation(5000)
    stop, wrong = threading.Event(), []

    def read() -> None:
        while not stop.is_set():
            if not np.array_equal(opened.take(wanted), rows[wanted]):
                wrong.append(1)

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    try:
        for _ in range(5):
            assert in_children(2, lambda: np.array_equal(opened.take(wanted), rows[wanted])) == [0, 0]
    finally:
        stop.set()
        for reader in readers:
            reader.join()
        opened.close()
    assert wrong == []


def test_a_forked_child_that_closes_leaves_the_parents_array_open(array: oc.Array) -> None:
    assert in_children(1, lambda: array.close() is None) == [0]
    assert array[999].tolist() == example((1000, 5), "f8")[999].tolist()


# ---- written --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("method", ["spawn", "fork"])
def test_processes_write_disjoint_rows_of_one_created_file(tmp_path: Path, name: str, method: str) -> None:
    context = multiprocessing.get_context(method)
    with oc.create(tmp_path / name, (4000, 3), "i4") as made:
        made[0] = -1
        with ProcessPoolExecutor(2, context) as executor:
            parts = [executor.submit(fill, made, low, low + 500) for low in range(0, 4000, 500)]
            pids = {part.result(TIMEOUT_S) for part in parts}
        assert os.getpid() not in pids
        assert not (tmp_path / name).exists()
    assert_same(made[:], np.repeat(np.arange(4000, dtype="i4"), 3).reshape(4000, 3))


def test_forked_children_write_through_the_array_that_they_inherit(tmp_path: Path) -> None:
    with oc.create(tmp_path / "y.npy", (400, 3), "i4") as made:
        for low in range(0, 400, 100):
            assert in_children(1, lambda low=low: bool(fill(made, low, low + 100))) == [0]
    assert np.load(tmp_path / "y.npy")[:, 0].tolist() == list(range(400))


def test_a_child_that_ends_inside_the_block_neither_finishes_nor_removes_the_file(tmp_path: Path) -> None:
    code = """if True:
        import os, sys, outcore as oc
        with oc.create("y.npy", 10) as made:
            child = os.fork()
            if child == 0:
                made[:5] = 1
                sys.exit(0)  # leaves the block by SystemExit, and the interpreter by all its handlers
            os.waitpid(child, 0)
            assert not os.path.exists("y.npy")
            made[5:] = 2
    """
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, timeout=TIMEOUT_S)
    assert np.load(tmp_path / "y.npy").tolist() == [1] * 5 + [2] * 5
    assert os.listdir(tmp_path) == ["y.npy"]


def test_a_handle_that_arrives_after_the_file_was_finished_says_that_it_is_gone(tmp_path: Path) -> None:
    with oc.create(tmp_path / "y.npy", 10) as made:
        sent = pickle.dumps(made)
    with pytest.raises(oc.errors.NotFoundError):
        pickle.loads(sent)[0]
    assert pickle.loads(pickle.dumps(made))[:].tolist() == [0] * 10


# ---- killed, and two at once ----------------------------------------------------------------------

WRITE = """if True:
    import sys
    import numpy as np
    import outcore as oc
    with oc.create(sys.argv[1], (int(sys.argv[2]) or None, 3), overwrite=True) as made:
        if int(sys.argv[2]):
            made[:10] = 1
        else:
            made.append(np.ones((10, 3)))
        print("begun", flush=True)
        sys.stdin.read()
"""


@pytest.fixture(params=[("y.npy", 20), ("y.npy", 0), ("y.bin", 20)], ids=str)
def writer(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Path, subprocess.Popen[str]]]:
    """Another process in the middle of writing a target."""
    name, n_rows = request.param
    target = tmp_path / name
    process = subprocess.Popen(
        [sys.executable, "-c", WRITE, target, str(n_rows)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    yield target, process
    process.kill()
    process.communicate()


def test_a_killed_writer_leaves_no_file_and_does_not_stop_the_next(
    writer: tuple[Path, subprocess.Popen[str]],
) -> None:
    target, process = writer
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert not target.exists()
    with oc.create(target, (5, 3)) as made:
        made[:] = 2
    assert os.listdir(target.parent) == [target.name]
    assert_same(made[:], np.full((5, 3), 2.0))


def test_a_killed_writer_keeps_the_old_file(writer: tuple[Path, subprocess.Popen[str]]) -> None:
    target, process = writer
    target.write_bytes(b"old")
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert target.read_bytes() == b"old"


def test_a_second_process_that_writes_the_same_target_is_refused(
    writer: tuple[Path, subprocess.Popen[str]],
) -> None:
    target, process = writer
    with pytest.raises(oc.errors.WriterConflictError, match="written by somebody else"):
        oc.create(target, (5, 3), overwrite=True)
    process.communicate("")
    assert process.returncode == 0
    assert os.listdir(target.parent) == [target.name]
    opened = (
        oc.open(target, dtype="f8", shape=(-1, 3))[:10] if target.suffix == ".bin" else oc.open(target)[:10]
    )
    assert_same(opened, np.ones((10, 3)))
