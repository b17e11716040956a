"""Slots are given back by whoever dies, or is interrupted, at whatever moment."""

from __future__ import annotations

import contextlib
import gc
import multiprocessing
import os
import pickle
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import outcore as oc
from outcore.errors import RingClosedError, RingTimeoutError
from outcore.shared import futex, named, ring_locks, sharing
from outcore.shared.ring import SharedRing
from outcore.shared.ring_claims import LOOK_S

METHODS = ["fork", "spawn", "forkserver"]
TIMEOUT_S = 60


@pytest.fixture(params=["linux", "polling", "locks of processes", "named"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    """The ways of other systems, forced."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    if request.param == "polling":
        monkeypatch.setattr(futex, "SUPPORTED", False)
    elif request.param == "locks of processes":
        monkeypatch.setattr(ring_locks, "KIND", ring_locks.ProcessLocks)
    elif request.param == "named":
        monkeypatch.setattr(sharing, "BACKEND", named)
    return str(request.param)


@contextlib.contextmanager
def running(function: Any, *args: Any, method: str = "fork") -> Iterator[BaseProcess]:
    process = multiprocessing.get_context(method).Process(target=function, args=args)
    process.start()
    try:
        yield process
    finally:
        process.kill()
        process.join(TIMEOUT_S)
        process.close()


def kill(process: BaseProcess) -> None:
    process.kill()
    process.join(TIMEOUT_S)


def wait_until(flag: np.ndarray) -> None:
    end = time.monotonic() + TIMEOUT_S
    while not flag.any():
        assert time.monotonic() < end
        time.sleep(0.001)


# ---- what runs in other processes ----------------------------------------------------------------


def stay_in_write(ring: SharedRing, here: np.ndarray) -> None:
    with ring.write() as slot:
        slot[: len(slot) // 2] = -1
        here[...] = 1
        time.sleep(TIMEOUT_S)


def stay_in_read(ring: SharedRing, here: np.ndarray) -> None:
    with ring.read():
        here[...] = 1
        time.sleep(TIMEOUT_S)


def stay_in_lock(ring: SharedRing, here: np.ndarray) -> None:
    ring._seat.alone(_stay, here)


def _stay(here: np.ndarray) -> None:
    here[...] = 1
    time.sleep(TIMEOUT_S)


def write_for_ever(ring: SharedRing, writer: int) -> None:
    while True:
        with ring.write() as slot:
            for part in np.split(slot, 4):  # so that it is often hit in the middle
                part[...] = writer


def write_and_end(ring: SharedRing, writer: int, n_items: int) -> None:
    for number in range(n_items):
        with ring.write(TIMEOUT_S) as slot:
            for part in np.split(slot, 4):
                part[...] = writer + number


def tick_off(ring: SharedRing, seen: np.ndarray, torn: np.ndarray) -> None:
    with contextlib.suppress(RingClosedError):
        while True:
            with ring.read() as item:
                if item.min() != item.max():
                    torn[...] = 1
                seen[int(item[0])] = 1


# ---- kill -9 -------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_the_slot_of_a_dead_writer_is_free_and_was_never_readable(method: str) -> None:
    ring, here = SharedRing(1, 10, "i8"), oc.shared_empty(1, "u1")
    with running(stay_in_write, ring, here, method=method) as writer:
        wait_until(here)
        with pytest.raises(RingTimeoutError, match=rf"being written: 1 \(process {writer.pid}\)"):
            ring.put(np.ones(10, "i8"), timeout=0.1)
        kill(writer)
        with pytest.raises(RingTimeoutError, match="free: 1, being written: 0,"):
            ring.get(timeout=0)
        ring.put(np.ones(10, "i8"), timeout=0)
    assert ring.get(timeout=0).tolist() == [1] * 10


@pytest.mark.parametrize("method", METHODS)
def test_the_item_of_a_dead_reader_is_read_again_and_first(method: str) -> None:
    ring, here = SharedRing(2, 3, "i8"), oc.shared_empty(1, "u1")
    ring.put([1, 2, 3])
    with running(stay_in_read, ring, here, method=method) as reader:
        wait_until(here)
        ring.put([4, 5, 6])
        with pytest.raises(RingTimeoutError, match=rf"being read: 1 \(process {reader.pid}\)"):
            ring.put([7, 8, 9], timeout=0.1)
        kill(reader)
        time.sleep(2 * LOOK_S)  # who reads looks for the dead every now and then, not each time
        ring.close()
        assert [item.tolist() for item in ring] == [[1, 2, 3], [4, 5, 6]]


def test_the_dead_are_noticed_in_every_way(way: str) -> None:
    ring, here = SharedRing(2, 4, "i8"), oc.shared_empty(1, "u1")
    ring.put([1, 2, 3, 4])
    with running(stay_in_read, ring, here) as reader:
        wait_until(here)
        here[...] = 0
        with running(stay_in_write, ring, here) as writer:
            wait_until(here)
            kill(writer)
        kill(reader)
    time.sleep(2 * LOOK_S)
    ring.put([5, 6, 7, 8], timeout=0)
    ring.close()
    assert [item.tolist() for item in ring] == [[1, 2, 3, 4], [5, 6, 7, 8]]


def test_who_waits_already_notices_a_death(way: str) -> None:
    ring, here = SharedRing(1, 4, "i8"), oc.shared_empty(1, "u1")
    with running(stay_in_write, ring, here) as writer:
        wait_until(here)
        with running(write_and_end, ring, 5, 1) as waiting:
            time.sleep(0.1)
            kill(writer)
            assert ring.get(TIMEOUT_S).tolist() == [5] * 4
            waiting.join(TIMEOUT_S)
            assert waiting.exitcode == 0


def test_a_death_inside_the_lock_gives_it_back(way: str) -> None:
    ring, here = SharedRing(1, 4, "i8"), oc.shared_empty(1, "u1")
    with running(stay_in_lock, ring, here) as holder:
        wait_until(here)
        kill(holder)
    ring.put([1, 2, 3, 4], timeout=0)


def test_a_stopped_process_that_has_the_lock_is_named(way: str) -> None:
    ring, here = SharedRing(1, 4, "i8"), oc.shared_empty(1, "u1")
    with running(stay_in_lock, ring, here) as holder:
        wait_until(here)
        with pytest.raises(RingTimeoutError, match=rf"lock of the ring .*process {holder.pid},"):
            ring.get(timeout=0)


def test_a_number_that_a_dead_process_had_is_not_taken_for_it() -> None:
    # The newcomer shows the same sign as the dead one, whose slot would be busy as long as it lives.
    ring, here = SharedRing(1, 4, "i8"), oc.shared_empty(1, "u1")
    with running(stay_in_write, ring, here) as writer:
        wait_until(here)
        kill(writer)
    with running(write_and_end, ring, 5, 1):
        assert ring.get(TIMEOUT_S).tolist() == [5] * 4


def test_a_forked_grandchild_does_not_keep_the_slot_of_the_dead() -> None:
    program = """if True:
        import os, pickle, sys, time
        import outcore.shared.ring
        ring = pickle.load(sys.stdin.buffer)
        with ring.write(), ring.write():
            if os.fork() == 0:
                print(os.getpid(), flush=True)
                time.sleep(60)
            os.kill(os.getpid(), 9)
    """
    ring = SharedRing(2, 4, "i8")
    run = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with run:
        assert run.stdin is not None
        assert run.stdout is not None
        run.stdin.write(pickle.dumps(ring))
        run.stdin.close()
        grandchild = int(run.stdout.readline())
        try:
            ring.put(np.ones(4, "i8"), timeout=TIMEOUT_S)
            ring.put(np.ones(4, "i8"), timeout=TIMEOUT_S)
        finally:
            os.kill(grandchild, signal.SIGKILL)


@pytest.mark.parametrize("seed", [1, 2])
def test_twenty_deaths_at_random_moments(seed: int, way: str) -> None:
    rng = random.Random(seed)
    ring = SharedRing(4, 4096, "i8")
    n_items, survivors = 150, 2
    seen, torn = oc.shared_empty(survivors * n_items + 10, "u1"), oc.shared_empty(1, "u1")
    short_lived = survivors * n_items
    jobs = [(write_for_ever, (ring, short_lived + n)) for n in range(2)]
    jobs += [(tick_off, (ring, seen, torn)) for _ in range(2)]
    with contextlib.ExitStack() as everybody:
        writers = [
            everybody.enter_context(running(write_and_end, ring, n * n_items, n_items))
            for n in range(survivors)
        ]
        everybody.enter_context(running(tick_off, ring, seen, torn))
        for _ in range(10):
            with contextlib.ExitStack() as doomed:
                victims = [doomed.enter_context(running(job, *args)) for job, args in rng.sample(jobs, 2)]
                time.sleep(0.01 + 0.02 * rng.random())
                for victim in victims:
                    kill(victim)
        for writer in writers:
            writer.join(TIMEOUT_S)
            assert writer.exitcode == 0
        ring.close()
        end = time.monotonic() + TIMEOUT_S
        while not seen[:short_lived].all():
            assert time.monotonic() < end, f"{short_lived - seen[:short_lived].sum()} items never came"
            time.sleep(0.01)
    assert not torn.any()
    with pytest.raises(RingClosedError):
        ring.get(timeout=1)


# ---- Ctrl-C --------------------------------------------------------------------------------------


class Interrupted(Exception):  # noqa: N818
    pass


def test_an_interrupt_at_any_line_leaves_neither_a_lock_nor_a_slot() -> None:
    armed = False

    def interrupt(*_: object) -> None:
        nonlocal armed
        if armed:
            armed = False
            raise Interrupted

    rng = random.Random(0)
    known = descriptors_of_rings()
    ring = SharedRing(2, 4, "i8")
    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        for _ in range(300):
            armed = True
            # Not pytest.raises, which keeps the traceback, and with it the block, for longer.
            with contextlib.suppress(Interrupted):
                put_and_get(ring, 2e-4 * rng.random())
            assert not armed
            assert_nothing_is_held(ring)
    finally:
        armed = False
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        del ring
        gc.collect()
        # An interrupt may come after the system gave a descriptor and before Python has stored its number: an
        # instant that no code can guard, and that is no part of what is promised here.
        for lost in descriptors_of_rings() - known:
            os.close(lost)


def descriptors_of_rings() -> set[int]:
    """Name the open descriptors of memory that was made in this file."""
    found = set()
    for name in os.listdir("/proc/self/fd") if os.path.isdir("/proc/self/fd") else ():
        with contextlib.suppress(OSError):  # that of the listing is closed by now
            if Path(__file__).name in os.readlink(f"/proc/self/fd/{name}"):
                found.add(int(name))
    return found


def put_and_get(ring: SharedRing, interrupt_s: float) -> None:
    signal.setitimer(signal.ITIMER_REAL, 1e-6 + interrupt_s)
    while True:
        ring.put(np.ones(4, "i8"), timeout=0)
        ring.get(timeout=0)


def assert_nothing_is_held(ring: SharedRing) -> None:
    beside = ring_locks.OpenFileLocks(ring._memory._shared())
    assert beside.take(), "the lock was not given back"
    beside.close()
    while ring.n_ready:
        ring.get(timeout=0)
    for number in range(ring.n_slots):
        ring.put(np.full(4, number), timeout=0)
    for number in range(ring.n_slots):
        assert ring.get(timeout=0).tolist() == [number] * 4
