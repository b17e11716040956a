"""A stream of arrays through a fixed number of slots."""

from __future__ import annotations

import copy
import os
import pickle
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from outcore.errors import (
    DTypeError,
    MemoryBudgetError,
    OptionError,
    PlatformError,
    RingClosedError,
    RingTimeoutError,
    RowIndexError,
    SegmentGoneError,
    ShapeError,
)
from outcore.shared import ring_locks, travel
from outcore.shared.ring import SharedRing
from tests.shared.ring_roles import TIMEOUT_S, descriptors, in_thread, write_numbers

METHODS = ["fork", "spawn", "forkserver"]
DTYPE = np.dtype([("chr", "S10"), ("pos", "<i4"), ("pct", "<f4")])

# ---- one process ---------------------------------------------------------------------------------


def test_items_come_in_the_order_in_which_slots_were_claimed() -> None:
    ring = SharedRing(3, 2, "i4")
    with ring.write() as first, ring.write() as second:
        second[...] = 2
        first[...] = 1
    ring.put([3, 3])
    assert [ring.get().tolist() for _ in range(3)] == [[1, 1], [2, 2], [3, 3]]


def test_a_complete_item_waits_for_an_older_one_that_is_being_written() -> None:
    ring = SharedRing(3, (), "i4")
    with ring.write() as older:
        ring.put(2)
        assert ring.n_ready == 1
        with pytest.raises(RingTimeoutError, match="no item could be read"):
            ring.get(timeout=0)
        older[...] = 1
    assert [int(ring.get()), int(ring.get())] == [1, 2]


def test_who_waits_for_an_older_item_is_woken_when_it_is_given_up() -> None:
    ring = SharedRing(3, (), "i4")
    got: list[int] = []
    older = ring.write()
    older.__enter__()
    ring.put(2)
    reader = in_thread(lambda: got.append(int(ring.get(TIMEOUT_S))))
    reader.join(0.1)
    assert got == []
    older.__exit__(RuntimeError, RuntimeError(), None)
    reader.join(TIMEOUT_S)
    assert got == [2]


def test_slots_are_used_again() -> None:
    ring = SharedRing(2, 4, "i8")
    for number in range(100):
        ring.put(np.full(4, number))
        assert ring.get().tolist() == [number] * 4
    assert ring.n_ready == 0


def test_any_free_slot_will_do() -> None:
    # A reader that keeps one item does not hold up the writers, as it would if slots had a fixed order.
    ring = SharedRing(3, (), "i8")
    ring.put(-1)
    with ring.read() as kept:
        for number in range(10):
            ring.put(number, timeout=0)
            assert ring.get(timeout=0) == number
        assert kept == -1


def test_a_full_ring_makes_the_writer_wait() -> None:
    ring = SharedRing(2, (), "i8")
    writer = in_thread(write_numbers, ring, range(50))
    while ring.n_ready < 2:
        time.sleep(0.001)
    with pytest.raises(RingTimeoutError, match="no slot became free"):
        ring.put(0, timeout=0.05)
    assert [int(ring.get(TIMEOUT_S)) for _ in range(50)] == list(range(50))
    writer.join()


def test_an_item_whose_writer_raises_is_never_read() -> None:
    ring = SharedRing(1, 2, "i4")
    with pytest.raises(ZeroDivisionError), ring.write() as slot:
        slot[0] = 1 / 0
    assert ring.n_ready == 0
    ring.put([5, 6], timeout=0)
    assert ring.get(timeout=0).tolist() == [5, 6]


def test_an_item_whose_reader_raises_was_delivered() -> None:
    ring = SharedRing(2, (), "i4")
    ring.put(1)
    ring.put(2)
    with pytest.raises(ZeroDivisionError), ring.read():
        1 / 0  # noqa: B018
    assert ring.get() == 2


def test_what_is_read_is_the_slot_itself_and_cannot_be_written_to() -> None:
    ring = SharedRing(1, 3, "f4")
    ring.put([1, 2, 3])
    with ring.read() as item:
        assert np.shares_memory(item, ring.slot(0))
        assert type(item) is np.ndarray
        with pytest.raises(ValueError, match="read-only"):
            item[0] = 9


def test_get_copies() -> None:
    ring = SharedRing(1, 3, "f4")
    ring.put([1, 2, 3])
    first = ring.get()
    ring.put([4, 5, 6])
    assert first.tolist() == [1, 2, 3]
    out = np.zeros(3)
    assert ring.get(out=out) is out
    assert out.tolist() == [4, 5, 6]


