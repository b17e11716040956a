from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest
import torch

import outcore as oc
from outcore.adapters.torch_tensors import as_tensors
from outcore.errors import DTypeError

NUMBERS = ["?", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f2", "f4", "f8", "c8", "c16"]


@pytest.mark.parametrize("dtype", NUMBERS)
def test_numbers_become_tensors_of_the_same_memory(dtype: str):
    array = np.array([[0, 1], [1, 0]], dtype)
    tensor = as_tensors(array)
    assert tensor.numpy().dtype == array.dtype
    assert tensor.data_ptr() == array.ctypes.data
    tensor[0, 0] = 1
    assert array[0, 0] == 1


@pytest.mark.parametrize("dtype", [">i2", ">u4", ">f8", ">c16", ">f2"])
def test_another_byte_order_is_turned_round(dtype: str):
    array = np.array([1, 2, 300], dtype) if dtype != ">c16" else np.array([1, 2j, 300], dtype)
    tensor = as_tensors(array)
    np.testing.assert_array_equal(tensor.numpy(), array)
    assert tensor.numpy().dtype.isnative


@pytest.mark.parametrize(
    "array",
    [
        pytest.param(np.arange(6)[::-1], id="negative strides"),
        pytest.param(np.arange(12).reshape(3, 4)[:, ::-2], id="negative strides in a row"),
        pytest.param(np.broadcast_to(np.arange(3), (2, 3)), id="broadcast"),
        pytest.param(np.zeros(4, "u1,f8")["f1"], id="strides between elements"),
        pytest.param(np.frombuffer(b"abcdefgh", "u1"), id="read-only"),
    ],
)
def test_what_torch_cannot_look_at_is_copied(array: np.ndarray):
    tensor = as_tensors(array)
    np.testing.assert_array_equal(tensor.numpy(), array)
    assert not np.shares_memory(tensor.numpy(), array)
    tensor.zero_()  # a tensor of read-only memory would crash here


def test_views_and_empty_and_scalar_arrays():
    table = np.arange(12.0).reshape(4, 3)
    assert as_tensors(table[:, 1]).tolist() == [1, 4, 7, 10]
    assert as_tensors(table.T).shape == (3, 4)
    assert as_tensors(np.zeros((0, 3))).shape == (0, 3)
    assert as_tensors(np.float32(2.5)).item() == 2.5
    assert as_tensors(oc.share(np.arange(3))).tolist() == [0, 1, 2]


def test_the_structure_stays():
    X, y, w = np.zeros((2, 3)), np.arange(2), np.ones(2)
    pair = as_tensors((X, [y, w]))
    assert isinstance(pair, tuple)
    assert isinstance(pair[1], list)
    named = as_tensors({"X": X, "rest": (y, w)})
    assert list(named) == ["X", "rest"]
    assert named["rest"][0].tolist() == [0, 1]
    made = torch.ones(2)
    assert as_tensors((made, y))[0] is made


def test_a_tensor_keeps_the_memory_of_its_array():
    class Lent(bytearray):
        pass

    memory = Lent(32)
    seen = weakref.ref(memory)
    array = np.frombuffer(memory)
    del memory
    tensor = as_tensors((array,))[0]
    del array
    gc.collect()
    assert seen() is not None
    del tensor
    gc.collect()
    assert seen() is None


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (np.zeros(2, "f4,i8"), r"(?s)batch\['X'\] has the dtype.*oc\.transforms\.select.*fields 'f0', 'f1'"),
        (np.array(["a", "b"]), r"(?s)dtype <U1.*oc\.transforms\.select"),
        (np.array([b"a"]), r"(?s)dtype \|S1.*one_hot"),
        (np.array([None]), r"dtype object"),
        (np.array(["2026-01-01"], "M8[D]"), r'(?s)datetime64.*astype\("int64"\)'),
        (np.zeros(2, "g"), r'(?s)longdouble|float128.*astype\("float64"\)'),
        (np.zeros(2, "G"), r'(?s)clongdouble|complex256.*astype\("complex128"\)'),
    ],
)
def test_what_is_no_number_says_what_to_type(array: np.ndarray, said: str):
    with pytest.raises(DTypeError, match=said):
        as_tensors({"X": array})


def test_the_advice_for_dates_works():
    batch = oc.transforms.astype("int64")(np.array(["1970-01-03"], "M8[D]"), None)
    assert as_tensors(batch).tolist() == [2]


def test_what_is_no_array_is_named():
    with pytest.raises(DTypeError, match=r"batch\[1\] is a str"):
        as_tensors((np.zeros(1), "label"))
