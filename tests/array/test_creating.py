from __future__ import annotations

import errno
import gc
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import outcore as oc
from outcore.testing import assert_same, example
from tests.strategies import arrays

NAMES = ["y.npy", "y.bin"]


def left(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("creating")


# ---- whole or not at all --------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_the_file_appears_when_the_block_ends_and_is_open_to_read(tmp_path: Path, name: str) -> None:
    with oc.create(tmp_path / name, (10, 3), "i4") as made:
        made[:] = 5
        assert not (tmp_path / name).exists()
        assert "being written" in repr(made)
    assert left(tmp_path) == [name]
    assert (made.mode, made.shape, made.address) == ("r", (10, 3), str(tmp_path / name))
    assert_same(made[:], np.full((10, 3), 5, "i4"))
    with pytest.raises(oc.errors.ReadOnlyError):
        made[0] = 1


def test_closing_without_a_block_finishes_too(tmp_path: Path) -> None:
    made = oc.create(tmp_path / "y.npy", 3)
    made[:] = [1, 2, 3]
    made.close()
    assert np.load(tmp_path / "y.npy").tolist() == [1, 2, 3]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit, GeneratorExit])
def test_an_error_inside_the_block_leaves_nothing(
    tmp_path: Path, name: str, error: type[BaseException]
) -> None:
    made = oc.create(tmp_path / name, (10, 3))
    made[:5] = 1
    with pytest.raises(error), made:
        raise error
    assert left(tmp_path) == []
    with pytest.raises(oc.errors.ClosedError):
        made[0]


@pytest.mark.parametrize("name", NAMES)
def test_an_array_that_is_never_closed_is_removed_when_it_is_collected(tmp_path: Path, name: str) -> None:
    made: Any = oc.create(tmp_path / name, (10, 3))
    made[:] = 1
    assert len(left(tmp_path)) == 1
    del made
    gc.collect()
    assert left(tmp_path) == []


def test_an_array_that_is_never_closed_is_removed_when_python_ends(tmp_path: Path) -> None:
    code = "import outcore as oc; y = oc.create('y.npy', 10); y[:] = 1; keep = [y]; keep.append(keep)"
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, timeout=60)
    assert left(tmp_path) == []


def test_an_array_can_be_given_up(tmp_path: Path) -> None:
    made = oc.create(tmp_path / "y.npy", 10)
    made.discard()
    made.discard()
    assert left(tmp_path) == []


def test_rows_that_nobody_wrote_are_zero(tmp_path: Path) -> None:
    with oc.create(tmp_path / "y.npy", (10, 2), "f4") as made:
        made[3] = 1
    assert np.load(tmp_path / "y.npy").sum() == 2


# ---- targets that are there -----------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_an_existing_target_is_kept_without_overwrite(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"old")
    with pytest.raises(oc.errors.ExistsError, match="overwrite=True"):
        oc.create(tmp_path / name, 10)
    assert (tmp_path / name).read_bytes() == b"old"
    assert left(tmp_path) == [name]


def test_an_existing_target_stays_until_the_new_one_is_complete(tmp_path: Path) -> None:
    np.save(tmp_path / "y.npy", np.zeros(5))
    with oc.open(tmp_path / "y.npy") as old, oc.create(tmp_path / "y.npy", 7, overwrite=True) as made:
        made[:] = old[0] + 1  # the old one may even be the source
        assert np.load(tmp_path / "y.npy").tolist() == [0] * 5
    assert np.load(tmp_path / "y.npy").tolist() == [1] * 7


def test_an_error_while_overwriting_keeps_the_old_one(tmp_path: Path) -> None:
    np.save(tmp_path / "y.npy", np.zeros(5))
    with pytest.raises(RuntimeError), oc.create(tmp_path / "y.npy", 7, overwrite=True):
        raise RuntimeError
    assert np.load(tmp_path / "y.npy").shape == (5,)
    assert left(tmp_path) == ["y.npy"]


def test_a_target_that_appears_meanwhile_is_kept(tmp_path: Path) -> None:
    made = oc.create(tmp_path / "y.npy", 7)
    (tmp_path / "y.npy").write_bytes(b"theirs")
    with pytest.raises(oc.errors.ExistsError, match="appeared while"):
        made.close()
    assert (tmp_path / "y.npy").read_bytes() == b"theirs"
    assert left(tmp_path) == ["y.npy"]
    with pytest.raises(oc.errors.ClosedError):
        made[0]


