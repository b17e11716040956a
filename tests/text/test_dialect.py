"""Reading samples, and finding out how text is written."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

import outcore as oc
from outcore.text.cells import Cells
from outcore.text.dialect import (
    WHITESPACE,
    Dialect,
    check_options,
    sniff_delimiter,
    sniff_header,
    split,
    squeeze,
)

CELLS = Cells(frozenset({"", "NA"}))

FIELDS = st.text(st.sampled_from('ab1 ,;"\n.-é'), max_size=6)


@given(
    rows=st.lists(st.lists(FIELDS, min_size=2, max_size=4), max_size=6), end=st.sampled_from(["\n", "\r\n"])
)
def test_records_are_those_of_pythons_csv_module(rows: list[list[str]], end: str) -> None:
    out = io.StringIO()
    csv.writer(out, lineterminator=end, quoting=csv.QUOTE_MINIMAL).writerows(rows)
    assert split(out.getvalue(), Dialect(",")) == rows
    assert split(out.getvalue().removesuffix(end), Dialect(",")) == rows


def test_blank_lines_are_no_records_but_quoted_nothing_is() -> None:
    assert split('\na\n\r\n\n""\nb', Dialect(",")) == [["a"], [""], ["b"]]


def test_quotes_may_mean_nothing() -> None:
    assert split('5" disk,"a\n', Dialect(",", quote="")) == [['5" disk', '"a']]


def test_a_separator_at_the_end_leaves_an_empty_field() -> None:
    assert split("a,\n,b\n,", Dialect(",")) == [["a", ""], ["", "b"], ["", ""]]


def test_a_limit_on_records() -> None:
    assert split("a\nb\nc\n", Dialect(","), 2) == [["a"], ["b"]]


@pytest.mark.parametrize(
    ("text", "squeezed"),
    [
        (b"  1\t 2  3 \n\n 4 5\t\t6", b"1 2 3\n\n4 5 6"),
        (b'"a  b"\t\t2 \r\n 3 4\r\n', b'"a  b" 2\r\n3 4\r\n'),
        (b"", b""),
    ],
)
def test_blanks_are_squeezed(text: bytes, squeezed: bytes) -> None:
    assert squeeze(text, '"') == squeezed


@pytest.mark.parametrize(
    ("text", "delimiter"),
    [
        ("a,b\n1,2\n3,4\n", ","),
        ("a\tb\n1\t2\n", "\t"),
        ("a;b\n1;2\n", ";"),
        ("a|b\n1|2\n", "|"),
        ("1.5 2.5\n3.5  4.5\n", WHITESPACE),
        ("  1 2\n 10 20\n100 200\n", WHITESPACE),
        ("1,5;2,5\n3,5;4,5\n", ";"),
        ('"a, b";1\n"c";2\n', ";"),
        ("name,text\nx,some words here\ny,more words here\n", ","),
        ("2024-01-31 10:00,1\n2024-01-31 11:00,2\n", ","),
        ("1\n2\n3\n", ","),
        ("one\ntwo words\nthree\n", ","),
        ("a,b,c\n1,2,3\n1,2\n4,5,6\n7,8,9\n1,1,1\n", ","),
        ("chr1\t100\tsome text, with comma\nchr2\t5\tother, too\n", "\t"),
        ("", ","),
    ],
)
def test_the_delimiter_is_found(text: str, delimiter: str) -> None:
    assert sniff_delimiter(text, Dialect(","), CELLS) == delimiter


def test_the_decimal_mark_is_no_delimiter() -> None:
    assert sniff_delimiter("1,5\n2,5\n", Dialect(";", decimal=","), Cells(frozenset(), ",")) == ";"


@pytest.mark.parametrize(
    ("records", "header"),
    [
        ([["a", "b"], ["1", "2"]], True),
        ([["1", "2"], ["3", "4"]], False),
        ([["", "b"], ["0", "2"]], True),
        ([["id", "2019", "2020"], ["x", "1", "2"], ["y", "3", "4"]], False),
        ([["id", "2019", "2020"], ["7", "1", "2"], ["8", "3", "4"]], True),
        ([["day", "n"], ["2024-01-31", "NA"]], True),
        ([["NA", "1"], ["2", "3"]], False),
        ([["x", "1"], ["y", "2"]], False),
        ([["name", "town"], ["ann", "rome"], ["bob", "oslo"]], True),
        ([["ann", "rome"], ["bob", "rome"]], False),
        ([["ann", "ann"], ["bob", "oslo"]], False),
        ([["a", "b"]], True),
        ([["1", "b"]], False),
        ([["a", "b"], ["N", ""]], True),
        ([["", "name"], ["0", "ann"], ["1", "bob"]], True),
        ([["", "ann"], ["0", "ann"], ["1", "bob"]], False),
        ([["", ""], ["0", "ann"]], False),
        ([["NA", "x"], ["0", "ann"]], False),
        ([], False),
    ],
)
def test_the_header_is_found(records: list[list[str]], header: bool) -> None:
    assert sniff_header(records, CELLS) is header


@pytest.mark.parametrize(
    "wrong",
    [
        {"delimiter": ",,"},
        {"delimiter": "\n"},
        {"delimiter": "é"},
        {"delimiter": '"'},
        {"quote": "''"},
        {"decimal": ";"},
        {"decimal": ""},
        {"encoding": "utf-32"},
        {"encoding": 5},
        {"encoding": "no such"},
        {"comment": '"'},
        {"delimiter": ",", "decimal": ","},
        {"comment": "a\nb"},
        {"delimiter": 3},
    ],
)
def test_options_that_make_no_sense(wrong: dict[str, str]) -> None:
    given = {"delimiter": None, "quote": '"', "comment": None, "decimal": ".", "encoding": "utf-8"} | wrong
    with pytest.raises(oc.errors.OptionError) as caught:
        check_options(**given)
    assert repr(next(iter(wrong.values()))) in str(caught.value)


@pytest.mark.parametrize(
    ("given", "known"),
    [
        ("UTF8", "utf-8"),
        ("utf_8_sig", "utf-8"),
        ("L1", "latin-1"),
        ("US-ASCII", "ascii"),
        ("cp1252", "cp1252"),
        ("latin9", "iso8859-15"),
        ("utf16", "utf-16"),
        ("UTF-16LE", "utf-16-le"),
        ("utf_16_be", "utf-16-be"),
    ],
)
def test_names_of_encodings_are_pythons(given: str, known: str) -> None:
    assert check_options(None, None, None, ".", given) == known


def test_a_limit_on_cells() -> None:
    text = "1,2,3\n" * 10
    assert len(split(text, Dialect(","), cells=1)) == 3
    assert len(split(text, Dialect(","), cells=13)) == 5
    assert len(split(text, Dialect(","), 2, cells=13)) == 2
