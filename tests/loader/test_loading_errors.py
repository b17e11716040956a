"""Bad input: one clear error, and nothing was changed or left behind."""

from __future__ import annotations

import sys

import numpy as np
import pytest

import outcore as oc

ROWS, LABELS = np.zeros((100, 3)), np.arange(100)


def test_lengths_that_differ():
    with pytest.raises(
        oc.errors.ShapeError, match=r"arrays\[1\] has 90 rows, arrays\[0\] has 100(.|\n)*\[:90\]"
    ):
        oc.Loader((ROWS, LABELS[:90]), 10)
    with pytest.raises(oc.errors.ShapeError, match=r"arrays\['y'\] has 90 rows, arrays\['x'\] has 100"):
        oc.Loader({"x": ROWS, "y": LABELS[:90]}, 10)


def test_an_array_without_rows():
    with pytest.raises(oc.errors.ShapeError, match=r"arrays\[1\] has no axis"):
        oc.Loader((ROWS, np.float64(3)), 10)
    with pytest.raises(oc.errors.OptionError, match="no rows"):
        oc.Loader(np.zeros((0, 3)), 10)


def test_objects_are_refused():
    with pytest.raises(oc.errors.DTypeError):
        oc.Loader(np.array([{}, {}]), 1)


@pytest.mark.parametrize("world_size", [1, 2])
def test_a_batch_larger_than_all_samples_with_drop_last(world_size):
    loader = oc.Loader(LABELS, 100 // world_size, drop_last=True, world_size=world_size)
    assert len(loader) == 1
    with pytest.raises(oc.errors.OptionError, match=r"more than the 100 samples(.|\n)*drop_last=False"):
        oc.Loader(LABELS, 101, drop_last=True, world_size=world_size)


def test_indices_out_of_range():
    with pytest.raises(oc.errors.RowIndexError, match="100"):
        oc.Loader(LABELS, 10, indices=[3, 100, 5])


def test_a_negative_epoch():
    loader = oc.Loader(LABELS, 10)
    with pytest.raises(oc.errors.OptionError, match="epoch=-1 is not a whole number of 0 or more"):
        loader.set_epoch(-1)
    assert loader.epoch == 0


def test_too_small_a_budget_says_what_is_needed(tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((1000, 1000)))
    with pytest.raises(oc.errors.MemoryBudgetError, match=r"the budget is 10\.0 kB"):
        oc.Loader(str(tmp_path / "x.npy"), 10, memory="10kB")


def failing(batch, rng):
    raise ValueError("a value that makes no sense")


def ragged(batch, rng):
    return batch, batch[:3]


def scalar(batch, rng):
    return {"x": batch, "n": np.float64(3)}


def no_array(batch, rng):
    return batch, "text"


def nothing(batch, rng):
    return None


def empty(batch, rng):
    return ()


@pytest.mark.parametrize(
    ("transform", "message"),
    [
        (
            failing,
            r"failed at batch 2 of epoch 0 \(rows 20, 21, .* and 2 more\):\n  ValueError: a value that",
        ),
        (ragged, r"ragged batch at batch 2 of epoch 0 .*; samples: batch\[0\] 10, batch\[1\] 3"),
        (scalar, r"a value without an axis of samples as batch\['n'\]"),
        (no_array, r"a value of type str as batch\[1\]"),
        (nothing, "a value of type NoneType as batch"),
        (empty, r"returned \(\) at batch 2 .*, which holds no array"),
    ],
)
@pytest.mark.parametrize("worker_type", ["thread", "process"])
def test_a_transform_that_fails_or_returns_no_batch(transform, message, worker_type):
    loader = oc.Loader(LABELS, 10, shuffle=False, transform=transform, worker_type=worker_type, num_workers=1)
    loader.load_state_dict(loader.state_at(2))
    with pytest.raises(oc.errors.TransformError, match=message) as caught:
        next(iter(loader))
    if transform is failing:
        assert isinstance(caught.value.__cause__, ValueError)
    if worker_type == "thread":
        with pytest.raises(oc.errors.TransformError, match=message):
            loader[2]


class Away:
    """Finds that a package is not installed."""

    def __init__(self, package):
        self.package = package

    def find_spec(self, name, path=None, target=None):
        if name == self.package:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


@pytest.mark.parametrize(("method", "package"), [("to_keras", "keras"), ("to_torch", "torch")])
def test_a_framework_that_is_not_installed(method, package, monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    for name in [name for name in sys.modules if name.startswith("outcore.adapters.") and package in name]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [Away(package), *sys.meta_path])
    with pytest.raises(oc.errors.MissingPackageError, match=rf'pip install "outcore\[{package}\]"'):
        getattr(oc.Loader(LABELS, 10), method)()
