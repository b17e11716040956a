"""The tests that every storage must pass: subclass `StorageTests` in your own tests.

Hands to   : authors of formats; storage.protocol is their manual

Needs pytest, which nothing else in this package imports.

Examples
--------
>>> from outcore.testing import StorageTests
>>> class TestNpy(StorageTests):
...     def store(self, rows, folder, *, writable=False):
...         np.save(folder / "x.npy", rows)
...         return oc.open(folder / "x.npy", mode="r+" if writable else "r")
"""

# ruff: noqa: D102 - a test's name is its documentation

from __future__ import annotations

import os
import pickle
import threading
import tracemalloc
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray

from outcore.array.handle import Array
from outcore.errors import ClosedError, ReadOnlyError, RowIndexError

#: What a storage should hold, unless its format cannot; the last has a hole between its fields.
DTYPES = (
    "?", "i1", "<u2", ">i4", "u8", "f2", "<f4", ">f8", "c8", "S5", "<U3", "<M8[s]",
    [("a", "i4"), ("b", ">f8")],
    [("id", "u1"), ("pos", [("x", "f4"), ("y", ">f4")]), ("tag", "S3"), ("m", "i2", (2, 3))],
    {"names": ["a", "b"], "formats": ["i1", "f8"], "offsets": [0, 8], "itemsize": 16},
)  # fmt: skip

#: Bytes that Python itself may use beside the buffers that a storage announces.
SLACK_BYTES = 64 << 10

_SHAPES = ((), (0,), (1,), (37,), (0, 3), (5, 0), (17, 3), (6, 1, 4), (4, 3, 2, 5))


