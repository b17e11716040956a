"""Order, errors and limits of the pipeline, whatever its threads do."""

from __future__ import annotations

import _thread
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from outcore.text import pipeline
from outcore.text.pipeline import Pipeline
from outcore.text.places import Chunk, Piece, Place


class Cutting:
    """Hands out chunks of given sizes; fails at one of them if told to."""

    def __init__(self, sizes: list[int], error: BaseException | None = None) -> None:
        self.sizes = sizes
        self.error = error
        self.n_cut = 0
        self.cut: Callable[[], None] = lambda: None

    def next(self) -> Chunk | None:
        self.cut()
        index = self.n_cut
        if index == len(self.sizes):
            if self.error is not None:
                raise self.error
            return None
        self.n_cut += 1
        piece = Piece(Place(0, index, 1), "x.csv", "utf-8", 0)
        return Chunk(index, b"x" * self.sizes[index], (piece,), Place(0, index + 1, 1), self.sizes[index])


class Steps:
    """Notes what is done, with delays; raises where it is told to.

    Parameters
    ----------
    n_parts : sequence of int
        Parts of each chunk.
    fails : dict
        Chunks, and the step of them that raises.
    """

    def __init__(self, n_parts: list[int], fails: dict[int, str] | None = None, seed: int = 0) -> None:
        self.n_parts = n_parts
        self.fails = fails or {}
        self.random = random.Random(seed)
        self.delay_s = 0.002
        self.placed: list[tuple[int, int, bool]] = []
        self.written: set[tuple[int, int]] = set()
        self.committed: list[tuple[int, int]] = []
        self.in_work: set[int] = set()
        self.most = 0
        self.lock = threading.Lock()
        self.resting = 0
        self.n_rests = 0
        self.n_done = 0

    def _do(self, step: str, index: int) -> None:
        time.sleep(self.random.random() * self.delay_s)
        if self.fails.get(index) == step:
            raise ValueError(f"{step} {index}")

    def parse(self, chunk: Chunk) -> tuple[tuple[int, int], Iterator[tuple[int, int]]]:
        with self.lock:
            self.in_work.add(chunk.index)
            self.most = max(self.most, len(self.in_work))
        self._do("parse", chunk.index)
        return (chunk.index, 0), self._more(chunk.index)

    def _more(self, index: int) -> Iterator[tuple[int, int]]:
        for part in range(1, self.n_parts[index]):
            self._do("more", index)
            yield index, part

    def place(self, chunk: Chunk, part: tuple[int, int], *, last: bool) -> tuple[int, int]:
        assert part[0] == chunk.index
        assert last == (part[1] == self.n_parts[chunk.index] - 1)
        if self.fails.get(chunk.index) == "place":
            raise ValueError(f"place {chunk.index}")
        self.placed.append((*part, last))
        return part

    def write(self, part: tuple[int, int], placed: tuple[int, int]) -> None:
        assert part == placed
        self._do("write", part[0])
        with self.lock:
            self.written.add(part)
            if part[1] == self.n_parts[part[0]] - 1:
                self.in_work.discard(part[0])

    def commit(self, placed: tuple[int, int]) -> None:
        index = placed[0]
        assert {(i, part) for i in range(index + 1) for part in range(self.n_parts[i])} <= self.written
        if self.fails.get(index) == "commit":
            raise ValueError(f"commit {index}")
        self.committed.append(placed)

    def rest(self) -> None:
        self.resting += 1
        assert self.resting == 1, "one thread at a time"
        time.sleep(self.delay_s / 10)
        self.n_rests += 1
        self.resting -= 1


def run(cutter: Cutting, steps: Steps, n_workers: int, limit: int = 1 << 30) -> int:
    """Run it; return the bytes that the bar was told of."""
    told: list[int] = []
    try:
        Pipeline(cutter, steps, limit).run(n_workers, told.append)
    finally:
        assert not [thread for thread in threading.enumerate() if thread.name.startswith("outcore-ingest")]
    return sum(told)


@settings(max_examples=25)
@given(
    n_parts=st.lists(st.integers(1, 3), max_size=12), n_workers=st.integers(1, 8), seed=st.integers(0, 1000)
)
def test_chunks_are_placed_and_committed_in_order(n_parts: list[int], n_workers: int, seed: int) -> None:
    steps, cutter = Steps(n_parts, seed=seed), Cutting([10 + i for i in range(len(n_parts))])
    assert run(cutter, steps, n_workers) == sum(cutter.sizes)
    parts = [(i, part) for i, n in enumerate(n_parts) for part in range(n)]
    assert [placed[:2] for placed in steps.placed] == parts
    assert steps.written == set(parts)
    assert steps.committed == [(i, n - 1) for i, n in enumerate(n_parts)]


