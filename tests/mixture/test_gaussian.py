from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import outcore as oc
from outcore.errors import NonFiniteError, NotFittedError, OptionError, ShapeError
from tests.mixture.mixtures import KINDS, groups, identical, same, start, theirs


@pytest.mark.parametrize("kind", KINDS)
@given(
    seed=st.integers(0, 10_000),
    n=st.integers(60, 300),
    d=st.integers(1, 5),
    k=st.integers(1, 4),
    offset=st.sampled_from([0.0, 100.0]),
)
@settings(max_examples=12)
@pytest.mark.filterwarnings("ignore::outcore.errors.ConvergenceWarning")
def test_the_same_as_scikit_learn(kind: str, seed: int, n: int, d: int, k: int, offset: float) -> None:
    x = groups(n, d, k, seed, offset=offset)
    parameters = start(x, k, kind, seed) | {"reg_covar": 1e-3, "max_iter": 15}
    ours, other = oc.GaussianMixture(**parameters).fit(x), theirs(x, **parameters)
    same(ours, other, rtol=1e-8)  # rounding grows with the iterations
    new = groups(50, d, k, seed + 1, offset=offset)
    np.testing.assert_allclose(ours.score_samples(new), other.score_samples(new), rtol=1e-7, atol=1e-7)
    np.testing.assert_allclose(ours.predict_proba(new), other.predict_proba(new), atol=1e-7)
    clear = (
        np.diff(np.sort(other.predict_proba(new), axis=1)[:, -2:], axis=1)[:, -1] > 1e-6
        if k > 1
        else slice(None)
    )
    np.testing.assert_array_equal(ours.predict(new)[clear], other.predict(new)[clear])
    for method in ("score", "aic", "bic"):
        assert getattr(ours, method)(x) == pytest.approx(getattr(other, method)(x), rel=1e-8, abs=1e-7)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.filterwarnings("ignore::outcore.errors.ConvergenceWarning")
def test_many_blocks_are_the_same_as_scikit_learn(kind: str) -> None:
    x = groups(20_000, 32, 3)
    parameters = start(x, 3, kind) | {"tol": 1e-4, "max_iter": 6}
    same(oc.GaussianMixture(**parameters).fit(x), theirs(x, **parameters))


@pytest.mark.parametrize("kind", KINDS)
def test_weights_count_rows(kind: str) -> None:
    x = groups(400, 3, 2)
    weights = np.random.default_rng(0).integers(0, 4, 400)
    parameters = start(x, 2, kind)
    weighted = oc.GaussianMixture(**parameters).fit(x, sample_weight=weights)
    same(weighted, oc.GaussianMixture(**parameters).fit(np.repeat(x, weights, axis=0)), rtol=1e-10)
    halved = oc.GaussianMixture(**parameters).fit(x, sample_weight=weights / 2)
    same(halved, weighted, rtol=1e-10)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("way", ["k-means++", "kmeans", "random_from_data"])
def test_groups_are_found_from_a_start_of_its_own(kind: str, way: str) -> None:
    x = groups(3000, 4, 3, seed=5, apart=12)
    ours = oc.GaussianMixture(3, covariance_type=kind, init_params=way, n_init=3, random_state=0).fit(x)
    other = theirs(x, n_components=3, covariance_type=kind, n_init=3, random_state=0)
    assert ours.lower_bound_ == pytest.approx(other.lower_bound_, rel=1e-3)
    assert ours.converged_


def test_the_best_start_is_kept() -> None:
    x = groups(500, 2, 4, apart=4)
    found = [
        oc.GaussianMixture(
            4, random_state=np.random.RandomState(3), n_init=n, init_params="random_from_data"
        ).fit(x)
        for n in (1, 5)
    ]
    assert found[1].lower_bound_ >= found[0].lower_bound_
    # What is kept besides the covariances is made of them again.
    again = oc.GaussianMixture(4, weights_init=found[1].weights_, means_init=found[1].means_,
                               precisions_init=found[1].precisions_, max_iter=0).fit(x)  # fmt: skip
    np.testing.assert_allclose(
        again.precisions_cholesky_, found[1].precisions_cholesky_, rtol=1e-6, atol=1e-9
    )


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_from_everywhere(kind: str, tmp_path: Path) -> None:
    x = groups(30_000, 8, 3)
    np.save(tmp_path / "x.npy", x)
    parameters: dict[str, Any] = {
        "n_components": 3,
        "covariance_type": kind,
        "random_state": 0,
        "max_iter": 5,
        "tol": 0,
    }
    with pytest.warns(oc.errors.ConvergenceWarning, match="max_iter=5"):
        first = oc.GaussianMixture(**parameters).fit(x)
    for source in (
        tmp_path / "x.npy",
        oc.open(tmp_path / "x.npy"),
        np.load(tmp_path / "x.npy", mmap_mode="r"),
        oc.share(x),
        np.asfortranarray(x),
    ):
        with pytest.warns(oc.errors.ConvergenceWarning):
            identical(oc.GaussianMixture(**parameters).fit(source), first)


