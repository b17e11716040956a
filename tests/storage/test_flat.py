from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import outcore as oc
from outcore.storage import flat, gather
from outcore.storage.file import PosixFile
from outcore.testing import assert_same, example
from tests.strategies import arrays


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("flat")


@pytest.mark.parametrize("batch", [1, 100, 1 << 20])
@given(data=st.data(), array=arrays(min_dims=2))
def test_fortran_windows_equal_numpy_in_batches_of_any_size(
    folder: Path, batch: int, data: st.DataObject, array: np.ndarray
) -> None:
    (folder / "f.bin").write_bytes(array.tobytes("F"))
    opened = oc.open(folder / "f.bin", dtype=array.dtype, shape=array.shape, order="F")
    n_rows = array.shape[0]
    length = data.draw(st.integers(1, max(n_rows, 1)))
    starts = data.draw(st.lists(st.integers(0, n_rows - length), max_size=9)) if n_rows else []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(flat, "TRANSPOSE_BYTES", batch)
        found = opened.windows(starts, length)
    wanted = np.array([array[s : s + length] for s in starts], array.dtype)
    assert_same(found, wanted.reshape(len(starts), length, *array.shape[1:]))


def test_narrow_columns_are_read_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = example((50, 1000, 3), "f8")
    rows.tofile(tmp_path / "x.bin")
    read: list[int] = []
    inner = PosixFile.read

    def count(self: PosixFile, offset: int, buffers: list[memoryview]) -> None:
        read.append(sum(buffer.nbytes for buffer in buffers))
        inner(self, offset, buffers)

    monkeypatch.setattr(PosixFile, "read", count)
    monkeypatch.setattr(gather, "_is_hot", lambda *given: False)
    array = oc.open(tmp_path / "x.bin", dtype="f8", shape=rows.shape)
    assert_same(array[:, 10:12], rows[:, 10:12])
    assert sum(read) == 50 * 2 * 3 * 8
    read.clear()
    assert_same(array[:, 10:990], rows[:, 10:990])  # nearly all of them: whole rows are read faster
    assert len(read) < 5


def test_info_says_how_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.save(tmp_path / "x.npy", np.zeros((3, 2)))
    info = oc.open(tmp_path / "x.npy").info
    assert (info["format"], info["order"], info["offset"]) == (".npy", "C", 128)
    assert "preadv" in info["reader"]
    monkeypatch.setattr("outcore.storage.file.FILE_CLASS", __import__("outcore").storage.file.PortableFile)
    assert "seek" in oc.open(tmp_path / "x.npy").info["reader"]


# ---- mode "c" -------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ["C", "F"])
def test_changes_of_a_private_copy_stay_private(tmp_path: Path, order: str) -> None:
    rows = np.asarray(example((6, 3), "i4"), order=order)
    np.save(tmp_path / "x.npy", rows)
    before = (tmp_path / "x.npy").read_bytes()
    mine = oc.open(tmp_path / "x.npy", mode="c")
    mine[2] = -1
    mine[:, 1] += 1000
    expected = rows.copy()
    expected[2] = -1
    expected[:, 1] += 1000
    mine.flush()
    assert_same(mine[:], expected)
    assert_same(np.asarray(mine), np.asarray(expected))
    mine.close()
    assert (tmp_path / "x.npy").read_bytes() == before


@pytest.mark.parametrize("shape", [(), (0, 3), (3, 0)])
def test_private_copies_of_every_shape(tmp_path: Path, shape: tuple[int, ...]) -> None:
    rows = example(shape, "f4")
    np.save(tmp_path / "x.npy", rows)
    mine = oc.open(tmp_path / "x.npy", mode="c")
    assert_same(mine[...], rows)
    mine[...] = 5
    assert_same(mine[...], np.full(shape, 5, "f4"))
    assert_same(np.asarray(oc.open(tmp_path / "x.npy")), rows)
