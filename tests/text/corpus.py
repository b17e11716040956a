"""Tables of which it is known what is wrong with them, where, and what the rest of them means.

Python's own csv module writes them and counts their lines; each value is what ``float``, ``int`` and NumPy
say it is.
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from hypothesis import strategies as st

from outcore.text.columns import Values
from outcore.text.dialect import Dialect
from outcore.text.parse import Plan
from outcore.text.places import Chunk, Piece, Place
from outcore.text.schema import Column, Schema

COLORS = ("red", "green", "dark blue")
NAMES = ("note", "name", "x", "n", "day", "color")
DTYPE = np.dtype([("name", "S8"), ("x", "f8"), ("n", "i2"), ("day", "M8[D]"), ("color", "i1")])
NOTE, NAME, X, N, DAY, COLOR = range(6)
COLUMNS = (
    Column(NAME, "name", np.dtype("S8")),
    Column(X, "x", np.dtype("f8")),
    Column(N, "n", np.dtype("i2")),
    Column(DAY, "day", np.dtype("M8[D]")),
    Column(COLOR, "color", np.dtype("i1"), COLORS),
)
PLAN = Plan(
    Dialect(",", comment="#"),
    Schema(NAMES, COLUMNS, matrix=False),
    Values(("", "NA", "nan"), None, "."),
    on_error="reject",
)
#: Characters that no encoding has, as they are written by `as_bytes`.
ODD = {"utf-8": "\udcff", "cp1252": "\udc81", "utf-16-le": "\ud800", "utf-16-be": "\udc00"}
#: Kinds of fault and the cells that have it: field, and text as it is written.
BAD_CELLS: dict[str, list[tuple[int, str]]] = {
    "quote": [
        (NAME, '"a"b'), (NOTE, 'a"b,c"d'), (NAME, '"a" '), (NOTE, 'a"\n"b'), (COLOR, '"red" ""'),
        (X, '5"\n6"'),
    ],
    "nul": [(NOTE, "a\0"), (NAME, "\0"), (X, "1\0"), (NAME, '"a\0"'), (DAY, "2024-01-3\0")],
    "missing": [(N, ""), (N, "NA"), (N, " nan"), (N, '""'), (N, '"NA"')],
    "type": [
        (X, "x"), (X, '"1,5"'), (X, "1.5.2"), (X, '"a\nb"'), (X, "1_0"), (N, "1.5"), (N, "0x1F"), (N, "1 2"),
        (DAY, "31.1.2024"), (DAY, "2024-02-30"), (DAY, '"2024-01-31,"'), (X, "é"),
    ],
    "range": [
        (N, "32768"), (N, " -40000"), (N, "9" * 30), (X, "1e309"), (X, '"-1E999"'), (DAY, "2024-01-31T10:00"),
    ],
    "width": [(NAME, "abcdefghi"), (NAME, '"a,b\nc""def"'), (NAME, "aaaaaaaé")],
    "category": [(COLOR, "blue"), (COLOR, "Red"), (COLOR, '"red,"'), (COLOR, " red")],
}  # fmt: skip


@dataclass(frozen=True)
class Wrong:
    """A fault as it should be reported."""

    path: str
    line: int
    column: int
    byte: int
    kind: str


@dataclass(frozen=True)
class Table:
    """Files, chunks of them, what is wrong; the rows of the good records, and of all but broken ones."""

    plan: Plan
    files: dict[str, bytes]
    chunks: list[Chunk]
    wrong: list[Wrong]
    good: np.ndarray
    masked: np.ndarray
    n_records: int


def as_bytes(text: str, encoding: str) -> bytes:
    """Encode, lone surrogates too."""
    return text.encode(encoding, "surrogatepass" if encoding.startswith("utf-16") else "surrogateescape")


def as_chunk(text: str, encoding: str) -> bytes:
    """Make the UTF-8 that chunks hold."""
    return text.encode("utf-8", "surrogateescape" if encoding == "utf-8" else "surrogatepass")


WORDS = st.text(st.sampled_from('ab# ,"\n'), max_size=4) | st.sampled_from(["é", "NAN", "x#", 'a"b'])
ROWS = st.tuples(
    WORDS | st.just("NA"),
    WORDS,
    st.floats().map(repr) | st.sampled_from(["", " 1.5", "NA", "inf"]),
    st.integers(-(2**15), 2**15 - 1).map(str),
    st.dates().map(str) | st.just(""),
    st.sampled_from([*COLORS, ""]),
)


@st.composite
def tables(draw: st.DrawFn, *, mask: bool = False, n_wrong: int = 1) -> Table:
    """Draw files, break some cells of them, and cut them into chunks."""
    encoding = draw(st.sampled_from(["utf-8", "utf-8", "utf-16-le", "utf-16-be", "cp1252"]))
    head = draw(st.sampled_from(["", "head,é\n", "a\n\n"]))
    plan = replace(PLAN, dialect=replace(PLAN.dialect, encoding=encoding, skip_rows=head.count("\n")))
    if mask:
        plan = replace(plan, on_error="mask", meaning=replace(plan.meaning, fill=-1))
    made = _Files(encoding, head, mask=mask)
    sizes = draw(st.lists(st.integers(0, 6), min_size=1, max_size=4))
    faulty = draw(st.sets(st.integers(0, max(sum(sizes) - 1, 0)), max_size=n_wrong))
    for file, size in enumerate(sizes):
        made.add_file(draw, file, size, faulty)
    good, masked = np.array(made.good, DTYPE), np.array(made.masked, DTYPE)
    return Table(plan, made.files, made.chunks(draw), made.wrong, good, masked, made.n_records)


class _Files:
    """Files, as they are made record by record."""

    def __init__(self, encoding: str, head: str, *, mask: bool) -> None:
        self._encoding = encoding
        self._head = head
        self._mask = mask
        self._fill = -1.0 if mask else np.nan
        #: Stretches of text of which none need be with the next one in a chunk.
        self._stretches: list[tuple[Place, str, str]] = []
        self.files: dict[str, bytes] = {}
        self.wrong: list[Wrong] = []
        self.good: list[Any] = []
        self.masked: list[Any] = []
        self.n_records = 0

    def add_file(self, draw: st.DrawFn, number: int, size: int, faulty: set[int]) -> None:
        end, quoting = draw(st.sampled_from(["\n", "\r\n"])), draw(st.sampled_from([0, 1]))
        path, text = f"f{number}.csv", self._head
        for _ in range(size):
            place = Place(number, self._nbytes(text), text.count("\n") + 1)
            before = draw(st.sampled_from(["", "", end, f"#c, 1{end}", end * 2]))
            row = draw(ROWS)
            cells = [_cell(value, quoting) for value in row]
            kind, column = "", 0
            if self.n_records in faulty:
                kind = draw(st.sampled_from(_kinds(self._encoding, mask=self._mask)))
                column = _break(draw, cells, kind, self._encoding)
                start = text + before
                self.wrong.append(Wrong(path, start.count("\n") + 1, column, self._nbytes(start), kind))
            record = ",".join(cells) + end
            self._stretches.append((place, path, before + record))
            text += before + record
            self._learn(row, kind, column)
            self.n_records += 1
        self.files[path] = as_bytes(text.removesuffix(end) if draw(st.booleans()) else text, self._encoding)

    def _nbytes(self, text: str) -> int:
        return len(as_bytes(text, self._encoding))

    def _learn(self, row: tuple[str, ...], kind: str, column: int) -> None:
        values = [
            row[NAME].encode(),
            self._fill if row[X] in ("", "NA", "nan") else float(row[X]),
            int(row[N]),
            np.datetime64(row[DAY] or "NaT", "D"),
            COLORS.index(row[COLOR]) if row[COLOR] else -1,
        ]
        if not kind:
            self.good.append(tuple(values))
        if kind in ("fields", "quote"):
            return
        if column > 1:
            values[column - 2] = (b"", self._fill, -1, np.datetime64("NaT", "D"), -1)[column - 2]
        self.masked.append(tuple(values))

    def chunks(self, draw: st.DrawFn) -> list[Chunk]:
        """Put stretches together to pieces, and these to chunks."""
        chunks: list[Chunk] = []
        left, whole = self._stretches, draw(st.booleans())
        while left:
            n = len(left) if whole else draw(st.integers(1, len(left)))
            data, pieces = b"", []
            for place, path, text in left[:n]:
                if not pieces or pieces[-1].path != path:
                    pieces.append(Piece(place, path, self._encoding, len(data)))
                data += as_chunk(text, self._encoding)
            left = left[n:]
            if draw(st.booleans()) and (not left or left[0][1] != pieces[-1].path):
                data = data.removesuffix(b"\n").removesuffix(b"\r")
            chunks.append(Chunk(len(chunks), data, tuple(pieces), Place(0, 0, 1), 0))
        return chunks


def _cell(text: str, quoting: int) -> str:
    out = io.StringIO()
    # Beside another cell: alone, an empty one would be quoted.
    csv.writer(out, lineterminator="\n", quoting=quoting).writerow([text, "1"])
    cell = out.getvalue().removesuffix(',"1"\n' if quoting else ",1\n")
    return f'"{cell}"' if cell.startswith("#") else cell  # or it would be a comment


def _kinds(encoding: str, *, mask: bool) -> list[str]:
    kinds = ["fields", *BAD_CELLS, *(["encoding"] if encoding in ODD else [])]
    return [kind for kind in kinds if not (mask and kind == "missing")]


def _break(draw: st.DrawFn, cells: list[str], kind: str, encoding: str) -> int:
    """Break a record; return the column to be named, from 1."""
    if kind == "fields":
        wanted = draw(st.sampled_from([1, 2, 5, 7, 9]))
        cells[:] = [*cells, "more", '"and\n,more"', ""][:wanted]
        cells[0] = cells[0] or "a"  # or it would be a blank line
        return 0
    if kind == "encoding":
        field, odd = draw(st.sampled_from([NOTE, NAME, X, COLOR])), ODD[encoding]
        cells[field] = draw(st.sampled_from([odd, f"a{odd}{odd}b", f'"a,{odd}"', f"é{odd}"]))
    else:
        field, written = draw(st.sampled_from(BAD_CELLS[kind]))
        cells[field] = written
    return field + 1
