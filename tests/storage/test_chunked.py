from __future__ import annotations

import itertools
import os
import threading
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import outcore as oc
from outcore.storage import chunk_reading, codecs, file, formats
from outcore.storage.chunked import ChunkedStorage
from outcore.storage.hdf5_dates import marked
from outcore.testing import DTYPES, StorageTests, assert_same, example
from tests.strategies import STRUCTURED

#: What HDF5 has a type for.
STORABLE = [given for given in DTYPES if given != "<U3"]
OPTIONS = [
    dict(zip(("compression", "shuffle", "fletcher32"), values, strict=True))
    for values in itertools.product((None, "gzip"), (False, True), (False, True))
]


def dated(rows: np.ndarray) -> np.ndarray:
    """With h5py's mark on dates, without which it does not write them."""
    return rows.astype(marked(rows.dtype))


def growing(rows: np.ndarray) -> tuple[int | None, ...]:
    """A chunk must not be larger than its axis can become."""
    return tuple(n or None for n in rows.shape)


class TestChunkedHdf5(StorageTests):
    dtypes = STORABLE
    scalars = False

    def store(self, rows: np.ndarray, folder: Path, *, writable: bool = False) -> oc.Array:
        chunks = tuple(min(n, c) or 1 for n, c in zip(rows.shape, (7, 4, 2, 2), strict=False))
        with h5py.File(folder / "x.h5", "w") as made:
            made.create_dataset(
                "x",
                data=dated(rows),
                chunks=chunks,
                maxshape=growing(rows),
                compression="gzip",
                shuffle=True,
            )
        return oc.open(folder / "x.h5")


