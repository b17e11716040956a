"""Text of fixed width and dates, against NumPy."""

from __future__ import annotations

import datetime

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from outcore.text.texts import LONG_BYTES, dates, fixed_width

TEXTS = st.lists(
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=6), max_size=12
)


@given(texts=TEXTS, kind=st.sampled_from("SU"), width=st.integers(1, 8))
def test_texts_that_fit_are_those_of_numpy_and_others_are_named(
    texts: list[str], kind: str, width: int
) -> None:
    given_texts = [t.encode() for t in texts] if kind == "S" else texts
    values, wrong = fixed_width(pl.Series(texts, dtype=pl.String), np.dtype(f"{kind}{width}"))
    assert wrong.tolist() == [len(t) > width for t in given_texts]
    fitting = [t for t in given_texts if len(t) <= width]
    assert np.array_equal(values[~wrong], np.array(fitting, f"{kind}{width}"))


@given(
    st.lists(
        st.datetimes(datetime.datetime(1, 1, 1), datetime.datetime(9999, 12, 31)) | st.none(), max_size=8
    ),
    st.sampled_from("T "),
    st.sampled_from(["", "Z"]),
)
def test_dates_are_those_of_numpy(moments: list[datetime.datetime | None], mark: str, zone: str) -> None:
    texts = [None if m is None else m.isoformat(mark, "microseconds") + zone for m in moments]
    values, wrong = dates(pl.Series(texts, dtype=pl.String), np.dtype("M8[us]"))
    assert not wrong.any()
    assert np.array_equal(values.view("i8"), np.array(moments, "M8[us]").view("i8"))


@pytest.mark.parametrize("unit", ["D", "h", "m", "s", "ms", "us", "ns", "10s", "2D"])
@pytest.mark.parametrize(
    "text",
    [
        "1970-01-01",
        "2024-02-29",
        "1969-12-31T23:00",
        "1900-03-01T00:00:10",
        "2000-01-01 12:30:40.25",
        "2262-04-10T23:00:00",
        "1677-10-01",
        "2024-01-31T10:00:00.123456789",
        "0001-01-01",
        "9999-12-31",
    ],
)
def test_a_unit_holds_a_date_exactly_or_not_at_all(text: str, unit: str) -> None:
    dtype = np.dtype(f"M8[{unit}]")
    values, wrong = dates(pl.Series([text]), dtype)
    fine = np.datetime64(text.replace(" ", "T"))
    held = fine.astype(dtype)
    within = unit != "ns" or 1677 <= int(text[:4]) <= 2262  # NumPy wraps around beyond
    exact = within and held.astype(fine.dtype) == fine
    assert wrong.tolist() == [not exact]
    if exact:
        assert values[0] == held
        assert values.dtype == dtype


@pytest.mark.parametrize(
    "text",
    [
        "2024-13-01",
        "2024-00-10",
        "2024-02-30",
        "2023-02-29",
        "1900-02-29",
        "2024-01-32",
        "2024-01-00",
        "24-01-01",
        "2024-1-1",
        "2024/01/01",
        "2024-01-01T24:00",
        "2024-01-01T10:60",
        "2024-01-01T10:00:60",
        "2024-01-01T10",
        "2024-01-01T10:00:00.",
        "2024-01-01T10:00:00+01:00",
        "2024-01-01x",
        "2024-01-01Z",
        "x",
        "",
        "20240101",
        "2024-01-01T10:00:00.1234567890",
        "2024-01-01  10:00",
        "2O24-01-01",
        "2024-01-01T1a:00",
    ],
)
def test_what_is_no_date_is_named(text: str) -> None:
    _, wrong = dates(pl.Series(["2024-01-01", text, None]), np.dtype("M8[s]"))
    assert wrong.tolist() == [False, True, False]


def test_blanks_around_a_date() -> None:
    values, wrong = dates(pl.Series([" 2024-01-01 "]), np.dtype("M8[D]"))
    assert (str(values[0]), wrong[0]) == ("2024-01-01", False)


def test_nothing_at_all() -> None:
    for dtype in ("M8[s]", "S3", "U3"):
        values, wrong = (dates if dtype[0] == "M" else fixed_width)(
            pl.Series([], dtype=pl.String), np.dtype(dtype)
        )
        assert len(values) == len(wrong) == 0


@pytest.mark.parametrize("kind", ["S", "U"])
@pytest.mark.parametrize("width", [1, 11, 12, 13, 14, LONG_BYTES, LONG_BYTES + 1, 3 * LONG_BYTES])
@pytest.mark.parametrize("letter", ["x", "é", "\U0001f600"])
def test_every_width_of_a_column_in_parts(kind: str, width: int, letter: str) -> None:
    most = width // (len(letter.encode()) if kind == "S" else 1)
    listed = [letter * n for n in (most, 0, max(most - 1, 0), most // 2, most)]
    column = pl.concat([pl.Series(["?", *listed[:2]]), pl.Series([*listed[2:], "?"])], rechunk=False)
    values, wrong = fixed_width(column.slice(1, 5), np.dtype(f"{kind}{width}"))
    assert not wrong.any()
    assert values.tolist() == ([text.encode() for text in listed] if kind == "S" else listed)
    assert values.dtype == np.dtype(f"{kind}{width}")
    values, wrong = fixed_width(
        pl.concat([column.slice(1, 5), pl.Series([letter * (width + 1)])]), np.dtype(f"{kind}{width}")
    )
    assert wrong.tolist() == [False] * 5 + [True]
    assert values[:5].tolist() == ([text.encode() for text in listed] if kind == "S" else listed)
