"""Statistics of columns against NumPy."""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import outcore as oc

statistics = sys.modules.get("outcore.statistics") or __import__("outcore.statistics", fromlist=["describe"])


def check(d: object, a: np.ndarray) -> None:
    """Compare with NumPy's own functions, column by column."""
    flat = a.reshape(len(a), int(np.prod(a.shape[1:])))
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        wide = flat.astype(np.result_type(flat.dtype, "f8"))
        missing = np.isnan(wide)
        assert np.array_equal(d.count, (~missing).sum(axis=0))
        assert np.array_equal(d.missing, missing.sum(axis=0))
        if len(a):
            low, high = np.fmin.reduce(flat, axis=0), np.fmax.reduce(flat, axis=0)
            assert d.min.dtype == d.max.dtype == a.dtype
            assert np.array_equal(d.min, low, equal_nan=a.dtype.kind == "f")
            assert np.array_equal(d.max, high, equal_nan=a.dtype.kind == "f")
        scale = np.nan_to_num(np.abs(np.where(np.isfinite(wide), wide, 0)).max(axis=0, initial=0))
        for found, wanted in ((d.mean, np.nanmean(wide, axis=0)), (d.std, np.nanstd(wide, axis=0))):
            same = np.isclose(found, wanted, rtol=1e-9, atol=1e-12 * scale, equal_nan=True)
            assert same.all(), (found, wanted)


@given(
    a=hnp.arrays(
        st.sampled_from(["f8", "f4", "f2", "i8", "i1", "u8", "u2", "?"]),
        hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=9),
        elements=None,
        fill=st.nothing(),
    ),
    piece=st.integers(8, 300),
)
def test_against_numpy(a: np.ndarray, piece: int) -> None:
    if a.dtype.kind == "f":
        a = np.where(np.abs(a.astype("f8")) < 1e100, a, a.dtype.type(np.nan))  # no overflow of squares
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(statistics, "PIECE_BYTES", piece)
        check(oc.describe(a, memory=300_000), a)


@given(
    values=st.lists(
        st.sampled_from([1.0, -2.0, np.nan, np.inf, -np.inf]) | st.floats(-1e6, 1e6), min_size=1, max_size=30
    ),
    rows=st.integers(1, 5),
)
def test_infinities_spread_as_in_numpy(values: list[float], rows: int) -> None:
    a = np.array(values)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(statistics, "PIECE_BYTES", 8 * rows)
        check(oc.describe(a), a)


def test_a_small_deviation_beside_a_large_mean() -> None:
    a = 1e9 + np.random.default_rng(0).normal(size=(200_000, 3))
    d = oc.describe(a)
    assert np.allclose(d.std, np.std(a - 1e9, axis=0), rtol=1e-7)
    assert np.allclose(d.mean, 1e9 + np.mean(a - 1e9, axis=0), rtol=1e-15)


def test_integers_beyond_float64_keep_their_extremes() -> None:
    a = np.array([2**63 - 1, 2**63 - 2, -(2**63)], "i8")
    d = oc.describe(a)
    assert (int(d.min[0]), int(d.max[0])) == (-(2**63), 2**63 - 1)
    assert d.to_dict()["columns"][0]["max"] == 2**63 - 1


def test_float32_is_summed_in_float64() -> None:
    a = np.full(1_000_003, 0.1, "f4")
    d = oc.describe(a)
    assert d.mean[0] == np.float64(np.float32(0.1))
    assert d.std[0] < 1e-12


def test_structured_arrays_have_a_column_for_each_field(tmp_path: Path) -> None:
    a = np.zeros(4, [("chr", "S3"), ("pos", "i8"), ("t", "M8[s]"), ("v", "f4", (2,)), ("ok", "?")])
    a["pos"] = [3, 1, 2, 2]
    a["t"] = np.array(["2020-01-03", "NaT", "2020-01-01", "2020-01-02"], "M8[s]")
    a["v"] = [[1, np.nan], [2, 5], [3, 5], [4, 5]]
    a["ok"] = [True, False, True, True]
    np.save(tmp_path / "a.npy", a)
    d = oc.describe(tmp_path / "a.npy")
    assert d.names == ("chr", "pos", "t", "v", "ok")
    assert d.n_rows == 4
    assert (d.count["chr"], d.count["t"], d.missing["t"]) == (4, 3, 1)
    assert d.missing["v"].tolist() == [0, 1]
    assert (d.min["pos"], d.max["pos"], d.mean["pos"]) == (1, 3, 2.0)
    assert d.min["t"] == np.datetime64("2020-01-01", "s")
    assert d.mean["v"].tolist() == [2.5, 5.0]
    assert d.mean["ok"] == 0.75
    assert "chr" not in (d.mean.dtype.names or ())
    assert "t" not in (d.mean.dtype.names or ())
    json.dumps(d.to_dict(), allow_nan=False)


