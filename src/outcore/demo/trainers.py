"""Split rows, train a network on them, stop, go on: the code that a user would write.

Reads from : the matrix of `ingesting`
Hands to   : demo.training, one JSON object a line on standard output

Run as ``python -m outcore.demo.trainers MEMORY COMMAND ARGUMENTS``; the commands are the public functions.
Only the process that trains loads Keras.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from outcore.array.creating import create
from outcore.array.opening import open_array
from outcore.demo.children import PROGRESS
from outcore.demo.ingesting import NUMBERS
from outcore.demo.training import FEATURES, LATE_MINUTES, LEAST_ROWS, MOST_ROWS
from outcore.loader.loading import Loader
from outcore.loader.splitting import split
from outcore.settings import options
from outcore.statistics import describe
from outcore.transforms import astype, standardize

#: Rows that are looked at at a time.
BLOCK_ROWS = 65_536
#: The share of the days that is trained on.
TRAINED = 0.8
#: Steps of an epoch, about, whatever the size; batches are as large as that makes them, within limits.
STEPS, LEAST_BATCH, MOST_BATCH = 600, 64, 8192
LEARNING_RATE = 5e-3
#: Batches after which progress is told.
TOLD_EVERY = 20

INPUTS = [NUMBERS.index(name) for name in FEATURES]
DEPARTURE, ARRIVAL = NUMBERS.index("dep_delay"), NUMBERS.index("arr_delay")
MODEL, STATE, SEEN = "training.keras", "training.json", "training-seen.npy"


def prepare(path: str, numbers: str, parts: str) -> dict[str, Any]:
    """Split whole days into training and validation, and tell what the baselines reach on the latter.

    The text repeats one year under others, so a day is the same day in every year: none is in both parts.

    Parameters
    ----------
    path : str
        Of the flights.
    numbers : str
        Gets the number of each row, so that it can be seen which rows were trained on.
    parts : str
        Gets the rows of both parts, and the mean and deviation of each input.
    """
    flights = open_array(path)
    with create(numbers, (len(flights),), "i8") as file:
        for start in range(0, len(flights), BLOCK_ROWS):
            file[start : start + BLOCK_ROWS] = np.arange(start, min(start + BLOCK_ROWS, len(flights)))
    rows = min(len(flights), MOST_ROWS)
    days, known = np.empty(rows, np.int16), np.empty(rows, np.bool)
    late, left_late = np.empty(rows, np.bool), np.empty(rows, np.bool)
    month, day = NUMBERS.index("month"), NUMBERS.index("day")
    for start in range(0, rows, BLOCK_ROWS):
        block = flights[start : min(start + BLOCK_ROWS, rows)]
        here = slice(start, start + len(block))
        days[here] = block[:, month] * 32 + block[:, day]
        known[here] = np.isfinite(block[:, [DEPARTURE, ARRIVAL]]).all(axis=1)
        late[here], left_late[here] = (block[:, [ARRIVAL, DEPARTURE]] > LATE_MINUTES).T
    answer: dict[str, Any] = {"rows": int(known.sum())}
    if answer["rows"] < LEAST_ROWS:
        return answer
    whole_days = [np.asarray(part) for part in split(rows, TRAINED, groups=days)]
    train, validation = (part[known[part]] for part in whole_days)
    found = describe(path)
    np.savez(parts, train=train, validation=validation, mean=found.mean[INPUTS], std=found.std[INPUTS])
    was_late = late[validation]
    return answer | {
        "train": len(train),
        "validation": len(validation),
        "days": len(np.unique(days)),
        "baselines": {
            "never late": 1 - float(was_late.mean()),
            "late where it left late": float((left_late[validation] == was_late).mean()),
        },
    }


def fit(backend: str, path: str, numbers: str, parts: str, halt: str = "") -> dict[str, Any]:
    """Train for an epoch, from where an earlier process stopped; at its end, validate.

    Parameters
    ----------
    backend : str
        Of Keras.
    path, numbers, parts : str
        As `prepare` was given them.
    halt : str
        The share of the epoch after which to save everything and stop. Without, the epoch is finished.
    """
    keras = _keras(backend)
    with np.load(parts) as file:
        given = dict(file)
    scaled = [standardize(mean=given["mean"], std=given["std"], key=0), astype("f4", keys=0)]
    batch_size = min(max(len(given["train"]) // STEPS, LEAST_BATCH), MOST_BATCH)
    loader = Loader((path, numbers), batch_size, indices=given["train"], transform=[numbered, *scaled])
    keras.utils.set_random_seed(0)
    if os.path.exists(STATE):
        model = keras.models.load_model(MODEL)
        with open(STATE) as text:
            loader.load_state_dict(json.load(text))
        seen = np.load(SEEN)
    else:
        model = _network(keras)
        seen = np.zeros(len(open_array(path)), np.uint8)
    first, batches = loader.first_batch, len(loader)
    last = round(batches * float(halt)) if halt else batches
    told = 0
    for number, (x, y, rows) in enumerate(loader, first + 1):
        model.train_on_batch(x, y)
        np.add.at(seen, rows, 1)
        told += len(rows)
        if number % TOLD_EVERY == 0 or number == last:
            print(json.dumps({PROGRESS: told}), flush=True)
            told = 0
        if number == last < batches:
            break
    answer = {
        "backend": f"Keras {keras.__version__} on {keras.backend.backend()}",
        "batch_size": batch_size,
        "batches": [first, last],
        "samples": int(seen.sum()),
        "nbytes": loader.stats().bytes_read,
    }
    if last < batches:
        model.save(MODEL)
        np.save(SEEN, seen)
        with open(STATE, "w") as text:
            json.dump(loader.state_dict(), text)
        return answer
    # Once means once, and of the other rows never.
    expected = np.zeros_like(seen)
    expected[given["train"]] = 1
    held_out = Loader(
        path, batch_size, shuffle=False, indices=given["validation"], transform=[labelled, *scaled]
    )
    reached = model.evaluate(held_out.to_keras(), verbose=0, return_dict=True)
    return answer | {"accuracy": reached["accuracy"], "not_once": int((seen != expected).sum())}


def labelled(rows: NDArray[Any], rng: np.random.Generator) -> tuple[NDArray[Any], ...]:
    """Take rows apart: what is known when a flight leaves, and whether it will arrive late."""
    return rows[:, INPUTS], (rows[:, [ARRIVAL]] > LATE_MINUTES).astype(np.float32)


def numbered(batch: tuple[NDArray[Any], NDArray[Any]], rng: np.random.Generator) -> tuple[NDArray[Any], ...]:
    """Do the same, and pass on the numbers of the rows."""
    rows, numbers = batch
    return (*labelled(rows, rng), numbers)


def _keras(backend: str) -> Any:
    """Load Keras, to compute on the processor and to leave no settings in the user's home."""
    os.environ |= {"KERAS_BACKEND": backend, "KERAS_HOME": os.getcwd()}
    # The driver of a graphics card takes gigabytes, and threads cost so small a network more than they save.
    os.environ |= {"CUDA_VISIBLE_DEVICES": "", "JAX_PLATFORMS": "cpu", "OMP_NUM_THREADS": "1"}
    return import_module("keras")


def _network(keras: Any) -> Any:
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((len(INPUTS),)),
            layers.Dense(32, "relu"),
            layers.Dense(32, "relu"),
            layers.Dense(1, "sigmoid"),
        ]
    )
    model.compile(keras.optimizers.Adam(LEARNING_RATE), "binary_crossentropy", metrics=["accuracy"])
    return model


COMMANDS: dict[str, Callable[..., dict[str, Any]]] = {"prepare": prepare, "fit": fit}

if __name__ == "__main__":
    memory, command, *arguments = sys.argv[1:]
    with options(memory=int(memory)):
        answer = COMMANDS[command](*arguments)
    print(json.dumps(answer), flush=True)
