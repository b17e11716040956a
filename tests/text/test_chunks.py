"""Chunks end at records and know their lines, whatever their size."""

from __future__ import annotations

import csv
import gzip
import io
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import outcore as oc
from outcore.text import chunks as module
from outcore.text.chunks import Chunk, blank_comments, header_end, last_record_end, read_chunks
from outcore.text.dialect import Dialect, split
from outcore.text.sources import find

FIELDS = st.text(st.sampled_from('a1 ,"\n#é'), max_size=5)
ROWS = st.lists(st.lists(FIELDS, min_size=2, max_size=3), max_size=8)


def chunks_of(path: Path, dialect: Dialect, size: int, **options: bool) -> list[Chunk]:
    (source,) = find(path)
    return list(read_chunks(source, dialect, size, **options))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=ROWS,
    end=st.sampled_from(["\n", "\r\n"]),
    size=st.integers(1, 60),
    final=st.booleans(),
    bom=st.booleans(),
    blank=st.integers(0, 2),
)
def test_chunks_put_together_are_the_file(
    tmp_path: Path, rows: list[list[str]], end: str, size: int, final: bool, bom: bool, blank: int
) -> None:
    out = io.StringIO()
    csv.writer(out, lineterminator=end * (1 + blank)).writerows(rows)
    text = out.getvalue() if final else out.getvalue().removesuffix(end)
    (tmp_path / "x.csv").write_bytes((b"\xef\xbb\xbf" if bom else b"") + text.encode())
    found = chunks_of(tmp_path / "x.csv", Dialect(","), size)
    assert b"".join(chunk.data for chunk in found) == text.encode()
    assert [record for chunk in found for record in split(chunk.data.decode(), Dialect(","))] == rows
    position = 0
    for chunk in found:
        assert chunk.first_line == 1 + text.encode()[:position].count(b"\n")
        position += len(chunk.data)
    assert sum(chunk.read_bytes for chunk in found) == (tmp_path / "x.csv").stat().st_size


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=ROWS, size=st.integers(1, 60), skip=st.integers(0, 3), lead=st.integers(0, 2))
def test_the_header_and_skipped_lines_are_left_out(
    tmp_path: Path, rows: list[list[str]], size: int, skip: int, lead: int
) -> None:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(rows)
    header = 'a,"b\nc"\n'
    (tmp_path / "x.csv").write_text('skip, "me\n' * skip + "\n" * lead + header + out.getvalue())
    found = chunks_of(tmp_path / "x.csv", Dialect(",", skip_rows=skip, header=True), size)
    assert b"".join(chunk.data for chunk in found).decode().lstrip("\n") == out.getvalue().lstrip("\n")
    first = next((chunk for chunk in found if chunk.data.strip(b"\n")), None)
    if first is not None:
        blank = len(first.data) - len(first.data.lstrip(b"\n"))
        assert first.first_line + blank == skip + lead + 3 + len(out.getvalue()) - len(
            out.getvalue().lstrip("\n")
        )
    kept = chunks_of(tmp_path / "x.csv", Dialect(",", skip_rows=skip, header=True), size, header=True)
    assert b"".join(chunk.data for chunk in kept).decode() == "\n" * lead + header + out.getvalue()


@pytest.mark.parametrize("size", [1, 3, 7, 1000])
def test_comments_become_empty_lines(tmp_path: Path, size: int) -> None:
    text = '# "one\n1,2\n#\n"a\n# no comment",3\n4,#5\n# the "end'
    (tmp_path / "x.csv").write_text(text)
    found = chunks_of(tmp_path / "x.csv", Dialect(",", comment="#"), size)
    assert b"".join(chunk.data for chunk in found) == b'\n1,2\n\n"a\n# no comment",3\n4,#5\n'


def test_a_comment_whose_end_is_still_to_come_stays() -> None:
    dialect = Dialect(",", comment="//")
    assert blank_comments(b"1\n// x\n// y", dialect, ended=False) == b"1\n\n// y"
    assert blank_comments(b"1\n// x\n// y", dialect, ended=True) == b"1\n\n"
    assert blank_comments(b"1/2\n", dialect, ended=True) == b"1/2\n"