class TestChunkedHdf5WithWholeRows(StorageTests):
    dtypes = STORABLE
    scalars = False

    @pytest.fixture(autouse=True)
    def _gathered(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(chunk_reading, "LONG_ROW_BYTES", 1)

    def store(self, rows: np.ndarray, folder: Path, *, writable: bool = False) -> oc.Array:
        with h5py.File(folder / "x.h5", "w") as made:
            chunks = (3, *(n or 1 for n in rows.shape[1:]))
            most = (None, *growing(rows)[1:])
            made.create_dataset("x", data=dated(rows), chunks=chunks, maxshape=most)
        return oc.open(folder / "x.h5")


class TestChunkedHdf5WithoutFilters(StorageTests):
    dtypes = STORABLE
    scalars = False

    def store(self, rows: np.ndarray, folder: Path, *, writable: bool = False) -> oc.Array:
        chunks = tuple(min(n, 50) or 1 for n in rows.shape)
        with h5py.File(folder / "x.h5", "w", libver="latest") as made:
            made.create_dataset("x", data=dated(rows), chunks=chunks, maxshape=growing(rows))
        return oc.open(folder / "x.h5")


def dataset(path: Path, rows: np.ndarray, **options: Any) -> oc.Array:
    options = {"compression": "gzip", "shuffle": True, **options}
    with h5py.File(path, "w") as made:
        made.create_dataset("x", data=rows, **options)
    return oc.open(path)


def storage_of(array: oc.Array) -> ChunkedStorage:
    storage = formats.open_spec(array.spec)
    assert isinstance(storage, ChunkedStorage)
    return storage


def windows(storage: ChunkedStorage, starts: Any, length: int) -> np.ndarray:
    starts = np.asarray(starts, np.int64)
    out = np.empty((len(starts), length, *storage.shape[1:]), storage.dtype)
    storage.read_windows(starts, length, out)
    return out


# ---- equal to h5py ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("chunked")


def corner_and_size(data: st.DataObject, shape: tuple[int, ...]) -> tuple[slice, ...]:
    low = [data.draw(st.integers(0, n)) for n in shape]
    return tuple(slice(a, data.draw(st.integers(a, n))) for a, n in zip(low, shape, strict=True))


@given(data=st.data())
def test_rows_equal_those_of_h5py(folder: Path, data: st.DataObject) -> None:
    dtype = data.draw(st.sampled_from([np.dtype(d) for d in STORABLE] + STRUCTURED))
    shape = tuple(data.draw(st.lists(st.integers(0, 12), min_size=1, max_size=3)))
    chunks = tuple(data.draw(st.integers(1, n + 3)) for n in shape)
    options = data.draw(st.sampled_from(OPTIONS))
    # Growing axes may have chunks larger than themselves, and use other indexes in the file.
    most = data.draw(st.sampled_from([(None,) * len(shape), (None, *(n + 20 for n in shape[1:]))]))
    fill = data.draw(st.sampled_from([None, 3])) if dtype.kind in "iuf" else None
    libver = data.draw(st.sampled_from(["earliest", "latest"]))
    values = dated(example(shape, dtype))
    with h5py.File(folder / "x.h5", "w", libver=libver) as made:
        x = made.create_dataset(
            "x", shape, values.dtype, chunks=chunks, maxshape=most, fillvalue=fill, **options
        )
        if len(shape) > 1 and data.draw(st.booleans()):
            x[...] = values
        else:  # some chunks are never written
            box = corner_and_size(data, shape)
            x[box] = values[box]
        expected = x[...]
    with oc.open(folder / "x.h5::x") as array:
        assert array.spec.kind == "hdf5"
        assert "chunk index" in array.info["reader"]
        assert (array.shape, array.dtype) == (shape, dtype)
        assert_same(array[...], expected)
        if shape[0]:
            length = data.draw(st.integers(1, shape[0]))
            starts = data.draw(st.lists(st.integers(0, shape[0] - length), max_size=20))
            rows = np.array(starts, np.int64)[:, None] + np.arange(length)
            assert_same(array.windows(starts, length), expected[rows])
            if len(shape) > 1 and shape[1]:
                low = data.draw(st.integers(0, shape[1] - 1))
                high = data.draw(st.integers(low + 1, shape[1]))
                assert_same(array[:, low:high], expected[:, low:high])
                assert_same(array[starts, low:high], expected[starts, low:high])


def test_array_types_are_more_axes(tmp_path: Path) -> None:
    rows = example((20, 3), "f4")
    with h5py.File(tmp_path / "x.h5", "w") as made:
        x = made.create_dataset(
            "x", (20,), np.dtype(("f4", (3,))), chunks=(6,), compression="gzip", shuffle=True
        )
        x[:15] = rows[:15]
    rows[15:] = 0
    with oc.open(tmp_path / "x.h5") as array:
        assert "chunk index" in array.info["reader"]
        assert_same(array[:], rows)
        assert_same(array[3:19, 1:], rows[3:19, 1:])


def test_chunks_with_a_mask_are_read_as_they_are_stored(tmp_path: Path) -> None:
    rows = np.arange(100.0)
    pipeline = codecs.Pipeline([codecs.Filter(codecs.SHUFFLE, (8,), "")], 8)
    with h5py.File(tmp_path / "x.h5", "w") as made:
        x = made.create_dataset("x", data=rows, chunks=(25,), compression="gzip", shuffle=True)
        x.id.write_direct_chunk((25,), rows[25:50], filter_mask=3)
        x.id.write_direct_chunk((50,), pipeline.encode(rows[50:75].view(np.uint8)), filter_mask=2)
    with oc.open(tmp_path / "x.h5") as array:
        assert_same(array[:], rows)
        assert_same(array[31:33], rows[31:33])
        assert_same(
            array.windows([0, 20, 30, 44, 45, 46], 30),
            np.stack([rows[s : s + 30] for s in (0, 20, 30, 44, 45, 46)]),
        )


def test_the_portable_file_reads_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = example((500, 8), "f4")
    monkeypatch.setattr(file, "FILE_CLASS", file.PortableFile)
    with dataset(tmp_path / "x.h5", rows, chunks=(30, 3)) as array:
        assert_same(array[:], rows)


# ---- what is read ---------------------------------------------------------------------------------


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    sizes: list[int] = []
    decode = codecs.Pipeline.decode

    def counted(self: codecs.Pipeline, raw: np.ndarray, mask: int, nbytes: int) -> codecs.Chunk:
        sizes.append(len(raw))
        return decode(self, raw, mask, nbytes)

    monkeypatch.setattr(codecs.Pipeline, "decode", counted)
    return sizes


@pytest.mark.parametrize("length", [1, 16, 300])
def test_each_needed_chunk_is_decoded_once(tmp_path: Path, decoded: list[int], length: int) -> None:
    rows = example((1000, 6), "f8")
    starts = np.random.default_rng(0).integers(0, 1000 - length + 1, 50)
    storage = storage_of(dataset(tmp_path / "x.h5", rows, chunks=(64, 6)))
    assert_same(windows(storage, starts, length), np.stack([rows[s : s + length] for s in starts]))
    needed = {row // 64 for start in starts for row in range(start, start + length)}
    assert len(decoded) == len(needed)
    storage.close()


def test_chunks_of_other_columns_are_not_read(tmp_path: Path, decoded: list[int]) -> None:
    rows = example((100, 40, 3), "f8")
    with dataset(tmp_path / "x.h5", rows, chunks=(25, 10, 3)) as array:
        assert_same(array[30:60, 12:19], rows[30:60, 12:19])
        assert len(decoded) == 2
        assert_same(array[:, 39], rows[:, 39])
        assert len(decoded) == 2 + 4


@pytest.mark.parametrize("length", [1, 30])
def test_whole_rows_without_filters_are_gathered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, length: int
) -> None:
    rows = example((1000, 70), "f8")
    monkeypatch.setattr(chunk_reading, "Reading", None)
    with dataset(tmp_path / "x.h5", rows, chunks=(7, 70), compression=None, shuffle=None) as array:
        starts = np.random.default_rng(0).integers(0, 1000 - length + 1, 50)
        assert_same(array.windows(starts, length), rows[starts[:, None] + np.arange(length)])
        assert_same(array[3:500, 8:30], rows[3:500, 8:30])


def test_of_chunks_without_filters_only_the_needed_rows_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = example((1000, 60), "f8")
    read = 0
    method = file.PosixFile.read

    def counted(self: file.PosixFile, offset: int, buffers: list[memoryview]) -> None:
        nonlocal read
        read += sum(buffer.nbytes for buffer in buffers)
        method(self, offset, buffers)

    monkeypatch.setattr(file.PosixFile, "read", counted)
    with dataset(tmp_path / "x.h5", rows, chunks=(200, 60), compression=None, shuffle=None) as array:
        starts = [10, 290, 550, 595, 990]
        assert_same(array.windows(starts, 8), np.stack([rows[s : s + 8] for s in starts]))
        # The third and the fourth window share a chunk, of which the rows from 550 to 600 are read.
        assert read == (8 + 8 + 50 + 3 + 8) * 480


def test_reading_takes_no_lock_of_h5py(tmp_path: Path) -> None:
    rows = example((1000, 6), "f8")
    storage = storage_of(dataset(tmp_path / "x.h5", rows, chunks=(64, 6)))
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with h5py._objects.phil:
            held.set()
            done.wait(60)

    holder = threading.Thread(target=hold)
    holder.start()
    try:
        held.wait(60)
        assert_same(windows(storage, [3, 900], 100), np.stack([rows[3:103], rows[900:]]))
    finally:
        done.set()
        holder.join()
    storage.close()


def test_one_thread_and_many_read_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = example((20_000, 9), "f8")
    monkeypatch.setattr(os, "cpu_count", lambda: 16)
    storage = storage_of(dataset(tmp_path / "x.h5", rows, chunks=(500, 4)))
    assert storage.info()["reader"].startswith("chunk index, decoded on 8 threads")
    assert_same(windows(storage, [0], 20_000)[0], rows)
    monkeypatch.setattr(codecs, "THREADS", 1)
    assert_same(windows(storage, [0], 20_000)[0], rows)
    storage.close()


# ---- damage and change ----------------------------------------------------------------------------


def flip(path: Path, at: int, count: int = 8) -> None:
    with open(path, "r+b") as raw:
        raw.seek(at)
        found = raw.read(count)
        raw.seek(at)
        raw.write(bytes(byte ^ 0x5A for byte in found))


@pytest.mark.parametrize(
    ("options", "why"),
    [({}, "gzip: "), ({"compression": None, "fletcher32": True}, "fletcher32: the checksum is")],
)
def test_a_damaged_chunk_is_named(tmp_path: Path, options: dict[str, Any], why: str) -> None:
    rows = np.random.default_rng(0).random((100, 30))
    path = tmp_path / "x.h5"
    dataset(path, rows, chunks=(20, 10), **options)
    with h5py.File(path) as found:
        chunk = found["x"].id.get_chunk_info_by_coord((40, 20))
    flip(path, chunk.byte_offset + chunk.size // 2)
    with oc.open(path) as array:
        place = f"{chunk.size} bytes at byte {chunk.byte_offset}"
        what = rf"x\.h5::/x: the chunk at \(40, 20\) is damaged \({place}\): {why}"
        with pytest.raises(oc.errors.FormatError, match=what):
            array[:]
        assert_same(array[:, :20], rows[:, :20])
        assert_same(array[60:], rows[60:])


def test_a_chunk_of_the_wrong_length_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "x.h5"
    pipeline = codecs.Pipeline([codecs.Filter(codecs.DEFLATE, (4,), "")], 8)
    with h5py.File(path, "w") as made:
        x = made.create_dataset("x", (40,), "f8", chunks=(20,), compression="gzip")
        x.id.write_direct_chunk((0,), pipeline.encode(np.zeros(19).view(np.uint8)))
        x.id.write_direct_chunk((20,), np.zeros(19), filter_mask=1)
    with oc.open(path) as array:
        with pytest.raises(oc.errors.FormatError, match="decodes to 152 bytes instead of 160"):
            array[5]
        with pytest.raises(
            oc.errors.FormatError, match=r"\(152 bytes at byte \d+\): it is stored as it is, and"
        ):
            array[25]


def test_a_file_that_was_cut_is_stale(tmp_path: Path) -> None:
    path = tmp_path / "x.h5"
    with dataset(path, np.random.default_rng(0).random((100, 30)), chunks=(20, 10)) as array:
        array[0]
        os.truncate(path, path.stat().st_size // 2)
        with pytest.raises(oc.errors.StaleArrayError, match="it was cut"):
            array[:]


def test_a_file_that_was_replaced_is_stale(tmp_path: Path) -> None:
    path = tmp_path / "x.h5"
    rows = example((100, 3), "f8")
    array = dataset(path, rows, chunks=(20, 3))
    other = oc.open(path)
    assert_same(array[3], rows[3])
    dataset(tmp_path / "y.h5", rows + 1, chunks=(20, 3)).close()
    os.replace(tmp_path / "y.h5", path)
    assert_same(array[:], rows)  # the file that was opened is still there for it
    with pytest.raises(oc.errors.StaleArrayError, match="was replaced"):
        other[3]
    array.close()


def later(path: Path) -> None:
    # The clock of a file system may tick only every few milliseconds.
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1_000_000_000))


def test_chunks_written_since_are_found(tmp_path: Path) -> None:
    path = tmp_path / "x.h5"
    rows = np.random.default_rng(0).random((100, 30))
    with dataset(path, np.zeros_like(rows), chunks=(20, 10), maxshape=(None, 30)) as array:
        assert array[:].sum() == 0
        with h5py.File(path, "r+") as found:
            found["x"].resize(150, 0)
            found["x"][:100] = rows
        later(path)
        assert_same(array[:], rows)


@pytest.mark.parametrize("times", [1, 2, 3])
def test_a_read_that_a_writer_came_between_is_begun_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    path = tmp_path / "x.h5"
    rows = example((100, 3), "f8")
    run = chunk_reading.Reading.run
    runs = []

    def disturbed(self: chunk_reading.Reading) -> None:
        run(self)
        runs.append(len(runs))
        if len(runs) <= times:
            later(path)

    with dataset(path, rows, chunks=(20, 3)) as array:
        array[0]
        monkeypatch.setattr(chunk_reading.Reading, "run", disturbed)
        if times < 3:
            assert_same(array[:], rows)
            assert len(runs) == times + 1
        else:
            with pytest.raises(oc.errors.StaleArrayError, match="is being written to, again and again"):
                array[:]


@pytest.mark.parametrize("change", ["gone", "shorter", "dtype", "chunks"])
def test_another_dataset_of_the_same_name_is_stale(tmp_path: Path, change: str) -> None:
    path = tmp_path / "x.h5"
    rows = np.arange(300.0).reshape(100, 3)
    with dataset(path, rows, chunks=(20, 3)) as array:
        array[0]
        with h5py.File(path, "r+") as found:
            del found["x"]
            if change == "shorter":
                found.create_dataset("x", data=rows[:50], chunks=(20, 3))
            if change == "dtype":
                found.create_dataset("x", data=rows.astype("f4"), chunks=(20, 3))
            if change == "chunks":
                found.create_dataset("x", data=rows, chunks=(10, 3))
        later(path)
        with pytest.raises(oc.errors.StaleArrayError, match="since the array was opened"):
            array[0]
