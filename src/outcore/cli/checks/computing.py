"""Cores: how many there are for this process, and how many threads BLAS starts."""

from __future__ import annotations

import math
import os
from pathlib import Path

from outcore.cli.checks.finding import Finding

#: Environment variables that say how many threads to start, the more specific ones last.
VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "OPENBLAS_NUM_THREADS")
_OF_BLAS = {"openblas": "OPENBLAS_NUM_THREADS", "mkl": "MKL_NUM_THREADS", "blis": "BLIS_NUM_THREADS"}


def processors() -> Finding:
    """Compare the machine's cores with those that this process may use."""
    machine, allowed, share = os.cpu_count() or 1, _affinity(), quota()
    figures = {"machine": machine, "allowed": allowed, "quota": share, "usable": usable()}
    name, text = "cores", f"{machine}"
    if allowed < machine:
        text += f", of which this process may use {allowed}"
    if share is None or share >= allowed:
        return Finding(name, text, figures=figures)
    text += f"; a control group grants the time of {share:g}"
    advice = (
        "libraries that count cores start too many threads, which then stand still together: "
        f"export OMP_NUM_THREADS={usable()}"
    )
    return Finding(name, text, advice, "warn", figures)


def blas() -> Finding:
    """Compare the threads of each BLAS that NumPy and SciPy have loaded with the cores."""
    import scipy.linalg  # noqa: F401  # has a BLAS of its own; brings NumPy's with it
    from threadpoolctl import threadpool_info

    found = [pool for pool in threadpool_info() if pool["user_api"] == "blas"]
    figures = {
        "libraries": [
            {key: pool.get(key) for key in ("internal_api", "version", "num_threads", "architecture")}
            for pool in found
        ]
    }
    if not found:
        return Finding("BLAS", "none that threadpoolctl knows", figures=figures)
    each = [f"{pool['internal_api']} {pool['version']}, {pool['num_threads']} threads" for pool in found]
    text = "; ".join(dict.fromkeys(each))  # NumPy's and SciPy's are mostly the same
    if max(pool["num_threads"] for pool in found) <= usable():
        return Finding("BLAS", text, figures=figures)
    variables = dict.fromkeys(_OF_BLAS.get(pool["internal_api"], "OMP_NUM_THREADS") for pool in found)
    advice = f"export {' '.join(f'{variable}={usable()}' for variable in variables)}"
    return Finding("BLAS", f"{text}, on {usable()} cores", advice, "warn", figures)


def thread_variables() -> Finding:
    """List the environment variables that set numbers of threads."""
    given = {name: os.environ[name] for name in VARIABLES if name in os.environ}
    name, figures = "thread settings", {"variables": given, "usable": usable()}
    if not given:
        advice = (
            "several processes that compute at once want one each: export OMP_NUM_THREADS=1 before they start"
        )
        return Finding(name, "none: each process uses all cores", advice, figures=figures)
    text = ", ".join(f"{variable}={value}" for variable, value in given.items())
    too_many = [variable for variable, value in given.items() if value.isdecimal() and int(value) > usable()]
    if not too_many:
        return Finding(name, text, figures=figures)
    advice = f"there are {usable()} cores: export {' '.join(f'{v}={usable()}' for v in too_many)}"
    return Finding(name, text, advice, "warn", figures)


def usable() -> int:
    """Return how many threads can run at once."""
    share = quota()
    return _affinity() if share is None else max(1, min(_affinity(), math.ceil(share)))


def _affinity() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def quota(proc: str = "/proc/self/cgroup", root: str = "/sys/fs/cgroup") -> float | None:
    """Return the smallest CPU quota of the control groups above us, in cores; None if there is none."""
    try:
        lines = Path(proc).read_text().splitlines()
    except FileNotFoundError:
        return None
    shares = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            base = Path(root)
        elif "cpu" in controllers.split(","):
            base = Path(root) / controllers if (Path(root) / controllers).is_dir() else Path(root) / "cpu"
        else:
            continue
        # A container often sees its own group as the root: then the path below it is missing.
        here = base / path.lstrip("/")
        for folder in (here, *here.parents):
            share = _share(folder)
            if share is not None:
                shares.append(share)
            if folder == base:
                break
    return min(shares, default=None)


def _share(folder: Path) -> float | None:
    try:
        if (folder / "cpu.max").exists():
            granted, period = (folder / "cpu.max").read_text().split()
        else:
            granted = (folder / "cpu.cfs_quota_us").read_text()
            period = (folder / "cpu.cfs_period_us").read_text()
    except OSError:
        return None  # not a group of ours to read, or one without a limit
    return None if granted == "max" or int(granted) <= 0 else int(granted) / int(period)
