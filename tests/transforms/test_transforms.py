"""What holds for all of them: the names, light imports, one after the other, many threads."""

from __future__ import annotations

import inspect
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import outcore as oc
from outcore import transforms

TABLE = np.dtype([("quest", "S7"), ("level", "i4"), ("gold", "f4"), ("late", "?")])
READY = {
    "astype": transforms.astype("f8", keys=0),
    "fillna": transforms.fillna(0),
    "one_hot": transforms.one_hot(2),
    "standardize": transforms.standardize(mean=[1, 2], std=3),
}


def table(n: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    made = np.zeros(n, TABLE)
    made["quest"] = rng.choice([b"cleared", b"failed"], n)
    made["level"] = rng.integers(1, 60, n)
    made["gold"] = np.where(rng.random(n) < 0.2, np.nan, rng.exponential(10, n))
    return made


def test_all_names_the_functions_and_nothing_else() -> None:
    assert transforms.__all__ == sorted(transforms.__all__)
    found = {name for name, thing in vars(transforms).items() if inspect.isfunction(thing)}
    assert found == set(transforms.__all__) == {*READY, "select"}


def test_of_other_packages_only_numpy_is_imported() -> None:
    code = (
        "import sys, numpy; before = set(sys.modules); import outcore.transforms\n"
        "new = {m.partition('.')[0] for m in set(sys.modules) - before}\n"
        "print(new - sys.stdlib_module_names - {'numpy'})"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "{'outcore'}"


def test_from_a_table_to_what_is_trained_on() -> None:
    rows = table(40)
    names = ["level", "gold"]
    steps = [
        transforms.select(names, "quest", dtype="f4"),
        transforms.standardize(oc.describe(rows), columns=names),
        transforms.fillna(0),
        transforms.one_hot(classes=["failed", "cleared"]),
    ]
    batch = rows.copy()
    for step in steps:
        batch = step(batch, np.random.default_rng(0))
    x, y = batch
    expected = np.stack([rows["level"], rows["gold"]], axis=-1).astype("f4")
    expected = (expected - np.nanmean(expected, axis=0)) / np.nanstd(expected, axis=0)
    np.testing.assert_allclose(x, np.nan_to_num(expected), atol=1e-5)
    np.testing.assert_array_equal(
        y, np.stack([rows["quest"] == b"failed", rows["quest"] == b"cleared"], axis=1)
    )
    assert x.dtype == y.dtype == np.float32


@pytest.mark.parametrize("transform", READY.values(), ids=READY)
def test_empty_batches_have_the_shapes_of_others(transform: transforms.batches.Transform) -> None:
    full = transform((np.ones((3, 2), "f4"), np.array([0, 1, 1])))
    empty = transform((np.ones((0, 2), "f4"), np.array([], "i8")))
    for one, other in zip(full, empty, strict=True):
        assert (other.dtype, other.shape) == (one.dtype, (0, *one.shape[1:]))


@pytest.mark.parametrize("transform", READY.values(), ids=READY)
def test_the_container_that_was_given_is_not_changed(transform: transforms.batches.Transform) -> None:
    x, y = np.ones((3, 2), "f4"), np.array([0, 1, 1])
    batch = [x, y]
    assert transform(batch) is not batch
    assert batch[0] is x
    assert batch[1] is y


def test_many_threads_use_one_transform() -> None:
    rows = table(64)
    steps = [
        transforms.select(["level", "gold"], "quest"),
        transforms.standardize(oc.describe(rows), columns=["level", "gold"]),
        transforms.one_hot(classes=["failed", "cleared"]),
    ]

    def run(i: int) -> bytes:
        batch = rows[i : i + 8].copy()
        for step in steps:
            batch = step(batch)
        return b"".join(part.tobytes() for part in batch)

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(run, range(56))) == [run(i) for i in range(56)]


@pytest.mark.parametrize("transform", READY.values(), ids=READY)
def test_they_cannot_be_changed(transform: object) -> None:
    with pytest.raises(AttributeError, match="cannot assign"):
        transform.key = 3
