"""The same result to the last bit, whoever computes it, and also where a worker was killed midway."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import outcore as oc
from outcore.blocks.reducing import session
from tests.executors.library import D, Products, roots
from tests.executors.pools import connected, started

N = 90_000
WAYS: dict[str, tuple[str, int | None]] = {
    "1 thread": ("2 threads", 1),
    "3 threads": ("2 threads", 3),
    "2 processes": ("2 processes", None),
    "ThreadPoolExecutor": ("ThreadPoolExecutor", None),
    "loky": ("loky", None),
    "dask": ("dask", None),
}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Any]:
    rng = np.random.default_rng(5)
    path = tmp_path_factory.mktemp("same") / "x.npy"
    np.save(path, rng.standard_normal((N, D)).astype("f4"))
    return str(path), rng.random(N)


@pytest.fixture(scope="module")
def expected(inputs: tuple[str, Any]) -> Any:
    path, weights = inputs
    sums = oc.reduce_rows(oc.open(path), Products(), weights=weights, workers=2)
    return sums, oc.map_rows(roots, oc.open(path), workers=2)


@pytest.fixture(scope="module", params=list(WAYS))
def pool(request: pytest.FixtureRequest) -> Iterator[tuple[Any, int | None]]:
    kind, workers = WAYS[request.param]
    with started(kind) as found:
        yield found, workers


@pytest.fixture
def way(pool: tuple[Any, int | None]) -> Iterator[tuple[Any, int | None]]:
    with connected(pool[0]) as executor:
        yield executor, pool[1]


def test_reduce_rows_and_map_rows(
    way: tuple[Any, int | None], inputs: tuple[str, Any], expected: Any
) -> None:
    executor, workers = way
    path, weights = inputs
    with session(executor, workers):
        for source in (oc.open(path), np.load(path)):
            found = oc.reduce_rows(source, Products(), weights=weights)
            assert [part.tobytes() for part in found] == [part.tobytes() for part in expected[0]]
            mapped = oc.map_rows(roots, source)
            assert mapped.tobytes() == expected[1].tobytes()


def test_the_reference_is_right(inputs: tuple[str, Any], expected: Any) -> None:
    path, weights = inputs
    x = np.load(path).astype("f8")
    np.testing.assert_allclose(expected[0][0], (x.T * weights) @ x, rtol=1e-12, atol=1e-9)
    np.testing.assert_allclose(expected[1], roots(np.load(path)), rtol=1e-6)


@pytest.mark.parametrize("kind", ["2 processes", "dask"])
def test_with_a_worker_killed_midway(
    kind: str, inputs: tuple[str, Any], expected: Any, tmp_path: Path
) -> None:
    path, weights = inputs
    statistic = Products(str(tmp_path), dies_at=N // 2)
    with started(kind) as pool, connected(pool) as executor:
        found = oc.reduce_rows(oc.open(path), statistic, weights=weights, executor=executor)
    assert (tmp_path / "died").exists()
    assert [part.tobytes() for part in found] == [part.tobytes() for part in expected[0]]


def test_there_is_more_than_one_task(inputs: tuple[str, Any]) -> None:
    plan = oc.plan(oc.reduce_rows, oc.open(inputs[0]), Products(), weights=inputs[1])
    assert plan.n_groups > 3
