from __future__ import annotations

import json

import pytest

import outcore as oc
from outcore.loader.state import State, dump, parse

FACTS = {"arrays": "(100, 4) float32", "samples": "100"}
STATE = State(seed=3, epoch=2, position=40, block_size=8, blocks_per_buffer=5)


def saved(**changes):
    return json.loads(json.dumps(dump(STATE, "block", FACTS))) | changes


def test_there_and_back_through_json():
    assert parse(saved(), "block", FACTS, 100) == STATE


@pytest.mark.parametrize("found", [None, {}, [], "state", {"epoch": 1}])
def test_what_is_no_state(found):
    with pytest.raises(oc.errors.StateError, match="is not the state of a loader"):
        parse(found, "block", FACTS, 100)


def test_another_version():
    with pytest.raises(oc.errors.StateError, match="has version 9; this outcore reads version 1"):
        parse(saved(version=9), "block", FACTS, 100)


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        (
            {"arrays": "(200, 4) float32", "samples": "100"},
            r"its arrays is \(100, 4\) float32, this loader's is \(200",
        ),
        ({"arrays": "(100, 4) float32"}, "its samples is 100, this loader's is missing"),
        (FACTS | {"window": "length=3"}, "its window is missing, this loader's is length=3"),
    ],
)
def test_other_data(facts, message):
    with pytest.raises(oc.errors.StateError, match=message):
        parse(saved(), "block", facts, 100)


def test_another_kind_of_shuffle():
    with pytest.raises(
        oc.errors.StateError, match="saved with shuffle='block'; this loader has shuffle='True'"
    ):
        parse(saved(), "True", FACTS, 100)


@pytest.mark.parametrize(
    "changes",
    [
        {"position": 101}, {"position": -1}, {"position": "40"}, {"epoch": None}, {"seed": True},
        {"order": 3}, {"fingerprint": None},
        {"order": {"shuffle": "block", "block_size": 0, "blocks_per_buffer": 5}},
        {"order": {"shuffle": "block", "block_size": 4}},
    ],
)  # fmt: skip
def test_a_damaged_state(changes):
    with pytest.raises(oc.errors.StateError, match="damaged"):
        parse(saved(**changes), "block", FACTS, 100)
