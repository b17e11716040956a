from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import outcore as oc
from outcore.array import writing
from outcore.testing import assert_same, example
from tests.strategies import STRUCTURED, arrays, keys

KINDS = ["npy", "raw", "private"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("writing")


def opened(array: np.ndarray, kind: str, folder: Path) -> oc.Array:
    if kind == "npy":
        np.save(folder / "x.npy", array)
        return oc.open(folder / "x.npy", mode="r+")
    (folder / "x.bin").write_bytes(array.tobytes())
    mode = "c" if kind == "private" else "r+"
    return oc.open(folder / "x.bin", mode, dtype=array.dtype, shape=array.shape)


# ---- assignment equals NumPy ----------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=80)
@given(data=st.data(), array=arrays(min_dims=1))
def test_assignment_equals_numpy(folder: Path, kind: str, data: st.DataObject, array: np.ndarray) -> None:
    key = data.draw(keys(array.shape))
    selected = array[key]
    value = np.roll(example(selected.shape, array.dtype).reshape(-1), 1).reshape(selected.shape)
    if (selected.ndim and selected.shape[0] == 1) or (data.draw(st.booleans()) and selected.ndim):
        value = value[:1]  # to be broadcast
    expected = array.copy()
    expected[key] = value
    with pytest.MonkeyPatch.context() as patch, opened(array, kind, folder) as target:
        patch.setattr(writing, "BLOCK_BYTES", data.draw(st.sampled_from([1, 50, 1 << 24])))
        patch.setattr(writing, "PART_ROWS", data.draw(st.sampled_from([1, 3, 1 << 16])))
        target[key] = value
        assert_same(target[:], expected)


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data(), array=arrays(STRUCTURED, min_dims=1, max_dims=2))
def test_assignment_to_fields_equals_numpy(
    folder: Path, kind: str, data: st.DataObject, array: np.ndarray
) -> None:
    expected = array.copy()
    with opened(array, kind, folder) as target:
        for name in array.dtype.names or ():
            key = data.draw(keys(array[name].shape))
            expected[name][key] = np.zeros((), array[name].dtype)
            target[name][key] = np.zeros((), array[name].dtype)
        first = (array.dtype.names or ())[0]
        expected[first] = 1
        target[first] = 1
        assert_same(target[:], expected)


@pytest.mark.parametrize(
    ("dtype", "key", "value"),
    [
        ("i4", slice(None), 3.7),
        ("f4", slice(2, 5), [[1], [2], [3]]),
        ("f4", 0, [1, 2, 3]),
        ("S3", slice(None), b"abcdef"),
        ("U2", 1, "xyz"),
        ("M8[D]", slice(0, 2), "2024-02-29"),
        ("M8[s]", (3, 1), np.datetime64("2020-01-01")),
        ("?", slice(None), [0, 2, 0]),
        (">i2", [4, 0], np.ones((2, 3), "u8")),
        ("f8", slice(1, 3), np.ones((1, 1, 2, 3))),
        ([("a", "i4"), ("b", "f8")], 2, (7, 0.5)),
        ([("a", "i4"), ("b", "f8")], slice(0, 2), [[(1, 2.0), (3, 4.0), (5, 6.0)]]),
        ([("a", "i4"), ("b", "f8")], slice(None), 9),
        ([("a", "i4"), ("b", "f8")], (1, 1), np.array((5, 6), [("x", "i1"), ("y", "i1")])),
    ],
    ids=str,
)
def test_values_are_cast_and_broadcast_as_numpy_does(
    tmp_path: Path, dtype: Any, key: Any, value: Any
) -> None:
    array = example((5, 3), dtype)
    target = opened(array, "npy", tmp_path)
    array[key] = value
    target[key] = value
    assert_same(target[:], array)
    assert_same(np.load(tmp_path / "x.npy"), array)


def test_an_array_without_dimensions(tmp_path: Path) -> None:
    target = opened(np.array(1.5), "npy", tmp_path)
    target[()] = 2
    target[...] = target[()] + 1
    assert np.load(tmp_path / "x.npy") == 3


def test_rows_of_one_array_are_assigned_to_another(tmp_path: Path) -> None:
    array = example((50, 3), "f8")
    np.save(tmp_path / "source.npy", array)
    target = opened(np.zeros((50, 3)), "npy", tmp_path)
    target[:] = oc.open(tmp_path / "source.npy")
    assert_same(target[:], array)


