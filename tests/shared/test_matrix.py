"""`kill -9` of any process, at any moment: nothing is left behind, and whoever lives on has its data.

    {producer, consumer, parent, whole process group} x {fork, spawn, forkserver, loky's own way}
    x {Process, Queue, ProcessPoolExecutor, loky} x {before attach, attached, mid-write}

`make matrix` (OUTCORE_TESTS=long) runs every cell, OUTCORE_TESTS_REPEATS times (3); otherwise the cells of
`SHORT` run. The programs are in tests/shared/matrix.py.
"""

from __future__ import annotations

import functools
import itertools
import os
import re
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests import hygiene
from tests.shared.matrix import NBYTES, checksum, halves, values
from tests.shared.observed import SHM, Program

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc and kills process groups")

LONG = os.environ.get("OUTCORE_TESTS") == "long"
REPEATS = int(os.environ.get("OUTCORE_TESTS_REPEATS", "3")) if LONG else 1

MEMORY_S = 2.0  # until the memory is back
GONE_S = 5.0  # until the last process has ended; servers that remove semaphores take a moment
NOISE_BYTES = 8 << 20  # what other programs may take where only the whole machine's memory can be looked at

VICTIMS = ("producer", "consumer", "parent", "group")
METHODS = ("fork", "spawn", "forkserver", "loky")
CHANNELS = ("Process", "Queue", "ProcessPoolExecutor", "loky")
MOMENTS = ("before", "attached", "mid-write")


class Cell(NamedTuple):
    victim: str
    method: str
    channel: str
    moment: str


#: (method, channel) that make no sense, and why.
LEFT_OUT = {
    **dict.fromkeys(
        [(method, "loky") for method in METHODS if method != "loky"],
        "loky starts its workers in a way of its own",
    ),
    **dict.fromkeys(
        [("loky", channel) for channel in CHANNELS if channel != "loky"],
        "multiprocessing does not know loky's way of starting a process",
    ),
}
CELLS = [
    cell
    for cell in itertools.starmap(Cell, itertools.product(VICTIMS, METHODS, CHANNELS, MOMENTS))
    if (cell.method, cell.channel) not in LEFT_OUT
]
SHORT = [
    # The producer is dead when its array is opened: by the parent, by a process that the parent starts.
    Cell("producer", "fork", "ProcessPoolExecutor", "before"),
    Cell("producer", "spawn", "Process", "before"),
    Cell("producer", "forkserver", "Queue", "before"),
    Cell("producer", "loky", "loky", "before"),
    Cell("producer", "fork", "Queue", "attached"),
    Cell("producer", "spawn", "ProcessPoolExecutor", "mid-write"),
    # The handle of a dead consumer was never received.
    Cell("consumer", "fork", "Queue", "before"),
    Cell("consumer", "spawn", "ProcessPoolExecutor", "before"),
    Cell("consumer", "forkserver", "Process", "attached"),
    Cell("consumer", "loky", "loky", "mid-write"),
    # Orphans have the memory mapped; or it is nowhere but in a queue of the dead parent.
    Cell("parent", "fork", "ProcessPoolExecutor", "before"),
    Cell("parent", "spawn", "Queue", "attached"),
    Cell("parent", "spawn", "Process", "before"),
    Cell("parent", "fork", "Process", "mid-write"),
    Cell("parent", "forkserver", "ProcessPoolExecutor", "attached"),
    Cell("parent", "loky", "loky", "attached"),
    # Nobody is left to clean up.
    Cell("group", "fork", "Process", "attached"),
    Cell("group", "spawn", "ProcessPoolExecutor", "before"),
    Cell("group", "forkserver", "Queue", "mid-write"),
    Cell("group", "loky", "loky", "before"),
]

#: What the servers of multiprocessing and loky say when a parent was killed and they remove its semaphores.
SERVERS_SAY = re.compile(
    r".*resource_tracker: There appear to be \d+ leaked sem(aphore|lock) objects to clean up at shutdown.*"
    r"|  warnings\.warn\(.*"
)


