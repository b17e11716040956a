"""Types as text, names of fields, columns chosen."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import outcore as oc
from outcore.text.schema import (
    Column,
    Schema,
    given_schema,
    listed,
    parse_dtype,
    parse_dtype_and_categories,
    select,
    valid_names,
)


@pytest.mark.parametrize(
    ("text", "dtype"),
    [
        ("f4", np.dtype("f4")),
        ("chr:S10 pos:i4", np.dtype([("chr", "S10"), ("pos", "i4")])),
        ("chr:S10, pos:i4", np.dtype([("chr", "S10"), ("pos", "i4")])),
        ("t:M8[s]", np.dtype([("t", "M8[s]")])),
        ("a:b:i4", np.dtype([("a:b", "i4")])),
        ("f4,i4", np.dtype("f4,i4")),
        (np.float32, np.dtype("f4")),
        ([("a", "U3")], np.dtype([("a", "U3")])),
        ("S", np.dtype("S")),
    ],
)
def test_types(text: object, dtype: np.dtype) -> None:
    assert parse_dtype(text) == dtype


@pytest.mark.parametrize(
    "text",
    [
        "f3",
        "a:",
        ":f4",
        "a:i4 a:i4",
        "a:i4 b",
        "O",
        "c8",
        "m8[s]",
        "M8",
        "V4",
        [("a", "i4", (2,))],
        "g",
        "M8[Y]",
        [("a", [("b", "i4")])],
    ],
)
def test_what_is_no_type_of_text(text: object) -> None:
    with pytest.raises(oc.errors.DTypeError, match=r"dtype"):
        parse_dtype(text)


@given(st.lists(st.text(max_size=4), max_size=8))
def test_names_are_valid_and_unique(names: list[str]) -> None:
    found = valid_names(names)
    assert len(found) == len(names)
    dtype = np.dtype([(name, "i4") for name in found])
    assert dtype.names == found
    assert valid_names(found) == found


def test_good_names_stay_as_they_are() -> None:
    assert valid_names(["dep_time", "Größe", "a.b", "x-1", "2020"]) == (
        "dep_time",
        "Größe",
        "a.b",
        "x-1",
        "2020",
    )


def test_columns_are_chosen_by_name_or_position() -> None:
    assert select(["b c", "b_c", 0, -1, "f3"], ("a", "b_c", "d", "f3"), ["a", "b c", "d", ""]) == [
        1,
        1,
        0,
        3,
        3,
    ]
    assert select(None, ("a", "b"), []) == [0, 1]
    assert select("b", ("a", "b"), []) == [1]
    for wrong in (["x"], [2], [-3], [None], []):
        with pytest.raises(oc.errors.OptionError, match="columns"):
            select(wrong, ("a", "b"), [])


def test_fields_are_matched_by_name_where_names_are_known() -> None:
    dtype = np.dtype([("b", "f4"), ("a", "i4")])
    places = [c.place for c in given_schema(dtype, ("a", "b", "c"), [0, 1, 2], named=True).columns]
    assert places == [1, 0]


def test_fields_are_matched_by_position_otherwise() -> None:
    dtype = np.dtype([("x", "f4"), ("y", "i4")])
    schema = given_schema(dtype, ("a", "b"), [0, 1], named=True)
    assert [(c.place, c.name) for c in schema.columns] == [(0, "x"), (1, "y")]
    assert (
        given_schema(np.dtype([("b", "f4"), ("a", "i4")]), ("f0", "f1"), [0, 1], named=False).columns[0].place
        == 0
    )


@pytest.mark.parametrize("fields", [["a"], ["b", "x"], ["x", "y", "z"]])
def test_fields_that_do_not_fit(fields: list[str]) -> None:
    dtype = np.dtype([(name, "f4") for name in fields])
    if fields == ["a"]:  # a part of the header, by name
        assert given_schema(dtype, ("a", "b"), [0, 1], named=True).columns[0].place == 0
        return
    with pytest.raises(oc.errors.DTypeError, match=r"fields .*columns a, b"):
        given_schema(dtype, ("a", "b"), [0, 1], named=True)


def test_a_dtype_with_padding_is_kept() -> None:
    dtype = np.dtype([("a", "i1"), ("b", "f8")], align=True)
    schema = given_schema(dtype, ("a", "b"), [0, 1], named=True)
    assert schema.dtype == dtype
    assert schema.with_columns(schema.columns).dtype.itemsize == 16


def test_other_types_need_another_layout() -> None:
    schema = given_schema(np.dtype([("a", "i1"), ("b", "S")], align=True), ("a", "b"), [0, 1], named=True)
    columns = (schema.columns[0], Column(1, "b", np.dtype("S5")))
    assert schema.with_columns(columns).dtype == np.dtype([("a", "i1"), ("b", "S5")])


def test_the_names_of_20_000_columns() -> None:
    names = valid_names(["x"] * 20_000)
    assert (len(set(names)), names[0], names[-1]) == (20_000, "x", "x_20000")
    assert select(list(reversed(names)), names, []) == list(range(19_999, -1, -1))
    with pytest.raises(oc.errors.OptionError, match=r"20000 columns.\n.*x_39 ... x_20000 \(positions"):
        select(["y"], names, [])
    assert len(listed(names)) < 400


@pytest.mark.parametrize(
    ("text", "dtype", "categories"),
    [
        ("a:category", [("a", "S")], ("a",)),
        ("a:i4, b:category c:f4", [("a", "i4"), ("b", "S"), ("c", "f4")], ("b",)),
        ("category:i4", [("category", "i4")], ()),
        ("my:col:category", [("my:col", "S")], ("my:col",)),
    ],
)
def test_categories_in_a_type(text: str, dtype: list, categories: tuple[str, ...]) -> None:
    assert parse_dtype_and_categories(text) == (np.dtype(dtype), categories)


def test_which_columns_are_categories_must_be_said() -> None:
    with pytest.raises(oc.errors.DTypeError, match=r"does not say which(.|\n)*carrier:category"):
        parse_dtype_and_categories("category")


def test_what_is_still_to_be_found() -> None:
    assert Column(0, "a", np.dtype("S")).unmeasured
    assert Column(0, "a", np.dtype("i4"), (), sought=True).unmeasured
    assert not Column(0, "a", np.dtype("i4"), ()).unmeasured  # nothing but missing values
    assert not Column(0, "a", np.dtype("S3")).unmeasured


def test_a_schema_is_the_same_before_and_after_its_dtype_was_asked_for() -> None:
    one, other = (Schema(("a",), (Column(0, "a", np.dtype("i4")),), matrix=True) for _ in range(2))
    assert one.dtype == np.dtype("i4")
    assert one == other
