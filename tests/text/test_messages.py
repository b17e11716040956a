"""The error that stops the work."""

from __future__ import annotations

from outcore.errors import IngestError
from outcore.text.faults import examine
from outcore.text.listing import Fault
from outcore.text.messages import error
from outcore.text.places import Chunk, Piece, Place
from tests.text.corpus import PLAN

HINT = 'Use on_error="reject" (--on-error reject) to keep going and list bad rows in x.rejects.csv.'


def fault(line: int) -> Fault:
    return Fault("a.csv", line, 2, 0, "b", "type", "x", "'x' is not int32", "Do this.", earlier=line - 2)


def test_place_values_context_and_cure() -> None:
    data = b'n,abc,1.5,7,2024-01-31,red\nn,abc,"1,5",7,2024-01-31,red\nn,abc,2.5,,,red\n'
    chunk = Chunk(0, data, (Piece(Place(0, 99, 41), "part.csv", "utf-8", 0),), Place(1, 0, 1), 0)
    found = error(examine(chunk, PLAN).faults, earlier_rows=39, target="x.npy")
    assert isinstance(found, IngestError)
    assert str(found) == (
        "part.csv:42:3  x: '1,5' is not float64\n"
        '    n,abc,"1,5",7,2024-01-31,red\n'
        "          ^^^^^\n"
        "  40 earlier rows of this file were fine; nothing was written to x.npy.\n"
        "  part.csv:43:4  n: '' is a missing value, which int16 cannot express\n"
        'Use decimal="," (--decimal ,) if that is a decimal comma.\n' + HINT
    )


def test_one_row_is_one_row() -> None:
    assert "\n  1 earlier row of this file was fine;" in str(
        error([fault(3)], earlier_rows=0, target="x.npy")
    )
    assert "\n  0 earlier rows of this file were fine;" in str(
        error([fault(2)], earlier_rows=0, target="x.npy")
    )


def test_further_faults_are_listed_and_counted() -> None:
    lines = str(error([fault(i) for i in range(2, 12)], earlier_rows=0, target="x.npy")).split("\n")
    assert lines[2:11] == [f"  a.csv:{i}:2  b: 'x' is not int32" for i in range(3, 12)]
    assert lines[11:] == ["Do this.", HINT]
    lines = str(error([fault(i) for i in range(2, 14)], earlier_rows=0, target="x.npy", more=30)).split("\n")
    assert lines[10:13] == ["  a.csv:11:2  b: 'x' is not int32", "  and 32 more", "Do this."]


def test_a_record_as_a_whole_has_no_column() -> None:
    chunk = Chunk(0, b"a,b\n", (Piece(Place(0, 0, 1), "x.csv", "utf-8", 0),), Place(1, 0, 1), 0)
    text = str(error(examine(chunk, PLAN).faults, earlier_rows=0, target="x.npy"))
    assert text.startswith("x.csv:1  2 fields, expected 6: 'a,b'\n  0 earlier rows")


def test_the_rejects_file_may_be_named() -> None:
    assert str(error([fault(2)], earlier_rows=0, target="the array", rejects="bad.csv")).endswith(
        "in bad.csv."
    )
    assert str(error([fault(2)], earlier_rows=0, target="r.h5::/x")).endswith("in r.x.rejects.csv.")
    assert str(error([fault(2)], earlier_rows=0, target="the shared array", rejects="")).endswith(
        'Use on_error="reject" and rejects="bad.csv" to keep going and list bad rows in bad.csv.'
    )
