from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import outcore as oc
from outcore.storage.hdf5_rows import cache_bytes, read_rows
from outcore.testing import StorageTests, assert_same, example
from tests.storage.test_chunked import STORABLE, dated, growing


class TestHdf5ByH5py(StorageTests):
    dtypes = STORABLE
    scalars = False

    def store(self, rows: np.ndarray, folder: Path, *, writable: bool = False) -> oc.Array:
        chunks = tuple(min(n, c) or 1 for n, c in zip(rows.shape, (70, 4, 2, 2), strict=False))
        with h5py.File(folder / "x.h5", "w") as made:
            made.create_dataset(
                "x", data=dated(rows), chunks=chunks, maxshape=growing(rows), compression="lzf"
            )
        return oc.open(folder / "x.h5")


class TestChunkedHdf5InPlace(StorageTests):
    dtypes = STORABLE
    scalars = False
    writable = True
    travels = False  # one writer

    def store(self, rows: np.ndarray, folder: Path, *, writable: bool = False) -> oc.Array:
        chunks = tuple(min(n, c) or 1 for n, c in zip(rows.shape, (70, 4, 2, 2), strict=False))
        with h5py.File(folder / "x.h5", "w") as made:
            made.create_dataset(
                "x", data=dated(rows), chunks=chunks, maxshape=growing(rows), compression="gzip"
            )
        return oc.open(folder / "x.h5", mode="r+" if writable else "r")


# ---- what only h5py can read ----------------------------------------------------------------------


def spaces(file: Any) -> np.ndarray:
    kind = h5py.h5t.C_S1.copy()
    kind.set_size(5)
    kind.set_strpad(h5py.h5t.STR_SPACEPAD)
    made = h5py.Dataset(h5py.h5d.create(file.id, b"x", kind, h5py.h5s.create_simple((2,))))
    made[:] = [b"ab", b"cde"]
    return np.array([b"ab", b"cde"], "S5")


def narrow_integers(file: Any) -> np.ndarray:
    kind = h5py.h5t.STD_I32LE.copy()
    kind.set_precision(24)
    made = h5py.Dataset(h5py.h5d.create(file.id, b"x", kind, h5py.h5s.create_simple((5,))))
    made[:] = np.arange(-2, 3)
    return np.arange(-2, 3, dtype="i4")


def compact(file: Any) -> np.ndarray:
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_layout(h5py.h5d.COMPACT)
    kind = h5py.h5t.py_create(np.dtype("f8"))
    made = h5py.Dataset(h5py.h5d.create(file.id, b"x", kind, h5py.h5s.create_simple((4, 2)), properties))
    made[:] = np.arange(8.0).reshape(4, 2)
    return np.arange(8.0).reshape(4, 2)


def external(file: Any) -> np.ndarray:
    made = file.create_dataset("x", (4, 2), "f8", external=[(file.filename + ".bin", 0, 64)])
    made[:] = np.arange(8.0).reshape(4, 2)
    return np.arange(8.0).reshape(4, 2)


def virtual(file: Any) -> np.ndarray:
    with h5py.File(file.filename + ".part", "w") as part:
        part["y"] = np.arange(8.0).reshape(4, 2)
    layout = h5py.VirtualLayout((8, 2), "f8")
    source = h5py.VirtualSource(file.filename + ".part", "y", (4, 2))
    layout[:4] = source
    layout[4:] = source
    file.create_virtual_dataset("x", layout)
    return np.concatenate([np.arange(8.0).reshape(4, 2)] * 2)


def scale_offset(file: Any) -> np.ndarray:
    rows = np.arange(40, dtype="i4").reshape(20, 2)
    file.create_dataset("x", data=rows, chunks=(6, 2), scaleoffset=0)
    return rows


