"""A program that fits in forked children, each killed before one of its steps, and goes on in others.

A step is an iteration, or a call that changes a file of the checkpoint. Nothing has been multiplied before a
child is forked, so a fork is safe, and takes a hundredth of the time of a fresh interpreter.

    killing.py SPEC     prints a line of JSON for each scenario; SPEC is JSON:

    rows, checkpoint     paths
    parameters           of the estimator
    kills                a list of step numbers for each scenario: where its children are killed, one after
                         the other; then one child runs to the end

The first scenario is one without kills.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sys
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import scipy.linalg.blas
import scipy.linalg.cython_blas
import threadpoolctl

import outcore as oc
from outcore.mixture import checkpoint, gaussian, watching

#: Imported here, once, and not by each child.
LOADED = (scipy.linalg.blas, scipy.linalg.cython_blas, threadpoolctl, gaussian)


class Steps:
    """Counts the steps of this process, and ends it before one of them."""

    def __init__(self, kill_at: int | None) -> None:
        self.count = 0
        self.iterations = 0
        self._kill_at = kill_at
        for owner, names in (
            (os, ("fsync", "replace")),
            (np, ("savez",)),
            (watching.Watch, ("begin", "iterated", "end")),
        ):
            for name in names:
                setattr(owner, name, self._counted(getattr(owner, name), name))

    def _counted(self, real: Callable[..., Any], name: str) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            if self.count == self._kill_at:
                os.kill(os.getpid(), signal.SIGKILL)
            self.count += 1
            self.iterations += name == "iterated"
            return real(*args, **kwargs)

        return call


def child(spec: dict[str, Any], kill_at: int | None, answer: int) -> None:
    steps = Steps(kill_at)
    warnings.simplefilter("ignore", oc.errors.ConvergenceWarning)
    gm = oc.GaussianMixture(**spec["parameters"], checkpoint=spec["checkpoint"]).fit(spec["rows"])
    digest = hashlib.sha1()
    for name in ("weights_", "means_", "covariances_", "precisions_cholesky_", "lower_bounds_"):
        digest.update(np.ascontiguousarray(getattr(gm, name)))
    found = {
        "digest": digest.hexdigest(),
        "n_iter": gm.n_iter_,
        "steps": steps.count,
        "iterations": steps.iterations,
    }
    os.write(answer, json.dumps(found).encode())


def forked(spec: dict[str, Any], kill_at: int | None) -> dict[str, Any]:
    read_end, write_end = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            child(spec, kill_at, write_end)
            os._exit(0)
        except BaseException:
            traceback.print_exc()
        os._exit(1)
    os.close(write_end)
    with open(read_end, "rb") as answer:
        told = answer.read()
    _, status = os.waitpid(pid, 0)
    return {"status": status, **(json.loads(told) if told else {})}


def main(spec: dict[str, Any]) -> None:
    checkpoint.EVERY_S = checkpoint.SHARE = 0.0
    path = Path(spec["checkpoint"])
    for kills in [[], *spec["kills"]]:
        path.unlink(missing_ok=True)
        children = [forked(spec, kill_at) for kill_at in [*kills, None]]
        left = sorted(entry.name for entry in path.parent.iterdir())
        print(json.dumps({"children": children, "left": left}), flush=True)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
