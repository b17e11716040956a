"""Tasks: they read what they need, announce what comes, use their buffers again, and may be run again."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import outcore as oc
from outcore.array import blockwise
from outcore.blocks.partition import Partition
from outcore.blocks.source import Source
from outcore.blocks.work import Held, Work, fill_blocks, run_group, sum_part
from tests.blocks.samples import Blocks, Copies, Doing, SplitSums

A = np.arange(300.0).reshape(100, 3)
PARTITION = Partition(100, 10, 40)


def opened(tmp_path: Path) -> Source:
    np.save(tmp_path / "a.npy", A)
    return Source(oc.open(tmp_path / "a.npy"))


def test_a_group_is_read_block_by_block(tmp_path: Path) -> None:
    source = opened(tmp_path)
    work = Work(source, None, [Blocks(), Copies()], PARTITION)
    blocks, copies = run_group(work, 2)
    assert blocks == [(80, 10), (90, 10)]
    assert np.array_equal(np.concatenate(copies), A[80:])
    assert run_group(work, 2)[0] == blocks  # it may be run again


def test_what_comes_is_announced_within_the_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = opened(tmp_path)
    announced: list[tuple[int, int]] = []
    monkeypatch.setattr(blockwise, "announce", lambda array, start, stop: announced.append((start, stop)))
    run_group(Work(source, None, [Blocks()], PARTITION), 0)
    assert announced == [(10, 30), (30, 40)]


@pytest.mark.parametrize("direct", [False, True])
def test_weights_are_announced_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, direct: bool) -> None:
    source = opened(tmp_path)
    np.save(tmp_path / "w.npy", np.ones(100))
    weights = Source(oc.open(tmp_path / "w.npy"), "_weights")
    announced: list[tuple[int, int]] = []
    monkeypatch.setattr(weights, "announce", lambda start, stop: announced.append((start, stop)))
    run_group(Work(source, weights, [Blocks()], PARTITION, direct=direct), 0)
    assert [pair for pair in announced if pair[0] < pair[1]] == [(10, 30), (30, 40)]


def test_buffers_are_used_again(tmp_path: Path) -> None:
    source = opened(tmp_path)
    places: set[int] = set()
    work = Work(source, None, [Doing(lambda block: places.add(block.rows.ctypes.data))], PARTITION)
    for index in (0, 1, 2):
        run_group(work, index)
    assert len(places) == 1
    assert len(work.spare) == 1


def test_what_is_not_wanted_any_more_is_left(tmp_path: Path) -> None:
    source = opened(tmp_path)
    seen: list[int] = []
    work = Work(source, None, [Doing(lambda block: seen.append(block.start))], PARTITION)
    work.last_wanted = 1
    run_group(work, 2)
    assert seen == []
    run_group(work, 1)
    assert seen == [40, 50, 60, 70]


def test_it_travels_without_its_buffers(tmp_path: Path) -> None:
    source = opened(tmp_path)
    work = Work(source, None, [Blocks()], PARTITION)
    run_group(work, 0)
    data = pickle.dumps(work)
    assert len(data) < 2000
    there = pickle.loads(data)
    assert there.spare == []
    assert run_group(there, 1)[0] == [(40, 10), (50, 10), (60, 10), (70, 10)]


@pytest.mark.parametrize("step", [10, 20, 40])
def test_parts_are_summed_over_the_rows_that_are_held(tmp_path: Path, step: int) -> None:
    source = opened(tmp_path)
    bound: list[Any] = [SplitSums(2), Blocks()]
    weights = Source(oc.asarray(np.arange(100.0)), "w")
    work = Work(source, weights, bound, PARTITION)
    expected = run_group(work, 1)
    work.held = Held(np.empty((40, 3)), None, None, [np.empty((40, 2)), None])
    for low in range(40, 80, step):
        fill_blocks(work, 1, low, low + step)
    assert [np.array_equal(sum_part(work, 1, 0, p)[1], expected[0][p][1]) for p in (0, 1)] == [True, True]
    assert sum_part(work, 1, 1, 0) == expected[1]


def test_rows_that_are_held_cannot_be_written_by_a_statistic(tmp_path: Path) -> None:
    source = opened(tmp_path)

    def scribble(block: Any) -> None:
        block.rows[0] = 0

    work = Work(source, None, [Doing(scribble)], PARTITION)
    work.held = Held(np.empty((40, 3)), None, None, [None])
    fill_blocks(work, 0, 0, 40)
    with pytest.raises(ValueError, match="read-only"):
        sum_part(work, 0, 0, 0)


@pytest.mark.parametrize("task", ["run_group", "fill_blocks", "sum_part"])
def test_an_error_names_its_rows(tmp_path: Path, task: str, monkeypatch: pytest.MonkeyPatch) -> None:
    source = opened(tmp_path)

    def fail(block: Any) -> None:
        if block.start == 50:
            raise KeyError("no")

    work = Work(source, None, [Doing(fail)], PARTITION, "the rows")
    work.held = Held(np.empty((40, 3)), None, None, [None])
    rows = "50 to 59"
    if task == "fill_blocks":
        monkeypatch.setattr(Source, "read_into", lambda *args: {}["no"])
        rows = "40 to 79"
    tasks = {
        "run_group": lambda: run_group(work, 1),
        "fill_blocks": lambda: fill_blocks(work, 1, 40, 80),
        "sum_part": lambda: sum_part(work, 1, 0, 0),
    }
    with pytest.raises(KeyError) as caught:
        tasks[task]()
    assert caught.value.__notes__ == [f"while working on rows {rows} of the rows"]
