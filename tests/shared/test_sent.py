"""The sender's side of a handle on its way, with a page to tick it off on, and with a file."""

from __future__ import annotations

import os
import subprocess
import sys
import weakref

import pytest

import outcore as oc
from outcore.shared import board, named
from outcore.shared.sent import Sent, SentByFiles


@pytest.fixture(params=[Sent, SentByFiles])
def sent(request, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return request.param()


def receive(ticket):
    page = board.reach(ticket)
    board.received(page, ticket)
    if page >= 0:
        os.close(page)


def segment_of(array):
    return array._segment


def test_the_memory_is_kept_until_the_handle_was_received(sent):
    segment = segment_of(oc.shared_empty(10))
    gone = weakref.ref(segment)
    ticket = sent.enter(segment)
    del segment
    assert sent.sweep()
    assert gone() is not None
    receive(ticket)
    assert not sent.sweep()
    assert gone() is None


def test_each_handle_of_a_segment_counts(sent):
    segment = segment_of(oc.shared_empty(10))
    gone = weakref.ref(segment)
    first, second = sent.enter(segment), sent.enter(segment)
    del segment
    receive(first)
    receive(first)  # the same pickle, loaded twice
    assert sent.sweep()
    assert gone() is not None
    receive(second)
    assert not sent.sweep()


def test_release_stops_waiting_for_one_segment_or_for_all(sent):
    one, other = segment_of(oc.shared_empty(1)), segment_of(oc.shared_empty(1))
    for segment in (one, other, other):
        sent.enter(segment)
    assert sent.release(one.nonce) == 1
    assert sent.sweep()
    assert sent.release(None) == 2
    assert not sent.sweep()


def test_a_slot_is_used_again_but_not_its_number(sent):
    segment = segment_of(oc.shared_empty(1))
    first = sent.enter(segment)
    receive(first)
    second = sent.enter(segment)
    assert second.slot == first.slot
    receive(first)  # late, for the second time
    assert sent.sweep()
    receive(second)
    assert not sent.sweep()


def test_ticket_files_go_with_their_sender(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    sent = SentByFiles()
    path = board.ticket_file(sent.enter(segment_of(oc.shared_empty(1))))
    assert os.path.exists(path)
    del sent
    assert not os.path.exists(path)


def test_ticket_files_of_a_killed_sender_are_swept(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    left = board.ticket_file(board.Ticket(ended.pid, board.FILES, 0, 5))
    ours = board.ticket_file(board.Ticket(os.getpid(), board.FILES, 0, 5))
    os.makedirs(os.path.dirname(left), mode=0o700)
    for path in (left, ours):
        open(path, "w").close()
    named.sweep()
    assert not os.path.exists(left)
    assert os.path.exists(ours)


WITHOUT_MEMFD = """
import os, sys
del os.memfd_create
import multiprocessing
import numpy as np
import outcore as oc


def make(n):
    return oc.share(np.full(5, n))


if __name__ == "__main__":
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        made = pool.map(make, range(6))
    print([int(a[0]) for a in made])
    from outcore.shared import named
    print(len(named.files()), len(list(named.folder().glob("*.ticket"))))
    del made
    print(len(named.files()))
"""


def test_a_pool_without_memfd_leaves_nothing_behind(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(WITHOUT_MEMFD)
    done = subprocess.run(
        [sys.executable, program],
        capture_output=True, text=True, timeout=60, env=os.environ | {"TMPDIR": str(tmp_path)},
    )  # fmt: skip
    assert done.stderr == ""
    assert done.stdout.split("\n")[:3] == ["[0, 1, 2, 3, 4, 5]", "6 0", "0"]
