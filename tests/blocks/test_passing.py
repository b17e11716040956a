"""The pass itself: groups in order and few at a time, both ways to share the work, errors, Ctrl-C."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

import outcore as oc
from outcore.blocks import partition, planning
from outcore.blocks.partition import Partition
from outcore.blocks.reducing import session
from outcore.errors import WorkerDiedError
from tests.blocks.samples import Blocks, ColumnSums, Doing, Flights, Slow, SplitSums, double, listing


@pytest.fixture(scope="module", autouse=True)
def _groups_of_8192_rows() -> Iterator[None]:
    """Fix which rows are worked on together: these tests are about what is done with them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(planning, "divide", lambda n_rows, row_bytes, cost: Partition(n_rows, 8192, 8192))
        yield


ROOT = Path(__file__).parents[2]
GROUP = partition.MIN_GROUP_ROWS
N = 5 * GROUP + 7


def numbers(*shape: int) -> NDArray[np.float64]:
    return np.random.default_rng(0).normal(size=shape)


# ---- few at a time, in order -----------------------------------------------------------------------


@pytest.mark.parametrize(("state_bytes", "most"), [(0, 4), (2 << 20, 2)])
def test_a_slow_first_group_does_not_let_states_pile_up(state_bytes: int, most: int) -> None:
    flights = Flights()
    slow = Slow(flights, lambda start: 0.5 if start == 0 else 0.0, state_bytes)
    x = np.zeros((30 * GROUP, 1))
    plan = oc.plan(oc.reduce_rows, x, slow, workers=2)
    assert plan.n_groups == 30
    assert oc.reduce_rows(x, slow, workers=2) == len(x)
    # `most` may be on their way, and were behind the slow one; the state that all are merged into was the
    # first one's.
    assert most <= flights.most <= most + 1
    assert f"{most + 1} states" in plan.parts


