from __future__ import annotations

import asyncio
import threading
from typing import Any

import numpy as np
import pytest

import outcore as oc
from outcore import budget, settings

GB = 10**9


def test_options_hold_inside_the_block_and_not_after_it() -> None:
    with oc.options(memory="1GB"):
        assert budget.resolve() == GB
        with oc.options(memory="2GB"):
            assert budget.resolve() == 2 * GB
        assert budget.resolve() == GB
    assert budget.resolve() not in (GB, 2 * GB)


def test_an_error_inside_the_block_restores_too() -> None:
    with pytest.raises(RuntimeError), oc.options(memory="1GB"):
        raise RuntimeError
    assert budget.resolve() != GB


def test_an_inner_block_keeps_what_it_does_not_name() -> None:
    with oc.options(memory="1GB"), oc.options(progress=False):
        assert budget.resolve() == GB


def test_one_block_can_be_entered_again_and_inside_itself() -> None:
    limited = oc.options(memory="1GB")
    with limited, limited:
        assert budget.resolve() == GB
    with limited:
        assert budget.resolve() == GB
    assert budget.resolve() != GB


def test_an_argument_of_the_call_wins() -> None:
    with oc.options(memory="1GB"):
        assert budget.resolve("3GB") == 3 * GB


def test_other_threads_do_not_see_them() -> None:
    seen: list[int] = []
    with oc.options(memory="1GB"):
        thread = threading.Thread(target=lambda: seen.append(budget.resolve()))
        thread.start()
        thread.join()
    assert seen != [GB]


def test_tasks_keep_those_of_the_block_that_they_were_started_in() -> None:
    async def budget_later(memory: str) -> int:
        with oc.options(memory=memory):
            await asyncio.sleep(0)
            return budget.resolve()

    async def both() -> list[int]:
        return await asyncio.gather(budget_later("1GB"), budget_later("2GB"))

    assert asyncio.run(both()) == [GB, 2 * GB]


@pytest.mark.parametrize(
    "memory",
    [
        "", "four", "4 potatoes", "-1GB", "0", "0GB", "1e9", "9" * 400,
        0, -5, 0.0, -0.5, float("nan"), float("inf"), True, [1], np.bool_(True), 1j, b"4GB",
    ],
    ids=repr,
)  # fmt: skip
def test_a_budget_that_makes_no_sense_is_refused_before_the_block(memory: Any) -> None:
    with pytest.raises(oc.errors.OptionError, match='memory="4GB"') as caught:
        oc.options(memory=memory)
    assert repr(memory) in str(caught.value)
    with pytest.raises(oc.errors.OptionError):
        budget.resolve(memory)


@pytest.mark.parametrize("progress", [1, "yes", 0.5])
def test_progress_that_makes_no_sense_is_refused_before_the_block(progress: Any) -> None:
    with pytest.raises(oc.errors.OptionError, match="progress="):
        oc.options(progress=progress)


def test_options_reach_the_reading_of_small_arrays() -> None:
    array = oc.asarray(np.zeros(1000))
    with oc.options(memory=4000), pytest.raises(oc.errors.MemoryBudgetError):
        array[:]


def test_tasks_have_the_options_of_the_caller_but_not_its_executor() -> None:
    from contextvars import copy_context

    with oc.options(memory="1GB", executor=3, progress=True):
        inside = settings.for_tasks()
        context = copy_context()
        context.run(settings.adopt, inside)
        assert settings.current().executor == 3
    found = context.run(settings.current)
    assert (found.memory, found.executor, found.progress, found.in_task) == ("1GB", None, False, True)
    assert not settings.current().in_task
