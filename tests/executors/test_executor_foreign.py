"""Executors of the user: broken, closed, far away."""

from __future__ import annotations

import _thread
import multiprocessing
import os
import pickle
import subprocess
import sys
import threading
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import loky
import numpy as np
import pytest

from outcore.errors import ExecutorError, WorkerDiedError
from outcore.executors.choosing import choose
from outcore.executors.foreign import Foreign
from tests.executors import tasks
from tests.executors.pools import collected, everything

ROOT = Path(__file__).parents[2]


class Pickling(Executor):
    """Runs tasks at once, but sends them, and what they return, through pickle; counts the bytes."""

    def __init__(self, protocol: int = 4) -> None:
        self.protocol = protocol
        self.sent: list[int] = []
        self.received: list[int] = []

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        data = pickle.dumps((fn, args, kwargs), protocol=self.protocol)
        self.sent.append(len(data))
        function, arguments, options = pickle.loads(data)
        answer = pickle.dumps(self.work(function, arguments, options), protocol=self.protocol)
        self.received.append(len(answer))
        future: Future[Any] = Future()
        future.set_result(pickle.loads(answer))
        return future

    def work(self, function: Any, arguments: Any, options: Any) -> Any:
        return function(*arguments, **options)


class FarAway(Pickling):
    """Its worker is on another machine."""

    def work(self, function: Any, arguments: Any, options: Any) -> Any:
        from outcore.executors import errand

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(errand, "machine", lambda: "another machine")
            return function(*arguments, **options)


@pytest.mark.parametrize("protocol", [4, 5])
def test_any_executor_is_sent_addresses_and_answers_with_addresses(protocol: int) -> None:
    executor = Pickling(protocol)
    with choose(executor) as runner:
        placed = runner.place({"x": np.ones(1_000_000)})
        for index in range(5):
            runner.submit(index, tasks.times, placed, float(index))
        for done in everything(runner, 5):
            assert done.value["product"].sum() == done.index * 1_000_000
    assert len(executor.sent) == 5
    assert max(executor.sent + executor.received) < 2000


@pytest.mark.parametrize("protocol", [4, 5])
def test_workers_of_other_machines_are_sent_the_data_once_this_is_known(protocol: int) -> None:
    executor = FarAway(protocol)
    with choose(executor) as runner:
        placed = runner.place({"x": np.ones(20_000)})
        for index in range(3):
            runner.submit(index, tasks.times, placed, float(index))
        for done in everything(runner, 3):
            assert done.error is None
            assert done.value["product"].sum() == done.index * 20_000
            done.value["product"] += 1
    assert sum(size > 160_000 for size in executor.received) == 3
    assert sum(size < 2000 for size in executor.received) == 3


def break_a_pool(kind: str, how: str, folder: str) -> None:
    make: Any = loky.ProcessPoolExecutor if kind == "loky" else ProcessPoolExecutor
    with make(1, *([] if kind == "loky" else [multiprocessing.get_context(kind)])) as executor:
        with choose(executor) as runner:
            placed = runner.place({"folder": folder, "x": np.ones(20_000)})
            runner.submit(7, tasks.die, placed, 7, 1, how)
            with pytest.raises(WorkerDiedError) as caught:
                everything(runner, 1)
        said = str(caught.value)
        assert caught.value.indices == (7,)
        assert "task 7" in said
        assert "make a new one" in said
        assert "executor=1 starts processes that are replaced" in said
        assert ("SIGKILL" in said and "out of memory" in said) is (how == "SIGKILL")
        if how == "exit":
            assert "exit status 3" in said
        with pytest.raises(ExecutorError, match="broken"):
            choose(executor)


@pytest.mark.parametrize(("kind", "how"), [("fork", "SIGKILL"), ("fork", "exit"), ("spawn", "SIGKILL")])
def test_a_worker_that_dies_breaks_the_pool_and_the_error_says_so(
    kind: str, how: str, tmp_path: Path
) -> None:
    break_a_pool(kind, how, str(tmp_path))


