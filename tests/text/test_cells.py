"""What single cells could be."""

from __future__ import annotations

import pytest

from outcore.text.cells import Cells, Kind, fraction_digits

CELLS = Cells(frozenset({"", "NA", "nan"}))


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("", Kind.MISSING),
        ("  ", Kind.MISSING),
        ("NA", Kind.MISSING),
        (" NA ", Kind.MISSING),
        ("nan", Kind.MISSING),
        ("0", Kind.INT),
        ("-12", Kind.INT),
        ("+7", Kind.INT),
        (" 7 ", Kind.INT),
        ("007", Kind.INT),
        ("1.", Kind.FLOAT),
        (".5", Kind.FLOAT),
        ("1e3", Kind.FLOAT),
        ("-1.5E-3", Kind.FLOAT),
        ("NAN", Kind.FLOAT),
        ("inf", Kind.FLOAT),
        ("-Infinity", Kind.FLOAT),
        ("True", Kind.BOOL),
        ("false", Kind.BOOL),
        ("2024-01-31", Kind.DATE),
        ("2024-01-31T10:00", Kind.DATETIME),
        ("2024-01-31 10:00:01.25Z", Kind.DATETIME),
        ("1_000", Kind.TEXT),
        ("0x10", Kind.TEXT),
        ("1e", Kind.TEXT),
        (".", Kind.TEXT),
        ("-", Kind.TEXT),
        ("1,5", Kind.TEXT),
        ("٣", Kind.TEXT),
        ("yes", Kind.TEXT),
        ("31.01.2024", Kind.TEXT),
        ("1 2", Kind.TEXT),
    ],
)
def test_kinds(text: str, kind: Kind) -> None:
    assert CELLS.kind(text) is kind


def test_a_decimal_comma() -> None:
    cells = Cells(frozenset(), ",")
    assert cells.kind("1,5") is Kind.FLOAT
    assert cells.kind("1.5") is Kind.TEXT


def test_digits_of_fractions() -> None:
    assert [fraction_digits(t) for t in ("2024-01-31T10:00:01.25", "2024-01-31T10:00", "x")] == [2, 0, 0]
