"""Eighth job: a small neural network, trained with Keras on rows that do not fit in memory.

Reads from : the matrix of `ingesting`
Hands to   : demo.report

Will a flight arrive more than a quarter of an hour late? The network is told what is known when it leaves:
how late it left, when it should leave and arrive, how far it flies; not when it arrived, nor how long it was
in the air. It is trained on four days of five and judged by the others, beside two rules that need no
training: no flight is late; a flight is late where it left late.

The process that trains stops in the middle of the epoch, and another one goes on. Each counts which rows it
was given.
"""

from __future__ import annotations

import os
from importlib.util import find_spec
from typing import Any

from outcore import progress
from outcore.budget import format_bytes
from outcore.demo.children import PROGRESS
from outcore.demo.ingesting import FLIGHTS
from outcore.demo.report import aligned
from outcore.demo.stage import BUDGET_BYTES, Demo, Step
from outcore.demo.texts import SOURCES, YEARS
from outcore.demo.windows import forget
from outcore.errors import OutcoreError

#: Known when a flight leaves, and numbers.
FEATURES = ("dep_delay", "sched_dep_time", "sched_arr_time", "distance")
LATE_MINUTES = 15
#: Flights that left and arrived; fewer are of a few days only.
LEAST_ROWS = 10_000
#: More of the rows would take longer, and make no difference to what is shown.
MOST_ROWS = SOURCES[0].rows * YEARS
#: On fewer flights the network may be as good as the better rule, by chance.
LEAST_COMPARED = 50_000
#: What Keras and what it computes with take for themselves.
KERAS_BYTES = 600_000_000
BACKENDS = ("torch", "jax")
#: The share of the epoch after which the first process stops.
STOPPED_AFTER = 0.5

ROW_NUMBERS, PARTS = "flights-numbers.npy", "flights-parts.npz"


def disk_bytes(size: float) -> int:
    """Estimate what the numbers of the rows, the rows of both parts, and the model will take."""
    return round(SOURCES[0].rows * 8 * YEARS * size) + round(MOST_ROWS * 9 * min(1.0, size)) + 1_000_000


def work(demo: Demo) -> None:
    """Split, train, stop, go on in another process, validate; compare with the rules."""
    backend = _backend()
    if backend is None:
        demo.say("training: left out, Keras with PyTorch or JAX is not installed: pip install keras torch")
        return
    forget(demo.folder / FLIGHTS)
    finished = demo.python("splitting rows", *_command("prepare", FLIGHTS, ROW_NUMBERS, PARTS))
    split = finished.answer
    if split["rows"] < LEAST_ROWS:
        demo.say(f"training: left out, {split['rows']} flights that left and arrived are too few")
        return
    demo.say(
        f"training: will a flight arrive more than {LATE_MINUTES} minutes late?"
        f" Told: {', '.join(FEATURES)}\n"
        f"  {split['train']:,} flights to train on, {split['validation']:,} of other days to validate"
    )
    stopped = _fit(demo, "train, half an epoch", backend, split, str(STOPPED_AFTER))
    found = _fit(demo, "train on, validate", backend, split)
    _check_rows(found, split)
    _check_accuracy(found["accuracy"], split)
    demo.say(_text(demo, stopped, found, split))
    demo.facts["training"] = split | found | {"stopped": stopped["batches"]}


def _backend() -> str | None:
    """Choose what Keras computes with: what its variable says, or what is installed."""
    wanted = os.environ.get("KERAS_BACKEND", "")
    installed = [name for name in BACKENDS if find_spec(name) is not None]
    if find_spec("keras") is None or not installed:
        return None
    return wanted if wanted in installed else installed[0]


def _fit(demo: Demo, step: str, backend: str, split: dict[str, Any], halt: str = "") -> dict[str, Any]:
    forget(demo.folder / FLIGHTS)
    share = STOPPED_AFTER if halt else 1 - STOPPED_AFTER
    with progress.bar("train", round(split["train"] * share), unit="flights") as advance:
        finished = demo.python(
            "training",
            *_command("fit", backend, FLIGHTS, ROW_NUMBERS, PARTS, halt),
            on_line=lambda line: advance(line[PROGRESS]),
            extra_bytes=KERAS_BYTES,
        )
    demo.steps.append(Step(step, finished.seconds, finished.answer["nbytes"], finished.peak_bytes))
    return finished.answer


def _command(*arguments: str) -> tuple[str, ...]:
    return ("-m", "outcore.demo.trainers", str(BUDGET_BYTES), *arguments)


def _check_rows(found: dict[str, Any], split: dict[str, Any]) -> None:
    if found["not_once"] or found["samples"] != split["train"]:
        raise OutcoreError(
            f"two processes were given {found['samples']} rows of an epoch of {split['train']};"
            f" {found['not_once']} rows came not once, or should not have come.\n"
            "That is a defect of outcore: please report it."
        )


def _check_accuracy(accuracy: float, split: dict[str, Any]) -> None:
    rules = split["baselines"]
    compared = max(rules.values()) if split["validation"] >= LEAST_COMPARED else rules["never late"]
    if not accuracy > compared:
        raise OutcoreError(
            f"the network is right about {accuracy:.2%} of {split['validation']} flights; a rule without"
            f" training is right about {compared:.2%}.\nThat is a defect of outcore: please report it."
        )


def _text(demo: Demo, stopped: dict[str, Any], found: dict[str, Any], split: dict[str, Any]) -> str:
    first, (_, last) = stopped["batches"][1], found["batches"]
    limit = ""
    if demo.limit.parent is not None:
        limit = f"; the limit is {format_bytes(demo.limit.nbytes + KERAS_BYTES)} here, most of it for Keras"
    rules = {**split["baselines"], "the network, trained": found["accuracy"]}
    table = aligned(
        [["right about validation flights", ""], *([k, f"{v:.2%}"] for k, v in rules.items())], "    "
    )
    return (
        f"  {found['backend']}, batches of {found['batch_size']:,}{limit}\n"
        f"  stopped after batch {first} of {last}, with model and state saved; another process went on:\n"
        f"  each of the {split['train']:,} flights to train on came once\n{table}"
    )
