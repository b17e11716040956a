"""Fractions for Hypothesis.

Hands to   : the tests of loader.splitting and loader.grouping
"""

from __future__ import annotations

from hypothesis import strategies as st

SHARES = st.lists(st.integers(1, 9), min_size=1, max_size=4)


def as_fractions(shares: list[int], rest: int) -> list[float]:
    total = sum(shares) + rest
    return [share / total for share in shares]
