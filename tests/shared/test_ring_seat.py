"""One process at one ring."""

from __future__ import annotations

import os
import pickle
import threading

import pytest

from outcore.errors import RingTimeoutError
from outcore.shared import ring_seat
from outcore.shared.ring import SharedRing


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_a_process_sits_once_however_often_it_receives_the_ring() -> None:
    ring = SharedRing(2, 1)
    assert pickle.loads(pickle.dumps(ring)).n_ready == 0
    ring.put([1])
    before = descriptors()
    again = [pickle.loads(pickle.dumps(ring)) for _ in range(5)]
    for other in again:
        assert other._seat is ring._seat
        other.put(other.get())
    assert descriptors() == before
    del ring, other
    assert again.pop().get(timeout=0) == 1


def test_the_seat_goes_with_the_last_ring() -> None:
    before = descriptors()
    ring = SharedRing(2, 1)
    ring.put([1])
    assert descriptors() == before + 2
    del ring
    assert descriptors() == before


def test_a_forked_child_sits_elsewhere() -> None:
    ring = SharedRing(2, 1)
    ring.put([1])
    seat = ring._seat
    mine = seat.owner
    child = os.fork()
    if not child:
        own = seat.alone(lambda: seat.owner)
        os._exit(0 if own != mine and own >> 32 != mine >> 32 and own & 0xFFFFFFFF == os.getpid() else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert seat.owner == mine


def test_a_child_forked_while_another_thread_has_the_lock_is_not_stuck() -> None:
    ring = SharedRing(2, 1)
    seat = ring._seat
    inside, leave = threading.Event(), threading.Event()

    def hold() -> None:
        inside.set()
        leave.wait()

    thread = threading.Thread(target=seat.alone, args=(hold,))
    thread.start()
    inside.wait()
    child = os.fork()
    if not child:
        try:
            ring.put([1], timeout=0)  # the lock is the parent's; it is waited for, and named
        except RingTimeoutError as error:
            os._exit(0 if f"process {os.getppid()}," in str(error) else 1)
        os._exit(2)
    assert os.waitpid(child, 0)[1] == 0
    leave.set()
    thread.join()
    ring.put([1], timeout=0)


def test_the_lock_is_given_back_when_an_action_raises() -> None:
    seat = SharedRing(2, 1)._seat
    with pytest.raises(ZeroDivisionError):
        seat.alone(lambda: 1 / 0)
    assert seat.alone(lambda: 5) == 5


def test_a_descriptor_is_not_opened_while_a_child_is_forked() -> None:
    # It would be inherited without anybody knowing, and would keep the sign of a dead parent alive.
    seen = []
    ring = SharedRing(2, 1)
    original = ring_seat.ring_locks.KIND
    assert original is not None

    class Watched(original):  # type: ignore[misc, valid-type]
        def __init__(self, segment: object) -> None:
            seen.append(ring_seat._forking.locked())
            super().__init__(segment)

    ring_seat.ring_locks.KIND = Watched
    try:
        ring.put([1])
    finally:
        ring_seat.ring_locks.KIND = original
    assert seen == [True]
    assert not ring_seat._forking.locked()