@settings(max_examples=60)
@given(
    n_chunks=st.integers(1, 10),
    fails=st.dictionaries(
        st.integers(0, 9), st.sampled_from(["parse", "more", "place"]), min_size=1, max_size=4
    ),
    n_workers=st.integers(1, 8),
    cut=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_the_first_error_of_the_text_wins_whatever_comes_first(
    n_chunks: int, fails: dict[int, str], n_workers: int, cut: bool, seed: int
) -> None:
    steps = Steps([2] * n_chunks, fails, seed)
    cutter = Cutting([10] * n_chunks, OSError("cut") if cut else None)
    first = min((index for index in fails if index < n_chunks), default=n_chunks)
    if first == n_chunks and not cut:
        run(cutter, steps, n_workers)
        assert len(steps.committed) == n_chunks
        return
    wanted = "cut" if first == n_chunks else f"{fails[first]} {first}"
    with pytest.raises((ValueError, OSError), match=f"^{wanted}$"):
        run(cutter, steps, n_workers)
    # Nothing behind it is placed, and everything before it was written.
    assert {index for index, _, last in steps.placed if last} == set(range(first))
    assert all(index <= first for index, _, _ in steps.placed)
    assert steps.committed == [(index, 1) for index in range(first)]


@pytest.mark.parametrize("step", ["write", "commit"])
@pytest.mark.parametrize("n_workers", [1, 2, 8])
def test_what_fails_on_disk_stops_the_work(step: str, n_workers: int) -> None:
    steps = Steps([1] * 200, {20: step})
    with pytest.raises(ValueError, match=f"^{step} 20$"):
        run(Cutting([10] * 200), steps, n_workers)
    assert steps.committed == [(index, 0) for index in range(20)]
    assert len(steps.written) <= 20 + 2 * n_workers


def test_an_error_while_resting_is_raised() -> None:
    class Weary(Steps):
        def rest(self) -> None:
            raise OSError("the journal cannot be written")

    with pytest.raises(OSError, match="the journal"):
        run(Cutting([10] * 50), Weary([1] * 50), 3)


@pytest.mark.parametrize("n_workers", [2, 5])
def test_no_more_text_than_the_limit_is_in_work(n_workers: int) -> None:
    steps = Steps([1] * 40)
    run(Cutting([10] * 40), steps, n_workers, limit=20)
    assert steps.most == 2
    assert len(steps.committed) == 40


def test_a_chunk_that_is_larger_than_the_limit_is_alone_and_nothing_is_cut_beside_it() -> None:
    sizes = [10, 10, 500, 10, 600, 700, 10, 10]
    steps, cutter = Steps([1] * len(sizes)), Cutting(sizes)
    large = [i for i, size in enumerate(sizes) if size > 100]

    def cut() -> None:
        assert not [index for index in steps.in_work if index in large], "cut beside a large one"

    def parse(chunk: Chunk) -> tuple[tuple[int, int], Iterator[tuple[int, int]]]:
        if chunk.index in large:
            assert not steps.in_work, "parsed beside another"
        return Steps.parse(steps, chunk)

    cutter.cut, steps.parse = cut, parse
    run(cutter, steps, 4, limit=100)
    assert [index for index, _ in steps.committed] == list(range(len(sizes)))


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_what_the_bar_raises_stops_the_work(
    error: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "TICK_S", 0.01)
    steps, cutter = Steps([1] * 100_000), Cutting([10] * 100_000)

    def tick(nbytes: int) -> None:
        raise error("enough")

    with pytest.raises(error, match="enough"):
        Pipeline(cutter, steps, 1 << 30).run(3, tick)
    assert cutter.n_cut < 50_000
    committed = len(steps.committed)
    assert steps.committed == [(index, 0) for index in range(committed)]


def test_ctrl_c_stops_the_work_and_ends_all_threads() -> None:
    steps, cutter = Steps([2] * 100_000), Cutting([10] * 100_000)

    def cut() -> None:
        if cutter.n_cut == 30:
            _thread.interrupt_main()

    cutter.cut = cut
    # Where the tests run in the background of a shell, Ctrl-C is ignored, and so would be this one.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            run(cutter, steps, 4)
    finally:
        signal.signal(signal.SIGINT, before)
    assert cutter.n_cut < 50_000


def test_stopping_does_not_parse_what_waits_for_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "TICK_S", 0.01)
    begun, go_on = threading.Event(), threading.Event()
    parsed: list[int] = []

    class Waiting(Steps):
        def parse(self, chunk: Chunk) -> tuple[tuple[int, int], Iterator[tuple[int, int]]]:
            parsed.append(chunk.index)
            begun.set()
            assert go_on.wait(60)
            return super().parse(chunk)

    def tick(nbytes: int) -> None:
        if begun.is_set() and cutter.n_cut == 2:
            threading.Timer(0.05, go_on.set).start()
            raise KeyboardInterrupt

    cutter = Cutting([10] * 5)
    with pytest.raises(KeyboardInterrupt):
        Pipeline(cutter, Waiting([1] * 5), 15).run(2, tick)
    assert parsed == [0]


def test_no_chunks_and_more_workers_than_chunks() -> None:
    for n_chunks in (0, 1):
        steps = Steps([1] * n_chunks)
        assert run(Cutting([10] * n_chunks), steps, 8) == 10 * n_chunks
        assert len(steps.committed) == n_chunks


def test_a_thread_that_cannot_be_started_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    start, started = threading.Thread.start, []

    def limited(thread: threading.Thread) -> None:
        if len(started) == 2:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", limited)
    with pytest.raises(RuntimeError, match="can't start"):
        run(Cutting([10] * 1000), Steps([1] * 1000), 4)
    assert len(started) == 2
