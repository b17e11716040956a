"""Rows in blocks for callers that keep the books: equal to slices, from every kind of storage."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import outcore as oc
from outcore.array import blockwise
from outcore.storage.file import PosixFile
from outcore.storage.flat import ANNOUNCE_BYTES

A = np.arange(6000.0).reshape(1000, 3, 2)


def places(folder: Path) -> dict[str, oc.Array]:
    record = np.zeros(1000, [("tag", "u1"), ("x", "f8", (3, 2)), ("y", "i2")])
    record["x"] = A
    np.save(folder / "a.npy", A)
    np.save(folder / "f.npy", np.asfortranarray(A))
    np.save(folder / "r.npy", record)
    oc.convert(A, f"{folder}/a.h5::/chunks", chunks=(70, 2, 2), compression="gzip")
    oc.convert(A, f"{folder}/a.h5::/plain", chunks=(70, 3, 2))
    oc.convert(A, f"{folder}/a.h5::/flat")
    return {
        "npy": oc.open(folder / "a.npy"),
        "fortran": oc.open(folder / "f.npy"),
        "field": oc.open(folder / "r.npy")["x"],
        "chunks": oc.open(f"{folder}/a.h5::/chunks"),
        "plain": oc.open(f"{folder}/a.h5::/plain"),
        "h5py": oc.open(f"{folder}/a.h5::/chunks", "r+"),
        "flat": oc.open(f"{folder}/a.h5::/flat"),
        "memory": oc.asarray(A),
        "private": oc.open(folder / "a.npy", "c"),
        "field of memory": oc.asarray(record)["x"],
    }


@pytest.mark.parametrize(
    "name",
    ["npy", "fortran", "field", "chunks", "plain", "h5py", "flat", "memory", "private", "field of memory"],
)
def test_rows_are_those_of_a_slice(tmp_path: Path, name: str) -> None:
    array = places(tmp_path)[name]
    for start, n in ((0, 1000), (0, 1), (999, 1), (69, 2), (130, 400), (5, 0)):
        out = np.full((n, 3, 2), np.nan)
        blockwise.read_rows(array, start, out)
        assert np.array_equal(out, A[start : start + n])
        assert blockwise.reading_bytes(array, n) >= 0
        blockwise.announce(array, start, start + n)  # nothing happens that can be seen


def test_what_is_in_memory_is_seen(tmp_path: Path) -> None:
    made = places(tmp_path)
    seen = {name for name, array in made.items() if blockwise.in_memory(array) is not None}
    assert seen == {"memory", "private", "field of memory"}
    view: Any = blockwise.in_memory(made["memory"])
    assert np.shares_memory(view, A)
    assert np.array_equal(blockwise.in_memory(made["field of memory"]), A)  # type: ignore[arg-type]  # not None


def test_how_many_rows_are_decoded_together(tmp_path: Path) -> None:
    made = places(tmp_path)
    found = {name: blockwise.decoded_rows(array) for name, array in made.items()}
    assert {name for name, rows in found.items() if rows > 1} == {"chunks", "plain", "h5py"}
    assert found["chunks"] == 70  # rows of 48 bytes are too short to be gathered one by one


def test_a_field_takes_whole_rows_on_its_way_but_not_all_at_once(tmp_path: Path) -> None:
    field = places(tmp_path)["field"]
    assert blockwise.reading_bytes(field, 100) >= 100 * 51
    assert blockwise.reading_bytes(field, 10**9) < 40_000_000


def test_long_ranges_are_announced_in_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.save(tmp_path / "a.npy", np.zeros((1000, 1000)))
    told: list[tuple[int, int]] = []
    monkeypatch.setattr(PosixFile, "announce", lambda self, offset, n: told.append((offset, n)))
    blockwise.announce(oc.open(tmp_path / "a.npy"), 100, 900)
    assert all(n <= ANNOUNCE_BYTES for _, n in told)
    assert sum(n for _, n in told) == 800 * 8000
    assert [offset for offset, _ in told[1:]] == [offset + n for offset, n in told[:-1]]


def test_threads_may_read_one_array(tmp_path: Path) -> None:
    made = places(tmp_path)
    for array in (made["npy"], made["chunks"]):
        wrong: list[int] = []

        def read(start: int, array: oc.Array = array, wrong: list[int] = wrong) -> None:
            out = np.empty((100, 3, 2))
            for _ in range(5):
                blockwise.read_rows(array, start, out)
                if not np.array_equal(out, A[start : start + 100]):
                    wrong.append(start)

        threads = [threading.Thread(target=read, args=(start,)) for start in range(0, 900, 150)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert wrong == []