def test_repeated_rows_keep_the_last_value(tmp_path: Path) -> None:
    target = opened(np.zeros(5), "npy", tmp_path)
    target[[3, 3, 1]] = [1, 2, 3]
    assert target[:].tolist() == [0, 3, 0, 2, 0]


def test_many_scattered_rows_are_written_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "PART_ROWS", 100)
    array = example((2000, 2), "i4")
    target = opened(array, "npy", tmp_path)
    rows = np.random.default_rng(0).permutation(2000)[:1500]
    array[rows] = -array[rows]
    target[rows] = -target[rows]
    array[::-3] = 77
    target[::-3] = 77
    assert_same(target[:], array)


# ---- bad values change nothing --------------------------------------------------------------------


@pytest.mark.parametrize("value", [np.ones((4, 3)), np.ones((5, 2)), np.ones((2, 5, 3)), [1, 2]], ids=str)
def test_a_value_that_does_not_broadcast_changes_nothing(tmp_path: Path, value: Any) -> None:
    array = example((5, 3), "f8")
    target = opened(array, "npy", tmp_path)
    with pytest.raises(oc.errors.ShapeError, match=r"does not fit(?s:.*)nothing was written"):
        target[:] = value
    assert_same(target[:], array)


@pytest.mark.parametrize("key", [0, slice(None), [1], (0, 0)], ids=str)
def test_an_array_opened_to_read_refuses_and_says_how_to_open_it(tmp_path: Path, key: Any) -> None:
    np.save(tmp_path / "x.npy", np.zeros((5, 3)))
    target = oc.open(tmp_path / "x.npy")
    with pytest.raises(oc.errors.ReadOnlyError, match=r'mode="r"; nothing was written(?s:.*)mode="r\+"'):
        target[key] = 1
    with pytest.raises(oc.errors.ReadOnlyError):
        target.append(np.zeros((1, 3)))
    assert not np.load(tmp_path / "x.npy").any()


def test_an_opened_array_cannot_grow(tmp_path: Path) -> None:
    target = opened(np.zeros((5, 3)), "npy", tmp_path)
    with pytest.raises(oc.errors.ReadOnlyError, match=r"fixed number of rows \(5\)(?s:.*)oc\.create"):
        target.append(np.zeros((1, 3)))


# ---- at the same time -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["x.npy", "x.bin"])
def test_threads_write_disjoint_rows_of_one_created_file(tmp_path: Path, name: str) -> None:
    array = example((8000, 11), "f8")
    with oc.create(tmp_path / name, array.shape) as target:

        def write(part: int) -> None:
            for low in range(part, 8000, 4 * 50):
                rows = slice(low, None, 4)
                target[rows][:1]
                target[low : low + 1] = array[low : low + 1]
            target[part::4] = array[part::4]

        threads = [threading.Thread(target=write, args=(part,)) for part in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert_same(target[:], array)


def test_readers_see_rows_that_another_handle_writes_in_place(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros((1000, 3)))
    reader = oc.open(tmp_path / "x.npy")
    reader[:]
    with oc.open(tmp_path / "x.npy", mode="r+") as writer:
        writer[500:] = 1
        assert reader[499:501].tolist() == [[0] * 3, [1] * 3]
        assert reader.take(np.arange(1000)).sum() == 1500
    assert oc.open(tmp_path / "x.npy")[:].sum() == 1500


def test_flush_waits_for_the_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    monkeypatch.setattr("os.fsync", synced.append)
    target = opened(np.zeros(3), "npy", tmp_path)
    target[0] = 1
    target.flush()
    assert len(synced) == 1


def test_only_rows_that_change_in_part_are_read_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = opened(np.zeros((100, 3)), "npy", tmp_path)
    reads: list[int] = []
    storage = target._storage
    read = storage.read_windows
    monkeypatch.setattr(
        storage, "read_windows", lambda s, n, out: (reads.append(len(s) * n), read(s, n, out))
    )
    target[10:20] = 1
    target[:] = np.ones((100, 3))
    assert reads == []
    target[10:20, 1] = 1
    assert sum(reads) == 10
