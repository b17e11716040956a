from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from outcore.storage.codecs import Chunk
from outcore.storage.placing import Box, Windows


@given(
    starts=st.lists(st.integers(0, 60), min_size=1, max_size=20),
    length=st.integers(1, 25),
    height=st.integers(1, 20),
)
def test_every_touched_band_is_found_once_with_the_windows_that_touch_it(
    starts: list[int], length: int, height: int
) -> None:
    windows = Windows(np.array(starts), length, np.empty((len(starts), length)))
    bands = windows.bands(height)
    touched = {row // height for start in starts for row in range(start, start + length)}
    assert bands.tolist() == sorted(touched)
    low, high = windows.touching(bands * height, height)
    for band, first, last in zip(bands.tolist(), low.tolist(), high.tolist(), strict=True):
        rows = range(band * height, (band + 1) * height)
        expected = [start for start in sorted(starts) if start < rows.stop and start + length > rows.start]
        assert windows.starts[first:last].tolist() == expected


@given(data=st.data())
def test_placing_a_chunk_equals_slicing_it(data: st.DataObject) -> None:
    height, width, size = (data.draw(st.integers(1, n)) for n in (12, 6, 8))
    first_row = data.draw(st.integers(0, 5)) * height
    n_rows = data.draw(st.integers(1, height))
    low = data.draw(st.integers(0, width - 1))
    sides = slice(low, data.draw(st.integers(low + 1, width)))
    length = data.draw(st.integers(1, 2 * height))
    touching = st.integers(max(first_row - length + 1, 0), first_row + n_rows - 1)
    starts = np.array(data.draw(st.lists(touching, min_size=1, max_size=9)))
    shuffled = data.draw(st.booleans()) and size > 1
    chunk = np.random.default_rng(0).integers(0, 256, (height, width, size), np.uint8)
    out = np.zeros((len(starts), length, sides.stop - sides.start), f"V{size}")
    expected = np.zeros((*out.shape, size), np.uint8)
    for slot, start in enumerate(starts):
        for row in range(max(start, first_row), min(start + length, first_row + n_rows)):
            expected[slot, row - start] = chunk[row - first_row, sides]
    windows = Windows(starts, length, out)
    stored = np.moveaxis(chunk, -1, 0) if shuffled else chunk
    box = Box(first_row, n_rows, (sides,), (slice(0, sides.stop - sides.start),), sides == slice(0, width))
    windows.place(Chunk(stored.reshape(-1).copy(), shuffled), (height, width), box, 0, len(starts))
    assert out.tobytes() == expected.tobytes()
