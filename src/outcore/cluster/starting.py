"""Where k-means begins: the centres of each start.

Reads from : estimation.sampling, cluster.seeding
Hands to   : cluster.kmeans

Guarantees
- As many rows are read as `sample_size` says: the same start under every budget and on every executor.
- Where that is all rows, the centres are those that scikit-learn draws from the same `random_state`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from outcore.array.handle import Array
from outcore.cluster.seeding import kmeans_plus_plus
from outcore.errors import NonFiniteError, OptionError, ShapeError
from outcore.estimation.sampling import Random, Sample, sample_rows, sample_size

Init = str | Callable[..., Any] | NDArray[np.float64]


def check_init(init: Any, shape: tuple[int, int]) -> Init:
    """Return `init` if it says where to begin; centres as float64 of the given shape.

    Raises
    ------
    OptionError
        Not a method that is known, nor centres.
    ShapeError
        Not one centre for each cluster, or not one value for each column.
    NonFiniteError
        A centre holds NaN or infinity.
    """
    if isinstance(init, str):
        if init in ("k-means++", "random"):
            return init
        raise OptionError(
            f'init={init!r} is not one of "k-means++", "random".\nUse one of them, or an array of centres.'
        )
    if callable(init):
        return init  # type: ignore[no-any-return]  # what a user's callable returns is checked when called
    try:
        centres = np.array([] if init is None else init, dtype=np.float64)
    except (TypeError, ValueError):
        centres = np.array([])
    if centres.size == 0:
        raise OptionError(
            f'init={init!r} gives no centres.\nUse "k-means++", "random", an array, or a callable.'
        )
    return _check_centres(centres, shape)


def n_starts(init: Init, n_init: int | str) -> int:
    """Say how often to begin: `n_init`, where "auto" means 10 for random centres and 1 otherwise."""
    if n_init != "auto":
        return int(n_init)
    return 10 if callable(init) or (isinstance(init, str) and init == "random") else 1


def starts(
    init: Init,
    n: int,
    k: int,
    source: Array,
    weights: Array | None,
    rng: Random,
    init_rows: int | None,
) -> list[NDArray[np.float64]]:
    """Choose the centres of `n` starts.

    Parameters
    ----------
    init : {"k-means++", "random"}, callable or ndarray of shape (k, d)
    n, k : int
        Starts, and centres of each.
    source : Array of shape (n_rows, d)
    weights : Array of shape (n_rows,), optional
    rng : RandomState or Generator
    init_rows : int, optional
        Rows to choose from.

    Returns
    -------
    list of ndarray of shape (k, d)

    Raises
    ------
    OptionError
        No row has a weight.
    ShapeError
        Fewer rows with a weight than centres, or a callable that returns other shapes.
    """
    if isinstance(init, np.ndarray):
        return [init] * n
    sample = sample_rows(source, sample_size(*_sizes(source), k, init_rows), rng, weights)
    refuse_no_weight(len(sample.rows))
    if len(sample.rows) < k:
        raise ShapeError(
            f"{len(sample.rows)} rows have a weight above 0; n_clusters={k} centres are wanted.\n"
            f"Use n_clusters={len(sample.rows)} or fewer."
        )
    return [_start(init, k, sample, rng) for _ in range(n)]


def refuse_no_weight(weight: float) -> None:
    """Raise if all rows together have no weight.

    Raises
    ------
    OptionError
        They have not.
    """
    if weight == 0:
        raise OptionError(
            "sample_weight is zero for every row: there is nothing to cluster.\n"
            "Give some rows a weight above 0."
        )


def start_bytes(init: Init, source: Array, k: int, init_rows: int | None) -> int:
    """Count what `starts` takes at its peak."""
    if isinstance(init, np.ndarray):
        return 0
    n_columns = source.shape[1]
    size = sample_size(*_sizes(source), k, init_rows)
    # The rows; their numbers and weights; distances to candidates, twice while they are compared.
    return size * (8 * n_columns + 24 + 16 * (4 + int(np.log(k)))) + (1 << 20)


def _sizes(source: Array) -> tuple[int, int]:
    n_rows, n_columns = source.shape
    return n_rows, n_columns


def _start(init: str | Callable[..., Any], k: int, sample: Sample, rng: Random) -> NDArray[np.float64]:
    if callable(init):
        found = np.array(init(sample.rows, k, random_state=rng), dtype=np.float64)
        return _check_centres(found, (k, sample.rows.shape[1]))
    if init == "k-means++":
        return kmeans_plus_plus(sample.rows, k, rng, sample.weights)[0]
    n = len(sample.rows)
    shares = np.full(n, 1 / n) if sample.weights is None else sample.weights / sample.weights.sum()
    return sample.rows[rng.choice(n, size=k, replace=False, p=shares)]


def _check_centres(centres: NDArray[np.float64], shape: tuple[int, int]) -> NDArray[np.float64]:
    k, d = shape
    if centres.ndim != 2 or centres.shape[0] != k:
        raise ShapeError(
            f"The shape of the initial centers {centres.shape} does not match the number of clusters {k}.\n"
            f"Give centres of shape {shape}."
        )
    if centres.shape[1] != d:
        raise ShapeError(
            f"The shape of the initial centers {centres.shape} does not match "
            f"the number of features of the data {d}.\nGive centres of shape {shape}."
        )
    if not np.isfinite(centres).all():
        raise NonFiniteError("init holds NaN or infinity.\nGive centres that are numbers.")
    return centres
