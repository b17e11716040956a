"""Who holds what: real segments, held by real processes."""

from __future__ import annotations

import errno
import multiprocessing
import os
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import outcore as oc
from outcore.shared import census, holders, looking, named, sharing
from tests.shared.listed import nameless_here, nonce_of, the

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="asks /proc")

METHODS = ["fork", "spawn", "forkserver"]
TIMEOUT_S = 60


def refuse_map_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """As for anybody but root."""
    opened = os.open

    def open_(path: Any, *arguments: Any, **settings: Any) -> int:
        if "map_files" in str(path):
            raise PermissionError(errno.EPERM, "Operation not permitted")
        return opened(path, *arguments, **settings)

    monkeypatch.setattr(looking.os, "open", open_)


def refuse_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(folder: str, address: int) -> bytes:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(looking, "_memory", refuse)


@contextmanager
def child(target: Callable[..., None], *arguments: Any, method: str = "spawn") -> Iterator[Any]:
    """A child with the other end of a pipe as its first argument; killed in the end."""
    context = multiprocessing.get_context(method)
    ours, theirs = context.Pipe()
    process = context.Process(target=target, args=(theirs, *arguments))
    process.start()
    theirs.close()
    try:
        assert ours.poll(TIMEOUT_S)
        yield process, ours
    finally:
        process.kill()
        process.join()
        process.close()
        ours.close()


def read_and_stay(pipe: Connection, array: Any) -> None:
    pipe.send(float(array.sum()))
    pipe.recv()


def share_and_stay(pipe: Connection) -> None:
    array = oc.share(np.arange(1000.0))
    pipe.send(nonce_of(array))
    pipe.recv()


def share_and_send(pipe: Connection) -> None:
    pipe.send(oc.share(np.arange(1000.0)))


# ---- what is told about one -----------------------------------------------------------------------


def test_a_segment_is_described_by_what_it_was_made_for() -> None:
    dtype = np.dtype([("chr", "S10"), ("pos", "<i4")])
    array = oc.shared_empty((300, 2), dtype)
    array["pos"] = 1
    found = the(nonce_of(array))
    assert found is not None
    assert (found.shape, found.dtype, found.nbytes) == ((300, 2), dtype, 300 * 2 * 14)
    assert found.made_at.startswith("test_census.py:")
    assert found.made_at.endswith(" in test_a_segment_is_described_by_what_it_was_made_for")
    assert found.made_by == os.getpid()
    assert found.age_s is not None
    assert 0 <= found.age_s < TIMEOUT_S
    assert found.allocated_bytes is not None
    assert found.allocated_bytes >= found.nbytes
    assert (found.frozen, found.travelling, found.arrived, found.path) == (False, 0, 0, "")
    (holder,) = found.holders
    assert (holder.pid, holder.how) == (os.getpid(), "mapped r+")
    assert holder.command
    assert holder.pss_bytes == found.pss_bytes >= found.nbytes
    assert holder.process_pss_bytes is not None
    assert holder.process_pss_bytes > holder.pss_bytes
    assert repr(found).startswith(
        f"<SharedSegment {found.nonce[:8]} (300, 2) [('chr', 'S10'), ('pos', '<i4')]"
    )
    assert f"held by {os.getpid()} (mapped r+)" in repr(found)


def test_memory_that_was_never_touched_is_not_allocated() -> None:
    array = oc.shared_empty((1 << 26,), "u1", reserve=False)
    array[5] = 1
    found = the(nonce_of(array))
    assert found is not None
    assert found.nbytes == 1 << 26
    assert 0 < found.allocated_bytes < 1 << 24
    assert 0 < found.pss_bytes < 1 << 24


def test_what_is_known_here_needs_no_look_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    # As in a process that has changed its user: /proc shows it its maps, and refuses its descriptors.
    array = oc.share(np.arange(5))
    readlink = os.readlink

    def refuse(path: str) -> str:
        if path.startswith(f"/proc/{os.getpid()}/fd"):
            raise PermissionError(errno.EACCES, "Permission denied")
        return readlink(path)

    monkeypatch.setattr(holders.os, "readlink", refuse)
    refuse_map_files(monkeypatch)
    refuse_memory(monkeypatch)
    found = the(nonce_of(array))
    assert found is not None
    assert (found.shape, found.frozen) == ((5,), False)
    assert nameless_here() == []


def test_freezing_shows() -> None:
    array = oc.share(np.arange(5)).freeze()
    found = the(nonce_of(array))
    assert found is not None
    assert found.frozen is True
    assert "frozen" in repr(found)


