"""One BLAS thread for each task, and as many as before afterwards."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator

import pytest
import threadpoolctl

from outcore.executors import blas_threads
from outcore.executors.blas_threads import one_blas_thread


def counts() -> list[int]:
    return [lib["num_threads"] for lib in threadpoolctl.threadpool_info() if lib["user_api"] == "blas"]


@pytest.fixture(autouse=True)
def several() -> Iterator[None]:
    import scipy.linalg.blas

    assert scipy.linalg.blas
    with threadpoolctl.threadpool_limits(3, user_api="blas"):
        if set(counts()) != {3}:
            pytest.skip("this BLAS has one thread in any case")
        yield


def test_one_inside_as_before_outside_also_nested_and_after_an_error() -> None:
    with one_blas_thread():
        assert set(counts()) == {1}
        with pytest.raises(ZeroDivisionError), one_blas_thread():
            raise ZeroDivisionError
        assert set(counts()) == {1}
    assert set(counts()) == {3}


def test_the_last_thread_that_leaves_restores_it() -> None:
    inside, leave = threading.Barrier(2), threading.Event()
    seen = []

    def other() -> None:
        with one_blas_thread():
            inside.wait()
            leave.wait()
            seen.append(set(counts()))

    thread = threading.Thread(target=other)
    with one_blas_thread():
        thread.start()
        inside.wait()
    assert set(counts()) == {1}
    leave.set()
    thread.join()
    assert seen == [{1}]
    assert set(counts()) == {3}


def test_many_threads_that_come_and_go() -> None:
    wrong = []

    def come_and_go() -> None:
        for _ in range(50):
            with one_blas_thread():
                if set(counts()[:1]) != {1}:
                    wrong.append(counts())

    threads = [threading.Thread(target=come_and_go) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert set(counts()) == {3}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_a_forked_child_counts_for_itself() -> None:
    with one_blas_thread():
        if (pid := os.fork()) == 0:
            good = set(counts()) == {3}
            with one_blas_thread():
                good = good and set(counts()) == {1}
            os._exit(not (good and set(counts()) == {3}))
        assert os.waitpid(pid, 0)[1] == 0
        assert set(counts()) == {1}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_a_fork_while_another_thread_changes_the_number_hangs_nobody() -> None:
    stop = threading.Event()

    def change() -> None:
        while not stop.is_set():
            with one_blas_thread():
                pass

    thread = threading.Thread(target=change)
    thread.start()
    try:
        for _ in range(10):
            if (pid := os.fork()) == 0:
                with one_blas_thread():
                    os._exit(set(counts()) != {1})
            assert os.waitpid(pid, 0)[1] == 0
    finally:
        stop.set()
        thread.join()


def test_libraries_are_looked_for_again_when_modules_were_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    with one_blas_thread():
        known = blas_threads._limit.of_process
        assert known
    with one_blas_thread():
        assert blas_threads._limit.of_process is known
    monkeypatch.setattr(blas_threads._limit, "n_modules", 0)
    with one_blas_thread():
        assert blas_threads._limit.of_process is not known


class PerThread:
    """A library with a number for each thread, as MKL."""

    internal_api = "mkl"
    user_api = "blas"

    def __init__(self) -> None:
        self.local = threading.local()

    def get_num_threads(self) -> int:
        return getattr(self.local, "n", 8)

    def set_num_threads(self, n: int) -> None:
        self.local.n = n


def test_libraries_with_a_number_for_each_thread_are_set_in_each(monkeypatch: pytest.MonkeyPatch) -> None:
    library = PerThread()
    with one_blas_thread():
        pass
    monkeypatch.setattr(blas_threads._limit, "of_thread", [library])
    seen = []

    def compute() -> None:
        with one_blas_thread():
            seen.append(library.get_num_threads())
        seen.append(library.get_num_threads())

    with one_blas_thread():
        thread = threading.Thread(target=compute)
        thread.start()
        thread.join()
        assert library.get_num_threads() == 1
    assert library.get_num_threads() == 8
    assert seen == [1, 8]
