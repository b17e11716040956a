"""Values where NaN stands."""

from __future__ import annotations

import pickle
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from outcore import transforms
from outcore.errors import DTypeError, FieldError, OptionError, ShapeError, TransformError

NAN = np.nan
FLOATS = st.sampled_from(["<f2", ">f4", "<f4", "<f8", "g"])
NESTED = np.dtype([("n", "i4"), ("inner", [("p", "f4"), ("when", "M8[s]")]), ("many", "f8", (3,))])


class Pair(NamedTuple):
    x: np.ndarray
    y: np.ndarray


def with_holes(data: st.DataObject, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    values = data.draw(hnp.arrays("f2", shape, elements=st.one_of(st.just(NAN), st.floats(width=16))))
    return values.astype(dtype)


@given(data=st.data(), dtype=FLOATS, value=st.integers(-100, 100))
def test_nan_becomes_the_value_and_nothing_else_changes(data: st.DataObject, dtype: str, value: int) -> None:
    array = with_holes(data, data.draw(hnp.array_shapes(max_dims=3, min_side=0, max_side=5)), dtype)
    expected = np.where(np.isnan(array), value, array)
    made = transforms.fillna(value)(array)
    assert made is array
    assert made.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(made, expected)


@given(data=st.data(), outer=hnp.array_shapes(max_dims=2, max_side=4), width=st.integers(1, 5))
def test_one_value_for_each_column(data: st.DataObject, outer: tuple[int, ...], width: int) -> None:
    array = with_holes(data, (*outer, width), "f4")
    values = np.arange(width) - 7
    expected = np.where(np.isnan(array), np.broadcast_to(values, array.shape), array)
    np.testing.assert_array_equal(transforms.fillna(values)(array), expected)


def test_a_value_for_each_value_of_a_row() -> None:
    made = transforms.fillna([[1, 2], [3, 4]])(np.full((5, 2, 2), NAN))
    assert made[4].tolist() == [[1, 2], [3, 4]]


def test_infinite_values_stay() -> None:
    assert transforms.fillna(0)(np.array([np.inf, -np.inf, NAN])).tolist() == [np.inf, -np.inf, 0]


def test_what_is_not_of_floating_point_stays_the_same_object() -> None:
    for array in (
        np.arange(3),
        np.array(["a"]),
        np.array(["NaT"], "M8[s]"),
        np.array([True]),
        np.array([None]),
    ):
        assert transforms.fillna(0)(array) is array


def test_complex_values_are_filled() -> None:
    assert transforms.fillna(1j)(np.array([complex(NAN, 1), 2])).tolist() == [1j, 2]


def test_fields_of_floating_point_are_filled_however_deep() -> None:
    rows = np.zeros(2, NESTED)
    rows["inner"]["p"] = [NAN, 1]
    rows["inner"]["when"] = "NaT"
    rows["many"][1] = [NAN, 2, NAN]
    assert transforms.fillna(9)(rows) is rows
    assert rows["inner"]["p"].tolist() == [9, 1]
    assert np.isnat(rows["inner"]["when"]).all()
    assert rows["many"].tolist() == [[0, 0, 0], [9, 2, 9]]
    assert rows["n"].tolist() == [0, 0]


def test_fields_by_name_have_their_own_values() -> None:
    rows = np.array([(NAN, NAN, NAN)], "f4, f4, f4")
    assert transforms.fillna({"f0": 1, "f2": -1})(rows).tolist()[0][::2] == (1, -1)
    assert np.isnan(rows["f1"][0])
    rows = np.full(1, NAN, NESTED["many"].base).repeat(3).view([("many", "f8", (3,))])
    assert transforms.fillna({"many": [1, 2, 3]})(rows)["many"].tolist() == [[1, 2, 3]]


@pytest.mark.parametrize("keys", [None, 0, [0, -1], ["a"], "a"])
def test_only_the_elements_asked_for_are_filled(keys: object) -> None:
    parts = [np.array([NAN]), (np.array([NAN]), {"deep": np.array([NAN])}), np.array([NAN])]
    batch = dict(zip("abc", parts, strict=True)) if "a" in str(keys) else tuple(parts)
    made = transforms.fillna(0, keys=keys)(batch)
    first, (second, third), fourth = made.values() if isinstance(made, dict) else made
    filled = [not np.isnan(array[0]) for array in (first, second, third["deep"], fourth)]
    assert filled == ([True] * 4 if keys is None else [True, False, False, keys == [0, -1]])


def test_the_kind_of_container_stays() -> None:
    fill = transforms.fillna(0)
    for batch in (Pair(np.zeros(1), np.zeros(1)), [np.zeros(1)], (np.zeros(1),), {"a": np.zeros(1)}):
        assert type(fill(batch)) is type(batch)


@pytest.mark.parametrize("rows", [np.array([1, NAN, 3]), np.array([(1, 2), (NAN, 3)], "f4, i4")])
def test_what_is_read_only_is_not_written(rows: np.ndarray) -> None:
    before = rows.tobytes()
    rows.flags.writeable = False
    made = transforms.fillna(0)(rows)
    assert made.tolist() in ([1, 0, 3], [(1, 2), (0, 3)])
    assert rows.tobytes() == before
    without = rows[:1]
    assert transforms.fillna(0)(without) is without


def test_an_element_that_was_not_asked_for_is_not_written_through_shared_memory() -> None:
    x = np.array([[1, NAN], [NAN, 2]])
    made, same = transforms.fillna(0, keys=0)((x, x))
    assert made.tolist() == [[1, 0], [0, 2]]
    assert np.isnan(same[0, 1])
    made, nested = transforms.fillna(0, keys=0)((x, {"view": x[:, 1]}))
    assert made.tolist() == [[1, 0], [0, 2]]
    assert np.isnan(nested["view"][0])


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (NAN, "holds NaN"),
        ([0, NAN], "holds NaN"),
        ("0", "no number"),
        (None, "no number"),
        ({"a": "b"}, "no number"),
        ([[1], [1, 2]], "no array"),
        ({}, "names no field"),
    ],
)
def test_a_value_that_is_no_number_is_refused_when_made(value: object, text: str) -> None:
    with pytest.raises(OptionError, match=text):
        transforms.fillna(value)


