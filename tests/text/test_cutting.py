"""Chunks of any size hold the same records and know where they stand; what cannot be cut is named."""

from __future__ import annotations

import csv
import gzip
import io
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import outcore as oc
from outcore.text import cutting, recoding
from outcore.text.cleaning import clean
from outcore.text.cutting import Cutter
from outcore.text.dialect import Dialect, split
from outcore.text.places import BEGINNING, Chunk, Place
from outcore.text.sources import find

MARKS = {
    "utf-8": "",
    "utf-8 with mark": "\ufeff",
    "utf-16-le": "\ufeff",
    "utf-16-be": "\ufeff",
    "latin-1": "",
    "cp1252": "",
}
FIELDS = st.text(st.sampled_from('a1 ,"\n#é'), max_size=5)
ROWS = st.lists(st.lists(FIELDS, min_size=2, max_size=3), max_size=6)


@dataclass(frozen=True)
class Table:
    """Files, and what is known of them from how they were written.

    Attributes
    ----------
    files : list of bytes
    records : list of list of str
        Of all files, without headers.
    starts : list of Place
        Where each record, blank line and comment begins, those of headers and before them apart.
    places : list of Place
        Where each record begins.
    ends : list of str
        The newline of each file.
    """

    dialect: Dialect
    files: list[bytes]
    records: list[list[str]]
    starts: set[Place]
    places: list[Place]
    ends: list[str]


@st.composite
def tables(draw: st.DrawFn) -> Table:
    name = draw(st.sampled_from(sorted(MARKS)))
    encoding = name.removesuffix(" with mark")
    dialect = Dialect(
        ",",
        comment=draw(st.sampled_from(["", "#"])),
        # A mark has the last word.
        encoding=draw(st.sampled_from([encoding, "latin-1"])) if MARKS[name] else encoding,
        skip_rows=draw(st.integers(0, 2)),
        header=draw(st.booleans()),
    )
    table = Table(dialect, [], [], set(), [], [])
    for number in range(draw(st.integers(1, 4))):
        end = draw(st.sampled_from(["\n", "\r\n", "\r"]))
        text = MARKS[name]

        if draw(st.sampled_from([True, True, True, False])):  # otherwise it is empty
            # A line end first, or nothing says which one the file has.
            text += draw(st.sampled_from(['"skip', "", "5"])) + end if dialect.skip_rows else ""
            text += f"x{end}" * (dialect.skip_rows - 1)
            if dialect.header:
                text += draw(st.sampled_from(["", end])) + f'name,"a{end}b"{end}'
            rows = draw(ROWS) if draw(st.booleans()) else []
            for row in rows:
                for _ in range(draw(st.integers(0, 2))):
                    table.starts.add(_place(number, text, encoding, end))
                    text += draw(st.sampled_from(["", '#"no'] if dialect.comment else [""])) + end
                out = io.StringIO()
                csv.writer(out, lineterminator="\r\n", quoting=draw(st.sampled_from([0, 1]))).writerow(row)
                written = out.getvalue().removesuffix("\r\n")
                if dialect.comment and written.startswith("#"):
                    written = f'"{row[0]}"{written[len(row[0]) :]}'
                table.starts.add(_place(number, text, encoding, end))
                table.places.append(_place(number, text, encoding, end))
                table.records.append([cell.replace("\r", "\n") if end == "\r" else cell for cell in row])
                text += written + end
            if rows and draw(st.booleans()):
                text = text.removesuffix(end)
        table.ends.append(end)
        table.files.append(text.encode(encoding))
    return table


def _place(number: int, text: str, encoding: str, end: str) -> Place:
    """Name the place behind `text`."""
    newlines = text.count("\n") + (text.count("\r") if end == "\r" else 0)
    return Place(number, len(text.encode(encoding)), newlines + 1)


def write(folder: Path, files: list[bytes], compress: Callable[[bytes], bytes] | None = None) -> list[Path]:
    paths = [folder / f"{number}.csv" for number in range(len(files))]
    for path, data in zip(paths, files, strict=True):
        path.write_bytes(compress(data) if compress else data)
    return paths


def cut(
    paths: list[Path] | Path, dialect: Dialect, size: int, start: Place = BEGINNING, **options: int
) -> list[Chunk]:
    with find(paths) as files, Cutter(files, dialect, size, start=start, **options) as cutter:
        return list(iter(cutter.next, None))


