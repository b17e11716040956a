from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import outcore as oc
from outcore.blocks.source import Source
from outcore.loader.buffers import MOST_BETWEEN, Buffers, Closed, merge, read_runs
from outcore.loader.counting import Counter
from outcore.loader.order import BlockShuffled
from outcore.loader.samples import samples_of
from outcore.loader.sources import Feed

N = 500


def feed_of(array, offsets=(0,)):
    return Feed(Source(oc.asarray(array)), offsets, windowed=len(offsets) > 1)


@pytest.fixture
def path(tmp_path):
    np.save(tmp_path / "x.npy", np.arange(N * 2.0).reshape(N, 2))
    return str(tmp_path / "x.npy")


@given(
    rows=st.lists(st.integers(0, 300), min_size=1, max_size=40),
    reach=st.integers(1, 9),
    row_bytes=st.sampled_from([1, 500, 5000]),
)
def test_runs_hold_all_rows_and_say_where(rows, reach, row_bytes):
    rows = np.array(rows)
    begins, lengths, places = merge(rows, reach, row_bytes)
    assert (begins[1:] > begins[:-1] + lengths[:-1]).all()
    held = np.concatenate([np.arange(b, b + n) for b, n in zip(begins, lengths, strict=True)])
    for row, place in zip(rows, places, strict=True):
        assert held[place : place + reach].tolist() == list(range(row, row + reach))
    needed = len(np.unique((rows[:, None] + np.arange(reach)).ravel()))
    assert len(held) <= MOST_BETWEEN * needed


def test_rows_a_page_apart_are_one_run_if_they_are_many():
    rows = np.sort(np.r_[np.arange(0, 900), np.arange(905, 1000)])
    assert merge(rows, 1, 8)[0].tolist() == [0]
    assert merge(rows, 1, 8000)[0].tolist() == [0, 905]
    assert len(merge(np.arange(0, 1000, 50), 1, 8)[0]) == 20


@given(
    runs=st.lists(st.tuples(st.integers(0, 20), st.integers(1, 30)), min_size=1, max_size=8),
    block=st.integers(1, 12),
    where=st.sampled_from(["file", "memory", "field"]),
)
def test_runs_are_read_one_behind_the_other(tmp_path_factory, runs, block, where):
    table = np.zeros(N, [("a", "i4"), ("b", "f8")])
    table["a"] = np.arange(N)
    expected, array = np.arange(N, dtype="i4"), np.arange(N, dtype="i4")
    if where != "memory":
        path = tmp_path_factory.mktemp("runs") / "t.npy"
        np.save(path, table if where == "field" else array)
        array = oc.open(str(path))["a"] if where == "field" else str(path)
    begins, at = [], 0
    for gap, length in runs:
        begins.append(at + gap)
        at += gap + length
    lengths = np.array([length for _, length in runs])
    found = np.empty(lengths.sum(), "i4")
    read_runs(feed_of(array), np.array(begins), lengths, block, found)
    assert np.array_equal(
        found, np.concatenate([expected[b : b + n] for b, n in zip(begins, lengths, strict=True)])
    )


def buffers_of(path, *, ahead, block=16, in_buffer=4):
    order = BlockShuffled(N, block, in_buffer, 0, 0)
    feeds = [feed_of(path)]
    return order, Buffers(order, samples_of(N), feeds, Counter(), 0, N, ahead=ahead)


@pytest.mark.parametrize("ahead", [True, False])
def test_a_buffer_holds_its_samples_ascending(path, ahead):
    order, buffers = buffers_of(path, ahead=ahead)
    buffers.start()
    for number in range(order.n_buffers):
        low, high = order.bounds(number)
        buffers.expect(low, high)
        table = buffers.get(low, number).tables[0]
        samples = np.concatenate([np.arange(start, stop) for start, stop in order.spans(number)])
        assert np.array_equal(table[:, 0], 2 * samples)
        buffers.done(low, high, last=True)
    buffers.close()


def test_no_more_than_two_buffers_are_read_ahead(path):
    order, buffers = buffers_of(path, ahead=True)
    assert order.n_buffers > 3
    buffers.start()
    for number in range(3):
        buffers.expect(*order.bounds(number))
    buffers.get(order.bounds(1)[0], 1)
    assert set(buffers._ready) <= {0, 1}
    buffers.done(order.bounds(0)[0], order.bounds(0)[1], last=True)
    buffers.get(order.bounds(2)[0], 2)
    assert 0 not in buffers._ready
    buffers.close()


def test_closing_ends_those_who_wait(path):
    import threading

    order, buffers = buffers_of(path, ahead=True)
    buffers.start()
    ended = []

    def wait():
        with pytest.raises(Closed):
            buffers.get(0, order.n_buffers - 1)
        ended.append(True)

    thread = threading.Thread(target=wait)
    thread.start()
    buffers.expect(0, 10)
    buffers.close()
    thread.join()
    assert ended == [True]
