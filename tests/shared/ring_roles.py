"""What processes and threads do with a ring, for its tests."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any

import numpy as np

import outcore as oc
from outcore.errors import RingClosedError
from outcore.shared.ring import SharedRing

TIMEOUT_S = 60


def in_thread(function: Callable[..., Any], *args: Any) -> threading.Thread:
    thread = threading.Thread(target=function, args=args)
    thread.start()
    return thread


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def write_numbers(ring: SharedRing, numbers: range) -> None:
    for number in numbers:
        with ring.write(TIMEOUT_S) as slot:
            slot[...] = number


def write_and_count_descriptors(ring: SharedRing, n_items: int) -> None:
    write_numbers(ring, range(10))
    before = descriptors()
    write_numbers(ring, range(10, n_items))
    os._exit(descriptors() - before)


def sum_items(ring: SharedRing) -> int:
    """Sum the items; -1 if one of them was being written to."""
    total = 0
    try:
        while True:
            with ring.read(TIMEOUT_S) as item:
                if item.min() != item.max():
                    return -1
                total += int(item[0])
    except RingClosedError:
        return total


def sum_into(ring: SharedRing, sums: np.ndarray, i: int) -> None:
    sums[i] = sum_items(ring)


def double(rings: Any, results: SharedRing) -> None:
    for item in rings.get(timeout=TIMEOUT_S):
        results.put(2 * item, TIMEOUT_S)


def put_pid(ring: SharedRing) -> int:
    ring.put(os.getpid(), TIMEOUT_S)
    return os.getpid()


def fill_slot(slot: oc.SharedArray) -> None:
    slot[...] = 7
