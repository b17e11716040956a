from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import outcore as oc
from outcore.errors import NonFiniteError
from outcore.mixture.densities import Components
from outcore.mixture.expectation import Sums
from outcore.mixture.iterating import Reached, Search, Trial
from outcore.mixture.parameters import Parameters
from outcore.mixture.watching import Watch
from outcore.mixture.wishes import check_wishes

WISHES = replace(check_wishes(oc.GaussianMixture(1)), covariance_type="diag", tol=0.1, max_iter=4)


class Story:
    """Stands for the data: tells the lower bounds that passes are to find."""

    def __init__(self, *bounds: float, **wishes: Any) -> None:
        self.wishes = replace(WISHES, **wishes)
        self._bounds = iter(bounds)
        self.starts = 0
        self.passes = 0
        self.kept: list[tuple[int, bool]] = []

    def first(self) -> tuple[Parameters, np.ndarray]:
        self.starts += 1
        mean = np.array([[float(self.starts)]])
        return Parameters("diag", np.ones(1), mean, np.ones((1, 1))), np.ones((1, 1))

    def sum_up(self, components: Components) -> Sums:
        self.passes += 1
        return Sums(4 * next(self._bounds), 4.0, np.array([4.0]), np.zeros((1, 1)), np.full((1, 1), 4.0))

    def keep(self, reached: Reached, done: bool) -> None:
        self.kept.append((reached.init, done))

    def run(self, reached: Reached | None = None) -> Trial:
        search = Search(self.wishes, 4, self.first, self.sum_up, self.keep, Watch(self.wishes))
        return search.run(reached or Reached())


def test_it_ends_when_the_bound_changes_little() -> None:
    story = Story(-5.0, -4.0, -3.95)
    found = story.run()
    assert found.converged
    assert found.lower_bounds == [-5.0, -4.0, -3.95]
    assert story.kept == [(0, False)] * 3 + [(1, True)]


def test_a_bound_that_falls_by_little_ends_it_too() -> None:
    assert Story(-5.0, -5.05).run().converged


def test_it_ends_at_its_limit() -> None:
    story = Story(-9.0, -7.0, -5.0, -3.0)
    assert not story.run().converged
    assert story.passes == 4


def test_the_start_with_the_largest_bound_is_kept_and_complete() -> None:
    story = Story(-5, -5, -3, -3, -3, -3, n_init=3)
    found = story.run()
    assert story.starts == 3
    assert found.means[0, 0] == 2  # of equal ones the first
    np.testing.assert_allclose(found.whitening, 1 / np.sqrt(found.covariances))


def test_going_on_with_the_second_start() -> None:
    story = Story(-5, -5, -3, -3, n_init=2)
    found = story.run(
        Reached(1, None, Trial(np.ones(1), np.ones((1, 1)), None, np.ones((1, 1)), [-1.0], True))
    )
    assert story.starts == 1
    assert found.lower_bound == -1.0
    assert found.whitening is not None


def test_going_on_behind_the_last_iteration() -> None:
    story = Story()
    done = Trial(np.ones(1), np.ones((1, 1)), None, np.full((1, 1), 4.0), [-2.0, -2.0], True)
    found = story.run(Reached(0, done))
    assert (story.starts, story.passes) == (0, 0)
    assert found.whitening is not None
    assert found.whitening[0, 0] == 0.5


def test_more_iterations_for_one_that_stopped_at_its_limit() -> None:
    story = Story(-3.0, -2.95, max_iter=9)
    stopped = Trial(np.ones(1), np.ones((1, 1)), None, np.ones((1, 1)), [-9.0, -5.0])
    assert story.run(Reached(1, None, stopped)).lower_bounds == [-9.0, -5.0, -3.0, -2.95]


def test_covariances_are_let_go_while_a_pass_runs() -> None:
    story = Story(-5.0, -4.0, -3.95)
    reached = Reached()
    held = []
    sum_up = story.sum_up

    def watched(components: Components) -> Sums:
        assert reached.current is not None
        held.append(reached.current.covariances)
        return sum_up(components)

    story.sum_up = watched
    story.run(reached)
    assert held == [None] * 3


def test_a_bound_that_is_no_number_is_an_error() -> None:
    with pytest.raises(NonFiniteError, match="iteration 2 is -inf"):
        Story(-5.0, -np.inf).run()
