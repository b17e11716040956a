"""Fixtures for the tests of every layer."""

from __future__ import annotations

import os
from collections.abc import Callable

import hypothesis
import pytest

from tests import cgroup as memory_cgroup

# No deadline for one example: the machine is shared, and the deadline of the whole test holds. On a
# continuous integration machine the examples are the same in every run.
hypothesis.settings.register_profile(
    "outcore", deadline=None, max_examples=50, derandomize=os.environ.get("CI") == "true", print_blob=True
)
hypothesis.settings.load_profile("outcore")


@pytest.fixture
def cgroup() -> Callable[..., memory_cgroup.Outcome]:
    """Run a command under a real memory limit; skip the test where the machine does not allow it."""
    try:
        memory_cgroup.check()
    except memory_cgroup.Unavailable as reason:
        pytest.skip(f"needs a memory cgroup of its own: {reason}")
    return memory_cgroup.run_limited
