from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import outcore as oc
from outcore.mixture import identity
from outcore.mixture.identity import identify
from outcore.mixture.parameters import Given
from outcore.mixture.wishes import check_wishes

WISHES = check_wishes(oc.GaussianMixture(3))
X = np.arange(24.0).reshape(8, 3)


def facts(
    x: Any = X, weights: Any = None, given: Given | None = None, seed: Any = 0, **wishes: Any
) -> dict[str, Any]:
    w = None if weights is None else oc.asarray(weights)
    return identify(replace(WISHES, **wishes), given or Given(), seed, oc.asarray(x), w)


def test_the_same_fit_is_the_same_text() -> None:
    assert json.dumps(facts()) == json.dumps(facts(X.copy()))
    assert json.loads(json.dumps(facts())) == facts()


def test_silent_wishes_do_not_count() -> None:
    assert facts(verbose=2, verbose_interval=1) == facts()


def changed(at: int) -> np.ndarray:
    x = X.copy()
    x.flat[at] += 1e-9
    return x


OTHERS: list[tuple[str, Callable[[], dict[str, Any]]]] = [
    ("tol", lambda: facts(tol=0.1)),
    ("n_components", lambda: facts(n_components=2)),
    ("random_state", lambda: facts(seed=1)),
    ("random_state", lambda: facts(seed=None)),
    ("random_state", lambda: facts(seed=np.random.default_rng(0))),
    ("weights_init", lambda: facts(given=Given(weights=np.ones(3) / 3))),
    ("means_init", lambda: facts(given=Given(means=np.zeros((3, 3))))),
    ("precisions_init", lambda: facts(given=Given(whitening=np.zeros((3, 3))))),
    ("X (digest of rows)", lambda: facts(changed(0))),
    ("X (digest of rows)", lambda: facts(changed(23))),
    ("X.dtype", lambda: facts(X.astype("f4"))),
    ("X.shape", lambda: facts(X[:7])),
    ("sample_weight.shape", lambda: facts(weights=np.ones(8))),
]


@pytest.mark.parametrize(("name", "other"), OTHERS)
def test_another_fit_is_another_text(name: str, other: Callable[[], dict[str, Any]]) -> None:
    ours, theirs = facts(), other()
    assert name in {key for key in {**ours, **theirs} if ours.get(key) != theirs.get(key)}


def test_kinds_of_generators_differ() -> None:
    pcg, other = np.random.default_rng(0), np.random.Generator(np.random.MT19937(0))
    assert facts(seed=pcg)["random_state"] == "Generator(PCG64)"
    assert facts(seed=other)["random_state"] != "Generator(PCG64)"


def test_large_arrays_are_sampled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identity, "WHOLE_BYTES", 100)
    monkeypatch.setattr(identity, "SAMPLED_ROWS", 3)
    key = "X (digest of rows)"
    assert facts(changed(0))[key] != facts()[key]
    assert facts(changed(23))[key] != facts()[key]
    assert facts(changed(4))[key] == facts()[key]  # the second of eight rows is not among the three


def test_a_file_is_known_by_its_time_and_not_by_its_name(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", X)
    before = facts(tmp_path / "x.npy")
    os.rename(tmp_path / "x.npy", tmp_path / "y.npy")
    assert facts(tmp_path / "y.npy") == before
    os.utime(tmp_path / "y.npy", ns=(0, 0))
    after = facts(tmp_path / "y.npy")
    assert {key for key in after if after[key] != before[key]} == {"X (file: bytes, time of change)"}


def test_rows_in_another_order_in_memory_are_the_same_rows() -> None:
    assert facts(np.asfortranarray(X)) == facts()
