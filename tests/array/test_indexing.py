from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import outcore as oc
from outcore.array import reading
from outcore.storage import file as storage_file
from outcore.storage import gather
from outcore.testing import assert_same, example
from tests.strategies import STRUCTURED, arrays, keys

SOURCES = ["npy", "fortran", "raw", "portable", "memory", "private"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("indexing")


def stored(array: np.ndarray, source: str, folder: Path) -> oc.Array:
    if source == "memory":
        return oc.asarray(array)
    path = folder / f"{source}.bin"
    path.write_bytes(b"0123456" + array.tobytes("F" if source == "fortran" else "C"))
    mode, order = "c" if source == "private" else "r", "F" if source == "fortran" else "C"
    if source == "npy":
        path = folder / "x.npy"
        np.save(path, array)
        return oc.open(path)
    return oc.open(path, mode, dtype=array.dtype, shape=array.shape, offset=7, order=order)


# ---- what is supported equals NumPy ---------------------------------------------------------------


@pytest.mark.parametrize("source", SOURCES)
@settings(max_examples=80)
@given(data=st.data(), array=arrays(min_dims=1))
def test_indexing_equals_numpy(folder: Path, source: str, data: st.DataObject, array: np.ndarray) -> None:
    key = data.draw(keys(array.shape))
    with pytest.MonkeyPatch.context() as patch:
        if source == "portable":
            patch.setattr(storage_file, "FILE_CLASS", storage_file.PortableFile)
        with stored(array, source, folder) as opened:
            assert_same(opened[key], array[key])


@settings(max_examples=80)
@given(data=st.data(), array=arrays(min_dims=1))
def test_indexing_by_tiny_blocks_and_cold_equals_numpy(
    folder: Path, data: st.DataObject, array: np.ndarray
) -> None:
    key = data.draw(keys(array.shape))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "BLOCK_BYTES", data.draw(st.sampled_from([1, 40, 300])))
        patch.setattr(gather, "FEW", 0)
        patch.setattr(gather, "_is_hot", lambda *given: False)
        with oc.options(memory="1GB"), stored(array, "raw", folder) as opened:
            assert_same(opened[key], array[key])


@pytest.mark.parametrize("source", SOURCES)
@given(array=arrays(max_dims=0))
def test_arrays_without_dimensions(folder: Path, source: str, array: np.ndarray) -> None:
    with stored(array, source, folder) as opened:
        assert_same(opened[()], array[()])
        assert_same(opened[...], array)
        assert_same(opened[...,], array)
        assert_same(np.asarray(opened), array)


@given(array=arrays())
def test_the_whole_array_and_its_facts(folder: Path, array: np.ndarray) -> None:
    with stored(array, "npy", folder) as opened:
        assert_same(np.asarray(opened), array)
        facts = ("shape", "dtype", "ndim", "size", "nbytes")
        assert [getattr(opened, fact) for fact in facts] == [getattr(array, fact) for fact in facts]
        if array.ndim:
            assert len(opened) == len(array)


def test_an_ellipsis_gives_an_array_and_full_indices_give_a_scalar(tmp_path: Path) -> None:
    opened, array = stored(example((3, 2), "f4"), "npy", tmp_path), example((3, 2), "f4")
    assert type(opened[1, 1]) is type(array[1, 1]) is np.float32
    assert type(opened[1, 1, ...]) is type(array[1, 1, ...]) is np.ndarray


@pytest.mark.parametrize(
    "key",
    [
        np.int8(-1), np.array(2), range(3), range(4, -1, -2), [True, False, True, False, True],
        np.ma.array([1, 2]),
        ([1, 2], 1), ([[1], [2]], slice(None), -1), (Ellipsis, 0), (slice(None), Ellipsis, 0), [[], []],
        (), slice(3, 1), slice(-100, 100), slice(None, None, -3), np.array([], "i4"), np.array([], "u8"),
    ],
    ids=repr,
)  # fmt: skip
def test_ways_to_say_which_rows(tmp_path: Path, key: Any) -> None:
    array = example((5, 3, 4), "i4")
    assert_same(stored(array, "npy", tmp_path)[key], array[key])


