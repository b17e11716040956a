"""Where records begin and end, against a slow count of quotes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outcore.text import boundaries
from outcore.text.boundaries import (
    count_byte,
    field_at,
    first_record_end,
    header_end,
    last_record_end,
    open_quote,
)
from outcore.text.dialect import Dialect

PIECES = st.lists(st.sampled_from(["1", ",", "#", '"', '""', "\n", "\n#", " "]), max_size=20).map("".join)
DIALECTS = [
    Dialect(","),
    Dialect(",", comment="#"),
    Dialect(",", quote=""),
    Dialect(",", quote="", comment="#"),
    Dialect("whitespace", comment="#"),
]


def ends_of(text: str, dialect: Dialect) -> list[int]:
    """Find the ends of records one character after the other."""
    ends, inside, comment, blank = [], False, False, True
    for at, character in enumerate(text):
        if blank and not inside and dialect.comment and character == dialect.comment:
            comment = True
        blank = blank and dialect.delimiter == "whitespace" and character in " \t"
        if character == dialect.quote and not comment:
            inside = not inside
        if character == "\n" and not inside:
            ends.append(at + 1)
            comment = False
        if character == "\n":
            blank = True
    return ends


@given(text=PIECES, dialect=st.sampled_from(DIALECTS), data=st.data())
def test_records_end_at_newlines_behind_an_even_number_of_quotes(
    text: str, dialect: Dialect, data: st.DataObject
) -> None:
    start = data.draw(st.sampled_from([0, *ends_of(text, dialect)]))
    begin = data.draw(st.integers(start, len(text)))
    before, block = text[start:begin].encode(), text[begin:].encode()
    ends = [start + end for end in ends_of(text[start:], dialect)]
    inside = [end - begin for end in ends if end > begin]
    assert last_record_end(block, dialect, before=before) == (inside[-1] if inside else 0)
    assert first_record_end(block, dialect, before=before) == (inside[0] if inside else 0)


@given(text=PIECES, dialect=st.sampled_from(DIALECTS))
def test_a_quote_is_open_if_a_newline_at_the_end_ends_no_record(text: str, dialect: Dialect) -> None:
    if text.rpartition("\n")[2].lstrip(" ").startswith("#"):
        text += "\n"  # a comment ends here
    closed = len(text) + 1 in ends_of(text + "\n", dialect)
    at = open_quote(text.encode(), dialect)
    assert (at < 0) == closed
    if at >= 0:
        assert text[at] == '"'


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ('1,2\n"a",3\n"b,4\n', '"b,4'),
        ('"a,1\n"b",2\n"c",3\n', '"a,1'),
        ('"a ""b"" c,1\n"d",2\n', '"a ""'),
        ('"a"\n"""b,1\n', '"""b,'),
        ('1,""\n2,"', '"'),
        ('1,5" tall\n2,"b"\n', '" tal'),
        ('1,5" x 3"\n2,"b\n', '"b\n'),
        ('"a"b,1\n"c,2\n', '"a"b,'),
        ('1\t"a"\r\n2\t"b\r\n3\t"c"\r\n', '"b\r\n3'),
    ],
)
def test_the_quote_that_is_not_closed_is_found(text: str, shown: str) -> None:
    for dialect in (
        Dialect("\t" if "\t" in text else ","),
        Dialect("\t" if "\t" in text else ",", comment="#"),
    ):
        at = open_quote(text.encode(), dialect)
        assert text[at:].startswith(shown)


def test_fields_are_counted_from_the_start_of_the_record() -> None:
    text = b'1,2\n"a,b",c\nd,e  f\n'
    comma, blanks = Dialect(","), Dialect("whitespace", comment="#")
    assert field_at(text, text.index(b"c"), comma) == 2
    assert field_at(text, text.index(b"a"), comma) == 1
    assert field_at(text, text.index(b"f"), comma) == 2
    assert field_at(b" 1  2 \n  3   4\n", 14, blanks) == 2
    assert field_at(b"# 5\n  3   4\n", 7, blanks) == 1


@pytest.mark.parametrize(
    ("data", "ended", "end"),
    [
        (b"", True, 0),
        (b"a", True, 1),
        (b"a", False, 0),
        (b"a\nb", True, 2),
        (b'\n\r\n"a\n"\nb', True, 8),
        (b"\n\n", True, 0),
        (b'"a\nb', True, 4),
        (b'"a\nb', False, 0),
        (b'#"\n#\r\na\nb', True, 8),
        (b'"#\n",b\n1', True, 7),
        (b' "#a"\n1', True, 6),
    ],
)
def test_ends_of_headers(data: bytes, ended: bool, end: int) -> None:
    assert header_end(data, Dialect(",", comment="#"), ended=ended) == end


@pytest.mark.parametrize(("delimiter", "end"), [("whitespace", 13), (" ", 4), (",", 4)])
def test_a_line_of_blanks_is_blank_where_these_separate_fields_in_runs(delimiter: str, end: int) -> None:
    assert header_end(b" \t \n #x\n a b\n1 2\n", Dialect(delimiter, comment="#"), ended=True) == end


@given(st.binary(max_size=40), st.integers(1, 10))
def test_bytes_are_counted_in_blocks(data: bytes, size: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(boundaries, "BLOCK_BYTES", size)
        assert count_byte(data, 0x61) == count_byte(memoryview(data), 0x61) == data.count(b"a")


def test_a_quoted_text_of_many_lines_is_no_work_for_each_of_them() -> None:
    data = b'1,2\n3,"' + b"x\n" * 1_000_000
    assert last_record_end(data, Dialect(",")) == 4
    assert first_record_end(data + b'"\n5\n', Dialect(","), before=b"1") == 4
    assert first_record_end(data[7:] + b'"\n5\n', Dialect(","), before=b'3,"') == 2_000_002
