"""Records and cells by their bytes."""

from __future__ import annotations

import csv
import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from outcore.text.dialect import Dialect, split
from outcore.text.structure import Found, Records, Spots, inside, stray, undecodable, uneven, without, zeros

COMMA = Dialect(",")
ROWS = st.lists(st.lists(st.text(st.sampled_from('aé ,"\n'), max_size=4), min_size=1, max_size=4), min_size=1)


def pairs(spots: Spots) -> list[tuple[int, int]]:
    return list(zip(spots.record.tolist(), spots.field.tolist(), strict=True))


@given(rows=ROWS, end=st.sampled_from(["\n", "\r\n", "\n\n"]), whole=st.booleans())
def test_each_cell_is_where_csv_put_it(rows: list[list[str]], end: str, whole: bool) -> None:
    text = ""
    for row in rows:
        out = io.StringIO()
        csv.writer(out, lineterminator="\n").writerow(row)
        text += out.getvalue().removesuffix("\n") + end
    data = (text if whole else text.removesuffix(end)).encode()
    records = Records(data, COMMA)
    assert len(records) == len(rows)
    assert records.fields.tolist() == [len(row) for row in rows]
    for i, row in enumerate(rows):
        fields = np.arange(len(row))
        starts, ends = records.cells(np.full(len(row), i), fields)
        found = [split(data[a:b].decode() + ",x", COMMA)[0][0] for a, b in zip(starts, ends, strict=True)]
        assert found == row
        used = ends > starts
        record, field = records.at(starts[used])
        assert record.tolist() == [i] * int(used.sum())
        assert field.tolist() == fields[used].tolist()
    begins, stops = records.lines(np.arange(len(rows)))
    ends_of_lines = {data[b - 1 : b] for b in stops.tolist()[:-1]}
    assert ends_of_lines <= {b"\n"}
    assert [split(data[a:b].decode(), COMMA) for a, b in zip(begins, stops, strict=True)] == [
        [r] for r in rows
    ]
    assert records.stretch(0, len(rows)).rstrip(b"\r\n") == data.rstrip(b"\r\n")


def test_broken_records_and_cells() -> None:
    data = b'a,b\n"a"b,c"d"\n\nx,y,z\nu\0,\0\0\nv,\xff\n1,"\xe9,\n",3\n2,ok\n'
    records = Records(data, COMMA)
    assert pairs(stray(records, COMMA)) == [(1, 0)]
    assert pairs(uneven(records, 2)) == [(2, -1), (5, -1)]
    assert pairs(zeros(records)) == [(3, 0), (3, 1)]
    assert pairs(undecodable(records, COMMA)) == [(4, 1), (5, 1)]
    assert undecodable(records, COMMA).where(np.array([False, True])).keys(10).tolist() == [51]


def test_nothing_is_found_where_nothing_is_wrong() -> None:
    for data in (b"", b"a,b\n", "é,ü\n".encode()):
        records = Records(data, COMMA)
        found = [stray(records, COMMA), uneven(records, 2), zeros(records), undecodable(records, COMMA)]
        assert [len(spots) for spots in found] == [0] * 4


def test_what_is_text_depends_on_the_encoding() -> None:
    records = Records("a,é\nü,b\n".encode(), COMMA)
    assert pairs(undecodable(records, Dialect(",", encoding="ascii"))) == [(0, 1), (1, 0)]
    half = Records("a,\ud83d\n".encode("utf-8", "surrogatepass"), COMMA)
    assert pairs(undecodable(half, Dialect(",", encoding="utf-16"))) == [(0, 1)]


@given(st.lists(st.integers(0, 30), max_size=6, unique=True).map(sorted), st.integers(30, 33))
def test_stretches_are_left_out(edges: list[int], size: int) -> None:
    edges = edges[: len(edges) // 2 * 2]
    starts, ends = np.array(edges[::2], int), np.array(edges[1::2], int)
    # Each is followed by one that begins where it ends, and by one of no bytes.
    starts, ends = np.append(starts, ends[-1:]), np.append(ends, ends[-1:])
    data = bytes(range(size))
    expected = bytes(i for i in data if not any(a <= i < b for a, b in zip(starts, ends, strict=True)))
    assert without(data, inside(starts, ends, size)) == expected


def test_stretches_that_touch() -> None:
    marked = inside(np.array([0, 3]), np.array([3, 5]), 6)
    assert marked.tolist() == [True] * 5 + [False]


def test_faults_are_put_together() -> None:
    one = Found.of(Spots(np.array([3]), np.array([1])), 2)
    both = Found.all([one, Found.of(Spots(np.array([1, 2]), np.array([-1, -1])), 0)])
    assert len(both) == 3
    chosen = both.at(np.array([1, 0]))
    assert [a.tolist() for a in (chosen.record, chosen.field, chosen.column, chosen.kind)] == [
        [1, 3], [-1, 1], [-1, -1], [0, 2],
    ]  # fmt: skip


@pytest.mark.parametrize("data", [b"a\n", b"a", b'"a\nb"\n'])
def test_a_single_column(data: bytes) -> None:
    starts, ends = Records(data, COMMA).cells(np.array([0]), np.array([0]))
    assert data[int(starts[0]) : int(ends[0])] == data.rstrip(b"\n")
