"""The Gaussian mixture estimator, for rows that do not fit in memory.

Reads from : mixture.iterating, mixture.initialising, mixture.checkpoint, mixture.assigning, blocks.reducing
Hands to   : users

Guarantees
- From the same start the results are scikit-learn's, to rounding: parameters, iterations, lower bounds.
- They are the same to the last bit on every executor, for every number of workers, from memory and from
  disk, and for a fit that was killed and went on.
- One pass over the data for each iteration; memory does not grow with the number of rows.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from outcore.blocks.reducing import run_pass
from outcore.blocks.statistic import Statistic
from outcore.estimation.base import Estimator
from outcore.estimation.checking import check_is_fitted, check_rows, check_weights, warn_convergence
from outcore.estimation.sampling import random_state
from outcore.mixture.assigning import Assignment, Kind, LogLikelihood
from outcore.mixture.densities import Components
from outcore.mixture.drawing import draw
from outcore.mixture.fitting import Job, search
from outcore.mixture.iterating import Trial
from outcore.mixture.parameters import Parameters, check_given
from outcore.mixture.whitening import precisions_of
from outcore.mixture.wishes import check_wishes

Floats = NDArray[np.float64]


class GaussianMixture(Estimator):
    """A mixture of Gaussian distributions, fitted by expectation-maximisation.

    Parameters, attributes and results are those of ``sklearn.mixture.GaussianMixture``. What differs: rows
    may have weights and may be larger than memory, the start comes from a subsample, a fit can go on after
    it was killed. Where to work, with how much memory and with which bar is said by `outcore.options`.

    Parameters
    ----------
    n_components : int
        How many distributions.
    covariance_type : {"full", "tied", "diag", "spherical"}
        Each component has its own covariance; all share one; own variances of each column; one own variance.
    tol : float
        The fit has converged when the lower bound changes by less.
    reg_covar : float
        Added to the diagonal of covariances.
    max_iter : int
        Iterations at most.
    n_init : int
        How many starts are tried; the best result is kept.
    init_params : {"k-means++", "kmeans", "random", "random_from_data"}
        How to find centres in a subsample of the rows: far from each other; the same, and moved to the
        middle of the rows nearest to them; all in the middle, with random shares of the rows; rows at
        random. Rows nearest to a centre shape its component. (scikit-learn uses all rows, and "kmeans" by
        default.)
    weights_init, means_init, precisions_init : array-like, optional
        Start from these.
    random_state : None, int, numpy.random.Generator or numpy.random.RandomState
        Decides the start, and `sample`.
    warm_start : bool
        Go on from what the last `fit` found; `n_init` is then 1.
    verbose : int
        1 prints a line for each start and each `verbose_interval` iterations, 2 times and lower bounds too.
    verbose_interval : int
        Iterations between two lines.
    init_rows : int, optional
        Size of the subsample. By default 8 MB of float64, at most 20 000 rows, at least 20 for each
        component.
    checkpoint : str or path, optional
        A file. While `fit` runs, what it has reached is noted there every few seconds; the same call, with
        the same data and parameters, then goes on from there, and gives what was found once the fit has
        ended. With ``n_init=1``, `max_iter` may be raised.

    Attributes
    ----------
    weights_ : ndarray of shape (K,)
    means_ : ndarray of shape (K, d)
    covariances_, precisions_, precisions_cholesky_ : ndarray
        Of shape (K, d, d), (d, d), (K, d) or (K,), as `covariance_type` is "full", "tied", "diag" or
        "spherical". `precisions_` is computed when it is asked for.
    converged_ : bool
    n_iter_ : int
    lower_bound_ : float
        Mean of the logarithm of the density of rows, as of the last expectation.
    lower_bounds_ : list of float
        Of each iteration.
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        Where the rows came as a table with named columns.

    Notes
    -----
    Memory of a fit: parameters and, for each worker, a block of rows and the sums; ``oc.plan(gm.fit, X)``
    shows them. Several starts need the covariances once more, for the best one. Where the sums of all
    workers do not fit, the workers share one set of them.

    A component's responsibility for a row below 2**-53 of that of others is taken for zero where the result
    stays the same to rounding.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x = np.vstack([rng.normal(0, 1, (500, 2)), rng.normal(9, 1, (500, 2))])
    >>> gm = oc.GaussianMixture(2, random_state=0).fit(x)
    >>> gm.means_.round().astype(int).tolist() in ([[0, 0], [9, 9]], [[9, 9], [0, 0]])
    True
    >>> gm.converged_
    True
    """

    _estimator_type = "density_estimator"

    weights_: Floats
    means_: Floats
    covariances_: Floats
    precisions_cholesky_: Floats
    converged_: bool
    n_iter_: int
    lower_bound_: float
    lower_bounds_: list[float]
    n_features_in_: int

    def __init__(
        self,
        n_components: int = 1,
        *,
        covariance_type: str = "full",
        tol: float = 1e-3,
        reg_covar: float = 1e-6,
        max_iter: int = 100,
        n_init: int = 1,
        init_params: str = "k-means++",
        weights_init: Any = None,
        means_init: Any = None,
        precisions_init: Any = None,
        random_state: Any = None,
        warm_start: bool = False,
        verbose: int = 0,
        verbose_interval: int = 10,
        init_rows: int | None = None,
        checkpoint: Any = None,
    ) -> None:
        self.n_components = n_components
        self.covariance_type = covariance_type
        self.tol = tol
        self.reg_covar = reg_covar
        self.max_iter = max_iter
        self.n_init = n_init
        self.init_params = init_params
        self.weights_init = weights_init
        self.means_init = means_init
        self.precisions_init = precisions_init
        self.random_state = random_state
        self.warm_start = warm_start
        self.verbose = verbose
        self.verbose_interval = verbose_interval
        self.init_rows = init_rows
        self.checkpoint = checkpoint

    # ---- fitting -------------------------------------------------------------------------------

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Estimate the parameters, one pass over the rows for each iteration.

        Parameters
        ----------
        X : Array, str, path, numpy.memmap, h5py.Dataset, table or array-like, shape (n, d)
            What `outcore.asarray` takes.
        y : ignored
        sample_weight : Array, str, path or array-like, shape (n,), optional
            A row of weight 3 counts as three rows, one of weight 0 as none.

        Returns
        -------
        self

        Raises
        ------
        OptionError, ShapeError, DTypeError
            Parameters or input that make no sense; more components than rows.
        NonFiniteError
            A row holds NaN or infinity.
        SingularCovarianceError
            The covariance of a component is no longer positive definite.
        CheckpointError
            The checkpoint belongs to other data or parameters, or is damaged.
        MemoryBudgetError
            Parameters and sums do not fit; nothing was read.

        Warns
        -----
        ConvergenceWarning
            `max_iter` was reached first.
        """
        noted = ("n_features_in_", "feature_names_in_")
        before = {name: vars(self)[name] for name in noted if name in vars(self)}
        try:
            return self._fit(X, sample_weight)
        except BaseException:
            # The estimator stays what it was: not fitted, or fitted to other columns.
            for name in noted:
                vars(self).pop(name, None)
            vars(self).update(before)
            raise

    def _fit(self, X: Any, sample_weight: Any) -> Self:
        wishes = check_wishes(self)
        array = check_rows(X, self, reset=True)
        trial = search(
            Job(
                array,
                check_weights(sample_weight, len(array)),
                wishes,
                check_given(
                    self.weights_init,
                    self.means_init,
                    self.precisions_init,
                    wishes.covariance_type,
                    wishes.n_components,
                    array.shape[1],
                ),
                self.random_state,
                self.checkpoint,
                self._before() if wishes.warm_start else None,
            )
        )
        if not trial.converged and wishes.max_iter > 0:
            warn_convergence(
                f"the best of {wishes.n_init} starts did not converge in max_iter={wishes.max_iter} "
                "iterations.\n"
                "Use a larger max_iter or tol, other init_params, or look for columns that depend on others.",
                stacklevel=4,
            )
        assert trial.covariances is not None
        assert trial.whitening is not None
        self.weights_, self.means_, self.covariances_ = trial.weights, trial.means, trial.covariances
        self.precisions_cholesky_ = trial.whitening
        self.converged_ = trial.converged
        self.n_iter_ = len(trial.lower_bounds)
        self.lower_bound_ = trial.lower_bound
        self.lower_bounds_ = trial.lower_bounds
        return self

    def fit_predict(self, X: Any, y: Any = None, sample_weight: Any = None, *, out: Any = None) -> Any:
        """Fit, and return the most probable component of each row; as `fit`, then `predict`.

        Parameters
        ----------
        X, y, sample_weight
            As for `fit`.
        out
            As for `predict`.
        """
        return self.fit(X, y, sample_weight).predict(X, out=out)

    def _before(self) -> Trial | None:
        """Return what the last fit found."""
        if not hasattr(self, "converged_"):
            return None
        return Trial(
            self.weights_,
            self.means_,
            self.precisions_cholesky_,
            self.covariances_,
            bound_before=self.lower_bound_,
        )

    # ---- what the mixture says of rows ---------------------------------------------------------

    def predict(self, X: Any, *, out: Any = None) -> Any:
        """Return the most probable component of each row.

        Parameters
        ----------
        X : Array, str, path, numpy.memmap, h5py.Dataset, table or array-like, shape (n, d)
        out : ndarray, Array, SharedArray or address, optional
            Takes the result: an array of that shape, or the name of one on disk to create.

        Returns
        -------
        ndarray or Array of int64, shape (n,)

        Raises
        ------
        NotFittedError, ShapeError, DTypeError, NonFiniteError, MemoryBudgetError

        Notes
        -----
        Memory: the result unless `out` is on disk; a block of rows for each worker.
        """
        return self._assign("predict", "labels", X, out)

    def predict_proba(self, X: Any, *, out: Any = None) -> Any:
        """Return the probability of each component for each row.

        Parameters
        ----------
        X, out
            As for `predict`.

        Returns
        -------
        ndarray or Array of float64, shape (n, K)
        """
        return self._assign("predict_proba", "shares", X, out)

    def score_samples(self, X: Any, *, out: Any = None) -> Any:
        """Return the logarithm of the density at each row.

        Parameters
        ----------
        X, out
            As for `predict`.

        Returns
        -------
        ndarray or Array of float64, shape (n,)
        """
        return self._assign("score_samples", "log_densities", X, out)

    def score(self, X: Any, y: Any = None) -> float:
        """Return the mean of `score_samples`, in memory that does not grow with the rows.

        Parameters
        ----------
        X
            As for `predict`.
        y : ignored
        """
        total, n_rows = self._log_likelihood("score", X)
        return total / n_rows

    def aic(self, X: Any) -> float:
        """Return Akaike's information criterion; lower is better.

        Parameters
        ----------
        X
            As for `predict`.
        """
        total, _ = self._log_likelihood("aic", X)
        return -2 * total + 2 * self._n_parameters()

    def bic(self, X: Any) -> float:
        """Return the Bayesian information criterion; lower is better.

        Parameters
        ----------
        X
            As for `predict`.
        """
        total, n_rows = self._log_likelihood("bic", X)
        return -2 * total + self._n_parameters() * math.log(n_rows)

    def sample(self, n_samples: int = 1) -> tuple[Floats, NDArray[np.int64]]:
        """Draw rows from the mixture, ordered by component.

        Parameters
        ----------
        n_samples : int

        Returns
        -------
        X : ndarray of shape (n_samples, d)
        y : ndarray of int64, shape (n_samples,)
            The component of each row.

        Raises
        ------
        OptionError
            `n_samples` is below 1.
        MemoryBudgetError
            The rows do not fit.
        """
        check_is_fitted(self)
        rng = random_state(self.random_state)
        return draw(self.weights_, self.means_, self.covariances_, self.covariance_type, n_samples, rng)

    @property
    def precisions_(self) -> Floats:
        """Inverse of the covariances; a new array each time."""
        check_is_fitted(self)
        return precisions_of(self.precisions_cholesky_, self.covariance_type)

    # ---- inside --------------------------------------------------------------------------------

    def _n_parameters(self) -> int:
        """Count the free parameters."""
        k, d = self.means_.shape
        triangle = d * (d + 1) // 2
        shapes = {"full": k * triangle, "tied": triangle, "diag": k * d, "spherical": k}
        return int(shapes[self.covariance_type] + k * d + k - 1)

    def _components(self) -> Components:
        return Parameters(
            self.covariance_type, self.weights_, self.means_, self.precisions_cholesky_
        ).components()

    def _pass(
        self, method: str, X: Any, statistic: Callable[[Components], Statistic[Any, Any]]
    ) -> tuple[Any, int]:
        """Run a statistic of the components over rows; return its result, and how many rows there were."""
        check_is_fitted(self)
        array = check_rows(X, self, reset=False)
        (result,) = run_pass(f"GaussianMixture.{method}", array, [statistic(self._components())])
        return result, len(array)

    def _assign(self, method: str, kind: Kind, X: Any, out: Any) -> Any:
        return self._pass(method, X, lambda components: Assignment(components, kind, out))[0]

    def _log_likelihood(self, method: str, X: Any) -> tuple[float, int]:
        return self._pass(method, X, LogLikelihood)
