"""What was asked for, in one form."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import outcore as oc
from outcore.text.wishes import Wishes


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Wishes("f4"), Wishes(np.float32)),
        (Wishes("a:i4 b:S3"), Wishes(np.dtype([("a", "i4"), ("b", "S3")]))),
        (Wishes(comment="", quote=None), Wishes(quote="")),
        (Wishes(encoding="L1"), Wishes(encoding="latin-1")),
        (Wishes(names="a,b"), Wishes(names=("a", "b"))),
        (Wishes(columns="a"), Wishes(columns=["a"])),
        (Wishes(columns=np.arange(2)), Wishes(columns=[0, 1])),
        (Wishes(columns=np.int64(2)), Wishes(columns=[2])),
        (Wishes(categories="a,b"), Wishes(categories={"a": None, "b": None})),
        (Wishes(categories={"a": ["x"]}), Wishes(categories={"a": ("x",)})),
        (Wishes(na_values="NA"), Wishes(na_values=["NA"])),
        (Wishes(fill=np.float64(2.5)), Wishes(fill=2.5)),
        (Wishes(fill=float("nan")), Wishes(fill=np.float32("nan"))),
        (Wishes(header=True), Wishes(header=np.bool(True))),
    ],
)
def test_what_is_only_spelled_otherwise_is_equal(one: Wishes, other: Wishes) -> None:
    assert one.as_json() == other.as_json()
    assert json.loads(json.dumps(one.as_json())) == one.as_json()


DIFFERENT = [
    Wishes(),
    Wishes("f4"),
    Wishes("f8"),
    Wishes("a:i4"),
    Wishes("a:category"),
    Wishes("a:S"),
    Wishes(np.dtype([("a", "i1"), ("b", "f8")])),
    Wishes(np.dtype([("a", "i1"), ("b", "f8")], align=True)),
    Wishes(delimiter=","),
    Wishes(header=True),
    Wishes(header=False),
    Wishes(names=["a"]),
    Wishes(columns=["a"]),
    Wishes(columns=[0]),
    Wishes(skip_rows=1),
    Wishes(comment="#"),
    Wishes(quote=None),
    Wishes(encoding="latin-1"),
    Wishes(decimal=","),
    Wishes(na_values=()),
    Wishes(fill=0),
    Wishes(categories="a"),
    Wishes(categories=[0]),
    Wishes(categories={"a": ["x"]}),
    Wishes(schema={"version": 1}),
]


def test_other_wishes_differ() -> None:
    texts = [json.dumps(wishes.as_json()) for wishes in DIFFERENT]
    assert len(set(texts)) == len(DIFFERENT)


def test_of_a_schema_its_content_counts(tmp_path: Path) -> None:
    path = tmp_path / "schema.json"
    path.write_text('{"version": 1}')
    before = Wishes(schema=path).as_json()
    assert before == Wishes(schema={"version": 1}).as_json() == Wishes(schema=' {"version":  1}').as_json()
    path.write_text('{"version": 2}')
    assert Wishes(schema=path).as_json() != before


@pytest.mark.parametrize("skip_rows", [-1, 1.5, True, "2"])
def test_lines_to_skip_are_counted(skip_rows: object) -> None:
    with pytest.raises(oc.errors.OptionError, match=rf"skip_rows={skip_rows!r} is not a number of lines"):
        Wishes(skip_rows=skip_rows).dialect()
