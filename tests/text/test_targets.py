"""Where rows go: flat files, HDF5, shared memory."""

from __future__ import annotations

import os
from pathlib import Path

import h5py
import numpy as np
import pytest

import outcore as oc
from outcore.text import targets
from outcore.text.schema import Column, Schema
from outcore.text.targets import FlatTarget, Hdf5Target, MemoryTarget, check_hdf5

ROW = (np.dtype("i4"), (2,))
ROWS = np.arange(20, dtype="i4").reshape(10, 2)


def flat(path: Path, *, overwrite: bool = False, resume: str | None = None) -> FlatTarget:
    return FlatTarget(str(path), ROW, npy=path.suffix == ".npy", overwrite=overwrite, resume=resume)


@pytest.mark.parametrize("name", ["x.npy", "x.bin"])
def test_rows_in_any_order_appear_in_commit(tmp_path: Path, name: str) -> None:
    target = flat(tmp_path / name)
    for start in (6, 0, 3):
        target.write(start, ROWS[start : start + (4 if start == 6 else 3)])
    target.finish(10)
    assert not (tmp_path / name).exists()
    x = target.commit()
    assert np.array_equal(x[:], ROWS)
    assert os.listdir(tmp_path) == [name]
    if name == "x.npy":
        np.save(tmp_path / "y.npy", ROWS)
        assert (tmp_path / name).read_bytes() == (tmp_path / "y.npy").read_bytes()


@pytest.mark.parametrize("name", ["x.npy", "x.bin"])
def test_no_rows(tmp_path: Path, name: str) -> None:
    target = flat(tmp_path / name)
    target.finish(0)
    assert target.commit().shape == (0, 2)


@pytest.mark.parametrize("name", ["x.npy", "x.bin"])
def test_what_is_kept_can_be_taken_over_and_cut(tmp_path: Path, name: str) -> None:
    target = flat(tmp_path / name)
    target.write(0, ROWS)
    target.keep()
    again = flat(tmp_path / name, resume=target.path)
    assert again.path == target.path
    again.cut(4)
    again.write(4, ROWS[4:6])
    again.finish(6)
    assert np.array_equal(again.commit()[:], ROWS[:6])
    assert os.listdir(tmp_path) == [name]


def test_rows_that_are_missing_are_noticed(tmp_path: Path) -> None:
    target = flat(tmp_path / "x.npy")
    target.write(0, ROWS[:3])
    with pytest.raises(oc.errors.IngestError, match="4 rows that were written"):
        target.cut(4)
    target.cut(3)
    target.discard()
    assert os.listdir(tmp_path) == []


def test_nothing_to_cut_in_a_file_without_rows(tmp_path: Path) -> None:
    target = flat(tmp_path / "x.npy")
    target.cut(0)
    target.discard()


def test_another_array_may_come_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(targets, "COPY_BYTES", 24)
    np.save(tmp_path / "y.npy", ROWS)
    target = flat(tmp_path / "x.npy")
    target.begin_with(oc.open(tmp_path / "y.npy"))
    target.write(10, ROWS)
    target.finish(20)
    assert np.array_equal(target.commit()[:], np.concatenate([ROWS, ROWS]))


def test_a_target_that_appeared_meanwhile_is_left_alone(tmp_path: Path) -> None:
    target = flat(tmp_path / "x.npy")
    target.finish(0)
    (tmp_path / "x.npy").write_text("mine")
    with pytest.raises(oc.errors.ExistsError, match="appeared"):
        target.commit()
    target.discard()
    assert (tmp_path / "x.npy").read_text() == "mine"
    assert os.listdir(tmp_path) == ["x.npy"]


def test_hdf5_is_made_of_a_flat_file_that_goes(tmp_path: Path) -> None:
    rows = flat(tmp_path / "rows.npy", overwrite=True)
    target = Hdf5Target(
        f"{tmp_path}/x.h5::/x",
        rows,
        chunks=(3, 2),
        compression="gzip",
        memory=None,
        progress=False,
        overwrite=False,
    )
    target.write(0, ROWS)
    target.sync()
    target.finish(10)
    assert np.array_equal(target.commit()[:], ROWS)
    assert os.listdir(tmp_path) == ["x.h5"]
    with h5py.File(tmp_path / "x.h5") as f:
        assert (f["x"].chunks, f["x"].compression) == ((3, 2), "gzip")


def test_what_hdf5_can_hold_is_known_before_widths_are() -> None:
    schema = Schema(("a", "b"), (Column(0, "a", np.dtype("S")), Column(1, "b", np.dtype("i4"))), matrix=False)
    check_hdf5("x.h5::/x", schema, None, None)
    check_hdf5("x.h5::/x", schema, (10,), "gzip")
    with pytest.raises(oc.errors.OptionError, match="chunks"):
        check_hdf5("x.h5::/x", schema, (10, 2), None)
    wide = Schema(("a",), (Column(0, "a", np.dtype("U")),), matrix=False)
    with pytest.raises(oc.errors.DTypeError, match="HDF5 has no type"):
        check_hdf5("x.h5::/x", wide, None, None)


def test_shared_memory_with_room_to_spare() -> None:
    target = MemoryTarget(oc.shared_empty((10, 2), "i4"), exact=False)
    target.write(0, ROWS[:4])
    target.sync()
    target.finish(4)
    assert np.array_equal(target.commit(), ROWS[:4])


def test_shared_memory_of_the_wrong_length() -> None:
    target = MemoryTarget(oc.shared_empty((10, 2), "i4"), exact=True)
    with pytest.raises(oc.errors.IngestError, match="gave 4 rows; the shared array has 10"):
        target.finish(4)
