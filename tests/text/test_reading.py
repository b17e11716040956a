"""Rows at their places, whatever the chunks, workers and target; which rows came from which file."""

from __future__ import annotations

import itertools
import os
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import outcore as oc
from outcore.text import cutting, reading, room
from outcore.text.reading import absolute
from tests.text.runs import contents, options, sources_list, write, write_sources

SIZES = (1 << 16, 1 << 18, 1 << 26)
MATRIX = {"dtype": "f8", "columns": ["n", "x"]}
RUNS: dict[str, tuple[str, dict[str, Any]]] = {
    "matrix": ("x.npy", MATRIX),
    "structured": ("x.npy", {"dtype": "name:S kind:category day:M8[D] n:i4 x:f8 note:U ok:?"}),
    "guessed": ("x.npy", {"dtype": None}),
    "raw": ("x.bin", MATRIX),
    "hdf5": ("x.h5::/x", {}),
    "gzip": ("x.h5::/x", {"compression": "gzip", "chunks": True}),
    "reject": ("x.npy", {"on_error": "reject"}),
    "mask": ("x.npy", {"on_error": "mask", "fill": 0}),
    "mask hdf5": ("x.h5::/x", {"on_error": "mask", "fill": 0}),
}


def left_by(folder: Path, name: str, wishes: dict[str, Any], **how: Any) -> dict[str, bytes]:
    """Ingest; return all that is left but the record, which holds the time of the target."""
    folder.mkdir()
    oc.ingest(folder.parent / "in" / "part*", folder / name, **options(**wishes, **how))
    return {path: data for path, data in contents(folder).items() if not path.endswith("finished.json")}


@pytest.mark.parametrize("run", RUNS)
def test_the_bytes_do_not_depend_on_workers_and_chunks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: str
) -> None:
    write_sources(tmp_path / "in", 4, 1500, faults=run[:4] in ("reje", "mask"))
    first: dict[str, bytes] = {}
    for size, workers in itertools.product(SIZES, (1, 2, 3)):
        monkeypatch.setattr(room, "CHUNK_BYTES", size)
        found = left_by(tmp_path / f"{size}-{workers}", *RUNS[run], workers=workers)
        first = first or found
        assert list(found) == list(first)
        assert [path for path in found if found[path] != first[path]] == []


def test_shared_memory_holds_the_same_rows_as_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pattern = write_sources(tmp_path / "in", 4, 1500)
    wanted = oc.ingest(pattern, tmp_path / "x.npy", **options())[:]
    for size, workers in itertools.product(SIZES, (1, 3)):
        monkeypatch.setattr(room, "CHUNK_BYTES", size)
        assert oc.ingest(pattern, None, **options(workers=workers)).tobytes() == wanted.tobytes()


def test_the_same_rows_in_hdf5_and_in_a_flat_file(tmp_path: Path) -> None:
    pattern = write_sources(tmp_path / "in", 2, 300)
    wanted = oc.ingest(pattern, tmp_path / "x.npy", **options())[:]
    for name, more in (("x", {}), ("y", {"compression": "gzip"})):
        x = oc.ingest(pattern, tmp_path / f"x.h5::/{name}", **options(**more))
        assert x[:].tobytes() == wanted.tobytes()
    with h5py.File(tmp_path / "x.h5") as f:
        assert f["x"].fields("n")[:].tolist() == wanted["n"].tolist()


def test_a_layout_with_gaps_is_kept(tmp_path: Path) -> None:
    dtype = np.dtype({"names": ["a", "b"], "formats": ["i2", "f8"], "offsets": [0, 8], "itemsize": 24})
    source = write(tmp_path / "x.csv", "a,b\n1,2\n3,4\n")
    for name in ("x.npy", "x.h5::/x"):
        x = oc.ingest(source, tmp_path / name, dtype)
        assert x[:].tolist() == [(1, 2.0), (3, 4.0)]
        assert oc.ingest(source, tmp_path / name, dtype, progress=lambda *_: pytest.fail("again")).shape == (
            2,
        )
    assert np.load(tmp_path / "x.npy").dtype == dtype


# ---- which rows came from which file ----------------------------------------------------------------


FILES = {
    "1.csv": "1\n2\n",
    "2.csv": "",
    "3.csv": "\n\n3\n\n4",
    "4.csv": "# only this\n",
    "5.csv": "x\n5\n",
    "6.csv": "x\ny\n",
    "7.csv": "6\n# more\n7\nz\n8\n",
    "8.csv": "\n",
}
#: First row and number of rows of each file.
REJECTED = [(0, 2), (2, 0), (2, 2), (4, 0), (4, 1), (5, 0), (5, 3), (8, 0)]
MASKED = [(0, 2), (2, 0), (2, 2), (4, 0), (4, 2), (6, 2), (8, 4), (12, 0)]


