"""Components, blocks and what plain NumPy makes of them, for the tests of the kernels."""

from __future__ import annotations

import numpy as np

from outcore.blocks.statistic import Block, Rows, Share, Workspace
from outcore.mixture.densities import Components
from outcore.mixture.expectation import Expectation, Sums


class Nothing(Share):
    """A mixture has no result for each row."""

    def target(self, out, row_shape, dtype):
        raise AssertionError


SHARE = Nothing()


def made(
    kind: str, k: int, d: int, *, seed: int = 0, apart: float = 2.0, offset: float = 0.0, shear: float = 0.3
) -> Components:
    """Return components with covariances of their own, `apart` deviations from each other."""
    rng = np.random.default_rng(seed)
    weights = rng.dirichlet(np.full(k, 5.0))
    means = apart * rng.standard_normal((k, d)) + offset
    u = np.eye(d) + np.triu(shear * rng.standard_normal((k, d, d)) / np.sqrt(d), 1)
    u *= np.exp(0.1 * rng.standard_normal((k, 1, d)))
    deviations = np.exp(0.3 * rng.standard_normal((k, d)))
    whitening = {"full": u, "tied": u[0], "diag": deviations, "spherical": deviations[:, 0]}[kind]
    return Components(kind, np.log(weights), means, np.ascontiguousarray(whitening))


def matrices(components: Components, dtype: type = np.float64) -> np.ndarray:
    """Return the whitening matrices as (K, d, d) of any type."""
    k, d = components.means.shape
    u = components.precisions_cholesky.astype(dtype)
    if components.covariance_type == "full":
        return np.triu(u)
    if components.covariance_type == "tied":
        return np.broadcast_to(np.triu(u), (k, d, d))
    diagonal = u if u.ndim == 2 else np.repeat(u[:, None], d, axis=1)
    return diagonal[:, :, None] * np.eye(d, dtype=dtype)


def drawn(components: Components, n: int, seed: int = 1) -> np.ndarray:
    """Return rows of the mixture."""
    rng = np.random.default_rng(seed)
    labels = rng.choice(components.n_components, n, p=np.exp(components.log_weights))
    roots = np.linalg.inv(matrices(components))
    white = rng.standard_normal((n, components.n_features))
    return components.means[labels] + np.einsum("ni,nij->nj", white, roots[labels])


def reference(components: Components, x: np.ndarray, dtype: type = np.longdouble) -> np.ndarray:
    """Return log(weight * density), (n, K), row by row and component by component."""
    x, u = x.astype(dtype), matrices(components, dtype)
    y = np.stack([(x - m) @ v for m, v in zip(components.means.astype(dtype), u, strict=True)], axis=1)
    log_det = np.log(np.diagonal(u, axis1=1, axis2=2)).sum(axis=1)
    norm = components.log_weights.astype(dtype) + log_det - x.shape[1] * np.log(2 * np.pi, dtype=dtype) / 2
    return norm - (y * y).sum(axis=2) / 2


def reference_sums(components: Components, x: np.ndarray, weights: np.ndarray | None = None) -> Sums:
    """Return what the pass is to return."""
    x = x.astype(float)
    w = np.ones(len(x)) if weights is None else weights
    logs = reference(components, x, np.float64)
    highest = logs.max(axis=1, keepdims=True)
    total = np.exp(logs - highest).sum(axis=1, keepdims=True)
    shares = np.exp(logs - highest) / total * w[:, None]
    away = (x[:, None] - components.means).transpose(1, 0, 2)
    first = np.stack([r @ z for r, z in zip(shares.T, away, strict=True)])
    if components.covariance_type in ("diag", "spherical"):
        second = np.stack([r @ (z * z) for r, z in zip(shares.T, away, strict=True)])
    else:
        second = np.stack([(r[:, None] * z).T @ z for r, z in zip(shares.T, away, strict=True)])
        second = second.sum(axis=0) if components.covariance_type == "tied" else second
    likelihood = float(w @ (np.log(total) + highest)[:, 0])
    return Sums(likelihood, float(w.sum()), shares.sum(axis=0), first, second)


def passed(
    components: Components,
    x: np.ndarray,
    weights: np.ndarray | None = None,
    *,
    block: int = 700,
    split: bool = False,
) -> Sums:
    """Run the statistic over blocks, with buffers full of NaN, merging two groups."""
    shape = None if weights is None else weights.shape
    s = Expectation(components).bind(Rows(len(x), x.shape[1:], x.dtype, shape), SHARE)
    states = [s.zero(), s.zero()]
    workspace = Dirty()
    for low in range(0, len(x), block):
        w = None if weights is None else weights[low : low + block]
        part = Block(low, x[low : low + block], w, workspace)
        state = states[low >= len(x) / 2]
        if split:
            table = np.full((len(part), s.table_columns), np.nan)
            s.tabulate(part, table)
            for k in range(s.n_parts):
                state[k] = s.update_part(k, state[k], part, table)
        else:
            s.update(state, part)
    return s.finalize(s.merge(*states))


class Dirty(Workspace):
    """Buffers that hold NaN wherever nothing was written, at odd addresses; counts what was lent."""

    def __init__(self, odd: int = 0) -> None:
        super().__init__()
        self.odd = odd
        self.lent: dict[str, int] = {}

    def buffer(self, name, shape, dtype=np.float64):
        kind = np.dtype(dtype)
        size = int(np.prod(shape)) * kind.itemsize
        self.lent[name] = max(self.lent.get(name, 0), size)
        memory = np.full(size + 128, 0xFF, np.uint8)
        start = (-memory.ctypes.data) % 64 + self.odd
        return memory[start : start + size].view(kind).reshape(shape)


def close(ours: Sums, other: Sums, tolerance: float) -> None:
    """Compare sums: relative to the largest of each component."""
    assert abs(ours.log_likelihood - other.log_likelihood) <= tolerance * (abs(other.log_likelihood) + 1)
    np.testing.assert_allclose(ours.total_weight, other.total_weight, rtol=1e-14)
    scale = max(other.total_weight, 1e-300)
    np.testing.assert_allclose(ours.weights, other.weights, rtol=tolerance, atol=tolerance * scale * 1e-3)
    for mine, wanted in ((ours.first, other.first), (ours.second, other.second)):
        assert mine.shape == wanted.shape
        allowed = tolerance * max(np.abs(other.second).max(), scale)
        np.testing.assert_allclose(mine, wanted, rtol=tolerance, atol=allowed)
