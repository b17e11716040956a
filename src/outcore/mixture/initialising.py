"""Where a mixture starts: centres and shapes from a subsample of the rows.

Reads from : estimation.sampling, cluster.seeding
Hands to   : mixture.iterating

Guarantees
- As many rows are read as `sample_size` says, which depends on the data and on K alone: the start is the
  same under every budget and on every executor. Of rows that have weights only those are drawn whose weight
  is not zero.
- Where a component has fewer than `ENOUGH` rows of the sample for each of its parameters, its shape is drawn
  towards that of all components together: a covariance is never singular because the sample is small.

scikit-learn starts from all rows, and with ``"k-means++"`` and ``"random_from_data"`` from single ones: its
first covariances are then ``reg_covar`` alone. Here the rows nearest to a centre shape its component.
"""

from __future__ import annotations

from math import log, prod

import numpy as np
from numpy.typing import NDArray

from outcore import budget
from outcore.array.handle import Array
from outcore.blocks.statistic import Block
from outcore.cluster.nearest import Nearest
from outcore.cluster.seeding import kmeans_plus_plus
from outcore.estimation.sampling import Random, sample_rows, sample_size
from outcore.executors.blas_threads import one_blas_thread
from outcore.mixture.parameters import Given, Parameters, add_to_diagonal, covariance_shape
from outcore.mixture.whitening import covariances_of, whiten
from outcore.mixture.wishes import Wishes

#: Rows for each free direction from which on a covariance stands for itself.
ENOUGH = 10
#: Rounds of ``init_params="kmeans"``, at most; each is of the sample only.
ROUNDS = 30
#: Rows whose distances, or products, are formed together.
PIECE = 1024
#: What BLAS packs for the calling thread at most, and for how deep products and how many rows.
BLAS_BYTES, BLAS_DEPTH, BLAS_ROWS = 2 << 20, 256, 512

Floats = NDArray[np.float64]


def first_parameters(
    array: Array, weights: Array | None, given: Given, wishes: Wishes, rng: Random
) -> tuple[Parameters, Floats]:
    """Choose the parameters that the first expectation works with.

    Parameters
    ----------
    array : Array of shape (n, d)
    weights : Array of shape (n,), optional
        Of the rows.
    given : Given
        What the user gives; it takes the place of what is found here.
    wishes : Wishes
    rng : numpy.random.Generator or numpy.random.RandomState

    Returns
    -------
    parameters : Parameters
    covariances : ndarray

    Raises
    ------
    NonFiniteError
        A row of the sample holds NaN or infinity.
    SingularCovarianceError
        A covariance of the start is not positive definite.
    MemoryBudgetError
        The sample does not fit.

    Notes
    -----
    Memory: the sample, twice; K numbers for each of its rows; the covariances, twice.
    """
    # Sums are rounded in other places by several threads, and how many there are is not ours to say.
    with one_blas_thread():
        return _first_parameters(array, weights, given, wishes, rng)


def start_parts(n_rows: int, n_features: int, wishes: Wishes) -> dict[str, int]:
    """Say what memory the start takes, in bytes."""
    k, d = wishes.n_components, n_features
    size = sample_size(n_rows, d, k, wishes.init_rows)
    matrices = 8 * prod(covariance_shape(wishes.covariance_type, k, d))
    return {
        "rows of the start": 8 * size * d,
        # Distances to the candidates of k-means++ and shares in the components; pieces; what BLAS packs.
        "working memory": 8 * size * (k + 8 + int(log(k))) + 16 * PIECE * (d + k) + BLAS_BYTES,
        "covariances": 2 * matrices + 24 * d * d * (wishes.covariance_type in ("full", "tied")),
    }


def kept_by_blas(n_features: int) -> int:
    """Say what BLAS keeps, in bytes, of products of matrices of so many features."""
    return min(BLAS_BYTES, 8 * min(n_features, BLAS_DEPTH) * (BLAS_ROWS + n_features))


def require_start(n_rows: int, n_features: int, wishes: Wishes) -> None:
    """Refuse a start that does not fit in the budget.

    Raises
    ------
    MemoryBudgetError
    """
    size = sample_size(n_rows, n_features, wishes.n_components, wishes.init_rows)
    budget.require(
        f"the start of GaussianMixture(n_components={wishes.n_components}) from {size} rows",
        start_parts(n_rows, n_features, wishes),
        cure="Use a smaller init_rows, or give weights_init, means_init and precisions_init.",
    )


