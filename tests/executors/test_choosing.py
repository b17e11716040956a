"""From ``executor=`` and ``workers=`` to a runner."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from typing import Any

import pytest

import outcore as oc
from outcore.errors import ExecutorError, OptionError
from outcore.executors.choosing import choose, usable_cores


class Immediately(Executor):
    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(fn(*args, **kwargs))
        return future


def test_threads_by_default_as_many_as_there_are_cores() -> None:
    assert choose().n_workers == usable_cores() == len(os.sched_getaffinity(0))
    assert choose(workers=3).n_workers == 3
    assert choose(workers=1).name == "1 thread"
    assert choose().shares_memory


def test_an_int_is_so_many_processes_and_none_is_started() -> None:
    runner = choose(3)
    assert (runner.n_workers, runner.name, runner.shares_memory) == (3, "3 worker processes", False)
    assert choose(3, workers=1).name == "1 worker process"
    assert runner.worker_bytes > 0


@pytest.mark.parametrize("executor", [0, -1, True, False, 2.0, "threads", object(), ThreadPoolExecutor])
def test_what_is_no_executor_is_refused(executor: Any) -> None:
    with pytest.raises(OptionError, match=r"executor=[\s\S]*Use "):
        choose(executor)


@pytest.mark.parametrize("workers", [0, -2, True, 1.5, "2"])
@pytest.mark.parametrize("executor", [None, 2])
def test_what_is_no_number_of_workers_is_refused(executor: Any, workers: Any) -> None:
    with pytest.raises(OptionError, match=r"workers=.*\nUse an int"):
        choose(executor, workers)


def test_executors_say_how_many_workers_they_have_and_workers_says_how_many_tasks() -> None:
    with ThreadPoolExecutor(3) as threads, ProcessPoolExecutor(2) as processes:
        assert choose(threads).n_workers == 3
        assert choose(threads).name == "ThreadPoolExecutor with 3 workers"
        assert choose(threads, workers=1).n_workers == 1
        assert choose(processes).n_workers == 2
    assert choose(Immediately()).n_workers == 1
    assert not choose(Immediately()).shares_memory
    assert choose(Immediately(), workers=5).n_workers == 5


def test_the_option_counts_where_no_executor_is_given() -> None:
    with oc.options(executor=2):
        assert choose().name == "2 worker processes"
        assert choose(1).name == "1 worker process"
    assert choose().shares_memory


@pytest.mark.parametrize("kind", [ThreadPoolExecutor, ProcessPoolExecutor])
def test_an_executor_that_was_shut_down_is_refused_at_once(kind: Any) -> None:
    executor = kind(1)
    executor.shutdown()
    with pytest.raises(ExecutorError, match=r"shut down[\s\S]*Keep it open"):
        choose(executor)


def test_loky_that_was_shut_down_is_refused_at_once() -> None:
    import loky

    executor = loky.ProcessPoolExecutor(1)
    executor.shutdown()
    with pytest.raises(ExecutorError, match="shut down"):
        choose(executor)


def test_threads_need_no_other_library() -> None:
    program = (
        "import sys, outcore; from outcore.executors.choosing import choose; choose();"
        "print([m for m in ('scipy', 'threadpoolctl', 'distributed', 'multiprocessing', 'concurrent.futures')"
        " if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
