from __future__ import annotations

import numpy as np
import pytest

from outcore.blocks.statistic import Block
from outcore.mixture import screening
from outcore.mixture.densities import Components, log_probabilities
from outcore.mixture.expectation import Expectation
from outcore.mixture.screening import (
    NEGLIGIBLE,
    choose,
    light_below,
    prepare,
    screened_log_probabilities,
    weak_below,
)
from tests.mixture.blockwise import Dirty, close, drawn, made, passed, reference_sums

pytestmark = pytest.mark.usefixtures("like_a_task")


def shares_of(logs: np.ndarray) -> np.ndarray:
    return np.exp(logs - np.logaddexp.reduce(logs, axis=1, keepdims=True))


@pytest.mark.parametrize("way", ["single", "bounds"])
@pytest.mark.parametrize(("k", "d"), [(3, 64), (10, 100), (3, 260)])
@pytest.mark.parametrize("apart", [0.0, 0.3, 0.6])
def test_responsibilities_are_the_same_to_rounding(way: str, k: int, d: int, apart: float) -> None:
    components = made("full", k, d, apart=apart)
    x = drawn(components, 600)
    exact, found = np.empty((600, k)), np.empty((k, 600))
    log_probabilities(components, Block(0, x), exact)
    screen = prepare(components)
    if way == "bounds" and apart == 0.0:
        assert screen.projection is None
        return
    screened_log_probabilities(components, screen, way, Block(0, x, None, Dirty()), found)
    wanted, shares = shares_of(exact), shares_of(found.T)
    # Of one row: 64 times the rounding of its squared distance, which is about d.
    np.testing.assert_allclose(shares, wanted, rtol=0, atol=64 * 2e-16 * d)
    strong = wanted >= weak_below(d) * np.exp(components.log_weights)
    np.testing.assert_allclose(found.T[strong], exact[strong], rtol=1e-12)
    kept = wanted >= NEGLIGIBLE * np.exp(components.log_weights)
    if way == "bounds":
        np.testing.assert_allclose(found.T[kept], exact[kept], rtol=1e-12)
        assert ((-np.inf == found.T) | np.isclose(found.T, exact, rtol=1e-12)).all()
    else:
        np.testing.assert_allclose(found.T[kept], exact[kept], rtol=1e-4)


@pytest.mark.parametrize(
    ("apart", "way"), [(0.0, "double"), (0.5, "single"), (2.0, "bounds"), (1000.0, "double")]
)
def test_what_is_cheapest_is_chosen(apart: float, way: str) -> None:
    components = made("full", 10, 100, apart=apart, shear=0.1)
    assert choose(components, prepare(components), Block(0, drawn(components, 1000))) == way


@pytest.mark.parametrize("way", ["double", "single", "bounds"])
@pytest.mark.parametrize("apart", [0.4, 0.6, 1.0])
def test_sums_are_the_same_whichever_is_chosen(
    way: str, apart: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    components = made("full", 6, 100, apart=apart, shear=0.2)
    x = drawn(components, 700)
    w = np.linspace(0, 1e6, 700)
    assert prepare(components).singles
    monkeypatch.setattr("outcore.mixture.expectation.choose", lambda *_: way)
    found = passed(components, x, w)
    # Light moments are exact to that, in sums of a few hundred rows.
    close(found, reference_sums(components, x, w), 1e-12)
    monkeypatch.setattr(Expectation, "bind", lambda self, rows, share: self)
    close(found, passed(components, x, w), 1e-12)


def test_ill_conditioned_matrices_are_left_to_double_precision() -> None:
    components = made("full", 5, 80, apart=0.5)
    # One feature is nearly the sum of two others: a distance is a small difference of large numbers.
    u = components.precisions_cholesky.copy()
    u[:, 3, 5] = u[:, 4, 5] = -1e6
    u[:, 5, 5] = 1e6
    bad = Components("full", components.log_weights, components.means * [*[1] * 3, 0, 0, 0, *[1] * 74], u)
    x = drawn(bad, 600)
    screen = prepare(bad)
    assert choose(bad, screen, Block(0, x)) != "single"
    close(passed(bad, x), reference_sums(bad, x), 1e-9)


def test_scales_beyond_single_precision() -> None:
    some = made("full", 4, 80, apart=0.5)
    for scale in (1e-30, 1e-9, 1e9, 1e30):
        scaled = Components("full", some.log_weights, some.means * scale, some.precisions_cholesky / scale)
        x = drawn(some, 500) * scale
        assert not prepare(scaled).singles
        ours = passed(scaled, x)
        ours.first /= scale
        ours.second /= scale**2
        other = passed(some, x / scale)
        np.testing.assert_allclose(ours.weights, other.weights, rtol=1e-11)
        np.testing.assert_allclose(ours.second, other.second, rtol=1e-9, atol=1e-8)


def test_rows_far_away_among_others_in_single_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    components = made("full", 5, 80, apart=0.4)
    x = drawn(components, 500)
    x[3] *= 1e3
    x[100] += 1e6
    x[101, 70] = 1e40  # its square is beyond single precision, and the value itself
    monkeypatch.setattr("outcore.mixture.expectation.choose", lambda *_: "single")
    ours = passed(components, x)
    other = reference_sums(components, x)
    np.testing.assert_allclose(ours.weights, other.weights, rtol=1e-10)
    np.testing.assert_allclose(ours.log_likelihood, other.log_likelihood, rtol=1e-12)


def test_few_rows_are_not_worth_a_choice() -> None:
    components = made("full", 10, 100, apart=2.0)
    assert choose(components, prepare(components), Block(0, drawn(components, screening.SAMPLE))) == "double"


def test_light_shares_are_for_rows_among_the_components() -> None:
    components = made("full", 4, 100, apart=0.3)
    highest = np.array([components.log_norms.max(), components.log_norms.max() - 1e4])
    assert light_below(components, highest).tolist() == [2.0**-16, weak_below(100)]


def test_a_row_far_away_is_summed_exactly() -> None:
    d = 100
    means = np.zeros((2, d))
    means[1, 0] = gap = 5.0
    components = Components("full", np.log([0.5, 0.5]), means, np.repeat(np.eye(d)[None], 2, axis=0))
    x = np.random.default_rng(0).standard_normal((2000, d)) + means[0]
    x[1000:] += means[1]
    # 30 000 deviations from both; the share of the second is exp(-12.5), 2**-18.
    x[7] = 0.0
    x[7, :2] = gap / 2 - 12.5 / gap, 30_000
    share = shares_of(np.array([[0.0, -12.5]]))[0, 1]
    assert weak_below(d) < share < screening.LIGHT
    sums = passed(components, x)
    # What the row adds to the second component's sums is most of them there.
    assert sums.second[1, 1, 1] == pytest.approx(share * 9e8, rel=0.5)
    close(sums, reference_sums(components, x), 1e-13)
