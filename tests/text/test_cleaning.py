"""Comments and runs of blanks go; lines, and what is inside quotes, stay."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outcore.text.boundaries import last_record_end
from outcore.text.cleaning import blank_comments, clean, mute_comments
from outcore.text.dialect import Dialect, split

TEXTS = st.lists(st.sampled_from(["1", " ", "\t", ",", "#", "//", '"', "\n", "\r\n"]), max_size=30).map(
    "".join
)
DIALECTS = [
    Dialect(",", comment="#"),
    Dialect(",", comment="//"),
    Dialect(",", comment="#", quote=""),
    Dialect("whitespace", comment="#"),
    Dialect("whitespace"),
]


@given(TEXTS, st.sampled_from(DIALECTS))
def test_no_newline_comes_or_goes(text: str, dialect: Dialect) -> None:
    data = text.encode()
    assert clean(data, dialect).count(b"\n") == data.count(b"\n")


@given(TEXTS, st.sampled_from(DIALECTS))
def test_no_byte_moves_where_comments_are_muted(text: str, dialect: Dialect) -> None:
    data = text.encode()
    muted = mute_comments(data, dialect)
    assert len(muted) == len(data)
    assert [i for i, byte in enumerate(muted) if byte == 10] == [
        i for i, byte in enumerate(data) if byte == 10
    ]


@given(TEXTS, st.sampled_from(DIALECTS))
def test_clean_text_in_pieces_is_the_clean_text(text: str, dialect: Dialect) -> None:
    data = text.encode()
    end = last_record_end(data[: len(data) // 2], dialect)
    assert clean(data[:end], dialect) + clean(data[end:], dialect) == clean(data, dialect)


@given(TEXTS)
def test_comments_are_lines_that_start_with_the_prefix(text: str) -> None:
    kept = ["" if line.startswith("#") else line for line in text.split("\n")]
    assert blank_comments(text.encode(), Dialect(",", "", "#")).decode() == "\n".join(kept)


@pytest.mark.parametrize(
    ("data", "kept"),
    [
        (b'"a\n# no comment\n",1\n# one\n', b'"a\n# no comment\n",1\n\n'),
        (b'# 5" \n"a\n#b"\n# "\n', b'\n"a\n#b"\n\n'),
        (b"1,#2\n #3\n#4\r\n#5", b"1,#2\n #3\n\n"),
        (b"#\n", b"\n"),
        (b"", b""),
    ],
)
def test_comments(data: bytes, kept: bytes) -> None:
    assert clean(data, Dialect(",", comment="#")) == kept


@pytest.mark.parametrize("quote", ['"', ""])
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_runs_of_blanks(end: bytes, quote: str) -> None:
    data = end.join([b"  1 \t 2  ", b"\t# no", b"", b" ", b"3 4", b"5\t"])
    found = clean(data, Dialect("whitespace", quote, "#"))
    assert [line.rstrip(b"\r") for line in found.split(b"\n")] == [b"1 2", b"", b"", b"", b"3 4", b"5"]


def test_blanks_inside_quotes_stay() -> None:
    dialect = Dialect("whitespace")
    found = clean(b' "a  b\n  c"   1 \n', dialect)
    assert split(found.decode(), dialect) == [["a  b\n  c", "1"]]
