from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

import outcore as oc
from outcore.loader.footprint import MOST_AT_ONCE, TASK_BYTES, plan

DEFAULTS = {
    "batch_bytes": 1 << 20, "index_bytes": 0, "buffer_bytes": 0, "reading_bytes": 0, "process_bytes": 0,
    "n_threads": 2, "prefetch": None, "budget_bytes": 1 << 30, "memory": "1GiB",
}  # fmt: skip


def planned(**changes):
    return plan("Loader(batch_size=1)", **DEFAULTS | changes)


@given(
    batch_bytes=st.integers(1, 1 << 28),
    buffer_bytes=st.integers(0, 1 << 29),
    n_threads=st.integers(0, 8),
    prefetch=st.none() | st.integers(1, 50),
)
def test_what_is_planned_fits_or_is_refused(batch_bytes, buffer_bytes, n_threads, prefetch):
    arguments = {
        "batch_bytes": batch_bytes, "buffer_bytes": buffer_bytes, "n_threads": n_threads, "prefetch": prefetch
    }  # fmt: skip
    try:
        found = planned(**arguments)
    except oc.errors.MemoryBudgetError:
        assert (
            2 if prefetch is None or n_threads == 0 else prefetch + 1
        ) * batch_bytes + buffer_bytes > 1 << 30
        return
    assert found.peak_bytes <= 1 << 30
    assert 1 <= found.at_once <= MOST_AT_ONCE
    assert found.at_once <= found.ahead
    if prefetch is not None and n_threads:
        assert found.ahead == prefetch


def test_a_thread_makes_some_megabytes_at_a_time():
    found = planned()
    assert found.at_once * (1 << 20) == TASK_BYTES
    assert found.ahead >= 2 * 2 * found.at_once


def test_a_small_budget_means_fewer_batches_ahead():
    assert planned(budget_bytes=5 << 20).ahead == 4
    assert planned(budget_bytes=2 << 20).ahead == 1


def test_too_small_a_budget_names_the_parts():
    with pytest.raises(oc.errors.MemoryBudgetError, match=r"buffers 8\.4 MB \+ batches 2\.1 MB"):
        planned(budget_bytes=9 << 20, buffer_bytes=8 << 20)


def test_without_threads_nothing_is_made_ahead():
    assert planned(n_threads=0).ahead == planned(n_threads=0).at_once == 1


def test_without_a_budget_of_the_user_the_machine_is_asked(monkeypatch):
    monkeypatch.setattr("outcore.budget.machine_memory", lambda: oc.budget.Memory(1 << 22, 1 << 22))
    with pytest.raises(oc.errors.MemoryBudgetError, match=r"the budget is 2\.1 MB"):
        planned(memory=None)
    assert planned(memory="1GiB").ahead > 1