def records(chunks: list[Chunk], dialect: Dialect) -> list[list[str]]:
    return [record for one in chunks for record in split(clean(one.data, dialect).decode(), dialect)]


@given(
    table=tables(),
    size=st.integers(1, 60) | st.just(1 << 20),
    other=st.integers(1, 60),
    some=st.integers(1, 20) | st.just(1 << 16),
    compressed=st.booleans(),
)
def test_any_size_gives_the_same_records_each_at_its_place(
    table: Table, size: int, other: int, some: int, compressed: bool
) -> None:
    dialect = table.dialect
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(cutting, "LOOK_BYTES", some)
        patch.setattr(cutting, "READ_BYTES", some)
        patch.setattr(recoding, "HEAD_BYTES", max(some, 4))
        paths = write(Path(folder), table.files, gzip.compress if compressed else None)
        chunks = cut(paths, dialect, size)
        assert records(chunks, dialect) == table.records
        n_records = 0
        for number, chunk in enumerate(chunks):
            assert chunk.index == number
            n_records += check_pieces(chunk, table, n_records)
            rest = cut(paths, dialect, other, start=chunk.after)
            assert records(rest, dialect) == records(chunks[number + 1 :], dialect)
            if rest:
                assert rest[0].pieces[0].place == (
                    chunks[number + 1].pieces[0].place if number + 1 < len(chunks) else chunk.after
                )
        read = sum(chunk.read_bytes for chunk in chunks)
        assert read <= sum(path.stat().st_size for path in paths)


def check_pieces(chunk: Chunk, table: Table, before_chunk: int) -> int:
    """Compare the text of each piece with what stands in the file at its place; return how many records."""
    n_records = 0
    ends = [*(piece.start for piece in chunk.pieces[1:]), len(chunk.data)]
    assert chunk.pieces[0].start == 0
    for piece, end in zip(chunk.pieces, ends, strict=True):
        assert piece.place in table.starts
        earlier = [at for at in table.places if (at.file, at.byte) < (piece.place.file, piece.place.byte)]
        assert len(earlier) == before_chunk + n_records
        data, text = table.files[piece.place.file], chunk.data[piece.start : end].decode()
        before = data[: piece.place.byte].decode(piece.encoding)
        here = data[piece.place.byte :].decode(piece.encoding)
        if table.ends[piece.place.file] == "\r":
            before, here = before.replace("\r", "\n"), here.replace("\r", "\n")
        assert here.startswith(text) or here + "\n" == text
        assert piece.place.line == before.count("\n") + 1
        assert piece.path.endswith(f"{piece.place.file}.csv")
        n_records += len(split(clean(text.encode(), table.dialect).decode(), table.dialect))
    return n_records


def test_the_cutter_agrees_with_the_csv_module(tmp_path: Path) -> None:
    text = "".join(f'{i},"a\n{"b" * (i % 7)}""",\n' for i in range(300))
    (tmp_path / "x.csv").write_text(text)
    reader, begins = csv.reader(io.StringIO(text)), {}
    while True:
        line = reader.line_num + 1
        if (row := next(reader, None)) is None:
            break
        begins[line] = row
    for size in (1, 17, 100, 5000):
        chunks = cut(tmp_path / "x.csv", Dialect(","), size)
        for chunk in chunks:
            first = split(chunk.data.decode(), Dialect(","), 1)[0]
            assert begins[chunk.pieces[0].place.line] == first
        assert records(chunks, Dialect(",")) == list(begins.values())


def test_chunks_are_no_larger_than_asked_for_but_for_long_records(tmp_path: Path) -> None:
    lines = [b"1,2\n"] * 9000
    lines[7000], lines[8000] = b'"' + b"x\n" * 9000 + b'",1\n', b"3" * 20_000 + b",4\n"
    paths = write(tmp_path, [b"".join(lines), b"1,2\n" * 3, b"", b"1,2\n" * 3000])
    chunks = cut(paths, Dialect(","), 10_000)
    long = [chunk for chunk in chunks if len(chunk.data) > 10_000]
    assert [chunk.data for chunk in long] == [lines[7000], lines[8000]]
    assert b"".join(chunk.data for chunk in chunks) == b"".join(path.read_bytes() for path in paths)
    assert sum(chunk.read_bytes for chunk in chunks) == sum(path.stat().st_size for path in paths)


