"""map_rows against plain NumPy: every place for the result, and every way to get it wrong."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

import outcore as oc
from outcore.blocks import planning
from outcore.blocks.partition import MIN_GROUP_ROWS, Partition
from tests.blocks.samples import ColumnSums, double, listing


@pytest.fixture(scope="module", autouse=True)
def _groups_of_8192_rows() -> Iterator[None]:
    """Fix which rows are worked on together: these tests are about what is done with them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(planning, "divide", lambda n_rows, row_bytes, cost: Partition(n_rows, 8192, 8192))
        yield


N = 2 * MIN_GROUP_ROWS + 77


def numbers(*shape: int) -> NDArray[np.float64]:
    return np.random.default_rng(0).normal(size=shape)


@given(
    n=st.integers(0, 40),
    inner=st.sampled_from([(), (3,), (2, 2), (0,)]),
    dtype=st.sampled_from(["f8", "f4", "i4", "S3", "c16"]),
    workers=st.integers(1, 3),
)
def test_the_result_is_that_of_numpy(n: int, inner: tuple[int, ...], dtype: str, workers: int) -> None:
    a = np.arange(n * int(np.prod(inner))).reshape(n, *inner).astype(dtype)
    found = oc.map_rows(lambda rows: rows[..., None], a, workers=workers)
    assert found.dtype == dtype
    assert np.array_equal(found, a[..., None])


@pytest.mark.parametrize("place", ["ndarray", "npy", "hdf5"])
def test_many_blocks(tmp_path: Path, place: str) -> None:
    a = numbers(N, 3)
    oc.convert(a, tmp_path / "a.npy")
    oc.convert(a, f"{tmp_path}/a.h5::/a", chunks=(1000, 3), compression="gzip")
    x = {"ndarray": a, "npy": tmp_path / "a.npy", "hdf5": f"{tmp_path}/a.h5::/a"}[place]
    assert np.array_equal(oc.map_rows(lambda rows: rows.sum(axis=1), x), a.sum(axis=1))


def test_records() -> None:
    a = np.zeros(10, [("a", "f4"), ("b", "S2")])
    a["a"] = np.arange(10)
    found = oc.map_rows(lambda rows: rows["a"] * 2, a)
    assert np.array_equal(found, a["a"] * 2)
    back = oc.map_rows(lambda rows: rows, a)
    assert np.array_equal(back, a)


def test_a_view_of_the_input_may_be_returned(tmp_path: Path) -> None:
    a = numbers(N, 3)
    np.save(tmp_path / "a.npy", a)
    for x in (a, tmp_path / "a.npy"):
        found = oc.map_rows(lambda rows: rows[:, 1:], x)
        assert np.array_equal(found, a[:, 1:])
        assert not np.shares_memory(found, a)


def test_what_is_like_an_array_is_taken() -> None:
    assert oc.map_rows(lambda rows: rows.tolist(), np.ones((3, 2))).tolist() == [[1, 1]] * 3
    assert oc.map_rows(lambda rows: [True] * len(rows), np.ones((3, 2))).dtype == bool


# ---- out -------------------------------------------------------------------------------------------


@pytest.fixture
def rows() -> NDArray[np.float64]:
    return numbers(N, 2)


def test_into_memory(rows: NDArray[np.float64], tmp_path: Path) -> None:
    plain, gaps, f4 = np.empty((N, 2)), np.empty((N, 4))[:, ::2], np.empty((N, 2), "f4")
    shared = oc.shared_empty((N, 2))
    mapped = np.lib.format.open_memmap(tmp_path / "m.npy", "w+", float, (N, 2))
    for out in (plain, gaps, f4, shared, mapped):
        assert oc.map_rows(double, rows, out=out) is out
        assert np.array_equal(out, (2 * rows).astype(out.dtype))
    assert np.array_equal(np.load(tmp_path / "m.npy"), 2 * rows)


