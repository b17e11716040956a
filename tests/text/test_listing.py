"""Faults made one by one, when they are asked for."""

from __future__ import annotations

import pytest

from outcore.text import listing
from outcore.text.faults import examine
from outcore.text.listing import Fault, Faults
from outcore.text.places import Chunk, Piece, Place
from tests.text.corpus import PLAN


def faults_of(data: bytes, encoding: str = "utf-8") -> Faults:
    pieces = (Piece(Place(0, 50, 4), "a.csv", encoding, 0),)
    return examine(Chunk(0, data, pieces, Place(1, 0, 1), 0), PLAN).faults


def test_a_fault_is_told_in_full() -> None:
    pieces = (Piece(Place(0, 50, 4), "a.csv", "utf-8", 0), Piece(Place(1, 3, 1), "b.csv", "utf-8", 12))
    data = b"n,a,1,2,,red\n"[1:] + b"n,a,1,2,,\n\nn,a,x,2,,\n"
    found = examine(Chunk(0, data, pieces, Place(2, 0, 1), 0), PLAN).faults
    assert list(found) == [
        Fault(
            "b.csv", 3, 3, 14, "x", "type", "x",
            "'x' is not float64",
            "Add 'x' to na_values (--na) if it means a missing value, or give x another dtype, such as "
            '"S1".',
            "n,a,x,2,,\n    ^",
            earlier=1,
            piece=1,
        )
    ]  # fmt: skip
    assert found[0].place == "b.csv:3:3"
    assert found[-1] == found[0:1][0] == found[:][0]
    assert found.pieces.tolist() == [1]
    with pytest.raises(IndexError):
        found[1]


def test_long_and_odd_texts() -> None:
    long = "x" * 1000
    lines = [
        f"n,a,{long},1,,",
        f'n,a,"é{long}",1,,',
        'n,a,"1""2",1,,',
        'n,a,"\t1\n",1,,',
        "é,a,x,1,,",
        f"{long},a",
    ]
    found = faults_of("\n".join(lines).encode())
    assert [f.text for f in found] == [
        "x" * 197 + "...", "é" + "x" * 196 + "...", '1"2', "\t1\n", "x", "x" * 197 + "...",
    ]  # fmt: skip
    assert [f.context for f in found] == ["", "", 'n,a,"1""2",1,,\n    ^^^^^^', "", "", ""]


def test_words_are_about_the_whole_text() -> None:
    (fault,) = faults_of(f"n,{'é' * 5000},1,1,,\n".encode())
    assert fault.what.endswith("has 10000 bytes, S8 holds 8; nothing is cut")
    assert len(fault.text) == listing.TEXT_CHARACTERS


@pytest.mark.parametrize(
    ("encoding", "text", "shown"),
    [
        ("utf-16-le", "é\ud800", "é\\ud800"),
        ("cp1252", "é\udc81", r"é\x81"),
        ("latin-1", "\0é", r"\x00é"),
    ],
)
def test_texts_of_other_encodings(encoding: str, text: str, shown: str) -> None:
    (fault,) = faults_of(f"n,{text},1,1,,\n".encode("utf-8", "surrogatepass"), encoding)
    assert fault.text == shown
    assert f"'{shown}'" in fault.what


def test_carriage_returns_are_no_part_of_a_record() -> None:
    (fault,) = faults_of(b"n,a\r\n")
    assert (fault.text, fault.what) == ("n,a", "2 fields, expected 6: 'n,a'")


def test_only_the_first_ones_are_told_in_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "TOLD", 2)
    monkeypatch.setattr(listing, "_AT_A_TIME", 2)
    found = faults_of(b"n,a,x,1,,\n" * 5)
    assert [f.line for f in found] == [4, 5, 6, 7, 8]
    assert [bool(f.cure and f.context) for f in found] == [True, True, False, False, False]
    assert found[4].what == "'x': type"
    assert found[3:1:-1] == [found[3], found[2]]
