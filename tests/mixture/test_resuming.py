"""Fits that are killed, and go on to the same bits."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import outcore as oc
from outcore.errors import CheckpointError, OptionError
from tests.mixture.mixtures import groups, identical

PROGRAM = Path(__file__).with_name("killing.py")


def scenarios(folder: Path, kills: list[list[int]], **parameters: Any) -> tuple[list[dict[str, Any]], str]:
    np.save(folder / "x.npy", groups(400, 2, 3, seed=2, apart=2))
    (folder / "kept").mkdir()
    spec = {
        "rows": str(folder / "x.npy"),
        "checkpoint": str(folder / "kept" / "fit.npz"),
        "parameters": {"n_components": 3, "random_state": 0, **parameters},
        "kills": kills,
    }
    run = subprocess.run(
        [sys.executable, str(PROGRAM), json.dumps(spec)],
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return [json.loads(line) for line in run.stdout.splitlines()], run.stderr


@pytest.mark.parametrize("kind", ["full", "tied", "diag", "spherical"])
def test_killed_anywhere_it_ends_with_the_same_bits(kind: str, tmp_path: Path) -> None:
    kills = [[at] for at in range(3, 60, 8 if kind == "full" else 20)] + [[25, 3, 11, 2, 2]]
    wishes = {"covariance_type": kind, "n_init": 2, "tol": 0.0, "max_iter": 5}
    (whole, *killed), errors = scenarios(tmp_path, kills, **wishes)
    (wanted,) = whole["children"]
    assert wanted["iterations"] == 10
    assert wanted["steps"] > kills[-2][0]
    assert whole["left"] == ["fit.npz"]
    saved = 0
    for scenario in killed:
        *dead, last = scenario["children"]
        assert last["status"] == 0, errors
        assert last["digest"] == wanted["digest"]
        assert last["n_iter"] == wanted["n_iter"]
        assert scenario["left"] == ["fit.npz"]
        died = [child["status"] == signal.SIGKILL for child in dead]
        saved += any(died) and last["iterations"] < wanted["iterations"]
    assert saved > len(killed) / 2  # those killed later do not begin anew


def test_a_fit_that_has_ended_gives_its_answer_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = groups(500, 2, 2)
    first = oc.GaussianMixture(2, random_state=0, n_init=2, checkpoint=tmp_path / "fit.npz").fit(x)

    def no_pass(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("the rows are read again")

    monkeypatch.setattr("outcore.mixture.expectation.Expectation.update", no_pass)
    again = oc.GaussianMixture(2, random_state=0, n_init=2, checkpoint=tmp_path / "fit.npz").fit(x)
    identical(again, first)


def test_more_iterations_for_a_fit_that_stopped_at_its_limit(tmp_path: Path) -> None:
    x = groups(500, 2, 3, apart=1)
    parameters: dict[str, Any] = {"n_components": 3, "random_state": 0, "tol": 1e-5}
    with pytest.warns(oc.errors.ConvergenceWarning):
        oc.GaussianMixture(**parameters, max_iter=4, checkpoint=tmp_path / "fit.npz").fit(x)
    whole = oc.GaussianMixture(**parameters, max_iter=500).fit(x)
    assert whole.n_iter_ > 4
    identical(oc.GaussianMixture(**parameters, max_iter=500, checkpoint=tmp_path / "fit.npz").fit(x), whole)


def test_other_data_are_refused(tmp_path: Path) -> None:
    x = groups(500, 2, 2)
    gm = oc.GaussianMixture(2, random_state=0, checkpoint=tmp_path / "fit.npz").fit(x)
    means = gm.means_
    for other, weights, text in (
        (groups(500, 2, 2, seed=1), None, "digest of rows"),
        (x[:-1], None, r"X.shape: \[500, 2\] in the checkpoint, \[499, 2\] now"),
        (x, np.ones(500), "sample_weight"),
    ):
        with pytest.raises(CheckpointError, match=text):
            gm.fit(other, sample_weight=weights)
    with pytest.raises(CheckpointError, match=r"reg_covar: 1e-06 in the checkpoint, 0.1 now"):
        gm.set_params(reg_covar=0.1).fit(x)
    assert gm.means_ is means


def test_without_a_seed_it_goes_on_too(tmp_path: Path) -> None:
    x = groups(500, 2, 3)
    first = oc.GaussianMixture(3, n_init=3, checkpoint=tmp_path / "fit.npz").fit(x)
    identical(oc.GaussianMixture(3, n_init=3, checkpoint=tmp_path / "fit.npz").fit(x), first)


def test_warm_start_and_checkpoint_exclude_each_other(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="warm_start=True and checkpoint="):
        oc.GaussianMixture(warm_start=True, checkpoint=tmp_path / "fit.npz").fit(groups(50, 2, 1))
