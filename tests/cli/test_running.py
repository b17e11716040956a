"""The command: results, exit codes, interrupts, closed pipes.

Most commands run in this process, through `main`; what only a process shows runs as one.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

import outcore as oc
from tests.cli.commands import COMMAND, outcore, process

TEXT = "name,n,x\nann,1,0.5\nbob,2,NA\n"


@pytest.fixture
def table(tmp_path: Path) -> Path:
    (tmp_path / "x.csv").write_text(TEXT)
    outcore(tmp_path, "ingest", "x.csv", "x.npy")
    return tmp_path


def test_info(table: Path) -> None:
    facts = json.loads(outcore(table, "info", "x.npy", "--json").stdout)
    assert (facts["shape"], facts["format"], facts["nbytes"]) == ([2], ".npy", 2 * 19)
    assert facts["dtype"] == [["name", "|S3"], ["n", "<i8"], ["x", "<f8"]]
    text = outcore(table, "info", "x.npy").stdout
    for word in ("address", "shape", "dtype", "order", "reader", "38 B"):
        assert word in text


def test_info_of_a_chunked_dataset(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as f:
        f.create_dataset("g/x", data=np.zeros((100, 4)), chunks=(10, 4), compression="gzip", shuffle=True)
    facts = json.loads(outcore(tmp_path, "info", "x.h5::/g/x", "--json").stdout)
    assert facts["shape"] == [100, 4]
    assert facts["chunks"] == [10, 4]
    assert outcore(tmp_path, "info", "x.h5::/g/x").stdout


def test_raw_binary_is_described_by_options(tmp_path: Path) -> None:
    np.arange(8, dtype="f4").tofile(tmp_path / "x.bin")
    fields = json.loads(outcore(tmp_path, "head", "x.bin", "--dtype", "a:f4 b:f4", "--json").stdout)["rows"]
    assert fields[1] == {"a": 2, "b": 3}
    raw = ("x.bin", "--dtype", "f4", "--shape", "-1,2", "--offset", "8")
    assert json.loads(outcore(tmp_path, "info", *raw, "--json").stdout)["shape"] == [3, 2]
    assert json.loads(outcore(tmp_path, "head", *raw, "--json").stdout)["rows"] == [[2, 3], [4, 5], [6, 7]]


def test_head(table: Path) -> None:
    rows = json.loads(outcore(table, "head", "x.npy", "-n", "1", "--json").stdout)["rows"]
    assert rows == [{"name": "ann", "n": 1, "x": 0.5}]
    lines = outcore(table, "head", "x.npy").stdout.splitlines()
    assert [line.split() for line in lines[1:]] == [
        ["name", "n", "x"],
        ["ann", "1", "0.5"],
        ["bob", "2", "nan"],
    ]


@pytest.mark.parametrize("shape", [(), (3,), (0, 2), (2, 50), (2, 3, 4), (3, 0)])
def test_head_of_any_shape(tmp_path: Path, shape: tuple[int, ...]) -> None:
    np.save(tmp_path / "x.npy", np.arange(int(np.prod(shape)), dtype="f4").reshape(shape))
    text = outcore(tmp_path, "head", "x.npy").stdout
    assert str(shape) in text
    found = json.loads(outcore(tmp_path, "head", "x.npy", "--json").stdout)
    assert found["rows"] == np.load(tmp_path / "x.npy").tolist()


def test_describe(table: Path) -> None:
    found = json.loads(outcore(table, "describe", "x.npy", "--json").stdout)
    assert found["rows"] == 2
    assert found["columns"][2] | {"dtype": ""} == {
        "name": "x", "dtype": "", "count": 1, "missing": 1, "min": 0.5, "max": 0.5, "mean": 0.5, "std": 0.0
    }  # fmt: skip
    assert "missing" in outcore(table, "describe", "x.npy", "--memory", "100MB").stdout


def test_convert(table: Path) -> None:
    made = json.loads(outcore(table, "convert", "x.npy", "x.h5::/x", "--chunks", "1", "--json").stdout)
    assert made["shape"] == [2]
    np.save(table / "y.npy", np.arange(4.0))
    assert "float32" in outcore(table, "convert", "y.npy", "z.npy", "--to", "f4").stdout
    assert np.load(table / "z.npy").dtype == "f4"
    assert "same_kind" in outcore(table, "convert", "y.npy", "q.npy", "--to", "i4", code=1).stderr


def test_version(tmp_path: Path) -> None:
    assert outcore(tmp_path, "--version").stdout == f"outcore {oc.__version__}\n"


def test_the_script_is_installed(tmp_path: Path) -> None:
    script = Path(sys.executable).with_name("outcore")
    run = subprocess.run([script, "--help"], capture_output=True, text=True, check=True)
    assert "ingest" in run.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("info", "nothing.npy"), "nothing.npy does not exist"),
        (("ingest", "no*.csv", "y.npy"), "the pattern matches no file"),
        (("ingest", "x.csv", "x.npy", "--fill", "0"), "--overwrite"),
        (("describe", "x.npy", "--memory", "10"), "describe needs"),
        (("head", "x.csv"), "dtype"),
        (("ingest", "x.csv", "y.npy", "--memory", "lots"), "memory='lots'"),
        (("ingest", "x.csv", "no/folder/y.npy"), "does not exist"),
    ],
)
def test_an_error_is_one_message_and_exit_code_1(table: Path, arguments: tuple[str, ...], words: str) -> None:
    before = sorted(os.listdir(table))
    run = outcore(table, *arguments, code=1)
    assert run.stderr.startswith("outcore: ")
    assert words in run.stderr
    assert run.stdout == ""
    assert sorted(os.listdir(table)) == before


def test_as_a_process_it_exits_with_the_same_codes(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text(TEXT)
    assert json.loads(process(tmp_path, "ingest", "x.csv", "x.npy", "--json").stdout)["shape"] == [2]
    assert process(tmp_path, "ingest", "no.csv", "y.npy", code=1).stderr.startswith("outcore: no.csv")
    assert "usage:" in process(tmp_path, "ingest", code=2).stderr


def test_a_closed_pipe_is_no_error(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros((100_000, 3)))
    with subprocess.Popen(
        [*COMMAND, "head", "x.npy", "-n", "100000"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        running.stdout.readline()
        running.stdout.close()
        errors = running.stderr.read()
    assert errors == b""
    assert running.returncode == 141
