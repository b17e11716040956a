"""Names that count up, and types, as they are written in a schema."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from outcore.text.schema_text import as_runs, dtype_text, run_of

NAMES = st.one_of(
    st.text(max_size=3),
    st.integers(0, 30).map(lambda n: f"x{n}"),
    st.integers(0, 30).map(lambda n: f"x{n:02d}"),
    st.integers(0, 9).map(lambda n: "9" * n),
)


def spelled_out(runs: list) -> list[str]:
    return [
        name for run in runs for name in ([run] if isinstance(run, str) else run_of(run["from"], run["to"]))
    ]


@given(
    st.lists(NAMES, max_size=8),
    st.sampled_from(["x{}", "x{:02d}", "x{:03d}", "{}", "5_{}"]),
    st.integers(0, 12),
    st.integers(0, 120),
    st.lists(NAMES, max_size=8),
)
def test_runs_are_the_names(before: list[str], form: str, start: int, n: int, after: list[str]) -> None:
    names = [*before, *(form.format(i) for i in range(start, start + n)), *after]
    assert spelled_out(as_runs(names)) == names


def test_runs_are_short() -> None:
    assert as_runs([f"x{i}" for i in range(8, 200)]) == [{"from": "x8", "to": "x199"}]
    assert as_runs([f"x{i:03d}" for i in range(200)]) == [{"from": "x000", "to": "x199"}]
    assert as_runs(["x1", "x2", "y"]) == ["x1", "x2", "y"]


@pytest.mark.parametrize(
    ("first", "last"), [("a", "b"), ("x1", "y3"), ("x3", "x1"), ("x", "x3"), ("x1", "x")]
)
def test_what_does_not_count_up(first: str, last: str) -> None:
    assert run_of(first, last) is None


@given(st.sampled_from(["i1", "<i4", ">i4", "f8", "?", "S", "S7", "U", "U7", "M8[D]", "M8[25us]"]))
def test_types_are_read_as_they_are_written(text: str) -> None:
    assert np.dtype(dtype_text(np.dtype(text))) == np.dtype(text)
