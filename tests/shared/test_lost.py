"""What stands for an array that cannot be received: harmless until it is used."""

from __future__ import annotations

import copy
import operator
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from outcore.errors import HandleLimitError, OutcoreError, SegmentGoneError
from outcore.shared.lost import LostArray

ERRORS = [
    SegmentGoneError("the shared array of process 7 is gone: it ended.\nKeep it."),
    HandleLimitError(24, "no descriptor\nRaise the limit."),
]


@pytest.fixture(params=ERRORS, ids=lambda error: type(error).__name__)
def lost(request: pytest.FixtureRequest) -> LostArray:
    return LostArray(request.param, (3,), np.dtype("f4"))


UNARY = [operator.neg, operator.pos, operator.abs, operator.invert, bool, float, int, complex, operator.index]
BINARY = [
    *[operator.add, operator.sub, operator.mul, operator.truediv, operator.floordiv, operator.mod, divmod],
    *[operator.pow, operator.matmul, operator.and_, operator.or_, operator.xor, operator.lshift],
    *[operator.rshift, operator.eq, operator.ne, operator.lt, operator.le, operator.gt, operator.ge],
]
USES: dict[str, Callable[[Any], Any]] = {
    **{f"unary {f.__name__}": f for f in UNARY},
    **{f"{f.__name__} right": lambda lost, f=f: f(lost, 1) for f in BINARY},
    **{f"{f.__name__} left": lambda lost, f=f: f(1, lost) for f in BINARY},
    **{f"{f.__name__} array": lambda lost, f=f: f(np.ones(3, int), lost) for f in BINARY},
    "sum": lambda lost: lost.sum(),
    "shape": lambda lost: lost.shape,
    "hasattr": lambda lost: hasattr(lost, "dtype"),
    "len": len,
    "iterate": list,
    "item": lambda lost: lost[0],
    "set item": lambda lost: operator.setitem(lost, 0, 1),
    "delete item": lambda lost: operator.delitem(lost, 0),
    "set attribute": lambda lost: setattr(lost, "x", 1),
    "contains": lambda lost: 1 in lost,
    "asarray": np.asarray,
    "array of it": lambda lost: np.array([lost]),
    "ufunc": np.sin,
    "function": np.sum,
    "concatenate": lambda lost: np.concatenate([lost, lost]),
    "copyto": lambda lost: np.copyto(np.ones(3), lost),
    "in place": lambda lost: operator.iadd(np.ones(3), lost),
    "out": lambda lost: np.save("x.npy", lost),
}


@pytest.mark.parametrize("use", USES)
def test_every_use_raises_the_reason(lost: LostArray, use: str, tmp_path: Any, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OutcoreError) as caught:
        USES[use](lost)
    assert type(caught.value) is type(lost.__dict__["_error"])
    assert caught.value.args == lost.__dict__["_error"].args
    assert caught.value is not lost.__dict__["_error"]  # which would collect tracebacks


def test_it_says_what_it_is_without_raising(lost: LostArray) -> None:
    assert repr(lost).startswith("<outcore.LostArray shape=(3,) dtype=float32: ")
    assert "\n" not in repr(lost)
    assert str(lost) == f"{lost}" == repr(lost)
    with pytest.raises(TypeError, match="unhashable"):
        hash(lost)


@pytest.mark.parametrize("again", [lambda lost: pickle.loads(pickle.dumps(lost)), copy.copy, copy.deepcopy])
def test_it_travels_on(lost: LostArray, again: Callable[[Any], Any]) -> None:
    moved = again(lost)
    assert repr(moved) == repr(lost)
    with pytest.raises(type(lost.__dict__["_error"]), match=r"descriptor|gone"):
        len(moved)