def example(shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
    """Make an array of any type whose values differ from their neighbours and mean nothing special."""
    rows = np.zeros(shape, dtype)
    if rows.dtype.names:
        for name in rows.dtype.names:
            rows[name] = example(rows[name].shape, rows[name].dtype)
    elif rows.dtype.kind == "V":
        rows.reshape(-1).view(np.uint8)[:] = np.arange(rows.nbytes) % 251
    else:
        counted = np.arange(rows.size) % (2 if rows.dtype.kind == "b" else 100)
        text = rows.dtype.kind in "SU"
        rows[...] = (counted.astype("U3") if text else counted).astype(rows.dtype).reshape(rows.shape)
    return rows


def assert_same(actual: Any, expected: Any) -> None:
    """Fail unless both are the same in shape, dtype and bytes; holes between fields do not count."""
    assert isinstance(actual, np.ndarray) == isinstance(expected, np.ndarray), (type(actual), type(expected))
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert (actual.shape, actual.dtype) == (expected.shape, expected.dtype)
    if expected.dtype.names:
        for name in expected.dtype.names:
            assert_same(actual[name], expected[name])
    elif expected.dtype.char in "gG":
        assert np.array_equal(actual, expected)  # six bytes of each long double mean nothing
    else:
        assert actual.tobytes() == expected.tobytes()


class StorageTests(ABC):
    """What `outcore.storage.protocol.Storage` promises, as tests.

    Attributes
    ----------
    dtypes : sequence
        What the format can hold; leave out what it cannot.
    scalars : bool
        Whether it can hold arrays without dimensions.
    writable : bool
        Whether rows can be written in place.
    travels : bool
        Whether its arrays have an address that other processes can open.
    """

    dtypes: ClassVar[Any] = DTYPES
    scalars: ClassVar[bool] = True
    writable: ClassVar[bool] = False
    travels: ClassVar[bool] = True

    @abstractmethod
    def store(self, rows: NDArray[Any], folder: Path, *, writable: bool = False) -> Array:
        """Put `rows` into a place of its own below `folder`, and return the array that reads them."""

    # ---- what is in ---------------------------------------------------------------------------

    def test_every_dtype_comes_back(self, tmp_path: Path) -> None:
        for given in self.dtypes:
            rows = example((13, 3), given)
            with self.store(rows, _fresh(tmp_path)) as array:
                assert array.dtype == rows.dtype
                assert_same(array[:], rows)
                assert_same(array[3], rows[3])
                assert_same(array.take([12, 0, 12]), rows[[12, 0, 12]])

    @pytest.mark.parametrize("shape", _SHAPES, ids=str)
    def test_every_shape_comes_back(self, tmp_path: Path, shape: tuple[int, ...]) -> None:
        if not shape and not self.scalars:
            return
        rows = example(shape, self.dtypes[0])
        with self.store(rows, tmp_path) as array:
            assert (array.shape, array.ndim, array.size, array.nbytes) == (
                rows.shape,
                rows.ndim,
                rows.size,
                rows.nbytes,
            )
            assert_same(np.asarray(array), rows)

    def test_rows_are_described(self, tmp_path: Path) -> None:
        with self.store(_numbers(9, 2), tmp_path) as array:
            storage = array._storage
            assert storage.row_bytes == 2 * array.dtype.itemsize
            assert {"format", "reader", "address", "shape", "dtype", "mode"} <= set(array.info)
            view = storage.view()
            assert view is None or view.shape == array.shape

    # ---- reading ------------------------------------------------------------------------------

    @pytest.mark.parametrize("inner", [(), (3,), (70, 3)], ids=str)
    def test_windows_in_any_order_with_repeats_and_overlaps(
        self, tmp_path: Path, inner: tuple[int, ...]
    ) -> None:
        rows = _numbers(300, *inner)
        random = np.random.default_rng(0)
        with self.store(rows, tmp_path) as array:
            for length in (1, 2, 17, 300):
                starts = random.integers(0, 300 - length + 1, 40)
                starts[1] = starts[0]
                expected = np.stack([rows[s : s + length] for s in starts])
                assert_same(array.windows(starts, length), expected)
                out = np.empty((40, length + 1, *inner), array.dtype)[:, :-1]  # with gaps
                assert array.windows(starts, length, out) is out
                assert_same(out, expected)
            assert_same(array.windows([], 5), rows[:0].reshape(0, 5, *inner)[:0])

    def test_take_in_any_order_with_repeats(self, tmp_path: Path) -> None:
        rows = _numbers(1000, 5)
        wanted = np.random.default_rng(1).integers(-1000, 1000, 3000)
        with self.store(rows, tmp_path) as array:
            assert_same(array.take(wanted), rows[wanted])
            assert_same(array.take(rows[:, 0] > 1000), rows[rows[:, 0] > 1000])
            assert_same(array.take([]), rows[:0])

    def test_columns_alone_equal_columns_of_whole_rows(self, tmp_path: Path) -> None:
        rows = _numbers(50, 40, 3)
        with self.store(rows, tmp_path) as array:
            for columns in (0, -1, slice(2, 4), slice(None, None, -7), slice(5, 5), slice(0, 40)):
                assert_same(array[:, columns], rows[:, columns])
                assert_same(array[7, columns], rows[7, columns])
                assert_same(array[[3, 1], columns, 1], rows[[3, 1], columns, 1])

    def test_fields_equal_fields_of_whole_rows(self, tmp_path: Path) -> None:
        for given in self.dtypes:
            rows = example((23, 2), given)
            with self.store(rows, _fresh(tmp_path)) as array:
                for name in rows.dtype.names or ():
                    assert_same(array[name][3:9], rows[name][3:9])
                    assert_same(array[[name]][-1], rows[[name]][-1])

    def test_rows_outside_are_refused_and_out_is_untouched(self, tmp_path: Path) -> None:
        rows = _numbers(10, 2)
        with self.store(rows, tmp_path) as array:
            out = np.full((2, 3, 2), 7, array.dtype)
            with pytest.raises(RowIndexError, match="row 8"):
                array.windows([0, 8], 3, out)
            assert (out == 7).all()

    # ---- memory -------------------------------------------------------------------------------

    @pytest.mark.parametrize(
        ("n", "length", "width"), [(200_000, 1, 1), (50_000, 1, 4), (400, 50, 3), (1, 9000, 100)]
    )
    def test_memory_beside_out_stays_below_extra_bytes(
        self, tmp_path: Path, n: int, length: int, width: int
    ) -> None:
        rows = _numbers(9000, width)
        starts = np.random.default_rng(2).integers(0, 9000 - length + 1, n)
        with self.store(rows, tmp_path) as array:
            storage = array._storage
            out = np.empty((n, length, width), array.dtype)
            storage.read_windows(starts[:1], length, out[:1])  # what is made once is not counted
            tracemalloc.start()
            try:
                storage.read_windows(starts, length, out)
                peak = tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()
            assert peak <= storage.extra_bytes(n, length) + SLACK_BYTES
            assert_same(out[0], rows[starts[0] : starts[0] + length])

    # ---- threads and processes ----------------------------------------------------------------

    def test_threads_read_at_once(self, tmp_path: Path) -> None:
        rows = _numbers(4000, 50)
        wrong: list[int] = []
        with self.store(rows, tmp_path) as array:

            def read(seed: int) -> None:
                wanted = np.random.default_rng(seed).integers(0, 4000, 500)
                for _ in range(5):
                    if not np.array_equal(array.take(wanted), rows[wanted]):
                        wrong.append(seed)

            threads = [threading.Thread(target=read, args=(seed,)) for seed in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        assert wrong == []

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
    def test_a_forked_child_reads_while_the_parent_reads(self, tmp_path: Path) -> None:
        rows = _numbers(4000, 50)
        wanted = np.random.default_rng(3).integers(0, 4000, 2000)
        stop = threading.Event()
        with self.store(rows, tmp_path) as array:
            array.take(wanted)

            def read() -> None:
                while not stop.is_set():
                    array.take(wanted)

            readers = [threading.Thread(target=read) for _ in range(2)]
            for reader in readers:
                reader.start()
            try:
                children = [_fork(lambda: np.array_equal(array.take(wanted), rows[wanted])) for _ in range(3)]
                assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0] * 3
            finally:
                stop.set()
                for reader in readers:
                    reader.join()
            assert_same(array.take(wanted), rows[wanted])

    def test_a_pickle_is_an_address(self, tmp_path: Path) -> None:
        if not self.travels:
            return
        rows = _numbers(4000, 50)
        with self.store(rows, tmp_path) as array:
            sent = pickle.dumps(array)
            assert len(sent) < 1024
            with pickle.loads(sent) as copy:
                assert (copy.shape, copy.dtype, copy.address) == (array.shape, array.dtype, array.address)
                assert_same(copy[1::7], rows[1::7])

    # ---- life ---------------------------------------------------------------------------------

    def test_a_closed_array_says_so(self, tmp_path: Path) -> None:
        array = self.store(_numbers(5, 2), tmp_path)
        array[0]
        array.close()
        array.close()
        with pytest.raises(ClosedError):
            array[0]

    def test_an_array_opened_to_read_cannot_be_written(self, tmp_path: Path) -> None:
        with self.store(_numbers(5, 2), tmp_path) as array, pytest.raises(ReadOnlyError):
            array[0] = 1

    # ---- writing ------------------------------------------------------------------------------

    def test_rows_written_are_rows_read(self, tmp_path: Path) -> None:
        if not self.writable:
            return
        for given in self.dtypes:
            rows, other = example((30, 3), given), example((30, 3), given)[::-1]
            with self.store(rows, _fresh(tmp_path), writable=True) as array:
                for key in (4, slice(7, 19), [29, 0, 3], slice(None, None, -4), (slice(2, 20), 1)):
                    rows[key] = other[key]
                    array[key] = other[key]
                for name in rows.dtype.names or ():
                    rows[name][20:25] = other[name][20:25]
                    array[name][20:25] = other[name][20:25]
                array.flush()
                assert_same(array[:], rows)

    def test_threads_write_disjoint_rows(self, tmp_path: Path) -> None:
        if not self.writable:
            return
        rows = _numbers(4000, 7)
        with self.store(np.zeros_like(rows), tmp_path, writable=True) as array:

            def write(part: int) -> None:
                for low in range(part * 1000, part * 1000 + 1000, 125):
                    array[low : low + 125] = rows[low : low + 125]

            threads = [threading.Thread(target=write, args=(part,)) for part in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert_same(array[:], rows)


def _numbers(*shape: int) -> NDArray[Any]:
    """Rows of float64 that all differ."""
    return np.arange(float(np.prod(shape))).reshape(shape)


def _fresh(folder: Path) -> Path:
    below = folder / str(len(list(folder.iterdir())))
    below.mkdir()
    return below


def _fork(work: Any) -> int:
    """Run ``work()`` in a forked child that exits 0 if the result is true; return its process id."""
    child = os.fork()
    if child:
        return child
    good = False
    try:
        good = bool(work())
    finally:
        os._exit(0 if good else 1)  # never back into pytest