def _first_parameters(
    array: Array, weights: Array | None, given: Given, wishes: Wishes, rng: Random
) -> tuple[Parameters, Floats]:
    kind = wishes.covariance_type
    if given.weights is not None and given.means is not None and given.whitening is not None:
        start = Parameters(kind, given.weights, given.means, given.whitening)
        return start, covariances_of(given.whitening, kind)
    rows, row_weights = _sample(array, weights, wishes, rng)
    shares = np.zeros((len(rows), wishes.n_components))
    if wishes.init_params == "random" and given.means is None:
        shares[...] = rng.uniform(size=shares.shape)
        shares /= shares.sum(axis=1, keepdims=True)
        centres = np.repeat(rows.mean(axis=0, keepdims=True), wishes.n_components, axis=0)
    else:
        centres = _centres(rows, row_weights, wishes, rng) if given.means is None else given.means
        shares[np.arange(len(rows)), _labels(rows, centres)] = 1.0
    shares *= row_weights[:, np.newaxis]
    counts, means = _averages(rows, shares, centres)
    if given.whitening is None:
        covariances = _shapes(rows, shares, counts, means, kind)
        add_to_diagonal(covariances, kind, wishes.reg_covar)
        whitening = whiten(covariances, kind, wishes.reg_covar)
    else:
        covariances, whitening = covariances_of(given.whitening, kind), given.whitening
    if given.means is not None:
        means = given.means
    shares_of_rows = counts / counts.sum() if given.weights is None else given.weights
    return Parameters(kind, shares_of_rows, means, whitening), covariances


def _labels(rows: Floats, centres: Floats) -> NDArray[np.intp]:
    """Return the number of the nearest centre for each row."""
    middle = centres.mean(axis=0)  # products of large numbers would hide small distances
    found = np.empty(len(rows), np.intp)
    for piece in Nearest(centres - middle, middle).pieces(Block(0, rows)):
        found[piece.part] = piece.labels
    return found


def _sample(array: Array, weights: Array | None, wishes: Wishes, rng: Random) -> tuple[Floats, Floats]:
    n_rows, d = array.shape
    k = wishes.n_components
    size = sample_size(n_rows, d, k, wishes.init_rows)
    require_start(n_rows, d, wishes)
    sample = sample_rows(array, size, rng, weights)
    if sample.weights is None:
        return sample.rows, np.ones(len(sample.rows))
    # Weights count rows. Where they are only proportions, the rows of the sample count as what they are.
    return sample.rows, sample.weights * max(1.0, len(sample.rows) / sample.weights.sum())


def _centres(rows: Floats, weights: Floats, wishes: Wishes, rng: Random) -> Floats:
    k = wishes.n_components
    if wishes.init_params == "random_from_data":
        return rows[rng.choice(len(rows), k, replace=False)]
    centres, _ = kmeans_plus_plus(rows, k, rng, weights)
    return centres if wishes.init_params == "k-means++" else _lloyd(rows, weights, centres)


def _lloyd(rows: Floats, weights: Floats, centres: Floats) -> Floats:
    """Move the centres to the middle of their rows, until no row changes sides; one without rows stays."""
    before = None
    for _ in range(ROUNDS):
        labels = _labels(rows, centres)
        if before is not None and np.array_equal(labels, before):
            break
        shares = np.zeros((len(rows), len(centres)))
        shares[np.arange(len(rows)), labels] = weights
        _, centres = _averages(rows, shares, centres)
        before = labels
    return centres


def _averages(rows: Floats, shares: Floats, centres: Floats) -> tuple[Floats, Floats]:
    """Return how many rows each component has, and their average; `centres` where there is none."""
    counts = shares.sum(axis=0)
    counts += 10 * np.finfo(np.float64).eps
    middle = rows.mean(axis=0)
    sums = np.zeros_like(centres)
    for low in range(0, len(rows), PIECE):
        sums += shares[low : low + PIECE].T @ (rows[low : low + PIECE] - middle)
    means = middle + sums / counts[:, np.newaxis]
    empty = counts < 1e-9
    means[empty] = centres[empty]
    return counts, means


def _shapes(rows: Floats, shares: Floats, counts: Floats, means: Floats, kind: str) -> Floats:
    """Estimate covariances, drawn towards that of all components where rows are few."""
    k, d = means.shape
    matrices = kind in ("full", "tied")
    own: Floats = np.zeros(covariance_shape("diag" if kind == "spherical" else kind, k, d))
    for component in range(k):
        target = own if kind == "tied" else own[component]
        index = np.flatnonzero(shares[:, component])
        for low in range(0, len(index), PIECE):
            chosen = index[low : low + PIECE]
            z = rows[chosen] - means[component]
            z *= np.sqrt(shares[chosen, component])[:, np.newaxis]
            target += z.T @ z if matrices else np.einsum("nd,nd->d", z, z)
    total = counts.sum()
    together: Floats = (own if kind == "tied" else own.sum(axis=0)) / total
    if matrices:
        trust = min(1.0, total / (ENOUGH * d))
        diagonal = together.diagonal().copy()
        together *= trust
        np.fill_diagonal(together, diagonal)
        if kind == "tied":
            return together
    directions = d if matrices else 1
    for component in range(k):
        trust = min(1.0, counts[component] / (ENOUGH * directions))
        own[component] *= trust / counts[component]
        own[component] += (1 - trust) * together
    return own.mean(axis=1) if kind == "spherical" else own