def test_into_files(rows: NDArray[np.float64], tmp_path: Path) -> None:
    with oc.create(tmp_path / "made.npy", (N, 2)) as made:
        assert oc.map_rows(double, rows, out=made) is made
    assert np.array_equal(np.load(tmp_path / "made.npy"), 2 * rows)
    oc.convert(np.zeros((N, 2)), tmp_path / "there.npy")
    with oc.open(tmp_path / "there.npy", "r+") as there:
        oc.map_rows(double, rows, out=there)
        assert np.array_equal(there[:], 2 * rows)
    for address in (tmp_path / "new.npy", str(tmp_path / "new.bin"), f"{tmp_path}/new.h5::/g/y"):
        with oc.map_rows(double, rows, out=address) as found:
            assert np.array_equal(found[:], 2 * rows)
            assert found.mode == "r"


@pytest.mark.parametrize("workers", [1, 3])
def test_into_compressed_chunks(rows: NDArray[np.float64], tmp_path: Path, workers: int) -> None:
    address = f"{tmp_path}/y.h5::/y"
    with oc.create(address, (N, 2), chunks=(700, 2), compression="gzip") as y:
        oc.map_rows(double, rows, out=y, workers=workers)
    with h5py.File(tmp_path / "y.h5") as file:
        assert np.array_equal(file["y"][:], 2 * rows)
    with oc.open(address, "r+") as again:
        oc.map_rows(np.negative, rows, out=again, workers=workers)
        assert np.array_equal(again[:], -rows)


def test_into_a_field(tmp_path: Path) -> None:
    table = np.zeros(N, [("a", "f8"), ("b", "f8")])
    table["a"] = numbers(N)
    np.save(tmp_path / "t.npy", table)
    with oc.open(tmp_path / "t.npy", "r+") as t:
        oc.map_rows(double, t["a"], out=t["b"])
    found = np.load(tmp_path / "t.npy")
    assert np.array_equal(found["b"], 2 * table["a"])
    assert np.array_equal(found["a"], table["a"])


def test_dtype(tmp_path: Path) -> None:
    a = numbers(20, 2)
    assert oc.map_rows(double, a, dtype="f4").dtype == np.float32
    with oc.map_rows(double, a, out=str(tmp_path / "y.npy"), dtype="f4") as y:
        assert y.dtype == np.float32
        assert np.array_equal(y[:], (2 * a).astype("f4"))


@pytest.mark.parametrize(
    ("out", "error", "match"),
    [
        (np.empty((9, 2)), oc.errors.ShapeError, r"out has shape \(9, 2\); the result has shape \(10, 2\)"),
        (np.empty((10, 2), int), oc.errors.ShapeError, r"dtype int64; the result has dtype float64"),
        ([[0, 0]] * 10, oc.errors.ShapeError, "out is a list"),
        ("nowhere/y.npy", oc.errors.OutcoreError, "nowhere"),
        ("there.npy", oc.errors.ExistsError, "there.npy"),
        ("y.h5", oc.errors.AddressError, "names an HDF5 file but no dataset"),
    ],
)
def test_an_out_that_does_not_fit_is_refused_before_anything_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, out: Any, error: type[Exception], match: str
) -> None:
    monkeypatch.chdir(tmp_path)
    np.save("there.npy", np.zeros(3))
    seen: list[int] = []

    def counted(rows: NDArray[Any]) -> NDArray[Any]:
        seen.append(len(rows))
        return rows

    with pytest.raises(error, match=match):
        oc.map_rows(counted, np.ones((10, 2)), out=out)
    assert seen == [10]  # once, to see what it returns
    assert listing(tmp_path) == ["there.npy"]


def test_an_out_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    still = np.empty((10, 2))
    still.flags.writeable = False
    with pytest.raises(oc.errors.ReadOnlyError, match="out is read-only"):
        oc.map_rows(double, np.ones((10, 2)), out=still)
    np.save(tmp_path / "y.npy", np.zeros((10, 2)))
    for mode in ("r", "c"):
        with pytest.raises(oc.errors.ReadOnlyError, match=rf'mode="{mode}" and is to take the result'):
            oc.map_rows(double, np.ones((10, 2)), out=oc.open(tmp_path / "y.npy", mode))


