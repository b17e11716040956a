"""What Keras calls in which order, without Keras: every batch once, in order, whatever happens."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outcore.adapters.feed import Feed
from outcore.adapters.walk import Walk
from outcore.errors import OptionError, RowIndexError

Batch = tuple[int, int]  # epoch and number


class Source:
    """Batches that tell their epoch and number, and how they were asked for."""

    batch_size, world_size, rank = 1, 1, 0

    def __init__(self, n: int) -> None:
        self.n, self.epoch, self.first_batch = n, 0, 0
        self.alone: list[int] = []
        self.streams: list[list[int]] = []
        self.running = 0

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, index: int) -> Batch:
        self.alone.append(index)
        return self.epoch, index

    def stream(self, first: int = 0, stride: int = 1, *, buffered: bool = True) -> Iterator[Batch]:
        given: list[int] = []
        self.streams.append(given)
        self.running += 1
        epoch = self.epoch
        try:
            for i in range(first, self.n, stride):
                given.append(i)
                yield epoch, i
        finally:
            self.running -= 1

    def set_epoch(self, epoch: int) -> None:
        if epoch != self.epoch:
            self.epoch, self.first_batch = epoch, 0

    def state_dict(self) -> dict[str, Any]:
        return self.state_at(self.first_batch)

    def state_at(self, batches: int) -> dict[str, Any]:
        return {"epoch": self.epoch, "batches": batches}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.epoch, self.first_batch = state["epoch"], state["batches"]


class Fit:
    """Calls what Keras 3.15 calls; `build` is whether it makes a model first, as in a first fit."""

    def __init__(self, walk: Walk, *, shuffle: bool = True, build: int = 0, steps: int | None = None) -> None:
        self.walk, self.shuffle, self.steps = walk, shuffle, steps
        self.length = walk.look()  # in get_data_adapter; again in EpochIterator
        self.numbers: Iterator[int] | None = None
        self.seen = 0
        if build:
            walk.begin()
            numbers = self._numbers()
            for _ in range(min(build, self.length)):
                walk.take(next(numbers))
        self.length = walk.look()  # reset
        walk.end()

    def _numbers(self) -> Iterator[int]:
        # Asked for where the iterator is made, and again when it gives its first number.
        self.walk.look()

        def numbers() -> Iterator[int]:
            found = list(range(self.walk.look()))
            if self.shuffle:
                random.shuffle(found)
            yield from found

        return numbers()

    def epoch(self, until: int | None = None) -> list[Batch]:
        """The batches of an epoch; given up before batch `until`."""
        self.walk.begin()
        batches = []
        if self.numbers is None or self.steps is None:
            self.numbers, self.seen = self._numbers(), 0
        for _ in range(self.steps or self.length):
            if self.seen >= self.length:
                break
            if until is not None and len(batches) == until:
                return batches
            self.seen += 1
            batches.append(self.walk.take(next(self.numbers)))
        if self.seen >= self.length:
            self.numbers, self.seen = self._numbers(), 0
        self.walk.end()
        return batches


def predict(walk: Walk) -> list[Batch]:
    walk.look()
    walk.begin()
    walk.look()
    batches = [walk.take(i) for i in range(walk.look())]
    walk.look()
    walk.end()
    return batches


def whole(epoch: int, n: int, first: int = 0) -> list[Batch]:
    return [(epoch, i) for i in range(first, n)]


@pytest.mark.parametrize("build", [0, 1, 2])  # 2: the JAX backend on an accelerator looks one batch ahead
@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("n", [1, 2, 3, 8])
def test_epochs_in_order(n: int, shuffle: bool, build: int) -> None:
    source = Source(n)
    walk = Walk(source)
    fit = Fit(walk, shuffle=shuffle, build=build)
    assert [fit.epoch() for _ in range(3)] == [whole(e, n) for e in range(3)]
    fit = Fit(walk, shuffle=shuffle, build=build)
    assert [fit.epoch() for _ in range(2)] == [whole(e, n) for e in (3, 4)]
    assert source.epoch == 5
    assert source.running == 0


@pytest.mark.parametrize("shuffle", [True, False])
def test_an_epoch_is_one_stream_also_where_a_model_is_built_first(shuffle: bool) -> None:
    source = Source(8)
    fit = Fit(Walk(source), shuffle=shuffle, build=1)
    for _ in range(3):
        fit.epoch()
    assert source.streams == [list(range(8))] * 3
    assert source.alone == []


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("steps", [1, 2, 4])
def test_steps_per_epoch_goes_on_where_the_epoch_before_it_stopped(steps: int, shuffle: bool) -> None:
    source = Source(8)
    walk = Walk(source)
    fit = Fit(walk, shuffle=shuffle, build=1, steps=steps)
    batches = []
    for i in range(16 // steps):
        found = fit.epoch()
        assert walk.state_after(0 if i % (8 // steps) == 8 // steps - 1 else steps) == {
            "epoch": (i + 1) * steps // 8,
            "batches": (i + 1) * steps % 8,
        }
        batches += found
    assert batches == whole(0, 8) + whole(1, 8)
    assert source.streams == [list(range(8))] * 2


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("until", range(8))
def test_an_epoch_that_is_given_up_begins_anew(until: int, shuffle: bool) -> None:
    source = Source(8)
    walk = Walk(source)
    fit = Fit(walk, shuffle=shuffle)
    fit.epoch()
    assert fit.epoch(until) == whole(1, 8)[:until]
    fit = Fit(walk, shuffle=shuffle)
    assert fit.epoch() == whole(1, 8)
    assert source.running == 0


def test_predicting_moves_nothing() -> None:
    source = Source(5)
    walk = Walk(source)
    assert predict(walk) == predict(walk) == whole(0, 5)
    assert Fit(walk).epoch() == whole(0, 5)


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("build", [0, 1, 2])
@pytest.mark.parametrize("left", [1, 2, 5])
def test_the_rest_of_an_epoch_and_then_whole_ones(left: int, build: int, shuffle: bool) -> None:
    source = Source(8)
    source.load_state_dict({"epoch": 4, "batches": 8 - left})
    walk = Walk(source)
    assert len(walk) == left
    fit = Fit(walk, shuffle=shuffle, build=build)
    assert fit.epoch() == whole(4, 8, 8 - left)
    with pytest.raises(
        OptionError, match=rf"epoch 4 is complete, its last {left} batches[\s\S]*initial_epoch=5"
    ):
        fit.epoch()
    fit = Fit(walk, shuffle=shuffle, build=build)
    assert [fit.epoch() for _ in range(2)] == [whole(5, 8), whole(6, 8)]


def test_a_state_behind_the_last_batch_is_the_next_epoch() -> None:
    source = Source(4)
    source.load_state_dict({"epoch": 2, "batches": 4})
    walk = Walk(source)
    assert Fit(walk).epoch() == whole(3, 4)


def test_the_state_counts_what_was_trained() -> None:
    walk = Walk(Source(4))
    fit = Fit(walk)
    for trained, _ in enumerate(fit.epoch(3), start=1):
        assert walk.state_after(trained) == {"epoch": 0, "batches": trained}
    fit = Fit(walk)
    assert fit.epoch() == whole(0, 4)
    assert walk.state_after(4) == {"epoch": 1, "batches": 0}
    walk.source.load_state_dict({"epoch": 1, "batches": 2})
    Fit(walk).epoch(1)
    assert walk.state_after(1) == {"epoch": 1, "batches": 3}


def test_other_data_behind_a_stream_that_waits() -> None:
    source = Source(4)
    walk = Walk(source)
    Fit(walk, build=1)
    source.load_state_dict({"epoch": 7, "batches": 0})
    assert Fit(walk).epoch() == whole(7, 4)
    assert source.running == 0


@given(st.data())
def test_whatever_is_asked_for_in_between_each_batch_comes_once(data: st.DataObject) -> None:
    n = data.draw(st.integers(1, 12))
    source = Source(n)
    walk = Walk(source)
    for epoch in range(2):
        walk.look()
        walk.begin()
        order = data.draw(st.permutations(range(walk.look())))
        batches = []
        for number in order:
            for peeked in data.draw(st.lists(st.integers(0, n - 1), max_size=2)):
                walk.take(peeked)
            batches.append(walk.take(number))
        assert sorted(batches) == whole(epoch, n)
        walk.end()
        walk.begin()  # the look before the first epoch made of its end a mere reset
        walk.look()
        assert [walk.take(i) for i in range(n)] == whole(epoch, n)
        walk.end()


def test_outside_of_an_epoch_numbers_are_those_of_the_batches() -> None:
    source = Source(6)
    source.load_state_dict({"epoch": 1, "batches": 2})
    walk = Walk(source)
    assert [walk.take(i) for i in (3, 0, -1, 0)] == [(1, 5), (1, 2), (1, 5), (1, 2)]
    for wrong in (4, -5):
        with pytest.raises(RowIndexError, match=rf"batch {wrong} of 4"):
            walk.take(wrong)


def test_only_the_last_epoch_may_follow_a_state() -> None:
    source = Source(6)
    walk = Walk(source)
    walk.check_epochs(0, 10)
    source.load_state_dict({"epoch": 1, "batches": 2})
    walk.check_epochs(1, 2)
    with pytest.raises(OptionError, match=r"4 of 6 batches are left of epoch 1"):
        walk.check_epochs(1, 3)


class TestFeed:
    def test_one_stream_for_batches_in_order(self) -> None:
        source = Source(5)
        feed = Feed(source)
        assert [feed.next(i) for i in (1, 2, 3)] == [(0, 1), (0, 2), (0, 3)]
        assert source.streams == [[1, 2, 3]]
        feed.close()
        assert source.running == 0

    def test_a_jump_ends_the_stream(self) -> None:
        source = Source(5)
        feed = Feed(source)
        assert [feed.next(i) for i in (0, 3, 4)] == [(0, 0), (0, 3), (0, 4)]
        assert source.running == 1
        feed.close()
        feed.close()

    def test_the_first_batch_may_be_taken_twice(self) -> None:
        source = Source(5)
        feed = Feed(source)
        assert feed.next(2) == (0, 2)
        feed.begin(2)
        assert [feed.next(i) for i in (2, 3)] == [(0, 2), (0, 3)]
        assert source.streams == [[2, 3]]
        feed.begin(2)  # it has gone on
        assert source.running == 0

    def test_an_error_ends_the_stream(self) -> None:
        class Broken(Source):
            def stream(self, first: int = 0, stride: int = 1, *, buffered: bool = True) -> Iterator[Batch]:
                yield from super().stream(first, stride)
                raise ValueError("a transform")

        source = Broken(1)
        feed = Feed(source)
        feed.next(0)
        with pytest.raises(ValueError, match="a transform"):
            feed.next(1)
        source.epoch = 1
        assert feed.next(0) == (1, 0)
        feed.close()

    def test_an_iterator_without_close_will_do(self) -> None:
        class Plain(Source):
            def stream(self, first: int = 0, stride: int = 1, *, buffered: bool = True) -> Iterator[Batch]:
                return iter([(0, i) for i in range(first, self.n, stride)])

        feed = Feed(Plain(3))
        assert feed.next(1) == (0, 1)
        feed.close()