@pytest.mark.parametrize("repeat", range(REPEATS))
@pytest.mark.parametrize("cell", CELLS if LONG else SHORT, ids="-".join)
def test_a_kill_leaves_nothing_behind_and_the_survivors_data_intact(
    cell: Cell, repeat: int, tmp_path: Path
) -> None:
    with Program("tests.shared.matrix", "run", *cell[1:], folder=tmp_path) as program:
        pids = come_to(program, cell)
        assert program.shared_bytes() > 0.8 * NBYTES  # so that its end can be seen
        program.note_semaphores()

        program.kill(pids[cell.victim], group=cell.victim == "group")
        alive_again = time.monotonic()
        if cell.victim in ("producer", "consumer"):
            program.finish()
            alive_again = time.monotonic()
            survivors_are_well(program, cell)

        while program.shared_bytes() > NOISE_BYTES and time.monotonic() < alive_again + MEMORY_S:
            time.sleep(0.01)
        assert program.shared_bytes() < NOISE_BYTES
        assert program.wait_until_gone(GONE_S) == set()
        assert new_files(program, cell) == []
        assert said_by_us(program, cell) == []


def test_the_short_form_kills_everybody_in_each_way_and_at_each_moment() -> None:
    short, whole = (
        {(cell.victim, value) for cell in cells for value in cell[1:]} for cells in (SHORT, CELLS)
    )
    assert short == whole
    assert set(SHORT) <= set(CELLS)


def come_to(program: Program, cell: Cell) -> dict[str, int]:
    """Let the program come to the moment of the cell, and return its processes by their roles."""
    pids = {"parent": program.process.pid, "group": program.process.pid}
    if cell.moment == "mid-write":
        for role in ("producer", "consumer"):
            pids[role] = program.wait_for(role, "mid-write").pid
        program.wait_for("parent", "mid-write")
        return pids
    first = program.wait_for("parent", "before")
    if cell.channel == "Queue":
        program.wait_for("consumer", "before")
    pids["producer"] = program.wait_for("producer", "attached").pid
    if cell.moment == "before" and cell.victim != "consumer":
        return pids  # nobody has attached
    program.let_go(first)
    second = program.wait_for("consumer", "before")
    pids["consumer"] = second.pid
    program.wait_for("parent", "attached")
    if cell.moment == "attached":
        program.let_go(second)
        program.wait_for("consumer", "attached")
    return pids


@functools.cache
def right() -> dict[str, int]:
    """Return the checksums of the array and of its halves."""
    first, second = halves(values())
    return {"whole": checksum(values()), "first": checksum(first), "second": checksum(second)}


def survivors_are_well(program: Program, cell: Cell) -> None:
    """Look at what the parent and the other child have seen in the end, and know of the dead one."""
    other = "consumer" if cell.victim == "producer" else "producer"
    mine = {"producer": "first", "consumer": "second"}[other] if cell.moment == "mid-write" else "whole"
    assert program.process.returncode == 0
    assert program.said(cell.victim, "end") in (None, {"error": "BrokenProcessPool"})

    expected: dict[str, Any] = {"checksum": right()[mine]}
    if (cell.victim, cell.channel, cell.moment) == ("producer", "Queue", "before"):
        # A sibling cannot receive what a dead process has sent, and is told so; the parent can.
        expected = {"error": "SegmentGoneError"}
    assert program.said(other, "end") == expected

    ending = program.said("parent", "end")
    assert ending is not None
    assert ending[mine] == right()[mine]
    if cell.channel in ("Process", "Queue"):
        assert ending["exits"] == ([-9, 0] if cell.victim == "producer" else [0, -9])
    else:
        assert ending["failures"] == [
            "TerminatedWorkerError" if cell.channel == "loky" else "BrokenProcessPool"
        ]


def new_files(program: Program, cell: Cell) -> list[str]:
    """List what the program left in /dev/shm."""
    left = [name for name in os.listdir(SHM) if name not in program.files_before]
    if cell.victim == "group":
        # The semaphores of queues and executors have names. Their libraries' servers, which would remove
        # them, are dead too; so they are removed here.
        for name in program.semaphores.intersection(left):
            left.remove(name)
            (SHM / name).unlink()
    # Other programs may make files there meanwhile: semaphores (the program's own ones are known), folders of
    # joblib, segments that they have mapped.
    return [
        name
        for name in left
        if name in program.semaphores
        or not (name.startswith("sem.") or (SHM / name).is_dir() or hygiene.held_by_others(name))
    ]


def said_by_us(program: Program, cell: Cell) -> list[str]:
    """List what stands on standard error and does not come from the servers of multiprocessing or loky."""
    lines = program.stderr.splitlines()
    if cell.victim == "parent" and cell.method != "fork" and cell.channel != "Process":
        lines = [line for line in lines if not SERVERS_SAY.fullmatch(line)]
    return lines
