"""What is printed: JSON that is JSON, tables that are aligned."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra import numpy as hnp

from outcore.cli.output import dtype_text, plain, print_json, table
from outcore.text.schema import parse_dtype


@given(hnp.arrays(hnp.scalar_dtypes() | hnp.byte_string_dtypes() | hnp.unicode_string_dtypes(), (3,)))
def test_every_value_becomes_json(a: np.ndarray) -> None:
    text = json.dumps(plain({"rows": a, "first": a[0]}), allow_nan=False)
    assert len(json.loads(text)["rows"]) == 3


def test_values_that_json_lacks(capsys: pytest.CaptureFixture[str]) -> None:
    row = np.zeros((), [("a", "f8"), ("t", "M8[s]"), ("s", "S2"), ("v", "i4", (2,))])[()]
    print_json(
        {
            "x": [np.nan, np.inf, -np.inf, 1 + 2j],
            "row": row,
            "shape": (1, 2),
            "t": np.datetime64("NaT"),
            "é": 1,
        }
    )
    assert json.loads(capsys.readouterr().out) == {
        "x": [None, "inf", "-inf", [1.0, 2.0]],
        "row": {"a": 0.0, "t": "1970-01-01T00:00:00", "s": "", "v": [0, 0]},
        "shape": [1, 2],
        "t": None,
        "é": 1,
    }


def test_tables_are_aligned() -> None:
    assert table([["a", "1"], ["bb", "22"]]).splitlines() == ["a    1", "bb  22"]
    assert table([]) == ""


@pytest.mark.parametrize("text", ["chr:S10 pos:i4 t:M8[s] ok:b1", "float32", "S10"])
def test_types_are_written_as_they_are_read(text: str) -> None:
    assert dtype_text(parse_dtype(text)) == text
