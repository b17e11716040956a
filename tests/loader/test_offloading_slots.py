"""Shared memory that is used again."""

from __future__ import annotations

import gc
import os
import threading

import numpy as np
import pytest

import outcore as oc
from outcore.errors import DTypeError
from outcore.loader.offloading_slots import Slots


def fds() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_memory_is_used_again_and_only_after_it_was_given_back() -> None:
    slots = Slots()
    first, second = slots.empty((1000, 8), "f4"), slots.empty((1000, 8), "f4")
    places = {first.ctypes.data, second.ctypes.data}
    assert len(places) == 2
    assert isinstance(first, oc.SharedArray)
    assert first.flags.writeable
    assert first.flags.aligned
    slots.release([first, second])
    slots.release([first, second])  # again: nothing is handed out twice
    again = [slots.empty((1000, 8), "f4") for _ in range(3)]
    assert len({array.ctypes.data for array in again}) == 3
    assert places < {array.ctypes.data for array in again}


def test_segments_stay_as_many_as_were_out_at_the_same_time() -> None:
    slots = Slots()
    before = fds()
    for n in (100_000, 100_000, 317, 250_000, 9, 100_000):  # the last batch of an epoch is smaller
        for _ in range(20):
            x, y = slots.empty((n, 3), "f4"), slots.empty((n,), "u1")
            x[...], y[...] = 1, 2
            assert x.sum() == 3 * n
            slots.release([x, y])
            assert fds() <= before + 2
    del x, y
    slots.close()
    assert fds() == before


def test_a_large_piece_is_not_spent_on_a_small_array() -> None:
    slots = Slots()
    x, y = slots.empty((1 << 20,), "u1"), slots.empty((9000,), "u1")
    places = x.ctypes.data, y.ctypes.data
    slots.release([x, y])
    y = slots.empty((9000,), "u1")
    x = slots.empty((1 << 20,), "u1")
    assert (x.ctypes.data, y.ctypes.data) == places


@pytest.mark.parametrize("dtype", ["f4", "M8[ns]", "S5", "U3", [("a", "i1"), ("b", "f8")], ("f4", (2, 3))])
def test_any_type_that_memory_can_hold(dtype: object) -> None:
    like = np.empty((4, 2), dtype)
    made = Slots().empty((4, 2), np.dtype(dtype))
    assert (made.shape, made.dtype) == (like.shape, like.dtype)
    made[...] = like
    assert made.tobytes() == like.tobytes()


def test_arrays_without_bytes_and_arrays_from_elsewhere() -> None:
    slots = Slots()
    nothing = slots.empty((0, 5), "f8")
    assert nothing.shape == (0, 5)
    slots.release([nothing, np.ones(3), oc.share(np.ones(3)), None])
    with pytest.raises(DTypeError):
        slots.empty((3,), object)


def test_what_is_not_given_back_goes_with_its_last_reference() -> None:
    slots = Slots()
    before = fds()
    view = slots.empty((5000,), "f8")[10:20]
    assert fds() == before + 1
    del view
    gc.collect()
    assert fds() == before


def test_after_close_nothing_is_kept() -> None:
    slots = Slots()
    before = fds()
    array = slots.empty((5000,), "f8")
    slots.close()
    slots.release([array])
    del array
    assert fds() == before


def test_threads_get_memory_of_their_own() -> None:
    slots = Slots()
    wrong = []

    def use(number: int) -> None:
        for n in range(200):
            mine = slots.empty((1000 + n % 7,), "i8")
            mine[...] = number
            other = slots.empty((10,), "i8")
            other[...] = -number
            if not (np.all(mine == number) and np.all(other == -number)):
                wrong.append(number)
            slots.release([mine, other])

    threads = [threading.Thread(target=use, args=(number,)) for number in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_forked_child_does_not_wait_for_a_lock_that_nobody_holds_there() -> None:
    slots = Slots()
    array = slots.empty((100,), "i8")
    with slots._lock:
        done = threading.Event()
        held = threading.Event()
        thread = threading.Thread(target=lambda: (held.set(), done.wait(60)))
        thread.start()
        held.wait(60)
    holder = threading.Thread(target=_hold, args=(slots, held := threading.Event(), done))
    holder.start()
    held.wait(60)
    pid = os.fork()
    if pid == 0:
        slots.release([array])
        slots.close()
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    done.set()
    thread.join()
    holder.join()


def _hold(slots: Slots, held: threading.Event, done: threading.Event) -> None:
    with slots._lock:
        held.set()
        done.wait(60)
