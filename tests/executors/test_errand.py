"""A task in a worker that we did not start."""

from __future__ import annotations

import pickle
import secrets
from typing import Any

import numpy as np
import pytest

import outcore as oc
from outcore.errors import ExecutorError
from outcore.executors import errand
from outcore.executors.errand import Dropped, Errand, Unreachable, machine
from outcore.executors.outcome import Failure
from outcore.executors.parcel import Parcel, pack
from outcore.executors.recent import recent
from outcore.settings import for_tasks
from tests.executors import tasks


def run(function: Any, obj: Any, *small: Any, home: str = "", share: bool = True, runner: str = "") -> Any:
    name = runner or secrets.token_hex(4)
    parcel = pack(obj, share=share)
    try:
        return errand.run(
            Errand(name, 1, home or machine(), function, small, for_tasks()), parcel.by_address()
        )
    finally:
        recent.drop(name)


def test_a_worker_of_this_machine_opens_the_address_and_answers_with_one() -> None:
    answer = run(tasks.times, {"x": np.ones(20_000)}, 2.0)
    assert isinstance(answer, Parcel)
    assert answer.shared
    assert answer.open(writable=True)["product"].sum() == 40_000


def test_a_worker_of_another_machine_says_that_it_cannot() -> None:
    assert isinstance(run(tasks.times, {"x": np.ones(20_000)}, 2.0, home="elsewhere"), Unreachable)


def test_and_is_then_sent_the_data_and_sends_data() -> None:
    answer = run(tasks.times, {"x": np.ones(20_000)}, 2.0, home="elsewhere", share=False)
    assert isinstance(answer, Parcel)
    assert not answer.shared
    assert answer.open(writable=True)["product"].sum() == 40_000


def test_a_parcel_that_is_gone_is_unreachable() -> None:
    parcel = pack(np.ones(20_000), share=True).by_address()  # whose memory nobody keeps
    answer = errand.run(Errand("gone", 1, machine(), tasks.item, (0,), for_tasks()), parcel)
    assert isinstance(answer, Unreachable)


def test_the_callers_memory_on_another_machine_is_explained() -> None:
    shared = oc.share(np.ones(3))
    handle = pickle.dumps(shared)
    del shared
    for segment in oc.segments():
        segment.release()
    lost = pickle.loads(handle)
    answer = run(tasks.add, {"x": lost}, 1, home="elsewhere", share=False)
    assert isinstance(answer, Failure)
    error = answer.error()
    assert isinstance(error, ExecutorError)
    assert "oc.convert" in str(error)


def test_a_runner_that_was_closed_begins_nothing_here() -> None:
    assert errand.drop("closed") == 0
    assert isinstance(run(tasks.item, {"x": 1}, "x", runner="closed"), Dropped)
    assert isinstance(run(tasks.item, {"x": 1}, "x", runner="open"), Parcel)


def test_running_tasks_are_counted() -> None:
    seen = []

    def look(placed: Any) -> None:
        seen.append(errand.drop("counted"))

    run(look, {}, runner="counted")
    assert seen == [1]
    assert errand.drop("counted") == 0


def test_the_name_of_a_machine_is_the_same_in_all_of_its_processes() -> None:
    import subprocess
    import sys

    program = "from outcore.executors.errand import machine; print(machine())"
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert said.strip() == machine()


@pytest.mark.parametrize("kind", ["value", "exit"])
def test_errors_come_back(kind: str) -> None:
    assert isinstance(run(tasks.fail, {}, kind), Failure)
