from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import outcore as oc
from outcore.storage import hdf5
from outcore.storage.flat import FlatStorage
from outcore.testing import assert_same, example


def create(path: Path, inner: str = "/x", shape: Any = (10, 3), dtype: Any = "f8", **options: Any) -> Any:
    if not path.exists():
        path.write_bytes(b"")
    return hdf5.create(str(path), inner, shape, np.dtype(dtype), **options)


def put(made: Any, rows: np.ndarray) -> None:
    made.write_rows(0, rows)
    made.finish()
    made.close()


# ---- contiguous -----------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(), (1,), (10, 3), (0, 3), (4, 0), (2, 3, 4)], ids=str)
@pytest.mark.parametrize("dtype", ["f8", ">i2", "?", "S5", "c8", [("a", "i1"), ("b", ">f8")]], ids=str)
def test_contiguous_rows_are_written_without_hdf5(tmp_path: Path, shape: tuple[int, ...], dtype: Any) -> None:
    rows = example(shape, dtype)
    made = create(tmp_path / "x.h5", "/a/b/x", shape, dtype)
    assert isinstance(made, FlatStorage)
    put(made, rows)
    with h5py.File(tmp_path / "x.h5") as found:
        assert_same(np.asarray(found["a/b/x"][()], dtype), rows)
        assert found["a/b/x"].chunks is None
    with oc.open(tmp_path / "x.h5::/a/b/x") as array:
        assert_same(np.asarray(array), rows)


def test_the_space_is_taken_at_once(tmp_path: Path) -> None:
    made = create(tmp_path / "x.h5", shape=(1000, 100))
    assert (tmp_path / "x.h5").stat().st_blocks * 512 >= 800_000
    made.close()


def _write_half(array: oc.Array, rows: np.ndarray, half: int) -> None:
    array[half::2] = rows[half::2]


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_processes_write_disjoint_rows_of_one_dataset(tmp_path: Path, method: str) -> None:
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"this system has no {method}")
    rows = example((64, 3), "f8")
    context = multiprocessing.get_context(method)
    with oc.create(tmp_path / "x.h5::/x", (64, 3)) as made:
        children = [context.Process(target=_write_half, args=(made, rows, half)) for half in (0, 1)]
        for child in children:
            child.start()
        for child in children:
            child.join()
            assert child.exitcode == 0
    assert_same(made[:], rows)


# ---- chunked --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "filters"),
    [
        ({"chunks": True}, []),
        ({"chunks": (4, 2), "compression": "gzip"}, ["shuffle", "gzip"]),
        ({"compression": "gzip", "compression_opts": 9, "shuffle": False}, ["gzip"]),
        ({"compression": "lzf"}, ["shuffle", "lzf"]),
        ({"compression": 32001}, ["blosc"]),
        ({"compression": 32015}, ["shuffle", "zstd"]),
        ({"shuffle": True}, ["shuffle"]),
        ({"fletcher32": True, "chunks": 4}, ["fletcher32"]),
    ],
    ids=str,
)
def test_filters_are_those_asked_for(tmp_path: Path, options: dict[str, Any], filters: list[str]) -> None:
    rows = example((10, 3), "f8")
    put(create(tmp_path / "x.h5", **options), rows)
    with oc.open(tmp_path / "x.h5") as array:
        assert array.info["filters"] == filters
        assert_same(array[:], rows)
    with h5py.File(tmp_path / "x.h5") as found:
        assert_same(found["x"][:], rows)
        if "compression_opts" in options:
            assert found["x"].compression_opts == options["compression_opts"]


@pytest.mark.parametrize("shape", [(0, 3), (4, 0), (None, 0), (None,), (0,), (None, 3, 0)], ids=str)
def test_chunked_datasets_without_values(tmp_path: Path, shape: tuple[int | None, ...]) -> None:
    put(create(tmp_path / "x.h5", shape=shape, compression="gzip"), np.empty((0, *shape[1:])))
    with oc.open(tmp_path / "x.h5") as array:
        assert array.shape == tuple(n or 0 for n in shape)
        assert_same(array[:], np.empty(array.shape))


def test_chunks_are_cut_to_axes_that_cannot_grow(tmp_path: Path) -> None:
    made = create(tmp_path / "x.h5", chunks=(4000, 700))
    assert made.chunks == (10, 3)
    made.close()
    made = create(tmp_path / "y.h5", shape=(None, 3), chunks=(4000, 700))
    assert made.chunks == (4000, 3)
    made.close()


# ---- existing files -------------------------------------------------------------------------------


def test_other_datasets_stay_and_a_dataset_of_the_same_name_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        file["x"] = np.arange(5)
        file["g/other"] = np.arange(7)
        file.attrs["kept"] = "yes"
    rows = example((10, 3), "f8")
    put(create(path), rows)
    put(create(path, "/g/y", compression="gzip"), rows)
    with h5py.File(path) as found:
        assert found.attrs["kept"] == "yes"
        assert_same(found["g/other"][:], np.arange(7))
        assert_same(found["x"][:], rows)
        assert_same(found["g/y"][:], rows)