def test_an_array_of_ours_is_an_index(tmp_path: Path) -> None:
    array, rows = example((50, 3), "i4"), np.array([3, 1, 49])
    assert_same(stored(array, "npy", tmp_path)[oc.asarray(rows)], array[rows])


# ---- iteration ------------------------------------------------------------------------------------


@pytest.mark.parametrize("block", [1, 100, 1 << 20])
@given(array=arrays(min_dims=1))
def test_iteration_equals_numpy(folder: Path, block: int, array: np.ndarray) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("outcore.array.handle.BLOCK_BYTES", block)
        with stored(array, "npy", folder) as opened:
            rows = list(opened)
    assert len(rows) == len(array)
    for row, expected in zip(rows, array, strict=True):
        assert_same(row, expected)


def test_an_array_without_dimensions_has_no_rows_to_iterate_or_count(tmp_path: Path) -> None:
    opened = stored(example((), "f4"), "npy", tmp_path)
    with pytest.raises(oc.errors.SelectionError):
        list(opened)
    with pytest.raises(oc.errors.SelectionError, match=r"X\[\(\)\]"):
        len(opened)


# ---- fields ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", ["npy", "fortran", "memory"])
@given(data=st.data(), array=arrays(STRUCTURED, min_dims=1, max_dims=2))
def test_fields_equal_numpy(folder: Path, source: str, data: st.DataObject, array: np.ndarray) -> None:
    names = list(array.dtype.names or ())
    some = data.draw(st.lists(st.sampled_from(names), min_size=1, unique=True))
    with stored(array, source, folder) as opened:
        for field in (*names, some):
            part, expected = opened[field], array[field]
            assert isinstance(part, oc.Array)
            assert (part.shape, part.dtype, part.nbytes) == (expected.shape, expected.dtype, expected.nbytes)
            key = data.draw(keys(expected.shape))
            assert_same(part[key], expected[key])
            assert_same(np.asarray(part), np.asarray(expected))


def test_nested_and_multiple_fields(tmp_path: Path) -> None:
    array = example((9, 2), STRUCTURED[1])
    opened = stored(array, "npy", tmp_path)
    assert_same(opened["pos"]["y"][2:5], array["pos"]["y"][2:5])
    assert_same(opened[["id", "pos"]]["pos"]["x"][:, 1], array["pos"]["x"][:, 1])
    assert_same(opened["m"][3, 1, 0], array["m"][3, 1, 0])
    assert_same(opened["m"].take([8, 0]), array["m"][[8, 0]])
    assert_same(opened["pos"].windows([3, 1], 2), array["pos"][[[3, 4], [1, 2]]])
    assert "['pos']['y']" in repr(opened["pos"]["y"])


@pytest.mark.parametrize("name", ["z", ["a", "z"], ["z"]])
def test_a_missing_field_lists_those_there(tmp_path: Path, name: Any) -> None:
    opened = stored(example((3,), STRUCTURED[0]), "npy", tmp_path)
    with pytest.raises(oc.errors.FieldError, match=r"no field 'z'(?s:.*)The fields are: a, b"):
        opened[name]
    with pytest.raises(oc.errors.FieldError, match="not a structured array"):
        oc.asarray(np.arange(3))["a"]


def test_selecting_a_field_reads_nothing_and_opens_nothing(tmp_path: Path) -> None:
    opened = stored(example((3,), STRUCTURED[0]), "npy", tmp_path)
    (tmp_path / "x.npy").unlink()
    part = opened["a"]
    assert part.shape == (3,)
    with pytest.raises(oc.errors.NotFoundError):
        part[:]


