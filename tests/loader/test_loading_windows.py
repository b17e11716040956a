"""Windows out of core: neighbours are read once, no group is crossed, nothing is lost between batches."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import outcore as oc
from tests.loader.windows_by_hand import NUMBERS, starts_by_hand

SHUFFLES = ["block", True, False]


def file_of(folder, n):
    rows = np.arange(n * 2.0).reshape(n, 2)
    np.save(folder / "x.npy", rows)
    np.save(folder / "y.npy", np.arange(n))
    return rows, str(folder / "x.npy"), str(folder / "y.npy")


def check(loader, rows, window, starts):
    """Compare all samples of an epoch with those that slicing by hand gives."""
    found = []
    steps = np.arange(window.length) * window.sampling_rate
    for inputs, targets in loader:
        begins = (inputs[:, 0, 0] / 2).astype(int)
        assert np.array_equal(inputs, rows[begins[:, None] + steps])
        assert np.array_equal(targets, begins + steps[-1] + window.horizon)
        found.append(begins)
    assert np.array_equal(np.sort(np.concatenate(found)), starts)


@given(
    n=st.integers(1, 60),
    numbers=st.fixed_dictionaries(NUMBERS),
    cuts=st.lists(st.integers(0, 59), max_size=3),
    shuffle=st.sampled_from(SHUFFLES),
    batch_size=st.integers(1, 20),
    in_memory=st.booleans(),
)
def test_windows_are_those_cut_by_hand(tmp_path_factory, n, numbers, cuts, shuffle, batch_size, in_memory):
    rows, inputs, targets = file_of(tmp_path_factory.mktemp("windows"), n)
    groups = np.searchsorted(np.sort(cuts), np.arange(n), side="right")
    window = oc.Window(**numbers, groups=groups)
    starts = starts_by_hand(n, window)
    arrays = (rows, np.arange(n)) if in_memory else (inputs, targets)
    options = {"shuffle": shuffle, "window": window, "num_workers": 0}
    if shuffle == "block":
        options["block_size"] = 3
    if not starts:
        with pytest.raises(oc.errors.OptionError):
            oc.Loader(arrays, batch_size, **options)
        return
    check(oc.Loader(arrays, batch_size, **options), rows, window, starts)


@pytest.mark.parametrize("shuffle", SHUFFLES)
def test_windows_of_a_file_by_several_threads(tmp_path, shuffle):
    rows, inputs, targets = file_of(tmp_path, 5000)
    groups = np.repeat(np.arange(50), 100)
    window = oc.Window(16, stride=2, horizon=3, groups=groups)
    options = {"memory": "400kB", "block_size": 8} if shuffle == "block" else {}
    loader = oc.Loader(
        (inputs, targets), 64, shuffle=shuffle, window=window, num_workers=2, prefetch=3, **options
    )
    check(loader, rows, window, starts_by_hand(5000, window))


def test_neighbouring_windows_are_read_once(tmp_path):
    """xbatcher and timeseries_dataset_from_array hold, or read, each row once for each window."""
    rows, inputs, _ = file_of(tmp_path, 20_000)
    loader = oc.Loader(inputs, 64, window=oc.Window(16), memory="3MB", block_size=256, num_workers=1)
    assert loader._blocks.blocks_per_buffer * 256 < 20_000 - 15, "all in one buffer"
    for batch in loader:
        assert batch.shape[1:] == (16, 2)
    stats = loader.stats()
    assert stats.bytes_delivered == (20_000 - 15) * 16 * rows[0].nbytes
    assert stats.bytes_read <= 0.15 * stats.bytes_delivered


def test_no_window_is_lost_where_batches_or_buffers_end(tmp_path):
    """xbatcher #30: samples that lie across two batches were left out."""
    rows, inputs, targets = file_of(tmp_path, 1000)
    window = oc.Window(7)
    for batch_size in (1, 7, 64, 993, 994, 995):
        loader = oc.Loader((inputs, targets), batch_size, window=window, block_size=5, memory="1MB")
        check(loader, rows, window, list(range(994)))


def test_windows_never_cross_a_group(tmp_path):
    """tsai #72: windows over the boundary of two series."""
    _, inputs, targets = file_of(tmp_path, 300)
    groups = np.repeat(["a", "b", "c"], 100)
    for x, y in oc.Loader((inputs, targets), 32, window=oc.Window(10, horizon=1, groups=groups)):
        first, last = (x[:, 0, 0] / 2).astype(int), y
        assert (first // 100 == last // 100).all()


def test_windows_take_no_memory_for_each_of_them(tmp_path):
    """pytorch-forecasting #144: more than 100 GB for the list of samples."""
    import tracemalloc

    rows = oc.share(np.zeros((1_000_000, 1), "f4"))
    groups = oc.asarray(np.arange(1_000_000) // 50_000)
    oc.Loader(rows, 64, window=oc.Window(100))
    tracemalloc.start()
    loader = oc.Loader(rows, 64, window=oc.Window(100, groups=groups))
    assert next(iter(loader)).shape == (64, 100, 1)
    taken = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert taken < 6 << 20


def test_windows_stay_within_the_rows_of_a_split(tmp_path):
    rows, inputs, targets = file_of(tmp_path, 1000)
    train, test = oc.split(1000, 0.8, seed=None)
    window = oc.Window(10, horizon=2)
    loader = oc.Loader((inputs, targets), 64, window=window, indices=train, shuffle=False)
    check(loader, rows, window, list(range(800 - 11)))
    loader = oc.Loader((inputs, targets), 64, window=window, indices=test)
    check(loader, rows, window, list(range(800, 1000 - 11)))


def test_targets_of_a_single_array_are_another_view_of_it(tmp_path):
    _, inputs, _ = file_of(tmp_path, 100)
    for batch in oc.Loader({"x": inputs, "next": inputs}, 16, window=oc.Window(4, horizon=1)):
        assert (batch["next"] - batch["x"][:, -1] == 2).all()


def test_a_window_longer_than_every_group():
    groups = np.repeat([0, 1], [5, 7])
    with pytest.raises(oc.errors.OptionError, match=r"8(.|\n)*7"):
        oc.Loader(np.arange(12), 2, window=oc.Window(8, groups=groups))


def test_what_is_no_window():
    with pytest.raises(oc.errors.OptionError, match=r"window=16 is no Window.\nUse window=oc.Window\(16\)"):
        oc.Loader(np.arange(100), 2, window=16)