def test_how_it_is_mapped_shows() -> None:
    array = oc.share(np.arange(5))
    mine = oc.attach(array.token(), mode="c")
    found = the(nonce_of(array))
    assert found is not None
    assert [holder.how for holder in found.holders] == ["mapped r+/c"]
    del mine


def test_views_are_no_segments_of_their_own_and_the_last_one_keeps_it() -> None:
    array = oc.share(np.arange(100))
    nonce, view = nonce_of(array), array[50:]
    del array
    assert the(nonce) is not None
    del view
    assert the(nonce) is None


# ---- several processes ----------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_parent_and_child_hold_it_and_their_shares_add_up(method: str) -> None:
    array = oc.share(np.ones(500_000))
    array.sum()
    with child(read_and_stay, array, method=method) as (process, pipe):
        assert pipe.recv() == 500_000
        found = the(nonce_of(array))
        assert found is not None
        assert {holder.pid: holder.how for holder in found.holders} == {
            os.getpid(): "mapped r+",
            process.pid: "mapped r+",
        }
        for holder in found.holders:
            assert holder.pss_bytes == pytest.approx(array.nbytes / 2, rel=0.05)
        assert found.pss_bytes == pytest.approx(array.nbytes, rel=0.05)


def test_a_killed_child_is_no_holder_any_more() -> None:
    array = oc.share(np.ones(1000))
    with child(read_and_stay, array) as (process, pipe):
        assert pipe.recv() == 1000
        found = the(nonce_of(array))
        assert found is not None
        assert len(found.holders) == 2
        process.kill()
        process.join()
        found = the(nonce_of(array))
        assert found is not None
        assert [holder.pid for holder in found.holders] == [os.getpid()]


def test_the_arrays_of_another_process_are_listed_until_it_is_killed() -> None:
    with child(share_and_stay) as (process, pipe):
        nonce = pipe.recv()
        found = the(nonce)
        assert found is not None
        assert found.made_by == process.pid
        assert [holder.pid for holder in found.holders] == [process.pid]
        assert "share_and_stay" in found.made_at
        process.kill()
        process.join()
        assert the(nonce) is None


def test_a_program_that_never_loaded_outcore_is_a_holder_too() -> None:
    array = oc.share(np.arange(10))
    fd = array._segment.fd
    with subprocess.Popen(
        ["sleep", str(TIMEOUT_S)],
        pass_fds=[fd],
    ) as stranger:
        try:
            found = the(nonce_of(array))
            assert found is not None
            held = {holder.pid: (holder.how, holder.command, holder.pss_bytes) for holder in found.holders}
            assert held[stranger.pid] == ("descriptor", f"sleep {TIMEOUT_S}", None)
        finally:
            stranger.kill()


# ---- on their way ---------------------------------------------------------------------------------


def test_travelling_handles_are_counted_until_they_are_received() -> None:
    array = oc.share(np.arange(10))
    sent = [pickle.dumps(array), pickle.dumps(array[3:])]
    found = the(nonce_of(array))
    assert found is not None
    assert found.travelling == 2
    assert "2 travelling" in repr(found)
    pickle.loads(sent[0])
    found = the(nonce_of(array))
    assert found is not None
    assert found.travelling == 1
    assert found.release() == 1
    found = the(nonce_of(array))
    assert found is not None
    assert found.travelling == 0


def test_release_gives_up_a_handle_that_nobody_will_load() -> None:
    array = oc.share(np.arange(10))
    nonce, other = nonce_of(array), oc.share(np.arange(3))
    sent, kept = pickle.dumps(array), pickle.dumps(other)
    del array
    found = the(nonce)
    assert found is not None
    assert found.travelling == 1
    assert found.release() == 1
    assert the(nonce) is None
    assert found.release() == 0
    with pytest.raises(oc.errors.SegmentGoneError):
        pickle.loads(sent).sum()
    assert pickle.loads(kept).tolist() == [0, 1, 2]


@pytest.mark.parametrize("method", METHODS)
def test_a_descriptor_of_a_dead_child_that_waits_here_is_listed_and_can_be_released(method: str) -> None:
    with child(share_and_send, method=method) as (process, pipe):
        sent = pipe.recv_bytes()  # not loaded
        pid = process.pid
        process.join()
        waiting = [segment for segment in oc.segments() if segment.made_by == pid]
        assert [(segment.arrived, segment.shape) for segment in waiting] == [(1, (1000,))]
        assert [(h.pid, h.how, h.pss_bytes) for h in waiting[0].holders] == [
            (os.getpid(), "descriptor", None)
        ]
        assert "1 arrived" in repr(waiting[0])
        assert waiting[0].release() == 1
        assert the(waiting[0].nonce) is None
        with pytest.raises(oc.errors.SegmentGoneError):
            pickle.loads(sent).sum()


def test_looking_does_not_take_away_what_waits() -> None:
    with child(share_and_send) as (process, pipe):
        sent = pipe.recv_bytes()
        process.join()
        oc.segments()
        assert pickle.loads(sent).sum() == np.arange(1000.0).sum()


def test_looking_lets_go_of_what_others_have_received() -> None:
    array = oc.share(np.arange(10))
    nonce = nonce_of(array)
    sent = pickle.dumps(array)
    del array
    code = "import pickle, sys; sys.exit(int(pickle.loads(bytes.fromhex(sys.argv[1])).sum()))"
    assert subprocess.run([sys.executable, "-c", code, sent.hex()], check=False).returncode == 45
    assert the(nonce) is None


# ---- what only the kernel has ---------------------------------------------------------------------


@pytest.fixture
def bare_map() -> Iterator[tuple[np.ndarray, str]]:
    """A plain array on a segment whose descriptor was closed."""
    array = oc.share(np.arange(6.0))
    nonce, plain = nonce_of(array), array._segment.data
    del array
    yield plain, nonce
    del plain


def test_a_map_without_a_descriptor_is_found(bare_map: tuple[np.ndarray, str]) -> None:
    found = the(bare_map[1])
    assert found is not None
    assert found.shape == (6,)
    assert [(holder.pid, holder.how) for holder in found.holders] == [(os.getpid(), "mapped r+")]


def test_without_privileges_the_first_page_is_read_from_memory(
    bare_map: tuple[np.ndarray, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse_map_files(monkeypatch)
    found = the(bare_map[1])
    assert found is not None
    assert found.shape == (6,)
    assert found.allocated_bytes is None
    assert found.frozen is None


def test_where_nothing_can_be_read_memory_is_listed_all_the_same(
    bare_map: tuple[np.ndarray, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse_map_files(monkeypatch)
    refuse_memory(monkeypatch)
    assert the(bare_map[1]) is None
    (nameless,) = nameless_here()
    assert (nameless.made_at.partition(":")[0], nameless.shape) == ("test_census.py", None)
    assert nameless.nbytes >= 6 * 8
    assert nameless.release() == 0


def test_a_strangers_memory_of_that_name_is_no_segment() -> None:
    fd = os.memfd_create("outcore:stranger.py:1")
    try:
        os.pwrite(fd, b"not a header".ljust(5000, b"."), 0)
        assert [s for s in oc.segments() if not s.nonce or "stranger" in s.made_at] == []
    finally:
        os.close(fd)


# ---- systems without memfd ------------------------------------------------------------------------


@pytest.fixture
def files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The other way to make segments."""
    monkeypatch.setattr(sharing, "BACKEND", named)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_segments_with_files_are_listed(files: Path) -> None:
    assert [segment for segment in oc.segments() if segment.path] == []
    assert list(files.iterdir()) == []  # the folder is not made for looking
    array = oc.share(np.arange(1000))
    found = the(nonce_of(array))
    assert found is not None
    assert Path(found.path).parent.parent == files
    assert (found.shape, found.nbytes, found.frozen) == ((1000,), 8000, None)
    assert found.allocated_bytes is not None
    assert found.allocated_bytes >= 8000
    assert [(holder.pid, holder.how) for holder in found.holders] == [(os.getpid(), "mapped r+")]
    del array
    assert the(found.nonce) is None


def test_a_file_that_another_process_holds_is_listed_without_its_holders(files: Path) -> None:
    array = oc.share(np.arange(1000))
    nonce = nonce_of(array)
    code = (
        "import fcntl, sys; f = open(sys.argv[1], 'rb'); fcntl.flock(f, fcntl.LOCK_SH)\n"
        "print('held', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, array._segment.path]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        try:
            assert other.stdout is not None
            assert other.stdout.readline() == b"held\n"
            del array
            found = the(nonce)
            assert found is not None
            assert found.holders == ()
            assert "held by unknown processes" in repr(found)
        finally:
            other.kill()
            other.wait()
        assert the(nonce) is None  # what nobody holds any more is removed


def test_without_proc_the_arrays_of_this_process_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    array = oc.share(np.arange(5))
    monkeypatch.setattr(census, "scan", lambda: holders.scan("/proc/nowhere"))
    found = the(nonce_of(array))
    assert found is not None
    assert [(h.pid, h.how, h.pss_bytes) for h in found.holders] == [(os.getpid(), "mapped r+", None)]
