"""A schema and something else besides."""

from __future__ import annotations

import numpy as np
import pytest

import outcore as oc
from outcore.text.columns import Values
from outcore.text.contradictions import refuse_contradictions
from outcore.text.dialect import Dialect
from outcore.text.parse import Plan
from outcore.text.schema import Column, Schema
from outcore.text.wishes import MISSING, Wishes

COLUMNS = (Column(2, "carrier", np.dtype("i1"), ("AA", "UA")), Column(0, "name", np.dtype("S7")))
PLAN = Plan(
    Dialect(";", '"', "#", "latin-1", ".", 2, header=True),
    Schema(("name", "x", "carrier"), COLUMNS, matrix=False, header=("name", " x", "carrier")),
    Values(("NA",), 0, "."),
)
MATRIX = Plan(
    Dialect(",", ""),
    Schema(("f0", "f1"), (Column(0, "f0", np.dtype("f4")), Column(1, "f1", np.dtype("f4"))), matrix=True),
    Values(MISSING, None, "."),
)


@pytest.mark.parametrize(
    "wishes",
    [
        Wishes(),
        Wishes(delimiter=";", comment="#", encoding="L1", skip_rows=2, header=True, na_values="NA", fill=0),
        Wishes("carrier:category name:S"),
        Wishes("carrier:i1 name:S7"),
        Wishes(names=["name", " x", "carrier"]),
        Wishes(columns=["carrier", 0]),
        Wishes(categories="carrier"),
        Wishes(categories={2: ["AA", "UA"]}),
    ],
)
def test_what_the_schema_says_too(wishes: Wishes) -> None:
    refuse_contradictions(wishes, PLAN)


@pytest.mark.parametrize(
    ("wishes", "said"),
    [
        (Wishes(delimiter=","), r"delimiter=',' \(schema: ';'\)"),
        (Wishes(comment="//"), r"comment='//' \(schema: '#'\)"),
        (Wishes(quote=None), r"quote='' \(schema: '\"'\)"),
        (Wishes(encoding="cp1252"), r"encoding='cp1252' \(schema: 'latin-1'\)"),
        (Wishes(decimal=","), r"decimal=',' \(schema: '\.'\)"),
        (Wishes(skip_rows=1), r"skip_rows=1 \(schema: 2\)"),
        (Wishes(header=False), r"header=False \(schema: True\)"),
        (Wishes(na_values=["-"]), r"na_values=\['-'\] \(schema: \['NA'\]\)"),
        (Wishes(fill=1), r"fill=1 \(schema: 0\)"),
        (Wishes(names=["a", "b", "c"]), r"names=\['a', 'b', 'c'\]"),
        (Wishes(columns=[0, 2]), r"columns=\[0, 2\]"),
        (Wishes("carrier:i2 name:S7"), r"dtype='carrier:i2 name:S7' \(schema: other fields\)"),
        (Wishes("name:S7 carrier:i1"), r"dtype='name"),
        (Wishes("carrier:i1 name:category"), r"dtype='carrier"),
        (Wishes("f4"), r"dtype='f4'"),
        (Wishes(categories="name"), r"categories of 'name'"),
        (Wishes(categories={"carrier": ["UA", "AA"]}), r"categories of 'carrier'"),
        (Wishes(delimiter=",", fill=1), r"delimiter=.*; fill=1 .*\nLeave out what the schema decides"),
    ],
)
def test_contradictions_are_listed(wishes: Wishes, said: str) -> None:
    with pytest.raises(oc.errors.OptionError, match=said):
        refuse_contradictions(wishes, PLAN)


def test_a_matrix() -> None:
    refuse_contradictions(Wishes("f4", columns=[0, 1]), MATRIX)
    with pytest.raises(oc.errors.OptionError, match=r"dtype='f8' \(schema: f4\)"):
        refuse_contradictions(Wishes("f8"), MATRIX)
    with pytest.raises(oc.errors.OptionError, match=r"dtype='f0:f4 f1:f4'"):
        refuse_contradictions(Wishes("f0:f4 f1:f4"), MATRIX)
