"""Segments: found again in the same process, closed with their last array."""

from __future__ import annotations

import gc
import os
import pickle
import sys
import types
from typing import Any

import numpy as np
import pytest

import outcore as oc
from outcore.shared import segment
from outcore.shared.segment import Segment
from tests.shared import roles


def test_every_array_on_a_segment_has_it_at_its_bottom() -> None:
    shared = oc.share(np.arange(24.0).reshape(4, 6))
    found = segment.under(shared)
    assert isinstance(found, Segment)
    plain = np.asarray(shared)
    for array in (
        *(
            plain,
            shared[1:],
            shared.T,
            shared[::-1, ::2].T,
            plain[2],
            shared.reshape(2, 12),
            shared.squeeze(),
        ),
        *(np.squeeze(shared[None]), np.rot90(shared[:, ::-1]), shared.view("i8"), plain.view(np.recarray)),
        *(
            np.lib.stride_tricks.as_strided(shared, (2, 2)),
            np.lib.stride_tricks.sliding_window_view(shared, 2, 0),
        ),
    ):
        assert segment.under(array) is found
    for array in (shared + 1, shared.copy(), shared[[0]], np.zeros(3), np.float64(2), 5, None):
        assert segment.under(array) is None


def test_a_segment_that_is_mapped_is_not_mapped_again() -> None:
    shared = oc.share(np.arange(5))
    before = roles.fds()
    others = [pickle.loads(pickle.dumps(shared)) for _ in range(3)] + [oc.attach(shared.token())]
    assert {id(other._segment) for other in others} == {id(shared._segment)}
    assert roles.fds() <= before + 1  # the board, if this is the first handle of the process


def test_a_read_only_map_does_not_serve_a_writer_but_a_writable_one_serves_a_reader() -> None:
    shared = oc.share(np.arange(5))
    nonce = shared._segment.nonce
    assert segment.find(nonce, writable=True) is segment.find(nonce, writable=False) is shared._segment
    token = shared.token()
    assert roles.run_program("maps_of_each_mode", token, module="tests.shared.test_segment").stdout == "2\n"


def maps_of_each_mode(token: str) -> None:
    reader = oc.attach(token, "r")
    writer = oc.attach(token, "r+")
    writer[0] = 9
    assert reader[0] == 9
    later = oc.attach(token, "r")
    assert later._segment is writer._segment
    assert not later.flags.writeable
    print(len({id(array._segment) for array in (reader, writer, later)}))


@pytest.mark.parametrize("shape", [(), (0,), (3, 0), (5,), (100, 100)])
def test_the_descriptor_goes_with_the_last_array_at_once(shape: tuple[int, ...]) -> None:
    gc.disable()  # no cycle: nobody waits for the collector
    try:
        before = roles.fds()
        shared = oc.shared_empty(shape)
        part = np.asarray(shared[...])
        assert roles.fds() == before + 1
        del shared
        assert roles.fds() == before + 1
        del part
        assert roles.fds() == before
    finally:
        gc.enable()


def test_views_cost_no_descriptor() -> None:
    shared = oc.share(np.arange(1000))
    before = roles.fds()
    views = [shared[i:] for i in range(1000)]
    assert roles.fds() == before
    assert sum(len(view) for view in views) == 500500


def test_a_segment_says_where_it_was_made() -> None:
    here = oc.shared_empty(3)
    assert here._segment.header.site.startswith("test_segment.py:")
    assert here._segment.header.site.endswith(" in test_a_segment_says_where_it_was_made")
    assert "made at test_segment.py" in repr(here._segment)
    assert here._segment.header.pid == os.getpid()
    assert here in [array for array in [here] if array._segment in segment.mapped_here()]


@pytest.mark.parametrize(
    "name", ["漢" * 80 + ".py", "a\udc80b.py", "a b\nc.py", "", "<string>", "x/y/" + "z" * 250]
)
def test_any_name_of_a_source_file_will_do(name: str) -> None:
    space: dict[str, Any] = {}
    exec(compile("import outcore\nmade = outcore.shared_empty(3)", name, "exec"), space)
    assert space["made"].tolist() == [0, 0, 0]
    loaded = pickle.loads(pickle.dumps(space.pop("made")))
    assert ":2 in <module>" in loaded._segment.header.site or len(name) > 150


def test_who_has_no_module_name_is_a_caller_too() -> None:
    space: dict[str, Any] = {"oc": oc, "__name__": None}
    exec("made = oc.shared_empty(3)", space)
    assert "in <module>" in space.pop("made")._segment.header.site


def test_segments_are_numbered_at_random() -> None:
    several = [oc.shared_empty(1) for _ in range(50)]
    assert len({array._segment.nonce for array in several}) == 50
    assert all(len(array._segment.nonce) == 16 for array in several)


def test_reference_counts_show_no_cycle() -> None:
    shared = oc.share(np.arange(3))
    assert not any(isinstance(r, np.ndarray) and r is shared for r in gc.get_referents(shared._segment))
    assert sys.getrefcount(shared._segment) < 10
    assert not isinstance(shared._segment, types.GeneratorType)