# ---- out that is the input -------------------------------------------------------------------------


def test_in_place(tmp_path: Path) -> None:
    a = numbers(N, 2)
    x = a.copy()
    assert oc.map_rows(double, x, out=x, workers=3) is x
    assert np.array_equal(x, 2 * a)
    np.save(tmp_path / "x.npy", a)
    with oc.open(tmp_path / "x.npy", "r+") as file:
        oc.map_rows(double, tmp_path / "x.npy", out=file, workers=3)
    assert np.array_equal(np.load(tmp_path / "x.npy"), 2 * a)


def test_other_overlaps_are_refused(tmp_path: Path) -> None:
    a = numbers(20, 2)
    kept = a.copy()
    np.save(tmp_path / "x.npy", a)
    file = oc.open(tmp_path / "x.npy", "r+")
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r+")
    private = oc.open(tmp_path / "x.npy", "c")
    for x, out in ((a[:-1], a[1:]), (a[::-1], a), (file, mapped[::-1]), (private, mapped[::-1])):
        with pytest.raises(oc.errors.OptionError, match=r"(?s)out overlaps what is read.*out=np\.empty"):
            oc.map_rows(double, x, out=out)
    assert np.array_equal(a, kept)
    assert np.array_equal(np.load(tmp_path / "x.npy"), kept)


# ---- functions that go wrong -----------------------------------------------------------------------


class BrokenError(Exception):
    pass


def at(first: int, action: Any) -> Any:
    """Do something else when the block holds the row with that number in its first column."""

    def func(rows: NDArray[Any]) -> Any:
        hit = len(rows) > 16 and rows[0, 0] <= first <= rows[-1, 0]
        return action(rows) if hit else rows

    return func


def numbered() -> NDArray[np.float64]:
    return np.arange(2.0 * N).reshape(N, 2)[:, ::-1].copy() // 2


def fail(rows: NDArray[Any]) -> None:
    raise BrokenError(int(rows[0, 0]))


@pytest.mark.parametrize("error", [BrokenError, KeyboardInterrupt, SystemExit, MemoryError])
@pytest.mark.parametrize("out", ["memory", "file"])
def test_an_error_names_the_rows_and_leaves_nothing(
    tmp_path: Path, error: type[BaseException], out: str
) -> None:
    def func(rows: NDArray[Any]) -> NDArray[Any]:
        if rows[-1, 0] >= 9000:
            raise error("no")
        return rows

    target = None if out == "memory" else str(tmp_path / "y.npy")
    with pytest.raises(error) as caught:
        oc.map_rows(func, numbered(), out=target)
    assert caught.value.__notes__ == ["while working on rows 8192 to 16383 of X"]
    assert listing(tmp_path) == []


def test_the_first_error_in_the_order_of_the_rows_is_raised() -> None:
    begun: list[int] = []

    def func(rows: NDArray[Any]) -> NDArray[Any]:
        begun.append(int(rows[0, 0]))
        if len(rows) > 16 and rows[0, 0] >= 8192:
            raise BrokenError(int(rows[0, 0]))
        return rows

    for _ in range(20):
        with pytest.raises(BrokenError, match="8192"):
            oc.map_rows(func, np.arange(40.0 * MIN_GROUP_ROWS).reshape(-1, 1), workers=4)
    assert max(begun) <= 14 * MIN_GROUP_ROWS  # the others were dropped


def test_an_error_while_the_function_is_tried(tmp_path: Path) -> None:
    with pytest.raises(BrokenError) as caught:
        oc.map_rows(fail, numbered(), out=str(tmp_path / "y.npy"))
    assert caught.value.__notes__ == ["while trying func on 16 rows of memory, to see what it returns"]
    assert listing(tmp_path) == []


