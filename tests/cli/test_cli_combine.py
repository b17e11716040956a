"""``outcore combine``: names, results, errors."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest

from outcore.cli import main


def outcore(folder: Path, *arguments: str, code: int = 0) -> tuple[str, str]:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.chdir(folder), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        returned = main(["combine", *arguments])
    assert returned == code, (out.getvalue(), err.getvalue())
    return out.getvalue(), err.getvalue()


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "runs").mkdir()
    np.save(tmp_path / "x.npy", np.arange(6.0).reshape(3, 2))
    np.save(tmp_path / "runs" / "y.npy", np.arange(4))
    with h5py.File(tmp_path / "run.h5", "w") as file:
        file["group/z"] = np.arange(5)
        file["group/z"].attrs["unit"] = "mm"
    return tmp_path


def test_names_are_given_or_those_of_the_addresses(files: Path) -> None:
    plain, _ = outcore(files, "all.h5", "x.npy", "runs/y.npy", "run.h5::/group/z", "deep/er=x.npy", "run.h5")
    assert f"{files}/all.h5::/deep/er  (3, 2)  float64  48 B" in plain
    assert "5 arrays" in plain
    with h5py.File(files / "all.h5") as found:
        assert set(found) == {"x", "y", "z", "deep", "run"}
        assert found["deep/er"][()].tolist() == [[0, 1], [2, 3], [4, 5]]
        assert found["y"][()].tolist() == [0, 1, 2, 3]
        assert dict(found["z"].attrs) == {"unit": "mm"}


def test_the_result_as_json(files: Path) -> None:
    text, _ = outcore(files, "all.h5::/g", "a=x.npy", "b=run.h5::/group/z", "--json", "--compression", "gzip")
    found = json.loads(text)
    assert found["nbytes"] == 88
    assert found["arrays"]["a"] == {
        "address": f"{files}/all.h5::/g/a", "shape": [3, 2], "dtype": "<f8", "nbytes": 48
    }  # fmt: skip
    with h5py.File(files / "all.h5") as file:
        assert file["g/b"].compression == "gzip"


def test_every_option(files: Path) -> None:
    outcore(files, "all.h5", "x.npy")
    options = "--overwrite --chunks 2,1 --compression lzf --workers 2 --memory 64MB --no-progress"
    outcore(files, "all.h5", "a=x.npy", *options.split())
    with h5py.File(files / "all.h5") as file:
        assert list(file) == ["a"]
        assert (file["a"].chunks, file["a"].compression) == ((2, 1), "lzf")


def test_a_file_with_an_equals_sign_in_its_name(files: Path) -> None:
    np.save(files / "k=5.npy", np.arange(5))
    (files / "year=2024").mkdir()
    np.save(files / "year=2024" / "t.npy", np.arange(7))
    outcore(files, "all.h5", "k=5.npy", "year=2024/t.npy", "u=year=2024/t.npy")
    with h5py.File(files / "all.h5") as found:
        assert {name: len(found[name]) for name in found} == {"k=5": 5, "t": 7, "u": 7}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("all.h5", "x.npy", "runs/x.npy"), "x.npy and runs/x.npy would both be named 'x'"),
        (("all.h5", "x.npy", "x/y=runs/y.npy"), "'x/y' is below 'x'"),
        (("run.h5", "x.npy"), "overwrite"),
        (("all.npy", "x.npy"), 'Use "all.h5"'),
        (("all.h5", "no.npy"), "no.npy does not exist"),
        (("all.h5", "=x.npy"), "'' is not a name"),
        (("all.h5", "x.npy", "--workers", "0"), "workers=0"),
        (("all.h5", "x.npy", "--compression", "zip"), "compression='zip'"),
        (("all.h5", "x.npy", "--memory", "10"), "needs"),
    ],
)
def test_an_error_is_one_message_and_exit_code_1(files: Path, arguments: tuple[str, ...], words: str) -> None:
    before = sorted(os.listdir(files))
    out, err = outcore(files, *arguments, code=1)
    assert err.startswith("outcore: ")
    assert words in err
    assert out == ""
    assert sorted(os.listdir(files)) == before


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs POSIX signals")
@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGKILL, -9)])
def test_interrupted_it_leaves_no_target(tmp_path: Path, sent: signal.Signals, code: int) -> None:
    np.save(tmp_path / "x.npy", np.random.default_rng(0).random((4_000_000, 2)))
    command = [sys.executable, "-m", "outcore", "combine", "all.h5", "x.npy", "--compression", "gzip"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        deadline = time.monotonic() + 60
        # Some bytes of chunks are in it, so the work is under way.
        while not any(p.stat().st_size > 100_000 for p in tmp_path.glob(".*.partial")):
            assert running.poll() is None, "it ended before it could be interrupted"
            assert time.monotonic() < deadline
            time.sleep(0.005)
        running.send_signal(sent)
        _, errors = running.communicate(timeout=60)
    assert running.returncode == code
    assert b"Traceback" not in errors
    left = set(os.listdir(tmp_path)) - {"x.npy"}
    if sent == signal.SIGINT:
        assert left == set()
    else:  # nobody could clean up; the next writer does
        assert all(name.endswith(".partial") for name in left)
        np.save(tmp_path / "x.npy", np.zeros(3))
        outcore(tmp_path, "all.h5", "x.npy")
        assert sorted(os.listdir(tmp_path)) == ["all.h5", "x.npy"]
