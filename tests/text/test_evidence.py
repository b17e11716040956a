"""What whole columns show: the same as their cells one by one."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outcore.text import evidence as module
from outcore.text.cells import Cells, Kind
from outcore.text.dialect import Dialect
from outcore.text.evidence import Evidence
from outcore.text.guessing import Guess

NA = frozenset({"", "NA", "-99"})

CELLS = st.one_of(
    st.sampled_from(
        [
            "",
            " ",
            "NA",
            " NA",
            "-99",
            "nan",
            "NaN",
            "inf",
            "-Infinity",
            "\N{LATIN SMALL LETTER DOTLESS I}nf",
            "true",
            "FALSE",
        ]
    ),
    st.sampled_from(
        ["1.", ".5", ".", "1e5", "1E-3", "+1.5", "1,5", "1_0", "0x1", "٣", "-", "e5", "1e", "+-1"]
    ),
    st.sampled_from(["2024-01-31", "2024-01-31T10:00", "2024-01-31 10:00:01.25Z", "2024-1-31", "10:00"]),
    st.sampled_from(["a\nb", 'say "x"', "a\r\nb", "\rb", "é", "𝄞", '"', '""', "a,b", "x;y", "1\n", "\n1"]),
    st.integers(-(2**70), 2**70).map(str),
    st.integers(-9, 9).map(lambda n: f" {n} "),
    st.integers(0, 9).map(lambda n: f"{n:030d}"),
    st.floats().map(repr),
    st.datetimes().map(lambda moment: moment.isoformat()),
    st.text(st.sampled_from('1eE.+-Tt: "\nnaif,;'), max_size=6),
)


def cell_by_cell(rows: list[list[str]], cells: Cells) -> list[tuple[set[Kind], int, int, int]]:
    found = []
    for column in zip(*rows, strict=True):
        guess = Guess(cells)
        for cell in column:
            guess.add(cell)
        found.append((guess.kinds, guess.low, guess.high, guess.digits))
    return found


def summary(guesses: dict[int, Guess]) -> list[tuple[set[Kind], int, int, int]]:
    return [(g.kinds, g.low, g.high, g.digits) for _, g in sorted(guesses.items())]


def text_of(rows: list[list[str]], end: str, *, quoting: int = csv.QUOTE_MINIMAL) -> bytes:
    out = io.StringIO()
    csv.writer(out, lineterminator=end, quoting=quoting).writerows(rows)
    return out.getvalue().encode()


@given(
    rows=st.lists(st.lists(CELLS, min_size=3, max_size=3), min_size=1, max_size=8),
    end=st.sampled_from(["\n", "\r\n"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    decimal=st.sampled_from([".", ","]),
    cut=st.integers(0, 8),
    whole_end=st.booleans(),
)
def test_columns_show_what_their_cells_show(
    rows: list[list[str]], end: str, quoting: int, decimal: str, cut: int, whole_end: bool
) -> None:
    cells = Cells(NA, decimal)
    evidence = Evidence(range(3), 3, Dialect(",", decimal=decimal), cells)
    for part in (rows[:cut], rows[cut:]):
        text = text_of(part, end, quoting=quoting)
        evidence.add(text if whole_end else text.removesuffix(end.encode()))
    # The csv module reads what it wrote; but for newlines inside quotes, which say the same either way.
    assert summary(evidence.guesses()) == cell_by_cell(rows, cells)


@given(
    rows=st.lists(st.lists(CELLS, min_size=2, max_size=2), min_size=1, max_size=30),
    batch=st.sampled_from([1, 20, 1 << 19]),
)
def test_batches_do_not_matter(rows: list[list[str]], batch: int) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(module, "BATCH_BYTES", batch)
        evidence = Evidence(range(2), 2, Dialect(","), Cells(NA))
        for row in rows:
            evidence.add(text_of([row], "\n"))
        assert summary(evidence.guesses()) == cell_by_cell(rows, Cells(NA))


def guesses_of(text: bytes, width: int, places: list[int], **dialect: str) -> list[set[Kind]]:
    evidence = Evidence(places, width, Dialect(**({"delimiter": ","} | dialect)), Cells(NA))
    evidence.add(text)
    return [guess.kinds for _, guess in sorted(evidence.guesses().items())]


def test_only_the_columns_asked_for() -> None:
    assert guesses_of(b"1,x,2.5\n2,y,3\n", 3, [2, 0, 2]) == [{Kind.INT}, {Kind.FLOAT, Kind.INT}]
    assert guesses_of(b"1,x\n", 2, []) == []


def test_records_of_another_width_say_nothing() -> None:
    assert guesses_of(b"1,2\nx\n3,4\nx,y,z\n\n\r\n5,6", 2, [0, 1]) == [{Kind.INT}, {Kind.INT}]


def test_records_with_zero_bytes_say_nothing() -> None:
    assert guesses_of(b"1,2\nx\0,3\n4,5\n", 2, [0, 1]) == [{Kind.INT}, {Kind.INT}]


def test_carriage_returns() -> None:
    # In quotes it is text; before a newline it is a part of that.
    assert guesses_of(b'"1\r",2\r\n"3\r","4"\r\n', 2, [0, 1]) == [{Kind.TEXT}, {Kind.INT}]


def test_bytes_that_are_no_text() -> None:
    assert guesses_of(b"1,\xff\n2,3\n", 2, [0, 1]) == [{Kind.INT}, {Kind.TEXT, Kind.INT}]


def test_blanks_between_fields() -> None:
    assert guesses_of(b"1 2.5\n3 4\n", 2, [0, 1], delimiter="whitespace") == [
        {Kind.INT},
        {Kind.FLOAT, Kind.INT},
    ]


def test_quotes_that_mean_nothing() -> None:
    assert guesses_of(b'5" disk,1\n"6",2\n', 2, [0, 1], quote="") == [{Kind.TEXT}, {Kind.INT}]


def test_quotes_inside_fields_do_not_hide_other_files() -> None:
    evidence = Evidence([0, 1], 2, Dialect(","), Cells(NA))
    evidence.add(b'5" disk,1\n')  # never closed
    evidence.add(b'"a\nb",2.5\n')
    assert [guess.kinds for guess in evidence.guesses().values()] == [{Kind.TEXT}, {Kind.INT, Kind.FLOAT}]


def test_of_text_with_quotes_inside_fields_little_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STRAY_BYTES", 12)
    evidence = Evidence([1], 2, Dialect(","), Cells(NA))
    evidence.add(b'5" x,1\n5" ,2\n' + b'7" x,y\n' * 101)
    assert evidence.guesses()[1].kinds == {Kind.INT}


@pytest.mark.parametrize("start", range(0, 60, 3))
@pytest.mark.parametrize("comment", ["", "#"])
def test_parts_may_begin_anywhere(start: int, comment: str) -> None:
    lines = b'1,"one, two\n2,3\n# 4\n"\n5,"six"\n7,"x"\n'.splitlines(keepends=True)
    whole = b"".join(lines) * 5
    begin = whole.find(b"\n", start) + 1
    evidence = Evidence([0, 1], 2, Dialect(",", comment=comment), Cells(NA))
    evidence.add_part(whole[begin:], whole)
    assert [guess.kinds for guess in evidence.guesses().values()] == [{Kind.INT}, {Kind.TEXT}]


@pytest.mark.parametrize("part", [b"x,y\n" * 9, b"x,y\n" * 9 + b'"\n', b"x,y\n" * 9 + b'x"\n3,4\n'])
def test_lines_of_a_quoted_field_are_no_records(part: bytes) -> None:
    evidence = Evidence([0, 1], 2, Dialect(","), Cells(NA))
    evidence.add_part(part, b'1,"x,y\nx,y"\n')
    assert all(guess.kinds <= {Kind.INT} for guess in evidence.guesses().values())
    evidence.add_part(b"x,y\n", b'1,"x,y"\n')
    assert evidence.guesses()[0].kinds >= {Kind.TEXT}


def test_parts_with_quotes_inside_fields() -> None:
    evidence = Evidence([0, 1], 2, Dialect(","), Cells(NA))
    evidence.add_part(b'5" a,1\n"b",2\n7" c,3\nd"e,4.5\n', b"")
    assert [guess.kinds for guess in evidence.guesses().values()] == [{Kind.TEXT}, {Kind.INT, Kind.FLOAT}]


def test_20_000_columns() -> None:
    n = 20_000
    evidence = Evidence(range(n), n, Dialect(","), Cells(NA))
    for record in (["1"] * n, ["2.5", "3"] * (n // 2), ["NA", "4"] * (n // 2)):
        evidence.add(",".join(record).encode())
    found = evidence.guesses()
    assert found[0].kinds == {Kind.INT, Kind.FLOAT, Kind.MISSING}
    assert found[n - 1].kinds == {Kind.INT}
    assert (found[n - 1].low, found[n - 1].high) == (0, 4)
