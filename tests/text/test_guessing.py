"""What samples say about columns."""

from __future__ import annotations

import numpy as np
import pytest

from outcore.text.cells import Cells
from outcore.text.guessing import Guess, guessed_schema, whole

CELLS = Cells(frozenset({"", "NA"}))


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


def test_numbers_of_any_length() -> None:
    assert guess("9" * 5000) == guess("-" + "9" * 5000) == "S0"
    assert guess("0" * 5000 + "1") == "i8"
    assert whole("+007") == 7


def test_columns_without_a_guess_are_categories() -> None:
    seen = Guess(CELLS)
    seen.add("1")
    schema = guessed_schema({1: seen}, ("a", "b"), [0, 1], fill=False)
    assert (schema.matrix, schema.dtype) == (False, np.dtype([("a", "S"), ("b", "i8")]))


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
