"""Where the values of rows go: made and counted, committed together, or given up."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import outcore as oc
from outcore.blocks.targets import Targets
from tests.blocks.samples import listing


def targets(**changes: Any) -> Targets:
    return Targets(4, [], **({"shares_memory": True, "in_place": True, "making": True} | changes))


def test_a_new_array() -> None:
    made = targets()
    target = made.target(None, (2,), "f4")
    target.write(1, np.ones((2, 2)))
    target.write(0, np.zeros((1, 2)))
    target.write(3, np.zeros((1, 2)))
    assert target.whole().tolist() == [[0, 0], [1, 1], [1, 1], [0, 0]]
    assert target.whole().dtype == np.float32
    assert made.new_bytes == 4 * 2 * 4


@pytest.mark.parametrize("out", [None, "y.npy", "array"])
def test_counting_makes_nothing(tmp_path: Path, out: Any) -> None:
    counted = targets(making=False)
    given = np.empty((4, 2)) if out == "array" else None if out is None else str(tmp_path / out)
    target = counted.target(given, (2,), float)
    assert counted.new_bytes == (64 if out is None else 0)
    assert listing(tmp_path) == []
    if out != "array":
        assert target.whole() is None
        with pytest.raises(AssertionError):
            target.write(0, np.ones((4, 2)))


def test_files_appear_when_all_is_done(tmp_path: Path) -> None:
    made = targets()
    one, two = (made.target(str(tmp_path / name), (), float) for name in ("1.npy", "2.npy"))
    for target in (one, two):
        target.write(0, np.arange(4.0))
    assert not (tmp_path / "1.npy").exists()
    made.commit()
    assert listing(tmp_path) == ["1.npy", "2.npy"]
    made.discard()  # nothing is left to give up
    assert np.load(tmp_path / "2.npy").tolist() == [0, 1, 2, 3]


def test_what_is_given_up_leaves_nothing(tmp_path: Path) -> None:
    made = targets()
    made.target(str(tmp_path / "1.npy"), (), float)
    made.target(f"{tmp_path}/2.h5::/y", (), float)
    made.discard()
    assert listing(tmp_path) == []


def test_the_second_that_cannot_be_made_lets_the_first_go(tmp_path: Path) -> None:
    made = targets()
    made.target(str(tmp_path / "1.npy"), (), float)
    with pytest.raises(oc.errors.OutcoreError):
        made.target(str(tmp_path / "no" / "2.npy"), (), float)
    made.discard()
    assert listing(tmp_path) == []


def test_for_other_processes_shared_memory_stands_in() -> None:
    out = np.empty((4, 2))
    made = targets(shares_memory=False)
    target = made.target(out, (2,), float)
    assert made.new_bytes == out.nbytes
    there = pickle.loads(pickle.dumps(target))
    there.write(0, np.arange(8.0).reshape(4, 2))
    assert target.whole() is out
    assert out[3].tolist() == [6, 7]
    new = made.target(None, (), float)
    pickle.loads(pickle.dumps(new)).write(0, np.arange(4.0))
    assert type(new.whole()) is np.ndarray
    assert new.whole().tolist() == [0, 1, 2, 3]


def test_shared_memory_needs_no_stand_in() -> None:
    out = oc.shared_empty((4,), float)
    made = targets(shares_memory=False)
    target = made.target(out, (), float)
    assert made.new_bytes == 0
    pickle.loads(pickle.dumps(target)).write(0, np.arange(4.0))
    assert target.whole() is out
    assert out.tolist() == [0, 1, 2, 3]


def test_chunks_have_one_writer(tmp_path: Path) -> None:
    with oc.create(f"{tmp_path}/y.h5::/y", (4,), float, chunks=True) as y:
        with pytest.raises(
            oc.errors.OptionError, match=r"(?s)has chunks, which one process writes.*executor=None"
        ):
            targets(shares_memory=False).target(y, (), float)
        targets().target(y, (), float).write(0, np.arange(4.0))


def test_an_overlap_is_allowed_in_place_only() -> None:
    a = np.zeros((4, 2))
    read = [oc.asarray(a)]
    Targets(4, read, shares_memory=True, in_place=True, making=True).target(a, (2,), float)
    with pytest.raises(oc.errors.OptionError, match="worked on again"):
        Targets(4, read, shares_memory=True, in_place=False, making=True).target(a, (2,), float)
