"""Any encoding and newline as UTF-8, whatever is read at a time."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import outcore as oc
from outcore.text import recoding
from outcore.text.dialect import Dialect
from outcore.text.origins import Once
from outcore.text.recoding import Recoded
from outcore.text.sources import find
from outcore.text.streams import Stream

ENCODINGS = ["utf-8", "utf-16-le", "utf-16-be", "latin-1", "cp1252", "iso8859-15"]


class Bytes:
    """A file in memory."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def read(self, nbytes: int, /) -> bytes:
        taken, self._data = self._data[:nbytes], self._data[nbytes:]
        return taken


def recoded(data: bytes, dialect: Dialect) -> Recoded:
    once = Once("x.csv", Bytes(data))
    return Recoded(Stream("x.csv", once.origin(sample=False)), "x.csv", dialect)


def read_all(text: Recoded, nbytes: int) -> bytes:
    parts = []
    while not text.ended:
        parts.append(text.read(nbytes))
        assert len(parts[-1]) <= 3 * nbytes + 3  # a byte may become three, and complete a character
    return b"".join(parts)


@given(
    text=st.text(st.sampled_from('aé€\U0001f600,"\n\r#'), max_size=30),
    encoding=st.sampled_from(ENCODINGS),
    mark=st.booleans(),
    nbytes=st.integers(1, 8) | st.just(1 << 20),
    head=st.integers(4, 12) | st.just(1 << 16),
)
def test_text_is_that_of_the_file(text: str, encoding: str, mark: bool, nbytes: int, head: int) -> None:
    text = text.encode(encoding, "ignore").decode(encoding)
    mark = mark and encoding.startswith("utf")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recoding, "HEAD_BYTES", head)
        found = recoded(
            (b"" if not mark else "\ufeff".encode(encoding)) + text.encode(encoding),
            Dialect(",", encoding=encoding),
        )
        data = read_all(found, nbytes)
    assert found.encoding == encoding
    assert found.mark_bytes == (len("\ufeff".encode(encoding)) if mark else 0)
    assert data.decode() == (text.replace("\r", "\n") if mac(text) else text)


def mac(text: str) -> bool:
    """Whether the first line end outside quotes is a carriage return alone."""
    inside = False
    for at, character in enumerate(text):
        if character == '"':
            inside = not inside
        if not inside and character in "\r\n":
            return character == "\r" and text[at + 1 : at + 2] != "\n"
    return False


@pytest.mark.parametrize(
    ("mark", "encoding"), [(b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be")]
)
@pytest.mark.parametrize("given_encoding", ["utf-8", "latin-1", "cp1252", "utf-16", "ascii"])
def test_a_byte_order_mark_has_the_last_word(mark: bytes, encoding: str, given_encoding: str) -> None:
    found = recoded(mark + "é,1\n".encode(encoding), Dialect(",", encoding=given_encoding))
    assert (found.encoding, found.mark_bytes) == (encoding, len(mark))
    assert read_all(found, 100).decode() == "é,1\n"


def test_utf_16_without_a_mark_is_little_endian() -> None:
    found = recoded("é\n".encode("utf-16-le"), Dialect(",", encoding="utf-16"))
    assert read_all(found, 100).decode() == "é\n"


@pytest.mark.parametrize("nbytes", [1, 2, 3, 100])
@pytest.mark.parametrize(
    ("data", "encoding", "found"),
    [
        (b"a\x81\x9db", "cp1252", b"a\xed\xb2\x81\xed\xb2\x9db"),
        (b"\x00\xd8a\x00", "utf-16-le", b"\xed\xa0\x80a"),
        (b"a\x00\x00\xdc", "utf-16-le", b"a\xed\xb0\x80"),
        (b"\x00a\xd8\x00", "utf-16-be", b"a\xed\xa0\x80"),
        (b"a\xff\n", "utf-8", b"a\xff\n"),
    ],
)
def test_bytes_beyond_the_encoding_become_bytes_that_are_no_utf_8(
    data: bytes, encoding: str, found: bytes, nbytes: int
) -> None:
    made = read_all(recoded(data, Dialect(",", encoding=encoding)), nbytes)
    assert made == found
    with pytest.raises(UnicodeDecodeError):
        made.decode()


def test_a_character_that_is_cut_at_the_end_is_an_error() -> None:
    for nbytes in (1, 2, 100):
        with pytest.raises(
            oc.errors.IngestError, match=r"x\.csv ends in the middle of a character of utf-16-le"
        ):
            read_all(recoded("1,2\n".encode("utf-16-le") + b"3", Dialect(",", encoding="utf-16-le")), nbytes)


@pytest.mark.parametrize(
    ("text", "options", "returns"),
    [
        ("1\r2\r", {}, True),
        ("1\r\n2\r", {}, False),
        ("1\n2\r", {}, False),
        ('"a\rb"\n', {}, False),
        ('"a\nb"\r1\r', {}, True),
        ('5" x\r1\r', {}, False),
        ('5" x\r1\r', {"skip_rows": 1}, True),
        ('# 5" x\r1\r', {"comment": "#"}, True),
        ('# 5" x\r\n"1\r"\n', {"comment": "#"}, False),
        ('"a\r', {"quote": ""}, True),
        ("", {}, False),
    ],
)
def test_newlines_of_macintosh(text: str, options: dict[str, str], returns: bool) -> None:
    dialect = Dialect(",", **options)
    data = read_all(recoded(text.encode(), dialect), 3)
    assert data.decode() == (text.replace("\r", "\n") if returns else text)


def test_the_first_line_may_be_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recoding, "HEAD_BYTES", 8)
    monkeypatch.setattr(recoding, "LOOK_BYTES", 64)
    for size, end, found in ((40, "\r", "\n"), (39, "\r\n", "\r\n"), (63, "\r\n", "\r\n"), (200, "\r", "\r")):
        text = "1" * size + end + "2" + end
        assert (
            read_all(recoded(text.encode(), Dialect(",")), 100).decode() == "1" * size + found + "2" + found
        )


def test_returns_inside_quotes_are_no_work_for_each_of_them() -> None:
    data = b'"' + b"a\r" * 400_000 + b'"\n'
    assert read_all(recoded(data, Dialect(",")), 1 << 20) == data


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_seeking_a_byte_of_the_file(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes("é,1\r2,3\r".encode(encoding))
    (source,) = find(path)
    with source.open() as stream:
        text = Recoded(stream, "x.csv", Dialect(",", encoding=encoding))
        assert text.read(2)
        for _ in range(2):
            text.seek(len("é,1\r".encode(encoding)))
            assert not text.ended
            assert read_all(text, 100) == b"2,3\n"


def test_only_bytes_that_stand_in_a_file_can_be_looked_into(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(b"1,2\n" * 50_000)
    (source,) = find(path)
    with source.open() as stream:
        text = Recoded(stream, "x.csv", Dialect(","))
        assert text.direct
        assert text.look(4, 3) == b"1,2"
        while not text.ended:
            text.read(1 << 16)
        assert not text.direct
    for data, encoding in ((b"1,2\r" * 50_000, "utf-8"), (b"1,2\n" * 50_000, "latin-1")):
        path.write_bytes(data)
        (source,) = find(path)
        with source.open() as stream:
            assert not Recoded(stream, "x.csv", Dialect(",", encoding=encoding)).direct
