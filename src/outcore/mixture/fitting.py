"""From rows and wishes to the best parameters: what `GaussianMixture.fit` does.

Reads from : mixture.initialising, mixture.iterating, mixture.checkpoint, blocks.reducing
Hands to   : mixture.gaussian

Guarantees
- What does not fit the budget is refused before the first row is read, and nothing is read for a plan.
- One runner for all passes: worker processes are started once.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from outcore import progress as bars
from outcore.array.handle import Array
from outcore.blocks.planning import Plan, Planned, asked, plan
from outcore.blocks.reducing import run_pass, session
from outcore.blocks.statistic import Block, Cost, Rows
from outcore.blocks.streaming import row_blocks
from outcore.errors import OptionError, ShapeError
from outcore.estimation.sampling import random_state
from outcore.linalg.weighing import block_weights
from outcore.mixture.checkpoint import Checkpoint
from outcore.mixture.densities import Components
from outcore.mixture.expectation import Expectation, Sums
from outcore.mixture.identity import identify
from outcore.mixture.initialising import first_parameters, kept_by_blas, require_start, start_parts
from outcore.mixture.iterating import Reached, Search, Trial
from outcore.mixture.parameters import Given, Parameters, covariance_shape
from outcore.mixture.watching import Steps, Watch
from outcore.mixture.wishes import Wishes


@dataclass(frozen=True)
class Job:
    """All that decides a fit.

    Attributes
    ----------
    array : Array of shape (n, d)
    weights : Array of shape (n,) or None
    wishes : Wishes
    given : Given
    seed : object
        The ``random_state``.
    checkpoint : str, path or None
    before : Trial or None
        What to go on from, of an earlier fit.
    """

    array: Array
    weights: Array | None
    wishes: Wishes
    given: Given
    seed: Any = None
    checkpoint: Any = None
    before: Trial | None = None

    @property
    def what(self) -> str:
        """The operation, for errors and plans."""
        wishes = self.wishes
        return f'GaussianMixture({wishes.n_components}, covariance_type="{wishes.covariance_type}").fit'


def search(job: Job) -> Trial:
    """Fit; return the best trial.

    Raises
    ------
    OptionError, ShapeError
        What is wished for does not go together.
    """
    wishes = job.wishes
    if job.before is not None or job.given.complete:
        wishes = replace(wishes, n_init=1)  # all starts would be the same
    n_rows, d = job.array.shape
    if wishes.n_components > n_rows:
        raise _too_few(wishes.n_components, f"X has {n_rows} rows (n_samples={n_rows})", n_rows)
    if job.checkpoint is not None and wishes.warm_start:
        raise OptionError(
            f"warm_start=True and checkpoint={job.checkpoint!r}: a checkpoint says itself where to go on.\n"
            "Use one of them."
        )
    if job.before is not None:
        _refuse_other(job.before, wishes, d)
    # The cost does not depend on the values.
    shape = covariance_shape(wishes.covariance_type, wishes.n_components, d)
    placeholder = Parameters(
        wishes.covariance_type,
        np.full(wishes.n_components, 1 / wishes.n_components),
        np.zeros((wishes.n_components, d)),
        np.broadcast_to(1.0, shape),
    )
    found = _plan(job, wishes, placeholder.components())
    if asked():
        raise Planned(found)
    if job.weights is not None:
        _check_weights(job.weights, wishes.n_components)
    return _run(job, wishes)


class _Iteration(Expectation):
    """An expectation beside which something is held: the best of the starts before."""

    def __init__(self, components: Components, n_init: int) -> None:
        super().__init__(components)
        best = components.precisions_cholesky.nbytes + components.means.nbytes
        self.held_bytes = best if n_init > 1 else 0

    def cost(self, rows: Rows, block_rows: int) -> Cost:
        """Count it with the parameters."""
        cost = super().cost(rows, block_rows)
        # What BLAS keeps from the work between two passes is not given back for the pass.
        kept = kept_by_blas(self.components.n_features)
        return replace(cost, parameter_bytes=cost.parameter_bytes + self.held_bytes + kept)


def _plan(job: Job, wishes: Wishes, components: Components) -> Plan:
    """Plan one iteration; refuse what does not fit."""
    iteration = _Iteration(components, wishes.n_init)
    found = plan(run_pass, job.what, job.array, [iteration], weights=job.weights)
    parts = dict(found.parts)
    if not job.given.complete and job.before is None:
        # Its memory is free again when the first pass begins.
        n_rows, d = job.array.shape
        require_start(n_rows, d, wishes)
        start = sum(start_parts(n_rows, d, wishes).values())
        parts["more while the start is found"] = max(0, start - sum(parts.values()))
    return replace(found, parts=parts)


def _run(job: Job, wishes: Wishes) -> Trial:
    rng = random_state(job.seed)
    reached = Reached(current=job.before)
    checkpoint = None
    if job.checkpoint is not None:
        if job.seed is None:
            rng = np.random.RandomState(int(rng.uniform() * 2**31))  # whose state is nobody else's
        identity = identify(wishes, job.given, job.seed, job.array, job.weights)
        checkpoint = Checkpoint(job.checkpoint, identity, rng)
        reached = checkpoint.load()
    watch = Watch(wishes)
    nbytes = job.array.nbytes + (0 if job.weights is None else job.weights.nbytes)
    total = nbytes * max(wishes.max_iter, 1) * wishes.n_init
    done = reached.init * wishes.max_iter
    done += len(reached.current.lower_bounds) if reached.current is not None else 0
    with bars.bar("fit", total, done=nbytes * done, details=watch.details) as advance, session():
        steps = Steps(advance)

        def sum_up(components: Components) -> Sums:
            iteration = _Iteration(components, wishes.n_init)
            (sums,) = run_pass(job.what, job.array, [iteration], weights=job.weights, progress=steps)
            found: Sums = sums
            return found

        return Search(
            wishes,
            len(job.array),
            lambda: first_parameters(job.array, job.weights, job.given, wishes, rng),
            sum_up,
            (lambda reached, done: None) if checkpoint is None else checkpoint.keep,
            watch,
        ).run(reached)


def _check_weights(weights: Array, n_components: int) -> None:
    positive = 0
    for start, block in row_blocks(weights, what="sample_weight"):
        positive += int(np.count_nonzero(block_weights(Block(start, block, block))))
    if positive == 0:
        raise OptionError(
            f"all {len(weights)} weights of rows are zero: there is nothing to fit.\n"
            "Give at least one row a weight above zero, or leave sample_weight out."
        )
    if positive < n_components:
        raise _too_few(n_components, f"{positive} rows have a weight above zero", positive)


def _too_few(n_components: int, rows: str, most: int) -> OptionError:
    return OptionError(
        f"n_components={n_components}, and {rows}: each component needs at least one.\n"
        f"Use n_components={max(most, 1)} or fewer."
    )


def _refuse_other(before: Trial, wishes: Wishes, n_features: int) -> None:
    wanted = covariance_shape(wishes.covariance_type, wishes.n_components, n_features)
    means = (wishes.n_components, n_features)
    assert before.whitening is not None
    if before.means.shape != means or before.whitening.shape != wanted:
        raise ShapeError(
            f"warm_start=True, and the last fit has means of shape {before.means.shape} and covariances of "
            f"shape {before.whitening.shape}; now {means} and {wanted} are needed.\n"
            "Fit with the same columns, n_components and covariance_type, or with warm_start=False."
        )
