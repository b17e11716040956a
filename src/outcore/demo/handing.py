"""Hand an array from a worker to its parent in three ways, in turn, and time it.

Reads from : weather files, parsed by the worker beforehand
Hands to   : demo.sharing, one JSON object on standard output

What is timed, by the one clock that all processes of a machine share:
- *copied in*: the worker puts the array into shared memory; nothing where the array itself is pickled;
- *handed over*: from then until the parent has read the first and the last row of what it got;
- *touched*: the parent reads a byte of every page, which maps the pages of shared memory.

Letting go of the memory is not timed in any of them. Run as ``python -m outcore.demo.handing FILE...``: once
with the first file alone and once with all of them as one array.
"""

from __future__ import annotations

import json
import mmap
import multiprocessing
import sys
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.reduction import ForkingPickler
from multiprocessing.shared_memory import SharedMemory
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from outcore.demo.sharers import parse
from outcore.errors import OutcoreError
from outcore.shared.sharing import share

ROUNDS, WARM_UP = 21, 4

#: What the worker does: from the array to what is sent, and what keeps the memory until the parent is done.
Give = Callable[[NDArray[Any]], tuple[Any, Callable[[], None]]]
#: What the parent does: from what came to an array, and how to let go of it.
Take = Callable[[Any], tuple[NDArray[Any], Callable[[], None]]]


def _nothing() -> None:
    """Let go of nothing: the memory goes with the array."""


def give_shared(array: NDArray[Any]) -> tuple[Any, Callable[[], None]]:
    """Share the array: what `outcore` does."""
    return share(array), _nothing


def give_pickled(array: NDArray[Any]) -> tuple[Any, Callable[[], None]]:
    """Send the array itself."""
    return array, _nothing


def give_named(array: NDArray[Any]) -> tuple[Any, Callable[[], None]]:
    """Send the name of a segment with a copy, and remove it when the parent says that it is done."""
    memory = SharedMemory(create=True, size=array.nbytes)
    np.ndarray(array.shape, array.dtype, buffer=memory.buf)[:] = array

    def release() -> None:
        memory.close()
        memory.unlink()

    return {"name": memory.name, "shape": array.shape, "dtype": array.dtype}, release


def take(thing: Any) -> tuple[NDArray[Any], Callable[[], None]]:
    """Take what came as it is: it is the array."""
    return thing, _nothing


def take_named(thing: Any) -> tuple[NDArray[Any], Callable[[], None]]:
    """Attach to the segment of that name."""
    memory = SharedMemory(name=thing["name"])
    return np.ndarray(thing["shape"], thing["dtype"], buffer=memory.buf), memory.close


#: The names are those of `outcore.demo.sharing`.
WAYS: dict[str, tuple[Give, Take]] = {
    "outcore": (give_shared, take),
    "pickled": (give_pickled, take),
    "shared_memory": (give_named, take_named),
}


def serve(pipe: Connection, paths: list[str]) -> None:
    """Parse, then hand over whenever the parent names a way; None ends it. This is the worker."""
    array = np.concatenate([parse(path) for path in paths])
    pipe.send((array.nbytes, array[[0, -1]].tolist()))
    while (name := pipe.recv()) is not None:
        start_s = time.perf_counter()
        thing, release = WAYS[name][0](array)
        copied_s = time.perf_counter()
        message = ForkingPickler.dumps(thing)  # as Connection.send does, but its length is wanted
        pipe.send_bytes(message)
        pipe.send((start_s, copied_s, len(message)))
        pipe.recv()  # the parent is done
        del thing
        release()


def _hand_over(pipe: Connection, name: str, expected: list[Any]) -> dict[str, float]:
    """Hand over once; return the seconds of each part, and the bytes that went through the pipe."""
    pipe.send(name)
    array, release = WAYS[name][1](ForkingPickler.loads(pipe.recv_bytes()))
    ends = array[[0, -1]].tolist()
    handed_s = time.perf_counter()
    array.view(np.uint8)[:: mmap.PAGESIZE].sum()
    touched_s = time.perf_counter()
    start_s, copied_s, nbytes = pipe.recv()
    del array
    release()
    pipe.send("done")
    if repr(ends) != repr(expected):  # NaN equals nothing but its text
        raise OutcoreError(
            f"handed over by {name}, the first and last row are {ends}; they were {expected}.\n"
            "That is a defect: please report it."
        )
    return {
        "copied_s": copied_s - start_s,
        "handed_s": handed_s - copied_s,
        "touched_s": touched_s - handed_s,
        "pipe_bytes": nbytes,
    }


def measure(paths: list[str]) -> dict[str, Any]:
    """Hand over the rows of these files, as one array, in all ways in turn; return the medians."""
    context = multiprocessing.get_context("spawn")
    pipe, theirs = context.Pipe()
    worker = context.Process(target=serve, args=(theirs, paths))
    worker.start()
    theirs.close()
    try:
        nbytes, ends = pipe.recv()
        turns: dict[str, list[dict[str, float]]] = {name: [] for name in WAYS}
        for turn in range(WARM_UP + ROUNDS):
            names = list(WAYS)
            first = turn % len(names)
            for name in names[first:] + names[:first]:
                turns[name].append(_hand_over(pipe, name, ends))
        pipe.send(None)
        worker.join()
    finally:
        worker.kill()
        worker.join()
        pipe.close()
    return {"nbytes": nbytes, "ways": {name: _medians(found[WARM_UP:]) for name, found in turns.items()}}


def _medians(found: list[dict[str, float]]) -> dict[str, float]:
    return {key: median(one[key] for one in found) for key in found[0]}


if __name__ == "__main__":
    files = sys.argv[1:]
    sizes = [files[:1], files] if len(files) > 1 else [files]
    print(json.dumps({"rounds": ROUNDS, "arrays": [measure(paths) for paths in sizes]}), flush=True)
