"""Attributes on their way from one file to another."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import outcore as oc
from outcore.storage.hdf5_attributes import Attributes


def text_type(size: int, padding: int, charset: int) -> Any:
    kind = h5py.h5t.C_S1.copy()
    kind.set_size(size)
    kind.set_strpad(padding)
    kind.set_cset(charset)
    return kind


def fill(dataset: Any) -> None:
    """Give it attributes of every kind."""
    attrs = dataset.attrs
    attrs["number"] = 3
    attrs["big-endian"] = np.arange(6, dtype=">i2").reshape(2, 3)
    attrs["flag"] = True
    attrs["text"] = "é"
    attrs["bytes"] = np.bytes_(b"abc")
    attrs["texts"] = np.array(["a", "bcd"], h5py.string_dtype())
    attrs["ascii"] = np.array([b"a", b"bcd"], h5py.string_dtype("ascii"))
    attrs["nothing"] = h5py.Empty("f4")
    attrs["no values"] = np.empty((0, 3), "f4")
    attrs["table"] = np.array([(1, 2.5)], [("a", ">i4"), ("b", "f8")])
    attrs["table of text"] = np.array([(1, "abc")], [("a", "i4"), ("s", h5py.string_dtype())])
    attrs.create("colour", 2, dtype=h5py.enum_dtype({"RED": 1, "BLUE": 2}))
    ragged = np.empty(2, h5py.vlen_dtype("i4"))
    ragged[0], ragged[1] = np.arange(2, dtype="i4"), np.arange(3, dtype="i4")
    attrs.create("ragged", ragged, dtype=h5py.vlen_dtype("i4"))
    dataset.file["a type"] = np.dtype("i8")
    attrs.create("of a named type", 5, dtype=dataset.file["a type"])
    scalar = h5py.h5s.create(h5py.h5s.SCALAR)
    padded = text_type(5, h5py.h5t.STR_SPACEPAD, h5py.h5t.CSET_UTF8)
    h5py.h5a.create(dataset.id, b"padded", padded, scalar).write(np.array(b"ab   ", "V5"), mtype=padded)
    bits = h5py.h5t.STD_B8LE
    h5py.h5a.create(dataset.id, b"bits", bits, scalar).write(np.array(b"\x07", "V1"), mtype=bits)


def raw(thing: Any) -> dict[str, Any]:
    """Type, shape and value of each attribute."""
    found = {}
    for name in thing.attrs:
        attribute = thing.attrs.get_id(name)
        value = thing.attrs[name]
        found[name] = (
            attribute.get_type().encode() if not attribute.get_type().committed() else np.dtype("i8"),
            attribute.shape,
            value.dtype.str if isinstance(value, h5py.Empty) else np.asarray(value, object).tolist(),
        )
    return found


@pytest.fixture
def source(tmp_path: Path) -> Any:
    with h5py.File(tmp_path / "source.h5", "w", libver="latest") as file:
        yield file.create_dataset("x", data=np.arange(3.0))


def same(actual: dict[str, Any], expected: dict[str, Any]) -> None:
    assert set(actual) == set(expected)
    for name, (kind, shape, value) in expected.items():
        if name != "of a named type":  # a plain one now
            assert actual[name][0] == kind, name
        assert actual[name][1] == shape
        np.testing.assert_equal(actual[name][2], value, name)


def test_attributes_of_every_kind_are_kept_with_their_types(tmp_path: Path, source: Any) -> None:
    fill(source)
    expected = raw(source)
    with Attributes() as attributes, h5py.File(tmp_path / "target.h5", "w") as target:
        attributes.keep("/deep/x", source)
        source.file.close()  # nothing is read from there any more
        assert not attributes.large
        assert attributes.names() == ["/deep/x"]
        made = target.create_dataset("deep/x", data=1)
        attributes.write("/deep/x", made)
        attributes.write("/another", target)
        same(raw(made), expected)
        assert raw(target) == {}
        attributes.write("/deep/x", made)  # what is there is replaced
        same(raw(made), expected)


@pytest.mark.parametrize("way", [{}, {"compression": "gzip"}], ids=str)
def test_combine_keeps_the_attributes_of_datasets(tmp_path: Path, source: Any, way: dict[str, Any]) -> None:
    fill(source)
    source.file.flush()
    address = f"{tmp_path}/source.h5::/x"
    table = source.file.create_dataset("t", data=np.zeros(2, [("a", "i4"), ("b", "f4")]))
    table.attrs["unit"] = "mm"
    source.file.flush()
    arrays = {
        "dataset": source,
        "address": address,
        "array": oc.open(address),
        "table": f"{tmp_path}/source.h5::/t",
        "field": oc.open(f"{tmp_path}/source.h5::/t")["a"],
        "values": source[...],
    }
    oc.combine(arrays, tmp_path / "all.h5", attrs={"address": {"number": "four", "new": [1.5]}}, **way)
    expected = raw(source)
    with h5py.File(tmp_path / "all.h5") as found:
        same(raw(found["dataset"]), expected)
        same(raw(found["array"]), expected)
        assert set(found["address"].attrs) == {*expected, "new"}
        assert found["address"].attrs["number"] == "four"
        assert found["address"].attrs["new"].tolist() == [1.5]
        assert dict(found["table"].attrs) == {"unit": "mm"}
        assert not found["field"].attrs
        assert not found["values"].attrs


def test_references_and_dimension_scales_are_left_out(tmp_path: Path, source: Any) -> None:
    file = source.file
    file["time"] = np.arange(3.0)
    file["time"].make_scale("seconds")
    file["time"].attrs["unit"] = "s"
    source.dims[0].attach_scale(file["time"])
    source.dims[0].label = "t"
    source.attrs["to"] = file["time"].ref
    source.attrs["region"] = source.regionref[:2]
    source.attrs["CLASS"] = "IMAGE"  # only that of a dimension scale is HDF5's own
    file.flush()
    arrays = {name: f"{tmp_path}/source.h5::/{name}" for name in ("x", "time")}
    oc.combine(arrays, tmp_path / "all.h5")
    with h5py.File(tmp_path / "all.h5") as found:
        assert set(found["x"].attrs) == {"DIMENSION_LABELS", "CLASS"}
        assert set(found["time"].attrs) == {"unit"}
        assert not h5py.h5ds.is_scale(found["time"].id)


@pytest.mark.parametrize("way", [{}, {"compression": "gzip"}], ids=str)
def test_large_attributes_are_kept(tmp_path: Path, source: Any, way: dict[str, Any]) -> None:
    large = np.arange(100_000.0)
    source.attrs["large"] = large
    source.file.flush()
    attrs = {"/": {"large": large}, "values": {"large": large}}
    oc.combine({"x": source, "values": np.ones(3)}, tmp_path / "all.h5", attrs=attrs, **way)
    with h5py.File(tmp_path / "all.h5") as found:
        for thing in (found, found["x"], found["values"]):
            assert np.array_equal(thing.attrs["large"], large)
        assert found["values"][...].tolist() == [1, 1, 1]
    with oc.open(f"{tmp_path}/all.h5::/x") as array:
        assert array[:].tolist() == [0, 1, 2]


def test_a_large_attribute_for_a_group_that_cannot_take_it(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "all.h5", "w") as file:
        file.create_group("g")
    attrs = {"/": {"large": np.ones(100_000)}}
    with pytest.raises(oc.errors.OptionError, match=r"/g was made in the older format(.|\n)*a dataset"):
        oc.combine({"x": [1]}, f"{tmp_path}/all.h5::/g", attrs=attrs)
    with h5py.File(tmp_path / "all.h5") as found:
        assert list(found["g"]) == []


def test_an_attribute_that_numpy_cannot_hold_is_an_error_that_names_it(tmp_path: Path, source: Any) -> None:
    ragged = h5py.h5t.vlen_create(h5py.h5t.UNIX_D32LE)
    h5py.h5a.create(source.id, b"when", ragged, h5py.h5s.create(h5py.h5s.SCALAR))
    with Attributes() as attributes, pytest.raises(oc.errors.DTypeError, match=r"'when' of .*source\.h5::/x"):
        attributes.keep("/x", source)


def test_what_users_give_is_checked_when_it_is_given(source: Any) -> None:
    with Attributes() as attributes:
        for value in ({}, None, object(), np.array(["text"]), np.array([None]), source.ref):
            with pytest.raises(oc.errors.DTypeError, match=r"attrs\['x'\]\['bad'\] = "):
                attributes.add("/x", {"good": 1, "bad": value}, "attrs['x']")


def test_many_at_once_do_not_meet() -> None:
    with Attributes() as first, Attributes() as second:
        first.add("/x", {"a": 1}, "")
        assert second.names() == []
        second.add("/", {"b": 1}, "")
        assert (first.names(), second.names()) == (["/x"], ["/"])
