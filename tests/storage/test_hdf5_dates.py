"""Dates in HDF5: equal to what was written, and equal to what h5py gives."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import outcore as oc
from outcore.storage.hdf5_dates import marked
from outcore.testing import assert_same, example

WAYS: list[dict[str, Any]] = [{}, {"chunks": 4}, {"compression": "gzip"}, {"compression": "lzf"}]
UNITS = ["<M8[D]", ">M8[s]", "<M8[ms]", ">M8[us]", "<M8[ns]", ">m8[ns]", "<m8[25us]"]
TABLES: list[Any] = [
    [("day", "M8[D]"), ("v", "f4")],
    [("name", "S3"), ("span", ">m8[ms]", (2, 3)), ("in", [("t", ">M8[ns]"), ("ok", "?")])],
    {"names": ["a", "t"], "formats": ["i1", "M8[s]"], "offsets": [3, 8], "itemsize": 24},
    {"names": ["t", "a"], "formats": ["M8[s]", "i1"], "offsets": [8, 0], "itemsize": 17},
]


def dates(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """Rows of which some are NaT."""
    rows = example(shape, dtype)
    if rows.dtype.names:
        for name in rows.dtype.names:
            if rows[name].dtype.kind in "mM":
                rows[name][1::3] = "NaT"
    elif rows.dtype.kind in "mM":
        rows[1::3] = "NaT"
    return rows


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("dates")


# ---- the mark -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [*UNITS, "M8", "m8", *TABLES, ("M8[D]", (2,))], ids=str)
def test_the_mark_changes_nothing_for_numpy_and_makes_a_type_for_hdf5(kind: Any) -> None:
    dtype = np.dtype(kind)
    found = marked(dtype)
    assert found == dtype
    assert found.itemsize == dtype.itemsize
    stored = h5py.h5t.py_create(found, logical=True)
    assert stored.dtype == dtype
    assert marked(found) is found
    with pytest.raises(TypeError, match="No conversion path"):
        h5py.h5t.py_create(dtype, logical=True)


@pytest.mark.parametrize(
    "dtype",
    [
        np.dtype("f4"),
        np.dtype([("a", "i1"), ("b", "f8")], align=True),
        h5py.enum_dtype({"a": 1}, "i4"),
        np.dtype([("s", h5py.string_dtype("utf-8", 5), (2,))]),
        h5py.opaque_dtype("M8[s]"),
        h5py.opaque_dtype("U3"),
    ],
    ids=str,
)
def test_a_type_with_nothing_to_mark_is_returned_as_it_is(dtype: np.dtype[Any]) -> None:
    assert marked(dtype) is dtype


def test_other_marks_stay() -> None:
    given = [("e", h5py.enum_dtype({"a": 1}, "i4")), ("s", h5py.string_dtype("utf-8", 5)), ("t", "M8[s]")]
    found = marked(np.dtype(given))
    assert h5py.check_enum_dtype(found["e"]) == {"a": 1}
    assert h5py.check_string_dtype(found["s"]) == ("utf-8", 5)
    assert h5py.check_opaque_dtype(found["t"])


# ---- written here, read by h5py and here ----------------------------------------------------------


@pytest.mark.parametrize("way", WAYS, ids=str)
@pytest.mark.parametrize("kind", [*UNITS, "M8", "m8", *TABLES], ids=str)
def test_dates_are_read_back_as_dates(tmp_path: Path, way: dict[str, Any], kind: Any) -> None:
    rows = dates((11, 2), kind)
    address = f"{tmp_path}/x.h5::/g/x"
    with oc.create(address, rows.shape, kind, **way) as made:
        made[:] = rows
        assert_same(made[3:], rows[3:])  # through the storage that writes
    assert_same(made[:], rows)
    made.close()
    with h5py.File(tmp_path / "x.h5") as file:
        assert_same(file["g/x"][...], rows)
    with oc.open(address) as array:
        assert array.dtype == rows.dtype
        assert b"h5py" not in pickle.dumps(array)
        assert way.get("compression") == "lzf" or "h5py" not in array.info["reader"]
        assert_same(array[:], rows)
        assert_same(array.take([7, 0, 7]), rows[[7, 0, 7]])
        assert_same(array.windows([2, 8], 3), rows[[[2, 3, 4], [8, 9, 10]]])
        assert_same(pickle.loads(pickle.dumps(array))[4], rows[4])
        for name in rows.dtype.names or ():
            assert_same(array[name][2:9], rows[name][2:9])
    with oc.open(address, mode="r+") as array:
        array[2:5] = rows[6:9]
        array[10] = rows[1]
        rows[2:5], rows[10] = rows[6:9], rows[1]
        assert_same(array[:], rows)
    with h5py.File(tmp_path / "x.h5") as file:
        assert_same(file["g/x"][...], rows)
        assert_same(oc.asarray(file["g/x"])[...], rows)


@pytest.mark.parametrize("kind", ["M8[s]", TABLES[1]], ids=str)
@pytest.mark.parametrize("compression", [None, "gzip", "lzf", 32001, 32015])
def test_dates_are_appended(tmp_path: Path, kind: Any, compression: Any) -> None:
    rows = dates((50,), kind)
    with oc.create(tmp_path / "x.h5::/x", (None,), kind, chunks=(7,), compression=compression) as made:
        for start in range(0, 50, 11):
            made.append(rows[start : start + 11])
    assert_same(made[:], rows)
    with h5py.File(tmp_path / "x.h5") as file:
        assert_same(file["x"][...], rows)


@pytest.mark.parametrize("kind", ["M8[s]", TABLES[0]], ids=str)
@pytest.mark.parametrize("shape", [(), (1,), (0,), (0, 3), (4, 0)], ids=str)
def test_shapes_with_few_values(tmp_path: Path, shape: tuple[int, ...], kind: Any) -> None:
    rows = example(shape, kind)
    oc.convert(rows, tmp_path / "x.h5::/x")
    with h5py.File(tmp_path / "x.h5") as file:
        assert_same(np.asarray(file["x"][()], rows.dtype), rows)
    with oc.open(tmp_path / "x.h5") as array:
        assert_same(np.asarray(array), rows)


def test_copy_on_write(tmp_path: Path) -> None:
    rows = dates((11,), TABLES[0])
    oc.convert(rows, tmp_path / "x.h5::/x")
    with oc.open(tmp_path / "x.h5", mode="c") as array:
        array["day"][0] = "2024-02-29"
        assert array["day"][0] == np.datetime64("2024-02-29")
    with oc.open(tmp_path / "x.h5") as array:
        assert_same(array[:], rows)


LEAVES = st.sampled_from(["i1", ">f8", "S3", "?", "c8", "V5", *UNITS])


@st.composite
def tables(draw: st.DrawFn, depth: int = 2) -> np.dtype[Any]:
    """Fields of any kind, in subarrays, nested, in any order in memory and with gaps."""
    parts: list[np.dtype[Any]] = []
    for _ in range(draw(st.integers(1, 4))):
        part = draw(tables(depth - 1)) if depth and draw(st.booleans()) else np.dtype(draw(LEAVES))
        shape = draw(st.sampled_from([(), (), (3,), (2, 1)]))
        parts.append(np.dtype((part, shape)))
    names = draw(st.lists(st.text("ab é", min_size=1, max_size=4), min_size=4, max_size=4, unique=True))
    offsets = [0] * len(parts)
    at = 0
    for i in draw(st.permutations(range(len(parts)))):
        offsets[i] = at + draw(st.integers(0, 3))
        at = offsets[i] + parts[i].itemsize
    size = at + draw(st.integers(0, 3))
    return np.dtype({"names": names[: len(parts)], "formats": parts, "offsets": offsets, "itemsize": size})


@given(dtype=tables(), way=st.sampled_from(WAYS))
def test_any_table_comes_back(folder: Path, dtype: np.dtype[Any], way: dict[str, Any]) -> None:
    rows = example((9,), dtype)
    with oc.create(folder / "x.h5::/x", (9,), dtype, overwrite=True, **way) as made:
        made[:5] = rows[:5]
        made[5:] = rows[5:]
    with oc.open(folder / "x.h5") as array:
        assert_same(array[:], rows)
        assert_same(array[4], rows[4])
    with h5py.File(folder / "x.h5") as file:
        assert_same(file["x"][...], rows)


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_combining_keeps_dates(tmp_path: Path, way: dict[str, Any]) -> None:
    table = dates((20,), TABLES[1])
    with h5py.File(tmp_path / "x.h5", "w") as file:
        enum = h5py.enum_dtype({"low": 0, "high": 1}, "u1")
        kind = np.dtype([("e", enum), ("t", h5py.opaque_dtype("M8[s]"))])
        file.create_dataset("x", data=example((9,), kind).astype(kind))
        expected = file["x"][...]
    arrays = {"memory": table, "file": f"{tmp_path}/x.h5::/x", "backwards": table["span"][::-1]}
    made = oc.combine(arrays, tmp_path / "all.h5", **way)
    with h5py.File(tmp_path / "all.h5") as file:
        assert h5py.check_enum_dtype(file["file"].dtype["e"]) == {"low": 0, "high": 1}
        for name, rows in zip(arrays, (table, expected, table["span"][::-1]), strict=True):
            assert_same(file[name][...], np.ascontiguousarray(rows))
            assert_same(made[name][:], np.ascontiguousarray(rows))


@pytest.mark.parametrize(
    "value",
    [
        np.datetime64("2024-02-29"),
        np.timedelta64("NaT", "ns"),
        np.array(["2024", "NaT"], ">M8[s]"),
        np.array([("2024-02-29", 1.5)], [("t", "M8[D]"), ("v", "f4")]),
    ],
    ids=str,
)
def test_attributes_may_be_dates(tmp_path: Path, value: Any) -> None:
    oc.combine({"x": np.zeros(3)}, tmp_path / "a.h5", attrs={"x": {"when": value}})
    oc.combine({"x": f"{tmp_path}/a.h5::/x"}, tmp_path / "b.h5")
    for name in ("a.h5", "b.h5"):
        with h5py.File(tmp_path / name) as file:
            assert_same(np.asarray(file["x"].attrs["when"]), np.asarray(value))


# ---- written by h5py ------------------------------------------------------------------------------


def opaque(tag: bytes, size: int) -> Any:
    made = h5py.h5t.create(h5py.h5t.OPAQUE, size)
    made.set_tag(tag)
    return made


@pytest.mark.parametrize("chunks", [None, (4,)], ids=["contiguous", "chunked"])
@pytest.mark.parametrize("mode", ["r", "r+"])
def test_tables_of_h5py_are_read(tmp_path: Path, chunks: Any, mode: str) -> None:
    day, span = h5py.opaque_dtype("M8[D]"), h5py.opaque_dtype(">m8[ms]")
    kind = np.dtype([("a", "i1"), ("day", day), ("in", [("span", span, (2,))])], align=True)
    plain = [("a", "i1"), ("day", "M8[D]"), ("in", [("span", ">m8[ms]", (2,))])]
    rows = dates((11,), np.dtype(plain, align=True))
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_dataset("x", data=rows.astype(kind), chunks=chunks)
    with oc.open(tmp_path / "x.h5", mode=mode) as array:
        assert array.dtype == np.dtype(plain, align=True)
        assert_same(array[:], rows)
        assert_same(array["day"][3:], rows["day"][3:])


@pytest.mark.parametrize("libver", ["earliest", "latest"])
def test_chunks_that_were_never_written_hold_the_fill_value(tmp_path: Path, libver: str) -> None:
    date = h5py.opaque_dtype(">M8[s]")
    table = np.dtype([("t", date), ("v", "f4")])
    fills = {
        "nat": np.array("NaT", "M8[s]").astype(date),
        "leap": np.array("2024-02-29", "M8[s]").astype(date),
        "table": np.array(("2024-02-29", 1.5), table),
    }
    with h5py.File(tmp_path / "x.h5", "w", libver=libver) as file:
        file.create_dataset("none", (10,), date, chunks=(4,))
        for name, fill in fills.items():
            file.create_dataset(name, (10,), fill.dtype, chunks=(4,), fillvalue=fill)
        for name in file:
            file[name][5] = np.zeros((), file[name].dtype)
        expected = {name: file[name][...] for name in file}
    for name, rows in expected.items():
        with oc.open(f"{tmp_path}/x.h5::/{name}") as array:
            assert "chunk index" in array.info["reader"]
            assert_same(array[:], rows)
            assert rows[9] == fills.get(name, np.array(0, "M8[s]")) or name == "nat"
    assert np.isnat(expected["nat"]).sum() == 9


def test_rows_that_were_never_written_here_are_those_of_h5py(tmp_path: Path) -> None:
    with oc.create(tmp_path / "x.h5::/x", (10, 2), "M8[D]", chunks=(4, 2)) as made:
        made[4:8] = np.datetime64("NaT")
    with h5py.File(tmp_path / "x.h5") as file:
        assert_same(made[:], file["x"][...])
    assert made[0, 0] == np.datetime64("1970-01-01")


@pytest.mark.parametrize("layout", ["compact", "virtual", "external"])
def test_layouts_that_only_h5py_reads(tmp_path: Path, layout: str) -> None:
    kind = np.dtype([("t", h5py.opaque_dtype("M8[ns]")), ("v", "i2")])
    rows = dates((11,), [("t", "M8[ns]"), ("v", "i2")])
    with h5py.File(tmp_path / "x.h5", "w") as file:
        if layout == "compact":
            properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
            properties.set_layout(h5py.h5d.COMPACT)
            stored, space = h5py.h5t.py_create(kind, logical=True), h5py.h5s.create_simple((11,))
            h5py.Dataset(h5py.h5d.create(file.id, b"x", stored, space, properties))[...] = rows.astype(kind)
        elif layout == "virtual":
            file.create_dataset("y", data=rows.astype(kind))
            virtual = h5py.VirtualLayout((11,), kind)
            virtual[:] = h5py.VirtualSource(file["y"])
            file.create_virtual_dataset("x", virtual)
        else:
            file.create_dataset("x", (11,), kind, external=[(str(tmp_path / "raw"), 0, h5py.h5f.UNLIMITED)])
            file["x"][...] = rows.astype(kind)
    with oc.open(f"{tmp_path}/x.h5::/x") as array:
        assert array.info["reader"].startswith("h5py")
        assert array.dtype == rows.dtype
        assert_same(array[:], rows)
        assert_same(array.take([7, 0, 7]), rows[[7, 0, 7]])


# ---- refused --------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrap", ["plain", "array", "table"])
@pytest.mark.parametrize(
    ("tag", "size"),
    [
        (b"NUMPY:<M8[s]", 4),  # of another size
        (b"NUMPY:<M8[s]", 16),
        (b"NUMPY:M8[s]", 8),  # h5py does not read what it does not write
        (b"NUMPY:M8[", 8),
        (b"NUMPY:S", 8),
        (b"NUMPY:O", 8),
        (b"NUMPY:i4,f4", 8),
        (b"a clock", 8),
        (b"\xe9", 8),
    ],
)
def test_opaque_bytes_that_h5py_cannot_read_are_refused(
    tmp_path: Path, tag: bytes, size: int, wrap: str
) -> None:
    kind = opaque(tag, size)
    if wrap == "array":
        kind = h5py.h5t.array_create(kind, (2,))
    if wrap == "table":
        table = h5py.h5t.create(h5py.h5t.COMPOUND, size + 4)
        table.insert(b"t", 0, kind)
        table.insert(b"i", size, h5py.h5t.STD_I32LE)
        kind = table
    with h5py.File(tmp_path / "x.h5", "w") as file:
        x = h5py.Dataset(h5py.h5d.create(file.id, b"x", kind, h5py.h5s.create_simple((3,))))
        x.id.write(h5py.h5s.ALL, h5py.h5s.ALL, np.zeros(3, f"V{kind.get_size()}"), kind)
        with pytest.raises((OSError, TypeError, ValueError)):
            x[...]
    with pytest.raises(oc.errors.DTypeError, match=r"x\.h5::/x"):
        oc.open(tmp_path / "x.h5")


@pytest.mark.parametrize("wrap", [False, True])
def test_dates_without_a_unit_in_the_other_byte_order_are_refused(tmp_path: Path, wrap: bool) -> None:
    other = np.dtype("M8").newbyteorder().str
    kind = np.dtype((other, (2,))) if wrap else np.dtype(other)
    for target in ("x.h5::/x", "x.npy"):
        with pytest.raises(oc.errors.DTypeError, match=rf'dtype {other} has no unit.*\n.*"{other}\[s\]"'):
            oc.create(tmp_path / target, (3,), kind)
    assert list(tmp_path.iterdir()) == []
    with h5py.File(tmp_path / "x.h5", "w") as file:
        stored = h5py.h5t.py_create(marked(kind), logical=True)
        h5py.h5d.create(file.id, b"x", stored, h5py.h5s.create_simple((3,)))
    with pytest.raises(oc.errors.DTypeError, match=f"dtype {other} has no unit"):
        oc.open(tmp_path / "x.h5")
