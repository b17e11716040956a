"""`PCA`: principal components from one pass over the rows.

Reads from : linalg.covariance, decomposition.components, blocks.reducing
Hands to   : users

Guarantees
- Exact: nothing is sampled, and no power iteration; the result of scikit-learn's solvers "covariance_eigh"
  and "full", but for rounding.
- A mean that is large beside the deviation costs no digits.
- The same result to the last bit on every executor, and from every format of the rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import log, pi
from numbers import Integral, Real
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from outcore.array.handle import Array
from outcore.blocks.reducing import run_pass
from outcore.decomposition.components import from_covariance, from_factor
from outcore.decomposition.dimension import likely_dimension
from outcore.decomposition.projecting import Likelihood, Projection
from outcore.decomposition.triangular import Triangular
from outcore.errors import OptionError
from outcore.estimation.base import Estimator
from outcore.estimation.checking import check_is_fitted, check_rows, check_weights
from outcore.linalg.covariance import Covariance

SOLVERS = ("auto", "covariance_eigh", "full")


class PCA(Estimator):
    """Principal component analysis of rows of any number: exact, in one pass.

    Parameters
    ----------
    n_components : None, int, float or "mle"
        How many components to keep: all, so many, as many as explain more than this share of the variance
        (between 0 and 1), or as many as Minka's estimate finds.
    whiten : bool
        Scale what `transform` returns to unit variance.
    svd_solver : {"auto", "covariance_eigh", "full"}
        "covariance_eigh", which "auto" stands for, sums up the covariance: variances below about 1e-16 of
        the largest one, which are deviations below 1e-8 of the largest, are lost in its rounding. "full"
        sums up a triangular factor, which keeps them, at two to four times the cost.

    Attributes
    ----------
    components_ : ndarray of float64, shape (n_components_, d)
        Rows of unit length, by descending variance; of each the entry that is largest in absolute value is
        positive.
    explained_variance_, explained_variance_ratio_, singular_values_ : ndarray of float64, shape
    (n_components_,)
    mean_ : ndarray of float64, shape (d,)
    n_components_ : int
    n_samples_ : int
        Rows that were fitted.
    noise_variance_ : float
        Mean variance of the components that were not kept.
    n_features_in_ : int
    feature_names_in_ : ndarray of str, shape (d,)
        Where the rows came with names.

    Notes
    -----
    Reads the rows once. Sums are formed in float64 whatever the dtype of the rows. Weights, which
    scikit-learn's does not take, count rows.

    Where and within which memory to work is set by `outcore.options`.

    Examples
    --------
    >>> x = np.array([[-1.0, -1.0], [-2.0, -1.0], [-3.0, -2.0], [1.0, 1.0], [2.0, 1.0], [3.0, 2.0]])
    >>> pca = oc.PCA(n_components=1).fit(x)
    >>> pca.explained_variance_ratio_.round(4)
    array([0.9924])
    >>> pca.transform(x).shape
    (6, 1)
    """

    def __init__(
        self,
        n_components: int | float | str | None = None,
        *,
        whiten: bool = False,
        svd_solver: str = "auto",
    ) -> None:
        self.n_components = n_components
        self.whiten = whiten
        self.svd_solver = svd_solver

    # ---- fitting -------------------------------------------------------------------------------

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Find the components.

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
            A parameter or a weight that makes no sense.
        ShapeError
            `X` is not a matrix, has fewer than two rows, or not one weight for each row.
        DTypeError
            `X` does not hold real numbers.
        NonFiniteError
            NaN or infinity in a row, which is named.
        MemoryBudgetError
            Matrices and blocks do not fit in the budget.

        Notes
        -----
        Memory: for each worker a matrix of 8 * d * d bytes, a block of rows (some 4 MB) and a piece of it.
        For "full", five more such matrices, and three while they are merged.
        """
        source = check_rows(X, self, reset=True, min_rows=2)
        weights = check_weights(sample_weight, len(source))
        wanted = self._wanted(source)
        if self.svd_solver == "full":
            mean, variances, components, weight = self._by_factor(source, weights)
        else:
            mean, variances, components, weight = self._by_covariance(source, weights)
        rank = min(len(source), source.shape[1])
        variances = variances[:rank]
        total = float(variances.sum())
        ratios = variances / total if total > 0 else np.zeros(rank)
        if wanted == "mle":
            n = likely_dimension(variances, weight)
        elif isinstance(wanted, float):
            n = int(np.searchsorted(np.cumsum(ratios), wanted, side="right")) + 1
        else:
            n = wanted
        n = min(n, rank)
        self.n_components_ = n
        self.n_samples_ = len(source)
        self.mean_ = mean
        self.components_ = components[:n].copy()
        self.explained_variance_ = variances[:n].copy()
        self.explained_variance_ratio_ = ratios[:n].copy()
        self.singular_values_ = np.sqrt(variances[:n] * (weight - 1))
        self.noise_variance_ = float(variances[n:].mean()) if n < rank else 0.0
        return self

    def _by_covariance(
        self, source: Array, weights: Array | None
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], float]:
        (found,) = run_pass("PCA.fit", source, [Covariance(ddof=0)], weights=weights)
        divisor = self._divisor(found.weight)
        variances, components = from_covariance(found.covariance)
        return found.mean, variances * (found.weight / divisor), components, found.weight

    def _by_factor(
        self, source: Array, weights: Array | None
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], float]:
        (found,) = run_pass("PCA.fit", source, [Triangular(source.shape[1])], weights=weights)
        divisor = self._divisor(found.weight)
        values, components = from_factor(found.factor)
        return found.mean, values * values / divisor, components, found.weight

    def _divisor(self, weight: float) -> float:
        if weight > 1:
            return weight - 1
        raise OptionError(
            f"sample_weight is {'zero for every row' if weight == 0 else f'{weight:g} in all'}: "
            "PCA needs more than one row.\nGive weights that count rows, or leave sample_weight out."
        )

    def _wanted(self, source: Array) -> Any:
        """Return `n_components` if it makes sense for these rows: an int, a float or "mle"."""
        n_rows, n_columns = source.shape
        solver: Any = self.svd_solver
        if not isinstance(solver, str) or solver not in SOLVERS:
            raise OptionError(
                f"svd_solver={self.svd_solver!r} is not one of {', '.join(map(repr, SOLVERS))}.\n"
                'Use "full" where small variances matter, else "auto".'
            )
        wanted, most = self.n_components, min(n_rows, n_columns)
        if wanted is None:
            return most
        if isinstance(wanted, str) and wanted == "mle":
            if n_rows < n_columns:
                raise OptionError(
                    "n_components='mle' is only supported if n_samples >= n_features; "
                    f"X has {n_rows} rows and {n_columns} columns.\nUse a number of components."
                )
            return wanted
        if isinstance(wanted, Integral) and not isinstance(wanted, bool) and 0 <= int(wanted) <= most:
            return int(wanted)
        if isinstance(wanted, Real) and not isinstance(wanted, Integral) and 0 < float(wanted) < 1:
            return float(wanted)
        raise OptionError(
            f"n_components={wanted!r} must be between 0 and min(n_samples, n_features)={most}.\n"
            'Use an int, a share of the variance such as 0.95, "mle" or None.'
        )

    # ---- using ---------------------------------------------------------------------------------

    def fit_transform(self, X: Any, y: Any = None, sample_weight: Any = None, *, out: Any = None) -> Any:
        """Find the components and return the rows in terms of them; see `fit` and `transform`."""
        return self.fit(X, sample_weight=sample_weight).transform(X, out=out)

    def transform(self, X: Any, *, out: Any = None) -> Any:
        """Return the rows in terms of the components.

        Parameters
        ----------
        X : Array, str, path, table or array-like, shape (n, d)
        out : ndarray, Array or address, optional
            Takes the result; an address is created.

        Returns
        -------
        ndarray of shape (n, n_components_), or `out`
            float32 for rows of float32, else float64.

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
        Memory: the result unless `out` is on disk, and what a block takes for each worker.
        """
        check_is_fitted(self)
        source = check_rows(X, self, reset=False)
        matrix = self.components_.T
        if self.whiten:
            matrix = matrix / self._scale()
        statistic = Projection(matrix, before=self.mean_, dtype=_result_dtype(source), out=out)
        return run_pass("PCA.transform", source, [statistic])[0]

    def inverse_transform(self, X: Any, *, out: Any = None) -> Any:
        """Return the rows that `transform` maps to these, or the nearest ones to them.

        Parameters
        ----------
        X : Array, str, path or array-like, shape (n, n_components_)
        out : ndarray, Array or address, optional
            Takes the result; an address is created.

        Returns
        -------
        ndarray of shape (n, d), or `out`
            float32 for rows of float32, else float64.

        Raises
        ------
        NotFittedError
            Before `fit`.
        ShapeError
            Not one column for each component, or `out` does not fit.
        NonFiniteError
            NaN or infinity in a row.
        """
        check_is_fitted(self)
        source = check_rows(X, _Columns(self.n_components_, type(self).__name__), reset=False)
        matrix: Any = self.components_
        if self.whiten:
            matrix = matrix * np.sqrt(self.explained_variance_)[:, np.newaxis]
        statistic = Projection(matrix, after=self.mean_, dtype=_result_dtype(source), out=out)
        return run_pass("PCA.inverse_transform", source, [statistic])[0]

    def get_covariance(self) -> NDArray[np.float64]:
        """Return the covariance of the model: of the components kept, and of noise besides."""
        check_is_fitted(self)
        components = self.components_
        covariance = (components.T * self._beyond_noise()) @ components
        covariance.flat[:: len(covariance) + 1] += self.noise_variance_
        return covariance

    def get_precision(self) -> NDArray[np.float64]:
        """Return the inverse of the model's covariance.

        Raises
        ------
        LinAlgError
            There is none: all components are kept and one has no variance.
        """
        check_is_fitted(self)
        noise = self.noise_variance_
        components = self.components_
        if noise == 0:
            return np.asarray(np.linalg.inv(self.get_covariance()), np.float64)
        # Components are orthonormal, so the inverse is that of each variance.
        less = 1 / (self._beyond_noise() + noise) - 1 / noise
        precision = (components.T * less) @ components
        precision.flat[:: len(precision) + 1] += 1 / noise
        return precision

    def score_samples(self, X: Any) -> NDArray[np.float64]:
        """Return the log-likelihood of each row under the model: a normal distribution.

        Parameters
        ----------
        X : Array, str, path, table or array-like, shape (n, d)

        Returns
        -------
        ndarray of float64, shape (n,)

        Raises
        ------
        NotFittedError, ShapeError, NonFiniteError
            As for `transform`.
        """
        found: NDArray[np.float64]
        found, _ = self._likelihood("PCA.score_samples", X, each=True)
        return found

    def score(self, X: Any, y: Any = None) -> float:
        """Return the mean log-likelihood of the rows; see `score_samples`. Takes no memory for each row."""
        total, n_rows = self._likelihood("PCA.score", X, each=False)
        return float(total) / n_rows

    def get_feature_names_out(self, input_features: Sequence[str] | None = None) -> NDArray[np.object_]:
        """Return the names of what `transform` returns: "pca0", "pca1", ..."""
        check_is_fitted(self)
        return self._feature_names_out(self.n_components_, input_features)

    def _likelihood(self, what: str, X: Any, *, each: bool) -> tuple[Any, int]:
        check_is_fitted(self)
        source = check_rows(X, self, reset=False)
        precision = self.get_precision()
        _, determinant = np.linalg.slogdet(precision)
        constant = -0.5 * (len(precision) * log(2 * pi) - float(determinant))
        statistic = Likelihood(self.mean_, precision, constant, each=each)
        return run_pass(what, source, [statistic])[0], len(source)

    def _beyond_noise(self) -> NDArray[np.float64]:
        return np.maximum(self.explained_variance_ - self.noise_variance_, 0)

    def _scale(self) -> NDArray[np.float64]:
        # Components without variance would be divided by 0.
        return np.maximum(np.sqrt(self.explained_variance_), np.finfo(np.float64).eps)


class _Columns:
    """Stands for an estimator that was fitted to so many columns without names."""

    def __init__(self, n_columns: int, name: str) -> None:
        self.n_features_in_ = n_columns


def _result_dtype(source: Array) -> Any:
    return np.float32 if source.dtype == np.float32 else np.float64
