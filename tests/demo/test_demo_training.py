"""The training of the demo: rows and parts, going on in a second process, results that cannot be right."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import outcore as oc
from outcore.budget import format_bytes
from outcore.demo import trainers, training
from outcore.demo.children import Finished
from outcore.demo.groups import Limit
from outcore.demo.ingesting import NUMBERS
from outcore.demo.stage import Demo

DAYS, FLIGHTS_A_DAY, YEARS = 20, 30, 2
N_ROWS = DAYS * FLIGHTS_A_DAY * YEARS
DEFECT = "That is a defect of outcore: please report it"
FILES = ("flights.npy", "numbers.npy", "parts.npz")
Floats = NDArray[np.float64]


def column(name: str) -> int:
    return NUMBERS.index(name)


@pytest.fixture
def flights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Floats:
    """Flights that arrive as late as they left, about; the second year repeats the first. In a file."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(trainers, "LEAST_ROWS", 100)
    rng = np.random.default_rng(1)
    one = rng.uniform(1, 1000, (DAYS * FLIGHTS_A_DAY, len(NUMBERS)))
    number = np.arange(len(one)) // FLIGHTS_A_DAY
    one[:, column("month")], one[:, column("day")] = 1 + number // 10, 1 + number % 10
    one[:, column("dep_delay")] = rng.normal(15, 30, len(one))
    one[:, column("arr_delay")] = one[:, column("dep_delay")] + rng.normal(0, 5, len(one))
    one[::17, column("dep_delay")] = np.nan  # never left
    one[::11, column("arr_delay")] = np.nan  # or went elsewhere
    both = np.concatenate([one] * YEARS)
    both[:, column("year")] = np.repeat([2013, 2014], len(one))
    np.save("flights.npy", both)
    return both


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> str:
    # What the process that trains sets for itself is taken back after the test.
    for name in ("KERAS_HOME", "CUDA_VISIBLE_DEVICES", "JAX_PLATFORMS", "OMP_NUM_THREADS"):
        monkeypatch.setenv(name, os.environ.get(name, ""))
    return os.environ["KERAS_BACKEND"]


# ---- rows ------------------------------------------------------------------------------------------


