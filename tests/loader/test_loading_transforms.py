"""Random numbers of transforms follow the position, never the worker."""

from __future__ import annotations

import numpy as np
import pytest

import outcore as oc

LABELS = np.arange(200)


def noisy(batch, rng):
    return batch + rng.normal(size=len(batch))


def batches(**options):
    return list(oc.Loader(LABELS, 16, transform=noisy, **options))


@pytest.mark.parametrize("num_workers", [0, 1, 3])
def test_the_same_for_any_number_of_threads(num_workers):
    """pytorch #5059: the same augmentation in every worker, and others for another number of workers."""
    reference = batches(num_workers=2)
    assert all(np.array_equal(a, b) for a, b in zip(batches(num_workers=num_workers), reference, strict=True))


@pytest.mark.parametrize("num_workers", [1, 2])
def test_the_same_in_processes(num_workers):
    found = batches(num_workers=num_workers, worker_type="process")
    assert all(np.array_equal(a, b) for a, b in zip(found, batches(num_workers=0), strict=True))


def test_every_batch_and_every_epoch_has_its_own():
    loader = oc.Loader(LABELS, 16, shuffle=False, transform=noisy, drop_last=True)
    noise = [batch - batch.round() for _ in range(3) for batch in loader]
    assert len({batch.tobytes() for batch in noise}) == len(noise)


def test_a_batch_by_its_number_has_the_same_too():
    loader = oc.Loader(LABELS, 16, transform=noisy)
    whole = list(loader)
    loader.set_epoch(0)
    assert np.array_equal(loader[5], whole[5])


def test_ranks_have_different_ones():
    ranks = [oc.Loader(np.zeros(64), 16, transform=noisy, rank=rank, world_size=2) for rank in (0, 1)]
    assert not np.array_equal(ranks[0][0], ranks[1][0])


def test_several_are_applied_in_order():
    loader = oc.Loader(LABELS, 16, shuffle=False, transform=[lambda b, rng: b + 1, lambda b, rng: b * 2])
    assert np.array_equal(np.concatenate(list(loader)), (LABELS + 1) * 2)


def test_a_transform_may_change_what_a_batch_is():
    loader = oc.Loader(LABELS, 16, transform=lambda b, rng: {"x": b[:, None], "w": np.ones(len(b))})
    assert sum(batch["x"].shape[0] for batch in loader) == 200
