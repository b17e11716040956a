from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import outcore as oc
from outcore.storage.hdf5_dataset import examine, plain
from outcore.testing import assert_same, example


@pytest.mark.parametrize(
    "given",
    [
        h5py.enum_dtype({"a": 1, "b": 2}, "i4"),
        h5py.string_dtype("utf-8", 5),
        h5py.opaque_dtype("M8[s]"),
        np.dtype([("e", h5py.enum_dtype({"a": 1}, ">u2")), ("s", h5py.string_dtype("ascii", 3), (2,))]),
        np.dtype((h5py.enum_dtype({"a": 1}, "u1"), (3,))),
        np.dtype([("a", "i1"), ("b", "f8")], align=True),
        np.dtype({"names": ["b", "a"], "formats": [">f4", "?"], "offsets": [4, 1], "itemsize": 11}),
    ],
    ids=str,
)
def test_dtypes_lose_the_metadata_of_h5py_and_nothing_else(given: np.dtype[Any]) -> None:
    found = plain(given)
    assert found == given
    assert b"metadata" not in pickle.dumps(found)
    assert "metadata" not in repr(found)
    assert b"h5py" not in pickle.dumps(found)
    assert (found.itemsize, found.fields is None) == (given.itemsize, given.fields is None)


@pytest.mark.parametrize("chunks", [None, (4,)], ids=["contiguous", "chunked"])
@pytest.mark.parametrize(
    "dtype",
    [
        "?", "i1", ">u4", "f2", "g", "c8", "S5", "V4", [("a", "i1"), ("b", ">f8"), ("c", "?")],
        h5py.enum_dtype({"a": 0, "b": 1}, "i2"), h5py.string_dtype("utf-8", 5), h5py.opaque_dtype("M8[s]"),
    ],
    ids=str,
)  # fmt: skip
def test_rows_are_read_without_hdf5_where_the_file_holds_what_numpy_wants(
    tmp_path: Path, dtype: Any, chunks: Any
) -> None:
    rows = example((10,), plain(np.dtype(dtype)))
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_dataset("x", data=rows.astype(dtype), dtype=dtype, chunks=chunks)
    with oc.open(tmp_path / "x.h5") as array:
        assert "h5py" not in array.info["reader"]
        assert array.dtype == rows.dtype
        assert_same(array[:], rows)


def test_offsets_count_the_user_block(tmp_path: Path) -> None:
    rows = np.arange(10.0)
    with h5py.File(tmp_path / "x.h5", "w", userblock_size=1024) as file:
        file["x"] = rows
        file.create_dataset("never", (10,), "f8")
    with oc.open(tmp_path / "x.h5::/x") as array:
        assert array.spec.kind == "h5flat"
        assert_same(array[:], rows)
    with oc.open(tmp_path / "x.h5::/never") as array:
        assert array.info["reader"] == "h5py (nothing was ever written to it)"
        assert_same(array[:], np.zeros(10))


@pytest.mark.parametrize(
    "dtype",
    [h5py.string_dtype(), h5py.vlen_dtype("f4"), h5py.ref_dtype, [("a", "f4"), ("s", h5py.string_dtype())]],
)
def test_values_that_are_pointers_are_refused(tmp_path: Path, dtype: Any) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_dataset("x", (3,), dtype)
    with pytest.raises(oc.errors.DTypeError, match=r"x\.h5::/x: dtype .* references to Python objects"):
        oc.open(tmp_path / "x.h5::/x")


def test_types_that_numpy_does_not_have_are_refused(tmp_path: Path) -> None:
    kind = h5py.h5t.STD_I32LE.copy()
    kind.set_precision(24)
    kind.set_size(3)
    with h5py.File(tmp_path / "x.h5", "w") as file:
        h5py.h5d.create(file.id, b"x", kind, h5py.h5s.create_simple((5,)))
    with pytest.raises(oc.errors.DTypeError, match=r"/x has a type that NumPy does not have: .*i3"):
        oc.open(tmp_path / "x.h5")


def test_a_dataset_without_a_shape_is_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["x"] = h5py.Empty("f4")
    with pytest.raises(oc.errors.FormatError, match=r"/x is an empty dataset"):
        oc.open(tmp_path / "x.h5")


# ---- filters --------------------------------------------------------------------------------------


def with_filter(path: Path, code: int) -> None:
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_chunk((5,))
    properties.set_filter(code, h5py.h5z.FLAG_OPTIONAL, (1, 2))
    with h5py.File(path, "w") as file:
        kind, space = h5py.h5t.py_create(np.dtype("f8")), h5py.h5s.create_simple((10,))
        h5py.h5d.create(file.id, b"x", kind, space, properties).write_direct_chunk((0,), b"12345")


@pytest.mark.parametrize("mode", ["r", "r+"])
def test_a_filter_that_nobody_knows_is_named(tmp_path: Path, mode: str) -> None:
    with_filter(tmp_path / "x.h5", 32099)
    what = r"x\.h5::/x is compressed with filter 32099 \(without a name\)(.|\n)*pip install hdf5plugin"
    with pytest.raises(oc.errors.FilterError, match=what):
        oc.open(tmp_path / "x.h5", mode=mode)


def test_a_registered_filter_is_called_by_its_name(tmp_path: Path) -> None:
    with_filter(tmp_path / "x.h5", 32019)
    with pytest.raises(oc.errors.FilterError, match=r"filter 32019 \(jpeg\)"):
        oc.open(tmp_path / "x.h5")


def test_the_plugins_of_hdf5plugin_are_found(tmp_path: Path) -> None:
    import hdf5plugin

    rows = example((40,), "f8")
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_dataset("x", data=rows, chunks=(7,), compression=hdf5plugin.Bitshuffle())
    with oc.open(tmp_path / "x.h5") as array:
        assert array.info["reader"] == "h5py (filter bitshuffle is decoded by h5py only)"
        assert_same(array[:], rows)


def test_fill_values_are_those_of_the_dataset(tmp_path: Path) -> None:
    kind = np.dtype([("a", "i4"), ("b", ">f8")])
    with h5py.File(tmp_path / "x.h5", "w") as file:
        fill = np.array((7, 2.5), kind)
        x = file.create_dataset("x", (10,), kind, chunks=(4,), fillvalue=fill)
        assert examine(x, "").fill == fill.tobytes()
        x[5] = (1, 1)
    with oc.open(tmp_path / "x.h5") as array:
        assert array[0] == fill
        assert array[9] == fill
        assert array[5] == np.array((1, 1), kind)
