"""The limit of the disk, as `fio` measures it: many direct reads in flight on the very same file.

Direct reads bypass the page cache, so they neither need eviction nor leave anything behind.
"""

from __future__ import annotations

import functools
import json
import shutil
import subprocess
from pathlib import Path

from benchmarks.measure import Skip


@functools.cache
def installed() -> str:
    """Name and version, or empty."""
    if shutil.which("fio") is None:
        return ""
    return subprocess.run(["fio", "--version"], capture_output=True, text=True, check=True).stdout.strip()


def random_read(path: Path, block_bytes: int, *, depth: int = 32, seconds: int = 6) -> float:
    """Measure random reads; return bytes a second.

    Raises
    ------
    Skip
        fio is not installed, or refuses; the text says why.
    """
    return _run(path, "randread", block_bytes, depth, seconds)


def sequential_read(path: Path, *, block_bytes: int = 1 << 20, depth: int = 16, seconds: int = 6) -> float:
    """Measure reading from one end to the other; return bytes a second."""
    return _run(path, "read", block_bytes, depth, seconds)


def _run(path: Path, pattern: str, block_bytes: int, depth: int, seconds: int) -> float:
    if not installed():
        raise Skip("fio is not installed: apt-get install fio")
    reasons = []
    for engine in _engines():
        rate, reason = _try(engine, path, pattern, block_bytes, depth, seconds)
        if rate is not None:
            return rate
        reasons.append(f"{engine}: {reason}")
    raise Skip("fio refuses; " + "; ".join(reasons))


@functools.cache
def _engines() -> tuple[str, ...]:
    # Many containers forbid io_uring; fio finds that out only when it runs.
    listed = subprocess.run(["fio", "--enghelp"], capture_output=True, text=True, check=True).stdout.split()
    return tuple(engine for engine in ("io_uring", "libaio", "posixaio") if engine in listed)


def _try(
    engine: str, path: Path, pattern: str, block_bytes: int, depth: int, seconds: int
) -> tuple[float | None, str]:
    run = subprocess.run(
        [
            "fio", "--name=limit", f"--filename={str(path).replace(':', chr(92) + ':')}", f"--rw={pattern}",
            f"--bs={block_bytes}", "--direct=1", f"--iodepth={depth}", f"--ioengine={engine}", "--time_based",
            f"--runtime={seconds}", "--randrepeat=0", "--readonly", "--allow_file_create=0",
            "--output-format=json",
        ],
        capture_output=True, text=True, check=False, cwd=path.parent,
    )  # fmt: skip
    try:
        job = json.loads(run.stdout[run.stdout.index("{") :])["jobs"][0]
    except (ValueError, LookupError):
        return None, (run.stderr or run.stdout).strip()[-200:] or f"exit {run.returncode}"
    if job["error"] or not job["read"]["bw_bytes"]:
        return None, f"error {job['error']} {run.stderr.strip()[-200:]}"
    return float(job["read"]["bw_bytes"]), ""