@pytest.mark.parametrize("shape", [(), (0,), (3, 0), (2, 3), 5])
def test_shapes(shape: int | tuple[int, ...]) -> None:
    ring = SharedRing(3, shape, "i2")
    sizes = shape if isinstance(shape, tuple) else (shape,)
    values = np.arange(np.prod(sizes, dtype=int), dtype="i2").reshape(sizes)
    for number in range(7):
        ring.put(values + np.int16(number))
        got = ring.get()
        assert got.shape == ring.shape == sizes
        np.testing.assert_array_equal(got, values + np.int16(number))


def test_structured_items() -> None:
    ring = SharedRing(2, 2, DTYPE)
    values = np.array([(b"chr1", 5, 0.5), (b"chrX", 6, 1)], DTYPE)
    ring.put(values)
    with ring.read() as item:
        assert item["chr"].tolist() == [b"chr1", b"chrX"]
        np.testing.assert_array_equal(item, values)


def test_a_type_of_several_values_is_a_longer_shape() -> None:
    ring = SharedRing(2, 3, np.dtype(("f4", (2,))))
    assert ring.shape == (3, 2)
    assert ring.dtype == np.dtype("f4")


def test_slots_do_not_overlap_and_no_two_share_a_cache_line() -> None:
    ring = SharedRing(5, 3, "u1")
    for i in range(5):
        ring.slot(i)[...] = i
    assert [ring.slot(i).tolist() for i in range(5)] == [[i] * 3 for i in range(5)]
    places = [ring.slot(i).__array_interface__["data"][0] for i in range(5)]
    assert {place % 64 for place in places} == {0}
    assert len({place // 64 for place in places}) == 5
    assert places[0] % 4096 == 0


def test_the_state_is_not_reached_by_what_is_written_to_the_slots() -> None:
    ring = SharedRing(600, 1, "u1")  # the words of so many slots take more than one page
    for i in range(600):
        ring.slot(i)[...] = 255
    assert ring.n_ready == 0
    for number in range(1300):
        ring.put(np.array([number % 256], "u1"))
        assert ring.get(timeout=0) == number % 256


@pytest.mark.parametrize("n_slots", [0, -1, 1.5, True, "4"])
def test_a_number_of_slots_that_cannot_be_is_refused(n_slots: Any) -> None:
    with pytest.raises(OptionError, match="n_slots="):
        SharedRing(n_slots, 3)


def test_objects_and_bad_shapes_are_refused() -> None:
    with pytest.raises(DTypeError, match="Python objects"):
        SharedRing(2, 3, object)
    with pytest.raises(ShapeError, match=r"shape=\(-1,\)"):
        SharedRing(2, (-1,))


def test_a_ring_larger_than_the_memory_is_refused_before_it_is_touched() -> None:
    with pytest.raises(MemoryBudgetError, match="a ring of 1000 slots"):
        SharedRing(1000, 1 << 40)


def test_arrays_that_do_not_fit_are_refused_and_claim_no_slot() -> None:
    ring = SharedRing(1, 3, "i4")
    with pytest.raises(ShapeError, match=r"shape \(2,\).*shape \(3,\)"):
        ring.put([1, 2])
    with pytest.raises(ShapeError, match="not broadcast"):
        ring.put(1)
    with pytest.raises(DTypeError, match=r"float64.*int32"):
        ring.put([1.5, 2, 3])
    ring.put([1, 2, 3], timeout=0)
    with pytest.raises(ShapeError, match="out has shape"):
        ring.get(out=np.zeros(2))
    with pytest.raises(DTypeError, match="out has dtype"):
        ring.get(out=np.zeros(3, bool))
    assert ring.get(timeout=0).tolist() == [1, 2, 3]


@pytest.mark.parametrize("i", [-1, 2])
def test_a_slot_that_is_not_there(i: int) -> None:
    with pytest.raises(RowIndexError, match=f"slot {i} is none of the 2"):
        SharedRing(2, 3).slot(i)


def test_a_timeout_says_who_has_the_slots() -> None:
    ring = SharedRing(4, (), "i4")
    for number in range(3):
        ring.put(number)
    with ring.read(), ring.write(), pytest.raises(RingTimeoutError) as caught:
        ring.put(3, timeout=0.01)
    me = os.getpid()
    assert (
        f"within 0.01 s; of 4 slots, free: 0, being written: 1 (process {me}), waiting to be read: 2, being"
        f" read: 1 (process {me})." in str(caught.value)
    )


@pytest.mark.parametrize("timeout", [-1, float("nan")])
def test_a_timeout_that_makes_no_sense(timeout: float) -> None:
    with pytest.raises(OptionError, match="timeout="):
        SharedRing(1, 1).get(timeout)


def test_a_block_has_one_slot() -> None:
    block = SharedRing(2, 1).write()
    with block, pytest.raises(OptionError, match="has a slot already"):
        block.__enter__()
    with block:  # but it may be used again
        pass


# ---- the end -------------------------------------------------------------------------------------


def test_what_was_written_before_the_end_is_read() -> None:
    ring = SharedRing(3, (), "i4")
    assert not ring.closed
    ring.put(1)
    with ring.write() as slot:
        ring.close()
        ring.close()
        slot[...] = 2
    assert ring.closed
    assert [int(item) for item in ring] == [1, 2]
    with pytest.raises(RingClosedError, match="all its items were read"):
        ring.get()
    with pytest.raises(RingClosedError, match="nothing can be written"):
        ring.put(3)


def test_the_end_waits_for_an_item_that_is_being_written() -> None:
    ring = SharedRing(2, (), "i4")
    got: list[int] = []
    with ring.write() as slot:
        ring.close()
        reader = in_thread(lambda: got.extend(map(int, ring)))
        reader.join(0.2)
        assert reader.is_alive()
        slot[...] = 5
    reader.join(TIMEOUT_S)
    assert got == [5]


def test_everybody_who_waits_learns_of_the_end() -> None:
    empty, full = SharedRing(1, ()), SharedRing(1, ())
    full.put(0)
    ended: list[str] = []

    def wait(function: Callable[..., Any], *args: Any) -> None:
        with pytest.raises(RingClosedError):
            function(*args)
        ended.append(function.__name__)

    threads = [in_thread(wait, *what) for what in [(empty.get,), (full.put, 1)] * 3]
    time.sleep(0.05)
    empty.close()
    full.close()
    for thread in threads:
        thread.join(TIMEOUT_S)
    assert sorted(ended) == ["get"] * 3 + ["put"] * 3


# ---- handles -------------------------------------------------------------------------------------


def test_a_pickle_holds_no_data() -> None:
    ring = SharedRing(4, (1000, 1000), DTYPE)
    ring.put(np.zeros((1000, 1000), DTYPE))
    handle = pickle.dumps(ring)
    assert len(handle) < 1000
    pickle.loads(handle)


def test_a_pickle_loaded_here_is_the_same_ring() -> None:
    ring = SharedRing(2, 2, "i4")
    ring.put([0, 0])
    assert pickle.loads(pickle.dumps(ring)).get(timeout=0).tolist() == [0, 0]
    before = descriptors()
    again = pickle.loads(pickle.dumps(ring))
    ring.put([1, 2])
    assert again.get(timeout=0).tolist() == [1, 2]
    assert (again.n_slots, again.shape, again.dtype, len(again)) == (2, (2,), np.dtype("i4"), 2)
    assert descriptors() == before


def test_a_copy_is_the_same_ring() -> None:
    ring = SharedRing(2, (), "i4")
    ring.put(1)
    ring.put(2)
    assert copy.copy(ring).get(timeout=0) == 1
    assert copy.deepcopy(ring).get(timeout=0) == 2


def test_a_ring_that_cannot_be_received_says_so_when_it_is_used() -> None:
    ring = SharedRing(2, 2, "i4")
    handle = pickle.dumps(ring)
    travel.release()
    del ring
    lost = pickle.loads(handle)
    assert "n_slots=2" in repr(lost)
    with pytest.raises(SegmentGoneError, match="gone"):
        lost.get(timeout=0)


def test_the_memory_is_freed_with_the_last_ring_and_slot() -> None:
    ring = SharedRing(2, 2, "i4")
    before = [os.readlink(f"/proc/self/fd/{ring._memory._shared().fd}")]
    slot = ring.slot(1)
    del ring
    slot[...] = 3
    assert slot.tolist() == [3, 3]
    del slot
    links = []
    for fd in os.listdir("/proc/self/fd"):
        try:
            links.append(os.readlink(f"/proc/self/fd/{fd}"))
        except FileNotFoundError:  # that of the listing
            continue
    assert [link for link in links if link in before] == []


def test_a_system_without_such_locks_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ring_locks, "KIND", None)
    with pytest.raises(PlatformError, match="needs file locks"):
        SharedRing(2, 2)
