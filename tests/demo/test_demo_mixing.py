"""The mixture and the products of the demo: what is computed, and that results which differ are errors."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import outcore as oc
from outcore import progress
from outcore.demo import mixers, mixing, products, texts
from outcore.demo.groups import Limit
from outcore.demo.ingesting import NUMBERS
from outcore.demo.stage import Demo
from outcore.linalg.grams import Gram
from outcore.mixture import checkpoint

FLIGHTS, N_ROWS = 3000, 400
DEFECT = "That is a defect of outcore: please report it"
Floats = NDArray[np.float64]


@pytest.fixture
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    # As in the commands: iterations are noted, and progress is told, at once.
    monkeypatch.setattr(checkpoint, "EVERY_S", 0.0)
    monkeypatch.setattr(progress, "REFRESH_S", 0.0)
    return tmp_path


@pytest.fixture
def rows(in_folder: Path) -> Floats:
    """Rows in eight heaps, in a file."""
    rng = np.random.default_rng(1)
    x = rng.normal(0, 1, (N_ROWS, 3)) + rng.integers(0, 2, (N_ROWS, 3)) * 9.0
    np.save("x.npy", x)
    return x


@pytest.fixture
def multiplied(rows: Floats) -> tuple[Floats, Floats]:
    """Weights and matrices in files, and what outcore computes of them."""
    rng = np.random.default_rng(2)
    w, q = rng.random((N_ROWS, 2)), rng.normal(0, 1, (2, 3, 3))
    q = q @ q.transpose(0, 2, 1)
    np.save("w.npy", w)
    np.save("q.npy", q)
    products.work("outcore", 10**7, ["x.npy", "w.npy", "q.npy", "grams.npy", "forms.npy"])
    return w, q


def by_hand(memory: int = 10**7) -> dict[str, Any]:
    return products.work("np.memmap", memory, ["x.npy", "w.npy", "q.npy", "grams2.npy", "forms2.npy"])


def compare() -> dict[str, float]:
    return products.work("compare", 10**7, ["grams.npy", "forms.npy", "grams2.npy", "forms2.npy"])


# ---- rows ------------------------------------------------------------------------------------------


def test_late_flights_without_gaps_are_selected_and_scaled(
    in_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    block = next(texts._blocks(texts.find_data() / "flights.csv.zip", FLIGHTS))
    Path("flights.csv").write_bytes(block)
    flights = oc.ingest("flights.csv", "flights.npy", columns=list(NUMBERS), dtype="f8", progress=False)[:]
    monkeypatch.setattr(mixers, "BLOCK_ROWS", 700)
    answer = mixers.select("flights.npy", "late.npy")

    late = flights[~np.isnan(flights).any(axis=1)]
    late = late[late[:, NUMBERS.index("arr_delay")] > 0]
    late = np.delete(late, [NUMBERS.index("year"), NUMBERS.index("hour")], axis=1)
    found = np.load("late.npy")
    assert answer["shape"] == list(found.shape) == list(late.shape)
    assert 0.3 < len(late) / len(flights) < 0.6
    np.testing.assert_allclose(found * answer["spread"] + answer["mean"], late, atol=1e-9)
    np.testing.assert_allclose(found.mean(axis=0), 0, atol=1e-12)
    varied = late.std(axis=0) > 0
    assert not varied[mixing.COLUMNS.index("month")]  # the first rows are of one month
    np.testing.assert_allclose(found[:, varied].std(axis=0), 1)
    assert answer["plan"]["bytes_read"] == found.nbytes
    assert answer["text"].startswith("GaussianMixture(8")


def test_too_few_rows_are_said_to_be_and_nothing_is_fitted(in_folder: Path) -> None:
    flights = np.full((2 * mixing.LEAST_ROWS, len(NUMBERS)), np.nan)
    flights[: mixing.LEAST_ROWS - 1] = 1.0
    np.save("flights.npy", flights)
    lines: list[str] = []
    demo = Demo(in_folder, 1.0, Limit(0), lines.append)
    demo.facts["array"] = {"nbytes": flights.nbytes}
    mixing.work(demo)
    assert lines == [f"mixture: left out, {mixing.LEAST_ROWS - 1} flights that arrived late are too few"]
    assert [step.name for step in demo.steps] == ["select and scale"]
    assert "mixture" not in demo.facts


# ---- the fit ---------------------------------------------------------------------------------------


def test_a_fit_tells_what_it_found_and_goes_on_from_its_checkpoint(
    rows: Floats, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class StoppedError(Exception):
        """Stands for the kill."""

    def stop(seconds: float) -> None:
        raise StoppedError

    expected = mixers.fit("x.npy", "")
    assert expected["reads"] == expected["iterations"] == len(expected["lower_bounds"]) == mixing.ITERATIONS
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert sum(line["done"] for line in lines) == rows.nbytes * mixing.ITERATIONS
    assert lines[-1]["reads"] == mixing.ITERATIONS

    monkeypatch.setattr("outcore.demo.mixers.time.sleep", stop)
    with pytest.raises(StoppedError):
        mixers.fit("x.npy", "fit.npz", "1.5")
    resumed = mixers.fit("x.npy", "fit.npz")
    assert 0 < resumed["reads"] < expected["reads"]
    assert {**resumed, "reads": 0} == {**expected, "reads": 0}
    mixing._check_resumed(expected, resumed)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("reads", 4, r"made 4 iterations, one that was left in peace 4"),
        ("reads", 0, r"made 0 iterations"),
        ("digest", "cd", r"has digest cd;\n.* has ab\."),
        ("lower_bounds", [-2.0, -1.5], r"has lower_bounds \[-2\.0, -1\.5\];\n.* has \[-2\.0, -1\.0\]"),
    ],
)
def test_a_fit_that_went_on_otherwise_is_an_error(name: str, value: Any, message: str) -> None:
    expected = {"reads": 4, "digest": "ab", "lower_bounds": [-2.0, -1.0]}
    resumed = expected | {"reads": 2}
    mixing._check_resumed(expected, resumed)
    with pytest.raises(oc.errors.OutcoreError, match=rf"{message}(.|\n)*{DEFECT}"):
        mixing._check_resumed(expected, resumed | {name: value})


def test_a_fit_that_could_not_be_killed_is_an_error(in_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(demo: Demo, shown: str, *arguments: str, on_line: Callable[[dict[str, Any]], None]) -> None:
        on_line({"done": 1, "reads": 2.0})

    (in_folder / mixing.ROWS).touch()
    monkeypatch.setattr(mixing, "_run", run)
    with pytest.raises(
        oc.errors.OutcoreError, match=rf"killed after 2\.5 reads .* ended after 2\.0.\n{DEFECT}"
    ):
        mixing._kill(Demo(in_folder, 1.0, Limit(0), print))


def test_predictions_are_those_of_the_fit_in_the_checkpoint(rows: Floats) -> None:
    found = mixers.fit("x.npy", "fit.npz")
    answer = mixers.predict("x.npy", "fit.npz", "labels.npy", "shares.npy", "precisions.npy")
    labels, shares = np.load("labels.npy"), np.load("shares.npy")
    np.testing.assert_array_equal(labels, shares.argmax(axis=1))
    assert answer == {"sizes": np.bincount(labels, minlength=8).tolist(), "apart": 0}
    assert np.load("precisions.npy").shape == (8, 3, 3)
    # Of the next iteration's weights; after a few iterations on heaps they hardly change.
    np.testing.assert_allclose(shares.mean(axis=0), found["weights"], atol=0.05)


@pytest.mark.parametrize(("sizes", "apart"), [([5, 5], 1), ([5, 4], 0)])
def test_labels_that_are_not_the_most_probable_components_are_an_error(sizes: list[int], apart: int) -> None:
    mixing._check_predictions({"sizes": [5, 5], "apart": 0}, 10)
    with pytest.raises(
        oc.errors.OutcoreError, match=rf"{sum(sizes)} labels for 10 rows; {apart} of(.|\n)*{DEFECT}"
    ):
        mixing._check_predictions({"sizes": sizes, "apart": apart}, 10)


def test_components_are_shown_in_the_units_of_their_columns_the_heaviest_first() -> None:
    d = len(mixing.COLUMNS)
    scale = {"mean": [100.0] * d, "spread": [10.0] * d}
    fitted = {"weights": [0.25, 0.75], "means": [[1.0] * d, [-1.0] * d]}
    found = mixing._components(scale, fitted, [3, 7])
    assert [(c["weight"], c["rows"], c["mean"]["distance"]) for c in found] == [(0.75, 7, 90), (0.25, 3, 110)]
    _, first, second = mixing._table(found).splitlines()
    assert first.split() == ["1", "0.750", "7", *["90"] * len(mixing.SHOWN)]
    assert second.split() == ["2", "0.250", "3", *["110"] * len(mixing.SHOWN)]


# ---- the products ----------------------------------------------------------------------------------


@pytest.mark.parametrize("memory", [10**7, 4 * 3 * 8 * 37])  # all rows in one slice; 37 in each
def test_both_compute_what_the_formulas_say(
    rows: Floats, multiplied: tuple[Floats, Floats], memory: int
) -> None:
    w, q = multiplied
    by_hand(memory)
    grams, forms = np.einsum("nk,ni,nj->kij", w, rows, rows), np.einsum("ni,kij,nj->nk", rows, q, rows)
    for name in ("grams.npy", "grams2.npy"):
        np.testing.assert_allclose(np.load(name), grams)
    for name in ("forms.npy", "forms2.npy"):
        np.testing.assert_allclose(np.load(name), forms)
    apart = compare()
    assert apart.keys() == {"grams", "forms"}
    mixing._check_products(apart)


def test_a_wrong_gram_is_found(
    rows: Floats, multiplied: tuple[Floats, Floats], monkeypatch: pytest.MonkeyPatch
) -> None:
    right = Gram.finalize

    def wrong(self: Gram, state: list[Any]) -> Floats:
        return right(self, state) * (1 + 1e-6)

    by_hand()
    Path("forms.npy").unlink()
    monkeypatch.setattr(Gram, "finalize", wrong)
    products.work("outcore", 10**7, ["x.npy", "w.npy", "q.npy", "grams.npy", "forms.npy"])
    with pytest.raises(
        oc.errors.OutcoreError, match=rf"the grams of outcore and NumPy are .*e-0(.|\n)*{DEFECT}"
    ):
        mixing._check_products(compare())


@pytest.mark.parametrize("change", [1e-6, np.nan])
def test_a_wrong_form_is_found_in_any_block(
    rows: Floats, multiplied: tuple[Floats, Floats], change: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_hand()
    forms = np.load("forms.npy")
    forms[7, 1] += change * max(forms[7, 1], 1.0)
    np.save("forms.npy", forms)
    monkeypatch.setattr(products, "BLOCK_ROWS", 100)
    with pytest.raises(oc.errors.OutcoreError, match="the forms of outcore and NumPy"):
        mixing._check_products(compare())
