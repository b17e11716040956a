"""Plans: they say what happens and run nothing; what does not fit is refused with the arithmetic."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

import outcore as oc
from outcore.array import blockwise
from outcore.blocks.partition import MIN_GROUP_ROWS
from outcore.blocks.planning import Planned, asked, in_earnest
from tests.blocks.samples import Blocks, ColumnSums, Doing, SplitSums, Written, double, listing

N = 4 * MIN_GROUP_ROWS
PART = 10_000_000


def planned(memory: Any, workers: int = 4, statistic: Any = None, n_rows: int = N) -> Any:
    x = np.zeros((n_rows, 3))
    return oc.plan(oc.reduce_rows, x, statistic or SplitSums(5, PART), workers=workers, memory=memory)


def test_a_plan_says_what_happens() -> None:
    x = np.zeros((N, 3))
    plan = oc.plan(oc.reduce_rows, x, Blocks(), workers=2)
    blocks = oc.reduce_rows(x, Blocks(), workers=2)
    assert plan.what == "reduce_rows(Blocks)"
    assert (plan.n_rows, plan.n_groups, plan.workers, plan.passes) == (N, 4, 2, 1)
    assert {n for _, n in blocks} == {plan.block_rows}
    assert plan.bytes_read == 0  # they are in memory
    assert plan.executor == "2 threads"
    assert plan.peak_bytes == sum(plan.parts.values()) <= plan.budget_bytes
    assert json.loads(json.dumps(plan.to_dict()))["peak_bytes"] == plan.peak_bytes
    text = str(plan)
    assert repr(plan) == text
    for figure in (plan.what, str(N), "4 groups", "2 of 2 threads", "workers x"):
        assert figure in text


def test_bytes_that_are_read(tmp_path: Path) -> None:
    x, w = np.zeros((100, 3), "f4"), np.zeros((100, 2))
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "w.npy", w)
    from_disk = oc.plan(oc.reduce_rows, tmp_path / "x.npy", ColumnSums(), weights=tmp_path / "w.npy")
    assert from_disk.bytes_read == x.nbytes + w.nbytes
    assert oc.plan(oc.reduce_rows, tmp_path / "x.npy", ColumnSums(), weights=w).bytes_read == x.nbytes


def test_a_plan_runs_nothing_and_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.save(tmp_path / "x.npy", np.zeros((N, 3)))
    before = listing(tmp_path)
    monkeypatch.setattr(blockwise, "read_rows", lambda *args: pytest.fail("a row was read"))
    monkeypatch.setattr("threading.Thread.start", lambda self: pytest.fail("a thread was started"))
    ran = Doing(lambda block: pytest.fail("a block was worked on"))
    oc.plan(oc.reduce_rows, tmp_path / "x.npy", [ran, Written(str(tmp_path / "y.npy"))])
    plan = oc.plan(oc.map_rows, double, tmp_path / "x.npy", out=str(tmp_path / "z.npy"))
    assert plan.what == "map_rows(double)"
    out = np.full((N, 3), 7.0)
    oc.plan(oc.map_rows, double, tmp_path / "x.npy", out=out)
    assert (out == 7).all()
    assert listing(tmp_path) == before


def test_a_new_result_is_counted_and_one_that_is_there_is_not() -> None:
    x = np.zeros((N, 3))
    assert oc.plan(oc.map_rows, double, x).parts["result"] == x.nbytes
    assert oc.plan(oc.map_rows, double, x, out=np.empty_like(x)).parts["result"] == 0


def test_arguments_are_checked_as_in_the_operation() -> None:
    x = np.zeros((10, 3))
    with pytest.raises(oc.errors.ShapeError):
        oc.plan(oc.reduce_rows, x, Blocks(), weights=np.ones(9))
    with pytest.raises(oc.errors.ShapeError):
        oc.plan(oc.map_rows, double, x, out=np.empty((10, 4)))
    assert not asked()


@pytest.mark.parametrize("func", [len, lambda x: None])
def test_what_makes_no_pass_cannot_be_planned(func: Any) -> None:
    with pytest.raises(oc.errors.OptionError, match=r"(?s)finished without a pass.*oc\.plan\(oc\.gram, X\)"):
        oc.plan(func, [1])


def test_the_options_in_force_count() -> None:
    with oc.options(memory="77MB"):
        assert planned(None, statistic=Blocks()).budget_bytes == 77_000_000


def test_a_plan_within_a_plan() -> None:
    x = np.zeros((100, 3))
    inner: list[Any] = []

    def func(rows: NDArray[Any]) -> NDArray[Any]:
        assert not asked()
        inner.append(oc.plan(oc.reduce_rows, rows, Blocks()))
        return rows

    assert oc.plan(oc.map_rows, func, x).what == "map_rows(func)"
    assert [plan.what for plan in inner] == ["reduce_rows(Blocks)"]


def test_in_earnest_ends() -> None:
    def operation() -> None:
        with in_earnest():
            assert not asked()
        assert asked()
        oc.reduce_rows(np.zeros((3, 1)), Blocks())

    assert oc.plan(operation).n_rows == 3


def test_a_plan_is_no_error_to_those_who_catch_errors() -> None:
    assert not issubclass(Planned, Exception)


# ---- from states for all to one state ---------------------------------------------------------------


def test_the_plan_takes_what_fits() -> None:
    """From a state for each worker over shared parts to fewer workers, smaller blocks and a refusal."""
    seen = []
    for memory in range(300_000_000, 72_000_000, -1_000_000):
        plan = planned(memory)
        seen.append((plan.mode, plan.workers, plan.block_rows))
        assert plan.peak_bytes <= memory
    ways = [way for i, way in enumerate(seen) if i == 0 or seen[i - 1] != way]
    assert ways[0] == ("rows", 4, 8192)
    assert [way[:2] for way in ways[1:] if way[2] == 8192] == [
        ("parts", 4),
        ("parts", 3),
        ("parts", 2),
        ("parts", 1),
    ]
    last = [way[2] for way in ways]
    assert last == sorted(last, reverse=True)
    with pytest.raises(oc.errors.MemoryBudgetError):
        planned(70_000_000)


def test_fewer_workers_where_the_state_cannot_be_shared() -> None:
    class Large(Blocks):
        def zero(self) -> Any:
            return np.zeros(10_000_000 // 8)

    budgets = (51_000_000, 41_000_000, 31_000_000, 21_000_000)
    ways = [planned(memory, statistic=Large(), n_rows=2 * N) for memory in budgets]
    assert [(plan.mode, plan.workers) for plan in ways] == [("rows", n) for n in (4, 3, 2, 1)]
    with pytest.raises(oc.errors.MemoryBudgetError, match=r"needs 20\.\d MB"):
        planned(15_000_000, statistic=Large())


def test_blocks_do_not_depend_on_the_workers() -> None:
    for memory in (400_000_000, 100_000_000, 52_000_000, None):
        plans = {
            (p.block_rows, p.group_rows)
            for p in (planned(memory, w, SplitSums(5, PART // 5)) for w in (1, 2, 9))
        }
        assert len(plans) == 1


def test_the_refusal_shows_the_sum_and_what_to_type() -> None:
    with pytest.raises(oc.errors.MemoryBudgetError) as caught:
        planned("9MB")
    text = str(caught.value)
    pattern = (
        r"reduce_rows\(SplitSums\) needs 7\d\.\d MB; the budget is 9\.0 MB\.\n"
        r"  state 50\.0 MB \+ .*parts on their way 20\.0 MB \+ 1 workers x \d.*\n"
        r'Raise the budget with memory="7\dMB" if the machine has it\.'
    )
    assert re.fullmatch(pattern, text), text


@given(
    n=st.integers(1, 20_000),
    d=st.integers(1, 300),
    dtype=st.sampled_from(["f8", "f4"]),
    n_parts=st.integers(1, 5),
    part_bytes=st.sampled_from([0, 1000, 5_000_000]),
    workers=st.integers(1, 4),
)
def test_the_figure_of_a_refusal_is_enough_and_one_less_is_not(
    n: int, d: int, dtype: str, n_parts: int, part_bytes: int, workers: int
) -> None:
    x = np.broadcast_to(np.zeros((), dtype), (n, d))
    statistics = [SplitSums(n_parts, part_bytes), ColumnSums()]
    try:
        oc.plan(oc.reduce_rows, x, statistics, memory=1, workers=workers)
    except oc.errors.MemoryBudgetError as error:
        (megabytes,) = re.findall(r'memory="(\d+)MB"', str(error))
    found = oc.plan(oc.reduce_rows, x, statistics, memory=f"{megabytes}MB", workers=workers)
    assert found.peak_bytes <= int(megabytes) * 10**6
    least = int(megabytes) * 10**6 - 10**6
    if least > 0:
        with pytest.raises(oc.errors.MemoryBudgetError):
            oc.plan(oc.reduce_rows, x, statistics, memory=least, workers=workers)


def test_nothing_is_read_or_made_where_it_does_not_fit(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros((100, 3)))
    ran = Doing(lambda block: pytest.fail("a block was worked on"))
    with pytest.raises(oc.errors.MemoryBudgetError):
        oc.reduce_rows(tmp_path / "x.npy", [ran, Written(str(tmp_path / "y.npy"))], memory=1000)
    with pytest.raises(oc.errors.MemoryBudgetError):
        oc.map_rows(double, np.zeros((10_000, 3)), memory=100_000)
    assert listing(tmp_path) == ["x.npy"]


def test_one_state_where_there_is_one_group() -> None:
    plan = oc.plan(oc.reduce_rows, np.zeros((100, 3)), SplitSums(2, PART), workers=4)
    assert plan.parts["1 states"] == 2 * PART
    assert plan.workers == 1


def test_results_and_plans_are_the_same_where_the_budget_is_tight() -> None:
    x = np.random.default_rng(0).normal(size=(N, 3))
    plans, sums = [], []
    for workers in (1, 2, 4):
        plans.append(oc.plan(oc.reduce_rows, x, ColumnSums(), memory="700kB", workers=workers))
        sums.append(oc.reduce_rows(x, ColumnSums(), memory="700kB", workers=workers))
    assert len({plan.block_rows for plan in plans}) == 1
    assert all(np.array_equal(s, sums[0]) for s in sums)


def test_many_descriptors_are_not_left(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros((100, 3)))
    before = sorted(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else []
    for _ in range(5):
        oc.plan(oc.reduce_rows, tmp_path / "x.npy", Blocks())
    if before:
        assert sorted(os.listdir("/proc/self/fd")) == before
