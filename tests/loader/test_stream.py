"""Threads that make batches ahead: what they leave behind, and what happens when something goes wrong."""

from __future__ import annotations

import gc
import itertools
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import outcore as oc
from outcore.loader import buffers
from outcore.loader.reading import Buffered

N = 4000


@pytest.fixture
def path(tmp_path):
    np.save(tmp_path / "x.npy", np.arange(N * 4.0).reshape(N, 4))
    return str(tmp_path / "x.npy")


def threads():
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("outcore-")]


@pytest.mark.parametrize("shuffle", ["block", True, False])
def test_threads_end_with_the_epoch(path, shuffle):
    for _ in oc.Loader(path, 64, shuffle=shuffle, num_workers=2):
        during = threads()
    assert any("loader" in name for name in during)
    assert threads() == []


@pytest.mark.parametrize("shuffle", ["block", True, False])
def test_threads_end_when_the_loop_is_left(path, shuffle):
    for _ in oc.Loader(
        path, 64, shuffle=shuffle, num_workers=2, memory="300kB" if shuffle == "block" else None
    ):
        break
    gc.collect()
    assert threads() == []


def test_threads_end_when_the_loop_fails(path):
    def train():
        for batch in oc.Loader(path, 64):
            batch.no_such_thing()

    with pytest.raises(AttributeError):
        train()
    gc.collect()
    assert threads() == []


def test_nothing_is_started_before_the_first_batch(path):
    batches = iter(oc.Loader(path, 64))
    assert threads() == []
    next(batches)
    assert threads()
    batches.close()
    assert threads() == []


def test_an_error_of_a_transform_comes_where_its_batch_would_have_come(path):
    def transform(batch, rng):
        if batch[0, 0] == 4 * 640:
            raise KeyError("no such thing")
        return batch

    loader = oc.Loader(path, 64, shuffle=False, transform=transform, num_workers=2)
    came = []

    def train():
        for batch in loader:
            came.append(batch[0, 0])

    with pytest.raises(oc.errors.TransformError, match=r"batch 10 of epoch 0 \(rows 640, (.|\n)*KeyError"):
        train()
    assert came == [4 * 64 * number for number in range(10)]
    assert threads() == []
    assert loader.epoch == 0


@pytest.mark.parametrize("shuffle", ["block", False])
@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_file_that_is_cut_in_the_middle_of_an_epoch_is_an_error_not_a_hang(path, shuffle, num_workers):
    options = {"block_size": 16, "memory": "150kB"} if shuffle == "block" else {"memory": "100kB"}
    loader = oc.Loader(path, 16, shuffle=shuffle, num_workers=num_workers, prefetch=2, **options)
    batches = iter(loader)
    next(batches)
    os.truncate(path, 1000)
    with pytest.raises((oc.errors.StaleArrayError, oc.errors.TruncatedError)):
        for _ in batches:
            pass
    assert threads() == []


def test_a_program_ends_although_an_iterator_is_left(path):
    code = (
        "import sys, outcore as oc\n"
        "batches = iter(oc.Loader(sys.argv[1], 64, memory='300kB'))\n"
        "next(batches)\n"
        "print('done')\n"
    )
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")


def test_an_interrupt_while_waiting_for_a_batch_ends_everything(path):
    code = (
        "import os, sys, threading, time, outcore as oc\n"
        "def transform(batch, rng):\n"
        "    os.write(1, b'in\\n')\n"
        "    time.sleep(1)\n"
        "    return batch\n"
        "try:\n"
        "    for batch in oc.Loader(sys.argv[1], 64, transform=transform): pass\n"
        "except KeyboardInterrupt:\n"
        "    print('interrupted', [t.name for t in threading.enumerate() if 'outcore' in t.name])\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code, path], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert child.stdout.readline() == "in\n"
    time.sleep(0.1)
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=60)
    assert out.splitlines()[-1] == "interrupted []"
    assert err == ""


def _go_on(batches, loader, connection):
    try:
        next(batches)
    except oc.errors.ExecutorError as error:
        connection.send((str(error), len(list(loader))))
    connection.close()


def test_an_iterator_says_that_it_does_not_work_in_a_forked_child(path):
    loader = oc.Loader(path, 64)
    batches = iter(loader)
    next(batches)
    ours, theirs = multiprocessing.Pipe()
    child = multiprocessing.get_context("fork").Process(target=_go_on, args=(batches, loader, theirs))
    child.start()
    theirs.close()
    message, count = ours.recv()
    child.join()
    ours.close()
    assert f"was made in process {os.getpid()} and is used in its child {child.pid}" in message
    assert count == len(loader)
    assert child.exitcode == 0
    assert len(list(batches)) == len(loader) - 1


def test_no_more_is_made_ahead_than_was_asked_for():
    made = []

    def transform(batch, rng):
        made.append(batch[0])
        return batch

    loader = oc.Loader(np.arange(1000), 10, shuffle=False, transform=transform, num_workers=2, prefetch=4)
    batches = iter(loader)
    for taken in range(1, 20):
        next(batches)
        time.sleep(0.01)
        assert len(made) <= taken + 4
    batches.close()


def test_a_consumer_that_waits_is_counted(path):
    def transform(batch, rng):
        time.sleep(0.02)
        return batch

    loader = oc.Loader(path, 400, transform=transform, num_workers=1)
    list(loader)
    assert loader.stats().wait_s > 0.1
    assert loader.stats().transform_s >= 0.2


class Cycle:
    """Refers to itself: what is in it is dropped by a garbage collection, in whichever thread that is."""

    def __init__(self, batches):
        self.batches, self.me = batches, self


@pytest.mark.parametrize(
    ("kind", "name", "calls"),
    [(buffers._Slot, "load", 1), (Buffered, "fill", 1)],
    ids=["reading", "gathering"],
)
def test_an_iterator_that_one_of_its_own_threads_collects_ends(path, monkeypatch, kind, name, calls):
    dropped, collected = threading.Event(), []
    function, counter = getattr(kind, name), itertools.count()

    def collecting(*args, **kwargs):
        if next(counter) >= calls and not collected:
            assert dropped.wait(20)
            collected.append(threading.current_thread().name)
            gc.collect()
        return function(*args, **kwargs)

    monkeypatch.setattr(kind, name, collecting)
    loader = oc.Loader(path, 8, memory="200kB", block_size=8, num_workers=2, prefetch=2)
    gc.disable()
    try:
        cycle = Cycle(iter(loader))
        next(cycle.batches)
        del cycle
        dropped.set()
        deadline = time.monotonic() + 20
        while not collected and time.monotonic() < deadline:
            time.sleep(0.01)
        while threads() and time.monotonic() < deadline:
            time.sleep(0.01)
    finally:
        gc.enable()
    assert collected[0].startswith("outcore-")
    assert threads() == []
