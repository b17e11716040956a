"""Copies in another format: equal, whole or not at all."""

from __future__ import annotations

import os
import sys
import warnings
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import outcore as oc
from outcore.testing import assert_same, example

TARGETS = ["y.npy", "y.bin", "y.h5::/group/y"]


def reopen(made: oc.Array, target: Path) -> oc.Array:
    if str(target).endswith(".bin"):
        return oc.open(target, dtype=made.dtype, shape=made.shape)
    return oc.open(str(target))


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("shape", [(100, 3), (7,), (5, 2, 3), (0, 4), (4, 0)])
def test_any_format_to_any_format(tmp_path: Path, target: str, shape: tuple[int, ...]) -> None:
    a = np.arange(int(np.prod(shape)), dtype="f8").reshape(shape)
    made = oc.convert(a, tmp_path / target)
    assert made.mode == "r"
    for x in (made, reopen(made, tmp_path / target)):
        assert x.shape == shape
        assert np.array_equal(x[:], a)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    a=hnp.arrays(
        st.sampled_from(["f4", "i2", ">i4", "?", "c8", "S3", "U2", "M8[s]"]),
        hnp.array_shapes(min_dims=0, max_dims=3, max_side=5, min_side=0),
    )
)
def test_values_come_through_bit_for_bit(tmp_path: Path, a: np.ndarray) -> None:
    made = oc.convert(a, tmp_path / "y.npy", overwrite=True)
    assert np.load(tmp_path / "y.npy").tobytes() == a.tobytes()
    assert (made.shape, made.dtype) == (a.shape, a.dtype)


@pytest.mark.parametrize("options", [{}, {"compression": "gzip"}], ids=str)
@pytest.mark.parametrize("kind", ["M8[s]", ">m8[ns]", [("day", "M8[D]"), ("v", "f4")]], ids=str)
def test_dates_go_to_hdf5_and_back(tmp_path: Path, options: dict[str, str], kind: object) -> None:
    a = example((50, 2), kind)
    oc.convert(a, tmp_path / "y.h5::/y", **options)
    with h5py.File(tmp_path / "y.h5") as f:
        assert_same(f["y"][...], a)
    assert_same(oc.convert(tmp_path / "y.h5", tmp_path / "z.npy")[:], a)
    fine = oc.convert(tmp_path / "y.h5", tmp_path / "w.h5::/w", dtype=a.dtype.newbyteorder(), **options)
    assert fine.dtype == a.dtype.newbyteorder()
    assert np.array_equal(fine[:], a)


def test_many_small_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    a = np.random.default_rng(0).random((1000, 7))
    np.save(tmp_path / "x.npy", a)
    done: list[int] = []
    oc.convert(
        tmp_path / "x.npy",
        tmp_path / "y.h5::/y",
        dtype="f4",
        compression="gzip",
        memory=3000,
        progress=lambda d, t: done.append(d),
    )
    with h5py.File(tmp_path / "y.h5") as f:
        assert np.array_equal(f["y"][:], a.astype("f4"))
        assert f["y"].compression == "gzip"
    assert done[-1] == a.nbytes


@pytest.mark.parametrize("value", [np.float32(3.5), np.array(b"abc")])
def test_an_array_without_dimensions(tmp_path: Path, value: object) -> None:
    made = oc.convert(value, tmp_path / "y.npy")
    assert made.shape == ()
    assert made[()] == value


def test_h5py_datasets_and_memory_maps_are_sources(tmp_path: Path) -> None:
    a = np.arange(12.0).reshape(6, 2)
    with h5py.File(tmp_path / "x.h5", "w") as f:
        f["x"] = a
        f.flush()
        assert np.array_equal(oc.convert(f["x"], tmp_path / "a.npy")[:], a)
    m = np.memmap(tmp_path / "m.bin", "f8", "w+", shape=(6, 2))
    m[:] = a
    m.flush()
    assert np.array_equal(oc.convert(m[2:], tmp_path / "b.npy")[:], a[2:])
    del m


def test_an_existing_target_stays_unless_told_otherwise(tmp_path: Path) -> None:
    np.save(tmp_path / "y.npy", np.zeros(3))
    with pytest.raises(oc.errors.ExistsError, match="overwrite=True"):
        oc.convert(np.ones(4), tmp_path / "y.npy")
    assert np.array_equal(np.load(tmp_path / "y.npy"), np.zeros(3))
    oc.convert(np.ones(4), tmp_path / "y.npy", overwrite=True)
    assert np.array_equal(np.load(tmp_path / "y.npy"), np.ones(4))


def test_a_target_may_replace_its_own_source(tmp_path: Path) -> None:
    a = np.arange(1000.0)
    np.save(tmp_path / "x.npy", a)
    made = oc.convert(tmp_path / "x.npy", tmp_path / "x.npy", dtype="f4", memory=1000, overwrite=True)
    assert np.array_equal(made[:], a.astype("f4"))


def test_a_failure_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: object, **kwargs: object) -> object:
        yield 0, np.zeros((1, 2))
        raise KeyboardInterrupt

    monkeypatch.setattr(sys.modules["outcore.conversion"], "row_blocks", broken)
    with pytest.raises(KeyboardInterrupt):
        oc.convert(np.zeros((3, 2)), tmp_path / "y.npy")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("a", "dtype"),
    [
        (np.zeros(3), "i4"),
        (np.zeros(3, "S10"), "S5"),
        (np.zeros(3, [("a", "U4")]), [("a", "U3")]),
        (np.zeros(3, "c8"), "f4"),
    ],
)
def test_types_that_lose_values_are_refused(tmp_path: Path, a: np.ndarray, dtype: object) -> None:
    with pytest.raises(oc.errors.DTypeError, match=r"(?s)same_kind.*unsafe"):
        oc.convert(a, tmp_path / "y.npy", dtype=dtype)
    assert os.listdir(tmp_path) == []
    with warnings.catch_warnings(action="ignore"):  # NumPy warns of imaginary parts
        assert oc.convert(a, tmp_path / "y.npy", dtype=dtype, casting="unsafe").dtype == np.dtype(dtype)


@pytest.mark.parametrize("structured", [False, True])
def test_integers_that_would_wrap_around_are_refused(tmp_path: Path, structured: bool) -> None:
    plain = np.array([1, 2, 300], "i8")
    old, new = (plain.astype([("a", "i8")]), [("a", "i1")]) if structured else (plain, "i1")
    with pytest.raises(oc.errors.DTypeError, match=r"row 2 holds 300.*-128 to 127"):
        oc.convert(old, tmp_path / "y.npy", dtype=new)
    assert os.listdir(tmp_path) == []
    fits = oc.convert(old[:2], tmp_path / "y.npy", dtype=new)
    assert fits[:].tolist() == old[:2].tolist()


def test_a_casting_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(oc.errors.OptionError, match="casting='sometimes'"):
        oc.convert(np.zeros(3), tmp_path / "y.npy", casting="sometimes")  # type: ignore[arg-type]


def test_a_budget_below_one_row(tmp_path: Path) -> None:
    with pytest.raises(oc.errors.MemoryBudgetError, match="convert needs"):
        oc.convert(np.zeros((3, 1000)), tmp_path / "y.npy", memory=1000)
    assert os.listdir(tmp_path) == []
