"""Sources as a sequence."""

from __future__ import annotations

from pathlib import Path

import pytest

from outcore.text.sources import find


def test_indices_and_slices_are_those_of_a_list(tmp_path: Path) -> None:
    for i in range(5):
        (tmp_path / f"{i}.csv").write_bytes(b"x" * i)
    sources = find(tmp_path)
    one_by_one = [sources[i] for i in range(5)]
    assert list(sources) == one_by_one
    assert sources[-2] == one_by_one[-2]
    assert sources[1:4] == one_by_one[1:4]
    assert sources[::-2] == one_by_one[::-2]
    assert one_by_one[3] in sources
    assert sources.nbytes == 0 + 1 + 2 + 3 + 4
    for index in (5, -6):
        with pytest.raises(IndexError, match=f"source {index} of 5"):
            sources[index]
