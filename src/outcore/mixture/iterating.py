"""Expectation and maximisation in turn, from one start or several.

Reads from : mixture.expectation, by way of the pass that it is given
Hands to   : mixture.gaussian

Guarantees
- The order of steps, the comparison that ends them and the choice between several starts are scikit-learn's:
  from the same parameters the same number of iterations.
- One pass over the data for each iteration.
- What is kept between two passes is enough to go on to the same result, to the last bit.
- Of covariances and what is derived from them there is one copy while a pass runs: what the pass works with.
  The best of several starts is one more.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from outcore.errors import NonFiniteError
from outcore.mixture.densities import Components
from outcore.mixture.expectation import Sums
from outcore.mixture.parameters import Floats, Parameters, maximise
from outcore.mixture.whitening import whiten
from outcore.mixture.wishes import Wishes


@dataclass
class Trial:
    """One start and what came of it so far.

    Attributes
    ----------
    weights, means : ndarray
    whitening : ndarray or None
        The ``precisions_cholesky_``; None where they can be had from the covariances.
    covariances : ndarray or None
        None while a pass runs.
    lower_bounds : list of float
        Of each iteration.
    converged : bool
    bound_before : float
        The lower bound of an earlier fit that this one goes on from.
    """

    weights: Floats
    means: Floats
    whitening: Floats | None
    covariances: Floats | None
    lower_bounds: list[float] = field(default_factory=list)
    converged: bool = False
    bound_before: float = -np.inf

    @property
    def lower_bound(self) -> float:
        """The last one; minus infinity before the first iteration."""
        return self.lower_bounds[-1] if self.lower_bounds else -np.inf


@dataclass
class Reached:
    """How far a fit has come.

    Attributes
    ----------
    init : int
        The start that is being worked on, from 0; as many as there are starts when all is done.
    current : Trial or None
        Of that start; None if it has not begun.
    best : Trial or None
        Of those before.
    """

    init: int = 0
    current: Trial | None = None
    best: Trial | None = None


class Watcher(Protocol):
    """Is told how a fit goes."""

    def begin(self, init: int) -> None:
        """Take note that a start begins."""

    def iterated(self, init: int, trial: Trial, change: float) -> None:
        """Take note of the end of an iteration."""

    def end(self, trial: Trial) -> None:
        """Take note of the end of a start."""


@dataclass(frozen=True)
class Search:
    """The search for the best parameters.

    Attributes
    ----------
    wishes : Wishes
    n_rows : int
    first : callable
        Returns the parameters of the next start, and their covariances.
    sum_up : callable
        Makes the pass over the data.
    keep : callable
        ``keep(reached, done)``: notes how far it has come, if it is time; surely where `done`.
    watcher : Watcher
    """

    wishes: Wishes
    n_rows: int
    first: Callable[[], tuple[Parameters, Floats]]
    sum_up: Callable[[Components], Sums]
    keep: Callable[[Reached, bool], None]
    watcher: Watcher

    def run(self, reached: Reached) -> Trial:
        """Go on from where a fit has come to, until the end; return the best trial, complete."""
        n_init = self.wishes.n_init
        if n_init == 1 and reached.best is not None and self._goes_on(reached.best):
            reached = Reached(current=reached.best)
        while reached.init < n_init:
            self.watcher.begin(reached.init)
            if reached.current is None:
                parameters, covariances = self.first()
                reached.current = Trial(
                    parameters.weights, parameters.means, parameters.whitening, covariances
                )
                del parameters, covariances
            self._iterate(reached, self._completed(reached.current))
            self.watcher.end(reached.current)
            best = reached.best
            if best is None or reached.current.lower_bound > best.lower_bound or best.lower_bound == -np.inf:
                reached.best = reached.current
            reached.current = None
            reached.init += 1
            if reached.init < n_init:
                assert reached.best is not None
                if reached.best.lower_bounds:  # so that its covariances tell
                    reached.best.whitening = None
                self.keep(reached, False)
        assert reached.best is not None
        self.keep(reached, True)
        return self._completed(reached.best)

    def _goes_on(self, trial: Trial) -> bool:
        return not trial.converged and len(trial.lower_bounds) < self.wishes.max_iter

    def _iterate(self, reached: Reached, trial: Trial) -> None:
        wishes = self.wishes
        while self._goes_on(trial):
            trial.covariances = None
            kind = wishes.covariance_type
            assert trial.whitening is not None
            sums = self.sum_up(Parameters(kind, trial.weights, trial.means, trial.whitening).components())
            bound = self._bound(sums, len(trial.lower_bounds))
            trial.whitening = None  # before the next one is made
            trial.weights, trial.means, trial.covariances = maximise(
                sums, trial.means, kind, wishes.reg_covar, self.n_rows
            )
            del sums
            trial.whitening = whiten(trial.covariances, kind, wishes.reg_covar)
            change = bound - (trial.lower_bounds[-1] if trial.lower_bounds else trial.bound_before)
            trial.lower_bounds.append(bound)
            trial.converged = abs(change) < wishes.tol
            self.watcher.iterated(reached.init, trial, change)
            self.keep(reached, False)

    def _bound(self, sums: Sums, iteration: int) -> float:
        bound = float(sums.log_likelihood / sums.total_weight)
        if not np.isfinite(bound):
            raise NonFiniteError(
                f"the log-likelihood of iteration {iteration + 1} is {bound}: distances of rows to the means "
                "are too large for float64.\nScale the columns of X, to unit variance for example."
            )
        return bound

    def _completed(self, trial: Trial) -> Trial:
        if trial.whitening is None:
            assert trial.covariances is not None
            trial.whitening = whiten(trial.covariances, self.wishes.covariance_type, self.wishes.reg_covar)
        return trial