def test_closing_a_field_leaves_the_array_open_and_closing_the_array_closes_the_field(tmp_path: Path) -> None:
    opened = stored(example((3,), STRUCTURED[0]), "npy", tmp_path)
    with opened["a"] as part:
        part[0]
    with pytest.raises(oc.errors.ClosedError):
        part[0]
    assert opened[1]["a"] == 1
    other = opened["b"]
    opened.close()
    with pytest.raises(oc.errors.ClosedError):
        other[0]


# ---- what is not supported says so ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "text"),
    [
        (None, "np.newaxis is not supported"),
        ((slice(None), None), "np.newaxis is not supported"),
        ((Ellipsis, Ellipsis), "only one ellipsis"),
        (1.5, "1.5"),
        (np.float64(1), "Use an integer"),
        (np.array(1.0), "Use an integer"),
        (True, "single True or False"),
        (np.array(True), "boolean index has 0 dimensions"),
        ([0.5, 1], "Use an integer"),
        ("0", "no field"),
        (("a", 0), "Use an integer"),
        (b"a", "Use an integer"),
        (object(), "Use an integer"),
        ([0, slice(2)], "Use an integer"),
        ([[0], [1, 2]], "no array"),
        (np.ones((5, 3), bool), "boolean index has 2 dimensions"),
        ((0, [1]), r"only on the first axis(?s:.*)X\[rows\]"),
        ((slice(None), np.array([1, 2])), "only on the first axis"),
        ((slice(None), 1.0), "axis 1"),
        (slice("a", "b"), "not a slice of integers"),
        (slice(None, None, 0), "axis 0"),
        ((0, slice(1.5, None)), "axis 1"),
    ],
    ids=repr,
)
def test_unsupported_indices_say_so(tmp_path: Path, key: Any, text: str) -> None:
    opened = stored(example((5, 3), "f4"), "npy", tmp_path)
    error = oc.errors.FieldError if isinstance(key, str) else oc.errors.SelectionError
    with pytest.raises(error, match=text):
        opened[key]
    writable = oc.open(tmp_path / "x.npy", mode="r+")
    with pytest.raises(error, match=text):
        writable[key] = 0


@pytest.mark.parametrize(
    ("key", "text"),
    [
        (5, "index 5 is out of bounds for axis 0 with size 5"),
        (-6, "index -6 is out of bounds"),
        ((0, 3), "index 3 is out of bounds for axis 1 with size 3"),
        ([0, 7, 9], "row 7 is out of bounds; the array has 5 rows"),
        ([0, -6], "row -6"),
        (np.ones(4, bool), "4 entries; the array has 5 rows"),
        ((0, 0, 0), r"3 indices were given; the array has 2 dimensions \(5, 3\)"),
        (10**30, "out of bounds"),
    ],
    ids=repr,
)
def test_indices_out_of_bounds_name_the_index_and_the_size(tmp_path: Path, key: Any, text: str) -> None:
    opened = stored(example((5, 3), "f4"), "npy", tmp_path)
    with pytest.raises(oc.errors.OutcoreError, match=text) as caught:
        opened[key]
    assert isinstance(caught.value, IndexError)


@pytest.mark.parametrize("key", [0, slice(None), [0], np.array([True]), (Ellipsis, 0), None, "a"], ids=repr)
def test_an_array_without_dimensions_has_one_index(tmp_path: Path, key: Any) -> None:
    np.save(tmp_path / "x.npy", np.float64(3))
    opened = oc.open(tmp_path / "x.npy", mode="r+")
    with pytest.raises((oc.errors.SelectionError, oc.errors.FieldError)):
        opened[key]
    with pytest.raises((oc.errors.SelectionError, oc.errors.FieldError)):
        opened[key] = 5
    for read in (lambda: opened.take([0]), lambda: opened.windows([0], 1)):
        with pytest.raises(oc.errors.SelectionError, match="no dimensions"):
            read()
    assert opened[()] == 3
