from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
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
from outcore.testing import assert_same
from tests.strategies import arrays

WAYS = ["hot", "cold", "portable", "few", "fortran", "memory"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("reading")


def stored(array: np.ndarray, way: str, folder: Path, patch: pytest.MonkeyPatch) -> oc.Array:
    """Store `array` so that it is read in the given way."""
    if way == "memory":
        return oc.asarray(array)
    if way != "few":
        patch.setattr(gather, "FEW", 0)
        patch.setattr(gather, "_is_hot", lambda *given: way == "hot")
    if way == "portable":
        patch.setattr(storage_file, "FILE_CLASS", storage_file.PortableFile)
    order = "F" if way == "fortran" else "C"
    (folder / "x.bin").write_bytes(array.tobytes(order))
    return oc.open(folder / "x.bin", dtype=array.dtype, shape=array.shape, order=order)


def gaps(draw: st.DrawFn, shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray:
    """An array to be filled, of any strides."""
    axis = draw(st.integers(0, len(shape) - 1))
    wide = np.zeros((*shape[:axis], 2 * shape[axis] + 1, *shape[axis + 1 :]), dtype)
    return wide[(*[slice(None)] * axis, slice(1, None, 2))]


@st.composite
def outs(draw: st.DrawFn, shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray | None:
    """Nothing, an array in one piece, one with gaps, or one in Fortran order."""
    kind = draw(st.sampled_from(["none", "whole", "gaps", "fortran", "backwards"]))
    if kind == "none":
        return None
    if kind == "gaps":
        return gaps(draw, shape, dtype)
    out = np.zeros(shape, dtype, "F" if kind == "fortran" else "C")
    return out[::-1] if kind == "backwards" else out


# ---- take and windows equal NumPy -----------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
@settings(max_examples=60)
@given(data=st.data(), array=arrays(min_dims=1, max_side=30, max_dims=3))
def test_take_equals_numpy(folder: Path, way: str, data: st.DataObject, array: np.ndarray) -> None:
    n = len(array)
    rows = data.draw(st.lists(st.integers(-n, n - 1), max_size=60) if n else st.just([]))
    index = np.array(rows, np.int64)
    out = data.draw(outs((len(rows), *array.shape[1:]), array.dtype))
    with pytest.MonkeyPatch.context() as patch, stored(array, way, folder, patch) as opened:
        found = opened.take(rows if data.draw(st.booleans()) else index, out)
        assert_same(found, array[index])
        assert out is None or found is out


@pytest.mark.parametrize("way", WAYS)
@settings(max_examples=60)
@given(data=st.data(), array=arrays(min_dims=1, max_side=30, max_dims=3))
def test_windows_equal_numpy(folder: Path, way: str, data: st.DataObject, array: np.ndarray) -> None:
    length = data.draw(st.integers(1, max(len(array), 1)))
    last = len(array) - length
    starts = data.draw(st.lists(st.integers(0, last), max_size=40) if last >= 0 else st.just([]))
    expected = np.empty((len(starts), length, *array.shape[1:]), array.dtype)
    for i, start in enumerate(starts):
        expected[i] = array[start : start + length]
    out = data.draw(outs(expected.shape, array.dtype))
    with pytest.MonkeyPatch.context() as patch, stored(array, way, folder, patch) as opened:
        patch.setattr(reading, "BLOCK_BYTES", data.draw(st.sampled_from([1, 100, 1 << 24])))
        with oc.options(memory="1GB"):
            found = opened.windows(starts, length, out)
        assert_same(found, expected)
        assert out is None or found is out


@pytest.mark.parametrize("way", WAYS)
@given(data=st.data(), array=arrays(min_dims=1, max_side=12))
def test_masks_equal_numpy(folder: Path, way: str, data: st.DataObject, array: np.ndarray) -> None:
    mask = np.array(data.draw(st.lists(st.booleans(), min_size=len(array), max_size=len(array))), bool)
    with pytest.MonkeyPatch.context() as patch, stored(array, way, folder, patch) as opened:
        assert_same(opened.take(mask), array[mask])


@pytest.mark.parametrize("way", WAYS)
def test_larger_than_every_buffer(tmp_path: Path, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    array = np.random.default_rng(0).integers(0, 1 << 40, (6000, 300))  # 14 MB
    with stored(array, way, tmp_path, monkeypatch) as opened:
        np.testing.assert_array_equal(
            opened.windows([0, 1, 3000], 3000), np.stack([array[s : s + 3000] for s in (0, 1, 3000)])
        )
        rows = np.random.default_rng(1).permutation(6000)
        np.testing.assert_array_equal(opened.take(rows), array[rows])
        np.testing.assert_array_equal(opened[:, 7:200:3], array[:, 7:200:3])
        np.testing.assert_array_equal(np.asarray(opened, "f4"), array.astype("f4"))


def test_out_may_be_a_memory_map(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.arange(20.0).reshape(10, 2))
    out = np.lib.format.open_memmap(tmp_path / "y.npy", "w+", "f8", (3, 2))
    oc.open(tmp_path / "x.npy").take([9, 0, 5], out)
    out.flush()
    assert np.load(tmp_path / "y.npy").tolist() == [[18, 19], [0, 1], [10, 11]]


def test_results_are_owned_writable_and_plain(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.arange(20.0).reshape(10, 2))
    opened = oc.open(tmp_path / "x.npy")
    for result in (opened[2:5], opened.take([1]), opened.windows([1], 2), np.asarray(opened), opened[[1], 0]):
        assert type(result) is np.ndarray
        assert result.flags.writeable
        result[...] = -1
    assert opened[:].tolist() == np.arange(20.0).reshape(10, 2).tolist()


# ---- bad arguments change nothing -----------------------------------------------------------------


@pytest.fixture
def small(tmp_path: Path) -> Iterator[oc.Array]:
    np.save(tmp_path / "x.npy", np.arange(20.0).reshape(10, 2))
    with oc.open(tmp_path / "x.npy") as opened:
        yield opened


def read_only(shape: tuple[int, ...]) -> np.ndarray:
    out = np.zeros(shape)
    out.flags.writeable = False
    return out


@pytest.mark.parametrize(
    ("out", "text"),
    [
        (np.zeros((2, 3)), r"shape \(2, 3\) .*expected an ndarray of shape \(2, 2\) and dtype float64"),
        (np.zeros((2, 2, 1)), r"shape \(2, 2, 1\)"),
        (np.zeros((2, 2), "f4"), "dtype float32"),
        (np.zeros((2, 2), ">f8"), "dtype >f8"),
        ([[0.0, 0.0], [0.0, 0.0]], "out is a list"),
        (read_only((2, 2)), "out is read-only"),
    ],
    ids=["rows", "axes", "type", "byte order", "list", "read-only"],
)
def test_an_out_that_does_not_fit_is_refused_and_untouched(small: oc.Array, out: Any, text: str) -> None:
    with pytest.raises(oc.errors.ShapeError, match=text):
        small.take([0, 9], out)
    assert not np.any(out)
    if isinstance(out, np.ndarray) and out.shape == (2, 2):
        with pytest.raises(oc.errors.ShapeError, match=text.replace(r"\(2, 2\)", r"\(1, 2, 2\)")):
            small.windows([3], 2, out.reshape(1, 2, 2))
        assert not out.any()


def test_the_first_bad_window_is_named_and_out_is_untouched(small: oc.Array) -> None:
    out = np.full((4, 3, 2), 5.0)
    with pytest.raises(
        oc.errors.RowIndexError, match=r"window 2 starts at row 8 and has 3 rows; there are 10"
    ):
        small.windows([0, 7, 8, -1], 3, out)
    with pytest.raises(oc.errors.RowIndexError, match=r"window 1 starts at row -1"):
        small.windows([0, -1, 8, 1], 3, out)
    assert (out == 5).all()


def test_a_row_outside_is_named_and_out_is_untouched(small: oc.Array) -> None:
    out = np.full((3, 2), 5.0)
    with pytest.raises(oc.errors.RowIndexError, match="row 10 is out of bounds; the array has 10 rows"):
        small.take([0, 10, 11], out)
    assert (out == 5).all()


@pytest.mark.parametrize("length", [0, -3, 2.5, True])
def test_a_window_length_that_is_none(small: oc.Array, length: Any) -> None:
    with pytest.raises(oc.errors.ShapeError, match=f"window length is {length}"):
        small.windows([0], length)


def test_a_window_longer_than_the_array(small: oc.Array) -> None:
    with pytest.raises(oc.errors.RowIndexError, match="length of at most 10"):
        small.windows([0], 11)


# ---- np.asarray -----------------------------------------------------------------------------------


def test_asarray_converts_and_copies_as_it_is_told(small: oc.Array) -> None:
    whole = np.arange(20.0).reshape(10, 2)
    assert_same(np.asarray(small), whole)
    assert_same(np.asarray(small, dtype="i4"), whole.astype("i4"))
    assert_same(np.array(small, copy=True), whole)
    with pytest.raises(ValueError, match="without reading it"):
        np.array(small, copy=False)
    assert np.mean(small) == whole.mean()  # NumPy's functions take it


def test_asarray_of_an_array_in_memory_is_that_array_unless_told() -> None:
    rows = np.arange(5)
    array = oc.asarray(rows)
    assert np.array(array, copy=False) is rows
    assert np.array(array, copy=True) is not rows
    assert_same(np.asarray(array, "f4"), rows.astype("f4"))


# ---- what is needed is what was said --------------------------------------------------------------

MEASURE = """if True:
    import os, re, threading, time
    import numpy as np
    import outcore as oc
    from outcore.storage import gather

    def anonymous():
        with open("/proc/self/status") as status:
            return int(re.search(r"RssAnon:\\s+(\\d+)", status.read())[1]) * 1024

    def within(memory, read):
        with oc.options(memory=memory):
            return read()

    random = np.random.default_rng(0)
    c, f, s = oc.open("c.npy"), oc.open("f.npy"), oc.open("s.npy")
    tiny = oc.open("c.bin", dtype="u1", shape=(-1, 10))
    starts = random.integers(0, len(c) - 64, 200)
    rows = random.integers(0, len(c), 10_000)
    many = random.integers(0, len(tiny), 500_000)
    gaps = np.zeros((10_000, 402))[:, 1:-1]
    gaps[:] = 0
    operations = {
        "windows": lambda: c.windows(starts, 64),
        "take": lambda: c.take(rows),
        "take of tiny rows": lambda: tiny.take(many),
        "windows in fortran order": lambda: f.windows(starts, 64),
        "columns": lambda: c[:, 3:40],
        "column of tiny rows": lambda: tiny[:, 3],
        "field": lambda: s["b"].take(rows),
        "into gaps": lambda: c.take(rows, gaps),
    }

    def measure(read):
        try:
            within(1, read)
        except oc.errors.MemoryBudgetError as error:
            budget = re.search(r'memory="(\\d+)MB"', str(error))[1]
        before = peak = anonymous()
        ended = threading.Event()

        def sample():
            nonlocal peak
            while not ended.is_set():
                peak = max(peak, anonymous())
                time.sleep(0.0005)

        sampler = threading.Thread(target=sample)
        sampler.start()
        result = within(budget + "MB", read)
        peak = max(peak, anonymous())
        ended.set()
        sampler.join()
        return int(budget) * 10**6, peak - before

    for temperature in "hot", "cold":
        gather._is_hot = lambda *given: temperature == "hot"
        for name, read in operations.items():
            child = os.fork()  # so that memory which one leaves to the allocator does not serve the next
            if child == 0:
                print(f"{name}, {temperature}", *measure(read), sep=":", flush=True)
                os._exit(0)
            os.waitpid(child, 0)
"""
#: Stacks and buffers of Python and of its threads.
SLACK_BYTES = 4 << 20
OPERATIONS = [
    "windows",
    "take",
    "take of tiny rows",
    "windows in fortran order",
    "columns",
    "column of tiny rows",
    "field",
    "into gaps",
]


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[int, int]]:
    """What was checked and what was used, in bytes, for each operation."""
    if not Path("/proc/self/status").exists():
        pytest.skip("needs /proc")
    folder = tmp_path_factory.mktemp("measured")
    rows = np.random.default_rng(0).random((10_000, 400))  # 32 MB
    np.save(folder / "c.npy", rows)
    np.save(folder / "f.npy", np.asfortranarray(rows))
    np.save(folder / "s.npy", rows.view([("a", "f8", 200), ("b", "f8", 200)])[:, 0])
    rows.tofile(folder / "c.bin")
    run = subprocess.run(
        [sys.executable, "-c", MEASURE], cwd=folder, capture_output=True, text=True, timeout=100
    )
    assert run.returncode == 0, run.stderr
    lines = [line.split(":") for line in run.stdout.splitlines()]
    return {name: (int(projected), int(peak)) for name, projected, peak in lines}


@pytest.mark.parametrize("temperature", ["hot", "cold"])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_the_peak_is_not_above_what_was_checked(
    measured: dict[str, tuple[int, int]], temperature: str, operation: str
) -> None:
    projected, peak = measured[f"{operation}, {temperature}"]
    assert peak <= projected + SLACK_BYTES
    assert peak > 1 << 20  # something was measured at all
