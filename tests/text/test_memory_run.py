"""Text into shared memory: new arrays, given ones, and what is refused."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import outcore as oc
from outcore.text.rejects import HEADER
from tests.text.runs import write

REJECTS: dict[str, Any] = {"on_error": "reject", "rejects": "r.csv"}


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return write(tmp_path / "x.csv", "a,b\n1,2\n3,4\n5,6\n")


@pytest.fixture
def faulty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return write(tmp_path / "x.csv", "a,b\n1,2\n3,x\n5,6\n7\n")


def test_a_new_array(source: Path) -> None:
    x = oc.ingest(source, None)
    assert isinstance(x, oc.SharedArray)
    assert (x.dtype, x.tolist()) == (np.dtype("i8"), [[1, 2], [3, 4], [5, 6]])
    y = oc.ingest(source, None, "a:S2 b:f4")
    assert y.tolist() == [(b"1", 2.0), (b"3", 4.0), (b"5", 6.0)]


def test_no_rows_at_all(tmp_path: Path) -> None:
    assert oc.ingest(write(tmp_path / "x.csv", "a,b\n"), None, "f4").shape == (0, 2)


def test_a_given_array_says_the_type(source: Path) -> None:
    for dtype in ("f4", "i2", "S3"):
        given = oc.shared_empty((3, 2), dtype)
        x = oc.ingest(source, given)
        assert x is given
        assert given.tolist() == np.array([[1, 2], [3, 4], [5, 6]]).astype(dtype).tolist()
    rows = oc.shared_empty(3, [("a", "i4"), ("b", "U2")])
    oc.ingest(source, rows)
    assert rows.tolist() == [(1, "2"), (3, "4"), (5, "6")]


@pytest.mark.parametrize(
    ("shape", "kind", "more", "error"),
    [
        ((2, 2), "f4", {}, oc.errors.ShapeError),
        ((4, 2), "f4", {}, oc.errors.ShapeError),
        ((3, 3), "f4", {}, oc.errors.OptionError),
        ((3,), "f4", {}, oc.errors.ShapeError),
        ((3, 2), "f4", {"dtype": "f8"}, oc.errors.DTypeError),
        ((2, 2), "f4", REJECTS, oc.errors.ShapeError),
    ],
)
def test_an_array_that_does_not_fit_is_unchanged(
    source: Path, shape: tuple[int, ...], kind: str, more: dict[str, Any], error: type[Exception]
) -> None:
    given = oc.shared_empty(shape, kind)
    given[:] = 7
    with pytest.raises((error, oc.errors.ShapeError)):
        oc.ingest(source, given, **more)
    assert (given == 7).all()
    assert [path.name for path in source.parent.iterdir()] == ["x.csv"]


def test_a_frozen_array_is_refused(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = oc.shared_empty((3, 2), "f4")
    given[:] = 7
    given.freeze()
    monkeypatch.setattr("outcore.text.memory_run.first_plan", lambda *_: pytest.fail("work was done"))
    with pytest.raises(oc.errors.ReadOnlyError, match="frozen"):
        oc.ingest(source, given)
    assert (given == 7).all()


def test_rejects_need_a_file(faulty: Path) -> None:
    for mode in ("reject", "mask"):
        with pytest.raises(oc.errors.OptionError, match="rejects="):
            oc.ingest(faulty, None, "f4", on_error=mode)


def test_rejects_are_listed(faulty: Path) -> None:
    for _ in range(2):  # a list of rejects is replaced
        x = oc.ingest(faulty, None, "f4", **REJECTS)
        assert x.tolist() == [[1, 2], [5, 6]]
        lines = Path("r.csv").read_text().splitlines()
        assert lines == [HEADER, "x.csv,3,2,8,b,type,x".replace("x.csv", str(faulty)), lines[2]]
        assert lines[2].startswith(f"{faulty},5,0,16,,fields,")
    given = oc.shared_empty((4, 2), "f4")
    assert oc.ingest(faulty, given, **REJECTS).tolist() == [[1, 2], [5, 6]]
    masked = oc.ingest(faulty, None, "f4", on_error="mask", rejects="r.csv")
    assert np.array_equal(masked, [[1, 2], [3, np.nan], [5, 6]], equal_nan=True)


def test_no_list_of_rejects_is_left_where_there_are_none(faulty: Path) -> None:
    oc.ingest(faulty, None, "f4", **REJECTS)
    write(faulty, "a,b\n1,2\n")
    oc.ingest(faulty, None, "f4", **REJECTS)
    assert [path.name for path in faulty.parent.iterdir()] == ["x.csv"]


def test_after_an_error_the_list_of_rejects_is_as_it_was(faulty: Path) -> None:
    for before in (None, f"{HEADER}\nold\n"):
        if before:
            Path("r.csv").write_text(before)
        with pytest.raises(oc.errors.IngestError, match="max_rejects=1"):
            oc.ingest(faulty, None, "f4", max_rejects=1, **REJECTS)
        assert (Path("r.csv").read_text() if Path("r.csv").exists() else None) == before
    assert sorted(path.name for path in faulty.parent.iterdir()) == ["r.csv", "x.csv"]


def test_what_is_no_list_of_rejects_is_left_alone(faulty: Path) -> None:
    with pytest.raises(oc.errors.ExistsError, match="no list of rejects"):
        oc.ingest(faulty, None, "f4", on_error="reject", rejects=faulty)
    assert faulty.read_text().startswith("a,b\n")


def test_a_fault_stops_the_work(faulty: Path) -> None:
    with pytest.raises(oc.errors.IngestError, match=r"x\.csv:3:2(?s:.*)the shared array"):
        oc.ingest(faulty, None, "f4")


@pytest.mark.parametrize("more", [{"chunks": (3, 2)}, {"compression": "gzip"}, {"overwrite": True}])
def test_options_of_files_mean_nothing(source: Path, more: dict[str, Any]) -> None:
    with pytest.raises(oc.errors.OptionError, match="mean nothing for shared memory"):
        oc.ingest(source, None, **more)


def test_sources_that_are_read_once_cannot_be_counted_first() -> None:
    with pytest.raises(oc.errors.OptionError, match="only once, and records are counted"):
        oc.ingest(io.BytesIO(b"1,2\n"), None, "f4")
