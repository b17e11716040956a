"""Shared arrays in the demo: parsed by workers, combined, compared with the text, timed beside two peers."""

from __future__ import annotations

from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import outcore as oc
from outcore.demo import handing, sharers, sharing, texts
from outcore.demo.stage import Table

ROWS = 50


@pytest.fixture
def weather(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The first rows of the weather, under three years; the names of the files."""
    monkeypatch.chdir(tmp_path)
    (block,) = texts._blocks(texts.find_data() / "weather.csv", ROWS)
    names = [f"weather-{year}.csv" for year in (2013, 2014, 2015)]
    for name in names:
        Path(name).write_bytes(texts.shift(block, b",%d,", int(name[8:12])))
    return names


def test_a_file_is_parsed_as_its_text_says(weather: list[str]) -> None:
    rows = sharers.parse(weather[1])
    text = np.genfromtxt(weather[1], delimiter=",", skip_header=1)  # NaN where a cell is no number
    assert len(rows) == ROWS
    for place, field in enumerate(rows.dtype.names or ()):
        if rows.dtype[field].kind != "S":
            np.testing.assert_array_equal(rows[field], text[:, place])
    assert rows["origin"][0] == b"EWR"
    assert rows["time_hour"][0] == b"2014-01-01T06:00:00Z"
    assert np.isnan(rows["wind_gust"]).any()


def test_workers_share_and_the_parent_combines(weather: list[str]) -> None:
    oc.ingest("weather-*.csv", "weather.npy", progress=False)
    found = sharers.work("all.h5", "weather.npy", 10**8, 2, weather)
    parsed = {Path(name).stem: sharers.parse(name) for name in weather}
    missing = np.isnan(np.concatenate([rows["wind_gust"] for rows in parsed.values()])).sum()
    assert (found["files"], found["rows"], found["nbytes"]) == (3, 3 * ROWS, 3 * ROWS * sharers.ROW.itemsize)
    assert (found["missing"]["wind_gust"], found["differs"]) == (missing, [])
    with h5py.File("all.h5") as file:
        assert sorted(file) == sorted(parsed)
        for name, rows in parsed.items():
            assert file[name][:].tobytes() == rows.tobytes()


def test_a_value_that_differs_is_named(weather: list[str]) -> None:
    made = oc.ingest("weather-*.csv", "weather.npy", progress=False)
    changed = made[:]
    changed["humid"][ROWS + 3] += 1
    changed["time_hour"][0] += np.timedelta64(1, "s")
    np.save("weather.npy", changed)
    found = sharers.work("all.h5", "weather.npy", 10**8, 1, weather)
    assert found["differs"] == ["humid", "time_hour"]
    with pytest.raises(oc.errors.OutcoreError, match=r"different values in humid, time_hour"):
        sharing._check(found, Table("*", (), 3, 3 * ROWS, 1, found["missing"]), 3)


@pytest.mark.parametrize(("rows", "gusts"), [(99, 40), (100, 41)])
def test_counts_that_differ_from_the_text_are_an_error_with_both(rows: int, gusts: int) -> None:
    table = Table("weather-*.csv", ("gust", "hour"), 4, 200, 1, {"gust": 80})
    sharing._check({"rows": 100, "missing": {"gust": 40, "hour": 0}, "differs": []}, table, 2)
    with pytest.raises(oc.errors.OutcoreError, match=rf"has {rows} rows and .*{gusts}.*\n.*100 and .*40"):
        sharing._check({"rows": rows, "missing": {"gust": gusts, "hour": 0}, "differs": []}, table, 2)


def test_columns_are_the_same_only_if_all_values_are() -> None:
    nan = np.array([1.0, np.nan])
    assert sharers.same(nan, nan.copy())
    assert not sharers.same(nan, np.array([1.0, 2.0]))
    assert not sharers.same(nan, nan[:1])
    dates = np.array(["2014-01-01T05:00:00"], "M8[s]")
    assert sharers.same(np.array([b"2014-01-01T05:00:00Z"]), dates)
    assert not sharers.same(np.array([b"2014-01-01T06:00:00Z"]), dates)


def test_an_array_is_handed_over_in_every_way(weather: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handing, "ROUNDS", 2)
    small, large = handing.measure(weather[:1]), handing.measure(weather * 20)
    assert large["nbytes"] == 60 * small["nbytes"] == 60 * ROWS * sharers.ROW.itemsize
    assert tuple(small["ways"]) == sharing.WAYS
    for found in (small, large):
        ways = found["ways"]
        assert all(way["handed_s"] > 0 and way["touched_s"] > 0 for way in ways.values())
        assert ways["outcore"]["pipe_bytes"] < 1000
        assert ways["pickled"]["pipe_bytes"] > found["nbytes"]
    table = sharing._table([small, large])
    assert len({len(line) for line in table.splitlines()}) == 1
    assert table.count(" x ") == 2 * 2 * 2  # two arrays, two peers, handed over and in all


def test_what_arrives_changed_is_an_error() -> None:
    class Pipe:
        """A worker that sends something else than it said."""

        answers = iter([(0.0, 0.0, 1)])

        def send(self, thing: Any) -> None:
            """Nobody listens."""

        def recv(self) -> Any:
            return next(self.answers)

        def recv_bytes(self) -> Any:
            return handing.ForkingPickler.dumps(np.array([1.0, 2.0]))

    pipe: Connection[Any, Any] = Pipe()  # type: ignore[assignment]
    with pytest.raises(oc.errors.OutcoreError, match=r"pickled.*\[1\.0, 2\.0\]; they were \[1\.0, 3\.0\]"):
        handing._hand_over(pipe, "pickled", [1.0, 3.0])
