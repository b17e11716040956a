"""The plan of a fit that takes memory besides its passes."""

from __future__ import annotations

import numpy as np
import pytest

import outcore as oc


def test_the_plan_shows_the_sample_where_it_takes_more_than_a_pass() -> None:
    x = np.zeros((20_000, 50))
    plan = oc.plan(oc.KMeans(3).fit, x, None)
    wide = oc.plan(oc.KMeans(3, init_rows=20_000).fit, x)
    given = oc.plan(oc.KMeans(3, init=x[:3]).fit, x)
    assert list(wide.parts) == ["rows to begin with"]
    assert wide.peak_bytes > 8 * 20_000 * 50
    assert "rows to begin with" not in given.parts
    assert plan.peak_bytes >= given.peak_bytes


def test_a_sample_beyond_the_budget_is_refused_before_anything_is_read() -> None:
    x = np.full((20_000, 50), np.nan)
    with oc.options(memory="6MB"), pytest.raises(oc.errors.MemoryBudgetError, match="rows to begin with"):
        oc.KMeans(3, init_rows=20_000).fit(x)
