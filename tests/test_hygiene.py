"""The check that every test undergoes, tried on tests that leave something behind."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor, ProcessPoolExecutor
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path

import pytest

from tests import hygiene

pytestmark = pytest.mark.skipif(not hygiene.HAVE_PROC, reason="needs /proc")


@pytest.fixture
def left(monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[str]]:
    monkeypatch.setattr(hygiene, "GRACE_S", 0.1)
    before = hygiene.snapshot()
    return lambda: hygiene.left_since(before)


def test_an_open_file_is_named(left: Callable[[], list[str]], tmp_path: Path) -> None:
    fd = os.open(tmp_path / "x", os.O_CREAT)
    assert left() == [f"file descriptor {fd}: {tmp_path / 'x'}"]
    os.close(fd)
    assert left() == []


def test_a_daemon_thread_is_named(left: Callable[[], list[str]]) -> None:
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait, name="straggler", daemon=True)
    thread.start()
    assert left() == ["thread 'straggler' (daemon=True)"]
    stop.set()
    thread.join()
    assert left() == []


def test_a_child_is_named(left: Callable[[], list[str]]) -> None:
    with subprocess.Popen(["sleep", "60"], env={}) as child:
        (line,) = left()
        child.kill()
    assert line.startswith(f"process {child.pid} ")
    assert "sleep 60" in line
    assert left() == []


@pytest.mark.parametrize("how", ["fork", "exec"])
def test_an_orphan_is_named(left: Callable[[], list[str]], how: str) -> None:
    # A child that starts a grandchild and ends: nothing leads from us to the grandchild.
    read, write = os.pipe()
    child = os.fork()
    if child == 0:  # no exception may leave this branch
        if how == "exec":
            pid = subprocess.Popen(["sleep", "60"]).pid
        else:
            pid = os.fork()
            if pid == 0:
                time.sleep(60)
                os._exit(0)
        os.write(write, str(pid).encode())
        os._exit(0)
    os.waitpid(child, 0)
    os.close(write)
    orphan = int(os.read(read, 20))
    os.close(read)
    found = [line for line in left() if line.startswith(f"process {orphan} ")]
    os.kill(orphan, 9)
    assert len(found) == 1


def test_a_shared_memory_segment_is_named(left: Callable[[], list[str]]) -> None:
    segment = SharedMemory(create=True, size=100)
    assert f"shared memory file /dev/shm/{segment.name}" in left()
    segment.close()
    segment.unlink()
    assert left() == []


def test_a_segment_of_another_program_is_not_ours(left: Callable[[], list[str]]) -> None:
    code = (
        "from multiprocessing.shared_memory import SharedMemory as S\n"
        "s = S(create=True, size=9); print(s.name, flush=True); input(); s.close(); s.unlink()"
    )
    # Its parent is us, which a foreign program's is not; `is_ours` is what tells them apart.
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        name = other.stdout.readline().strip()
        assert any(name in line for line in left())
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(hygiene, "is_ours", lambda pid: pid == os.getpid())
            assert not any(name in line for line in left())
        other.communicate("\n")


@pytest.mark.parametrize("start", ["fork", "spawn", "forkserver"])
def test_a_pool_that_was_closed_leaves_nothing(left: Callable[[], list[str]], start: str) -> None:
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context(start)) as pool:
        assert list(pool.map(abs, [-1, 2])) == [1, 2]
    del pool
    assert left() == []


def test_a_pool_that_was_not_closed_is_named(left: Callable[[], list[str]]) -> None:
    pool = ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("forkserver"))
    assert pool.submit(abs, -1).result() == 1
    assert any(line.startswith("process ") for line in left())  # a child of the forkserver, not of ours
    pool.shutdown()


def test_loky_that_was_closed_leaves_nothing(left: Callable[[], list[str]]) -> None:
    from loky import ProcessPoolExecutor as LokyExecutor

    pool: Executor = LokyExecutor(1)
    assert list(pool.map(abs, [-1, 2])) == [1, 2]
    pool.shutdown()
    del pool
    assert left() == []


def test_polars_keeps_its_runtime(left: Callable[[], list[str]], tmp_path: Path) -> None:
    import polars as pl

    (tmp_path / "x.csv").write_text("a,b\n1,2\n")
    assert pl.read_csv(tmp_path / "x.csv").shape == (1, 2)
    assert left() == []


def test_a_test_that_leaves_something_fails(tmp_path: Path) -> None:
    root = Path(__file__).parents[1]
    (tmp_path / "test_leaky.py").write_text("import os\n\n\ndef test_leaky():\n    os.dup(0)\n")
    options = ["-q", "-c", str(root / "pyproject.toml"), "--rootdir", str(root), "-p", "conftest"]
    run = subprocess.run(
        [sys.executable, "-m", "pytest", *options, "-p", "no:cacheprovider", str(tmp_path / "test_leaky.py")],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(root)},
    )
    assert run.returncode == 1, run.stdout
    assert "the test left behind:\n  file descriptor" in run.stdout.replace("E   ", "")
