"""A combined file is whole or not there: errors, interrupts, kill -9, full disks, forks."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import outcore as oc
from tests.combination.found import left, read


@pytest.mark.parametrize("way", [{}, {"compression": "gzip"}, {"compression": "lzf"}], ids=str)
@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_an_error_on_the_way_leaves_nothing(
    tmp_path: Path, way: dict[str, Any], error: type[BaseException]
) -> None:
    np.save(tmp_path / "x.npy", np.ones((1000, 40)))

    def fail(done: int, total: int) -> None:
        raise error

    for source in (np.ones((1000, 40)), np.asfortranarray(np.ones((1000, 40))), tmp_path / "x.npy"):
        with pytest.raises(error):
            oc.combine({"a": source, "b": np.ones(4)}, tmp_path / "all.h5", progress=fail, **way)
        assert left(tmp_path) == ["x.npy"]


KILLED = """
import sys, time
import numpy as np, outcore as oc

def stop(done, total):
    print("under way", flush=True)
    time.sleep(60)

way = eval(sys.argv[2])
oc.combine({"a": np.ones((2000, 1000)), "b": np.ones(3)}, sys.argv[1], progress=stop, overwrite=True, **way)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs POSIX signals")
@pytest.mark.parametrize("way", [{}, {"compression": "gzip"}], ids=str)
@pytest.mark.parametrize("exists", [False, True])
def test_kill_9_leaves_nothing_under_the_name_and_the_old_file_whole(
    tmp_path: Path, way: dict[str, Any], exists: bool
) -> None:
    target = tmp_path / "all.h5"
    if exists:
        oc.combine({"old": np.arange(3)}, target)
    command = [sys.executable, "-c", KILLED, target, repr(way)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == b"under way\n"
        running.kill()
        assert running.wait(timeout=60) == -signal.SIGKILL
    names = left(tmp_path)
    assert [name for name in names if not name.endswith(".partial")] == (["all.h5"] if exists else [])
    assert len(names) == 1 + exists  # nobody could clean up; the next writer does
    if exists:
        assert read(target)["old"].tolist() == [0, 1, 2]
    oc.combine({"new": np.arange(2)}, target, overwrite=True)
    assert left(tmp_path) == ["all.h5"]


@pytest.fixture
def megabytes(tmp_path: Path) -> Iterator[Path]:
    """A disk of 3 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if not sys.platform.startswith("linux") or os.geteuid() != 0:
        pytest.skip("only root may mount a small disk")
    mount = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", disk], capture_output=True, text=True
    )
    if mount.returncode:
        pytest.skip(f"this machine mounts no small disk: {mount.stderr.strip()}")
    yield disk
    gc.collect()
    subprocess.run(["umount", disk], check=True)


FULL = """
import sys
import numpy as np, outcore as oc

rng = np.random.default_rng(0)
arrays = {"a": rng.random((1000, 200)), "b": rng.random((1000, 400)), "c": rng.random(3)}
try:
    oc.combine(arrays, sys.argv[1], **eval(sys.argv[2]))
except oc.errors.DiskFullError as error:
    print(error)
"""


@pytest.mark.parametrize("adds", [False, True])
@pytest.mark.parametrize(
    "way",
    [
        "{}",
        "{'chunks': True}",
        "{'compression': 'gzip'}",
        "{'compression': 'lzf'}",
        "{'attrs': {'c': {'large': rng.random(500_000)}}}",
    ],
)
def test_a_full_disk_leaves_nothing(megabytes: Path, adds: bool, way: str) -> None:
    target = f"{megabytes}/all.h5::/more" if adds else f"{megabytes}/all.h5"
    if adds:
        oc.combine({"old": np.arange(3)}, megabytes / "all.h5")
    # In a process of its own: HDF5 must not bring that down at its end either.
    command = [sys.executable, "-c", FULL, target, way]
    run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (run.returncode, run.stderr) == (0, "")
    assert "disk is full" in run.stdout
    assert left(megabytes) == (["all.h5"] if adds else [])
    if adds:
        assert read(megabytes / "all.h5")["old"].tolist() == [0, 1, 2]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.parametrize("way", [{}, {"compression": "gzip"}], ids=str)
def test_a_forked_child_combines_too(tmp_path: Path, way: dict[str, Any]) -> None:
    oc.combine({"old": np.arange(3)}, tmp_path / "old.h5")  # so HDF5 has been at work here
    child = os.fork()
    if child == 0:
        try:
            try:
                oc.combine(
                    {"a": np.ones((9, 9))}, tmp_path / "no.h5", progress=lambda done, total: 1 / 0, **way
                )
            except ZeroDivisionError:
                oc.combine({"a": np.arange(3), "b": f"{tmp_path}/old.h5::/old"}, tmp_path / "all.h5", **way)
                os._exit(0)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert {name: values.tolist() for name, values in read(tmp_path / "all.h5").items()} == {
        "a": [0, 1, 2],
        "b": [0, 1, 2],
    }
    assert left(tmp_path) == ["all.h5", "old.h5"]
