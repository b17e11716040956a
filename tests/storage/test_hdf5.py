from __future__ import annotations

import multiprocessing
import os
import pickle
import subprocess
import sys
import threading
from pathlib import Path

import h5py
import numpy as np
import pytest

import outcore as oc
from outcore.storage import formats, hdf5
from outcore.storage.protocol import Spec
from outcore.testing import StorageTests, assert_same, example
from tests.storage.test_chunked import STORABLE, dated


class TestContiguousHdf5(StorageTests):
    dtypes = STORABLE
    writable = True

    def store(self, rows: np.ndarray, folder: Path, *, writable: bool = False) -> oc.Array:
        with h5py.File(folder / "x.h5", "w") as made:
            made["x"] = dated(rows)
        return oc.open(folder / "x.h5", mode="r+" if writable else "r")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["x"] = np.arange(12.0).reshape(6, 2)
        file.create_dataset("g/z", data=np.arange(12.0).reshape(6, 2), chunks=(4, 2), compression="gzip")
        file["g/soft"] = h5py.SoftLink("/x")
        file["g/dangling"] = h5py.SoftLink("/nowhere")
        file["g/out"] = h5py.ExternalLink("other.h5", "/deep/y")
        file["g/lost"] = h5py.ExternalLink("lost.h5", "/deep/y")
        file["kind"] = np.dtype("f8")
        file.create_group("empty")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["deep/y"] = np.arange(5.0)
    return tmp_path / "x.h5"


# ---- names ----------------------------------------------------------------------------------------