@pytest.mark.parametrize("pieces", [1, 2, 3, 100])
@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize(("mode", "wanted"), [("reject", REJECTED), ("mask", MASKED)])
def test_first_row_and_rows_of_each_file(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    pieces: int,
    workers: int,
    mode: str,
    wanted: list[tuple[int, int]],
) -> None:
    monkeypatch.setattr(cutting, "MAX_PIECES", pieces)
    for name, text in FILES.items():
        write(tmp_path / name, text)
    how: dict[str, Any] = {"header": False, "comment": "#", "delimiter": ",", "fill": -1}
    x = oc.ingest(
        [tmp_path / name for name in FILES], tmp_path / "x.npy", "i4", on_error=mode, workers=workers, **how
    )
    assert sources_list(tmp_path / "x.npy") == [
        (name, *rows) for name, rows in zip(FILES, wanted, strict=True)
    ]
    found = x[:, 0].tolist()
    assert [n for n in found if n >= 0] == [1, 2, 3, 4, 5, 6, 7, 8]
    if mode == "mask":
        assert found == [1, 2, 3, 4, -1, 5, -1, -1, 6, 7, -1, 8]
    text = (tmp_path / "x.rejects.csv").read_text()
    places = [(Path(line.split(",")[0]).name, line.split(",")[1]) for line in text.splitlines()[1:]]
    assert places == [("5.csv", "1"), ("6.csv", "1"), ("6.csv", "2"), ("7.csv", "4")]


@pytest.mark.parametrize("quoted", [False, True])
def test_rows_that_are_made_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quoted: bool) -> None:
    # Rows of 400 bytes from lines of 4 to 8: what a chunk gives must be made in many parts.
    made = []
    real = reading.parse.rows

    def rows(data: bytes, plan: Any) -> Any:
        made.append(len(data))
        return real(data, plan)

    monkeypatch.setattr(reading.parse, "rows", rows)
    monkeypatch.setattr(room, "CHUNK_BYTES", 1 << 12)
    wanted = []
    for i in range(1, 8):
        values = [(f"{i}\n{j}" if quoted else f"{i}-{j}", j) for j in range(40 * i)]
        write(tmp_path / f"p{i}.csv", "".join(f'"{a}",{b}\n' for a, b in values))
        wanted += values
    x = oc.ingest(tmp_path / "p*.csv", tmp_path / "x.npy", "a:S396 b:i4", header=False, workers=2)
    assert len(made) > 50
    assert x[:].tolist() == [(a.encode(), b) for a, b in wanted]
    firsts = np.cumsum([0, *(40 * i for i in range(1, 7))]).tolist()
    assert sources_list(tmp_path / "x.npy") == [
        (f"p{i}.csv", first, 40 * i) for i, first in enumerate(firsts, 1)
    ]
    # All of them are in the list, so nothing is read twice.
    write(tmp_path / "p8.csv", "new,1\n")
    assert len(oc.ingest(tmp_path / "p*.csv", tmp_path / "x.npy", "a:S396 b:i4", header=False)) == len(x) + 1


# ---- how much may go wrong --------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [1, 3])
def test_max_rejects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int) -> None:
    monkeypatch.setattr(room, "CHUNK_BYTES", 1 << 16)
    lines = [f"{i},{'x' if i % 10_000 == 7 else i}\n" for i in range(50_000)]
    source = write(tmp_path / "x.csv", "a,b\n" + "".join(lines))
    how: dict[str, Any] = {"on_error": "reject", "workers": workers}
    with pytest.raises(oc.errors.IngestError, match=r"5 records cannot (?s:.*)max_rejects=4") as caught:
        oc.ingest(source, tmp_path / "x.npy", "i4", max_rejects=4, **how)
    assert f"{source}:40009:2" in str(caught.value)
    assert f"{source}:9:2" in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["x.csv"]
    assert len(oc.ingest(source, tmp_path / "x.npy", "i4", max_rejects=5, **how)) == 49_995


def test_max_rejects_counts_cells_where_they_are_masked(tmp_path: Path) -> None:
    source = write(tmp_path / "x.csv", "a,b\nx,y\n1,2\n3\nz,4\n")
    how: dict[str, Any] = {"on_error": "mask", "header": True}
    x = oc.ingest(source, tmp_path / "x.npy", "f4", max_rejects=4, **how)
    assert np.array_equal(x[:], [[np.nan, np.nan], [1, 2], [np.nan, 4]], equal_nan=True)
    with pytest.raises(oc.errors.IngestError, match="4 cells and records cannot be read"):
        oc.ingest(source, tmp_path / "y.npy", "f4", max_rejects=3, **how)
    with pytest.raises(oc.errors.OptionError, match=r"mask(?s:.*)fill=VALUE"):
        oc.ingest(source, tmp_path / "y.npy", "i4", **how)


def test_rows_that_get_lost_are_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = reading.parse.rows

    def lose(data: bytes, plan: Any) -> Any:
        made = real(data, plan)
        return type(made)(made.values[:-1], made.cut)

    monkeypatch.setattr(reading.parse, "rows", lose)
    write(tmp_path / "1.csv", "1\n2\n")
    write(tmp_path / "2.csv", "3\n4\n")
    with pytest.raises(oc.errors.IngestError, match="defect of outcore"):
        oc.ingest(tmp_path / "*.csv", tmp_path / "x.npy", "i4", header=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1.csv", "2.csv"]


@pytest.mark.parametrize(
    "path", ["a", "/a/b", "/a//b", "/a/./b", "/a/../b", "/a/", "/a/.b", "./a", "../a", "/"]
)
def test_names_hold_from_any_folder(path: str) -> None:
    assert absolute(path) == os.path.abspath(path)
