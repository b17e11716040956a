"""What goes through the pipes of an executor: less than 1 kB for an array, whatever its size."""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from multiprocessing.connection import Connection
from typing import Any

import loky
import numpy as np
import pytest

import outcore as oc

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a message has another way")

DTYPE = np.dtype([("chr", "S10"), ("pos", "<i4"), ("pct", "<f4"), ("c", "<i4"), ("t", "<i4")])
N_ROWS = (0, 1, 1_000, 1_000_000, 100_000_000)  # up to 2.6 GB, none of which is touched

_sent: list[int] = []  # bytes of each write to a pipe, in this process
_write = Connection._send


def note(self: Connection, data: Any, *args: Any) -> None:
    _sent.append(len(data))
    _write(self, data, *args)


def note_everything() -> None:
    """Have a worker note what it sends: it runs once in each."""
    Connection._send = note


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    monkeypatch.setattr(Connection, "_send", note)
    _sent.clear()
    return _sent


@pytest.fixture(params=["fork", "spawn", "forkserver", "loky"])
def pool(request: pytest.FixtureRequest) -> Iterator[Executor]:
    make: dict[str, Callable[[], Executor]] = {
        "loky": lambda: loky.ProcessPoolExecutor(1, initializer=note_everything)
    }
    context = None if request.param == "loky" else multiprocessing.get_context(request.param)
    usual = lambda: ProcessPoolExecutor(1, context, initializer=note_everything)  # noqa: E731
    with make.get(request.param, usual)() as made:
        made.submit(int).result()  # started, and nothing more to be sent for that
        yield made


def rows_of(given: Any) -> int:
    return len(given)


def rows(n: int) -> Any:
    return oc.shared_empty(n, DTYPE, reserve=False)


def sent_by_the_worker() -> list[int]:
    found = _sent.copy()
    _sent.clear()
    return found


def test_an_argument_sends_less_than_a_kilobyte(pool: Executor, sent: list[int]) -> None:
    for n in N_ROWS:
        given = rows(n)
        sent.clear()
        assert pool.submit(rows_of, given).result() == n
        assert 100 < sum(sent) < 1_000
        sent.clear()
        assert pool.submit(rows_of, given[n // 3 : n : 2]["pos"]).result() == len(given[n // 3 : n : 2])
        assert 100 < sum(sent) < 1_000


def test_a_result_sends_less_than_a_kilobyte(pool: Executor) -> None:
    for n in N_ROWS:
        pool.submit(sent_by_the_worker).result()
        assert len(pool.submit(rows, n).result()) == n
        # The list of what was sent before is what the first of them sends.
        assert 100 < sum(pool.submit(sent_by_the_worker).result()) < 1_000


def test_an_ndarray_would_be_counted(pool: Executor, sent: list[int]) -> None:
    assert pool.submit(rows_of, np.zeros(100_000)).result() == 100_000
    assert sum(sent) > 800_000
    pool.submit(sent_by_the_worker).result()
    pool.submit(np.zeros, 100_000).result()
    assert sum(pool.submit(sent_by_the_worker).result()) > 800_000
