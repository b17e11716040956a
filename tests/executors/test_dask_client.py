"""A Dask cluster: what travels to it, what happens when a worker is killed."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from distributed import Client

import outcore as oc
from outcore.errors import ExecutorError, OptionError, WorkerDiedError
from outcore.executors.choosing import choose
from outcore.executors.dask_client import DaskClient
from tests.executors import tasks
from tests.executors.library import Sum
from tests.executors.pools import collected, connected, everything, scheduler

MB = 1_000_000


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with scheduler() as found:
        yield found


@pytest.fixture
def client(address: str) -> Iterator[Any]:
    with connected(address) as found:
        yield found


# ---- bytes on the wire: every byte that Dask's TCP connections write, in every process --------------------
def count_written() -> None:
    """From now on, count in this process."""
    from tornado import iostream

    if hasattr(iostream, "outcore_written"):
        return
    iostream.outcore_written = 0
    lock = threading.Lock()
    write = iostream.IOStream.write_to_fd

    def counted(self: Any, data: Any) -> int:
        n: int = write(self, data)
        with lock:
            iostream.outcore_written += n
        return n

    iostream.IOStream.write_to_fd = counted


def count_everywhere(client: Any) -> None:
    count_written()
    client.run_on_scheduler(count_written)
    client.run(count_written)


def written_here() -> int:
    from tornado import iostream

    return int(iostream.outcore_written)


def written(client: Any) -> int:
    """All bytes that client, scheduler and workers have written."""
    written_there = [client.run_on_scheduler(written_here), *client.run(written_here).values()]
    return written_here() + sum(written_there)


def somewhere_else() -> None:
    """Make this worker one of another machine."""
    from outcore.executors import errand

    def machine() -> str:
        return "another machine"

    machine.real = errand.machine
    errand.machine = machine


def here_again() -> None:
    from outcore.executors import errand

    errand.machine = errand.machine.real


ELSEWHERE = 5 * MB // 8


def add_elsewhere(client: Any, n: int) -> dict[int, Any]:
    """Run tasks on workers of another machine."""
    client.run(somewhere_else)
    try:
        with choose(client) as runner:
            placed = runner.place({"x": np.ones(ELSEWHERE)})
            for index in range(n):
                runner.submit(index, tasks.add, placed, index)
            return {done.index: done.value for done in everything(runner, n)}
    finally:
        client.run(here_again)


def test_the_data_do_not_travel(client: Any, tmp_path: Path) -> None:
    count_everywhere(client)
    x = np.random.default_rng(0).standard_normal((70_000, 100))
    np.save(tmp_path / "x.npy", x)
    assert x.nbytes >= 50 * MB
    expected = oc.reduce_rows(x, Sum())
    parameters = np.ones(10 * MB // 8)
    for source in (oc.open(tmp_path / "x.npy"), oc.share(x)):
        before = written(client)
        found = oc.reduce_rows(source, Sum(parameters), executor=client)
        assert written(client) - before < x.nbytes // 100
        np.testing.assert_array_equal(found, expected)
    before = written(client)
    client.submit(np.sum, x[:10_000], pure=False).result()
    assert written(client) - before > 8 * MB  # the counter counts


def check_that_parameters_are_sent_once(client: Any) -> None:
    count_everywhere(client)
    before = written(client)
    found = add_elsewhere(client, 20)
    travelled = written(client) - before
    assert found == {index: ELSEWHERE + index for index in range(20)}
    # To the scheduler and from there to both workers, or from one to the other.
    assert 8 * ELSEWHERE < travelled < 5 * 8 * ELSEWHERE


def test_workers_of_other_machines_and_workers_that_are_killed(tmp_path: Path) -> None:
    once = {"distributed.scheduler.allowed-failures": 1}
    with scheduler(**once) as own, connected(own) as client:
        check_that_parameters_are_sent_once(client)
        check_that_killed_workers_are_replaced(client, str(tmp_path))


def check_that_killed_workers_are_replaced(client: Any, folder: str) -> None:
    with choose(client) as runner:
        placed = runner.place({"folder": folder, "x": np.ones(20_000)})
        for index in range(10):
            runner.submit(index, tasks.die, placed, index, 1 if index == 4 else 0, "SIGKILL")
        found = everything(runner, 10)
        assert [done.error for done in found] == [None] * 10
        assert {done.value for done in found} == {(index, 20_000) for index in range(10)}
        assert os.listdir(folder) == ["4-0"]

        runner.submit(11, tasks.die, placed, 11, 9, "SIGKILL")
        with pytest.raises(WorkerDiedError, match=r"task 11[\s\S]*out of memory") as caught:
            collected(runner)
        assert caught.value.indices == (11,)


def test_a_client_that_is_closed_is_refused(address: str) -> None:
    with connected(address) as client:
        with choose(client) as runner:
            placed = runner.place({"x": 1})
            runner.submit(0, tasks.item, placed, "x")
            assert collected(runner).value == 1
            client.close()
            with pytest.raises(ExecutorError, match="closed"):
                runner.submit(1, tasks.item, placed, "x")
        with pytest.raises(ExecutorError, match=r"closed[\s\S]*Client\(address\)"):
            choose(client)


def test_an_asynchronous_client_is_refused() -> None:
    class Asynchronous(Client):
        def __init__(self) -> None:
            pass

        def __del__(self) -> None:
            pass

        asynchronous = True

    with pytest.raises(OptionError, match="asynchronous"):
        choose(Asynchronous())


def test_its_name_and_size(client: Any) -> None:
    runner = choose(client)
    assert isinstance(runner, DaskClient)
    assert (runner.n_workers, runner.name) == (2, "Dask cluster of 2 workers with 2 threads")
    assert choose(client, workers=5).n_workers == 5


def test_close_waits_for_what_runs(client: Any, tmp_path: Path) -> None:
    with choose(client) as runner:
        placed = runner.place({"folder": str(tmp_path)})
        for index in range(8):
            runner.submit(index, tasks.note, placed, index, 0.3)
        while not list(tmp_path.glob("*.begun")):
            time.sleep(0.01)
    begun, ended = (sorted(p.stem for p in tmp_path.glob(f"*.{what}")) for what in ("begun", "ended"))
    assert begun == ended
    assert len(begun) < 8
