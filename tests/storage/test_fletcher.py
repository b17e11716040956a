from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from outcore.storage.fletcher import fletcher32


def fletcher32_word_by_word(data: bytes) -> int:
    first = second = 0
    for low in range(0, len(data), 2):
        first += int.from_bytes(data[low : low + 2].ljust(2, b"\0"), "big")
        second += first
    return ((second - 1) % 65535 + 1 if second else 0) << 16 | ((first - 1) % 65535 + 1 if first else 0)


@given(st.binary(max_size=300))
@example(b"")
@example(b"\0" * 9)
@example(b"\xff" * 400)
@example(b"\xff\xff" + b"\0" * 50)
def test_the_checksum_is_that_of_its_definition(data: bytes) -> None:
    assert fletcher32(np.frombuffer(data, np.uint8)) == fletcher32_word_by_word(data)


@pytest.mark.parametrize("n_bytes", [1, 2, 3, 719, 720, 721, 722, 65_536, 100_001])
@pytest.mark.parametrize("fill", [None, 0, 255])
def test_the_checksum_is_that_of_hdf5(tmp_path: Path, n_bytes: int, fill: int | None) -> None:
    rows = np.full(n_bytes, fill or 0, np.uint8)
    if fill is None:
        rows = np.random.default_rng(0).integers(0, 256, n_bytes, np.uint8)
    with h5py.File(tmp_path / "x.h5", "w") as file:
        made = file.create_dataset("x", data=rows, chunks=rows.shape, fletcher32=True)
        _, raw = made.id.read_direct_chunk((0,))
    assert bytes(raw[-4:]) == fletcher32(rows).to_bytes(4, "little")
