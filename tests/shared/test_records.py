"""Shared record arrays: fields as attributes, here and in every other process."""

from __future__ import annotations

import copy
import multiprocessing
import pickle

import numpy as np
import pytest

import outcore as oc
from tests.shared import roles

RECORDS = np.rec.array(
    [(1, 2.0, (b"x", 3)), (4, 5.0, (b"y", 6))],
    dtype=[("a", "i4"), ("b", "f8"), ("n", [("s", "S1"), ("k", "i2")])],
)


def test_a_record_array_keeps_its_fields_as_attributes_everywhere() -> None:
    shared = oc.share(RECORDS)
    loaded = pickle.loads(pickle.dumps(shared))
    attached = oc.attach(shared.token())
    for records in (shared, loaded, attached, shared[:], shared.T, shared.reshape(1, 2)[0]):
        assert isinstance(records, oc.SharedArray)
        assert isinstance(records, np.recarray)
        assert records.dtype == RECORDS.dtype
        assert records.dtype.type is np.record
        assert records.a.tolist() == records["a"].tolist() == records.field("a").tolist() == [1, 4]
        assert records.field(1).tolist() == [2.0, 5.0]
        assert records.n.k.tolist() == [3, 6]
        assert type(records.n) is type(records)
        assert type(records.a) is type(records.n.k) is type(records["b"]) is oc.SharedArray
        assert type(records[0]) is np.record
        assert records[1].n.s == b"y"
        assert "rec.array" in repr(records)
    shared.a = [7, 8]
    shared.field("b", 9.0)
    assert loaded.a.tolist() == [7, 8]
    assert loaded.b.tolist() == [9, 9]
    sent = [shared, shared.a, shared.n]
    with multiprocessing.get_context("forkserver").Pool(1) as pool:
        assert pool.apply(roles.facts_of_each, (sent,)) == roles.facts_of_each(sent)
        pool.close()
        pool.join()


def test_copies_of_a_record_array_are_those_of_numpy() -> None:
    shared = oc.share(RECORDS)
    plain = RECORDS.copy()
    for made, expected in [
        (shared.copy(), plain.copy()),
        (shared[[0]], plain[[0]]),
        (shared[shared.a > 1], plain[plain.a > 1]),
        (shared[[0]].a, plain[[0]].a),
        (np.sort(shared, order="a"), np.sort(plain, order="a")),
        (np.concatenate([shared, shared]), np.concatenate([plain, plain])),
        (copy.deepcopy(shared), copy.deepcopy(plain)),
        (shared.a + 1, plain.a + 1),
        (shared.a > 1, plain.a > 1),
        (pickle.loads(pickle.dumps(shared.copy())), plain),
        (np.asarray(shared), np.asarray(plain)),
    ]:
        assert type(made) is type(expected)
        np.testing.assert_array_equal(made, expected)


def test_a_missing_field_is_an_attribute_error_and_new_attributes_stay_possible() -> None:
    shared = oc.share(RECORDS)
    with pytest.raises(AttributeError, match="nothing"):
        _ = shared.nothing
    shared.note = "mine"
    assert shared.note == "mine"


def test_an_ndarray_of_records_is_no_record_array() -> None:
    shared = oc.share(np.asarray(RECORDS))
    assert type(shared) is oc.SharedArray
    assert type(pickle.loads(pickle.dumps(shared))) is oc.SharedArray
