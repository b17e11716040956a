"""Another dtype."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from outcore import transforms
from outcore.errors import DTypeError, FieldError, TransformError

DTYPES = ["?", "i1", "<i4", ">i8", "u1", "u8", "<f4", ">f8", "g"]


@given(data=st.data(), old=st.sampled_from(DTYPES), new=st.sampled_from(DTYPES))
def test_as_numpy_casts(data: st.DataObject, old: str, new: str) -> None:
    array = data.draw(hnp.arrays("i1", hnp.array_shapes(min_side=0), elements=st.integers(0, 100))).astype(
        old
    )
    made = transforms.astype(new)(array)
    assert made.dtype == np.dtype(new)
    np.testing.assert_array_equal(made, array.astype(new))
    assert (made is array) == (np.dtype(old) == np.dtype(new))


def test_every_array_or_those_asked_for() -> None:
    batch = {"x": np.zeros(2), "more": (np.zeros(2), np.zeros(2, "i8")), "y": np.zeros(2, "i8")}
    made = transforms.astype("f4")(batch)
    assert [made["x"].dtype, made["more"][0].dtype, made["more"][1].dtype, made["y"].dtype] == ["f4"] * 4
    made = transforms.astype("f4", keys=["x", "more"])(batch)
    assert [made["x"].dtype, made["more"][1].dtype] == ["f4"] * 2
    assert made["y"] is batch["y"]


def test_text_with_numbers_becomes_numbers() -> None:
    assert transforms.astype("f4")(np.array([b"1.5", b"2"])).tolist() == [1.5, 2]


def test_fields_become_other_fields() -> None:
    made = transforms.astype("a:f8 b:i2")(np.array([(1, 2)], "i4, i4"))
    assert made.dtype.names == ("a", "b")
    assert made.tolist() == [(1.0, 2)]


@pytest.mark.parametrize(
    ("dtype", "array", "text"),
    [
        ("i4", np.array([1, np.nan]), "float64 holds NaN"),
        ("i4", np.array([np.inf], "f4"), "float32 holds NaN, infinite"),
        ("i4", np.array([1e10]), "int32 cannot hold"),
        ("f2", np.array([1e10]), "float16 cannot hold"),
        ("f4", np.array(["one"]), "does not become float32: could not convert"),
        ("f4", np.zeros(2, "i4, f4"), r"select"),
        ("a:f4", np.zeros(2), r"Only one of them has fields"),
    ],
)
def test_what_does_not_become_the_dtype_is_said_with_both(dtype: str, array: np.ndarray, text: str) -> None:
    with pytest.raises(DTypeError, match=text):
        transforms.astype(dtype)(array)


def test_nan_and_infinity_stay_in_floating_point() -> None:
    made = transforms.astype("f2")(np.array([np.nan, np.inf, -np.inf]))
    np.testing.assert_array_equal(made, [np.nan, np.inf, -np.inf])


def test_errors_name_the_element() -> None:
    with pytest.raises(DTypeError, match=r"batch\[1\] of dtype"):
        transforms.astype("f4")((np.zeros(1), np.array(["a"])))
    with pytest.raises(FieldError, match=r"no element 'z'"):
        transforms.astype("f4", keys="z")({"a": np.zeros(1)})
    with pytest.raises(TransformError, match=r"batch\[0\] is a float"):
        transforms.astype("f4")((1.0,))
    with pytest.raises(DTypeError, match="not a dtype"):
        transforms.astype("no such")


def test_what_is_read_only_is_not_written() -> None:
    array = np.arange(3.0)
    array.flags.writeable = False
    made = transforms.astype("f4")(array)
    made += 1
    assert array.tolist() == [0, 1, 2]


def test_it_pickles_and_reads_as_it_was_made() -> None:
    cast = pickle.loads(pickle.dumps(transforms.astype(">f4", keys=["x", "y"])))
    assert cast({"x": np.zeros(1), "y": np.zeros(1)})["y"].dtype == np.dtype(">f4")
    assert repr(cast) == "astype('>f4', keys=('x', 'y'))"
    assert cast == transforms.astype(">f4", keys=("x", "y"))
