from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import outcore as oc
from outcore.blocks.statistic import Block, Rows
from outcore.errors import NonFiniteError, OptionError, ShapeError
from outcore.mixture.densities import Components
from outcore.mixture.expectation import Expectation
from tests.mixture.blockwise import SHARE, Dirty, close, drawn, made, passed, reference_sums

pytestmark = pytest.mark.usefixtures("like_a_task")

KINDS = ("full", "tied", "diag", "spherical")
#: Few features, and features that are summed one component at a time.
SHAPES = [(1, 1), (3, 2), (4, 20), (5, 70)]


def equal(a, b) -> None:
    assert pickle.dumps(a) == pickle.dumps(b)


@pytest.mark.parametrize(
    ("kind", "k", "d"),
    [(kind, k, d) for kind in KINDS for k, d in SHAPES] + [("full", 3, 270), ("full", 2, 410)],
)
@pytest.mark.parametrize("apart", [0.3, 4.0])
def test_the_sums_are_those_of_plain_numpy(kind: str, k: int, d: int, apart: float) -> None:
    components = made(kind, k, d, apart=apart)
    x = drawn(components, 250 if d > 100 else 600)
    close(passed(components, x), reference_sums(components, x), 1e-12)


@settings(max_examples=50, deadline=None)
@given(
    kind=st.sampled_from(KINDS),
    k=st.integers(1, 6),
    d=st.integers(1, 40),
    n=st.integers(1, 200),
    apart=st.sampled_from([0.0, 0.5, 2.0, 10.0, 1000.0]),
    offset=st.sampled_from([0.0, 1e3, -1e6]),
    weighted=st.booleans(),
    dtype=st.sampled_from([np.float64, np.float32, np.int16]),
    seed=st.integers(0, 1000),
)
def test_any_mixture(kind, k, d, n, apart, offset, weighted, dtype, seed) -> None:
    if dtype == np.int16:
        offset = 0.0
    components = made(kind, k, d, apart=apart, offset=offset, seed=seed)
    x = drawn(components, n, seed=seed + 1).astype(dtype)
    w = np.random.default_rng(seed).integers(0, 3, n).astype(float) if weighted else None
    # A row a million away has its own rounding: the last bit of a value is 1e-10.
    tolerance = 1e-11 if abs(offset) + apart < 1e3 else 1e-9
    close(passed(components, x, w, block=128), reference_sums(components, x, w), tolerance)


@pytest.mark.parametrize("kind", KINDS)
def test_a_weight_is_as_many_rows(kind: str) -> None:
    components = made(kind, 4, 30, apart=0.7)
    x = drawn(components, 800)
    w = np.arange(800) % 3  # whole numbers
    close(passed(components, x, w.astype(float)), reference_sums(components, np.repeat(x, w, axis=0)), 1e-12)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("k", "d"), [(3, 2), (5, 70), (3, 410)])
@pytest.mark.parametrize("apart", [0.5, 3.0])
def test_the_same_bits_wherever_the_buffers_lie_and_whoever_sums_the_parts(kind, k, d, apart) -> None:
    components = made(kind, k, d, apart=apart)
    x = drawn(components, 1000)
    w = np.linspace(0, 2, 1000)
    first = passed(components, x, w)
    equal(first, passed(components, x, w, split=True))
    s = Expectation(components).bind(Rows(1000, (d,), x.dtype, (1000,)), SHARE)
    results = []
    for odd in (0, 8, 24):
        state = s.update(s.zero(), Block(0, x, w, Dirty(odd)))
        results.append(pickle.dumps(s.finalize(state)))
    assert len(set(results)) == 1


def test_the_statistic_travels() -> None:
    components = made("full", 3, 70)
    x = drawn(components, 500)
    s = Expectation(components).bind(Rows(500, (70,), x.dtype), SHARE)
    there = pickle.loads(pickle.dumps(s, protocol=5))
    equal(
        s.finalize(s.update(s.zero(), Block(0, x))), there.finalize(there.update(there.zero(), Block(0, x)))
    )


