"""Objects on their way: what comes out is what went in, and only addresses travel."""

from __future__ import annotations

import gc
import pickle
from typing import Any

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import outcore as oc
from outcore.errors import SegmentGoneError
from outcore.executors.parcel import SHARE_BYTES, Parcel, pack

LARGE = SHARE_BYTES // 8 + 1
ARRAYS = hnp.arrays(
    st.sampled_from([np.dtype(d) for d in ("f8", "i2", "?", "S3", "c16", "M8[s]")]),
    hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4),
)


def sent(parcel: Parcel, protocol: int) -> Parcel:
    received: Parcel = pickle.loads(pickle.dumps(parcel, protocol=protocol))
    return received


def equal(a: Any, b: Any) -> bool:
    return bool(a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes())


@given(st.lists(ARRAYS, max_size=4), st.booleans(), st.sampled_from([4, 5]), st.booleans(), st.booleans())
def test_what_comes_out_is_what_went_in(
    arrays: list[Any], large: bool, protocol: int, writable: bool, share: bool
) -> None:
    arrays = [*arrays, np.asfortranarray(np.arange(12.0).reshape(3, 4)), np.arange(20)[::3]]
    if large:
        arrays.append(np.arange(float(LARGE)))
    parcel = pack({"arrays": arrays, "text": "x"}, share=share)
    assert parcel.shared is (large and share)
    for received in (parcel, sent(parcel, protocol), sent(parcel.by_address(), protocol)):
        opened = received.open(writable=writable)
        assert opened["text"] == "x"
        assert all(map(equal, opened["arrays"], arrays))
        if parcel.shared:
            assert {a.flags.writeable for a in opened["arrays"] if a.size and a.base is not None} <= {
                writable,
                True,  # what is not contiguous is part of the pickle
            }


def test_a_pickle_holds_the_address_whatever_the_size() -> None:
    parcel = pack([np.zeros(LARGE), np.zeros(100_000)], share=True)
    assert len(pickle.dumps(parcel.by_address())) < 1000
    ticketed = pickle.dumps(parcel)
    assert len(ticketed) < 1500
    pickle.loads(ticketed)  # received, so nobody waits for it any more
    assert parcel.nbytes > 8 * (LARGE + 100_000)


def test_an_array_in_shared_memory_begins_on_a_boundary() -> None:
    parcel = pack([np.zeros(3, np.uint8), np.zeros(LARGE), np.zeros(5, np.int16), np.ones(7)], share=True)
    opened = parcel.open(writable=False)
    assert [array.ctypes.data % 64 for array in opened] == [0, 0, 0, 0]


def test_placed_arrays_are_read_only_and_results_are_not() -> None:
    for n in (3, LARGE):
        parcel = pack(np.zeros(n), share=True)
        for received in (sent(parcel, 5), sent(parcel, 4)):
            assert not received.open(writable=False).flags.writeable
            result = received.open(writable=True)
            result[0] += 1
            assert result[0] in (1, 2)  # 2: the same memory as the first one's


def test_the_memory_lives_as_long_as_what_was_opened() -> None:
    def mine() -> int:
        gc.collect()
        return sum(segment.nbytes >= 8 * LARGE for segment in oc.segments())

    before = mine()
    parcel = pack(np.arange(float(LARGE)), share=True)
    opened = parcel.open(writable=False)
    address = parcel.by_address()
    del parcel
    assert mine() == before + 1
    assert opened[-1] == LARGE - 1
    assert address.open(writable=False)[-1] == LARGE - 1
    del opened
    assert mine() == before
    with pytest.raises(SegmentGoneError):
        address.open(writable=False)


def test_shared_arrays_inside_travel_as_what_they_are() -> None:
    shared = oc.share(np.zeros(LARGE))
    opened = pack({"x": shared}, share=True).open(writable=False)
    shared[3] = 7
    assert opened["x"][3] == 7


def test_a_small_parcel_takes_no_segment() -> None:
    before = len(oc.segments())
    parcel = pack(np.zeros(10), share=True)
    assert not parcel.shared
    assert len(oc.segments()) == before
    assert parcel.by_address() is parcel
