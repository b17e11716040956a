"""Fits as a whole: where they run, what they refuse, what they hold."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import outcore as oc
from outcore.blocks.reducing import session
from outcore.errors import MemoryBudgetError, NonFiniteError, OptionError, SingularCovarianceError
from outcore.mixture.watching import Watch
from tests.mixture.mixtures import KINDS, groups, identical, start

PARAMETERS: dict[str, Any] = {"n_components": 3, "random_state": 0, "tol": 0.0, "max_iter": 3}


def fitted(x: Any, weights: Any = None, **parameters: Any) -> oc.GaussianMixture:
    with pytest.warns(oc.errors.ConvergenceWarning):
        return oc.GaussianMixture(**{**PARAMETERS, **parameters}).fit(x, sample_weight=weights)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_bits_on_any_number_of_threads(kind: str) -> None:
    x = groups(50_000, 6, 3)
    weights = np.random.default_rng(0).uniform(size=50_000)
    found = []
    for workers in (1, 2, 3):
        with session(workers=workers):
            found.append(fitted(x, weights, covariance_type=kind))
    identical(found[1], found[0])
    identical(found[2], found[0])


@pytest.mark.parametrize("kind", ["full", "diag"])
def test_the_same_bits_on_processes_and_executors(kind: str) -> None:
    x = oc.share(groups(50_000, 6, 3))
    weights = oc.share(np.random.default_rng(0).uniform(size=50_000))
    first = fitted(x, weights, covariance_type=kind)
    with oc.options(executor=2):
        identical(fitted(x, weights, covariance_type=kind), first)
    with ThreadPoolExecutor(2) as pool, oc.options(executor=pool):
        identical(fitted(x, weights, covariance_type=kind), first)


def test_shared_sums_are_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    # Several groups of rows, and so many components that sums of two workers are too large for the budget.
    monkeypatch.setattr("outcore.blocks.partition.MIN_GROUP_ROWS", 1024)
    monkeypatch.setattr("outcore.blocks.partition.PART_ROWS", 1)
    x = groups(9_000, 300, 3)
    parameters = start(x, 60, "full") | {"tol": 0.0, "max_iter": 1, "reg_covar": 1e-2}
    gm = oc.GaussianMixture(**parameters)
    roomy = oc.plan(gm.fit, x)
    assert roomy.mode == "rows"
    first = fitted(x, **parameters)
    for share in (0.9, 0.8, 0.7, 0.6, 0.5):
        with oc.options(memory=int(roomy.peak_bytes * share)):
            if oc.plan(gm.fit, x).mode == "parts":
                break
    else:
        pytest.fail("no budget makes workers share their sums")
    with oc.options(memory=int(roomy.peak_bytes * share)):
        identical(fitted(x, **parameters), first)


def test_too_many_components_say_so() -> None:
    with pytest.raises(OptionError, match=r"n_components=5, and X has 3 rows \(n_samples=3\)") as error:
        oc.GaussianMixture(5).fit(np.zeros((3, 2)))
    assert "Use n_components=3 or fewer" in str(error.value)
    with pytest.raises(OptionError, match="n_components=3, and 2 rows have a weight above zero"):
        oc.GaussianMixture(3).fit(np.zeros((5, 2)), sample_weight=[0, 1, 0, 2, 0])


@pytest.mark.parametrize(
    ("weights", "error", "text"),
    [
        ([0, 0, 0, 0], OptionError, "all 4 weights of rows are zero"),
        ([1, 2, -1, 1], OptionError, "-1 in row 2"),
        ([1, np.nan, 1, 1], NonFiniteError, "row 1"),
        ([1, 1, 1, np.inf], NonFiniteError, "row 3"),
    ],
)
def test_weights_that_make_no_sense(weights: list[float], error: type[Exception], text: str) -> None:
    x = groups(4, 2, 1)
    with pytest.raises(error, match=text):
        oc.GaussianMixture().fit(x, sample_weight=weights)
    with pytest.raises(error, match=text):
        oc.GaussianMixture(**start(x, 1, "full")).fit(x, sample_weight=weights)


def test_weights_from_disk(tmp_path: Any) -> None:
    x = groups(2000, 3, 3)
    weights = np.random.default_rng(0).uniform(size=2000)
    np.save(tmp_path / "w.npy", weights)
    identical(fitted(x, tmp_path / "w.npy"), fitted(x, weights))


def test_a_covariance_that_collapses_is_named() -> None:
    x = groups(200, 3, 1)
    x[:100] = 50.0
    with pytest.raises(SingularCovarianceError, match=r"component \d is not positive definite") as error:
        oc.GaussianMixture(2, random_state=0, reg_covar=0.0).fit(x)
    assert "reg_covar=0" in str(error.value)
    assert "Use a larger reg_covar (reg_covar=1e-06)" in str(error.value)


def test_what_does_not_fit_is_refused_before_a_row_is_read() -> None:
    x = np.full((2000, 200), np.nan)
    with oc.options(memory="20MB"), pytest.raises(MemoryBudgetError, match=r"GaussianMixture\(100, "):
        oc.GaussianMixture(100).fit(x)


def test_several_starts_hold_the_best() -> None:
    x = np.zeros((2000, 100))
    one, several = (oc.plan(oc.GaussianMixture(50, n_init=n).fit, x) for n in (1, 2))
    assert several.peak_bytes - one.peak_bytes == pytest.approx(8 * 50 * 100 * 101)


def test_one_row_and_one_column() -> None:
    gm = oc.GaussianMixture().fit([[3.0]])
    assert gm.means_[0, 0] == 3
    assert gm.covariances_[0, 0, 0] == pytest.approx(1e-6)


def test_integers_and_booleans() -> None:
    x = np.random.default_rng(0).integers(0, 9, (300, 2))
    identical(fitted(x), fitted(x.astype("f8")))
    assert fitted(x > 4).means_.max() <= 1


def test_progress_counts_all_passes() -> None:
    x = groups(20_000, 4, 3)
    told: list[tuple[int, int]] = []
    with oc.options(progress=lambda done, total: told.append((done, total))):
        fitted(x, n_init=2)
    assert told[-1] == (6 * x.nbytes, 6 * x.nbytes)
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    # The passes themselves tell nothing.
    assert {total for _, total in told} == {6 * x.nbytes}


def test_a_bar_with_the_log_likelihood() -> None:
    seen = []
    real = Watch.details

    def details(self: Watch) -> str:
        seen.append(real(self))
        return seen[-1]

    with pytest.MonkeyPatch.context() as patched, oc.options(progress=True):
        patched.setattr(Watch, "details", details)
        patched.setattr("outcore.progress.REFRESH_S", 0.0)
        fitted(groups(3000, 2, 3), n_init=2)
    assert seen[0] == "looking for a start"
    assert seen[-1].startswith("start 2 of 2, iteration 3 of at most 3, log-likelihood -")
