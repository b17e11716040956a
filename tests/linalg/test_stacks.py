"""Stacks of matrices: found again from their parts, and only if they are whole."""

from __future__ import annotations

import pickle

import numpy as np

from outcore.linalg.dense import zeros
from outcore.linalg.stacks import whole


def test_the_parts_of_a_stack_lead_back_to_it() -> None:
    for stack in (np.zeros((4, 3, 3)), zeros((4, 300, 300))):
        assert whole(list(stack)) is stack
        assert whole([stack[k : k + 1][0] for k in range(4)]) is stack


def test_anything_else_is_no_stack() -> None:
    stack = np.zeros((3, 2, 2))
    others = np.zeros((3, 2, 2))
    assert whole([]) is None
    assert whole([stack[0], stack[1]]) is None
    assert whole([stack[1], stack[0], stack[2]]) is None
    assert whole([stack[0], others[1], stack[2]]) is None
    assert whole([matrix.copy() for matrix in stack]) is None
    assert whole(pickle.loads(pickle.dumps(list(stack)))) is None
