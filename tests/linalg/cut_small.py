"""Matrices for property tests, and blocks so small that a few rows make many of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from hypothesis import strategies as st

from outcore.blocks import partition
from outcore.linalg import dense

DTYPES = ["f8", "f4", "f2", "i8", "i2", "u4", "?"]
LAYOUTS = ["C", "F", "strided"]


@contextmanager
def cut_small(block_bytes: int = 64, group_rows: int = 8, piece_rows: int = 3) -> Iterator[None]:
    """Blocks of a few rows, groups of a few blocks, pieces of a few rows."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(partition, "BLOCK_BYTES", block_bytes)
        patch.setattr(partition, "MIN_BLOCK_ROWS", 1)
        patch.setattr(partition, "LONG_BLOCK_BYTES", 1)
        patch.setattr(partition, "MIN_GROUP_ROWS", group_rows)
        patch.setattr(dense, "PIECE_BYTES", 1)
        patch.setattr(dense, "PIECE_ROWS", piece_rows)
        yield


@st.composite
def matrices(
    draw: st.DrawFn, dtypes: list[str] = DTYPES, min_rows: int = 0, min_columns: int = 0
) -> np.ndarray:
    """Draw a matrix of any dtype and layout; numbers of moderate size."""
    n = draw(st.integers(min_rows, 40))
    d = draw(st.integers(min_columns, 6))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    values = (rng.normal(0, 3, size=(n, d))).astype(draw(st.sampled_from(dtypes)))
    layout = draw(st.sampled_from(LAYOUTS))
    if layout == "F":
        return np.asfortranarray(values)
    if layout == "strided":
        wide = np.zeros((2 * n, d + 1), values.dtype)
        wide[::2, :d] = values
        return wide[::2, :d]
    return values


@st.composite
def weights_for(draw: st.DrawFn, n_rows: int, columns: int | None = None) -> np.ndarray:
    """Draw weights, some of them 0 but not all, of any real dtype."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    shape = (n_rows,) if columns is None else (n_rows, columns)
    share = draw(st.sampled_from([0.0, 0.3, 0.95]))
    values = np.where(rng.random(shape) < share, 0, rng.integers(1, 9, shape) / 4)
    values = np.where((values == 0).all(axis=0), 1, values)
    return values.astype(draw(st.sampled_from(["f8", "f4"])))