def test_names_of_columns_are_their_positions() -> None:
    assert oc.describe(np.zeros((2, 3))).names == ("0", "1", "2")
    assert oc.describe(np.zeros((2, 2, 2))).names == ("0,0", "0,1", "1,0", "1,1")
    assert oc.describe(np.zeros(2)).names == ("0",)


@pytest.mark.parametrize("dtype", ["i4", "f4", "?", "M8[s]"])
def test_an_array_without_rows(dtype: str) -> None:
    d = oc.describe(np.zeros((0, 2), dtype))
    assert d.count.tolist() == d.missing.tolist() == [0, 0]
    assert np.isnat(d.min).all() if dtype == "M8[s]" else np.isnan(d.min).all()
    assert np.isnan(d.mean).all()
    assert d.to_dict()["columns"][0]["min"] is None


def test_a_column_without_values() -> None:
    d = oc.describe(np.array([[np.nan, 1], [np.nan, 2]], "f4"))
    assert d.count.tolist() == [0, 2]
    assert np.isnan([d.min[0], d.max[0], d.mean[0], d.std[0]]).all()


def test_an_array_without_dimensions_is_refused() -> None:
    with pytest.raises(oc.errors.ShapeError, match="no dimensions"):
        oc.describe(np.array(3.0))


def test_the_text_is_aligned_and_shows_both_ends_of_wide_arrays() -> None:
    lines = str(oc.describe(np.arange(75.0).reshape(3, 25))).splitlines()
    assert lines[0] == "3 rows"
    assert lines[1].split() == ["column", "dtype", "count", "missing", "min", "max", "mean", "std"]
    assert len(lines) == 2 + 10 + 1 + 10
    assert lines[12] == "... 5 more columns ..."
    assert [line.split()[0] for line in lines[2:12]] == [str(i) for i in range(10)]
    assert lines[-1].startswith("24 ")
    assert len({len(line) for line in lines[1:12]}) == 1


def test_the_dictionary_is_json() -> None:
    d = oc.describe(np.array([[np.inf, np.nan], [1.0, np.nan]])).to_dict()
    assert json.loads(json.dumps(d, allow_nan=False)) == d
    assert d["columns"][0]["max"] == "inf"
    assert d["columns"][1]["mean"] is None


def test_progress_counts_bytes() -> None:
    heard: list[tuple[int, int]] = []
    oc.describe(np.zeros((100, 3)), memory=200_000, progress=lambda d, t: heard.append((d, t)))
    assert heard[-1] == (2400, 2400)


def test_a_budget_below_one_row_is_refused() -> None:
    with pytest.raises(oc.errors.MemoryBudgetError, match="describe needs"):
        oc.describe(np.zeros((2, 10_000)), memory=10_000)


def test_it_is_frozen() -> None:
    d = oc.describe(np.zeros((2, 2)))
    with pytest.raises(AttributeError):
        d.count = None


def test_the_digits_do_not_depend_on_the_budget(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(1e6, 1, (300_000, 9)))
    found = [oc.describe(tmp_path / "x.npy", memory=memory) for memory in ("12MB", "30MB", "2GB")]
    for other in found[1:]:
        assert other.mean.tobytes() == found[0].mean.tobytes()
        assert other.std.tobytes() == found[0].std.tobytes()


@pytest.mark.parametrize("dtype", ["f8", "f4", "i2", "table"])
def test_the_digits_do_not_depend_on_workers_or_processes(dtype: str) -> None:
    rng = np.random.default_rng(1)
    a = rng.normal(50, 20, (60_000, 7))
    a[rng.random(a.shape) < 0.01] = 0 if dtype == "i2" else np.nan
    if dtype == "table":
        table = np.zeros(len(a), [("v", "f4", (6,)), ("t", "M8[s]"), ("chr", "S3")])
        table["v"], table["t"] = a[:, :6], np.arange(len(a)).astype("M8[s]")
        a = table
    else:
        a = a.astype(dtype)
    right = oc.describe(a, workers=1)
    found = [oc.describe(a, workers=3)]
    if dtype == "table":
        found.append(oc.describe(a, executor=2))
    for other in found:
        for name in ("count", "missing", "min", "max", "mean", "std"):
            assert getattr(other, name).tobytes() == getattr(right, name).tobytes(), name


def test_the_plan_reads_nothing(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros((1000, 9)))
    plan = oc.plan(oc.describe, tmp_path / "x.npy")
    assert (plan.what, plan.n_rows, plan.passes, plan.bytes_read) == ("describe", 1000, 1, 72_000)


def test_wide_rows_under_a_budget_of_a_few() -> None:
    a = np.random.default_rng(2).normal(size=(300, 20_000))
    d = oc.describe(a, memory="6MB")
    assert np.allclose(d.mean, a.mean(axis=0), rtol=1e-12, atol=1e-14)
