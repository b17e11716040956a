from __future__ import annotations

import numpy as np
import pytest

import outcore as oc
from outcore.blocks.source import Source
from outcore.loader import reading
from outcore.loader.buffers import Buffers
from outcore.loader.counting import Counter
from outcore.loader.order import BlockShuffled, Sequential
from outcore.loader.reading import Buffered, Gathering
from outcore.loader.samples import samples_of
from outcore.loader.sources import Feed

N = 300


@pytest.fixture
def feeds(tmp_path):
    np.save(tmp_path / "x.npy", np.arange(N * 3).reshape(N, 3))
    array = oc.open(str(tmp_path / "x.npy"))
    files = Source(array)
    yield [Feed(files, [0], windowed=False), Feed(Source(oc.asarray(np.arange(N))), [0], windowed=False)]
    array.close()


def filled(way, low, high):
    out = [np.full((high - low, 3), -1), np.full(high - low, -1)]
    way.fill(low, high, out)
    return out


@pytest.mark.parametrize("together", [1, 40, 1000])
@pytest.mark.parametrize("indices", [None, np.random.default_rng(0).permutation(N)])
def test_both_ways_give_the_same_samples(feeds, together, indices, monkeypatch):
    monkeypatch.setattr(reading, "MOST_AT_ONCE", together)
    order = BlockShuffled(N, 7, 5, seed=1, epoch=2)
    samples = samples_of(N, indices)
    gathering = Gathering(order, samples, feeds, Counter())
    buffers = Buffers(order, samples, feeds, Counter(), 0, N, ahead=True)
    buffered = Buffered(order, feeds, buffers)
    buffered.start()
    expected = samples.rows(order.samples(np.arange(N)))
    steps = [(low, min(low + 32, N)) for low in range(0, N, 32)]
    for low, high in steps:
        buffered.expect(low, high)
        gathering.expect(low, high)
    for low, high in steps:
        for way in (gathering, buffered):
            rows, marks = filled(way, low, high)
            assert np.array_equal(marks, expected[low:high])
            assert np.array_equal(rows[:, 0], 3 * marks)
    buffered.close()


def test_a_batch_may_take_more_than_a_buffer(feeds):
    order = Sequential(N, 10)
    buffered = Buffered(order, feeds, Buffers(order, samples_of(N), feeds, Counter(), 0, N, ahead=True))
    buffered.start()
    buffered.expect(0, N)
    assert np.array_equal(filled(buffered, 0, N)[1], np.arange(N))
    buffered.close()


def test_an_empty_share_needs_no_buffer(feeds):
    order = Sequential(N, 10)
    buffered = Buffered(order, feeds, Buffers(order, samples_of(N), feeds, Counter(), 0, N, ahead=False))
    buffered.expect(5, 5)
    assert filled(buffered, 5, 5)[1].size == 0


def test_batches_that_nobody_expected_are_looked_up_too(feeds):
    order = BlockShuffled(N, 7, 5, seed=1, epoch=2)
    gathering = Gathering(order, samples_of(N), feeds, Counter())
    expected = order.samples(np.arange(N))
    for low in (100, 20, 290, 116, 0):
        assert np.array_equal(filled(gathering, low, low + 10)[1], expected[low : low + 10])


def test_what_is_read_is_counted(feeds):
    counter = Counter()
    filled(Gathering(Sequential(N, 10), samples_of(N), feeds, counter), 0, 10)
    assert counter.total().bytes_read == 10 * 24


def test_a_thread_that_is_ahead_looks_up_nothing_of_an_earlier_buffer():
    lookup, asked = reading._Lookup(), []

    def places(of):
        def evaluate(positions):
            asked.append(positions.tolist())
            assert (positions // 10 == of).all(), "positions of another buffer"
            return positions % 10

        return evaluate

    for share in ((0, 4), (4, 8), (10, 13), (13, 16), (20, 22)):
        lookup.expect(*share)
    assert lookup.get(10, 13, places(1), (10, 20)).tolist() == [0, 1, 2]
    assert lookup.get(0, 4, places(0), (0, 10)).tolist() == [0, 1, 2, 3]
    assert lookup.get(4, 8, places(0), (0, 10)).tolist() == [4, 5, 6, 7]
    assert lookup.get(13, 16, places(1), (10, 20)).tolist() == [3, 4, 5]
    assert lookup.get(20, 22, places(2), (20, 30)).tolist() == [0, 1]
    assert asked == [[10, 11, 12, 13, 14, 15], list(range(8)), [20, 21]]
    assert lookup._found == {}
