"""Programs whose processes send each other very many shared arrays.

Reads from : tests.shared.observed
Hands to   : tests.shared.test_stress

All stop twice, when everything that was sent has been received: after a tenth of the work ("warm") and at
the end ("done"). What they have then is to be compared.
"""

from __future__ import annotations

import functools
import gc
import multiprocessing
import os
import pickle
import resource
import signal
from collections import deque
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import numpy as np

import outcore as oc
from outcore.errors import SegmentGoneError
from tests.shared.observed import reach

N_CHILDREN = 8
HELD = 8  # arrays that a process keeps before it lets go of the oldest


def make(sender: int, step: int) -> Any:
    """Make an array of 16 B to 32 kB that tells who made it."""
    array = oc.shared_empty(2 + (sender * 7919 + step * 104729) % 4096, np.int64)
    array[:] = sender * 1_000_003 + step
    array[:2] = sender, step
    return array


def check(array: Any, sender: int, step: int) -> None:
    assert array[:2].tolist() == [sender, step]
    assert (array[2:] == sender * 1_000_003 + step).all()


def stop(role: str, moment: str) -> None:
    gc.collect()
    reach(role, moment)


# ---- children send to each other, the parent sleeps ----------------------------------------------
def siblings(method: str, n_arrays: str) -> None:
    context: Any = multiprocessing.get_context(method)
    inboxes = [context.SimpleQueue() for _ in range(N_CHILDREN)]
    children = [
        context.Process(target=exchange, args=(number, inboxes, int(n_arrays) // N_CHILDREN))
        for number in range(N_CHILDREN)
    ]
    for child in children:
        child.start()
    for child in children:
        child.join()
    reach("parent", "end", exits=[child.exitcode for child in children])


def exchange(own: int, inboxes: list[Any], n_steps: int) -> None:
    held: deque[Any] = deque(maxlen=HELD)
    for step in range(n_steps):
        if step == n_steps // 10:
            held.clear()
            stop(f"child {own}", "warm")
        # Each step is a permutation: everybody sends one and receives one, so no pipe ever fills.
        to = (own + 1 + step % (N_CHILDREN - 1)) % N_CHILDREN
        inboxes[to].put((own, step, make(own, step)))
        sender, its_step, array = inboxes[own].get()
        check(array, sender, its_step)
        held.append(array)
    held.clear()
    del array
    stop(f"child {own}", "done")


# ---- short-lived producers, a consumer, and a parent that sleeps ------------------------------------
N_PRODUCERS = 6
LARGE = 1 << 20  # values


def pipeline(method: str, end: str) -> None:
    context: Any = multiprocessing.get_context(method)
    items, answers = context.SimpleQueue(), context.SimpleQueue()
    consumer = context.Process(target=take_all, args=(items, answers))
    consumer.start()
    for number in range(N_PRODUCERS):
        producer = context.Process(target=give_one, args=(number, items, answers, end))
        producer.start()
        producer.join()
    consumer.join()
    reach("parent", "asleep")
    oc.shared_empty(1)
    reach("parent", "awake")


def give_one(number: int, items: Any, answers: Any, end: str) -> None:
    items.put((number, oc.share(np.full(LARGE, number))))
    answers.get()
    if end == "kill":
        os.kill(os.getpid(), signal.SIGKILL)


def take_all(items: Any, answers: Any) -> None:
    for _ in range(N_PRODUCERS):
        number, array = items.get()
        assert array[0] == array[-1] == number
        del array
        answers.put("received")


# ---- parent and children, both ways --------------------------------------------------------------
def both_ways(method: str, n_arrays: str) -> None:
    context: Any = multiprocessing.get_context(method)
    n_steps = int(n_arrays) // N_CHILDREN // 2
    to_parent, inboxes = context.SimpleQueue(), [context.SimpleQueue() for _ in range(N_CHILDREN)]
    children = [
        context.Process(target=ask, args=(number, to_parent, inboxes[number], n_steps))
        for number in range(N_CHILDREN)
    ]
    for child in children:
        child.start()
    for answered in range(n_steps * N_CHILDREN):
        if answered == n_steps // 10 * N_CHILDREN:  # all children are there
            stop("parent", "warm")
        sender, step, array = to_parent.get()
        check(array, sender, step)
        del array
        inboxes[sender].put(make(99, step))
    stop("parent", "done")
    for child in children:
        child.join()
    reach("parent", "end", exits=[child.exitcode for child in children])


def ask(own: int, to_parent: Any, inbox: Any, n_steps: int) -> None:
    for step in range(n_steps):
        if step == n_steps // 10:
            stop(f"child {own}", "warm")
        to_parent.put((own, step, make(own, step)))
        answer = inbox.get()
        check(answer, 99, step)
        del answer
    stop(f"child {own}", "done")


# ---- an executor -------------------------------------------------------------------------------
def executor(method: str, n_arrays: str) -> None:
    with ProcessPoolExecutor(N_CHILDREN, multiprocessing.get_context(method)) as pool:
        n_rounds = int(n_arrays) // 2 // 100
        for number in range(n_rounds):
            if number == n_rounds // 10:
                stop("parent", "warm")
            given = [make(98, step) for step in range(100)]
            answers = pool.map(functools.partial(answer, number), given)
            for step, array in enumerate(answers):
                check(array, number, step)
            del given, answers, array
        stop("parent", "done")
    reach("parent", "end", exits=[])


def answer(number: int, given: Any) -> Any:
    step = int(given[1])
    check(given, 98, step)
    return make(number, step)


# ---- thousands on their way at once --------------------------------------------------------------
def travelling(n_arrays: str) -> None:
    """Receive all that a child has sent; then all that a child has sent that was killed afterwards."""
    count = int(n_arrays)
    _more_descriptors(3 * count)
    context: Any = multiprocessing.get_context("fork")
    stop("parent", "warm")
    seen = []
    for moment in ("alive", "killed"):
        near, far = context.Pipe(duplex=False)
        child = context.Process(target=send_all, args=(far, count, moment))
        child.start()
        far.close()
        handles = near.recv()
        near.close()
        reach("parent", moment, child=child.pid)
        arrays = [pickle.loads(handle) for handle in handles]
        del handles
        seen.append(sum(_arrived(array, step) for step, array in enumerate(arrays)))
        stop("parent", f"{moment}: received")
        del arrays
        stop("parent", f"{moment}: let go")
        child.join()
        child.close()
    stop("parent", "done")
    reach("parent", "end", seen=seen)


def send_all(to: Any, count: int, moment: str) -> None:
    _more_descriptors(3 * count)
    handles = [pickle.dumps(make(1, step % 500)) for step in range(count)]  # the arrays are dropped at once
    to.send(handles)
    to.close()
    reach("child", moment)


def _arrived(array: Any, step: int) -> bool:
    try:
        check(array, 1, step % 500)
    except SegmentGoneError:
        return False
    return True


def _more_descriptors(count: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(count, hard)), hard))
