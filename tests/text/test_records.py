"""Counting records and fields under quoting."""

from __future__ import annotations

import csv
import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from outcore.text import records
from outcore.text.dialect import Dialect, split
from outcore.text.records import (
    count,
    count_byte,
    even,
    fields_in_each,
    lines,
    separators,
    stray_quotes,
    unsound,
    without_blank,
)

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
    assert not len(stray_quotes(document[0], DIALECT))
    assert unsound(document[0], DIALECT) == ""


@pytest.mark.parametrize(
    ("data", "at"),
    [
        (b'a,5" x\nb,6" y\n', [3]),  # the first quote opens what the second one closes, lines further down
        (b'a,5" x, 6" y\n', [3]),
        (b'a,5" x 6" y\n', []),  # both ways to count agree that these are letters like others
        (b'a "b",c\n', []),
        (b'a""b,c\n', []),
        (b'"a"b,c\n', [2]),
        (b'1,"a" \n', [4]),
        (b'1,"a" \r\n', [4]),
        (b'1,"a"\r\n', []),
        (b'1,"a"\r', []),
        (b'1,"a"\r2\n', [4]),
        (b'a,""\n', []),
        (b'"a""b","c"\n', []),
        (b'"a"b"c",d\n', [2]),
        (b'"a"" x, "b\n', [8]),
        (b'a"b,c"d\n"e"f,g\n', [1, 10]),
        (b'1,2"\n', [3]),
        (b'"', [0]),
    ],
)
def test_stray_quotes(data: bytes, at: list[int]) -> None:
    assert stray_quotes(data, DIALECT).tolist() == at
    assert bool(unsound(data, DIALECT)) == bool(at)


@given(st.text(st.sampled_from('a",\n'), max_size=12).map(lambda text: f"x,{text}\n"))
def test_where_no_quote_is_stray_python_reads_what_all_read(text: str) -> None:
    data = text.encode()
    if len(stray_quotes(data, DIALECT)):
        return
    rows = [row for row in csv.reader(io.StringIO(text, newline="")) if row]
    assert split(text, DIALECT) == rows
    assert fields_in_each(data, DIALECT, lines(data, DIALECT).starts).tolist() == [len(row) for row in rows]


def test_quotes_that_mean_nothing() -> None:
    plain = Dialect(",", quote="")
    assert count(b'5",6\n"7,8\n', plain).separators == 2
    assert not len(stray_quotes(b'5",6\n', plain))
    assert separators(b'5",6\n"7,8\n', plain).tolist() == [2, 7]


@pytest.mark.parametrize(
    ("data", "encoding", "reason"),
    [
        (b"a\0,b\n", "utf-8", "a byte is zero"),
        ("é,b\n".encode(), "ascii", "a byte is not ascii"),
        (b"\xe9,b\n", "utf-8", "a byte is not utf-8"),
        ("\ud800,b\n".encode("utf-8", "surrogatepass"), "utf-16", "a byte is not utf-16"),
        ("é,b\n".encode(), "utf-8", ""),
        (b"", "utf-8", ""),
    ],
)
def test_bytes_that_are_no_text(data: bytes, encoding: str, reason: str) -> None:
    assert unsound(data, Dialect(",", encoding=encoding)) == reason


def test_nothing_at_all() -> None:
    assert (count(b"", DIALECT).records, without_blank(b"\n\r\n", DIALECT)) == (0, b"")
    assert len(lines(b"", DIALECT).starts) == 0


@given(st.binary(max_size=50))
def test_bytes_are_counted(data: bytes) -> None:
    assert count_byte(data, "a") == data.count(b"a")
    assert isinstance(count_byte(np.zeros(3, np.uint8).tobytes(), "a"), int)


@given(documents(), st.integers(1, 9))
def test_what_is_found_does_not_depend_on_the_size_of_blocks(
    document: tuple[bytes, list[list[str]]], size: int
) -> None:
    data, rows = document
    dense = without_blank(data, DIALECT)
    fields = [len(row) for row in rows]

    def found() -> list[object]:
        each = lines(data, DIALECT)
        return [
            count(data, DIALECT),
            each.starts.tolist(),
            each.ends.tolist(),
            separators(data, DIALECT).tolist(),
            stray_quotes(data + b'"', DIALECT).tolist(),
            unsound(data + b"\xc3", DIALECT),
            [even(dense, DIALECT, n) for n in (2, 3, 4) if n * len(rows) == sum(fields)],
        ]

    whole = found()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(records, "BLOCK_BYTES", size)
        assert found() == whole


@given(st.lists(st.integers(1, 4), max_size=6), st.integers(1, 4), st.booleans(), st.booleans())
def test_each_record_is_even_or_not(lengths: list[int], n: int, quoted: bool, final: bool) -> None:
    cell = '"a,\nb"' if quoted else "a"
    text = "\n".join(",".join([cell] * length) for length in lengths) + "\n" * final
    if sum(lengths) == n * len(lengths):  # what is asked only then
        assert even(text.encode(), DIALECT, n) == all(length == n for length in lengths)


@given(st.text(), st.integers(1, 9))
def test_text_is_decoded_in_blocks(text: str, size: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(records, "BLOCK_BYTES", size)
        kept = text.replace("\0", "").replace('"', "")
        assert unsound(kept.encode("utf-8", "ignore"), DIALECT) == ""
        assert unsound(kept.encode("utf-8", "ignore") + b"\xe2\x82", DIALECT) == "a byte is not utf-8"
