"""Sixth job: a Gaussian mixture of rows that do not fit in memory, and the products that it is made of.

Reads from : the matrix of `ingesting`
Hands to   : demo.report

The rows are the flights that arrived late, their columns scaled. A fit is killed in the middle of an
iteration, run again, and compared with one that was left in peace. Then come the weighted Gram matrices and
quadratic forms of all components in one read, beside the expressions that people write by hand.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from outcore import progress
from outcore.demo.children import PROGRESS, Finished
from outcore.demo.ingesting import FLIGHTS, NUMBERS
from outcore.demo.report import aligned
from outcore.demo.stage import BUDGET_BYTES, Demo, Step, quantity
from outcore.demo.texts import SOURCES, YEARS
from outcore.demo.windows import forget
from outcore.errors import OutcoreError

#: Without the year, under which rows are repeated, and the hour, which planned time and minute tell.
COLUMNS = tuple(name for name in NUMBERS if name not in ("year", "hour"))
#: Of the means of components, these are shown.
SHOWN = ("dep_time", "dep_delay", "arr_delay", "flight", "air_time", "distance")
COMPONENTS, ITERATIONS = 8, 4
#: Fewer rows have no such mixture.
LEAST_ROWS = 20 * COMPONENTS
#: Of the flights; the others were in time, or lack a value.
SHARE_LATE = 0.4
#: Reads of the rows after which a fit is killed: in the third iteration.
KILLED_AFTER = 2.5
#: What sums in another order may be apart; the precision matrices enlarge rounding.
TOLERANCE = 1e-8

ROWS, CHECKPOINT = "late.npy", "late-fit.npz"
LABELS, SHARES, PRECISIONS = "late-labels.npy", "late-shares.npy", "late-precisions.npy"
#: As `outcore.demo.products` knows them, and where each puts its Gram matrices and forms.
OURS, BY_HAND = "outcore", "np.memmap"
RESULTS = {
    OURS: ("late-grams.npy", "late-forms.npy"),
    BY_HAND: ("late-grams-memmap.npy", "late-forms-memmap.npy"),
}


class _Killed(BaseException):
    """Ends the wait for a command, which is then killed with SIGKILL; no error."""


def disk_bytes(size: float) -> int:
    """Estimate what the rows, their labels and probabilities, and the forms of both will take."""
    row = 8 * (len(COLUMNS) + 1 + 3 * COMPONENTS)
    return round(SOURCES[0].rows * SHARE_LATE * row * YEARS * size)


def work(demo: Demo) -> None:
    """Scale, fit, kill, fit again, predict, multiply; compare what ought to be the same."""
    rows = _select(demo)
    if rows["shape"][0] < LEAST_ROWS:
        demo.say(f"mixture: left out, {rows['shape'][0]} flights that arrived late are too few")
        return
    fitted = _fit(demo, "fit a mixture")
    resumed = _fit_again(demo, fitted)
    sizes = _predict(demo, rows)
    components = _components(rows, fitted, sizes)
    demo.say(_table(components))
    demo.facts["mixture"] = {
        "rows": rows,
        "lower_bounds": fitted["lower_bounds"],
        "components": components,
        "iterations": fitted["reads"],
        "iterations_after_the_kill": resumed["reads"],
        "products": _multiply(demo, rows["nbytes"]),
    }


def _select(demo: Demo) -> dict[str, Any]:
    forget(demo.folder / FLIGHTS)
    finished = _run(demo, "selecting rows", "select", FLIGHTS, ROWS)
    rows = finished.answer
    nbytes = demo.facts["array"]["nbytes"]
    demo.steps.append(Step("select and scale", finished.seconds, nbytes, finished.peak_bytes))
    if "text" in rows:
        amount = quantity(rows["shape"][0], rows["nbytes"])
        demo.say(
            f"mixture: flights that arrived late, {len(COLUMNS)} columns with mean 0 and deviation 1:"
            f" {amount}\n"
            f'  oc.plan(oc.GaussianMixture({COMPONENTS}).fit, "{ROWS}")\n{_indented(rows.pop("text"))}'
        )
    return rows


def _fit(demo: Demo, step: str, checkpoint: str = "") -> dict[str, Any]:
    nbytes = (demo.folder / ROWS).stat().st_size
    forget(demo.folder / ROWS)
    with progress.bar("fit", nbytes * ITERATIONS) as advance:
        finished = _run(
            demo, "fitting a mixture", "fit", ROWS, checkpoint, on_line=lambda line: advance(line[PROGRESS])
        )
    found = finished.answer
    note = f"{found['reads']} iterations"
    demo.steps.append(Step(step, finished.seconds, nbytes * found["reads"], finished.peak_bytes, note))
    return found


def _fit_again(demo: Demo, expected: dict[str, Any]) -> dict[str, Any]:
    """Kill a fit, run it again, compare."""
    reads = _kill(demo)
    resumed = _fit(demo, "fit, after a kill", CHECKPOINT)
    _check_resumed(expected, resumed)
    demo.say(
        f"  killed with SIGKILL in iteration {math.ceil(reads)} of {ITERATIONS}, run again: it made the last "
        f"{resumed['reads']},\n"
        "  and has the same parameters, to the last bit, as a fit that was left in peace"
    )
    return resumed


def _kill(demo: Demo) -> float:
    """Kill a fit; return how often it had read its rows."""
    reads = 0.0

    def watch(line: dict[str, Any]) -> None:
        nonlocal reads
        reads = line["reads"]
        if reads >= KILLED_AFTER:
            raise _Killed

    forget(demo.folder / ROWS)
    try:
        _run(demo, "fitting a mixture", "fit", ROWS, CHECKPOINT, str(KILLED_AFTER), on_line=watch)
    except _Killed:
        return reads
    raise OutcoreError(
        f"a fit was to be killed after {KILLED_AFTER} reads of its rows, and ended after {reads}.\n"
        "That is a defect of outcore: please report it."
    )


def _check_resumed(expected: dict[str, Any], found: dict[str, Any]) -> None:
    if not 0 < found["reads"] < expected["reads"]:
        raise OutcoreError(
            f"a fit that was killed and run again made {found['reads']} iterations, one that was left in"
            f" peace {expected['reads']}:\nit did not go on where it was. "
            "That is a defect of outcore: please report it."
        )
    for name in ("lower_bounds", "digest"):
        if found[name] != expected[name]:
            raise OutcoreError(
                f"a fit that was killed and run again has {name} {found[name]};\n"
                f"one that was left in peace has {expected[name]}.\n"
                "That is a defect of outcore: please report it."
            )


def _predict(demo: Demo, rows: dict[str, Any]) -> list[int]:
    forget(demo.folder / ROWS)
    finished = _run(demo, "predicting", "predict", ROWS, CHECKPOINT, LABELS, SHARES, PRECISIONS)
    demo.steps.append(
        Step("predict", finished.seconds, 2 * rows["nbytes"], finished.peak_bytes, "labels, probabilities")
    )
    _check_predictions(finished.answer, rows["shape"][0])
    demo.say(f"  predictions: the component of each row in {LABELS}, probabilities in {SHARES}")
    sizes: list[int] = finished.answer["sizes"]
    return sizes


def _check_predictions(found: dict[str, Any], n_rows: int) -> None:
    predicted, apart = sum(found["sizes"]), found["apart"]
    if apart or predicted != n_rows:
        raise OutcoreError(
            f"{LABELS} has {predicted} labels for {n_rows} rows; {apart} of them are not the component with"
            f" the largest probability in {SHARES}.\nThat is a defect of outcore: please report it."
        )


def _components(rows: dict[str, Any], fitted: dict[str, Any], sizes: list[int]) -> list[dict[str, Any]]:
    """Return the components, the heaviest first, with their means in the units of the columns."""
    found = []
    for weight, size, mean in zip(fitted["weights"], sizes, fitted["means"], strict=True):
        scales = zip(COLUMNS, mean, rows["spread"], rows["mean"], strict=True)
        means = {name: value * spread + middle for name, value, spread, middle in scales}
        found.append({"weight": weight, "rows": size, "mean": means})
    return sorted(found, key=lambda component: -component["weight"])


def _table(components: list[dict[str, Any]]) -> str:
    cells = [
        [str(n), f"{c['weight']:.3f}", f"{c['rows']:,}", *(f"{c['mean'][name]:,.0f}" for name in SHOWN)]
        for n, c in enumerate(components, 1)
    ]
    return aligned([["component", "weight", "flights", *SHOWN], *cells], indent="  ")


def _multiply(demo: Demo, nbytes: int) -> dict[str, Any]:
    """Compute the products with each of the two, and compare them."""
    found: dict[str, dict[str, Any]] = {}
    for who, results in RESULTS.items():
        for name in (ROWS, SHARES):
            forget(demo.folder / name)
        finished = _products(demo, who, ROWS, SHARES, PRECISIONS, *results)
        found[who] = finished.answer | {"peak_bytes": finished.peak_bytes}
    apart: dict[str, float] = _products(demo, "compare", *RESULTS[OURS], *RESULTS[BY_HAND]).answer
    _check_products(apart)
    demo.say(
        f"products: Gram matrices weighted by the {COMPONENTS} probabilities, {COMPONENTS} quadratic forms"
        " of each row\n"
        f'  oc.plan(oc.reduce_rows, "{ROWS}", [Gram(), QuadraticForm(Q, out="{RESULTS[OURS][1]}")],\n'
        f'          weights="{SHARES}")\n{_indented(found[OURS].pop("text"))}\n'
        "  beside (X.T * w).dot(X), and then np.sum(X.dot(Q) * X, axis=1), on slices of np.memmap:\n"
        f"  apart by at most {max(apart.values()):.0e} of their size"
    )
    nbytes += (demo.folder / SHARES).stat().st_size
    for who, answer in found.items():
        answer["ratio"] = answer["seconds"] / found[OURS]["seconds"]
        note = "one read" if who == OURS else f"{answer['ratio']:.1f} times as long as outcore"
        demo.steps.append(Step(f"products, {who}", answer["seconds"], nbytes, answer["peak_bytes"], note))
    return {"apart": apart, "by": found}


def _check_products(apart: dict[str, float]) -> None:
    for name, largest in apart.items():
        if not largest <= TOLERANCE:
            raise OutcoreError(
                f"the {name} of outcore and NumPy are {largest:.3g} of their size apart; rounding explains "
                f"{TOLERANCE:g}.\nThat is a defect of outcore: please report it."
            )


def _run(
    demo: Demo, shown: str, *arguments: str, on_line: Callable[[dict[str, Any]], None] | None = None
) -> Finished:
    command = ("-m", "outcore.demo.mixers", str(BUDGET_BYTES), *arguments)
    return demo.python(shown, *command, on_line=on_line)


def _products(demo: Demo, who: str, *paths: str) -> Finished:
    return demo.python(f"products with {who}", "-m", "outcore.demo.products", who, str(BUDGET_BYTES), *paths)


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.splitlines())