@given(st.lists(st.sampled_from([0.0, 0.002]), min_size=6, max_size=6), st.integers(1, 4))
def test_groups_are_merged_in_order_whichever_ends_first(delays: list[float], workers: int) -> None:
    slow = Doing(lambda block: time.sleep(delays[block.start // GROUP]))
    _, blocks = oc.reduce_rows(np.zeros((N, 1)), [slow, Blocks()], workers=workers)
    assert blocks == [(start, min(GROUP, N - start)) for start in range(0, N, GROUP)]


def test_only_as_many_tasks_as_workers_run() -> None:
    running = Flights()

    def action(block: Any) -> None:
        running.begin()
        time.sleep(0.002)
        running.end()

    oc.reduce_rows(np.zeros((N, 1)), Doing(action), workers=3)
    assert running.most <= 3


# ---- by rows and by parts --------------------------------------------------------------------------

PART = 4_000_000


def places(a: NDArray[Any], folder: Path) -> dict[str, Any]:
    np.save(folder / "a.npy", a)
    np.save(folder / "a4.npy", a.astype("f4"))
    np.save(folder / "w.npy", np.abs(a[:, :2]).astype("f4"))
    record = np.zeros(len(a), [("p", "u1"), ("x", "f8", a.shape[1:])])
    record["x"] = a
    np.save(folder / "r.npy", record)
    oc.convert(a, f"{folder}/a.h5::/a", chunks=(1000, a.shape[1]), compression="gzip", compression_opts=1)
    return {
        "memory": a,
        "float32": a.astype("f4"),
        "fortran": np.asfortranarray(a),
        "npy": folder / "a.npy",
        "npy float32": folder / "a4.npy",
        "field": oc.open(folder / "r.npy")["x"],
        "chunks": f"{folder}/a.h5::/a",
    }


@pytest.mark.parametrize("weights", [None, "memory", "npy"])
@pytest.mark.parametrize("place", ["memory", "float32", "fortran", "npy", "npy float32", "field", "chunks"])
def test_both_ways_give_the_same_bits(tmp_path: Path, place: str, weights: str | None) -> None:
    a = numbers(2 * GROUP + 7, 3)
    x = places(a, tmp_path)[place]
    w = {None: None, "npy": str(tmp_path / "w.npy"), "memory": np.abs(a[:, :2]).astype("f4")}[weights]
    statistics = [SplitSums(3, 2 * PART), ColumnSums(), Blocks()]
    results = []
    for memory, mode in (("1GB", "rows"), ("50MB", "parts")):
        for workers in (1, 3):
            plan = oc.plan(oc.reduce_rows, x, statistics, weights=w, memory=memory, workers=workers)
            if memory == "1GB" or plan.mode == "rows":
                assert plan.mode == "rows"
            else:
                assert plan.mode == mode
            assert plan.block_rows == oc.plan(oc.reduce_rows, x, statistics, weights=w).block_rows
            results.append(oc.reduce_rows(x, statistics, weights=w, memory=memory, workers=workers))
    assert plan.mode == "parts"  # the last one
    split, sums, blocks = results[0]
    for other in results[1:]:
        assert all(np.array_equal(one, two) for one, two in zip(split, other[0], strict=True))
        assert np.array_equal(sums, other[1])
        assert blocks == other[2]
    plain = a.astype("f4").astype("f8") if "32" in place else a
    first = np.ones(len(a)) if weights is None else np.abs(a[:, 0]).astype("f4")
    assert np.allclose(split[0], (plain * plain.sum(axis=1, keepdims=True) * first[:, None]).sum(axis=0))


def test_parts_are_shared_out_among_the_workers() -> None:
    seen: set[str] = set()

    class Watching(SplitSums):
        def update_part(self, part: int, state: Any, block: Any, table: Any) -> Any:
            seen.add(threading.current_thread().name)
            time.sleep(0.002)
            return super().update_part(part, state, block, table)

    x = numbers(GROUP + 7, 3)
    assert oc.plan(oc.reduce_rows, x, Watching(10, PART), memory="60MB", workers=3).mode == "parts"
    oc.reduce_rows(x, Watching(10, PART), memory="60MB", workers=3)
    assert len(seen) == 3


def test_progress_by_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("outcore.progress.REFRESH_S", 0.0)
    x = numbers(2 * GROUP + 7, 3)
    seen: list[int] = []
    oc.reduce_rows(x, SplitSums(10, PART), memory="60MB", progress=lambda done, total: seen.append(done))
    assert seen == [GROUP * 24, 2 * GROUP * 24, x.nbytes]


# ---- errors ----------------------------------------------------------------------------------------


class Failing(SplitSums):
    """Fails in one method, at the rows of the second group."""

    def __init__(self, method: str, part_bytes: int = 0) -> None:
        super().__init__(3, part_bytes)
        self.method = method

    def _fail(self, method: str, start: int) -> None:
        if method == self.method and start >= GROUP:
            raise ZeroDivisionError(method)

    def tabulate(self, block: Any, table: Any) -> None:
        self._fail("tabulate", block.start)
        super().tabulate(block, table)

    def update_part(self, part: int, state: Any, block: Any, table: Any) -> Any:
        self._fail("update_part", block.start)
        return super().update_part(part, state, block, table)

    def merge_part(self, part: int, state: Any, other: Any) -> Any:
        self._fail("merge_part", GROUP)
        return super().merge_part(part, state, other)

    def finalize(self, state: Any) -> Any:
        self._fail("finalize", GROUP)
        return super().finalize(state)


@pytest.mark.parametrize("part_bytes", [0, PART])
@pytest.mark.parametrize("method", ["tabulate", "update_part", "merge_part", "finalize"])
def test_whatever_raises(method: str, part_bytes: int) -> None:
    x = numbers(3 * GROUP, 3)
    failing = Failing(method, part_bytes)
    assert oc.plan(oc.reduce_rows, x, failing, memory="25MB", workers=2).mode == (
        "parts" if part_bytes else "rows"
    )
    with pytest.raises(ZeroDivisionError, match=method) as caught:
        oc.reduce_rows(x, failing, memory="25MB", workers=2)
    notes = getattr(caught.value, "__notes__", [])
    rows = [f"while working on rows {GROUP} to {2 * GROUP - 1} of X"]
    assert notes == (rows if method in ("tabulate", "update_part") else [])


def test_zero_raises() -> None:
    class Nothing(Blocks):
        def cost(self, rows: Any, block_rows: int) -> Any:
            return oc.Statistic.cost(Blocks(), rows, block_rows)

        def zero(self) -> Any:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        oc.reduce_rows(numbers(10, 3), Nothing())


def test_errors_of_ours_are_not_explained_twice() -> None:
    def refuse(block: Any) -> None:
        raise oc.errors.NonFiniteError("X holds NaN in row 5")

    with pytest.raises(oc.errors.NonFiniteError) as caught:
        oc.reduce_rows(numbers(10, 3), Doing(refuse))
    assert not hasattr(caught.value, "__notes__")


def test_the_rows_of_a_file_are_named_with_it(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", numbers(10, 3))
    with pytest.raises(ZeroDivisionError) as caught:
        oc.reduce_rows(tmp_path / "x.npy", Doing(lambda block: 1 // 0))
    assert caught.value.__notes__ == [f"while working on rows 0 to 9 of {tmp_path / 'x.npy'}"]


def test_a_file_that_is_cut_is_an_error(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", numbers(N, 3))
    x = oc.open(tmp_path / "x.npy")
    size = (tmp_path / "x.npy").stat().st_size

    def cut(block: Any) -> None:
        os.truncate(tmp_path / "x.npy", size // 2)

    with pytest.raises(oc.errors.StaleArrayError, match=r"x\.npy"):
        oc.reduce_rows(x, Doing(cut))


def test_states_do_not_outlive_the_error() -> None:
    states: list[weakref.ref[Any]] = []

    class Arrays(Blocks):
        def zero(self) -> Any:
            state = np.zeros(10)
            states.append(weakref.ref(state))
            return state

        def update(self, state: Any, block: Any) -> Any:
            if block.start >= 2 * GROUP:
                raise ZeroDivisionError
            return state

        def merge(self, state: Any, other: Any) -> Any:
            return state

    gc.disable()
    try:
        with pytest.raises(ZeroDivisionError) as caught:
            oc.reduce_rows(np.zeros((N, 3)), Arrays())
        del caught
        assert len(states) > 2
        assert [s for s in states if s() is not None] == []
    finally:
        gc.enable()


def test_tasks_have_ended_when_an_error_is_raised() -> None:
    running = Flights()

    def action(block: Any) -> None:
        running.begin()
        try:
            if block.start == GROUP:
                raise ZeroDivisionError
            time.sleep(0.05)
        finally:
            running.end()

    with session(workers=3):
        with pytest.raises(ZeroDivisionError):
            oc.reduce_rows(np.zeros((N, 1)), Doing(action))
        assert running.begun == 0


def test_what_is_begun_stops_at_the_next_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partition, "BLOCK_BYTES", 8 * 256)  # many blocks in a group
    seen: list[int] = []

    def action(block: Any) -> None:
        seen.append(block.start)
        if block.start == 0:
            time.sleep(0.02)
            raise ZeroDivisionError
        time.sleep(0.01)

    with pytest.raises(ZeroDivisionError):
        oc.reduce_rows(np.zeros((2 * GROUP, 1)), Doing(action), workers=2)
    assert len(seen) < 12  # of 64


# ---- Ctrl-C ----------------------------------------------------------------------------------------

INTERRUPTED = """
import os, signal, sys, threading, time
import numpy as np
import outcore as oc
from threadpoolctl import threadpool_info

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
before = {pool["filepath"]: pool["num_threads"] for pool in threadpool_info()}

def action(rows):
    if len(rows) > 16:
        os.write(1, b"working\\n")  # one write: lines of two threads do not mix
        time.sleep(0.1)
    return rows

try:
    oc.map_rows(action, np.zeros((2_000_000, 8)), out=sys.argv[1], workers=2)
except KeyboardInterrupt:
    print("interrupted", flush=True)
after = {pool["filepath"]: pool["num_threads"] for pool in threadpool_info()}
print([t.name for t in threading.enumerate()] == ["MainThread"], before.items() <= after.items())
"""


@pytest.mark.skipif(os.name != "posix", reason="sends a signal")
def test_ctrl_c_leaves_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-c", INTERRUPTED, str(tmp_path / "y.npy")]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert first == "working\n", err
    assert process.returncode == 0, err
    said = out.splitlines()
    assert said[-2:] == ["interrupted", "True True"]
    assert said.count("working") < 12  # of 60 blocks: it ended with those that were begun
    assert err == ""
    assert listing(tmp_path) == []


def test_an_interrupt_while_waiting_closes_the_runner() -> None:
    begun = threading.Event()

    def action(block: Any) -> None:
        begun.set()
        time.sleep(0.02)

    def interrupt() -> None:
        begun.wait()
        signal.raise_signal(signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    helper = threading.Thread(target=interrupt)
    try:
        with session(workers=2):
            helper.start()
            with pytest.raises(KeyboardInterrupt):
                oc.reduce_rows(np.zeros((40 * GROUP, 1)), Doing(action))
            with pytest.raises(oc.errors.ExecutorError):
                oc.reduce_rows(np.zeros((3, 1)), Blocks())
    finally:
        signal.signal(signal.SIGINT, before)
        helper.join()
    assert [t for t in threading.enumerate() if t.name.startswith("outcore-")] == []


# ---- worker processes ------------------------------------------------------------------------------


def test_worker_processes(tmp_path: Path) -> None:
    """Both ways to share the work, private changes, targets, errors; one pool for all of it."""
    a = numbers(2 * GROUP + 7, 3)
    w = np.abs(a[:, 0]).copy()
    np.save(tmp_path / "a.npy", a)
    private = oc.open(tmp_path / "a.npy", "c")
    private[:] = 2 * a
    statistics = [SplitSums(3, 2 * PART), ColumnSums(), Blocks()]
    expected = oc.reduce_rows(a, statistics, weights=w)
    with session(2) as runner:
        for memory in ("1GB", f"{(runner.worker_bytes * 2 + 80_000_000) // 10**6}MB"):
            plan = oc.plan(oc.reduce_rows, tmp_path / "a.npy", statistics, weights=w, memory=memory)
            split, sums, blocks = oc.reduce_rows(tmp_path / "a.npy", statistics, weights=w, memory=memory)
            assert all(np.array_equal(one, two) for one, two in zip(split, expected[0], strict=True))
            assert np.array_equal(sums, expected[1])
            assert blocks == expected[2]
        assert (plan.mode, plan.workers) == ("parts", 2)
        assert np.array_equal(oc.reduce_rows(private, ColumnSums()), oc.reduce_rows(2 * a, ColumnSums()))
        out, shared = np.empty_like(a), oc.shared_empty(a.shape)
        assert oc.map_rows(double, a, out=out) is out
        assert oc.map_rows(double, a, out=shared) is shared
        with oc.map_rows(double, a, out=str(tmp_path / "y.npy")) as y:
            assert all(np.array_equal(found, 2 * a) for found in (out, shared, y[:], oc.map_rows(double, a)))
        with pytest.raises(oc.errors.OptionError, match="worked on again"):
            oc.map_rows(double, a, out=a)
        with pytest.raises(ZeroDivisionError, match="update_part") as caught:
            oc.reduce_rows(a, Failing("update_part"))
        assert f"while working on rows {GROUP} to {2 * GROUP - 1} of X" in caught.value.__notes__
        assert np.array_equal(oc.reduce_rows(a, ColumnSums(), weights=w), expected[1])


def end(block: Any) -> None:
    if block.start >= GROUP:
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_worker_that_dies_is_told_by_its_rows() -> None:
    with pytest.raises(WorkerDiedError) as caught:
        oc.reduce_rows(numbers(2 * GROUP, 2), Doing(end), executor=1)
    assert caught.value.__notes__ == [f"while working on rows {GROUP} to {2 * GROUP - 1} of X"]