def test_small_files_share_a_chunk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = write(tmp_path, [b"h\n%d\n" % i for i in range(10)])
    dialect = Dialect(",", header=True)
    (chunk,) = cut(paths, dialect, 1 << 20)
    assert chunk.data == b"".join(b"%d\n" % i for i in range(10))
    assert [piece.place for piece in chunk.pieces] == [Place(i, 2, 2) for i in range(10)]
    monkeypatch.setattr(cutting, "MAX_PIECES", 4)
    assert [len(chunk.pieces) for chunk in cut(paths, dialect, 1 << 20)] == [4, 4, 2]


def test_compressed_files_report_the_bytes_on_disk(tmp_path: Path) -> None:
    (path,) = write(tmp_path, [b"1,2\n" * 100_000], gzip.compress)
    chunks = cut(path, Dialect(","), 10_000)
    assert sum(chunk.read_bytes for chunk in chunks) == path.stat().st_size


def test_the_header_of_each_file_is_shown(tmp_path: Path) -> None:
    paths = write(tmp_path, [b"\n#x\na,b\n1,2\n", b"", b'a,"b\nc"\r\n', b"a,c"])
    seen: list[tuple[str, bytes]] = []
    dialect = Dialect(",", comment="#", header=True)
    with (
        find(paths) as files,
        Cutter(files, dialect, 100, check_header=lambda p, d: seen.append((p[-5:], d))) as cutter,
    ):
        chunks = list(iter(cutter.next, None))
    assert [chunk.data for chunk in chunks] == [b"1,2\n"]
    assert seen == [("0.csv", b"\n#x\na,b\n"), ("2.csv", b'a,"b\nc"\r\n'), ("3.csv", b"a,c")]


@pytest.mark.parametrize("size", [1, 10, 100, 1 << 20])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le"])
@pytest.mark.parametrize(
    ("text", "line", "column"),
    [
        ('a,b\n"1\n2",3\n4,"5\n6,7\n6,7\n', 4, 2),
        ('"a","b"\n"c","d"\n"e,"f"\n"g","h"\n', 3, 1),
        ('"a"",""b","é\n' + '1,"x"\n' * 9, 1, 2),
        ('1,2\n3,5" tall\n4,5\n', 2, 2),
        ('1,5" x 3"\n2,"b ""c"",\n', 2, 2),
        ("1,2\n" * 50 + '3,"', 51, 2),
        ('"', 1, 1),
        ('# "5\n1,2\n3,"4\n', 3, 2),
    ],
)
def test_a_quote_that_is_never_closed_is_named_where_it_opened(
    tmp_path: Path, text: str, line: int, column: int, end: str, encoding: str, size: int
) -> None:
    if end == "\r" and "\n" not in text:
        text = "1,2\n" + text
        line += 1
    (path,) = write(tmp_path, [text.replace("\n", end).encode(encoding)])
    with pytest.raises(oc.errors.IngestError, match=rf'0\.csv:{line}:{column}  the quote " .*never closed'):
        cut(path, Dialect(",", comment="#", encoding=encoding), size)


def test_a_quote_in_the_header_that_is_never_closed(tmp_path: Path) -> None:
    (path,) = write(tmp_path, [b'\na,"b\n1,2\n3,4\n'])
    with pytest.raises(oc.errors.IngestError, match=r'0\.csv:2:2  the quote " .*never closed'):
        cut(path, Dialect(",", header=True), 100)


@pytest.mark.parametrize("header", [True, False])
def test_a_record_without_an_end_does_not_fill_the_memory(tmp_path: Path, header: bool) -> None:
    quoted, plain = write(tmp_path, [b'1,2\n"' + b"6,7\n" * 90_000, b'1,2\n"3\n4",' + b"6" * 350_000])
    dialect = Dialect(",", header=header)
    with pytest.raises(oc.errors.IngestError, match=r"0\.csv:2:1 .*never closed"):
        cut(quoted, dialect, 100, record_bytes=1000)
    with pytest.raises(oc.errors.IngestError, match=r"1\.csv:2  the record is longer than 1000 bytes"):
        cut(plain, dialect, 100, record_bytes=1000)
    plain.write_bytes(b"\n\n" + b"6" * 350_000)
    with pytest.raises(oc.errors.IngestError, match=r"1\.csv:3  the record is longer than 1000 bytes"):
        cut(plain, dialect, 100, record_bytes=1000)


