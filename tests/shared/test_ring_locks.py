"""Locks that end with their holder."""

from __future__ import annotations

import multiprocessing
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import outcore as oc
from outcore.shared import ring_locks

TIMEOUT_S = 60


@pytest.fixture(params=["OpenFileLocks", "ProcessLocks"])
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return getattr(ring_locks, request.param)


def sit_and_lock(kind: Any, memory: oc.SharedArray) -> None:
    locks = kind(memory._shared())
    assert locks.take()
    memory[:2] = [1, locks.sit()]
    time.sleep(TIMEOUT_S)


def test_the_lock_and_the_sign_end_with_the_process(kind: Any) -> None:
    memory = oc.shared_empty(2, "i8")
    locks = kind(memory._shared())
    child = multiprocessing.get_context("fork").Process(target=sit_and_lock, args=(kind, memory))
    child.start()
    try:
        end = time.monotonic() + TIMEOUT_S
        while not memory[0]:
            assert time.monotonic() < end
            time.sleep(0.001)
        assert not locks.take()
        locks.give()  # of somebody else: without effect
        assert not locks.take()
        assert locks.sits(int(memory[1]))
    finally:
        child.kill()
        child.join(TIMEOUT_S)
    assert not locks.sits(int(memory[1]))
    assert locks.take()
    locks.close()


def test_the_lock_can_be_taken_again(kind: Any) -> None:
    locks = kind(oc.shared_empty(1)._shared())
    for _ in range(3):
        assert locks.take()
        locks.give()
    locks.close()


def test_each_ring_has_a_lock_of_its_own(kind: Any) -> None:
    one, other = oc.shared_empty(1), oc.shared_empty(1)
    first, second = kind(one._shared()), kind(other._shared())
    assert first.take()
    assert second.take()
    first.close()
    second.close()


def test_everybody_gets_another_number() -> None:
    memory = oc.shared_empty(1)
    seats = [ring_locks.OpenFileLocks(memory._shared()) for _ in range(3)]
    assert [seat.sit() for seat in seats] == [1, 2, 3]
    assert [seats[0].sits(n) for n in (2, 3, 4)] == [True, True, False]
    seats[1].close()
    assert not seats[0].sits(2)
    newcomer = ring_locks.OpenFileLocks(memory._shared())
    assert newcomer.sit() == 2


def test_the_locks_of_a_process_need_one_descriptor_for_all_rings(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    memory = [oc.shared_empty(1) for _ in range(3)]
    before = len(os.listdir("/proc/self/fd"))
    kept = [ring_locks.ProcessLocks(m._shared()) for m in memory]
    assert len(os.listdir("/proc/self/fd")) == before + 1
    kept[0].close()
    assert kept[1].take()  # closing a descriptor would give the locks of all others back
    del kept
    assert len(os.listdir("/proc/self/fd")) == before
    assert [path.stat().st_size for path in tmp_path.glob("*/.rings")] == [0]


def test_a_process_of_another_user_counts_as_alive(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(pid: int, number: int) -> None:
        raise PermissionError

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    locks = ring_locks.ProcessLocks(oc.shared_empty(1)._shared())
    monkeypatch.setattr(os, "kill", refuse)
    assert locks.sits(1)


def test_no_descriptor_left_is_an_error_with_a_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    import errno

    def refuse(*_: object) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    segment = oc.share(np.zeros(1))._shared()
    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(oc.errors.HandleLimitError, match="ulimit -n"):
        ring_locks.OpenFileLocks(segment)
