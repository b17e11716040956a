"""What every runner promises, asked of each of them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import threadpoolctl

import outcore as oc
from outcore.errors import ExecutorError
from outcore.executors.choosing import choose
from outcore.executors.protocol import Runner
from tests.executors import tasks
from tests.executors.pools import EXECUTORS, OURS, collected, connected, everything, started


@pytest.fixture(scope="module", params=[*OURS, *EXECUTORS, "dask"])
def pool(request: pytest.FixtureRequest) -> Iterator[Any]:
    with started(request.param) as found:
        yield found


@pytest.fixture
def executor(pool: Any) -> Iterator[Any]:
    with connected(pool) as found:
        yield found


@pytest.fixture
def runner(executor: Any) -> Iterator[Runner]:
    with choose(executor, workers=2) as made:
        yield made


def blas_threads() -> list[int]:
    import scipy.linalg.blas

    assert scipy.linalg.blas
    return [lib["num_threads"] for lib in threadpoolctl.threadpool_info() if lib["user_api"] == "blas"]


def segments_of(nbytes: int) -> list[oc.SharedSegment]:
    """Segments of that size, after those who let go of them by themselves had the time to."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        found = [segment for segment in oc.segments() if segment.nbytes == nbytes]
        if not found:
            return []
        time.sleep(0.05)
    return found


def test_every_task_comes_back_once_under_its_number_and_what_is_placed_last_counts(runner: Runner) -> None:
    assert runner.n_workers == 2
    for start in (0.0, 5.0):
        placed = runner.place({"x": np.full(3, start)})
        for index in range(10):
            runner.submit(index, tasks.add, placed, index)
        found = {done.index: done for done in everything(runner, 10)}
        assert sorted(found) == list(range(10))
        assert [(d.index, d.error, d.value) for d in found.values() if d.value != 3 * start + d.index] == []
    assert runner.collect(0.0) is None


def test_errors_are_handed_back_and_the_others_go_on(runner: Runner) -> None:
    placed = runner.place({"x": np.zeros(3)})
    for index, kind in enumerate(["value", "pickles badly", "does not pickle", "exit", "none"]):
        runner.submit(index, tasks.fail, placed, kind)
    found = {done.index: done.error for done in everything(runner, 5)}
    assert isinstance(found[0], ValueError)
    assert str(found[0]) == "three is too many"
    assert isinstance(found[3], SystemExit)
    assert found[4] is None
    assert "here: because" in str(found[1])
    assert "holds a lock" in str(found[2])
    if runner.shares_memory:
        assert isinstance(found[1], tasks.TwoPartError)
    else:
        assert isinstance(found[1], ExecutorError)
        assert isinstance(found[2], ExecutorError)
        # The line that raised it, in the process in which it did.
        assert 'raise ValueError("three is too many")' in "\n".join(found[0].__notes__)
        assert "Raised in process" in found[0].__notes__[0]


def test_large_arrays_go_there_and_back_and_their_memory_is_given_up(executor: Any) -> None:
    n = 100_003
    with choose(executor) as runner:
        x = np.arange(float(n))
        placed = runner.place({"x": x, "name": "small"})
        for index in range(4):
            runner.submit(index, tasks.times, placed, float(index))
        for done in everything(runner, 4):
            assert done.error is None
            np.testing.assert_array_equal(done.value["product"], x * done.index)
            done.value["product"] += 1  # states are merged in place
        np.testing.assert_array_equal(x, np.arange(float(n)))
        del done
    del placed
    assert segments_of(8 * n) == []


def test_shared_arrays_and_arrays_on_disk_travel_by_address(runner: Runner, tmp_path: Path) -> None:
    with oc.create(tmp_path / "x.npy", (5, 2), "f8") as target:
        target[...] = np.arange(10.0).reshape(5, 2)
    shared = oc.share(np.arange(50_000.0))
    placed = runner.place({"disk": oc.open(tmp_path / "x.npy"), "shared": shared})
    runner.submit(0, tasks.item, placed, "disk")
    runner.submit(1, tasks.item, placed, "shared")
    found = {done.index: done.value for done in everything(runner, 2)}
    np.testing.assert_array_equal(found[0][3], [6.0, 7.0])
    np.testing.assert_array_equal(found[1], shared)
    if not runner.shares_memory:
        found[1][0] = 99.0  # the very memory
        assert shared[0] == 99.0


def test_close_leaves_no_task_running_or_waiting(executor: Any, tmp_path: Path) -> None:
    with choose(executor, workers=2) as runner:
        placed = runner.place({"folder": str(tmp_path)})
        for index in range(12):
            runner.submit(index, tasks.note, placed, index, 0.05)
        collected(runner)
    begun, ended = (sorted(p.stem for p in tmp_path.glob(f"*.{what}")) for what in ("begun", "ended"))
    assert begun == ended
    assert 1 <= len(begun) < 12
    time.sleep(0.15)
    assert len(list(tmp_path.iterdir())) == 2 * len(begun)
    runner.close()  # twice


def test_what_holds_in_a_task(executor: Any) -> None:
    before = blas_threads()
    with oc.options(memory="123MB", executor=executor, progress=True), choose(workers=2) as runner:
        placed = runner.place({"x": np.zeros(10)})
        for index in range(4):
            runner.submit(index, tasks.surroundings, placed)
        for done in everything(runner, 4):
            assert done.error is None
            found = done.value
            assert found["memory"] == "123MB"
            assert found["executor"] is None  # a task that waits for tasks of its own executor waits for ever
            assert found["nested"] == 1
            assert found["progress"] is False
            assert found["blas"]
            assert set(found["blas"]) == {1}
            assert found["writable"] is runner.shares_memory
    assert blas_threads() == before


def test_an_executor_of_the_user_stays_open(executor: Any) -> None:
    for _ in range(2):
        with choose(executor) as runner:
            placed = runner.place({"x": np.ones(2)})
            runner.submit(0, tasks.add, placed, 1)
            assert collected(runner).value == 3.0
    if not isinstance(executor, int | None):
        assert executor.submit(abs, -3).result() == 3


def test_nothing_is_collected_where_nothing_was_begun(runner: Runner) -> None:
    assert runner.collect(0.01) is None


def test_a_placed_object_that_cannot_be_loaded_fails_its_tasks_only(runner: Runner) -> None:
    if runner.shares_memory:
        pytest.skip("nothing is loaded")
    placed = runner.place(tasks.TwoPartError("here", "because"))
    runner.submit(0, tasks.item, placed, "x")
    assert isinstance(collected(runner).error, TypeError)
    placed = runner.place({"x": 5})
    runner.submit(1, tasks.item, placed, "x")
    assert collected(runner).value == 5
