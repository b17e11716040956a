"""The parameters of a mixture: checked where users give them, estimated from the sums of a pass.

Reads from : mixture.expectation.Sums
Hands to   : mixture.initialising, mixture.iterating, mixture.gaussian

Guarantees
- The maximisation gives what scikit-learn's does, to rounding; the sums are around the means before, so
  nothing cancels where those are large.
- Covariances are made in the memory of the sums.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from outcore.errors import DTypeError, OptionError, ShapeError, SingularCovarianceError
from outcore.mixture.densities import Components
from outcore.mixture.expectation import Sums
from outcore.mixture.whitening import whiten_by_precisions

COVARIANCE_TYPES = ("full", "tied", "diag", "spherical")

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Parameters:
    """What describes a mixture; shapes as the attributes of `GaussianMixture`.

    Attributes
    ----------
    covariance_type : str
    weights : ndarray of shape (K,)
    means : ndarray of shape (K, d)
    whitening : ndarray
        The ``precisions_cholesky_``.
    """

    covariance_type: str
    weights: Floats
    means: Floats
    whitening: Floats

    def components(self) -> Components:
        """Return what the expectation works with."""
        with np.errstate(divide="ignore"):  # a component of weight 0 is one that no row belongs to
            log_weights = np.log(self.weights)
        return Components(self.covariance_type, log_weights, self.means, self.whitening)


def covariance_shape(covariance_type: str, n_components: int, n_features: int) -> tuple[int, ...]:
    """Return the shape of covariances and precisions.

    Examples
    --------
    >>> covariance_shape("diag", 3, 2)
    (3, 2)
    """
    k, d = n_components, n_features
    return {"full": (k, d, d), "tied": (d, d), "diag": (k, d), "spherical": (k,)}[covariance_type]


def maximise(
    sums: Sums, means: Floats, covariance_type: str, reg_covar: float, n_rows: int
) -> tuple[Floats, Floats, Floats]:
    """Estimate the parameters from the sums of one pass.

    Parameters
    ----------
    sums : Sums
        Of all rows, around `means`; its second moments become the covariances.
    means : ndarray of shape (K, d)
    covariance_type : str
    reg_covar : float
        Added to the diagonals.
    n_rows : int

    Returns
    -------
    weights, means, covariances : ndarray
    """
    # As scikit-learn does, so that a component without rows divides by something; scaled for rows that have
    # weights, which may be of any size.
    least = 10 * np.finfo(np.float64).eps * sums.total_weight / n_rows
    counts = sums.weights + least
    shift = sums.first / counts[:, np.newaxis]
    second = sums.second
    if covariance_type == "full":
        for k in range(len(counts)):
            second[k] /= counts[k]
            second[k] -= np.outer(shift[k], shift[k])
    elif covariance_type == "tied":
        total = counts.sum()
        second -= (shift * counts[:, np.newaxis]).T @ shift
        second /= total
    else:
        second /= counts[:, np.newaxis]
        second -= shift**2
    covariances = second.mean(axis=1) if covariance_type == "spherical" else second
    add_to_diagonal(covariances, covariance_type, reg_covar)
    return counts / counts.sum(), means + shift, covariances


def add_to_diagonal(covariances: Floats, covariance_type: str, value: float) -> None:
    """Add a number to all variances, in place.

    Examples
    --------
    >>> covariance = np.eye(2)
    >>> add_to_diagonal(covariance, "tied", 0.5)
    >>> covariance
    array([[1.5, 0. ],
           [0. , 1.5]])
    """
    if covariance_type in ("diag", "spherical"):
        covariances += value
        return
    d = covariances.shape[-1]
    covariances.reshape(-1, d * d)[:, :: d + 1] += value


@dataclass(frozen=True)
class Given:
    """What the user gives to start from, checked; None where nothing is given.

    Attributes
    ----------
    weights, means : ndarray or None
    whitening : ndarray or None
        As ``precisions_cholesky_``.
    """

    weights: Floats | None = None
    means: Floats | None = None
    whitening: Floats | None = None

    @property
    def complete(self) -> bool:
        """Whether no row has to be looked at."""
        return not (self.weights is None or self.means is None or self.whitening is None)


def check_given(
    weights: Any, means: Any, precisions: Any, covariance_type: str, n_components: int, n_features: int
) -> Given:
    """Check ``weights_init``, ``means_init`` and ``precisions_init``.

    Raises
    ------
    ShapeError, DTypeError, OptionError, SingularCovarianceError
    """
    k, d = n_components, n_features
    w = None if weights is None else _numbers("weights_init", weights, (k,), f"n_components={k}")
    if w is not None:
        if (w < 0).any():
            raise OptionError(
                f"weights_init[{int(np.argmax(w < 0))}] is {w.min():g}; weights are not negative.\n"
                "Use weights that add up to 1."
            )
        if abs(w.sum() - 1) > 1e-6:
            raise OptionError(
                f"weights_init adds up to {w.sum():.6g}; weights of components add up to 1.\n"
                "Use weights_init / weights_init.sum()."
            )
    sizes = f"n_components={k} and X has {d} columns"
    m = None if means is None else _numbers("means_init", means, (k, d), sizes)
    if precisions is None:
        return Given(w, m)
    shape = covariance_shape(covariance_type, k, d)
    p = _numbers("precisions_init", precisions, shape, f'covariance_type="{covariance_type}", {sizes}')
    return Given(w, m, _check_precisions(p, covariance_type))


def _check_precisions(precisions: Floats, covariance_type: str) -> Floats:
    if covariance_type in ("diag", "spherical"):
        if (precisions <= 0).any():
            at = tuple(int(i) for i in np.argwhere(precisions <= 0)[0])
            raise SingularCovarianceError(
                f"precisions_init{list(at)} is {precisions[at]:g}; precisions are positive.\n"
                "Use 1 / variance."
            )
    elif not np.allclose(precisions, np.swapaxes(precisions, -1, -2)):
        raise SingularCovarianceError(
            "precisions_init is not symmetric; the precision of a Gaussian distribution is.\n"
            "Use (P + P.T) / 2 if the difference is rounding."
        )
    try:
        return whiten_by_precisions(precisions, covariance_type)
    except np.linalg.LinAlgError as error:
        stack = precisions if precisions.ndim == 3 else precisions[np.newaxis]
        smallest = [float(np.linalg.eigvalsh(p)[0]) for p in stack]
        k = int(np.argmin(smallest))
        name = f"precisions_init[{k}]" if precisions.ndim == 3 else "precisions_init"
        raise SingularCovarianceError(
            f"{name} is not positive definite: its smallest eigenvalue is {smallest[k]:.3g}.\n"
            "Use the inverse of a covariance of full rank: np.linalg.inv(covariance + 1e-6 * np.eye(d))."
        ) from error


def _numbers(name: str, values: Any, shape: tuple[int, ...], because: str) -> Floats:
    try:
        given = np.array(values, np.float64)
    except (TypeError, ValueError) as error:
        raise DTypeError(
            f"{name} is not an array of numbers: {error}.\nGive an array of shape {shape}."
        ) from error
    if given.shape != shape:
        raise ShapeError(
            f"{name} has shape {given.shape}; it needs {shape}, since {because}.\n"
            f"Use {name} of shape {shape}."
        )
    if not np.isfinite(given).all():
        at = [int(i) for i in np.argwhere(~np.isfinite(given))[0]]
        raise OptionError(
            f"{name}{at} is {given[tuple(at)]}; parameters are finite numbers.\nPut a number there."
        )
    return given
