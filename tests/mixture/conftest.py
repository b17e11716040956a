"""What the tests of the kernels have in common."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from outcore.executors.blas_threads import one_blas_thread


@pytest.fixture
def like_a_task() -> Iterator[None]:
    """BLAS with one thread, as in a task of a pass; small products in two threads wait for each other."""
    with one_blas_thread():
        yield