def test_the_only_dataset_needs_no_name(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["a/b"] = np.arange(5)
    with oc.open(tmp_path / "x.h5") as array:
        assert array.address == f"{tmp_path}/x.h5::/a/b"
        assert array[3] == 3


def test_which_of_several_datasets_must_be_said(path: Path) -> None:
    with pytest.raises(oc.errors.AddressError) as found:
        oc.open(path)
    assert str(found.value) == (
        f"{path} holds 2 datasets; which one is meant?\n"
        "  In it there are: /g/z, /x.\n"
        f'Use "{path}::/g/z", for example.'
    )


def test_a_file_without_datasets(tmp_path: Path) -> None:
    h5py.File(tmp_path / "x.h5", "w").close()
    with pytest.raises(oc.errors.NotFoundError, match=r"holds 0 datasets(.|\n)*there are no datasets in it"):
        oc.open(tmp_path / "x.h5")


@pytest.mark.parametrize("inner", ["/y", "/g/y", "/x/y", "/nowhere/at/all"])
def test_a_missing_dataset_lists_what_is_there(path: Path, inner: str) -> None:
    with pytest.raises(
        oc.errors.NotFoundError, match=rf"x\.h5 has no dataset {inner}\.\n  In it there are: /g/z, /x\."
    ):
        oc.open(f"{path}::{inner}")


@pytest.mark.parametrize(
    ("inner", "text"), [("/g", "1 dataset.\n.*: /g/z"), ("/empty", "0 datasets.\n.*no datasets")]
)
def test_a_group_lists_its_datasets(path: Path, inner: str, text: str) -> None:
    with pytest.raises(oc.errors.AddressError, match=rf"x\.h5::{inner} is a group with {text}"):
        oc.open(f"{path}::{inner}")


def test_a_named_type_is_not_a_dataset(path: Path) -> None:
    with pytest.raises(oc.errors.AddressError, match=r"x\.h5::/kind is a named type"):
        oc.open(f"{path}::/kind")


def test_links_are_followed(path: Path) -> None:
    with oc.open(f"{path}::/g/soft") as array:
        assert array[1, 1] == 3
    with oc.open(f"{path}::/g/out") as array:
        assert array.address == f"{path.parent}/other.h5::/deep/y"
        assert array[4] == 4
    with pytest.raises(oc.errors.NotFoundError, match="/g/dangling is a link to /nowhere"):
        oc.open(f"{path}::/g/dangling")
    with pytest.raises(oc.errors.NotFoundError, match=r"/g/lost is a link to lost\.h5::/deep/y"):
        oc.open(f"{path}::/g/lost")


def test_has(path: Path) -> None:
    names = ["/x", "/g", "/g/z", "/g/dangling", "/y", "/x/y", "/g/y", "/nowhere/at/all"]
    assert [hdf5.has(str(path), inner) for inner in names] == [True] * 4 + [False] * 4


# ---- modes ----------------------------------------------------------------------------------------


def test_which_way_each_kind_is_read(path: Path) -> None:
    specs = [
        hdf5.locate(str(path), inner, mode) for inner, mode in (("/x", "r"), ("/g/z", "r"), ("/g/z", "r+"))
    ]
    assert [spec.kind for spec in specs] == ["h5flat", "hdf5", "hdf5"]
    storages = [formats.open_spec(spec) for spec in specs]
    assert [type(s).__name__ for s in storages] == ["FlatStorage", "ChunkedStorage", "H5pyStorage"]
    assert storages[2].info()["reader"] == "h5py (opened with mode r+)"
    assert storages[2].band_rows == 4
    for storage in storages:
        storage.close()


def test_copy_on_write_needs_rows_in_one_piece(path: Path) -> None:
    with oc.open(f"{path}::/x", mode="c") as array:
        array[0] = 7
        assert array[0].tolist() == [7, 7]
    with oc.open(f"{path}::/x") as array:
        assert array[0].tolist() == [0, 1]
    with pytest.raises(oc.errors.OptionError, match=r'mode="c" needs rows in one piece(.|\n)*mode="r"'):
        oc.open(f"{path}::/g/z", mode="c")


def test_a_contiguous_dataset_of_a_file_that_lost_its_end(path: Path) -> None:
    # The header of HDF5 may be right where a copy of the file is not: then HDF5 says so itself.
    os.truncate(path, path.stat().st_size - 1)
    with pytest.raises(oc.errors.TruncatedError):
        oc.open(f"{path}::/x")


# ---- datasets that are open already ---------------------------------------------------------------


@pytest.mark.parametrize("mode", ["r", "r+"])
@pytest.mark.parametrize("inner", ["x", "g/z"])
def test_an_open_dataset_becomes_a_reference_to_its_file(path: Path, mode: str, inner: str) -> None:
    with h5py.File(path, mode) as file:
        if mode == "r+":
            file[inner][2] = [7, 8]
        array = oc.asarray(file[inner])
        assert array.address == f"{path}::/{inner}"
        assert_same(array[:], file[inner][:])
        assert len(pickle.dumps(array)) < 1024
        array.close()


def test_an_open_dataset_in_memory_has_no_address() -> None:
    with h5py.File("x", "w", driver="core", backing_store=False) as file:
        file["x"] = np.arange(5)
        with pytest.raises(oc.errors.AddressError, match=r"driver 'core'(.|\n)*into memory"):
            oc.asarray(file["x"])


def test_a_dataset_without_a_name_has_no_address(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        nameless = file.create_dataset(None, data=np.arange(5))
        with pytest.raises(oc.errors.AddressError, match="has no name"):
            oc.asarray(nameless)


def test_a_dataset_of_a_closed_file(path: Path) -> None:
    with h5py.File(path) as file:
        dataset = file["x"]
    with pytest.raises(oc.errors.ClosedError, match="its file is closed"):
        oc.asarray(dataset)


def test_a_dataset_whose_file_was_replaced(path: Path) -> None:
    with h5py.File(path) as file:
        os.rename(path, path.parent / "moved.h5")
        with pytest.raises(oc.errors.NotFoundError, match=r"x\.h5 does not exist"):
            oc.asarray(file["x"])
        os.rename(path.parent / "other.h5", path)
        with pytest.raises(oc.errors.StaleArrayError, match=r"x\.h5 was moved or replaced"):
            oc.asarray(file["x"])


# ---- processes ------------------------------------------------------------------------------------


def _sum(array: oc.Array) -> float:
    return float(array[:].sum())


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
@pytest.mark.parametrize("inner", ["x", "g/z"])
def test_arrays_travel_to_processes(path: Path, method: str, inner: str) -> None:
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"this system has no {method}")
    with oc.open(f"{path}::{inner}") as array, multiprocessing.get_context(method).Pool(2) as pool:
        assert pool.map(_sum, [array] * 4) == [66.0] * 4
        pool.close()
        pool.join()


def test_chunks_that_are_being_written_are_not_for_other_processes(path: Path) -> None:
    spec = Spec("hdf5", str(path), "/g/z", "r+", (6, 2), np.dtype("f8"))
    with pytest.raises(oc.errors.WriterConflictError, match="is being written by another process"):
        formats.open_spec(spec)


def test_rows_appended_by_others_do_not_disturb(tmp_path: Path) -> None:
    rows = example((50, 2), "f8")
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_dataset("x", data=rows[:30], chunks=(7, 2), maxshape=(None, 2), compression="gzip")
    array = oc.open(tmp_path / "x.h5")
    with h5py.File(tmp_path / "x.h5", "r+") as file:
        file["x"].resize(50, 0)
        file["x"][30:] = rows[30:]
    assert_same(array[:], rows[:30])
    array.close()


def test_nothing_but_h5py_is_imported_for_plain_files(tmp_path: Path) -> None:
    with oc.create(tmp_path / "x.h5::/x", (100, 3), compression="gzip") as made:
        made[:] = 1
    source = """
import sys, outcore as oc
oc.open(sys.argv[1])[:]
found = {name.partition(".")[0] for name in sys.modules}
assert not found & {"numcodecs", "hdf5plugin", "scipy", "polars", "rich"}, found
"""
    subprocess.run([sys.executable, "-c", source, str(tmp_path / "x.h5")], check=True)


def test_threads_may_look_at_a_file_while_another_opens_it_to_write(path: Path) -> None:
    stop = threading.Event()

    def look() -> None:
        while not stop.is_set():
            hdf5.locate(str(path), "/g/z", "r")

    lookers = [threading.Thread(target=look) for _ in range(2)]
    for looker in lookers:
        looker.start()
    try:
        for value in range(50):
            with oc.open(f"{path}::/g/z", mode="r+") as array:
                array[2] = value
    finally:
        stop.set()
        for looker in lookers:
            looker.join()
    with oc.open(f"{path}::/g/z") as array:
        assert array[2].tolist() == [49, 49]
