"""Single columns: numbers bit for bit, truth values, what does not fit."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from outcore.text.columns import Values, convert, native_type, work_bytes
from outcore.text.schema import Column

MEANING = Values(("", "NA"), None, ".")


def column(texts: list[str | None], dtype: str, meaning: Values = MEANING) -> tuple[np.ndarray, list[bool]]:
    made = convert(pl.Series(texts, dtype=pl.String), Column(0, "x", np.dtype(dtype)), meaning)
    assert made.cut == 0
    return made.values, made.wrong.tolist()


@given(st.lists(st.floats(allow_nan=False), max_size=20))
def test_floats_are_those_of_python(numbers: list[float]) -> None:
    values, wrong = column([repr(x) for x in numbers], "f8")
    assert values.tobytes() == np.array(numbers, "f8").tobytes()
    assert not any(wrong)


@given(st.lists(st.floats(width=32, allow_nan=False), max_size=20))
def test_float32_too(numbers: list[float]) -> None:
    values, wrong = column([str(np.float32(x)) for x in numbers], "f4")
    assert values.tobytes() == np.array(numbers, "f4").tobytes()
    assert not any(wrong)


@given(
    st.sampled_from(["i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", ">i2"]),
    st.lists(st.integers(-(2**64), 2**65), max_size=20),
)
def test_integers_fit_or_are_named(dtype: str, numbers: list[int]) -> None:
    values, wrong = column([str(n) for n in numbers], dtype)
    limits = np.iinfo(np.dtype(dtype))
    assert wrong == [not limits.min <= n <= limits.max for n in numbers]
    assert [int(v) for v, w in zip(values, wrong, strict=True) if not w] == [
        n for n in numbers if limits.min <= n <= limits.max
    ]


@pytest.mark.parametrize(
    ("dtype", "text", "wrong"),
    [
        ("f8", "1e308", False),
        ("f8", "1e309", True),
        ("f8", "-1e400", True),
        ("f8", "inf", False),
        ("f8", "-Infinity", False),
        ("f4", "1e39", True),
        ("f4", "INF", False),
        ("f2", "65519", False),
        ("f2", "65520", True),
        ("f2", "inf", False),
        ("f8", "nan", False),
        ("f8", "1_0", True),
        ("f8", "0x1p3", True),
        ("f8", "1,5", True),
        ("f8", "abc", True),
        ("f8", " 1.5 ", False),
        ("i4", " 7 ", False),
        ("i4", "7.0", True),
        ("i4", "1e3", True),
        ("i4", "nan", True),
        ("?", "maybe", True),
        ("f8", "1 2", True),
        ("u1", "-1", True),
    ],
)
def test_what_a_type_holds(dtype: str, text: str, wrong: bool) -> None:
    assert column(["1", text], dtype)[1] == [False, wrong]


def test_truth_values() -> None:
    values, wrong = column(["true", "False", "T", "f", "YES", "no", "1", "0", " y "], "?")
    assert values.tolist() == [True, False, True, False, True, False, True, False, True]
    assert not any(wrong)


@pytest.mark.parametrize("missing", [None, "", "NA", " NA", "  "])
def test_missing_values(missing: str | None) -> None:
    assert np.isnan(column([missing, "2"], "f8")[0]).tolist() == [True, False]
    assert np.isnan(column([missing, "2"], "f2")[0]).tolist() == [True, False]
    assert column([missing, "2"], "i4")[1] == [True, False]
    assert column([missing, "true"], "?")[1] == [True, False]
    filled = Values(("", "NA"), 7, ".")
    assert column([missing, "2"], "f8", filled)[0].tolist() == [7, 2]
    assert column([missing, "2"], "i4", filled) == (pytest.approx([7, 2]), [False, False])


def test_a_bad_cell_stays_bad_when_missing_ones_are_filled() -> None:
    assert column(["x", "NA"], "i4", Values(("NA",), 7, "."))[1] == [True, False]


def test_a_decimal_comma() -> None:
    comma = Values(("NA",), None, ",")
    values, wrong = column(["1,5", "-,5", "2", "NA", "1,5e3", "inf"], "f8", comma)
    assert np.array_equal(values, [1.5, -0.5, 2, np.nan, 1500, np.inf], equal_nan=True)
    assert not any(wrong)
    assert column(["1.5", "1.234,5", "1,2,3"], "f8", comma)[1] == [True, True, True]


def test_text_and_dates() -> None:
    assert column(["ab", None], "S2")[0].tolist() == [b"ab", b""]
    assert column(["é", None], "U2")[0].tolist() == ["é", ""]
    assert column(["abc", "é"], "S2")[1] == [True, False]
    assert np.isnat(column([None, "2024-01-01"], "M8[s]")[0]).tolist() == [True, False]


def test_text_is_cut_where_that_is_allowed() -> None:
    texts = pl.Series(["abc", "aé", None, "a"])
    narrow = Column(0, "x", np.dtype("S2"))
    values, wrong, cut = convert(texts, narrow, MEANING, truncate=True)
    assert (values.tolist(), wrong.any(), cut) == ([b"ab", b"a", b"", b"a"], False, 2)
    assert convert(texts, narrow, MEANING).wrong.tolist() == [True, True, False, False]
    number = Column(0, "x", np.dtype("i1"))
    assert convert(pl.Series(["1", "300"]), number, MEANING, truncate=True).wrong.tolist() == [False, True]


def test_categories() -> None:
    column = Column(0, "x", np.dtype("i2"), ("b", "a"))
    values, wrong, cut = convert(pl.Series(["a", None, "c"]), column, MEANING, truncate=True)
    assert (values.dtype, values.tolist()[:2], wrong.tolist(), cut) == (
        "i2",
        [1, -1],
        [False, False, True],
        0,
    )
    assert native_type(column, ".") == pl.String()
    assert work_bytes(column) > 24
