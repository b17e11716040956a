"""The arguments of an ingest that are not about the text."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from outcore.errors import OptionError
from outcore.text.columns import Values
from outcore.text.dialect import Dialect
from outcore.text.parse import Plan
from outcore.text.request import Request
from outcore.text.schema import Column, Schema
from outcore.text.wishes import Wishes


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"on_error": "skip"}, "on_error='skip' is not known"),
        ({"on_error": None}, "on_error=None is not known"),
        ({"max_rejects": -1, "on_error": "reject"}, "max_rejects=-1 is not a number"),
        ({"max_rejects": True, "on_error": "reject"}, "max_rejects=True is not a number"),
        ({"max_rejects": 1.5, "on_error": "reject"}, r"max_rejects=1\.5 is not a number"),
        ({"max_rejects": 3}, 'max_rejects=3 needs on_error="reject"'),
    ],
)
def test_arguments_that_make_no_sense(options: dict[str, Any], words: str) -> None:
    with pytest.raises(OptionError, match=words):
        Request(Wishes(), **options).check()


@pytest.mark.parametrize("limit", [0, 5, np.int64(3)])
def test_arguments_that_make_sense(limit: Any) -> None:
    Request(Wishes()).check()
    Request(Wishes(), on_error="reject", max_rejects=limit).check()


def test_two_requests_are_compared_by_what_the_result_depends_on() -> None:
    one = Request(Wishes("a:i4"), memory="1GB", workers=1, progress=False, overwrite=True)
    assert one.as_json() == Request(Wishes(np.dtype([("a", "i4")]))).as_json()
    for other in ({"truncate": True}, {"on_error": "mask"}, {"chunks": (1,)}, {"compression": "gzip"}):
        assert Request(Wishes("a:i4"), **other).as_json() != one.as_json()


@pytest.mark.parametrize(
    ("dtype", "fill", "good"), [("f4", None, True), ("i4", None, False), ("i4", 0, True)]
)
def test_cells_are_masked_only_where_something_stands_for_missing(
    dtype: str, fill: float | None, good: bool
) -> None:
    schema = Schema(("a",), (Column(0, "a", np.dtype(dtype)),), matrix=True)
    plan = Plan(Dialect(","), schema, Values((), fill, "."))
    request = Request(Wishes(), on_error="mask")
    if good:
        assert request.with_policy(plan).on_error == "mask"
        return
    with pytest.raises(OptionError, match="fill=VALUE"):
        request.with_policy(plan)