def test_latin_1_becomes_utf_8(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_bytes("é,1\nü,2\n".encode("latin-1"))
    found = chunks_of(tmp_path / "x.csv", Dialect(",", encoding="latin-1"), 3)
    assert b"".join(chunk.data for chunk in found).decode() == "é,1\nü,2\n"


def test_runs_of_blanks_become_one(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text(" 1   2\n\t3 \t 4\n")
    found = chunks_of(tmp_path / "x.txt", Dialect("whitespace"), 4)
    assert b"".join(chunk.data for chunk in found) == b"1 2\n3 4\n"


@pytest.mark.parametrize("mark", [b"\xff\xfe", b"\xfe\xff"])
def test_utf_16_is_recognised(tmp_path: Path, mark: bytes) -> None:
    (tmp_path / "x.csv").write_bytes(mark + "1,2\n".encode("utf-16-le"))
    with pytest.raises(oc.errors.IngestError, match=r"UTF-16.*\n.*iconv"):
        chunks_of(tmp_path / "x.csv", Dialect(","), 100)


@pytest.mark.parametrize("size", [5, 1000])
def test_a_quote_that_is_never_closed_is_named_by_its_own_line(tmp_path: Path, size: int) -> None:
    (tmp_path / "x.csv").write_text('a,b\n"1\n2",3\n4,"5\n' + "6,7\n" * 20)
    with pytest.raises(oc.errors.IngestError, match=r'x\.csv:4  the quote " .*never closed: .*5'):
        chunks_of(tmp_path / "x.csv", Dialect(","), size)


def test_a_record_without_an_end_does_not_fill_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_RECORD_BYTES", 1000)
    (tmp_path / "x.csv").write_text('1,2\n"' + "6,7\n" * 2000)
    with pytest.raises(oc.errors.IngestError, match=r"x\.csv:2 .*never closed"):
        chunks_of(tmp_path / "x.csv", Dialect(","), 100)
    (tmp_path / "y.csv").write_text("1,2\n" + "6" * 5000)
    with pytest.raises(oc.errors.IngestError, match=r"y\.csv:2  a line is longer than 1000 bytes"):
        chunks_of(tmp_path / "y.csv", Dialect(","), 100)


def test_a_record_longer_than_a_chunk(tmp_path: Path) -> None:
    text = "1," + "9" * 1000 + "\n3,4\n"
    (tmp_path / "x.csv").write_text(text)
    found = chunks_of(tmp_path / "x.csv", Dialect(","), 10)
    assert b"".join(chunk.data for chunk in found).decode() == text


def test_compressed_files_report_the_bytes_on_disk(tmp_path: Path) -> None:
    (tmp_path / "x.csv.gz").write_bytes(gzip.compress(b"1,2\n" * 100_000))
    found = chunks_of(tmp_path / "x.csv.gz", Dialect(","), 10_000)
    assert sum(chunk.read_bytes for chunk in found) == (tmp_path / "x.csv.gz").stat().st_size
    assert b"".join(chunk.data for chunk in found) == b"1,2\n" * 100_000


@pytest.mark.parametrize(
    ("data", "end"), [(b"", 0), (b"a", 0), (b"a\n", 2), (b'"a\n', 0), (b'x\n"a\n"\n"', 7), (b'"a""\n"\n', 7)]
)
def test_ends_of_records(data: bytes, end: int) -> None:
    assert last_record_end(data, '"') == end


@pytest.mark.parametrize(
    ("data", "end"), [(b"", 0), (b"a", 1), (b"a\nb", 2), (b'\n\r\n"a\n"\nb', 8), (b"\n\n", 0), (b'"a\nb', 4)]
)
def test_ends_of_headers(data: bytes, end: int) -> None:
    assert header_end(data, Dialect(",")) == end


def test_an_empty_file_has_no_chunks_with_records(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_bytes(b"")
    assert not any(chunk.data for chunk in chunks_of(tmp_path / "x.csv", Dialect(","), 10))
    assert not any(chunk.data for chunk in chunks_of(tmp_path / "x.csv", Dialect(",", skip_rows=3), 10))
