"""The demo from end to end, at a size of a few seconds, and what it leaves behind when it is stopped."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import outcore as oc
from outcore.demo import conduct, run, windows
from outcore.demo.conduct import Job
from outcore.demo.stage import Demo

TINY = 0.005
#: Too few flights to train on, which loads Keras twice.
TINIER = 0.002


def only_folder(directory: Path) -> Path:
    (folder,) = directory.iterdir()
    return folder


def test_json_tells_every_step_and_the_files_can_be_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(TINY, str(tmp_path), keep=True, as_json=True) == 0
    found = json.loads(capsys.readouterr().out)

    folder = only_folder(tmp_path)
    assert found["folder"] == str(folder)
    names = [step["name"] for step in found["steps"]]
    assert names[:3] == ["write the text", "ingest flights", "ingest weather"]
    assert names[3:5] == ["ingest a broken copy", "convert to HDF5"]
    assert names[5:8] == ["windows, outcore", "windows, np.memmap", "windows, h5py"]
    assert names[8:12] == ["describe", "select and scale", "fit a mixture", "fit, after a kill"]
    assert names[12:16] == ["predict", "products, outcore", "products, np.memmap", "share and combine"]
    assert names[16:] == ["train, half an epoch", "train on, validate"]
    assert all(step["seconds"] > 0 and step["nbytes"] > 0 for step in found["steps"])
    assert (found["limit_bytes"] is None) == (found["no_limit_because"] is not None)

    readers = found["windows"]["readers"]
    assert readers.keys() == {"outcore", "np.memmap", "h5py"}
    assert len({reader["checksum"] for reader in readers.values()}) == 1
    assert readers["h5py"]["ratio"] == pytest.approx(
        readers["h5py"]["seconds"] / readers["outcore"]["seconds"]
    )

    array = np.load(folder / "flights.npy")
    text = np.genfromtxt(folder / "flights-2013.csv", delimiter=",", skip_header=1)
    numbers = [*range(9), 10, 14, 15, 16, 17]  # positions of the columns that are numbers
    np.testing.assert_array_equal(array, text[:, numbers])
    assert found["array"] == {"shape": list(array.shape), "dtype": "<f8", "nbytes": array.nbytes}
    assert [c["missing"] for c in found["columns"]] == np.isnan(array).sum(axis=0).tolist()
    np.testing.assert_array_equal(oc.open(folder / "flights.h5")[:], array)
    mixture = found["mixture"]
    late = np.load(folder / "late.npy")
    assert mixture["rows"]["shape"] == list(late.shape)
    assert 0 < mixture["iterations_after_the_kill"] < mixture["iterations"] == len(mixture["lower_bounds"])
    assert sum(component["rows"] for component in mixture["components"]) == len(late)
    assert sum(component["weight"] for component in mixture["components"]) == pytest.approx(1)
    by = mixture["products"]["by"]
    assert by["outcore"]["plan"]["passes"] == 1
    assert by["np.memmap"]["ratio"] == pytest.approx(by["np.memmap"]["seconds"] / by["outcore"]["seconds"])
    shares = np.load(folder / "late-shares.npy")
    np.testing.assert_array_equal(np.load(folder / "late-labels.npy"), shares.argmax(axis=1))
    for grams in ("late-grams.npy", "late-grams-memmap.npy"):
        expected = np.einsum("nk,ni,nj->kij", shares, late, late)
        np.testing.assert_allclose(np.load(folder / grams), expected, atol=1e-8)
    weather = oc.open(folder / "weather.npy")
    assert np.isnan(weather["wind_gust"][:]).any()
    combined = oc.open(folder / "weather-shared.h5::/weather-2013")
    np.testing.assert_array_equal(combined["wind_gust"][:], weather["wind_gust"][:])
    assert found["sharing"]["rows"] == len(weather)
    (handed,) = found["sharing"]["arrays"]
    trained = found["training"]
    assert trained["samples"] == trained["train"] > 10_000
    assert (trained["not_once"], trained["stopped"][1]) == (0, trained["batches"][0])
    assert trained["baselines"]["never late"] < trained["accuracy"] < 1
    assert handed["ways"]["outcore"]["pipe_bytes"] < 1000 < handed["ways"]["pickled"]["pipe_bytes"]


def test_the_command_prints_commands_tables_and_ratios_and_removes_everything(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "outcore", "demo", "--size", str(TINIER), "--directory", str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "$ outcore ingest 'flights-*.csv' flights.npy" in done.stdout
    assert "times as long as outcore" in done.stdout
    assert "killed with SIGKILL in iteration 3 of 4, run again: it made the last" in done.stdout
    assert "oc.plan(oc.reduce_rows" in done.stdout
    assert "in shared memory; in the file, each value as outcore ingest read it" in done.stdout
    assert "training: left out, " in done.stdout
    for name in ("dep_delay", "peak memory", "removed at the end", "limit:", "--size 1 and above count"):
        assert name in done.stdout
    assert done.stderr == ""  # no bars where nobody watches, and no warnings
    assert list(tmp_path.iterdir()) == []


def test_where_no_limit_is_possible_it_says_so_and_works(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("outcore.demo.groups.MOUNT", tmp_path / "none")
    assert run(TINIER, str(tmp_path)) == 0
    printed = capsys.readouterr().out
    assert "no control group can be made here (no memory controller under" in printed
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("error", [RuntimeError("job"), KeyboardInterrupt()])
def test_after_an_error_nothing_is_left(
    error: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(demo: Demo) -> None:
        (demo.folder / "x.npy").write_bytes(b"x")
        raise error

    monkeypatch.setattr(conduct, "JOBS", (Job(lambda size: 0, fail),))
    with pytest.raises(type(error)):
        run(TINY, str(tmp_path), as_json=True)
    assert list(tmp_path.iterdir()) == []


def test_asked_to_end_it_ends_its_command_and_leaves_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "outcore", "demo", "--size", "0.2", "--directory", str(tmp_path)]
    # What a command leaves in the temporary folder of the system would be seen here too.
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("$ outcore ingest"):
                break
        folder = only_folder(tmp_path)
        process.send_signal(signal.SIGTERM)
        process.wait()
    assert process.returncode == 128 + signal.SIGTERM
    assert list(tmp_path.iterdir()) == []
    assert not folder.exists()


@pytest.mark.parametrize("size", [0, -1, float("nan"), float("inf")])
def test_a_size_that_makes_no_sense(size: float, tmp_path: Path) -> None:
    with pytest.raises(oc.errors.OptionError, match=r"size=.*positive"):
        run(size, str(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_readers_that_disagree_are_an_error_with_both_checksums() -> None:
    with pytest.raises(oc.errors.OutcoreError, match=r"outcore 00000001, h5py 00000002"):
        windows._compare({"outcore": {"checksum": 1}, "h5py": {"checksum": 2}})
