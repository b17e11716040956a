"""Records found in the files that a chunk was made of."""

from __future__ import annotations

import numpy as np
import pytest

from outcore.text.cleaning import clean
from outcore.text.dialect import Dialect
from outcore.text.locating import located
from outcore.text.places import Chunk, Piece, Place
from outcore.text.structure import Records

DIALECT = Dialect("whitespace", comment="#")


def place_all(chunk: Chunk, dialect: Dialect) -> list[tuple[int, ...]]:
    records = Records(clean(chunk.data, dialect), dialect)
    found = located(chunk, records, np.arange(len(records)))
    return list(zip(*(part.tolist() for part in found), strict=True))


def test_clean_text_is_found_in_the_raw_text() -> None:
    texts = [b"# c\n  1   2\n\n3\t\t4\r\n", b"\n5 6\n", b'"7\n\n" 8\n9 0']
    data = b"".join(texts)
    heads = [0, len(texts[0]), len(texts[0]) + len(texts[1])]
    places = [Place(0, 100, 11), Place(1, 0, 1), Place(2, 7, 3)]
    pieces = tuple(
        Piece(place, f"{i}.txt", "utf-8", head)
        for i, (place, head) in enumerate(zip(places, heads, strict=True))
    )
    found = place_all(Chunk(0, data, pieces, Place(3, 0, 1), 0), DIALECT)
    assert [row[:4] for row in found] == [
        (12, 104, 0, 0),
        (14, 113, 0, 1),
        (2, 1, 1, 0),
        (3, 7, 2, 0),
        (6, 15, 2, 1),
    ]
    assert [data[row[4] : row[5]] for row in found] == [
        b"  1   2", b"3\t\t4\r", b"5 6", b'"7\n\n" 8', b"9 0",
    ]  # fmt: skip


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le", "utf-16-be", "cp1252", "latin-1"])
def test_bytes_are_those_of_the_encoding(encoding: str) -> None:
    lines = ["é,1\n", "aé,2\n", "\n", "é,3\n"]
    if encoding.startswith("utf"):
        lines[1] = "a𝄞,2\n"
    first = Piece(Place(0, 2, 1), "a", encoding, 0)
    text = "".join(lines)
    second = Piece(Place(1, 0, 1), "b", encoding, len(text.encode()))
    chunk = Chunk(0, (text * 2).encode(), (first, second), Place(2, 0, 1), 0)
    at = np.cumsum([0] + [len(line.encode(encoding)) for line in lines])
    expected = [int(at[0]), int(at[1]), int(at[3])]
    found = place_all(chunk, Dialect(",", encoding=encoding))
    assert [row[1] for row in found] == [2 + byte for byte in expected] + expected
    assert [row[0] for row in found] == [1, 2, 4] * 2
