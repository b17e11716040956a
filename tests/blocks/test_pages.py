"""Mapped memory: zeros, aligned where it matters, given back with the last array."""

from __future__ import annotations

import gc
from pathlib import Path

import numpy as np
import pytest

from outcore.blocks.pages import LARGE_PAGE_BYTES, MAPPED_BYTES, mapped


@pytest.mark.parametrize("n_bytes", [0, 1, MAPPED_BYTES - 1, MAPPED_BYTES, LARGE_PAGE_BYTES, 5_000_001])
def test_bytes_are_zeros_that_can_be_written(n_bytes: int) -> None:
    memory = mapped((n_bytes,))
    assert memory.shape == (n_bytes,)
    assert not memory.any()
    memory[...] = 7
    assert (memory == 7).all()


def test_large_memory_begins_at_a_large_page() -> None:
    assert mapped((LARGE_PAGE_BYTES + 8,)).ctypes.data % LARGE_PAGE_BYTES == 0


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="the system does not tell what it holds")
def test_memory_goes_back_with_the_last_array() -> None:
    def resident_pages() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1])

    size = 64 << 20
    before = resident_pages()
    memory = mapped((size,))
    part = memory[: size // 2].view(np.float64)
    memory[...] = 1
    held = resident_pages()
    assert (held - before) * 4096 > size * 0.9
    del memory
    gc.collect()
    assert resident_pages() > held - 1000  # the part refers to all of it
    del part
    gc.collect()
    assert (held - resident_pages()) * 4096 > size * 0.9
