"""reduce_rows against plain NumPy, for every kind of array, and the same bits however it is run."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

import outcore as oc
from outcore.array import blockwise
from outcore.blocks.partition import MIN_GROUP_ROWS
from outcore.blocks.reducing import session
from tests.blocks.samples import (
    Blocks,
    ColumnSums,
    Copies,
    Doing,
    Refusing,
    SplitSums,
    Written,
    listing,
)

N = 3 * MIN_GROUP_ROWS + 77
RECORD = [("a", "f8", (3,)), ("tag", "S3"), ("b", "f4")]


def numbers(*shape: int) -> NDArray[np.float64]:
    return np.random.default_rng(0).normal(size=shape)


def kinds(a: NDArray[Any], folder: Path) -> dict[str, Callable[[], Any]]:
    """The same rows in every place that they can have."""
    np.save(folder / "a.npy", a)
    np.save(folder / "f.npy", np.asfortranarray(a))
    a.tofile(folder / "a.bin")
    with h5py.File(folder / "a.h5", "w") as file:
        file["flat"] = a
        chunks = (1000, *a.shape[1:])
        file.create_dataset("chunked", data=a, chunks=chunks, compression="gzip", compression_opts=1)
        file.create_dataset("plain", data=a, chunks=chunks)
        file.create_dataset("szip", data=a, chunks=(700, *a.shape[1:]), compression="lzf", shuffle=True)
    gaps = np.zeros((2 * len(a), *a.shape[1:]), a.dtype)
    gaps[::2] = a
    struct = np.zeros(len(a), [("pad", "i1"), ("x", a.dtype, a.shape[1:])])
    struct["x"] = a
    np.save(folder / "s.npy", struct)
    return {
        "ndarray": lambda: a,
        "list": lambda: a.tolist(),
        "fortran": lambda: np.asfortranarray(a),
        "strided": lambda: gaps[::2],
        "reversed": lambda: np.ascontiguousarray(a[::-1])[::-1],
        "swapped": lambda: a.astype(a.dtype.newbyteorder()),
        "field": lambda: struct["x"],
        "shared": lambda: oc.share(a),
        "path": lambda: folder / "a.npy",
        "npy": lambda: oc.open(folder / "a.npy"),
        "fortran npy": lambda: oc.open(folder / "f.npy"),
        "private": lambda: oc.open(folder / "a.npy", mode="c"),
        "memmap": lambda: np.load(folder / "a.npy", mmap_mode="r"),
        "part of a memmap": lambda: np.load(folder / "a.npy", mmap_mode="r")[:],
        "raw": lambda: oc.open(folder / "a.bin", dtype=a.dtype, shape=(-1, *a.shape[1:])),
        "field of a file": lambda: oc.open(folder / "s.npy")["x"],
        "hdf5": lambda: f"{folder}/a.h5::/flat",
        "hdf5 chunked": lambda: oc.open(f"{folder}/a.h5::/chunked"),
        "hdf5 plain chunks": lambda: oc.open(f"{folder}/a.h5::/plain"),
        "hdf5 lzf": lambda: oc.open(f"{folder}/a.h5::/szip"),
    }


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> tuple[NDArray[Any], dict[str, Callable[[], Any]]]:
    a = numbers(N, 3)
    return a, kinds(a, tmp_path_factory.mktemp("places"))


NAMES = (
    "ndarray", "list", "fortran", "strided", "reversed", "swapped", "field", "shared", "path", "npy",
    "fortran npy", "private", "memmap", "part of a memmap", "raw", "field of a file", "hdf5", "hdf5 chunked",
    "hdf5 plain chunks", "hdf5 lzf",
)  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_wherever_the_rows_are_the_bits_are_the_same(
    places: tuple[NDArray[Any], dict[str, Callable[[], Any]]], name: str
) -> None:
    a, made = places
    sums, blocks, copy = oc.reduce_rows(made[name](), [ColumnSums(), Blocks(), Copies()])
    assert np.array_equal(copy, a)
    assert np.allclose(sums, a.sum(axis=0))
    assert np.array_equal(sums, oc.reduce_rows(a, ColumnSums()))
    assert [start for start, _ in blocks] == [0, *np.cumsum([n for _, n in blocks[:-1]])]


def test_all_places_are_tried(places: tuple[NDArray[Any], dict[str, Callable[[], Any]]]) -> None:
    assert sorted(places[1]) == sorted(NAMES)


def test_a_dataset_of_h5py(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"] = np.arange(12.0).reshape(4, 3)
    with h5py.File(tmp_path / "a.h5") as file:
        assert oc.reduce_rows(file["x"], ColumnSums()).tolist() == [18, 22, 26]


@pytest.mark.parametrize("shape", [(0,), (0, 3), (1,), (7,), (5, 2, 3), (4, 0), (3, 2, 0)])
@pytest.mark.parametrize("place", ["ndarray", "npy"])
def test_few_rows_and_rows_of_any_shape(tmp_path: Path, shape: tuple[int, ...], place: str) -> None:
    a = numbers(*shape)
    np.save(tmp_path / "a.npy", a)
    x = a if place == "ndarray" else tmp_path / "a.npy"
    sums, blocks, split = oc.reduce_rows(x, [ColumnSums(), Blocks(), SplitSums(2)], workers=3)
    assert np.allclose(sums, a.reshape(len(a), -1 if a.size else int(np.prod(shape[1:]))).sum(axis=0))
    assert blocks == ([(0, len(a))] if len(a) else [])
    assert len(split) == 2


@given(
    n=st.integers(0, 40),
    inner=st.sampled_from([(), (3,), (2, 2)]),
    dtype=st.sampled_from(["f8", "f4", "i8", "u1", "?"]),
    weights=st.sampled_from([None, (), (1,), (4,)]),
    workers=st.integers(1, 3),
)
def test_sums_are_those_of_numpy(
    n: int, inner: tuple[int, ...], dtype: str, weights: tuple[int, ...] | None, workers: int
) -> None:
    rng = np.random.default_rng(n)
    a = rng.integers(0, 2 if dtype == "?" else 50, (n, *inner)).astype(dtype)
    w = None if weights is None else rng.random((n, *weights))
    flat = a.reshape(n, int(np.prod(inner))).astype(float)
    expected = flat.sum(axis=0) if w is None else np.tensordot(w, flat, (0, 0))
    assert np.allclose(oc.reduce_rows(a, ColumnSums(), weights=w, workers=workers), expected)


# ---- weights ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("inner", [(), (2,)])
@pytest.mark.parametrize("place", ["ndarray", "float32", "strided", "list", "npy", "hdf5", "shared"])
def test_weights_from_everywhere(tmp_path: Path, inner: tuple[int, ...], place: str) -> None:
    a, w = numbers(N, 2), np.round(numbers(N, *inner)).astype(np.float32)
    np.save(tmp_path / "w.npy", w)
    if place == "hdf5":
        oc.convert(w, f"{tmp_path}/w.h5::/w", chunks=True)
    given: Any = {
        "ndarray": w.astype(float),
        "float32": w,
        "strided": np.repeat(w, 2, axis=0)[::2],
        "list": w.tolist(),
        "npy": str(tmp_path / "w.npy"),
        "hdf5": f"{tmp_path}/w.h5::/w",
        "shared": oc.share(w),
    }[place]
    assert np.allclose(oc.reduce_rows(a, ColumnSums(), weights=given), np.tensordot(w, a, (0, 0)))


@pytest.mark.parametrize(
    "weights",
    [
        np.ones(3),
        np.ones((4, 2, 2)),
        np.ones((2, 4)),
        np.array(1.0),
        np.ones(4, complex),
        np.array(list("abcd")),
    ],
)
def test_weights_that_are_no_number_for_each_row_are_refused(weights: Any) -> None:
    with pytest.raises(oc.errors.ShapeError, match=r"(?s)weights have shape.*4 rows.*\(4,\)"):
        oc.reduce_rows(np.ones((4, 3)), ColumnSums(), weights=weights)


# ---- several statistics ----------------------------------------------------------------------------


def test_one_read_for_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    a = numbers(N, 3)
    np.save(tmp_path / "a.npy", a)
    read: list[tuple[int, int]] = []
    original = blockwise.read_rows

    def counting(array: oc.Array, start: int, out: NDArray[Any]) -> None:
        read.append((start, len(out)))
        original(array, start, out)

    monkeypatch.setattr(blockwise, "read_rows", counting)
    oc.reduce_rows(tmp_path / "a.npy", [ColumnSums() for _ in range(20)], workers=2)
    assert sum(n for _, n in read) == N
    assert len({start for start, _ in read}) == len(read)


@pytest.mark.parametrize("chunk", [100, 1000, 5000, 30_000])
def test_chunks_are_decoded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    a = numbers(20_000, 70)  # blocks of 4096 rows, groups of 8192
    oc.convert(
        a, f"{tmp_path}/a.h5::/a", chunks=(chunk, 70) if chunk < 20_000 else (20_000, 70), compression=1
    )
    from outcore.storage.codecs import Pipeline

    decoded: list[int] = []
    original = Pipeline.decode

    def counting(self: Pipeline, raw: Any, mask: int, size: int) -> Any:
        decoded.append(size)
        return original(self, raw, mask, size)

    monkeypatch.setattr(Pipeline, "decode", counting)
    assert np.array_equal(oc.reduce_rows(f"{tmp_path}/a.h5::/a", Copies(), workers=1), a)
    n_chunks = -(-20_000 // min(chunk, 20_000))
    assert n_chunks <= len(decoded) <= n_chunks + 2  # but where a group ends within a chunk


def test_a_list_of_one_gives_a_list_of_one() -> None:
    assert oc.reduce_rows(np.ones((4, 2)), [ColumnSums()])[0].tolist() == [4, 4]
    assert oc.reduce_rows(np.ones((4, 2)), ()) == []


@pytest.mark.parametrize("statistic", [ColumnSums, "sum", None, [ColumnSums(), 3], {"a": ColumnSums()}])
def test_what_is_no_statistic_is_refused(statistic: Any) -> None:
    with pytest.raises(oc.errors.OptionError, match=r"(?s)is no outcore\.Statistic.*zero, update and merge"):
        oc.reduce_rows(np.ones((4, 2)), statistic)


def test_an_array_without_rows_is_refused() -> None:
    with pytest.raises(oc.errors.ShapeError, match=r"(?s)no dimensions; reduce_rows\(Blocks\).*atleast_1d"):
        oc.reduce_rows(np.float64(3), Blocks())


def test_a_record_comes_as_it_is() -> None:
    a = np.zeros(10, RECORD)
    a["tag"] = b"abc"
    assert np.array_equal(oc.reduce_rows(a, Copies()), a)


# ---- the same bits ---------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [1, 2, 3, 7])
def test_the_number_of_workers_changes_nothing(workers: int) -> None:
    a, w = numbers(N, 5), numbers(N)
    statistics = [ColumnSums(), SplitSums(4), Blocks()]
    expected = oc.reduce_rows(a, statistics, weights=w, workers=2)
    found = oc.reduce_rows(a, statistics, weights=w, workers=workers)
    assert np.array_equal(found[0], expected[0])
    assert np.array_equal(found[1], expected[1])
    assert found[2] == expected[2]


# ---- what came from a source that is being changed --------------------------------------------------


def test_rows_cannot_be_written_by_a_statistic(tmp_path: Path) -> None:
    a = numbers(10, 2)
    np.save(tmp_path / "a.npy", a)

    def scribble(block: Any) -> None:
        block.rows[0] = 0

    for x in (a, tmp_path / "a.npy"):
        with pytest.raises(ValueError, match="read-only"):
            oc.reduce_rows(x, Doing(scribble))
    assert a[0, 0] != 0


# ---- binding ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("when", [None, True, False])
def test_a_statistic_that_refuses_the_rows_leaves_no_file(tmp_path: Path, when: bool | None) -> None:
    with pytest.raises(ValueError, match="not these rows"):
        oc.reduce_rows(numbers(9, 2), [Written(str(tmp_path / "y.npy")), Refusing(when)])
    assert listing(tmp_path) == []


def test_several_targets_appear_together(tmp_path: Path) -> None:
    a = numbers(20, 2)
    one, two = oc.reduce_rows(a, [Written(str(tmp_path / "1.npy")), Written(f"{tmp_path}/2.h5::/y")])
    assert np.array_equal(one[:], a[:, 0])
    assert np.array_equal(two[:], a[:, 0])
    assert listing(tmp_path) == ["1.npy", "2.h5"]


# ---- sessions --------------------------------------------------------------------------------------


def test_a_session_keeps_its_threads() -> None:
    seen: set[int] = set()
    with session(workers=1) as runner:
        for _ in range(3):
            oc.reduce_rows(numbers(10, 2), Doing(lambda block: seen.add(threading.get_ident())))
        assert runner.n_workers == 1
    assert len(seen) == 1


def test_an_error_in_a_pass_leaves_the_session_usable() -> None:
    a = numbers(N, 2)

    def fail(block: Any) -> None:
        if block.start == 0:
            raise KeyError("first")

    expected = oc.reduce_rows(a, ColumnSums())
    with session(workers=2):
        for _ in range(5):
            with pytest.raises(KeyError, match="first"):
                oc.reduce_rows(a, Doing(fail))
            assert np.array_equal(oc.reduce_rows(a, ColumnSums()), expected)


def test_an_error_beside_the_tasks_closes_the_runner() -> None:
    a = numbers(N, 2)

    def stop(done: int, total: int) -> None:
        raise ZeroDivisionError

    with session(workers=2):
        with pytest.raises(ZeroDivisionError):
            oc.reduce_rows(a, ColumnSums(), progress=stop)
        with pytest.raises(oc.errors.ExecutorError, match="closed"):
            oc.reduce_rows(a, ColumnSums())


def test_passes_within_a_task_run_in_one_thread_and_not_on_the_session() -> None:
    a = numbers(N, 2)
    names: set[str] = set()

    def nested(block: Any) -> None:
        oc.reduce_rows(a[:50], Doing(lambda inner: names.add(threading.current_thread().name)))

    with session(workers=2), oc.options(progress=lambda done, total: None):
        assert oc.reduce_rows(a, Doing(nested)) == N
    assert names


# ---- progress --------------------------------------------------------------------------------------


@pytest.mark.parametrize("weights", [None, "f4"])
def test_progress_counts_all_bytes_once(monkeypatch: pytest.MonkeyPatch, weights: str | None) -> None:
    monkeypatch.setattr("outcore.progress.REFRESH_S", 0.0)
    a = numbers(N, 3)
    w = None if weights is None else np.ones(N, weights)
    seen: list[tuple[int, int]] = []
    oc.reduce_rows(a, ColumnSums(), weights=w, progress=lambda done, total: seen.append((done, total)))
    total = a.nbytes + (0 if w is None else w.nbytes)
    assert [t for _, t in seen] == [total] * len(seen)
    done = [d for d, _ in seen]
    assert done == sorted(set(done))
    assert done[-1] == total
    assert len(done) == 4  # once a group


def test_nothing_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    oc.reduce_rows(numbers(N, 3), ColumnSums())
    assert capfd.readouterr() == ("", "")
