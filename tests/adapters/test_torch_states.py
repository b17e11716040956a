"""Stop in the middle of an epoch, and go on: by oneself, and by torchdata's StatefulDataLoader."""

from __future__ import annotations

import itertools
import json
import pickle
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader
from torchdata.stateful_dataloader import StatefulDataLoader

import outcore as oc
from outcore.errors import StateError

N, BATCH = 60, 8

# torchdata's, whenever a StatefulDataLoader is made.
pytestmark = pytest.mark.filterwarnings("ignore:'set_vital' is deprecated:UserWarning")


def make(batch_size: int = BATCH, shuffle: bool | str = "block", n: int = N, **options: Any) -> oc.Loader:
    return oc.Loader(np.arange(n), batch_size, seed=5, shuffle=shuffle, block_size=None, **options)


def expected(epoch: int = 0) -> list[list[int]]:
    loader = make()
    loader.set_epoch(epoch)
    return [loader[i].tolist() for i in range(len(loader))]


def passed(batches: Any) -> list[list[int]]:
    return [batch.tolist() for batch in batches]


def loading(dataset: Any, workers: int, **options: Any) -> DataLoader[Any]:
    return DataLoader(dataset, batch_size=None, num_workers=workers, **options)


@pytest.mark.parametrize("stop", range(9))
def test_without_workers_the_state_counts_what_was_handed_over(stop: int):
    dataset = make().to_torch()
    running = iter(loading(dataset, 0))
    first = passed(itertools.islice(running, stop))
    state = json.loads(json.dumps(dataset.state_dict()))
    del running
    resumed = make().to_torch()
    resumed.load_state_dict(state)
    assert first + passed(loading(resumed, 0)) == expected()
    assert passed(loading(resumed, 0)) == expected(1)


def test_a_state_of_the_dataset_is_one_of_the_loader():
    loader = make()
    dataset = loader.to_torch()
    running = iter(dataset)
    first = [next(running).tolist() for _ in range(3)]
    other = make()
    other.load_state_dict(dataset.state_dict())
    assert first + passed(other) == expected()
    running.close()


@pytest.mark.parametrize("map_style", [False, True])
@pytest.mark.parametrize(("before", "after"), [(2, 2), (2, 0), (0, 2), (1, 2), (2, 1)])
def test_counting_batches_resumes_with_any_number_of_workers(before: int, after: int, map_style: bool):
    dataset = make().to_torch(map_style=map_style)
    first = []
    for batch in loading(dataset, before):
        first.append(batch.tolist())
        if len(first) == 3:
            break
    state = json.loads(json.dumps(dataset.state_at(len(first))))
    resumed = make().to_torch(map_style=map_style)
    resumed.load_state_dict(state)
    order = {"sampler": resumed.sampler} if map_style else {}
    assert first + passed(loading(resumed, after, **order)) == expected()


@pytest.mark.parametrize("workers", [0, 2])
def test_resumes_twice_and_with_another_batch_size(workers: int):
    dataset = make().to_torch()
    seen = passed(itertools.islice(dataset, 2))
    state = dataset.state_at(2)
    second = make(batch_size=5).to_torch()
    second.load_state_dict(state)
    seen += passed(itertools.islice(loading(second, workers), 3))
    third = make().to_torch()
    third.load_state_dict(second.state_at(second._source.first_batch + 3))
    seen += passed(loading(third, workers))
    assert list(itertools.chain(*seen)) == list(itertools.chain(*expected()))


@pytest.mark.parametrize("workers", [0, 1, 2])
@pytest.mark.parametrize("stop", [0, 1, 3, 6, 7, 8])
def test_a_stateful_data_loader_goes_on_where_it_was(workers: int, stop: int):
    running = StatefulDataLoader(make().to_torch(), batch_size=None, num_workers=workers)
    first = passed(itertools.islice(running, stop))
    state = pickle.loads(pickle.dumps(running.state_dict()))
    del running
    resumed = StatefulDataLoader(make().to_torch(), batch_size=None, num_workers=workers)
    resumed.load_state_dict(state)
    assert first + passed(resumed) == expected()


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("persistent", [False, True])
def test_a_stateful_data_loader_goes_on_in_a_later_epoch(workers: int, persistent: bool):
    options: dict[str, Any] = {"batch_size": None, "num_workers": workers}
    options["persistent_workers"] = persistent and workers > 0
    dataset = make().to_torch()
    running = StatefulDataLoader(dataset, **options)
    for epoch in (0, 1):
        dataset.set_epoch(epoch)
        assert passed(running) == expected(epoch)
    dataset.set_epoch(2)
    first = passed(itertools.islice(running, 3))
    state = running.state_dict()
    del running

    dataset = make().to_torch()
    resumed = StatefulDataLoader(dataset, **options)
    resumed.load_state_dict(state)
    dataset.set_epoch(2)
    assert first + passed(resumed) == expected(2)
    dataset.set_epoch(3)
    assert passed(resumed) == expected(3)


def test_a_stateful_data_loader_resumes_twice():
    seen = []
    state: dict[str, Any] = {}
    for stop in (2, 3, None):
        running = StatefulDataLoader(make().to_torch(), batch_size=None, num_workers=2)
        running.load_state_dict(state)
        seen += passed(itertools.islice(running, stop))
        state = running.state_dict()
        del running
    assert seen == expected()


def test_a_stateful_data_loader_over_batches_by_number():
    dataset = make().to_torch(map_style=True)
    running = StatefulDataLoader(dataset, sampler=dataset.sampler, batch_size=None, num_workers=2)
    first = passed(itertools.islice(running, 3))
    state = running.state_dict()
    del running
    resumed = StatefulDataLoader(dataset, sampler=dataset.sampler, batch_size=None, num_workers=2)
    resumed.load_state_dict(state)
    assert first + passed(resumed) == expected()


def test_a_state_of_a_worker_is_for_that_worker():
    running = StatefulDataLoader(make().to_torch(), batch_size=None, num_workers=2)
    next(iter(running))
    workers = running.state_dict()["_snapshot"]["_worker_snapshots"]
    (state, *_) = [worker["dataset_state"] for worker in workers.values()]
    del running
    assert state["workers"] == 2
    with pytest.raises(StateError, match=r"(?s)worker 0 of 2 .*the main process.*num_workers=2.*state_at"):
        make().to_torch().load_state_dict(state)


@pytest.mark.parametrize("map_style", [False, True])
def test_a_state_of_other_data_changes_nothing(map_style: bool):
    dataset = make().to_torch(map_style=map_style)
    with pytest.raises(StateError):
        dataset.load_state_dict(make(n=N + 1).state_dict())
    assert passed(loading(dataset, 2)) == expected()


def test_the_state_is_small_and_plain():
    state = make().to_torch().state_dict()
    assert len(json.dumps(state)) < 1000
    assert not any(isinstance(value, torch.Tensor) for value in state.values())
