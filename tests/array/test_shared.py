"""An `Array` of rows in shared memory travels as its handle."""

from __future__ import annotations

import multiprocessing
import pickle

import numpy as np
import pytest

import outcore as oc

DTYPE = np.dtype([("chr", "S10"), ("pos", "<i4")])


def total_of(X):
    return int(X["pos"][:].sum())


def test_asarray_refers_to_the_shared_rows_and_copies_none():
    shared = oc.share(np.arange(12.0).reshape(6, 2))
    X = oc.asarray(shared)
    shared[3] = 7
    np.testing.assert_array_equal(X.windows([3], 2)[0], [[7, 7], [8, 9]])


def test_a_pickle_holds_the_handle_whatever_the_size():
    X = oc.asarray(oc.shared_empty((1_000_000, 2)))
    travelling = pickle.dumps(X)
    assert len(travelling) < 600
    again = pickle.loads(travelling)
    assert np.shares_memory(np.asarray(again), np.asarray(X))


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_children_read_it(method):
    shared = oc.share(np.array([(b"chr1", n) for n in range(100)], DTYPE))
    with multiprocessing.get_context(method).Pool(1) as pool:
        assert pool.apply(total_of, (oc.asarray(shared),)) == 4950


def test_a_selected_field_travels_too():
    X = oc.asarray(oc.share(np.array([(b"chr1", 5)], DTYPE)))["pos"]
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(X))[:], [5])
