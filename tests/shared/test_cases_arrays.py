"""Case 16 of what other ways of sharing memory fail at: kinds of arrays. Each names the public thread."""

from __future__ import annotations

import copy
import multiprocessing
import pickle
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import numpy as np
import pytest

import outcore as oc
from outcore.errors import DTypeError, SegmentGoneError
from outcore.shared import travel
from outcore.testing import example
from tests import strategies
from tests.shared import roles

ALIGNED = np.dtype([("a", "i1"), ("b", "f8"), ("c", "S3")], align=True)
PACKED = np.dtype([("a", "i1"), ("b", "f8"), ("c", "S3")])
NUMBERS = np.arange(120.0).reshape(2, 3, 4, 5)


def kinds() -> dict[str, Any]:
    """Shared arrays of every kind, by the reason why it is among them."""
    made = {
        "zero-size": oc.shared_empty(0),
        "zero-size with a shape": oc.shared_empty((3, 0, 2), "i2"),
        "0-d": oc.share(5),
        "0-d structure": oc.share(np.zeros((), ALIGNED)),
        "one value": oc.share([7]),
        "negative strides": oc.share(NUMBERS)[::-1, :, ::-2],
        "Fortran order": oc.share(np.asfortranarray(NUMBERS)),
        "not contiguous": oc.share(NUMBERS)[:, 1:, ::3, 2],
        "transposed": oc.share(NUMBERS).transpose(2, 0, 3, 1),
        "a new axis": oc.share(NUMBERS)[:, None, 1],
        "broadcast": np.broadcast_to(oc.share(np.arange(3)), (4, 3), subok=True),
        "empty slice": oc.share(NUMBERS)[1:1],
        "windows": np.lib.stride_tricks.sliding_window_view(oc.share(np.arange(9)), 4, subok=True),
        "aligned structure": oc.share(np.zeros(3, ALIGNED)),
        "packed structure": oc.share(np.ones(3, PACKED)),
        "field": oc.share(np.ones(3, PACKED))["b"],
        "several fields": oc.share(np.ones(3, PACKED))[["c", "a"]],
        "records": oc.share(np.rec.array([(1, 2.0)], names="a,b")),
        "diagonal": np.diagonal(oc.share(np.eye(3))),
        "read-only": oc.share([1, 2]).freeze(),
        "other dtype": oc.share(np.arange(4.0)).view("u1"),
    }
    return made | {f"dtype {dtype}": oc.share(example((3, 2), dtype)) for dtype in strategies.DTYPES}


@pytest.mark.parametrize("method", roles.METHODS)
def test_16_every_kind_of_array_arrives_as_it_was_sent(method: str) -> None:
    # pytorch#5719 and rainwoodman/sharedmem#21 (zero sizes), joblib#1704 (strides), ray#37573 (records).
    sent = kinds()
    with ProcessPoolExecutor(1, multiprocessing.get_context(method)) as pool:
        seen = pool.submit(roles.facts_of_each, list(sent.values())).result()
        back = pool.submit(identity, list(sent.values())).result()
    for (kind, array), facts, returned in zip(sent.items(), seen, back, strict=True):
        expected = roles.facts(array)
        assert facts == expected, kind
        assert roles.facts(returned) == expected, kind
        assert not array.size or np.shares_memory(returned, array), kind


def identity(arrays: list[Any]) -> list[Any]:
    return arrays


def test_16_what_cannot_be_shared_is_refused_by_name() -> None:
    # cpython#87357: object arrays are taken, and are addresses of another process.
    with pytest.raises(DTypeError, match="holds Python objects"):
        oc.share(np.array([{}, []], object))
    with pytest.raises(DTypeError, match="holds text of variable width"):
        oc.share(np.array(["a", "bcd"], np.dtypes.StringDType()))
    with pytest.raises(DTypeError, match="masked array"):
        oc.share(np.ma.masked_array([1, 2], [True, False]))


@pytest.mark.parametrize("rows", [slice(0, 1), slice(None), slice(None, None, -3)])
def test_16_pickling_a_view_of_30_gb_sends_bytes_of_metadata_only(rows: slice) -> None:
    # numpy#2049, #25561: a pickle of a view of a memory map holds its data.
    huge = oc.shared_empty((3_000_000, 1250), "f8", reserve=False)
    assert len(pickle.dumps(huge[rows])) < 500
    assert len(pickle.dumps([huge[i : i + 1] for i in range(10)])) < 5000
    travel.release()


def test_16_copy_and_deepcopy_really_copy() -> None:
    shared = oc.share(NUMBERS)
    for made in (
        copy.copy(shared),
        copy.deepcopy(shared),
        copy.deepcopy({"a": [shared]})["a"][0],
        shared.copy(),
    ):
        assert type(made) is np.ndarray
        assert not np.shares_memory(made, shared)
        np.testing.assert_array_equal(made, NUMBERS)


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_16_two_views_of_one_segment_arrive_sharing_one_map(method: str) -> None:
    # torch's _test_preserve_sharing.
    shared = oc.share(np.arange(10))
    with ProcessPoolExecutor(1, multiprocessing.get_context(method)) as pool:
        assert pool.submit(write_one_read_other, shared[:6], [shared[4:]]).result() == (-1, 1)
    assert shared[5] == -1


def write_one_read_other(one: Any, others: list[Any]) -> tuple[int, int]:
    one[-1] = -1
    return int(others[0][1]), len({id(array._segment) for array in (one, *others)})


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_16_a_pool_is_not_hung_by_an_array_that_cannot_be_received(method: str) -> None:
    # rainwoodman/sharedmem#21: an error while unpickling ends the thread that a Pool receives with.
    with multiprocessing.get_context(method).Pool(1) as pool:
        shared = oc.share(np.arange(3))
        nonce, pickled = shared._segment.nonce, pickle.dumps(shared)
        travel.release(nonce)
        del shared
        assert pool.apply_async(look, (Pickled(pickled),)).get(roles.PATIENCE_S) == "SegmentGoneError"
        back = pool.apply_async(return_lost, (Pickled(pickled),)).get(roles.PATIENCE_S)
        with pytest.raises(SegmentGoneError):
            back.sum()
        assert pool.apply_async(abs, (-1,)).get(roles.PATIENCE_S) == 1
        pool.close()
        pool.join()


class Pickled:
    """What is sent as a pickle that was made before."""

    def __init__(self, pickled: bytes) -> None:
        self.pickled = pickled

    def __reduce__(self) -> Any:
        return pickle.loads, (self.pickled,)


def look(array: Any) -> str:
    try:
        return str(array.sum())
    except SegmentGoneError as error:
        return type(error).__name__


def return_lost(array: Any) -> Any:
    return array