@pytest.mark.parametrize("options", [{}, {"compression": "gzip"}], ids=["contiguous", "chunked"])
def test_names_that_are_taken_by_something_else(tmp_path: Path, options: dict[str, Any]) -> None:
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        file["d"] = np.arange(5)
        file["g/x"] = np.arange(5)
    before = path.read_bytes()
    with pytest.raises(oc.errors.AddressError, match=r"/d is, or is below, a dataset"):
        create(path, "/d/x", **options)
    with pytest.raises(oc.errors.AddressError, match=r"/d/deep is, or is below, a dataset"):
        create(path, "/d/deep/x", **options)
    with pytest.raises(oc.errors.ExistsError, match=r"x\.h5::/g is a group"):
        create(path, "/g", **options)
    with h5py.File(path) as found:
        assert set(found) == {"d", "g"}
    assert len(path.read_bytes()) == len(before)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_forked_child_creates_flushes_and_gives_up_chunked_datasets(tmp_path: Path) -> None:
    rows = example((10, 3), "f8")
    child = os.fork()
    if child == 0:
        try:
            made = create(tmp_path / "x.h5", compression="gzip")
            made.write_rows(0, rows)
            made.flush()
            made.finish()
            made.close()
            create(tmp_path / "y.h5", compression="gzip").close()
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    with h5py.File(tmp_path / "x.h5") as found:
        assert_same(found["x"][:], rows)


# ---- refused --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"dtype": "O"}, oc.errors.DTypeError, "references to Python objects"),
        ({"dtype": "U3"}, oc.errors.DTypeError, "HDF5 has no type for dtype <U3"),
        ({"dtype": [("t", "M8[s]"), ("u", "U3")]}, oc.errors.DTypeError, 'such as "S10", for text'),
        ({"inner": "/"}, oc.errors.AddressError, "needs a name"),
        ({"inner": ""}, oc.errors.AddressError, r'x\.h5::/x"'),
        ({"shape": (), "compression": "gzip"}, oc.errors.OptionError, r"shape \(\) has no rows"),
        (
            {"compression": "gzip", "compression_opts": 10},
            oc.errors.OptionError,
            "compression_opts=10; the level",
        ),
        ({"compression": "gzip", "compression_opts": "9"}, oc.errors.OptionError, "level of gzip is 0 to 9"),
        ({"compression": "lzf", "compression_opts": 3}, oc.errors.OptionError, "lzf has no options"),
        ({"compression_opts": 3}, oc.errors.OptionError, "compression_opts=3 needs a compression"),
        ({"compression": "zip"}, oc.errors.OptionError, "compression='zip' is not known"),
        ({"compression": True}, oc.errors.OptionError, "compression=True is not known"),
        ({"compression": 32099}, oc.errors.FilterError, "32099 .* pip install hdf5plugin"),
        ({"chunks": (4,)}, oc.errors.OptionError, r"chunks=\(4,\) does not fit the shape \(10, 3\)"),
        ({"chunks": (4, 2.5)}, oc.errors.OptionError, "does not fit"),
        ({"chunks": (0, 3)}, oc.errors.OptionError, "sizes of chunks are 1 or more"),
        ({"chunks": -1}, oc.errors.OptionError, "chunks=-1"),
        ({"shape": (None, 3), "chunks": (1 << 29, 3)}, oc.errors.OptionError, "HDF5 allows 4294967295"),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_what_cannot_be_created_is_refused(
    tmp_path: Path, arguments: dict[str, Any], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text.replace(" .* ", "(.|\n)*")):
        create(tmp_path / "x.h5", **arguments)
    assert (tmp_path / "x.h5").read_bytes() == b""


@pytest.mark.skipif(sys.platform != "linux", reason="locks of other systems may not meet")
def test_locks_that_the_environment_forces_upon_hdf5_are_an_error_that_says_so(tmp_path: Path) -> None:
    source = "import outcore as oc, sys; oc.create(sys.argv[1], 3)"
    done = subprocess.run(
        [sys.executable, "-c", source, f"{tmp_path}/x.h5::/x"],
        env={**os.environ, "HDF5_USE_FILE_LOCKING": "TRUE"},
        capture_output=True,
        text=True,
    )
    assert "while HDF5_USE_FILE_LOCKING=TRUE makes HDF5 lock every file" in done.stderr
    assert "Unset that variable, or set it to FALSE" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_filter_of_a_plugin_that_is_not_installed_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "hdf5plugin", None)
    monkeypatch.setattr(h5py.h5z, "filter_avail", lambda code: False)
    with pytest.raises(oc.errors.FilterError, match=r"32015 \(zstd\)(.|\n)*pip install hdf5plugin"):
        create(tmp_path / "x.h5", compression=32015)
