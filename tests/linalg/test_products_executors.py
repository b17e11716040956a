"""The same digits from worker processes as from threads, by rows and by parts, in memory and on disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import outcore as oc
from outcore.blocks.reducing import session
from outcore.linalg import Covariance, Gram, Product, QuadraticForm

N, D = 20_000, 60


@pytest.fixture(scope="module")
def rows() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(N, D)).astype("f4")


def all_of(x: Any, w: np.ndarray, q: np.ndarray) -> list[bytes]:
    gram, plain, form, product, moments = oc.reduce_rows(
        x,
        [Gram(), Gram(weighted=False), QuadraticForm(q), Product(q[0]), Covariance(weighted=False)],
        weights=w,
    )
    described = oc.describe(x)
    found = [gram, plain, form, product, moments.mean, moments.covariance, described.mean, described.std]
    return [each.tobytes() for each in found]


def test_worker_processes(rows: np.ndarray, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    w, q = rng.random((N, 2)), rng.normal(size=(2, D, D))
    w[rng.random(w.shape) < 0.3] = 0
    np.save(tmp_path / "x.npy", rows)
    right = all_of(rows, w, q)
    many = rng.random((N, 120))
    grams = oc.gram(rows, many).tobytes()
    with session(executor=2):
        assert all_of(rows, w, q) == right
        assert all_of(tmp_path / "x.npy", w, q) == right
        out = np.empty((N, 2))
        oc.quadratic_form(tmp_path / "x.npy", q, out=out)
        assert out.tobytes() == right[2]
        made = oc.quadratic_form(tmp_path / "x.npy", q, out=tmp_path / "y.npy")
        assert made[:].tobytes() == right[2]
        assert oc.gram(rows, many).tobytes() == grams
        bad = rows.copy()
        bad[15_000, 3] = np.nan
        with pytest.raises(oc.errors.NonFiniteError, match="row 15000, column 3"):
            oc.gram(bad)


def test_one_set_of_matrices_for_all_processes(rows: np.ndarray) -> None:
    x = rows.astype("f8")
    w = np.random.default_rng(2).random((N, 120))
    with session(executor=2):
        by_rows = oc.plan(oc.gram, x, w)
        memory = by_rows.peak_bytes - 1
        by_parts = oc.plan(oc.gram, x, w, memory=memory)
        assert (by_rows.mode, by_parts.mode) == ("rows", "parts")
        assert oc.gram(x, w, memory=memory).tobytes() == oc.gram(x, w).tobytes()
