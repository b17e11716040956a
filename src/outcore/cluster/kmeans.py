"""`KMeans`: Lloyd's algorithm, one read of the rows for each iteration.

Reads from : cluster.starting, cluster.lloyd, blocks.reducing
Hands to   : users

Guarantees
- From the same centres scikit-learn's iterations, tolerance and relocation of empty clusters: the same
  centres, inertia and number of iterations, but for rounding.
- Memory does not depend on the number of rows, but for the labels: 4 bytes a row.
- The same result to the last bit on every executor, and from every format of the rows.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from outcore.array.handle import Array
from outcore.blocks.heap import give_back
from outcore.blocks.reducing import run_pass, session
from outcore.cluster.farthest import Farthest, average, relocate
from outcore.cluster.lloyd import Assignment, Sums
from outcore.cluster.nearest import Nearest, choose_shift
from outcore.cluster.spread import Spread, Spreading
from outcore.cluster.starting import Init, check_init, n_starts, refuse_no_weight, start_bytes, starts
from outcore.cluster.transforming import Distances
from outcore.errors import ShapeError
from outcore.estimation.base import Estimator
from outcore.estimation.checking import (
    check_is_fitted,
    check_number,
    check_rows,
    check_weights,
    warn_convergence,
)
from outcore.estimation.phases import beside_passes
from outcore.estimation.sampling import random_state


@dataclass(frozen=True, eq=False)
class _Run:
    """What came of one start: centres less the shift, and the last pass over the rows."""

    centres: NDArray[np.float64]
    found: Sums
    n_iter: int


class KMeans(Estimator):
    """Cluster rows around `n_clusters` centres: k-means by Lloyd's algorithm.

    Parameters
    ----------
    n_clusters : int
    init : {"k-means++", "random"}, ndarray of shape (n_clusters, d) or callable
        Where to begin: centres, or how to choose them from a sample of the rows. A callable gets
        ``(rows, n_clusters, random_state=...)`` and returns centres.
    n_init : "auto" or int
        How often to begin; the result with the least inertia is kept. "auto" is 10 for "random" and
        callables, else 1.
    max_iter : int
        Iterations of each start, at most.
    tol : float
        Ends the iterations: the squared distance that the centres moved by, beside the mean variance of the
        columns.
    verbose : int
        1 prints what each iteration comes to.
    random_state : None, int, numpy.random.Generator or numpy.random.RandomState
        For the choice of the first centres.
    init_rows : int, optional
        Rows in the sample that the first centres are chosen from. By default 8 MB of them, 20 000 at most
        and 20 for each cluster at least; all of a small array.
    compute_labels : bool
        False leaves out `labels_`, which takes 4 bytes a row.

    Attributes
    ----------
    cluster_centers_ : ndarray of float64, shape (n_clusters, d)
    labels_ : ndarray of int32, shape (n,)
        Unless ``compute_labels=False``.
    inertia_ : float
        Weighted sum of the squared distances to the nearest centre.
    n_iter_ : int
    n_features_in_ : int
    feature_names_in_ : ndarray of str, shape (d,)
        Where the rows came with names.

    Notes
    -----
    Reads the rows once for the tolerance, once for each iteration, and once for labels and inertia; an
    iteration that leaves a cluster without rows reads them twice.

    Differences to scikit-learn: the first centres come from a sample (the same ones as scikit-learn's, from
    the same int `random_state`, where the sample is all rows); sums are formed in float64 whatever the
    dtype of the rows; negative weights are refused. The algorithm is "lloyd"; `X` is never written to.

    Where and within which memory to work is set by `outcore.options`.

    Examples
    --------
    >>> x = np.array([[1.0, 2.0], [1.0, 4.0], [1.0, 0.0], [10.0, 2.0], [10.0, 4.0], [10.0, 0.0]])
    >>> km = oc.KMeans(n_clusters=2, random_state=0).fit(x)
    >>> km.labels_
    array([1, 1, 1, 0, 0, 0], dtype=int32)
    >>> km.predict([[0, 0], [12, 3]])
    array([1, 0], dtype=int32)
    >>> km.cluster_centers_
    array([[10.,  2.],
           [ 1.,  2.]])
    """

    _estimator_type = "clusterer"
    #: Set by `fit`: what is taken from the rows before they are compared with the centres.
    _shift: NDArray[np.float64] | None = None

    def __init__(
        self,
        n_clusters: int = 8,
        *,
        init: Any = "k-means++",
        n_init: int | str = "auto",
        max_iter: int = 300,
        tol: float = 1e-4,
        verbose: int = 0,
        random_state: Any = None,
        init_rows: int | None = None,
        compute_labels: bool = True,
    ) -> None:
        self.n_clusters = n_clusters
        self.init = init
        self.n_init = n_init
        self.max_iter = max_iter
        self.tol = tol
        self.verbose = verbose
        self.random_state = random_state
        self.init_rows = init_rows
        self.compute_labels = compute_labels

    # ---- fitting -------------------------------------------------------------------------------

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Find the centres.

        Parameters
        ----------
        X : Array, str, path, numpy.memmap, h5py.Dataset, table or array-like, shape (n, d)
        y : object
            Ignored.
        sample_weight : Array, str, path or array-like, shape (n,), optional
            A row of weight w counts as w rows.

        Returns
        -------
        self

        Raises
        ------
        OptionError
            A parameter or a weight that makes no sense, or weights that are all zero.
        ShapeError
            `X` is not a matrix, has fewer rows than there are clusters, or not one weight for each row.
        DTypeError
            `X` does not hold real numbers.
        NonFiniteError
            NaN or infinity in a row, which is named.
        MemoryBudgetError
            Sums or sample do not fit in the budget.

        Notes
        -----
        Memory: for each worker a block of rows (some 4 MB), a piece of it with its distances to the
        centres, and sums as large as the centres; 4 bytes a row for the labels. Before that, the sample.
        """
        self._check_parameters()
        source = check_rows(X, self, reset=True)
        weights = check_weights(sample_weight, len(source))
        k = self.n_clusters
        if len(source) < k:
            raise ShapeError(
                f"n_samples={len(source)} should be >= n_clusters={k}.\n"
                f"Use n_clusters={len(source)} or fewer."
            )
        init = check_init(self.init, (k, source.shape[1]))
        n_init = n_starts(init, self.n_init)
        if isinstance(init, np.ndarray) and n_init != 1:
            warnings.warn(
                f"init gives the centres: performing only one init in KMeans instead of n_init={n_init}.",
                RuntimeWarning,
                stacklevel=2,
            )
            n_init = 1
        self._plan(source, weights, init)
        with session():
            self._fit(source, weights, init, n_init)
        return self

    def _fit(self, source: Array, weights: Array | None, init: Init, n_init: int) -> None:
        rng = random_state(self.random_state)
        begin = starts(init, n_init, self.n_clusters, source, weights, rng, self.init_rows)
        spread: Spread
        (spread,) = self._pass(source, weights, Spreading(source.shape[1]))
        give_back()  # the sample, and what the allocator keeps of a pass of another kind
        refuse_no_weight(spread.weight)
        variances = spread.squares / spread.n_rows
        shift = choose_shift(spread.mean, float(variances.sum()))
        tolerance = float(variances.mean()) * self.tol
        best: _Run | None = None
        while begin:
            # Labels of several starts would be held side by side: they are computed for the best one alone.
            run = self._run(source, weights, begin.pop(0), shift, tolerance, labels=n_init == 1)
            if best is None or (run.found.inertia < best.found.inertia and not _same(run.found, best.found)):
                best = run
        assert best is not None
        labels = best.found.labels
        if n_init > 1 and self.compute_labels:
            nearest = Nearest(best.centres, shift)
            labels = self._pass(source, None, Assignment(nearest, labels=True))[0].labels
        self._keep(best, shift, labels)

    def _run(
        self,
        source: Array,
        weights: Array | None,
        centres: NDArray[np.float64],
        shift: NDArray[np.float64] | None,
        tolerance: float,
        *,
        labels: bool,
    ) -> _Run:
        """Iterate from one start to the end."""
        if shift is not None:
            centres = centres - shift
        if self.verbose:
            print("Initialization complete")
        n_iter = 0
        for n_iter in range(1, self.max_iter + 1):
            moved = self._iteration(source, weights, Nearest(centres, shift), f"iteration {n_iter}")
            # The same labels give the same sums to the last bit: then nothing moves, and scikit-learn, which
            # compares labels, ends in the same iteration.
            distance = float(((moved - centres) ** 2).sum())
            centres = moved
            if self.verbose:
                print(f"Iteration {n_iter - 1}, centres moved by {distance:.6g} (tolerance {tolerance:.6g}).")
            if distance <= tolerance:
                break
        last = Assignment(
            Nearest(centres, shift), sums=True, inertia=True, labels=labels and self.compute_labels
        )
        (found,) = self._pass(source, weights, last, "labels and inertia")
        return _Run(centres, found, n_iter)

    def _iteration(
        self, source: Array, weights: Array | None, nearest: Nearest, doing: str
    ) -> NDArray[np.float64]:
        """Return the means of the rows that are nearest to each centre."""
        (found,) = self._pass(source, weights, Assignment(nearest, sums=True), doing)
        n_empty = int((found.weights == 0).sum())
        if n_empty:
            (far,) = self._pass(source, weights, Farthest(nearest, n_empty), doing)
            relocate(found, far)
        return average(found)

    def _keep(self, run: _Run, shift: NDArray[np.float64] | None, labels: NDArray[np.int32] | None) -> None:
        distinct = int((run.found.counts > 0).sum())
        if distinct < self.n_clusters:
            warn_convergence(
                f"Number of distinct clusters ({distinct}) found smaller than "
                f"n_clusters ({self.n_clusters}). Possibly due to duplicate points in X.",
                stacklevel=4,
            )
        self._shift = shift
        self.cluster_centers_ = run.centres if shift is None else run.centres + shift
        self.inertia_ = run.found.inertia
        self.n_iter_ = run.n_iter
        if labels is not None:
            self.labels_ = labels
        elif hasattr(self, "labels_"):
            del self.labels_

    def _plan(self, source: Array, weights: Array | None, init: Init) -> None:
        """Raise the plan of the largest pass; or of the sample, where that takes more."""
        centres = np.zeros((self.n_clusters, source.shape[1]))
        nearest = Nearest(centres, np.zeros(source.shape[1]))
        largest = Assignment(nearest, sums=True, inertia=True, labels=self.compute_labels)
        begin = start_bytes(init, source, self.n_clusters, self.init_rows)
        what = f"KMeans.fit(n_clusters={self.n_clusters})"
        beside_passes(what, "rows to begin with", begin, lambda: self._pass(source, weights, largest))

    def _pass(self, source: Array, weights: Array | None, statistic: Any, doing: str = "") -> list[Any]:
        return run_pass(
            f"KMeans.fit(n_clusters={self.n_clusters})",
            source,
            [statistic],
            weights=weights,
            details=(lambda: doing) if doing else None,
        )

    def _check_parameters(self) -> None:
        check_number("n_clusters", self.n_clusters, Integral, 1)
        check_number("max_iter", self.max_iter, Integral, 1)
        check_number("tol", self.tol, Real, 0)
        if not (isinstance(self.n_init, str) and self.n_init == "auto"):
            check_number("n_init", self.n_init, Integral, 1)
        if self.init_rows is not None:
            check_number("init_rows", self.init_rows, Integral, 1)

    # ---- using ---------------------------------------------------------------------------------

    def fit_predict(self, X: Any, y: Any = None, sample_weight: Any = None, *, out: Any = None) -> Any:
        """Find the centres and return the labels of the rows; see `fit` and `predict`."""
        self.fit(X, sample_weight=sample_weight)
        return self.labels_ if self.compute_labels and out is None else self.predict(X, out=out)

    def fit_transform(self, X: Any, y: Any = None, sample_weight: Any = None, *, out: Any = None) -> Any:
        """Find the centres and return the distances of the rows to them; see `fit` and `transform`."""
        return self.fit(X, sample_weight=sample_weight).transform(X, out=out)

    def predict(self, X: Any, *, out: Any = None) -> Any:
        """Return the number of the nearest centre of each row.

        Parameters
        ----------
        X : Array, str, path, table or array-like, shape (n, d)
        out : ndarray of int32, Array or address, optional
            Takes the labels; an address is created.

        Returns
        -------
        ndarray of int32, shape (n,), or `out`

        Raises
        ------
        NotFittedError
            Before `fit`.
        ShapeError
            Not the columns of `fit`, or `out` does not fit.
        NonFiniteError
            NaN or infinity in a row.

        Notes
        -----
        Memory: 4 bytes a row unless `out` is on disk, and what a block takes for each worker.
        """
        source, nearest = self._ready(X)
        statistic = Assignment(nearest, labels=True, out=out, look=True)
        (found,) = run_pass("KMeans.predict", source, [statistic])
        return found.labels

    def transform(self, X: Any, *, out: Any = None) -> Any:
        """Return the distances of each row to all centres.

        Parameters
        ----------
        X : Array, str, path, table or array-like, shape (n, d)
        out : ndarray, Array or address, optional
            Takes the distances; an address is created.

        Returns
        -------
        ndarray of shape (n, n_clusters), or `out`
            float32 for rows of float32, else float64.

        Raises
        ------
        NotFittedError, ShapeError, NonFiniteError
            As for `predict`.

        Notes
        -----
        Memory: the result unless `out` is on disk, and what a block takes for each worker.
        """
        source, nearest = self._ready(X)
        dtype = np.float32 if source.dtype == np.float32 else np.float64
        (found,) = run_pass("KMeans.transform", source, [Distances(nearest, dtype, out)])
        return found

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """Return minus the inertia of the rows.

        Parameters
        ----------
        X : Array, str, path, table or array-like, shape (n, d)
        y : object
            Ignored.
        sample_weight : Array, str, path or array-like, shape (n,), optional
            A row of weight w counts as w rows.

        Raises
        ------
        NotFittedError, ShapeError, NonFiniteError
            As for `predict`.
        """
        source, nearest = self._ready(X)
        weights = check_weights(sample_weight, len(source))
        statistic = Assignment(nearest, inertia=True, look=True)
        (found,) = run_pass("KMeans.score", source, [statistic], weights=weights)
        return -float(found.inertia)

    def get_feature_names_out(self, input_features: Sequence[str] | None = None) -> NDArray[np.object_]:
        """Return the names of what `transform` returns: "kmeans0", "kmeans1", ..."""
        return self._feature_names_out(self.n_clusters, input_features)

    def _ready(self, X: Any) -> tuple[Array, Nearest]:
        check_is_fitted(self)
        source = check_rows(X, self, reset=False)
        shift = self._shift
        return source, Nearest(
            self.cluster_centers_ if shift is None else self.cluster_centers_ - shift, shift
        )


def _same(one: Sums, other: Sums) -> bool:
    """Whether two results put the same rows together: their sums are then the same, in some order."""
    return sorted(map(bytes, one.sums)) == sorted(map(bytes, other.sums))