def test_a_worker_of_loky_that_dies(tmp_path: Path) -> None:
    # In a program of its own: a pool of loky that is broken leaves a pipe open.
    program = (
        "from tests.executors.test_executor_foreign import break_a_pool\n"
        f"break_a_pool('loky', 'SIGKILL', {str(tmp_path)!r})"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    run = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


def test_an_executor_that_is_shut_down_meanwhile() -> None:
    for make in (ThreadPoolExecutor, ProcessPoolExecutor):
        executor = make(1)
        with choose(executor) as runner:
            placed = runner.place({"x": 1})
            runner.submit(0, tasks.item, placed, "x")
            assert collected(runner).value == 1
            executor.shutdown()
            with pytest.raises(ExecutorError, match=r"takes no work[\s\S]*Make a new executor"):
                runner.submit(1, tasks.item, placed, "x")


def test_tasks_that_somebody_cancels() -> None:
    go_on = threading.Event()
    with ThreadPoolExecutor(1) as executor:
        executor.submit(go_on.wait)
        with choose(executor) as runner:
            runner.submit(4, tasks.item, runner.place({"x": 1}), "x")
            executor.shutdown(wait=False, cancel_futures=True)
            with pytest.raises(ExecutorError, match="task 4"):
                collected(runner)
            go_on.set()


def one_task(executor: Executor) -> Any:
    with choose(executor) as runner:
        runner.submit(0, tasks.item, runner.place({"x": 1}), "x")
        return collected(runner)


def interrupted(executor: Executor) -> None:
    with choose(executor) as runner:
        runner.submit(0, lambda placed: _thread.interrupt_main(), runner.place(None))
        while True:
            runner.collect(10.0)


def test_a_pool_whose_threads_cannot_start() -> None:
    def broken() -> None:
        raise ZeroDivisionError

    threading.excepthook, before = (lambda args: None), threading.excepthook
    try:
        with ThreadPoolExecutor(1, initializer=broken) as executor, pytest.raises(ExecutorError):
            one_task(executor)
    finally:
        threading.excepthook = before


def test_ctrl_c_while_waiting_leaves_the_pool_usable() -> None:
    with ThreadPoolExecutor(2) as executor:
        with pytest.raises(KeyboardInterrupt):
            interrupted(executor)
        assert executor.submit(abs, -1).result() == 1


class Forgetful(Pickling):
    """Its worker ends as soon as it has answered, with all that it had."""

    def work(self, function: Any, arguments: Any, options: Any) -> Any:
        from outcore.executors.parcel import Parcel

        answer = super().work(function, arguments, options)
        return answer.by_address() if isinstance(answer, Parcel) and self.forgets() else answer

    def forgets(self) -> bool:
        return len(self.sent) < self.good

    good = 3


def test_a_result_that_is_gone_is_computed_again_and_not_for_ever() -> None:
    executor = Forgetful()
    with choose(executor) as runner:
        placed = runner.place({"x": np.ones(20_000)})
        runner.submit(0, tasks.times, placed, 2.0)
        done = None
        while done is None:
            done = runner.collect(1.0)
        assert done.value["product"].sum() == 40_000
        assert len(executor.sent) == 3
        executor.good = 1000
        runner.submit(1, tasks.times, placed, 2.0)
        done = None
        while done is None:
            done = runner.collect(1.0)
        assert isinstance(done.error, ExecutorError)
        assert "3 times" in str(done.error)


MPI = """
import numpy as np
from mpi4py.futures import MPIPoolExecutor
from outcore.executors.choosing import choose
from tests.executors import tasks
if __name__ == "__main__":
    with MPIPoolExecutor() as executor:
        with choose(executor) as runner:
            placed = runner.place({"x": np.ones(100_000)})
            for index in range(10):
                runner.submit(index, tasks.times, placed, float(index))
            found = {}
            while len(found) < 10:
                done = runner.collect(5.0)
                if done is not None:
                    found[done.index] = done.value["product"].sum()
            print(runner.n_workers, found == {i: i * 100_000.0 for i in range(10)})
        print(executor.submit(abs, -3).result())
"""


def test_mpi(tmp_path: Path) -> None:
    pytest.importorskip("mpi4py", reason="needs mpi4py")
    mpiexec = Path(sys.executable).parent / "mpiexec"
    if not mpiexec.exists():
        pytest.skip("needs an MPI beside this Python, such as pip install mpich")
    (tmp_path / "script.py").write_text(MPI)
    run = subprocess.run(
        [str(mpiexec), "-n", "3", sys.executable, "-m", "mpi4py.futures", str(tmp_path / "script.py")],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert run.stdout.split() == ["2", "True", "3"], run.stderr


def test_the_executor_of_a_runner_is_named() -> None:
    assert Foreign(Pickling(), 2).name == "Pickling with 2 workers"
    assert Foreign(Pickling(), None).name == "Pickling with 1 worker"
