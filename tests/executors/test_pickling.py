"""Objects as bytes, with and without cloudpickle."""

from __future__ import annotations

import pickle
import sys
import threading
from typing import Any

import numpy as np
import pytest

import outcore as oc
from outcore.errors import DTypeError, ExecutorError
from outcore.executors.pickling import dumps
from tests.executors import tasks


class Raises:
    def __init__(self, error: Exception) -> None:
        self.error = error

    def __reduce__(self) -> Any:
        raise self.error


def test_functions_of_modules_travel_by_name_and_buffers_apart() -> None:
    buffers: list[pickle.PickleBuffer] = []
    data = dumps((tasks.item, np.zeros(10_000)), buffers)
    assert len(data) < 500
    function, array = pickle.loads(data, buffers=buffers)
    assert function is tasks.item
    assert array.shape == (10_000,)


def test_lambdas_travel_by_value_where_cloudpickle_is_installed() -> None:
    pytest.importorskip("cloudpickle")
    offset = 3
    buffers: list[pickle.PickleBuffer] = []
    function, array = pickle.loads(dumps((lambda x: x + offset, np.ones(9)), buffers), buffers=buffers)
    assert function(4) == 7
    assert array.sum() == 9
    assert len(buffers) == 1  # not those of the first attempt too


def test_without_cloudpickle_the_error_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cloudpickle", None)
    with pytest.raises(ExecutorError, match=r"lambda[\s\S]*pip install cloudpickle"):
        dumps(lambda x: x)


def test_what_never_travels_is_refused() -> None:
    with pytest.raises(ExecutorError, match=r"lock[\s\S]*executor=None"):
        dumps(threading.Lock())


def test_our_own_errors_and_a_lack_of_memory_are_not_disguised() -> None:
    with pytest.raises(MemoryError):
        dumps(Raises(MemoryError()))
    shared = oc.share(np.zeros(3))
    private = oc.attach(shared.token(), mode="c")
    with pytest.raises(DTypeError):
        dumps(private)