def test_two_writers_of_one_target_in_one_process(tmp_path: Path) -> None:
    with oc.create(tmp_path / "y.npy", 7) as made:
        with pytest.raises(oc.errors.WriterConflictError):
            oc.create(tmp_path / "y.npy", 7, overwrite=True)
        with oc.create(tmp_path / "z.npy", 7):
            pass
        made[:] = 2
    assert np.load(tmp_path / "y.npy").tolist() == [2] * 7


# ---- growing --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
@given(data=st.data(), array=arrays(min_dims=1, max_side=40, max_dims=3))
def test_appended_blocks_add_up(folder: Path, name: str, data: st.DataObject, array: np.ndarray) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(array)), max_size=4)))
    with oc.create(folder / name, (None, *array.shape[1:]), array.dtype, overwrite=True) as made:
        for low, high in zip([0, *cuts], [*cuts, len(array)], strict=True):
            made.append(array[low:high])
            assert len(made) == high
            assert_same(made[:], array[:high])  # what is there can be read and changed meanwhile
        if len(array):
            made[0] = array[-1]
    array = array.copy()
    array[:1] = array[-1:]
    assert made.shape == array.shape
    assert_same(np.asarray(made), array)


def test_a_growing_array_of_one_dimension_and_of_tuples(tmp_path: Path) -> None:
    with oc.create(tmp_path / "y.npy", None, "i4") as made:
        made.append([1, 2])
        made.append(range(3))
    assert made[:].tolist() == [1, 2, 0, 1, 2]
    with oc.create(tmp_path / "z.npy", (None,), [("a", "i4"), ("b", "f8")]) as made:
        made.append([(1, 2.0), (3, 4.0)])
    assert made["b"][:].tolist() == [2.0, 4.0]


@pytest.mark.parametrize("block", [np.zeros((2, 4)), np.zeros(3), np.zeros((1, 1, 3)), 5], ids=np.shape)
def test_a_block_of_another_shape_changes_nothing(tmp_path: Path, block: Any) -> None:
    with oc.create(tmp_path / "y.npy", (None, 3)) as made:
        made.append(np.ones((2, 3)))
        with pytest.raises(oc.errors.ShapeError, match=r"rows of .* have shape \(3,\)"):
            made.append(block)
        assert len(made) == 2
    assert np.load(tmp_path / "y.npy").tolist() == [[1] * 3] * 2


def test_an_array_of_known_size_does_not_grow(tmp_path: Path) -> None:
    made = oc.create(tmp_path / "y.npy", (5, 3))
    with made, pytest.raises(oc.errors.ReadOnlyError, match="fixed number of rows"):
        made.append(np.ones((2, 3)))
    assert made.shape == (5, 3)


def test_a_row_behind_the_end_is_not_an_append(tmp_path: Path) -> None:
    with oc.create(tmp_path / "y.npy", (None, 3)) as made:
        made.append(np.ones((2, 3)))
        with pytest.raises(oc.errors.RowIndexError):
            made[2] = 1
        with pytest.raises(oc.errors.ShapeError):
            made[1:4] = np.ones((3, 3))


# ---- arguments that cannot be ---------------------------------------------------------------------


@pytest.mark.parametrize("shape", [-1, (3, None), (2.5,), 2.5, (True,), "3", (None, None), (3, -1)], ids=repr)
def test_a_shape_that_makes_no_sense_leaves_nothing(tmp_path: Path, shape: Any) -> None:
    with pytest.raises(oc.errors.OptionError, match="shape="):
        oc.create(tmp_path / "y.npy", shape)
    assert left(tmp_path) == []


@pytest.mark.parametrize("dtype", ["O", "S", "U", [("a", "O")]], ids=repr)
def test_a_type_that_cannot_be_stored_leaves_nothing(tmp_path: Path, dtype: Any) -> None:
    with pytest.raises(oc.errors.DTypeError):
        oc.create(tmp_path / "y.npy", 3, dtype)
    assert left(tmp_path) == []


@pytest.mark.parametrize("option", [{"chunks": (2,)}, {"compression": "gzip"}, {"shuffle": True}], ids=repr)
def test_options_of_hdf5_for_another_file_say_what_to_type(tmp_path: Path, option: dict[str, Any]) -> None:
    with pytest.raises(oc.errors.OptionError, match=r"need HDF5(?s:.*)y\.h5::/x"):
        oc.create(tmp_path / "y.npy", 3, **option)
    assert left(tmp_path) == []


def test_an_hdf5_file_without_a_dataset_says_what_to_type(tmp_path: Path) -> None:
    with pytest.raises(oc.errors.AddressError, match=r"y\.h5::/x"):
        oc.create(tmp_path / "y.h5", 3)


