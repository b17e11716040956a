"""Counting records and fields under quoting."""

from __future__ import annotations

import csv
import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from outcore.text.dialect import Dialect, split
from outcore.text.records import count, count_byte, fields_in_each, lines, stray_quote, without_blank

DIALECT = Dialect(",")
FIELDS = st.text(st.sampled_from('a1 ,"\n'), max_size=4)
ROWS = st.lists(st.lists(FIELDS, min_size=2, max_size=4), max_size=8)


@st.composite
def documents(draw: st.DrawFn) -> tuple[bytes, list[list[str]]]:
    rows, end = draw(ROWS), draw(st.sampled_from(["\n", "\r\n"]))
    pieces = [end * draw(st.integers(0, 2))]
    for row in rows:
        out = io.StringIO()
        csv.writer(out, lineterminator=end).writerow(row)
        pieces.append(out.getvalue() + end * draw(st.integers(0, 2)))
    text = "".join(pieces)
    return (text if draw(st.booleans()) else text.removesuffix(end)).encode(), rows


@given(documents())
def test_counts_are_those_of_the_records(document: tuple[bytes, list[list[str]]]) -> None:
    data, rows = document
    found = count(data, DIALECT)
    assert found.records == len(rows)
    assert found.separators == sum(len(row) - 1 for row in rows)
    assert found.blank == lines(data, DIALECT).blank


@given(documents())
def test_each_record_is_found(document: tuple[bytes, list[list[str]]]) -> None:
    data, rows = document
    found = lines(data, DIALECT)
    for row, start, end in zip(rows, found.starts, found.ends, strict=True):
        assert split(data[start:end].decode(), DIALECT) == [row]
    assert fields_in_each(data, DIALECT, found.starts).tolist() == [len(row) for row in rows]


@given(documents())
def test_without_blank_lines_nothing_else_changes(document: tuple[bytes, list[list[str]]]) -> None:
    data, rows = document
    dense = without_blank(data, DIALECT)
    assert split(dense.decode(), DIALECT) == rows
    assert not count(dense, DIALECT).blank


@given(documents())
def test_well_written_quotes_are_not_stray(document: tuple[bytes, list[list[str]]]) -> None:
    assert stray_quote(document[0], DIALECT) == -1


@pytest.mark.parametrize(
    ("data", "at"),
    [(b'a,5" x\nb,6" y\n', 3), (b'"a"b,c\n', 2), (b'1,"a" \n', 4), (b'a "b",c\n', 2), (b'a,""\n', -1)],
)
def test_stray_quotes(data: bytes, at: int) -> None:
    assert stray_quote(data, DIALECT) == at


def test_quotes_that_mean_nothing() -> None:
    plain = Dialect(",", quote="")
    assert count(b'5",6\n"7,8\n', plain).separators == 2
    assert stray_quote(b'5",6\n', plain) == -1


def test_nothing_at_all() -> None:
    assert (count(b"", DIALECT).records, without_blank(b"\n\r\n", DIALECT)) == (0, b"")
    assert len(lines(b"", DIALECT).starts) == 0


@given(st.binary(max_size=50))
def test_bytes_are_counted(data: bytes) -> None:
    assert count_byte(data, "a") == data.count(b"a")
    assert isinstance(count_byte(np.zeros(3, np.uint8).tobytes(), "a"), int)
