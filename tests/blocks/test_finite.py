"""NaN and infinity: refused, by row."""

from __future__ import annotations

import numpy as np
import pytest

import outcore as oc
from outcore.blocks.finite import refuse_nonfinite


@pytest.mark.parametrize(
    ("value", "word"), [(np.nan, "NaN"), (np.inf, r"infinity \(inf\)"), (-np.inf, r"minus infinity \(-inf\)")]
)
def test_the_first_one_is_named(value: float, word: str) -> None:
    a = np.zeros((5, 3))
    a[2, 1] = a[4, 0] = value
    with pytest.raises(oc.errors.NonFiniteError, match=rf"X holds {word} in row 102, column 1; products"):
        refuse_nonfinite(a, 100)
    with pytest.raises(oc.errors.NonFiniteError, match=rf"weights holds {word} in row 2; products"):
        refuse_nonfinite(a[:, 1], what="weights")


@pytest.mark.parametrize("a", [np.zeros((0, 3)), np.ones((2, 2)), np.arange(3), np.array([1e308])])
def test_numbers_are_fine(a: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> None:
    refuse_nonfinite(a)