def test_a_missing_folder_says_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(oc.errors.NotFoundError, match=r"os\.makedirs"):
        oc.create(tmp_path / "no" / "y.npy", 3)


# ---- a full disk ----------------------------------------------------------------------------------


@pytest.fixture
def megabyte(tmp_path: Path) -> Iterator[Path]:
    """A disk of 1 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if not sys.platform.startswith("linux") or os.geteuid() != 0:
        pytest.skip("only root may mount a small disk")
    mount = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], capture_output=True, text=True
    )
    if mount.returncode:
        pytest.skip(f"this machine mounts no small disk: {mount.stderr.strip()}")
    yield disk
    gc.collect()
    subprocess.run(["umount", disk], check=True)


@pytest.mark.parametrize("name", NAMES)
def test_a_full_disk_is_an_error_at_the_start_when_the_size_is_known(megabyte: Path, name: str) -> None:
    with pytest.raises(oc.errors.DiskFullError, match=r"disk is full(?s:.*)Free some space") as caught:
        oc.create(megabyte / name, (1000, 1000))
    assert caught.value.errno == errno.ENOSPC
    assert left(megabyte) == []


def fill(made: oc.Array) -> None:
    for i in range(1000):
        made.append(np.full((10, 1000), i))


@pytest.mark.parametrize("name", NAMES)
def test_a_full_disk_while_appending_leaves_nothing_behind_the_block(megabyte: Path, name: str) -> None:
    made = oc.create(megabyte / name, (None, 1000))
    with pytest.raises(oc.errors.DiskFullError), made:
        fill(made)
    assert left(megabyte) == []


@pytest.mark.parametrize("name", NAMES)
def test_a_full_disk_leaves_nothing_under_the_final_name_before_the_close(megabyte: Path, name: str) -> None:
    made = oc.create(megabyte / name, (None, 1000))
    with pytest.raises(oc.errors.DiskFullError):
        fill(made)
    assert not (megabyte / name).exists()
    made.discard()
    assert left(megabyte) == []


def test_what_fitted_can_be_kept_after_the_disk_was_full(megabyte: Path) -> None:
    made = oc.create(megabyte / "y.npy", (None, 1000))
    with pytest.raises(oc.errors.DiskFullError):
        fill(made)
    n_rows = len(made)
    assert 0 < n_rows < 200
    made.close()
    kept = np.load(megabyte / "y.npy")
    assert len(kept) == n_rows
    assert_same(kept[:, 0], np.repeat(np.arange(n_rows // 10.0), 10))


def test_a_full_disk_keeps_the_old_target(megabyte: Path) -> None:
    np.save(megabyte / "y.npy", example((100,), "f8"))
    with pytest.raises(oc.errors.DiskFullError):
        oc.create(megabyte / "y.npy", (1000, 1000), overwrite=True)
    assert_same(np.load(megabyte / "y.npy"), example((100,), "f8"))
    assert left(megabyte) == ["y.npy"]


def test_more_bytes_than_any_disk_has(tmp_path: Path) -> None:
    with pytest.raises(oc.errors.OptionError, match="more than any file has"):
        oc.create(tmp_path / "y.npy", (10**9, 10**9, 10**9))
    with pytest.raises(oc.errors.DiskFullError):
        oc.create(tmp_path / "y.npy", (10**9, 10**7))
    assert left(tmp_path) == []


def test_a_forked_child_that_leaves_the_block_does_not_finish_the_file(tmp_path: Path) -> None:
    target = tmp_path / "y.npy"
    with oc.create(target, (4,), "i4") as array:
        child = os.fork()
        if child == 0:
            try:
                array.close()
                os._exit(0 if not target.exists() else 1)
            finally:
                os._exit(2)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        array[:] = np.arange(4)
    assert np.load(target).tolist() == [0, 1, 2, 3]


def test_overwriting_a_link_writes_the_file_that_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    np.save(tmp_path / "deep" / "real.npy", np.zeros(2))
    link = tmp_path / "link.npy"
    link.symlink_to(tmp_path / "deep" / "real.npy")
    with oc.create(link, (3,), "i4", overwrite=True) as array:
        array[:] = 7
    assert link.is_symlink()
    assert np.load(tmp_path / "deep" / "real.npy").tolist() == [7, 7, 7]


def test_a_type_that_hdf5_lacks_is_refused_by_the_name_that_was_given(tmp_path: Path) -> None:
    with pytest.raises(oc.errors.DTypeError, match=r"d\.h5::/x: HDF5 has no type for dtype <U3") as caught:
        oc.create(tmp_path / "d.h5::/x", (3,), "U3")
    assert "partial" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []
