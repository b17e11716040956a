"""Which epoch a pass is of: what a training loop, Lightning and accelerate do between passes."""

from __future__ import annotations

import copy
import json
import pickle
from typing import Any

import numpy as np
import pytest
from torch.utils.data import BatchSampler, DataLoader

import outcore as oc
from outcore.errors import StateError

N, BATCH = 60, 8


def make(**options: Any) -> oc.Loader:
    return oc.Loader(np.arange(N), BATCH, seed=5, shuffle=True, **options)


def expected(epoch: int) -> list[list[int]]:
    loader = make()
    loader.set_epoch(epoch)
    return [loader[i].tolist() for i in range(len(loader))]


def passed(batches: Any) -> list[list[int]]:
    return [batch.tolist() for batch in batches]


def loading(dataset: Any, workers: int, **options: Any) -> DataLoader[Any]:
    return DataLoader(dataset, batch_size=None, num_workers=workers, **options)


def test_epochs_differ():
    assert expected(0) != expected(1)


def test_without_workers_each_pass_that_ends_begins_the_next_epoch():
    dataset = make().to_torch()
    batches = loading(dataset, 0)
    assert [passed(batches) for _ in range(3)] == [expected(0), expected(1), expected(2)]
    assert dataset.epoch == 3
    for _ in batches:
        break  # a pass that is left early does not
    assert passed(batches) == expected(3)


def test_with_workers_a_pass_is_of_the_epoch_that_was_set():
    dataset = make().to_torch()
    batches = loading(dataset, 2)
    assert [passed(batches), passed(batches)] == [expected(0), expected(0)]
    for epoch in (1, 2, 7):
        dataset.set_epoch(epoch)
        assert passed(batches) == expected(epoch)
    assert dataset.epoch == 7


@pytest.mark.parametrize(
    ("context", "workers", "map_style"), [("fork", 2, False), ("fork", 2, True), ("spawn", 1, False)]
)
def test_workers_that_live_on_hear_of_the_epoch(context: str, workers: int, map_style: bool):
    dataset = make().to_torch(map_style=map_style)
    dataset.set_epoch(4)
    batches = loading(dataset, workers, persistent_workers=True, multiprocessing_context=context)
    assert passed(batches) == expected(4)
    for epoch in (5, 0):
        dataset.set_epoch(epoch)
        assert passed(batches) == expected(epoch)
    assert passed(batches) == expected(0)


def test_workers_that_live_on_do_not_mix_epochs_where_a_pass_is_left_early():
    dataset = make().to_torch()
    batches = loading(dataset, 2, persistent_workers=True, prefetch_factor=4)
    for epoch in range(3):
        # By the time that six of eight batches are here both workers may have come to their end, or one.
        dataset.set_epoch(epoch)
        for number, batch in enumerate(batches):
            assert batch.tolist() == expected(epoch)[number]
            if number == 5:
                break
        assert passed(batches) == expected(epoch)


def test_the_epoch_of_the_loader_is_that_of_workers_which_are_started_then():
    loader = make()
    dataset = loader.to_torch()
    loader.set_epoch(6)
    assert passed(loading(dataset, 2)) == expected(6)


def lightning_before_each_epoch(batches: DataLoader[Any], epoch: int) -> None:
    """Which objects Lightning calls `set_epoch` on: samplers, never the dataset."""
    for owner in (batches, getattr(batches, "batch_sampler", None)):
        set_epoch = getattr(getattr(owner, "sampler", None), "set_epoch", None)
        if callable(set_epoch):
            set_epoch(epoch)


def accelerate_before_each_epoch(batches: DataLoader[Any], epoch: int) -> None:
    """Which objects accelerate calls `set_epoch` on: the batch sampler's sampler, or else the dataset."""
    if hasattr(batches.batch_sampler, "sampler") and hasattr(batches.batch_sampler.sampler, "set_epoch"):
        batches.batch_sampler.sampler.set_epoch(epoch)
    elif hasattr(batches.dataset, "set_epoch"):
        batches.dataset.set_epoch(epoch)


@pytest.mark.parametrize(("workers", "persistent"), [(0, False), (2, False), (2, True)])
def test_lightning_sets_the_epoch_of_the_sampler(workers: int, persistent: bool):
    dataset = make().to_torch(map_style=True)
    batches = loading(dataset, workers, sampler=dataset.sampler, persistent_workers=persistent)
    for epoch in (0, 1, 2):
        lightning_before_each_epoch(batches, epoch)
        assert len(batches) == len(expected(epoch))
        assert passed(batches) == expected(epoch)
    joined = DataLoader(
        dataset, batch_sampler=BatchSampler(dataset.sampler, 2, drop_last=False), collate_fn=list
    )
    lightning_before_each_epoch(joined, 3)
    assert [batch.tolist() for pair in joined for batch in pair] == expected(3)


@pytest.mark.parametrize("map_style", [False, True])
@pytest.mark.parametrize(("workers", "persistent"), [(0, False), (2, False), (2, True)])
def test_accelerate_sets_the_epoch_of_the_dataset(workers: int, persistent: bool, map_style: bool):
    batches = loading(make().to_torch(map_style=map_style), workers, persistent_workers=persistent)
    for epoch in (0, 1, 2):
        accelerate_before_each_epoch(batches, epoch)
        assert passed(batches) == expected(epoch)


def test_the_epoch_of_a_loaded_state_survives_set_epoch():
    dataset = make().to_torch()
    dataset.load_state_dict(_after(epoch=3, batches=2))
    dataset.set_epoch(3)
    assert passed(loading(dataset, 2)) == expected(3)[2:]
    dataset.set_epoch(4)
    assert passed(loading(dataset, 2)) == expected(4)


def _after(epoch: int, batches: int) -> dict[str, Any]:
    loader = make()
    loader.set_epoch(epoch)
    return json.loads(json.dumps(loader.state_at(batches)))


@pytest.mark.parametrize("map_style", [False, True])
def test_a_state_that_comes_too_late_for_workers_that_live_on_is_an_error(map_style: bool):
    dataset = make().to_torch(map_style=map_style)
    batches = loading(dataset, 1, persistent_workers=True)
    assert passed(batches) == expected(0)
    dataset.load_state_dict(_after(epoch=3, batches=2))
    running = iter(batches)
    with pytest.raises(StateError, match="Load the state first, and then make the DataLoader"):
        next(running)
    running._shutdown_workers()  # at once: PyTorch waits 5 s where the collector comes upon the iterator
    assert passed(loading(dataset, 1, **_order(dataset))) == expected(3)[2:]


def _order(dataset: Any) -> dict[str, Any]:
    return {"sampler": dataset.sampler} if hasattr(dataset, "sampler") else {}


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda dataset: pickle.loads(pickle.dumps(dataset))])
@pytest.mark.parametrize("map_style", [False, True])
def test_a_copy_goes_its_own_way(duplicate: Any, map_style: bool):
    dataset = make().to_torch(map_style=map_style)
    dataset.set_epoch(2)
    other = duplicate(dataset)
    batches = loading(other, 2, persistent_workers=True)
    assert passed(batches) == expected(2)
    dataset.set_epoch(9)
    assert passed(batches) == expected(2)
    other.set_epoch(1)
    assert passed(batches) == expected(1)
    assert dataset.epoch == 9
