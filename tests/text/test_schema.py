"""Types as text, names of fields, and what samples say about columns."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import outcore as oc
from outcore.text.cells import Cells
from outcore.text.schema import Guess, given_schema, guessed_schema, parse_dtype, select, valid_names

CELLS = Cells(frozenset({"", "NA"}))


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


def guess(*cells: str, fill: bool = False) -> str:
    column = Guess(CELLS)
    for cell in cells:
        column.add(cell)
    return column.dtype(fill=fill).str.lstrip("<|")


@pytest.mark.parametrize(
    ("cells", "dtype"),
    [
        (("1", "-2"), "i8"),
        (("1", "2.5"), "f8"),
        (("1", "NA"), "f8"),
        (("NA", ""), "f8"),
        ((), "f8"),
        (("true", "False"), "b1"),
        (("true", "NA"), "S0"),
        (("true", "1"), "S0"),
        (("2024-01-01", "NA"), "M8[D]"),
        (("2024-01-01", "2024-01-01T10:00"), "M8[s]"),
        (("2024-01-01T10:00:00.5",), "M8[ms]"),
        (("2024-01-01T10:00:00.1234567",), "M8[ns]"),
        (("2024-01-01T10:00:00.123456",), "M8[us]"),
        (("2024-01-01", "x"), "S0"),
        (("1", "x"), "S0"),
        ((str(2**63),), "u8"),
        ((str(2**63), "-1"), "S0"),
        ((str(2**64),), "S0"),
        ((str(2**53 + 1), "NA"), "S0"),
        ((str(2**53 + 1), "1.5"), "S0"),
        ((str(2**53), "1.5"), "f8"),
    ],
)
def test_guesses_lose_nothing(cells: tuple[str, ...], dtype: str) -> None:
    assert guess(*cells) == dtype


def test_filled_columns_need_no_nan() -> None:
    assert guess("1", "NA", fill=True) == "i8"
    assert guess("true", "NA", fill=True) == "b1"


def table(*columns: tuple[str, ...]) -> tuple[str, bool]:
    guesses = {}
    for place, cells in enumerate(columns):
        guesses[place] = Guess(CELLS)
        for cell in cells:
            guesses[place].add(cell)
    names = tuple("abcdef"[: len(columns)])
    schema = guessed_schema(guesses, names, list(range(len(columns))), fill=False)
    return str(schema.dtype), schema.matrix


def test_a_matrix_where_one_type_holds_all() -> None:
    assert table(("1",), ("2",)) == ("int64", True)
    assert table(("1",), ("2.5",)) == ("float64", True)
    assert table(("true",), ("false",)) == ("bool", True)
    assert table((str(2**60),), ("2.5",))[1] is False  # float64 does not hold it
    assert table(("1",), ("true",))[1] is False
    assert table(("2024-01-01",), ("2024-01-01",))[1] is False
    assert table(("1",), (str(2**63),))[1] is False


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
    assert given_schema(dtype, ("a", "b"), [0, 1], named=True).dtype == dtype
    assert given_schema(dtype, ("a", "b"), [0, 1], named=True).with_dtypes({}).dtype.itemsize == 16