@pytest.mark.filterwarnings("ignore::outcore.errors.ConvergenceWarning")
def test_float32_is_worked_on_in_float64() -> None:
    x = groups(2000, 5, 2).astype("f4")
    parameters = start(x, 2, "full")
    ours = oc.GaussianMixture(**parameters).fit(x)
    assert ours.means_.dtype == np.float64
    identical(ours, oc.GaussianMixture(**parameters).fit(x.astype("f8")))


def test_results_go_where_they_are_wanted(tmp_path: Path) -> None:
    x = groups(5000, 3, 2)
    gm = oc.GaussianMixture(2, random_state=0).fit(x)
    for method, shape, dtype in (
        ("predict", (5000,), "i8"),
        ("predict_proba", (5000, 2), "f8"),
        ("score_samples", (5000,), "f8"),
    ):
        call = getattr(gm, method)
        found = call(x)
        assert (found.shape, found.dtype) == (shape, np.dtype(dtype))
        out = np.empty(shape, "f4" if dtype == "f8" else dtype)
        assert call(x, out=out) is out
        np.testing.assert_allclose(out, found, rtol=1e-6)
        written = call(x, out=tmp_path / f"{method}.npy")
        assert isinstance(written, oc.Array)
        assert np.array_equal(oc.open(tmp_path / f"{method}.npy")[:], found)
        with oc.create(tmp_path / f"{method}2.npy", shape, dtype) as made:
            pass
        target = oc.open(tmp_path / f"{method}2.npy", mode="r+")
        assert call(x, out=target) is target
        assert np.array_equal(target[:], found)
        with pytest.raises(ShapeError):
            call(x, out=np.empty((1, *shape[1:])))
        del made
    assert np.array_equal(gm.fit_predict(x), gm.predict(x))


def test_nothing_before_fit() -> None:
    gm = oc.GaussianMixture()
    for method in ("predict", "predict_proba", "score_samples", "score", "aic", "bic"):
        with pytest.raises(NotFittedError, match="fit"):
            getattr(gm, method)(np.zeros((3, 2)))
    with pytest.raises(NotFittedError):
        gm.sample()
    assert not hasattr(gm, "precisions_")
    with pytest.raises(NonFiniteError):
        gm.fit([[np.nan]])
    with pytest.raises(NotFittedError):
        gm.predict([[1.0]])


def test_rows_with_nan_are_named(tmp_path: Path) -> None:
    x = groups(30_000, 3, 2)
    gm = oc.GaussianMixture(2, random_state=0).fit(x)
    for bad in (np.nan, np.inf, -np.inf):
        x[20_001, 1] = bad
        for call in (
            gm.predict,
            gm.predict_proba,
            gm.score_samples,
            gm.score,
            gm.aic,
            oc.GaussianMixture(2).fit,
        ):
            with pytest.raises(NonFiniteError, match="row 20001, column 1"):
                call(x)
    with pytest.raises(NonFiniteError):
        gm.predict(x, out=tmp_path / "labels.npy")
    assert not list(tmp_path.iterdir())


def test_rows_beyond_the_squares_of_float64() -> None:
    gm = oc.GaussianMixture(2, random_state=0).fit(groups(500, 2, 2))
    far = np.full((1, 2), 1e200)
    assert gm.score_samples(far)[0] == -np.inf
    assert gm.predict(far)[0] in (0, 1)
    assert gm.score_samples(np.full((1, 2), 1e20))[0] < -1e30
    proba = gm.predict_proba(np.full((1, 2), 1e20))
    assert proba.sum() == pytest.approx(1)