@pytest.mark.parametrize("kind", KINDS)
def test_the_pass_gives_the_same_for_any_workers(kind: str) -> None:
    components = made(kind, 3, 20)
    x = drawn(components, 20_000).astype(np.float32)
    results = [oc.reduce_rows(x, Expectation(components), executor=None, workers=n) for n in (1, 2, 3)]
    equal(results[0], results[1])
    equal(results[0], results[2])
    close(results[0], passed(components, x), 1e-12)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("d", [3, 80])
@pytest.mark.parametrize("apart", [0.5, 4.0])
@pytest.mark.parametrize(
    ("value", "said"), [(np.nan, "NaN"), (np.inf, "infinity"), (-np.inf, "minus infinity")]
)
def test_a_row_that_is_no_number_is_named(kind: str, d: int, apart: float, value: float, said: str) -> None:
    components = made(kind, 4, d, apart=apart)
    x = drawn(components, 1000)
    x[617, d - 1] = value
    with pytest.raises(NonFiniteError, match=rf"{said}.* in row 617, column {d - 1}"):
        passed(components, x)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("d", [3, 80])
def test_a_row_too_far_for_float64_is_named(kind: str, d: int) -> None:
    x = drawn(made(kind, 4, d), 1000)
    x[300, 1] = 1e200
    with pytest.raises(NonFiniteError, match=r"row 300 .*squared distance overflows .*1e\+200"):
        passed(made(kind, 4, d), x)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("d", [3, 80])
def test_rows_far_from_everything_belong_to_the_nearest(kind: str, d: int) -> None:
    components = made(kind, 4, d, apart=1.0)
    x = drawn(components, 400)
    x[7] *= 1e9
    x[300] -= 1e50
    ours, other = passed(components, x), reference_sums(components, x)
    np.testing.assert_allclose(ours.weights, other.weights, rtol=1e-9)
    np.testing.assert_allclose(ours.log_likelihood, other.log_likelihood, rtol=1e-12)
    np.testing.assert_allclose(ours.second, other.second, rtol=1e-6, atol=1e-6 * np.abs(other.second).max())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("d", [2, 80])
def test_components_that_nothing_belongs_to_get_nothing(kind: str, d: int) -> None:
    some = made(kind, 4, d)
    logs = some.log_weights.copy()
    logs[1] = -np.inf
    means = some.means.copy()
    means[2] += 1e4  # no row is near
    components = Components(kind, logs, means, some.precisions_cholesky)
    x = drawn(some, 500)
    ours = passed(components, x)
    assert (ours.weights[[1, 2]] == 0).all()
    assert (ours.first[[1, 2]] == 0).all()
    close(ours, reference_sums(components, x), 1e-10)


@pytest.mark.parametrize("kind", KINDS)
def test_weights_of_zero_alone(kind: str) -> None:
    components = made(kind, 2, 5)
    ours = passed(components, drawn(components, 50), np.zeros(50))
    assert ours.total_weight == ours.log_likelihood == 0
    assert not ours.weights.any()
    assert not ours.second.any()


@pytest.mark.parametrize(
    ("weight", "error"), [(np.nan, NonFiniteError), (np.inf, NonFiniteError), (-1.0, OptionError)]
)
def test_impossible_weights_are_named(weight: float, error: type[Exception]) -> None:
    components = made("diag", 2, 5)
    w = np.ones(50)
    w[31] = weight
    with pytest.raises(error, match="row 31"):
        passed(components, drawn(components, 50), w, block=20)


def test_wrong_shapes_are_refused() -> None:
    s = Expectation(made("full", 2, 5))
    with pytest.raises(ShapeError, match=r"shape \(4,\); the means have 5 columns"):
        s.bind(Rows(10, (4,), np.dtype(float)), SHARE)
    with pytest.raises(ShapeError, match=r"weights have shape \(10, 2\)"):
        s.bind(Rows(10, (5,), np.dtype(float), (10, 2)), SHARE)