@pytest.mark.parametrize(
    ("action", "match"),
    [
        (lambda rows: rows[:-1], r"shape \(8191, 2\) for rows 8192 to 16383, which are 8192"),
        (lambda rows: rows.sum(axis=0), r"shape \(2,\) for rows 8192 to 16383"),
        (lambda rows: 3, r"shape \(\) for rows 8192"),
        (
            lambda rows: rows[:, :1],
            r"rows of shape \(1,\) for rows 8192 to 16383; the first ones had shape \(2,\)",
        ),
    ],
)
def test_a_result_of_another_shape_is_refused(tmp_path: Path, action: Any, match: str) -> None:
    with pytest.raises(oc.errors.ShapeError, match=match):
        oc.map_rows(at(9000, action), numbered(), out=str(tmp_path / "y.npy"))
    assert listing(tmp_path) == []


def test_a_sum_is_no_function_of_rows() -> None:
    with pytest.raises(oc.errors.ShapeError, match=r"(?s)for rows 0 to 15, which are 16.*oc\.reduce_rows"):
        oc.map_rows(lambda rows: rows.sum(axis=0), numbers(100, 3))


@pytest.mark.parametrize(
    "action", [lambda rows: rows + 1j, lambda rows: rows.astype("S9"), lambda rows: rows.astype(object)]
)
def test_values_of_another_kind_are_refused(action: Any) -> None:
    with pytest.raises(oc.errors.DTypeError):
        oc.map_rows(at(9000, action), numbered())


def test_integers_first_and_fractions_later_are_not_cut() -> None:
    with pytest.raises(
        oc.errors.DTypeError, match=r"(?s)dtype float64; the result has dtype int64.*dtype='float64'"
    ):
        oc.map_rows(lambda rows: rows.astype(int) if len(rows) == 16 else rows / 2, numbered())
    assert oc.map_rows(at(9000, lambda rows: rows.astype("f4")), numbered())[9000, 0] == 9000


def test_text_that_grows_is_not_cut() -> None:
    with pytest.raises(oc.errors.DTypeError, match="S5"):
        oc.map_rows(lambda rows: rows[:, 0].astype(int).astype("S2" if len(rows) == 16 else "S5"), numbered())


def test_a_dtype_that_cannot_hold_the_values_is_refused_at_once() -> None:
    with pytest.raises(oc.errors.DTypeError, match="int8"):
        oc.map_rows(double, np.ones((10, 2)), dtype="i1")
    with pytest.raises(oc.errors.DTypeError, match="is not a dtype"):
        oc.map_rows(double, np.ones((10, 2)), dtype="nonsense")


def test_the_rows_cannot_be_written(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.ones((10, 2)))

    def scribble(rows: NDArray[Any]) -> NDArray[Any]:
        rows += 1
        return rows

    for x in (np.ones((10, 2)), tmp_path / "a.npy"):
        with pytest.raises(ValueError, match="read-only"):
            oc.map_rows(scribble, x)


def test_an_array_without_rows_is_refused() -> None:
    with pytest.raises(oc.errors.ShapeError, match=r"no dimensions; map_rows needs rows"):
        oc.map_rows(double, np.float64(3))


# ---- nested ----------------------------------------------------------------------------------------


def test_passes_within_the_function() -> None:
    a = numbers(N, 2)

    def centred(rows: NDArray[Any]) -> NDArray[Any]:
        return rows - oc.reduce_rows(rows, ColumnSums()) / len(rows)

    found = oc.map_rows(centred, a)
    assert found.shape == a.shape
    assert abs(found.sum()) < 1e-6
    what = oc.plan(oc.map_rows, centred, a).what
    assert what == "map_rows(centred)"


def test_long_rows_are_tried_one_at_a_time() -> None:
    seen: list[int] = []

    def counted(rows: NDArray[Any]) -> NDArray[Any]:
        seen.append(len(rows))
        return rows[:, 0]

    oc.map_rows(counted, np.zeros((20, 200_000)))
    assert seen[0] == 1


def test_descriptors_of_the_input_are_closed(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.ones((10, 2)))
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    oc.map_rows(double, tmp_path / "a.npy")
    if before:
        assert len(os.listdir("/proc/self/fd")) == before
