"""`KMeans` against scikit-learn's, from every format, on every executor."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.cluster import KMeans as Theirs
from sklearn.exceptions import ConvergenceWarning

import outcore as oc
from outcore.blocks.reducing import session


def clouds(n: int, d: int, k: int, *, mean: float = 0.0, apart: float = 2.0, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    centres = apart * rng.normal(size=(k, d))
    return np.asarray(rng.normal(size=(n, d)) + centres[rng.integers(0, k, n)] + mean)


def assert_same(ours: Any, theirs: Any, x: np.ndarray, rtol: float = 1e-9) -> None:
    assert ours.n_iter_ == theirs.n_iter_
    assert_array_equal(ours.labels_, theirs.labels_)
    assert_allclose(ours.cluster_centers_, theirs.cluster_centers_, rtol=rtol, atol=rtol * x.std())
    assert_allclose(ours.inertia_, theirs.inertia_, rtol=rtol)


@settings(max_examples=40, deadline=None)
@given(
    n=st.integers(20, 3000),
    d=st.integers(1, 12),
    k=st.integers(1, 9),
    seed=st.integers(0, 10**6),
    mean=st.sampled_from([0.0, 30.0, 1e6]),
    weighted=st.booleans(),
    tol=st.sampled_from([1e-4, 1e-2, 0.0]),
)
def test_from_the_same_centres_scikit_learns_result(
    n: int, d: int, k: int, seed: int, mean: float, weighted: bool, tol: float
) -> None:
    x = clouds(n, d, k, mean=mean, seed=seed)
    rng = np.random.default_rng(seed)
    init = x[rng.choice(n, k, replace=False)]
    weights = rng.uniform(0.5, 3, n) if weighted else None
    ours = oc.KMeans(k, init=init, tol=tol, max_iter=50).fit(x, sample_weight=weights)
    theirs = Theirs(k, init=init, n_init=1, tol=tol, max_iter=50).fit(x, sample_weight=weights)
    if mean < 1e6:
        assert_same(ours, theirs, x)
    else:
        # Rounding of the rows themselves decides about rows half way between two centres.
        assert_allclose(ours.inertia_, theirs.inertia_, rtol=1e-6)


@pytest.mark.parametrize("options", [{}, {"init": "random", "n_init": 4}, {"n_init": 3}])
def test_from_the_same_seed_scikit_learns_result_where_the_sample_is_all_rows(
    options: dict[str, Any],
) -> None:
    x = clouds(1500, 4, 5)
    ours = oc.KMeans(5, random_state=7, **options).fit(x)
    theirs = Theirs(5, random_state=7, **options).fit(x)
    assert_same(ours, theirs, x)
    assert_array_equal(ours.predict(x), theirs.predict(x))
    assert_allclose(ours.transform(x), theirs.transform(x), rtol=1e-9)
    assert_allclose(ours.score(x), theirs.score(x), rtol=1e-9)


def test_a_center_without_rows_takes_the_farthest_row_as_in_scikit_learn() -> None:
    x = clouds(400, 3, 4, apart=5)
    init = np.vstack([x[:3], [[500.0, 500.0, 500.0]]])
    ours = oc.KMeans(4, init=init).fit(x)
    theirs = Theirs(4, init=init, n_init=1).fit(x)
    assert_same(ours, theirs, x)
    # Of several the order is not defined there; the clusters are the same.
    init[1:] = 500.0, 600.0, 700.0
    init[1:] += np.arange(3)[:, np.newaxis]
    ours = oc.KMeans(4, init=init).fit(x)
    theirs = Theirs(4, init=init, n_init=1).fit(x)
    assert_allclose(ours.inertia_, theirs.inertia_, rtol=1e-9)
    assert_allclose(
        sorted(ours.cluster_centers_.tolist()), sorted(theirs.cluster_centers_.tolist()), rtol=1e-9
    )


def test_a_row_without_weight_is_as_if_it_were_not_there() -> None:
    x = clouds(600, 3, 4)
    weights = (np.arange(600) % 3 > 0).astype(float)
    x[weights == 0] *= 50
    init = np.vstack([x[1:4], [[500.0, 500.0, 500.0]]])
    weighted = oc.KMeans(4, init=init).fit(x, sample_weight=weights)
    fewer = oc.KMeans(4, init=init).fit(x[weights > 0])
    # The tolerance is that of all rows, as scikit-learn's is.
    assert weighted.n_iter_ <= fewer.n_iter_
    for km in (weighted, fewer):
        km.set_params(tol=0.0)
    weighted.fit(x, sample_weight=weights)
    fewer.fit(x[weights > 0])
    assert_allclose(weighted.cluster_centers_, fewer.cluster_centers_, rtol=1e-12)
    assert weighted.n_iter_ == fewer.n_iter_


def test_a_large_mean_costs_no_digits() -> None:
    x = np.round(clouds(2000, 3, 4) * 64) / 64  # so that the mean can be added without rounding
    init = x[:4]
    plain = oc.KMeans(4, init=init).fit(x)
    shifted = oc.KMeans(4, init=init + 2.0**30).fit(x + 2.0**30)
    assert shifted.n_iter_ == plain.n_iter_
    assert_array_equal(shifted.labels_, plain.labels_)
    assert_allclose(shifted.inertia_, plain.inertia_, rtol=1e-6)
    assert_allclose(shifted.transform(x + 2.0**30), plain.transform(x), atol=1e-6)  # centres are rounded
    assert_array_equal(shifted.predict(x + 2.0**30), plain.labels_)


def results(source: Any, weights: Any = None) -> tuple[Any, ...]:
    km = oc.KMeans(5, random_state=0, n_init=2, init="random").fit(source, sample_weight=weights)
    return (
        km.cluster_centers_.tobytes(),
        km.labels_.tobytes(),
        km.inertia_,
        km.n_iter_,
        km.predict(source).tobytes(),
        km.transform(source).tobytes(),
        km.score(source, sample_weight=weights),
    )


@pytest.mark.parametrize("weighted", [False, True])
def test_the_same_bits_from_every_format_and_executor(tmp_path: Path, weighted: bool) -> None:
    x = clouds(30_000, 6, 5)
    weights = np.random.default_rng(1).uniform(0, 2, len(x)) if weighted else None
    np.save(tmp_path / "x.npy", x)
    address: Any = str(tmp_path / "x.npy")
    given: Any = weights
    if weights is not None:
        np.save(tmp_path / "w.npy", weights)
        given = str(tmp_path / "w.npy")
    expected = results(x, weights)
    assert results(address, given) == expected
    assert results(oc.share(x), weights) == expected
    assert results(np.asfortranarray(x), weights) == expected
    for workers in (1, 3):
        with session(workers=workers):
            assert results(x, weights) == expected
    with session(2):
        assert results(address, given) == expected


def test_float32_rows_are_summed_in_float64() -> None:
    x = clouds(3000, 4, 3).astype("f4")
    ours = oc.KMeans(3, init=x[:3]).fit(x)
    exact = oc.KMeans(3, init=x[:3].astype("f8")).fit(x.astype("f8"))
    assert_array_equal(ours.cluster_centers_, exact.cluster_centers_)
    assert ours.transform(x).dtype == np.float32
    assert ours.transform(x.astype("i4")).dtype == np.float64


def test_results_go_where_they_are_wanted(tmp_path: Path) -> None:
    x = clouds(3000, 4, 3)
    km = oc.KMeans(3, random_state=0, compute_labels=False).fit(x)
    assert not hasattr(km, "labels_")
    labels = km.predict(x)
    assert labels.dtype == np.int32
    with km.predict(x, out=str(tmp_path / "labels.npy")) as stored:
        assert_array_equal(stored[:], labels)
    out = np.empty((3000, 3))
    assert km.transform(x, out=out) is out
    with km.transform(x, out=tmp_path / "apart.npy") as stored:
        assert_array_equal(stored[:], out)
    assert_allclose(out, np.linalg.norm(x[:, np.newaxis] - km.cluster_centers_, axis=2), rtol=1e-12)
    assert_array_equal(km.fit_predict(x), labels)
    assert_array_equal(km.fit_transform(x), out)
    kept = np.empty(3000, np.int32)
    assert km.fit_predict(x, out=kept) is kept
    assert_array_equal(kept, labels)


def test_a_row_on_a_center_is_at_no_distance() -> None:
    x = clouds(50, 3, 3, mean=100.0)
    km = oc.KMeans(50, init=x).fit(x)
    assert_array_equal(np.diag(km.transform(x)), np.zeros(50))
    assert km.inertia_ == 0


def test_a_sample_of_the_rows_is_enough_to_begin_with() -> None:
    x = clouds(20_000, 3, 6, apart=10)
    best = Theirs(6, random_state=0, n_init=3).fit(x).inertia_
    assert oc.KMeans(6, random_state=0, init_rows=300).fit(x).inertia_ < 1.01 * best
    calls = []

    def first(rows: np.ndarray, k: int, random_state: Any) -> np.ndarray:
        calls.append(rows.shape)
        return rows[:k]

    oc.KMeans(6, init=first, n_init=2, init_rows=300, max_iter=1).fit(x)
    assert calls == [(300, 3), (300, 3)]


def test_more_clusters_than_different_rows_are_warned_of() -> None:
    x = np.repeat(np.eye(3), 5, axis=0)
    with pytest.warns(
        ConvergenceWarning, match=r"distinct clusters \(3\) found smaller than n_clusters \(5\)"
    ):
        km = oc.KMeans(5, random_state=0).fit(x)
    assert km.inertia_ == 0
    with pytest.warns(oc.errors.ConvergenceWarning):
        km.fit(x)


def test_nan_is_named_by_its_row(tmp_path: Path) -> None:
    x = clouds(30_000, 3, 2)
    x[20_001, 2] = np.nan
    km = oc.KMeans(2, random_state=0)
    with pytest.raises(oc.errors.NonFiniteError, match="row 20001, column 2"):
        km.fit(x)
    km.fit(x[:1000])
    for method in (km.predict, km.transform, km.score):
        with pytest.raises(oc.errors.NonFiniteError, match="row 20001, column 2"):
            method(x)
        for value in (np.inf, -np.inf):
            with pytest.raises(oc.errors.NonFiniteError, match="row 1, column 0"):
                method(np.array([[0.0, 0.0, 0.0], [value, 0.0, 0.0]]))
    with pytest.raises(oc.errors.NonFiniteError):
        km.predict(x, out=str(tmp_path / "labels.npy"))
    assert not (tmp_path / "labels.npy").exists()


@pytest.mark.parametrize(
    ("parameters", "error", "text"),
    [
        ({"n_clusters": 0}, oc.errors.OptionError, "n_clusters=0 is not a whole number from 1 on"),
        ({"n_clusters": 41}, oc.errors.ShapeError, "n_samples=40 should be >= n_clusters=41"),
        ({"max_iter": 0}, oc.errors.OptionError, "max_iter=0"),
        ({"tol": -1.0}, oc.errors.OptionError, "tol=-1.0"),
        ({"n_init": "often"}, oc.errors.OptionError, "n_init='often'"),
        ({"init": "best"}, oc.errors.OptionError, "init='best' is not one of"),
        ({"init": None}, oc.errors.OptionError, "init=None gives no centres"),
        (
            {"init": np.ones((3, 2))},
            oc.errors.ShapeError,
            r"\(3, 2\) does not match the number of clusters 8",
        ),
        ({"init": np.ones((8, 3))}, oc.errors.ShapeError, "number of features of the data 2"),
        ({"init": np.full((8, 2), np.nan)}, oc.errors.NonFiniteError, "init holds NaN"),
        ({"init": lambda rows, k, random_state: rows}, oc.errors.ShapeError, r"\(40, 2\)"),
        ({"init_rows": 0}, oc.errors.OptionError, "init_rows=0"),
        ({"random_state": "now"}, oc.errors.OptionError, "random_state='now'"),
    ],
)
def test_parameters_without_sense(parameters: dict[str, Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        oc.KMeans(**parameters).fit(clouds(40, 2, 2))


def test_weights_without_sense() -> None:
    x = clouds(40, 2, 2)
    with pytest.raises(oc.errors.OptionError, match="zero for every row"):
        oc.KMeans(2).fit(x, sample_weight=np.zeros(40))
    with pytest.raises(oc.errors.OptionError, match="row 5"):
        oc.KMeans(2).fit(x, sample_weight=np.where(np.arange(40) == 5, -1, 1))
    with pytest.raises(oc.errors.ShapeError, match="1 rows have a weight above 0"):
        oc.KMeans(2).fit(x, sample_weight=np.eye(40)[3])


def test_centres_that_are_given_need_one_start() -> None:
    x = clouds(40, 2, 2)
    with pytest.warns(RuntimeWarning, match="only one init in KMeans instead of n_init=5"):
        oc.KMeans(2, init=x[:2], n_init=5).fit(x)


def test_a_fitted_one_pickles() -> None:
    x = clouds(300, 3, 3, mean=1e5)
    km = oc.KMeans(3, random_state=0).fit(x)
    again = pickle.loads(pickle.dumps(km))
    assert_array_equal(again.predict(x), km.labels_)
    assert_array_equal(again.transform(x), km.transform(x))


def test_verbose_says_what_it_does(capsys: pytest.CaptureFixture[str]) -> None:
    oc.KMeans(2, random_state=0, verbose=1).fit(clouds(40, 2, 2))
    assert "Iteration 0, centres moved by" in capsys.readouterr().out


def test_a_budget_that_is_too_small_is_refused_before_anything_is_read() -> None:
    x = clouds(3000, 4, 3)
    with oc.options(memory="100kB"):
        with pytest.raises(oc.errors.MemoryBudgetError, match=r"(?s)KMeans\.fit.*rows to begin with"):
            oc.KMeans(3).fit(x)
        with pytest.raises(oc.errors.MemoryBudgetError, match=r"KMeans\.fit"):
            oc.KMeans(3, init=x[:3]).fit(x)


def test_a_plan_counts_one_read_for_an_iteration(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", clouds(30_000, 8, 4))
    with oc.open(tmp_path / "x.npy") as x:
        plan = oc.plan(oc.KMeans(4).fit, x)
        assert plan.passes == 1
        assert plan.bytes_read == x.nbytes
        assert plan.what == "KMeans.fit(n_clusters=4)"
