"""Samples: whole records from the start, whole lines from the middle and the end."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

import outcore as oc
from outcore.text import samples as module
from outcore.text.dialect import Dialect
from outcore.text.samples import Sampler
from outcore.text.sources import find

COMMA = Dialect(",")


def sampled(
    path: Path, data: bytes, nbytes: int = 100, dialect: Dialect = COMMA
) -> tuple[bytes, list[bytes]]:
    path.write_bytes(data)
    source = find(path)[0]
    with source.open(sample=True) as stream:
        sampler = Sampler(source, stream, dialect, nbytes)
        return sampler.head(), list(sampler.pieces())


def test_a_small_file_is_read_whole(tmp_path: Path) -> None:
    assert sampled(tmp_path / "a.csv", b"a,b\n1,2\n3,4") == (b"a,b\n1,2\n3,4", [])
    assert sampled(tmp_path / "b.csv", b"") == (b"", [])


def test_of_a_large_file_the_start_the_middle_and_the_end(tmp_path: Path) -> None:
    lines = [b"%06d,x\n" % i for i in range(1000)]
    head, (middle, end) = sampled(tmp_path / "a.csv", b"".join(lines), 200)
    assert b"".join(lines).startswith(head)
    assert 180 <= len(head) <= 200
    assert head.endswith(b"\n")
    assert middle.splitlines(keepends=True)[0] == lines[501]
    assert all(line in lines for line in middle.splitlines(keepends=True))
    assert end.splitlines(keepends=True)[-1] == lines[-1]
    assert end.splitlines(keepends=True)[0] in lines


def test_the_last_line_may_lack_its_newline(tmp_path: Path) -> None:
    _, (_, end) = sampled(tmp_path / "a.csv", b"1,2\n" * 500 + b"3,4.5", 100)
    assert end.endswith(b"\n3,4.5")


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "latin-1", "cp1252"])
def test_encodings(tmp_path: Path, encoding: str) -> None:
    text = "é,b\n" + "".join(f"{i:05d},é\n" for i in range(1000))
    dialect = Dialect(",", encoding=encoding)
    head, (middle, end) = sampled(tmp_path / "a.csv", text.encode(encoding), 200, dialect)
    assert text.startswith(head.decode())
    assert middle.decode() in text
    assert text.endswith(end.decode())


def test_newlines_of_old_macintoshes(tmp_path: Path) -> None:
    head, (_, end) = sampled(tmp_path / "a.csv", b"1,2\r" * 1000 + b"3,4\r")
    assert set(head.splitlines()) == {b"1,2"}
    assert end.endswith(b"1,2\n3,4\n")


@pytest.mark.parametrize("skip", [1, 3, 40])
def test_lines_to_skip(tmp_path: Path, skip: int) -> None:
    text = b"not, a, table\n" * skip + b"1,2\n3,4\n"
    assert sampled(tmp_path / "a.csv", text, dialect=Dialect(",", skip_rows=skip))[0] == b"1,2\n3,4\n"
    assert sampled(tmp_path / "b.csv", text, dialect=Dialect(",", skip_rows=skip + 2))[0] == b""
    assert sampled(tmp_path / "c.csv", text, dialect=Dialect(",", skip_rows=999))[0] == b""


@pytest.mark.parametrize("length", [90, 110, 70_000, 200_000])
def test_long_lines_to_skip(tmp_path: Path, length: int) -> None:
    text = (b"x" * length + b"\n") * 3 + b"1,2\n" * 5
    assert sampled(tmp_path / "a.csv", text, dialect=Dialect(",", skip_rows=3))[0] == b"1,2\n" * 5


def test_wide_records_are_read_to_their_end(tmp_path: Path) -> None:
    record = b"1," * 500 + b"2\n"
    head, _ = sampled(tmp_path / "a.csv", record * 100)
    assert len(head) >= 2 * len(record)
    assert head == record * (len(head) // len(record))
    quoted = b'"' + b"x\n" * 5000 + b'",1\n'
    assert sampled(tmp_path / "b.csv", quoted * 4)[0].startswith(quoted)


def test_there_is_a_record_besides_the_header(tmp_path: Path) -> None:
    long = b'1,"' + b"x\n" * 5000 + b'"\n'
    assert sampled(tmp_path / "a.csv", b"\nid,text\n" + long * 20)[0].startswith(b"\nid,text\n" + long)


@pytest.mark.parametrize("quote", ['"', ""])
def test_long_fields_are_shortened(quote: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LONG_BYTES", 0)
    dialect = Dialect(",", quote)
    long = b"x" * 5000
    assert (
        module.shortened(b"1," + long + b",2\n" + long + b"\r\n", dialect) == b"1,long text,2\nlong text\r\n"
    )
    quoted = b'"' + long + b'","a ""b"" c"\n'
    expected = b'"long text","a ""b"" c"\n' if quote else b'long text,"a ""b"" c"\n'
    assert module.shortened(quoted, dialect) == expected


def test_short_samples_stay_as_they_are() -> None:
    text = b"x" * 5000
    assert module.shortened(text, COMMA) is text


def test_a_quote_that_is_never_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_RECORD_BYTES", 1 << 17)
    head, _ = sampled(tmp_path / "a.csv", b'a,"b\n' + b"1,2\n" * 100_000)
    assert len(head) <= 1 << 18
    assert head.endswith(b"1,2\n")


def test_of_compressed_files_a_longer_start(tmp_path: Path) -> None:
    head, pieces = sampled(tmp_path / "a.csv.gz", gzip.compress(b"1,2\n" * 1000))
    assert (len(head), pieces) == (800, [])


def test_what_is_no_text_is_refused(tmp_path: Path) -> None:
    for data in (b"\x93NUMPY\x01\0v\0{'descr'}" + bytes(300), "1,2\n3,4\n".encode("utf-16-le")):
        with pytest.raises(oc.errors.IngestError, match=r"x.csv holds zero bytes(.|\n)*utf-16-le"):
            sampled(tmp_path / "x.csv", data)


def test_a_zero_byte_in_text_is_left_for_the_run(tmp_path: Path) -> None:
    assert sampled(tmp_path / "x.csv", b"a,b\n1,\0\n3,4\n")[0] == b"a,b\n1,\0\n3,4\n"
