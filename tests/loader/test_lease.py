from __future__ import annotations

import threading

import numpy as np
import pytest

from outcore.loader.lease import LEASED_BYTES, Leases

SHAPE = (LEASED_BYTES // 8, 2)


def place(array):
    return array.ctypes.data


def test_memory_comes_back_when_the_last_reference_goes():
    leases = Leases(keep=4)
    first = leases.empty(SHAPE, "f4")
    where = place(first)
    del first
    assert place(leases.empty(SHAPE, "f4")) == where


@pytest.mark.parametrize(
    "keep_a_part",
    [
        lambda batch: batch[3:5],
        lambda batch: batch.T,
        lambda batch: memoryview(batch),
        lambda batch: batch.view(np.uint8),
        lambda batch: np.asarray(batch[:, 0]),
    ],
    ids=["slice", "transposed", "memoryview", "bytes", "column"],
)
def test_memory_does_not_come_back_while_any_part_lives(keep_a_part):
    leases = Leases(keep=4)
    batch = leases.empty(SHAPE, "f4")
    batch[...] = 7
    part = keep_a_part(batch)
    del batch
    other = leases.empty(SHAPE, "f4")
    other[...] = 1
    assert set(np.asarray(part).tobytes()) == set(np.float32(7).tobytes())
    assert not np.shares_memory(other, np.asarray(part))


def test_batches_are_writable_and_aligned():
    batch = Leases(keep=1).empty(SHAPE, "f8")
    assert batch.flags.writeable
    assert batch.flags.c_contiguous
    assert batch.flags.aligned


def test_sizes_are_kept_apart():
    leases = Leases(keep=2)
    small, large = leases.empty(SHAPE, "f4"), leases.empty((2 * SHAPE[0], 2), "f4")
    where = place(small)
    del small, large
    assert place(leases.empty(SHAPE, "f4")) == where


def test_no_more_waits_than_may():
    leases = Leases(keep=2)
    batches = [leases.empty(SHAPE, "f4") for _ in range(5)]
    del batches
    assert sum(len(free) for free in leases._free.values()) == 2
    assert leases._lent == {}


def test_small_arrays_and_empty_ones_come_from_the_heap():
    leases = Leases(keep=2)
    assert leases.empty((3, 2), "f4").base is None
    assert leases.empty((0, 5), "f8").shape == (0, 5)


@pytest.mark.parametrize("dtype", ["M8[s]", [("a", "S3"), ("b", "f8", (2,))], ">f4", "?", "<U3"])
def test_every_dtype(dtype):
    batch = Leases(keep=1).empty((LEASED_BYTES, 1), dtype)
    assert batch.dtype == np.dtype(dtype)
    batch[...] = np.zeros(1, dtype)


def test_leases_outlive_those_who_lent():
    batch = Leases(keep=1).empty(SHAPE, "f4")
    batch[...] = 3
    assert (batch == 3).all()
    del batch  # the memory comes back to nobody


def test_many_threads_never_get_the_same_memory():
    leases = Leases(keep=8)
    clashes = []

    def work(mark):
        for _ in range(300):
            batch = leases.empty(SHAPE, "i4")
            batch[...] = mark
            if not (batch == mark).all():
                clashes.append(mark)
            del batch

    threads = [threading.Thread(target=work, args=(mark,)) for mark in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert clashes == []
