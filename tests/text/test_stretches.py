"""A chunk in shorter ones: the same text, and each record at its place."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outcore.text import stretches
from outcore.text.dialect import Dialect
from outcore.text.places import Chunk, Piece, Place, source_bytes
from outcore.text.stretches import in_stretches, short_stretches

LINES = st.lists(st.sampled_from(["1,2", '"a\nb",c', "é,é", "", '"""",x']), max_size=12)


def chunk_of(files: list[list[str]], encoding: str) -> tuple[Chunk, list[tuple[int, int, int, str]]]:
    """Make a chunk of files; return it with file, byte, line and text of each record."""
    data, pieces, wanted = b"", [], []
    for number, lines in enumerate(files):
        byte, line = 10 * number, 1 + number  # as if something had gone before
        if lines:
            pieces.append(Piece(Place(number, byte, line), f"{number}.csv", encoding, len(data)))
        for text in lines:
            record = f"{text}\n".encode()
            wanted.append((number, byte, line, text))
            data, byte, line = (
                data + record,
                byte + source_bytes(record, encoding),
                line + record.count(b"\n"),
            )
    return Chunk(3, data, tuple(pieces), Place(len(files), 0, 1), 7), wanted


@given(
    files=st.lists(LINES, min_size=1, max_size=5).filter(any),
    room=st.integers(1, 8),
    encoding=st.sampled_from(["utf-8", "latin-1", "utf-16-le"]),
)
def test_each_stretch_begins_at_a_record_and_knows_its_place(
    files: list[list[str]], room: int, encoding: str
) -> None:
    chunk, wanted = chunk_of(files, encoding)
    found = list(in_stretches(chunk, Dialect(","), 1, room))
    assert b"".join(stretch.data for stretch in found) == chunk.data
    known = {place[:3] for place in wanted}
    for stretch in found:
        assert stretch.pieces[0].start == 0
        assert {(p.place.file, p.place.byte, p.place.line) for p in stretch.pieces} <= known
        assert (stretch.index, stretch.after) == (chunk.index, chunk.after)
        for number, piece in enumerate(stretch.pieces):
            end = stretch.pieces[number + 1].start if number + 1 < len(stretch.pieces) else len(stretch.data)
            text = stretch.data[piece.start : end].decode()
            place = (piece.place.file, piece.place.byte, piece.place.line)
            rest = [one[3] for one in wanted if one[0] == place[0] and one[1:3] >= place[1:]]
            assert "".join(f"{line}\n" for line in rest).startswith(text)


def test_a_chunk_that_is_short_enough_is_left_as_it_is() -> None:
    chunk, _ = chunk_of([["1,2"], ["3,4"]], "utf-8")
    assert list(short_stretches(chunk, Dialect(","))) == [chunk]


@pytest.mark.parametrize("least", [1, 40])
def test_short_stretches_are_short(monkeypatch: pytest.MonkeyPatch, least: int) -> None:
    monkeypatch.setattr(stretches, "LEAST_BYTES", least)
    chunk, _ = chunk_of([["1,2"] * 100], "utf-8")
    found = list(short_stretches(chunk, Dialect(",")))
    assert len(found) >= 8
    assert max(len(stretch.data) for stretch in found) <= max(len(chunk.data) // 8, least)
