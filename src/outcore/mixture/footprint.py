"""Memory of a pass of expectation-maximisation: buffers by name, and what is prepared once.

Hands to   : mixture.expectation

Every buffer of the kernels is listed here, so that a test can hold each one against what is said of it.
"""

from __future__ import annotations

from outcore.mixture.accumulation import SINGLES, rows_together
from outcore.mixture.densities import Components, density_buffers, piece_rows
from outcore.mixture.distances import panel_numbers, product_numbers
from outcore.mixture.early_exit import MOST_DIRECTIONS, projects
from outcore.mixture.pooled import pools
from outcore.mixture.screening import SAMPLE, holds_singles


def expectation_buffers(components: Components, n_rows: int) -> dict[str, int]:
    """Return upper bounds for the buffers of `expectation.Expectation`, in bytes.

    Less the table; and less "log probabilities" and "shares", which together are as large, where they are
    part of it.
    """
    k, d, n = components.n_components, components.n_features, n_rows
    sizes = density_buffers(components, n)
    if pools(components):
        if components.covariance_type == "full":
            sizes["products of features"] = 4 * d * (d + 1) * min(n, piece_rows(components, n))
        if components.covariance_type == "tied" and not components.near:
            sizes["rows"] = max(sizes["rows"], 8 * min(n, rows_together(n)) * d)
        return sizes
    del sizes["log probabilities"]
    sizes["rows"] = max(sizes["rows"], 8 * min(n, rows_together(n)) * d)
    singles, bounds = holds_singles(components), projects(components)
    if singles or bounds:
        sizes["distances"] = 8 * min(n, rows_together(n))
        sizes["sample"] = 8 * SAMPLE * (d + 2 * k)
        least = min(n, piece_rows(components, n))
        sizes["partial distances"] = 8 * k * least
        if bounds:
            q = min(k, d, MOST_DIRECTIONS)
            sizes["projected"] = 8 * least * (q + 1)
            sizes["products"] = max(sizes.get("products", 0), 8 * product_numbers(k, q, least))
        if singles:
            sizes["single distances"] = 4 * k * least
            sizes["weighted singles"] = 4 * min(n, SINGLES * rows_together(n)) * (d + 1)
            sizes["single rows"] = 4 * n * (d + 1)
            sizes |= {"single products": 4 * d * d, "scaled products": 8 * d * d}
            sizes["products"] = max(sizes.get("products", 0), 4 * product_numbers(k, d, least))
    return sizes


def temporary_bytes(components: Components, n_rows: int) -> int:
    """Return what passing arrays of indices, masks and sums take besides the buffers."""
    k, d = components.n_components, components.n_features
    squares = d * d if components.covariance_type in ("full", "tied") else k * d
    sums = 4 * (k * d + squares) if pools(components) else d
    screened = projects(components) or holds_singles(components)
    masks = k * (n_rows if screened else min(n_rows, piece_rows(components, n_rows)))
    return 32 * n_rows + masks + 8 * sums


def prepared_bytes(components: Components) -> int:
    """Return an upper bound for what `screening.prepare` returns."""
    k, d = components.n_components, components.n_features
    q = min(k, d, MOST_DIRECTIONS)
    singles = 4 * panel_numbers(k, d) if holds_singles(components) else 0
    return singles + (8 * (d * q + panel_numbers(k, q)) if projects(components) else 0)
