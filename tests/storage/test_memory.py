from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import outcore as oc
from outcore.array.handle import Array
from outcore.storage.memory import MemoryStorage
from outcore.storage.protocol import Spec
from outcore.testing import StorageTests, assert_same
from tests.strategies import arrays, keys


def in_memory(rows: np.ndarray, *, writable: bool = False) -> Array:
    return Array(
        Spec("memory", "memory", "", "r", rows.shape, rows.dtype), MemoryStorage(rows, writable=writable)
    )


class TestContiguousMemory(StorageTests):
    writable = True
    travels = False

    def store(self, rows: np.ndarray, folder: Path, *, writable: bool = False) -> Array:
        return in_memory(np.ascontiguousarray(rows) if rows.ndim else rows, writable=writable)


class TestStridedMemory(StorageTests):
    writable = True
    travels = False

    def store(self, rows: np.ndarray, folder: Path, *, writable: bool = False) -> Array:
        if not rows.ndim:
            return in_memory(rows, writable=writable)
        wide = np.repeat(rows, 2, axis=-1)
        return in_memory(wide[..., ::2], writable=writable)


@given(data=st.data(), array=arrays(min_dims=1))
def test_views_of_any_strides_equal_numpy(data: st.DataObject, array: np.ndarray) -> None:
    turned = array.transpose(data.draw(st.permutations(range(array.ndim))))
    view = turned[:: data.draw(st.sampled_from([1, -1, 2]))]
    key = data.draw(keys(view.shape))
    assert_same(oc.asarray(view)[key], view[key])


def test_the_array_is_referred_to_and_not_copied() -> None:
    rows = np.arange(10.0)
    array = oc.asarray(rows)
    assert np.asarray(array) is rows
    assert not np.shares_memory(array[:], rows)  # but what is read is the reader's own


def test_arrays_in_memory_are_read_only() -> None:
    with pytest.raises(oc.errors.ReadOnlyError):
        oc.asarray(np.arange(3))[0] = 1


def test_a_pickle_of_an_array_in_memory_is_refused_with_its_size() -> None:
    array = oc.asarray(np.zeros(1000))
    with pytest.raises(oc.errors.DTypeError, match="8000 bytes"):
        pickle.dumps(array)


def test_object_arrays_are_refused() -> None:
    with pytest.raises(oc.errors.DTypeError):
        oc.asarray(np.array([object()]))