def appended(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"8,9\n")


def replaced(path: Path) -> None:
    (path.parent / "new").write_bytes(path.read_bytes())
    os.replace(path.parent / "new", path)


def shortened(path: Path) -> None:
    os.truncate(path, 3001)


def shortened_in_a_quote(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:3000] + b'"1')


@pytest.mark.parametrize(
    ("change", "compressed"),
    [
        (appended, False),
        (shortened, False),
        (shortened_in_a_quote, False),
        (replaced, False),
        (replaced, True),
        (Path.unlink, False),
        (Path.unlink, True),
    ],
)
def test_a_file_that_changes_while_it_is_read_is_named(
    tmp_path: Path, change: Callable[[Path], None], compressed: bool
) -> None:
    paths = write(tmp_path, [b"1,2\n" * 100_000, b"3,4\n"], gzip.compress if compressed else None)
    with find(paths) as files, Cutter(files, Dialect(","), 1000) as cutter:
        assert cutter.next() is not None
        change(paths[0])
        with pytest.raises(oc.errors.IngestError, match=r"0\.csv changed since this run found it"):
            list(iter(cutter.next, None))


def test_skipped_lines_are_counted_not_read(tmp_path: Path) -> None:
    text = "é,5\n" * 40_000 + "1,2\n3,4\n"
    for encoding in ("utf-8", "utf-16-be"):
        (path,) = write(tmp_path, [text.encode(encoding)])
        (chunk,) = cut(path, Dialect(",", skip_rows=40_000, encoding=encoding), 100)
        assert chunk.data == b"1,2\n3,4\n"
        width = 1 if encoding == "utf-8" else 2
        nbytes = 40_000 * (5 if encoding == "utf-8" else 4 * width)
        assert chunk.pieces[0].place == Place(0, nbytes, 40_001)
        assert cut(path, Dialect(",", skip_rows=50_000, encoding=encoding), 100) == []


def test_lines_to_skip_are_those_of_the_file_whatever_is_in_them(tmp_path: Path) -> None:
    (path,) = write(tmp_path, [b'5" title\r1,2\r3,4\r'])
    (chunk,) = cut(path, Dialect(",", skip_rows=1), 100)
    assert (chunk.data, chunk.pieces[0].place) == (b"1,2\n3,4\n", Place(0, 9, 2))


def test_runs_of_blanks_and_comments_stay_until_a_chunk_is_parsed(tmp_path: Path) -> None:
    text = b' 1   2\n\t# 5"\n\t3 \t 4\n'
    (path,) = write(tmp_path, [text])
    dialect = Dialect("whitespace", comment="#")
    chunks = cut(path, dialect, 4)
    assert b"".join(chunk.data for chunk in chunks) == text
    assert records(chunks, dialect) == [["1", "2"], ["3", "4"]]


def test_nothing_at_all(tmp_path: Path) -> None:
    paths = write(tmp_path, [b"", b"a,b", b"a,b\n", b"\n\n", b"\xef\xbb\xbf"])
    assert cut(paths[0], Dialect(","), 10) == []
    chunks = cut(paths, Dialect(",", header=True), 10)
    assert records(chunks, Dialect(",")) == []
    assert cut(paths[:3], Dialect(",", header=True), 10, start=Place(3, 0, 1)) == []


def test_a_cutter_closes_what_it_opened(tmp_path: Path) -> None:
    paths = write(tmp_path, [b"1,2\n" * 50_000])
    with find(paths) as files:
        cutter = Cutter(files, Dialect(","), 100)
        assert cutter.next() is not None
        cutter.close()
        cutter.close()
    with find(paths) as files, pytest.raises(oc.errors.IngestError, match="other header"):
        Cutter(files, Dialect(",", header=True), 100, check_header=_refuse).next()  # closes it itself


def _refuse(path: str, data: bytes) -> None:
    raise oc.errors.IngestError("other header")


def test_the_size_of_a_chunk_has_no_say_in_the_newline(tmp_path: Path) -> None:
    (path,) = write(tmp_path, [b'"a\nb",c\r1,2\r'])
    for size in (1, 5, 100):
        chunks = cut(path, replace(Dialect(",")), size)
        assert records(chunks, Dialect(",")) == [["a\nb", "c"], ["1", "2"]]
