"""When it is looked whether rows are in the page cache."""

from __future__ import annotations

import os

import numpy as np
import pytest

import outcore as oc
from outcore.storage import gather


@pytest.fixture
def probed(monkeypatch):
    calls = []
    is_hot = gather._is_hot

    def look(*args):
        calls.append(is_hot(*args))
        return calls[-1]

    monkeypatch.setattr(gather, "_is_hot", look)
    return calls


def test_a_file_that_is_always_there_is_looked_at_less_often(tmp_path, probed):
    rows = np.arange(4000.0).reshape(1000, 4)
    np.save(tmp_path / "x.npy", rows)
    array = oc.open(str(tmp_path / "x.npy"))
    index = np.random.default_rng(0).permutation(1000)
    for _ in range(80):
        assert np.array_equal(array.take(index), rows[index])
    assert all(probed)
    assert len(probed) == gather.SURELY_HOT + (80 - gather.SURELY_HOT) // gather.PROBED
    array.close()


def test_what_leaves_the_cache_is_noticed_and_looked_at_each_time(tmp_path, probed):
    path = tmp_path / "x.npy"
    rows = np.arange(2_000_000.0).reshape(-1, 500)
    np.save(path, rows)
    array = oc.open(str(path))
    index = np.random.default_rng(0).permutation(len(rows))
    for _ in range(40):
        array.take(index[:100])
    with open(path, "rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    del probed[:]
    monotone = [array.take(index[low : low + 20]) for low in range(200, 400, 20)]
    assert all(
        np.array_equal(found, rows[index[200 + 20 * i : 220 + 20 * i]]) for i, found in enumerate(monotone)
    )
    if probed.count(False):  # tmpfs and the like keep everything
        assert len(probed) >= 10 - gather.PROBED
    array.close()
