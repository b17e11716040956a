"""From covariances to the upper triangular matrices that whiten rows, and back.

Hands to   : mixture.parameters, mixture.initialising

Guarantees
- ``precision = U @ U.T`` with U upper triangular, as scikit-learn's ``precisions_cholesky_``.
- The result does not depend on the number of cores: matrices are worked on side by side, each by one thread.

SciPy's triangular solver was rejected: it holds the interpreter's lock, so K matrices would wait for each
other.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from outcore.errors import SingularCovarianceError
from outcore.executors.blas_threads import one_blas_thread
from outcore.executors.choosing import usable_cores

#: Triangular matrices of at most this size are inverted by a general function.
LEAF = 64
#: Smaller matrices are done before a thread would have started.
THREADED = 100

Floats = NDArray[np.float64]


def whiten(covariances: Floats, covariance_type: str, reg_covar: float) -> Floats:
    """Return what makes rows of each component white: ``(x - mean) @ U`` has unit covariance.

    Parameters
    ----------
    covariances : ndarray
        As ``GaussianMixture.covariances_`` for that type.
    covariance_type : {"full", "tied", "diag", "spherical"}
    reg_covar : float
        What was added to the diagonals, for the error.

    Returns
    -------
    ndarray
        As ``GaussianMixture.precisions_cholesky_``.

    Raises
    ------
    SingularCovarianceError
        A covariance is not positive definite; the first such component is named.

    Notes
    -----
    Memory: the result, and two matrices for each core.

    Examples
    --------
    >>> whiten(np.array([[4.0, 0.25]]), "diag", 0.0)
    array([[0.5, 2. ]])
    """
    if covariance_type in ("diag", "spherical"):
        bad = ~(np.isfinite(covariances) & (covariances > 0))
        if bad.any():
            k, *column = (int(i) for i in np.argwhere(bad)[0])
            which = f"variance in column {column[0]}" if column else "variance"
            value = covariances[(k, *column)]
            raise _singular(f"component {k}", f"its {which} is {value:.3g}", value, reg_covar)
        return np.asarray(1.0 / np.sqrt(covariances))
    whitening = np.empty_like(covariances)
    stack, made = _stack(covariances), _stack(whitening)

    def one(k: int) -> None:
        try:
            upper = np.linalg.cholesky(stack[k], upper=True)
        except np.linalg.LinAlgError:
            upper = np.full((1, 1), np.nan)
        # NaN passes through some implementations, and is an error in others.
        if not np.isfinite(np.diagonal(upper)).all():
            name = f"component {k}" if covariance_type == "full" else "all components together"
            raise _not_definite(name, stack[k], reg_covar)
        invert_upper(upper)
        made[k] = upper

    _each(one, stack)
    return whitening


def whiten_by_precisions(precisions: Floats, covariance_type: str) -> Floats:
    """Return the same from precisions; raises `numpy.linalg.LinAlgError` if one is not positive definite."""
    if covariance_type in ("diag", "spherical"):
        return np.asarray(np.sqrt(precisions))
    whitening = np.empty_like(precisions)
    stack, made = _stack(precisions), _stack(whitening)

    def one(k: int) -> None:
        # The last row first: the lower triangular factor of that, turned round again, is upper triangular.
        made[k] = np.linalg.cholesky(stack[k, ::-1, ::-1])[::-1, ::-1]

    _each(one, stack)
    return whitening


def precisions_of(whitening: Floats, covariance_type: str) -> Floats:
    """Return the precisions of what `whiten` returned."""
    if covariance_type in ("diag", "spherical"):
        return np.asarray(whitening**2)
    precisions = np.empty_like(whitening)
    stack, made = _stack(whitening), _stack(precisions)

    def one(k: int) -> None:
        np.matmul(stack[k], stack[k].T, out=made[k])

    _each(one, stack)
    return precisions


def covariances_of(whitening: Floats, covariance_type: str) -> Floats:
    """Return the covariances of what `whiten` returned."""
    if covariance_type in ("diag", "spherical"):
        return np.asarray(1.0 / whitening**2)
    covariances = np.empty_like(whitening)
    stack, made = _stack(whitening), _stack(covariances)

    def one(k: int) -> None:
        upper = stack[k].copy()
        invert_upper(upper)
        np.matmul(upper.T, upper, out=made[k])

    _each(one, stack)
    return covariances


def invert_upper(u: Floats) -> None:
    """Invert an upper triangular matrix in place; zeros below the diagonal stay zeros.

    Examples
    --------
    >>> u = np.array([[2.0, 1.0], [0.0, 4.0]])
    >>> invert_upper(u)
    >>> u
    array([[ 0.5  , -0.125],
           [ 0.   ,  0.25 ]])
    """
    d = len(u)
    if d <= LEAF:
        u[...] = np.linalg.inv(u)
        return
    half = d // 2
    first, corner, second = u[:half, :half], u[:half, half:], u[half:, half:]
    invert_upper(first)
    invert_upper(second)
    np.matmul(first @ corner, second, out=corner)
    np.negative(corner, out=corner)


def _stack(matrices: Floats) -> Floats:
    """Return a view of one matrix or several as several."""
    return matrices if matrices.ndim == 3 else matrices[np.newaxis]


def _each(work: Callable[[int], None], stack: Floats) -> None:
    """Do `work` for each matrix, side by side; the error of the first one that fails is raised."""
    n, d = len(stack), stack.shape[-1]
    with one_blas_thread():
        if n == 1 or d < THREADED:
            for k in range(n):
                work(k)
            return
        with ThreadPoolExecutor(min(n, usable_cores())) as pool:
            for done in [pool.submit(work, k) for k in range(n)]:
                done.result()


def _not_definite(name: str, covariance: Floats, reg_covar: float) -> SingularCovarianceError:
    if not np.isfinite(covariance).all():
        return _singular(name, "it holds values beyond float64", float("nan"), reg_covar)
    smallest = float(np.linalg.eigvalsh(covariance)[0])
    return _singular(name, f"its smallest eigenvalue is {smallest:.3g}", smallest, reg_covar)


def _singular(name: str, why: str, smallest: float, reg_covar: float) -> SingularCovarianceError:
    # Enough to lift the smallest eigenvalue well above zero.
    wanted = max(10 * reg_covar, 1e-6, -100 * smallest if smallest < 0 else 0.0)
    return SingularCovarianceError(
        f"the covariance of {name} is not positive definite: {why}, with reg_covar={reg_covar:g}.\n"
        "Its rows lie in fewer dimensions than they have columns, or the columns differ by many orders of "
        "magnitude.\n"
        f"Use a larger reg_covar (reg_covar={wanted:.0e}), fewer components, or columns of similar scale."
    )
