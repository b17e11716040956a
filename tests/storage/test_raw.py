from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import outcore as oc
from outcore.testing import StorageTests, assert_same, example
from tests.strategies import arrays


class TestRawInCOrder(StorageTests):
    writable = True

    def store(self, rows: np.ndarray, folder: Path, *, writable: bool = False) -> oc.Array:
        (folder / "x.bin").write_bytes(b"head" + rows.tobytes())
        mode = "r+" if writable else "r"
        return oc.open(folder / "x.bin", mode, dtype=rows.dtype, shape=rows.shape, offset=4)


class TestRawInFortranOrder(StorageTests):
    def store(self, rows: np.ndarray, folder: Path, *, writable: bool = False) -> oc.Array:
        (folder / "x.bin").write_bytes(b"header!" + rows.tobytes("F"))
        return oc.open(folder / "x.bin", dtype=rows.dtype, shape=rows.shape, offset=7, order="F")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("raw")


@given(array=arrays(), offset=st.integers(0, 20), order=st.sampled_from("CF"))
def test_what_memmap_reads_is_what_we_read(folder: Path, array: np.ndarray, offset: int, order: str) -> None:
    path = folder / "x.bin"
    path.write_bytes(bytes(offset) + array.tobytes(order))
    opened = oc.open(path, dtype=array.dtype, shape=array.shape, offset=offset, order=order)
    assert_same(np.asarray(opened), array)


@given(array=arrays(min_dims=1))
def test_created_files_hold_the_rows_and_nothing_else(folder: Path, array: np.ndarray) -> None:
    with oc.create(folder / "y.dat", array.shape, array.dtype, overwrite=True) as made:
        made[...] = array
    assert (folder / "y.dat").read_bytes() == array.tobytes()
    assert_same(np.asarray(made), array)


def test_a_first_axis_of_minus_one_takes_all_the_rows(tmp_path: Path) -> None:
    rows = example((7, 3), "i2")
    (tmp_path / "x").write_bytes(bytes(10) + rows.tobytes())
    assert_same(oc.open(tmp_path / "x", dtype="i2", shape=(-1, 3), offset=10)[:], rows)
    assert_same(oc.open(tmp_path / "x", dtype="i2", offset=10)[:], rows.ravel())
    assert oc.open(tmp_path / "x", dtype="i2", shape=-1, offset=52).shape == (0,)


def test_sub_array_types_are_more_axes_as_for_numpy(tmp_path: Path) -> None:
    rows = example((4, 3), "f4")
    rows.tofile(tmp_path / "x.bin")
    assert_same(oc.open(tmp_path / "x.bin", dtype="3f4")[:], rows)
    with oc.create(tmp_path / "y.bin", (None,), "3f4") as made:
        made.append(rows)
    assert_same(made[:], rows)


def test_rows_that_do_not_fit_evenly_are_named_with_both_sizes(tmp_path: Path) -> None:
    (tmp_path / "x.bin").write_bytes(bytes(50))
    with pytest.raises(oc.errors.FormatError, match=r"has 50 bytes; from byte 8 on .* rows of 12 bytes"):
        oc.open(tmp_path / "x.bin", dtype="f4", shape=(-1, 3), offset=8)


def test_an_offset_behind_the_end(tmp_path: Path) -> None:
    (tmp_path / "x.bin").write_bytes(bytes(50))
    with pytest.raises(oc.errors.FormatError, match="has 50 bytes; from byte 60"):
        oc.open(tmp_path / "x.bin", dtype="f4", offset=60)


def test_a_file_shorter_than_the_shape_names_both_sizes(tmp_path: Path) -> None:
    (tmp_path / "x.bin").write_bytes(bytes(50))
    with pytest.raises(oc.errors.TruncatedError, match=r"has 50 bytes; shape \(10, 3\) .* needs 124"):
        oc.open(tmp_path / "x.bin", dtype="f4", shape=(10, 3), offset=4)


@pytest.mark.parametrize(("shape", "offset"), [((3, -1), 0), ((-2,), 0), ((3,), -4)])
def test_sizes_that_make_no_sense(tmp_path: Path, shape: tuple[int, ...], offset: int) -> None:
    (tmp_path / "x.bin").write_bytes(bytes(50))
    with pytest.raises(oc.errors.OptionError, match="negative"):
        oc.open(tmp_path / "x.bin", dtype="f4", shape=shape, offset=offset)


@pytest.mark.parametrize("dtype", ["O", "S", "U"])
def test_types_without_a_width_are_refused(tmp_path: Path, dtype: str) -> None:
    (tmp_path / "x.bin").write_bytes(bytes(50))
    with pytest.raises(oc.errors.DTypeError, match=r"[SU]10"):
        oc.open(tmp_path / "x.bin", dtype=dtype, shape=(3,))


def test_a_row_of_no_bytes_cannot_be_counted(tmp_path: Path) -> None:
    (tmp_path / "x.bin").write_bytes(b"")
    with pytest.raises(oc.errors.FormatError, match="rows of 0 bytes"):
        oc.open(tmp_path / "x.bin", dtype="f4", shape=(-1, 0))
    assert oc.open(tmp_path / "x.bin", dtype="f4", shape=(5, 0))[:].shape == (5, 0)