@pytest.mark.parametrize("keys", [[], (), 1.0, True, [None], b"a", {"a": 1}])
def test_keys_that_make_no_sense_are_refused_when_made(keys: object) -> None:
    with pytest.raises(OptionError, match="keys="):
        transforms.fillna(0, keys=keys)


@pytest.mark.parametrize(
    ("value", "batch", "error", "text"),
    [
        ([1, 2], np.zeros((4, 3)), ShapeError, r"value has shape \(2,\), batch has shape \(4, 3\)"),
        ([1, 2], np.zeros(2), ShapeError, r"value has shape \(2,\), batch has shape \(2,\)"),
        ([1, 2], (np.zeros((2, 2)), np.zeros(2)), ShapeError, r"batch\[1\] has shape \(2,\)"),
        ([1, 2], np.zeros(3, "f4, f4"), ShapeError, r"has fields, not columns: f0, f1"),
        ({"a": 1}, np.zeros(3, "f4, f4"), FieldError, r"no field 'a'\.\n.*f0, f1"),
        ({"a": 1}, np.zeros((3, 2)), FieldError, r"no field 'a'\.\n.*none"),
        (1e30, np.zeros(3, "f2"), DTypeError, r"value=1e\+30 does not fit .*float16"),
        (1j, np.zeros(3), DTypeError, r"value=1j does not fit .*float64"),
    ],
)
def test_what_does_not_fit_is_said_with_both_even_where_nothing_is_missing(
    value: object, batch: object, error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        transforms.fillna(value)(batch)


def test_what_is_no_array_is_named_by_its_place() -> None:
    with pytest.raises(TransformError, match=r"batch\['a'\]\[1\] is a list|batch\['a'\]\[1\] is a int"):
        transforms.fillna(0)({"a": (np.zeros(1), 3)})


def test_it_pickles_and_reads_as_it_was_made() -> None:
    fill = pickle.loads(pickle.dumps(transforms.fillna([0, 5], keys=0)))
    assert fill((np.full((1, 2), NAN), 3))[0].tolist() == [[0, 5]]
    assert repr(fill) == "fillna([0, 5], keys=(0,))"
    assert repr(transforms.fillna()) == "fillna(0, keys=None)"
    assert repr(transforms.fillna({"a": 1.5})) == "fillna({'a': 1.5}, keys=None)"
