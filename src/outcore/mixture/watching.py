"""Telling how a fit goes: one bar for all its passes, and lines of text where they are asked for.

Reads from : mixture.iterating
Hands to   : mixture.gaussian

The lines are those of scikit-learn's ``verbose``. The bar counts bytes, those of all iterations that are
allowed: a fit that converges ends before it is full.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from outcore.mixture.iterating import Trial
from outcore.mixture.wishes import Wishes


class Watch:
    """Follows one fit.

    Parameters
    ----------
    wishes : Wishes
    """

    def __init__(self, wishes: Wishes) -> None:
        self._wishes = wishes
        self._line = "looking for a start"
        self._begun_s = self._told_s = time.monotonic()

    def details(self) -> str:
        """Return the line below the bar."""
        return self._line

    def begin(self, init: int) -> None:
        """Take note that a start begins."""
        self._begun_s = self._told_s = time.monotonic()
        if self._wishes.verbose:
            print(f"Initialization {init}")

    def iterated(self, init: int, trial: Trial, change: float) -> None:
        """Take note of the end of an iteration."""
        wishes, n_iter = self._wishes, len(trial.lower_bounds)
        several = f"start {init + 1} of {wishes.n_init}, " if wishes.n_init > 1 else ""
        self._line = (
            f"{several}iteration {n_iter} of at most {wishes.max_iter}, "
            f"log-likelihood {trial.lower_bound:.6g} a row, change {change:.3g}"
        )
        if not wishes.verbose or n_iter % wishes.verbose_interval:
            return
        now = time.monotonic()
        if wishes.verbose == 1:
            print(f"  Iteration {n_iter}")
        else:
            print(f"  Iteration {n_iter}\t time lapse {now - self._told_s:.5f}s\t ll change {change:.5f}")
        self._told_s = now

    def end(self, trial: Trial) -> None:
        """Take note of the end of a start."""
        verbose = self._wishes.verbose
        if not verbose:
            return
        how = "converged" if trial.converged else "did not converge"
        if verbose == 1:
            print(f"Initialization {how}.")
        else:
            taken_s = time.monotonic() - self._begun_s
            print(f"Initialization {how}. time lapse {taken_s:.5f}s\t lower bound {trial.lower_bound:.5f}.")


class Steps:
    """Makes one count of the counts of several passes."""

    def __init__(self, advance: Callable[[int], None]) -> None:
        self._advance = advance
        self._done = 0

    def __call__(self, done: int, total: int) -> None:
        """Take the count of a pass, which begins anew with each."""
        self._advance(done - self._done if done >= self._done else done)
        self._done = 0 if done >= total else done