def unwritten(file: Any) -> np.ndarray:
    file.create_dataset("x", (5, 2), "i2", fillvalue=3)
    return np.full((5, 2), 3, "i2")


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (spaces, "its type in the file is not that of |S5"),
        (narrow_integers, "its type in the file is not that of int32"),
        (compact, "compact layout"),
        (external, "its rows are in external files"),
        (virtual, "virtual dataset"),
        (scale_offset, "filter scaleoffset is decoded by h5py only"),
        (unwritten, "nothing was ever written to it"),
    ],
)
def test_what_only_h5py_can_read_is_read_by_h5py(tmp_path: Path, make: Any, reason: str) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        rows = make(file)
    with oc.open(tmp_path / "x.h5") as array:
        assert array.info["reader"] == f"h5py ({reason})"
        assert_same(array[:], rows)
        assert_same(array.take([1, 0, 1]), rows[[1, 0, 1]])
        with pickle.loads(pickle.dumps(array)) as copy:
            assert_same(copy[-1:], rows[-1:])


def test_a_scalar_is_read_and_written(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        compact = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        compact.set_layout(h5py.h5d.COMPACT)
        space = h5py.h5s.create(h5py.h5s.SCALAR)
        h5py.Dataset(h5py.h5d.create(file.id, b"x", h5py.h5t.IEEE_F64LE, space, compact))[()] = 2.5
    with oc.open(tmp_path / "x.h5", mode="r+") as array:
        assert array[()] == 2.5
        array[()] = 3.5
        assert array[()] == 3.5


@given(
    starts=st.lists(st.integers(0, 60), max_size=30),
    length=st.integers(1, 40),
    scratch=st.sampled_from([1, 400, 1 << 20]),
)
def test_windows_read_together_equal_slices(starts: list[int], length: int, scratch: int) -> None:
    rows = example((100, 2), "i4")
    with (
        h5py.File("x", "w", driver="core", backing_store=False) as file,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr("outcore.storage.hdf5_rows.SCRATCH_BYTES", scratch)
        x = file.create_dataset("x", data=rows, chunks=(9, 2))
        out = np.empty((len(starts), length, 2), "i4")
        read_rows(x, np.array(starts, np.int64), length, out)
    assert_same(out, rows[np.array(starts, np.int64)[:, None] + np.arange(length)])


def test_the_chunk_cache_holds_two_bands_within_bounds() -> None:
    f8 = np.dtype("f8")
    assert cache_bytes(None, (10,), f8) == 0
    assert cache_bytes((10, 10), (1000, 100), f8) == 8 << 20
    assert cache_bytes((1000, 10), (100_000, 1000), f8) == 16_000_000
    assert cache_bytes((1000, 10), (100_000, 100_000), f8) == 64 << 20


def test_damage_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        x = file.create_dataset("x", data=np.arange(100.0), chunks=(50,), compression="lzf", fletcher32=True)
        chunk = x.id.get_chunk_info(0)
    with open(path, "r+b") as raw:
        raw.seek(chunk.byte_offset + 5)
        raw.write(b"damage")
    with oc.open(path) as array:
        with pytest.raises(oc.errors.FormatError, match=r"x\.h5::/x cannot be read: (.|\n)*damaged"):
            array[0]
        assert array[99] == 99


def test_a_file_that_was_replaced_is_stale(tmp_path: Path) -> None:
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("x", data=np.arange(100.0), chunks=(50,), compression="lzf")
    array = oc.open(path)
    os.replace(path, tmp_path / "y.h5")
    with h5py.File(path, "w") as file:
        file.create_dataset("x", data=np.arange(100.0), chunks=(50,), compression="lzf")
    with pytest.raises(oc.errors.StaleArrayError, match="was replaced"):
        array[0]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_forked_child_of_a_writer_is_refused_and_the_file_stays_locked(tmp_path: Path) -> None:
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("x", data=np.zeros(100), chunks=(50,), compression="gzip")
    with oc.open(path, mode="r+") as array:
        array[3] = 3
        child = os.fork()
        if child == 0:
            try:
                for act in (lambda: array[3], lambda: oc.open(path)[3]):
                    with pytest.raises(oc.errors.WriterConflictError, match="another process is"):
                        act()
                array.close()
                os._exit(0)
            finally:
                os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        fcntl = pytest.importorskip("fcntl")
        other = os.open(path, os.O_RDONLY)
        with pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_SH | fcntl.LOCK_NB)
        os.close(other)
        array[4] = 4
    with oc.open(path) as array:
        assert array[2:6].tolist() == [0, 3, 4, 0]