def test_scikit_learns_tools_take_it() -> None:
    x = groups(500, 3, 2)
    gm = oc.GaussianMixture(2, random_state=0, means_init=x[:2])
    copied = clone(gm)
    assert copied is not gm
    assert copied.get_params()["means_init"] is not gm.means_init
    fitted = make_pipeline(StandardScaler(), gm).fit(x)
    assert fitted.predict(x).shape == (500,)
    again = pickle.loads(pickle.dumps(gm))
    identical(again, gm)
    assert np.array_equal(again.predict(x), gm.predict(x))


@pytest.mark.parametrize("kind", KINDS)
def test_going_on_where_the_last_fit_ended(kind: str) -> None:
    x = groups(1000, 3, 3)
    parameters = start(x, 3, kind) | {"tol": 0.0}
    whole, warm = (
        oc.GaussianMixture(**parameters, max_iter=6),
        oc.GaussianMixture(**parameters, max_iter=3, warm_start=True),
    )
    with pytest.warns(oc.errors.ConvergenceWarning):
        whole.fit(x)
    for _ in range(2):
        with pytest.warns(oc.errors.ConvergenceWarning):
            warm.fit(x)
    assert warm.lower_bounds_ == whole.lower_bounds_[3:]
    assert np.array_equal(warm.means_, whole.means_)
    assert np.array_equal(warm.covariances_, whole.covariances_)
    with pytest.raises(ShapeError, match="warm_start=True"):
        warm.set_params(means_init=None, precisions_init=None).fit(groups(1000, 2, 3))
    assert warm.n_features_in_ == 3
    assert np.array_equal(warm.predict(x), whole.predict(x))


@pytest.mark.parametrize("kind", KINDS)
def test_no_iterations_leave_the_start(kind: str) -> None:
    x = groups(200, 3, 2)
    parameters = start(x, 2, kind)
    gm = oc.GaussianMixture(**parameters, max_iter=0).fit(x)
    assert (gm.n_iter_, gm.converged_, gm.lower_bounds_, gm.lower_bound_) == (0, False, [], -np.inf)
    assert np.array_equal(gm.means_, parameters["means_init"])
    np.testing.assert_allclose(gm.precisions_, parameters["precisions_init"], rtol=1e-9)
    # The first lower bound is that of the start.
    np.testing.assert_allclose(gm.score(x), theirs(x, **parameters, max_iter=1).lower_bound_, rtol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_drawn_rows_are_scikit_learns(kind: str) -> None:
    x = groups(300, 3, 2)
    parameters = start(x, 2, kind) | {"random_state": 7}
    rows, labels = oc.GaussianMixture(**parameters).fit(x).sample(1000)
    wanted, wanted_labels = theirs(x, **parameters).sample(1000)
    np.testing.assert_allclose(rows, wanted, rtol=1e-6, atol=1e-6)
    assert np.array_equal(labels, wanted_labels)


def test_no_rows_to_draw() -> None:
    gm = oc.GaussianMixture().fit(groups(50, 2, 1))
    for bad in (0, -1, 1.5, True):
        with pytest.raises(OptionError, match=r"n_samples=.* is not a whole number"):
            gm.sample(bad)


def test_a_plan_reads_nothing(tmp_path: Path) -> None:
    x = groups(20_000, 10, 1)
    x[:] = np.nan
    np.save(tmp_path / "x.npy", x)
    gm = oc.GaussianMixture(3, checkpoint=tmp_path / "fit.npz")
    plan = oc.plan(gm.fit, tmp_path / "x.npy")
    assert plan.bytes_read == x.nbytes
    assert 'GaussianMixture(3, covariance_type="full").fit' in plan.what
    assert not vars(gm).keys() & {"n_features_in_", "means_"}
    assert [path.name for path in tmp_path.iterdir()] == ["x.npy"]
    gm.set_params(checkpoint=None).fit(groups(100, 10, 3))
    assert oc.plan(gm.predict_proba, tmp_path / "x.npy").n_rows == 20_000


def test_verbose_prints_what_scikit_learn_prints(capsys: pytest.CaptureFixture[str]) -> None:
    x = groups(300, 2, 2)
    parameters = start(x, 2, "full") | {"verbose": 1, "verbose_interval": 2}
    oc.GaussianMixture(**parameters).fit(x)
    ours = capsys.readouterr().out
    theirs(x, **parameters)
    assert ours == capsys.readouterr().out
    oc.GaussianMixture(**parameters | {"verbose": 2}).fit(x)
    assert "\t ll change " in capsys.readouterr().out
    oc.GaussianMixture(**parameters | {"verbose": 0}).fit(x)
    assert capsys.readouterr() == ("", "")