def test_whole_days_of_all_years_go_to_one_part_and_only_known_flights(
    flights: Floats, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainers, "BLOCK_ROWS", 70)
    answer = trainers.prepare(*FILES)
    with np.load("parts.npz") as file:
        parts = dict(file)
    train, validation = parts["train"], parts["validation"]
    known = np.flatnonzero(np.isfinite(flights).all(axis=1))
    assert sorted([*train, *validation]) == known.tolist()
    assert (answer["rows"], answer["train"], answer["validation"]) == (
        len(known),
        len(train),
        len(validation),
    )
    assert answer["days"] == DAYS

    days = flights[:, [column("month"), column("day")]]
    apart = [set(map(tuple, days[part])) for part in (train, validation)]
    assert apart[0].isdisjoint(apart[1])
    assert len(apart[0]) == round(DAYS * trainers.TRAINED)
    for part in (train, validation):  # a flight is in the part of its copy
        first = part[part < N_ROWS // YEARS]
        np.testing.assert_array_equal(part, np.concatenate([first, first + N_ROWS // YEARS]))

    np.testing.assert_array_equal(np.load("numbers.npy"), np.arange(N_ROWS))
    inputs = flights[:, [column(name) for name in training.FEATURES]]
    np.testing.assert_allclose(parts["mean"], np.nanmean(inputs, axis=0))
    late, left_late = (flights[validation][:, column(name)] > 15 for name in ("arr_delay", "dep_delay"))
    assert answer["baselines"] == {
        "never late": pytest.approx((~late).mean()),
        "late where it left late": pytest.approx((late == left_late).mean()),
    }


def test_the_network_is_told_nothing_that_comes_later(flights: Floats) -> None:
    rng = np.random.default_rng()
    rows = flights[1:11]
    x, y = trainers.labelled(rows, rng)
    assert y[:, 0].tolist() == (rows[:, column("arr_delay")] > 15).tolist()
    later = rows.copy()
    for name in ("arr_time", "arr_delay", "air_time"):
        later[:, column(name)] = -1
    np.testing.assert_array_equal(trainers.labelled(later, rng)[0], x)
    numbers = np.arange(10)
    assert trainers.numbered((rows, numbers), rng)[2] is numbers


# ---- training --------------------------------------------------------------------------------------


# Keras's own variables, when they are saved.
@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")
def test_a_second_process_goes_on_and_every_row_comes_once(
    flights: Floats, backend: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainers, "LEAST_BATCH", 16)
    monkeypatch.setattr(trainers, "TOLD_EVERY", 7)
    made = trainers.prepare(*FILES)
    stopped = trainers.fit(backend, *FILES, "0.4")
    batches = -(-made["train"] // 16)
    last = round(batches * 0.4)
    assert (stopped["batches"], stopped["samples"]) == ([0, last], last * 16)
    assert "accuracy" not in stopped
    told = [json.loads(line)["done"] for line in capsys.readouterr().out.splitlines()]
    assert (sum(told), len(told)) == (last * 16, -(-last // 7))

    found = trainers.fit(backend, *FILES)
    assert (found["batches"], found["samples"]) == ([last, batches], made["train"])
    assert found["not_once"] == 0
    assert found["backend"].endswith(f"on {backend}")
    training._check_rows(found, made)
    training._check_accuracy(found["accuracy"], made)

    seen = np.load(trainers.SEEN)  # of the first process, which may have been given other rows
    seen[:5] += 1
    np.save(trainers.SEEN, seen)
    assert trainers.fit(backend, *FILES)["not_once"] > 0


@pytest.mark.parametrize(("samples", "not_once"), [(99, 1), (100, 2)])
def test_rows_that_did_not_come_once_are_an_error(samples: int, not_once: int) -> None:
    training._check_rows({"samples": 100, "not_once": 0}, {"train": 100})
    with pytest.raises(
        oc.errors.OutcoreError, match=rf"given {samples} rows of an epoch of 100; {not_once} rows.*\n{DEFECT}"
    ):
        training._check_rows({"samples": samples, "not_once": not_once}, {"train": 100})


@pytest.mark.parametrize(
    ("validation", "accuracy", "compared"),
    [(60_000, 0.9, "90.00%"), (500, 0.8, "80.00%"), (500, 0.1, "80.00%")],
)
def test_a_network_that_beats_no_rule_is_an_error(validation: int, accuracy: float, compared: str) -> None:
    split = {"validation": validation, "baselines": {"never late": 0.8, "late where it left late": 0.9}}
    training._check_accuracy(float(compared[:2]) / 100 + 0.01, split)
    with pytest.raises(
        oc.errors.OutcoreError, match=rf"of {validation} flights; .*about {compared}.\n{DEFECT}"
    ):
        training._check_accuracy(accuracy, split)


# ---- the job ---------------------------------------------------------------------------------------


def demo_of(folder: Path, lines: list[str]) -> Demo:
    (folder / "flights.npy").touch()
    return Demo(folder, 1.0, Limit(160_000_000), lines.append)


def test_without_keras_one_line_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def find(name: str) -> Any:
        return None if name == "keras" else find_spec(name)

    monkeypatch.setattr(training, "find_spec", find)
    lines: list[str] = []
    demo = demo_of(tmp_path, lines)
    training.work(demo)
    (line,) = lines
    assert "left out" in line
    assert "pip install keras torch" in line
    assert (demo.steps, demo.facts) == ([], {})


@pytest.mark.parametrize(
    ("installed", "wanted", "chosen"),
    [
        ({"keras", "torch", "jax"}, "", "torch"),
        ({"keras", "torch", "jax"}, "jax", "jax"),
        ({"keras", "jax"}, "torch", "jax"),
        ({"keras", "torch"}, "tensorflow", "torch"),
        ({"keras"}, "", None),
        ({"torch", "jax"}, "", None),
    ],
)
def test_keras_computes_with_what_is_wanted_or_there(
    installed: set[str], wanted: str, chosen: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "find_spec", lambda name: name if name in installed else None)
    monkeypatch.setenv("KERAS_BACKEND", wanted)
    assert training._backend() == chosen


def answering(*answers: dict[str, Any], asked: list[tuple[Any, ...]]) -> Callable[..., Finished]:
    left = iter(answers)

    def python(self: Demo, shown: str, *arguments: str, extra_bytes: int = 0, **options: Any) -> Finished:
        asked.append((arguments[3], extra_bytes))
        return Finished(next(left), 1.0, None)

    return python


def test_too_few_flights_are_said_to_be_and_nothing_is_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[Any, ...]] = []
    monkeypatch.setattr(training, "_backend", lambda: "torch")
    monkeypatch.setattr(Demo, "python", answering({"rows": training.LEAST_ROWS - 1}, asked=asked))
    lines: list[str] = []
    demo = demo_of(tmp_path, lines)
    training.work(demo)
    assert lines == [
        f"training: left out, {training.LEAST_ROWS - 1} flights that left and arrived are too few"
    ]
    assert asked == [("prepare", 0)]
    assert (demo.steps, demo.facts) == ([], {})


def test_the_job_prints_the_accuracy_beside_the_rules(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[Any, ...]] = []
    rules = {"never late": 0.75, "late where it left late": 0.88}
    split = {"rows": 10**6, "train": 8 * 10**5, "validation": 2 * 10**5, "baselines": rules}
    half = {"backend": "Keras 3 on torch", "batch_size": 1000, "samples": 4 * 10**5, "nbytes": 10**6}
    whole = half | {"batches": [400, 800], "samples": 8 * 10**5, "accuracy": 0.8912, "not_once": 0}
    monkeypatch.setattr(training, "_backend", lambda: "torch")
    monkeypatch.setattr(Demo, "python", answering(split, half | {"batches": [0, 400]}, whole, asked=asked))
    lines: list[str] = []
    demo = demo_of(tmp_path, lines)
    demo.limit = Limit(160_000_000, tmp_path)
    training.work(demo)
    assert asked == [("prepare", 0), ("fit", training.KERAS_BYTES), ("fit", training.KERAS_BYTES)]
    text = "\n".join(lines)
    for part in (
        "800,000 flights to train on, 200,000 of other days",
        "batches of 1,000",
        "batch 400 of 800",
    ):
        assert part in text
    assert format_bytes(160_000_000 + training.KERAS_BYTES) in text
    *_, never, left, trained = text.splitlines()
    assert [line.split()[-1] for line in (never, left, trained)] == ["75.00%", "88.00%", "89.12%"]
    assert [step.name for step in demo.steps] == ["train, half an epoch", "train on, validate"]
    assert demo.facts["training"]["stopped"] == [0, 400]
    assert demo.facts["training"]["accuracy"] == 0.8912
