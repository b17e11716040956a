"""Transforms in processes: the same batches as in threads, whatever is killed."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import outcore as oc
from outcore.errors import ExecutorError, WorkerDiedError
from outcore.executors import member as members
from outcore.executors import processes
from outcore.executors.member import Member
from outcore.executors.processes import Processes
from outcore.loader.buffers import Closed
from outcore.loader.keys import generator
from outcore.loader.offloading import Offloaded
from tests.loader import transforms_away as away

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 60.0


def is_there(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def until(true: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + PATIENCE_S
    while not (found := true()):
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)
    return found


def fds() -> int:
    return len(os.listdir("/proc/self/fd"))


def filled(offloaded: Offloaded, values: Any) -> Any:
    values = np.asarray(values)
    made = offloaded.empty(values.shape, values.dtype)
    made[...] = values
    return made


def made(offloaded: Offloaded, values: Any, position: int = 0) -> Any:
    rows = filled(offloaded, values)
    try:
        return offloaded(rows, (3, 1, position))
    finally:
        offloaded.release([rows])


@pytest.fixture
def kept() -> Iterator[Callable[..., Offloaded]]:
    """Make `Offloaded`s that are closed in the end."""
    all_: list[Offloaded] = []

    def make(*transforms: Any, n_workers: int = 1) -> Offloaded:
        all_.append(Offloaded(transforms, n_workers))
        return all_[-1]

    yield make
    for offloaded in all_:
        offloaded.close()


# ---- the batches -------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [4, 30_000])
def test_the_batches_are_those_of_threads(kept: Callable[..., Offloaded], n: int) -> None:
    transforms = (away.noisy, away.noisy)
    offloaded = kept(*transforms, n_workers=2)

    def away_(position: int) -> Any:
        x = filled(offloaded, np.full((n, 2), position, "f4"))
        y = filled(offloaded, np.arange(n))
        result = offloaded((x, y), (5, 2, position))
        assert np.all(x == position)  # changed in place, but not here
        offloaded.release([x, y])
        return result

    def here(position: int) -> Any:
        batch: Any = np.full((n, 2), position, "f4"), np.arange(n)
        rng = generator(5, 2, position)
        for transform in transforms:
            batch = transform(batch, rng)
        return batch

    with ThreadPoolExecutor(2) as threads:
        found = list(threads.map(away_, range(12)))
    for position, (x, y) in enumerate(found):
        expected_x, expected_y = here(position)
        np.testing.assert_array_equal(x, expected_x)
        np.testing.assert_array_equal(y, expected_y)
        assert (x.dtype, y.dtype) == (expected_x.dtype, expected_y.dtype)


@pytest.mark.parametrize("n", [4, 40_000])
def test_whatever_a_transform_returns(kept: Callable[..., Offloaded], n: int) -> None:
    x = np.arange(3 * n, dtype="f4").reshape(n, 3)
    one = kept(away.same)  # the process imports what it needs
    for which, expected in away.shapes(x).items():
        one._placed = Offloaded((away.Shapes(which),), 1)._placed
        assert one._placed is not None
        one._placed.number = hash(which)
        found = made(one, x)
        _compare(found, expected, which)


def _compare(found: Any, expected: Any, which: str) -> None:
    assert type(found) is type(expected), which
    if isinstance(expected, dict):
        assert list(found) == list(expected)
        for key in expected:
            _compare(found[key], expected[key], which)
    elif isinstance(expected, (tuple, list)):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            _compare(one, other, which)
    elif isinstance(expected, np.ndarray):
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)
        assert found.flags.writeable
        assert found.flags.fnc == expected.flags.fnc
    else:
        assert found == expected


def test_a_transform_gets_an_array_of_its_own(kept: Callable[..., Offloaded]) -> None:
    offloaded = kept(away.facts)
    assert made(offloaded, np.ones((20_000, 2))).all()
    assert offloaded(np.ones(3), (0, 0, 0)).all()  # not from `empty`
    assert offloaded(np.ones(50_000), (0, 0, 0)).all()
    frozen = np.ones(50_000)
    frozen.flags.writeable = False
    assert offloaded(frozen, (0, 0, 0)).all()


def test_a_batch_that_a_transform_keeps_stays_as_it_is(kept: Callable[..., Offloaded]) -> None:
    offloaded = kept(away.Kept())
    found = [made(offloaded, np.full(30_000, value)) for value in range(5)]
    for value in range(4):
        assert np.all(found[value + 1] == value)


def test_batches_stay_as_they_are_and_hold_nothing(kept: Callable[..., Offloaded]) -> None:
    offloaded = kept(away.doubled)
    made(offloaded, np.zeros(30_000))
    gc.collect()
    before = fds()
    found = [made(offloaded, np.full(30_000, value)) for value in range(50)]
    assert fds() == before
    for value, array in enumerate(found):
        assert np.all(array == 2 * value)
        array += 1
    assert [array[0] for array in found] == [2 * value + 1 for value in range(50)]


def test_a_thousand_batches_leave_no_descriptor_and_no_segment(kept: Callable[..., Offloaded]) -> None:
    offloaded = kept(away.same, n_workers=2)

    def some(first: int) -> int:
        for position in range(first, first + 250):
            n = 20_000 if position % 10 else 7
            assert made(offloaded, np.full(n, position), position)[-1] == position
        return _held(offloaded)

    with ThreadPoolExecutor(2) as threads:
        list(threads.map(some, (0, 250)))
        gc.collect()
        before = fds(), len(oc.segments())
        assert max(threads.map(some, (0, 250))) < 40
        gc.collect()
        # One of a worker's is made anew where its last one was too small or too large.
        assert fds() <= before[0]
        assert len(oc.segments()) <= before[1] + 2


def _held(offloaded: Offloaded) -> int:
    """Count the descriptors of a worker."""
    pid = int(made(_placing(offloaded, away.who), np.zeros(1))[0])
    return len(os.listdir(f"/proc/{pid}/fd"))
