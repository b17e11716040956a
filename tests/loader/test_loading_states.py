"""Stop anywhere, go on with whatever else: every sample once."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import outcore as oc

SHUFFLES = ["block", True, False]


def loaders(n, batch_size, world_size, **options):
    return [
        oc.Loader(np.arange(n), batch_size, rank=rank, world_size=world_size, num_workers=0, **options)
        for rank in range(world_size)
    ]


def run(ranks, steps=None):
    """Iterate all ranks side by side; return the samples in the order of the epoch."""
    found, iterators = [np.empty(0, np.int64)], [iter(rank) for rank in ranks]
    for number, step in enumerate(zip(*iterators, strict=True)):
        found += step
        if number + 1 == steps:
            break
    return np.concatenate(found)


@given(
    n=st.integers(1, 120),
    first=st.tuples(st.integers(1, 20), st.integers(1, 4)),
    second=st.tuples(st.integers(1, 20), st.integers(1, 4)),
    third=st.tuples(st.integers(1, 20), st.integers(1, 4)),
    shuffle=st.sampled_from(SHUFFLES),
    data=st.data(),
)
def test_stop_twice_and_go_on_with_another_batch_size_and_world_size(n, first, second, third, shuffle, data):
    options = {"shuffle": shuffle, "seed": 5, "block_size": 3 if shuffle == "block" else None}
    whole = run(loaders(n, n, 1, **options))
    found, state = [], None
    for number, (batch_size, world_size) in enumerate((first, second, third)):
        ranks = loaders(n, batch_size, world_size, **options)
        if state is not None:
            for rank in ranks:
                rank.load_state_dict(json.loads(json.dumps(state)))
        left = len(ranks[0]) - ranks[0].first_batch
        steps = None if number == 2 else data.draw(st.integers(0, left))
        if steps != 0:
            found.append(run(ranks, steps))
            states = [rank.state_dict() for rank in ranks]
            assert all(each == states[0] for each in states)
            state = states[0]
        if state is not None and state["epoch"] == 1:
            break
    assert np.array_equal(np.concatenate(found), whole)


@pytest.mark.parametrize("shuffle", SHUFFLES)
@pytest.mark.parametrize("stop", [1, 5, 12, 13])
def test_the_same_batches_where_the_sizes_are_unchanged(shuffle, stop, tmp_path):
    np.save(tmp_path / "x.npy", np.arange(400))
    options = {"shuffle": shuffle, "memory": "20kB", "block_size": 3, "prefetch": 3}
    if shuffle != "block":
        options |= {"block_size": None, "memory": "1MB"}
    reference = list(oc.Loader(str(tmp_path / "x.npy"), 32, num_workers=0, **options))
    first = oc.Loader(str(tmp_path / "x.npy"), 32, num_workers=2, **options)
    batches = iter(first)
    for expected in reference[:stop]:
        assert np.array_equal(next(batches), expected)
    state = first.state_dict()
    batches.close()
    second = oc.Loader(str(tmp_path / "x.npy"), 32, num_workers=1, **options)
    second.load_state_dict(state)
    assert len(second) == len(reference)
    assert second.first_batch == stop
    rest = list(second)
    assert len(rest) == len(reference) - stop
    assert all(np.array_equal(a, b) for a, b in zip(rest, reference[stop:], strict=True))
    assert second.epoch == 1
    assert second.first_batch == 0


def test_what_was_made_ahead_does_not_count():
    loader = oc.Loader(np.arange(1000), 10, num_workers=2, prefetch=20)
    batches = iter(loader)
    for _ in range(3):
        next(batches)
    assert loader.state_dict()["position"] == 30
    batches.close()
    assert loader.state_dict()["position"] == 30


def test_the_state_of_another_seed_and_budget_is_gone_on_with(tmp_path):
    np.save(tmp_path / "x.npy", np.arange(5000.0))
    path = str(tmp_path / "x.npy")
    saved = oc.Loader(path, 64, seed=3, memory="100kB", block_size=11, num_workers=0)
    batches = iter(saved)
    for _ in range(20):
        next(batches)
    state, rest = saved.state_dict(), np.concatenate(list(batches))
    other = oc.Loader(path, 64, seed=8, memory="40MB", num_workers=1)
    other.load_state_dict(state)
    assert np.array_equal(np.concatenate(list(other)), rest)


def test_a_state_whose_buffers_do_not_fit_changes_nothing(tmp_path):
    np.save(tmp_path / "x.npy", np.arange(500_000.0))
    path = str(tmp_path / "x.npy")
    state = oc.Loader(path, 64, seed=3, memory="40MB").state_dict()
    small = oc.Loader(path, 64, memory="200kB", num_workers=0)
    before = small.state_dict()
    with pytest.raises(oc.errors.MemoryBudgetError, match=r"the budget is 200\.0 kB"):
        small.load_state_dict(state)
    assert small.state_dict() == before


def test_a_state_of_other_data_changes_nothing():
    loader = oc.Loader(np.arange(100), 10, num_workers=0)
    state = oc.Loader(np.arange(200), 10).state_dict()
    list(loader)
    with pytest.raises(
        oc.errors.StateError, match=r"its arrays is \(200,\) int64, this loader's is \(100,\) int64"
    ):
        loader.load_state_dict(state)
    assert loader.epoch == 1


def test_a_state_of_other_indices_is_refused():
    state = oc.Loader(np.arange(100), 10, indices=slice(0, 50)).state_dict()
    with pytest.raises(oc.errors.StateError, match="indices"):
        oc.Loader(np.arange(100), 10, indices=slice(50, 100)).load_state_dict(state)


def test_a_loaded_state_survives_set_epoch_as_frameworks_call_it():
    loader = oc.Loader(np.arange(100), 10, num_workers=0)
    list(loader)
    batches = iter(loader)
    seen = np.concatenate([next(batches) for _ in range(4)])
    state = loader.state_dict()
    resumed = oc.Loader(np.arange(100), 10, num_workers=0)
    resumed.load_state_dict(state)
    resumed.set_epoch(1)  # Lightning does, at the start of each epoch
    rest = np.concatenate(list(resumed))
    assert np.array_equal(np.sort(np.concatenate([seen, rest])), np.arange(100))
    resumed.load_state_dict(state)
    resumed.set_epoch(2)
    assert len(np.concatenate(list(resumed))) == 100


def test_looking_at_a_batch_after_loading_takes_nothing_away():
    loader = oc.Loader(np.arange(100), 10, num_workers=0)
    loader.load_state_dict(loader.state_at(4))
    assert np.array_equal(next(iter(loader)), next(iter(loader)))
    assert len(np.concatenate(list(loader))) == 60


def test_the_state_at_the_end_of_an_epoch_leaves_nothing_of_it():
    loader = oc.Loader(np.arange(100), 10, num_workers=0)
    for _ in loader:
        state = loader.state_dict()
    assert state["epoch"] == 0
    assert state["position"] == 100
    loader.load_state_dict(state)
    assert list(loader) == []
    assert loader.epoch == 1
    assert len(list(loader)) == 10


def test_with_drop_last_the_rest_of_a_resumed_epoch_is_dropped_too():
    loader = oc.Loader(np.arange(105), 10, drop_last=True, num_workers=0)
    loader.load_state_dict(loader.state_at(7))
    assert len(np.concatenate(list(loader))) == 30


def test_state_at_counts_batches():
    loader = oc.Loader(np.arange(105), 10, num_workers=0)
    assert [loader.state_at(count)["position"] for count in (0, 1, 11)] == [0, 10, 105]
    with pytest.raises(oc.errors.OptionError, match="batches=12 is more than the 11 batches"):
        loader.state_at(12)


def test_the_order_is_the_same_with_every_release():
    """Golden values: a state that was saved must mean the same order for as long as it may be loaded."""
    loader = oc.Loader(np.arange(12), 12, seed=7, block_size=3, num_workers=0)
    assert loader[0].tolist() == [0, 7, 2, 6, 1, 9, 5, 10, 11, 4, 3, 8]
    loader = oc.Loader(np.arange(12), 12, seed=7, shuffle=True, num_workers=0)
    assert loader[0].tolist() == [3, 7, 5, 9, 6, 8, 1, 4, 0, 11, 2, 10]
