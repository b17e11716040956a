"""A ring between processes and threads."""

from __future__ import annotations

import gc
import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor

import pytest

import outcore as oc
from outcore.shared.ring import SharedRing
from tests.shared.ring_roles import (
    TIMEOUT_S,
    descriptors,
    double,
    fill_slot,
    in_thread,
    put_pid,
    sum_into,
    sum_items,
    write_and_count_descriptors,
    write_numbers,
)

METHODS = ["fork", "spawn", "forkserver"]


@pytest.mark.parametrize("method", METHODS)
def test_several_writers_and_readers_get_every_item_once(method: str) -> None:
    context = multiprocessing.get_context(method)
    ring = SharedRing(4, 500, "i8")
    sums = oc.shared_empty(1, "i8")
    writers = [
        context.Process(target=write_numbers, args=(ring, range(n * 300, n * 300 + 300))) for n in range(2)
    ]
    readers = [context.Process(target=sum_into, args=(ring, sums, i)) for i in range(1)]
    for process in writers + readers:
        process.start()
    own: list[int] = []
    here = in_thread(lambda: own.append(sum_items(ring)))
    for writer in writers:
        writer.join(TIMEOUT_S)
    ring.close()
    here.join(TIMEOUT_S)
    for reader in readers:
        reader.join(TIMEOUT_S)
    assert [process.exitcode for process in writers + readers] == [0] * 3
    assert -1 not in (*own, *sums)
    assert sum(own) + int(sums.sum()) == sum(range(600))


@pytest.mark.parametrize("method", METHODS)
def test_a_ring_travels_through_a_queue(method: str) -> None:
    context = multiprocessing.get_context(method)
    numbers, doubled = SharedRing(2, (), "i8"), SharedRing(2, (), "i8")
    rings = context.Queue()
    child = context.Process(target=double, args=(rings, doubled))
    child.start()
    rings.put(numbers)
    for number in range(5):
        numbers.put(number)
        assert doubled.get(TIMEOUT_S) == 2 * number
    numbers.close()
    child.join(TIMEOUT_S)
    assert child.exitcode == 0
    rings.close()
    rings.join_thread()


def test_workers_of_a_pool_answer_through_a_ring() -> None:
    ring = SharedRing(2, (), "i8")
    with ProcessPoolExecutor(2) as pool:
        tasks = [pool.submit(put_pid, ring) for _ in range(20)]
        got = sorted(int(ring.get(TIMEOUT_S)) for _ in tasks)
        assert got == sorted(task.result() for task in tasks)


def test_a_slot_travels_by_itself() -> None:
    ring = SharedRing(3, 4, "i4")
    child = multiprocessing.get_context("spawn").Process(target=fill_slot, args=(ring.slot(1),))
    child.start()
    child.join(TIMEOUT_S)
    assert [ring.slot(i).sum() for i in range(3)] == [0, 28, 0]


def test_ten_thousand_items_cost_no_descriptor() -> None:
    ring = SharedRing(4, 16, "i8")
    context = multiprocessing.get_context("fork")
    writer = context.Process(target=write_and_count_descriptors, args=(ring, 10_000))
    writer.start()
    for _ in range(10):
        ring.get(TIMEOUT_S)
    before = descriptors()
    for number in range(10, 10_000):
        with ring.read(TIMEOUT_S) as item:
            assert item[0] == item[15] == number
    assert descriptors() == before
    writer.join(TIMEOUT_S)
    assert writer.exitcode == 0


def test_threads_share_a_ring() -> None:
    ring = SharedRing(3, 50, "i8")
    sums: list[int] = []
    writers = [in_thread(write_numbers, ring, range(n * 100, n * 100 + 100)) for n in range(4)]
    readers = [in_thread(lambda: sums.append(sum_items(ring))) for _ in range(3)]
    for writer in writers:
        writer.join(TIMEOUT_S)
    ring.close()
    for reader in readers:
        reader.join(TIMEOUT_S)
    assert -1 not in sums
    assert sum(sums) == sum(range(400))


def test_a_child_forked_inside_a_block_has_not_got_its_slot() -> None:
    ring = SharedRing(2, (), "i4")
    with ring.write() as slot:
        child = os.fork()
        if not child:
            os._exit(_leave_the_block_of_the_parent(ring))
        assert os.waitpid(child, 0)[1] == 0
        assert ring.n_ready == 0
        slot[...] = 1
    assert ring.get(timeout=0) == 1


def _leave_the_block_of_the_parent(ring: SharedRing) -> int:
    # What the child would do at the end of the with statement in which it was forked.
    (block,) = [found for found in gc.get_objects() if type(found).__name__ == "Block"]
    block.__exit__(None, None, None)
    return ring.n_ready
