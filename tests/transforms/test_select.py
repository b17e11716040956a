"""Columns or fields into X, y and weights."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from outcore import transforms
from outcore.errors import DTypeError, FieldError, OptionError, ShapeError, TransformError

TABLE = np.dtype(
    [
        ("carrier", "S2"),
        ("delay", "<f4"),
        ("miles", ">i2"),
        ("hour", "u1"),
        ("pos", "f8", (2,)),
        ("late", "?"),
    ],
    align=True,
)


def table(*outer: int) -> np.ndarray:
    rows = np.zeros(outer, TABLE)
    for i, name in enumerate(TABLE.names):
        values = np.arange(rows[name].size).reshape(rows[name].shape) + 10 * i
        rows[name] = values % 2 if name == "late" else values.astype("S2") if name == "carrier" else values
    return rows


@given(
    outer=st.lists(st.integers(0, 4), min_size=1, max_size=2),
    width=st.integers(2, 7),
    dtype=st.sampled_from(["<f4", ">f8", "i4", "u1", "?"]),
    data=st.data(),
)
def test_columns_are_those_of_numpy(outer: list[int], width: int, dtype: str, data: st.DataObject) -> None:
    batch = np.arange(np.prod(outer) * width).reshape(*outer, width).astype(dtype)
    column = st.integers(-width, width - 1)
    several = st.one_of(
        st.lists(column, min_size=1, max_size=2 * width),
        st.integers(1, width).map(range),
        st.integers(1, width).map(slice),
        st.just(slice(None, None, -1)),
        st.just(slice(-1, None)),
    )
    x, y, weights = (
        data.draw(st.one_of(column, several)),
        data.draw(st.one_of(column, several)),
        data.draw(column),
    )
    wide = data.draw(st.sampled_from([None, "f4", "f8"]))
    made = transforms.select(x, y, weights, dtype=wide)(batch)
    native = np.dtype(dtype).newbyteorder("=")
    for result, asked, expected_dtype in zip(
        made, (x, y, weights), (wide or native, native, native), strict=True
    ):
        expected = batch[..., list(asked) if isinstance(asked, range) else asked]
        assert result.dtype == expected_dtype
        assert result.flags.c_contiguous
        np.testing.assert_array_equal(result, expected.astype(expected_dtype))
    for i, one in enumerate(made):
        assert not any(np.shares_memory(one, other) for other in made[:i])


@given(outer=st.lists(st.integers(0, 3), min_size=1, max_size=2), data=st.data())
def test_fields_are_stacked_in_the_order_asked_for(outer: list[int], data: st.DataObject) -> None:
    batch = table(*outer)
    numbers = [name for name in TABLE.names if name != "carrier"]
    names = data.draw(st.lists(st.sampled_from(numbers), min_size=1, max_size=6))
    dtype = data.draw(st.sampled_from([None, "f4"]))
    x, y = transforms.select(names, "late", dtype=dtype)(batch)
    parts = [batch[name].reshape(*outer, 2 if name == "pos" else 1) for name in names]
    expected = np.concatenate(parts, axis=-1)
    np.testing.assert_array_equal(x, expected)
    assert x.dtype == np.dtype(dtype or expected.dtype)
    np.testing.assert_array_equal(y, batch["late"])
    assert y.dtype == bool


def test_one_name_is_an_array_without_columns_and_a_list_one_with() -> None:
    batch = table(4)
    x, y, w = transforms.select("delay", ["hour"], "miles")(batch)
    assert (x.shape, y.shape, w.shape) == ((4,), (4, 1), (4,))
    assert (x.dtype, y.dtype, w.dtype) == (np.float32, np.uint8, np.int16)
    assert transforms.select("pos", "hour")(batch)[0].shape == (4, 2)


def test_x_is_what_the_others_leave() -> None:
    batch = table(4)[["delay", "miles", "hour", "late"]]
    x, y, w = transforms.select(y=["late"], weights="hour")(batch)
    np.testing.assert_array_equal(x, np.stack([batch["delay"], batch["miles"]], axis=-1))
    np.testing.assert_array_equal(y[:, 0], batch["late"])
    np.testing.assert_array_equal(w, batch["hour"])
    plain = np.arange(10).reshape(2, 5)
    x, y, w = transforms.select(y=slice(3, 4), weights=-1)(plain)
    assert (x.tolist(), y.tolist(), w.tolist()) == ([[0, 1, 2], [5, 6, 7]], [[3], [8]], [4, 9])


def test_without_y_there_is_x_alone() -> None:
    assert transforms.select([1])(np.arange(4).reshape(2, 2)).tolist() == [[1], [3]]
    plain = np.zeros((2, 2), "f4")
    assert transforms.select()(plain) is plain


def test_fields_have_numbers_too() -> None:
    x, y = transforms.select(slice(1, 4), -1)(table(3))
    assert x.shape == (3, 3)
    assert y.dtype == bool


def test_differing_dtypes_become_the_one_that_numpy_finds() -> None:
    batch = np.zeros(2, "i4, f4, u1")
    assert transforms.select(["f0", "f1"])(batch).dtype == np.float64
    assert transforms.select(["f1", "f2"])(batch).dtype == np.float32
    assert transforms.select(["f0", "f1"], dtype="f4")(batch).dtype == np.float32


def test_y_alone_may_be_text() -> None:
    _, y = transforms.select(["hour"], "carrier")(table(2))
    assert y.tolist() == [b"0", b"1"]


def test_what_is_read_only_is_not_written() -> None:
    for batch in (table(3), np.zeros((3, 6))):
        batch.flags.writeable = False
        before = batch.tobytes()
        x, y = transforms.select([1, 2], -1)(batch)
        x += 1
        y[:] = 1
        assert batch.tobytes() == before


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"x": ["delay", "carrier"]}, DTypeError, r"x takes column 'carrier', whose dtype \|S2 is no number"),
        ({"x": "carrier"}, DTypeError, "column 'carrier'"),
        ({"y": "late"}, DTypeError, "column 'carrier'"),
        ({"x": "hour", "y": ["carrier"]}, DTypeError, "y takes column 'carrier'"),
        ({"x": "hour", "y": "late", "weights": "carrier"}, DTypeError, "weights takes column 'carrier'"),
        ({"x": ["delay"], "dtype": "i4"}, DTypeError, r"'delay', whose dtype float32 does not become int32"),
        ({"x": ["dealy"]}, FieldError, r"x names 'dealy', .*fields are carrier, delay"),
        ({"x": "hour", "y": "lat"}, FieldError, r"y names 'lat'"),
        ({"x": [6]}, ShapeError, r"x names column 6, .*fields are"),
        ({"x": slice(6, 9)}, ShapeError, r"holds no column"),
        ({"y": TABLE.names}, ShapeError, r"leave no column for x"),
    ],
)
def test_fields_that_cannot_be_taken_are_named(
    arguments: dict[str, object], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        transforms.select(**arguments)(table(2))


@pytest.mark.parametrize(
    ("arguments", "batch", "error", "text"),
    [
        ({"x": [0, 3]}, np.zeros((2, 3)), ShapeError, r"column 3, .*columns are 0 to 2"),
        ({"x": -4}, np.zeros((2, 3)), ShapeError, r"column -4, .*columns are 0 to 2"),
        ({"x": "a"}, np.zeros((2, 3)), FieldError, r"'a', .*columns are 0 to 2"),
        ({"x": 0}, np.zeros(3), ShapeError, r"shape \(3,\)"),
        ({"x": [0]}, np.zeros((2, 3), "M8[s]"), DTypeError, r"datetime64\[s\] is no number"),
        (
            {"x": 0},
            (np.zeros((2, 3)), np.zeros(2)),
            TransformError,
            r"tuple of 2 elements; expected one array",
        ),
        ({"x": "a"}, {"a": np.zeros(2)}, TransformError, "dict of 1 elements"),
        ({"x": 0}, "ab", TransformError, "is a str; expected"),
    ],
)
def test_batches_without_such_columns_are_named(
    arguments: dict[str, object], batch: object, error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        transforms.select(**arguments)(batch)


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"x": []}, OptionError, r"x=\[\] names no columns"),
        ({"x": 1.5}, OptionError, r"x=1\.5"),
        ({"x": True}, OptionError, "x=True"),
        ({"x": [True, False]}, OptionError, r"x=\[True, False\]"),
        ({"x": b"a"}, OptionError, "x=b'a'"),
        ({"x": slice("a", "c")}, OptionError, "x=slice"),
        ({"x": slice(0, 3, 0)}, OptionError, "x=slice"),
        ({"x": 0, "y": {"a": 1}}, OptionError, "y="),
        ({"x": 0, "weights": 1}, OptionError, "weights=1 without y"),
        ({"x": 0, "y": 1, "weights": [2]}, OptionError, r"weights=\[2\] names several"),
        ({"x": 0, "dtype": "S3"}, DTypeError, "no numbers"),
        ({"x": 0, "dtype": "nope"}, DTypeError, "not a dtype"),
    ],
)
def test_what_makes_no_sense_is_refused_when_made(
    arguments: dict[str, object], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        transforms.select(**arguments)


def test_many_fields_are_not_all_listed() -> None:
    batch = np.zeros(2, [(f"c{i}", "f4") for i in range(99)])
    with pytest.raises(FieldError, match=r"c11, \.\.\. 99 in all"):
        transforms.select("label")(batch)


def test_it_pickles_and_reads_as_it_was_made() -> None:
    for made in (transforms.select(["hour"], "late", dtype="f4"), transforms.select(slice(1, 4), y=5)):
        again = pickle.loads(pickle.dumps(made))
        assert repr(again) == repr(made)
        for one, other in zip(again(table(3)), made(table(3)), strict=True):
            np.testing.assert_array_equal(one, other)
    assert repr(made) == "select(slice(1, 4, None), 5, None, dtype=None)"
    assert repr(transforms.select(["a"], "b", dtype="f4")) == "select(['a'], 'b', None, dtype='float32')"
