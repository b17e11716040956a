"""Words for bad cells: both values, and what to type."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from outcore.text import diagnosis
from outcore.text.cells import Cells, Kind
from outcore.text.columns import Values, convert
from outcore.text.diagnosis import KINDS, kinds, words
from outcore.text.dialect import Dialect
from outcore.text.schema import Column

MEANING = Values(("", "NA"), None, ".")


def told(text: str, dtype: str, *, decimal: str = ".", categories: tuple[str, ...] | None = None) -> str:
    """Convert one cell, which must be wrong; return its kind and words."""
    column = Column(0, "a", np.dtype(dtype), categories)
    meaning = Values(("", "NA"), None, decimal)
    cell = pl.Series([None if text in ("", "NA") else text], dtype=pl.String)
    assert convert(cell, column, meaning).wrong.tolist() == [True]
    kind = int(kinds(cell, column, meaning)[0])
    what, cure = words(kind, text, column, meaning)
    return f"{KINDS[kind]}|{what}|{cure}"


@pytest.mark.parametrize(
    ("text", "dtype", "kind", "what", "cure"),
    [
        (
            "",
            "i4",
            "missing",
            "'' is a missing value, which int32 cannot express",
            "Use fill=VALUE (--fill VALUE)",
        ),
        (
            " NA",
            "?",
            "missing",
            "' NA' is a missing value, which bool cannot express",
            'a float dtype ("f8")',
        ),
        ("x", "i4", "type", "'x' is not int32", "Add 'x' to na_values (--na) if it means a missing value"),
        ("xé", "f8", "type", "'xé' is not float64", 'give a another dtype, such as "S3"'),
        ("4.5", "i4", "type", "'4.5' is not int32", "Use a dtype for a that holds it, such as 'f8'"),
        ("1e2", "u1", "type", "'1e2' is not uint8", "such as 'f8'"),
        ("1,5", "f4", "type", "'1,5' is not float32", 'Use decimal="," (--decimal ,)'),
        (",5E-3", "i4", "type", "',5E-3' is not int32", 'Use decimal="," (--decimal ,)'),
        ("1,234,567", "i4", "type", "'1,234,567' is not int32", "without marks between thousands"),
        ("12 345.5", "f8", "type", "'12 345.5' is not float64", 'the dtype "S8"'),
        ("1_000", "i4", "type", "'1_000' is not int32", "na_values"),
        ("300", "i1", "range", "'300' is not int8, which holds -128 to 127", "such as 'i8'"),
        ("-1", "u2", "range", "'-1' is not uint16, which holds 0 to 65535", "such as 'i8'"),
        ("9223372036854775808", "i8", "range", "which holds -9223372036854775808 to", "such as 'u8'"),
        ("9" * 40, "u8", "range", "which holds 0 to 18446744073709551615", "such as 'f8'"),
        ("1e39", "f4", "range", "'1e39' is not float32, the largest of which is 3.40282e+38", "such as 'f8'"),
        ("-70000", "f2", "range", "'-70000' is not float16, the largest of which is 65504", "such as 'f8'"),
        (
            "1e999",
            "f8",
            "range",
            "'1e999' is not float64, the largest of which is 1.79769e+308",
            "such as 'S5'",
        ),
        ("40000", ">i2", "range", "'40000' is not >i2, which holds -32768 to 32767", "such as 'i8'"),
        ("perhaps", "?", "type", "'perhaps' is not bool", "Truth values are written true, t, yes, y, 1"),
        ("31.1.2024", "M8[D]", "type", "'31.1.2024' is not datetime64[D]", "Dates are written 2024-01-31"),
        ("2024-01-31T10:00", "M8[D]", "range", "is not datetime64[D], which is coarser", "such as 'M8[s]'"),
        ("2024-01-31T10:00:00.12345Z", "M8[s]", "range", "is not datetime64[s]", "such as 'M8[us]'"),
        ("2024-01-31T10:00:00.123", "M8[s]", "range", "is not datetime64[s]", "such as 'M8[ms]'"),
        ("9999-01-01", "M8[ns]", "range", "or ends before it", "such as 'M8[s]'"),
        (
            "abcdé",
            "S5",
            "width",
            "'abcdé' has 6 bytes, S5 holds 5; nothing is cut",
            '"S6" or wider, "S" to measure',
        ),
        ("abcdé", "U4", "width", "'abcdé' has 5 characters, U4 holds 4", "truncate=True (--truncate)"),
    ],
)
def test_what_is_wrong_and_what_to_type(text: str, dtype: str, kind: str, what: str, cure: str) -> None:
    found_kind, found_what, found_cure = told(text, dtype).split("|")
    assert found_kind == kind
    assert what in found_what
    assert cure in found_cure


def test_a_decimal_comma_or_point() -> None:
    assert 'Use decimal="." (--decimal .)' in told("1.5", "f8", decimal=",")
    assert told("1e999,5", "f8", decimal=",").startswith("type|")
    assert told("1,5e999", "f8", decimal=",").startswith("range|'1,5e999' is not float64")
    assert "such as 'f8'" in told("1,5", "i4", decimal=",")


def test_categories_are_listed() -> None:
    few = told("blue", "i1", categories=("red", "green"))
    assert few == (
        "category|'blue' is not one of the 2 categories: 'red', 'green'|Add it to the categories of a, or "
        "name the column alone (categories='a', --categories a) to find them in the files."
    )
    many = told("blue", "i1", categories=tuple("abcdefg"))
    assert "7 categories: 'a', 'b', 'c', 'd', 'e', ..." in many


def test_records_quotes_and_bytes() -> None:
    what, cure = diagnosis.uneven_words(1, 3, "a;b;c", Dialect(","))
    assert what == "1 field, expected 3: 'a;b;c'"
    assert cure == "Correct the line, or name another delimiter than ',' (--delimiter)."
    assert diagnosis.uneven_words(4, 3, "a,b", Dialect(",", quote=""))[0].startswith("4 fields, expected 3")
    assert "or the quote (--quote)" in diagnosis.uneven_words(4, 3, "a,b", Dialect(",", quote=""))[1]
    what, cure = diagnosis.quote_words('5" x', Dialect(","))
    assert what == """a quote " stands in the middle of a field: '5" x'"""
    assert "use quote=None (--quote '')" in cure
    what, cure = diagnosis.encoding_words(b"a\xe9", r"a\xe9", "utf-8")
    assert what == r"byte 0xe9 of 'a\xe9' is not utf-8"
    assert 'encoding="latin-1" (--encoding latin-1)' in cure
    assert diagnosis.encoding_words(b"", r"\ud800", "utf-16-le")[0] == r"'\ud800' is not utf-16-le"
    what, cure = diagnosis.nul_words(r"a\x00")
    assert what == r"'a\x00' holds a zero byte"
    assert "--encoding utf-16" in cure
    assert diagnosis.refused_words("1,2")[0] == "the parser refuses this record: '1,2'"


def test_long_texts_are_shortened() -> None:
    what, _ = words(diagnosis.TYPE, "x" * 1000, Column(0, "a", np.dtype("f8")), MEANING)
    assert what == f"'{'x' * 57}...' is not float64"


@given(st.lists(st.text(st.sampled_from("0123456789+-.e xN"), max_size=6), min_size=1, max_size=20))
def test_kinds_are_those_of_the_cells(texts: list[str]) -> None:
    cells = Cells(frozenset({"NA"}))
    series = pl.Series(texts, dtype=pl.String)
    expected = {Kind.MISSING: "missing", Kind.INT: "range"}
    found = kinds(series, Column(0, "a", np.dtype("i1")), MEANING)
    assert [KINDS[k] for k in found] == [expected.get(cells.kind(text), "type") for text in texts]
    expected = {Kind.INT: "range", Kind.FLOAT: "range"}
    found = kinds(series, Column(0, "a", np.dtype("f4")), MEANING)
    assert [KINDS[k] for k in found] == [expected.get(cells.kind(text), "type") for text in texts]
