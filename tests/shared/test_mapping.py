"""Maps: no descriptor for each, gone with the last array."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import outcore as oc
from outcore.shared import mapping
from tests.shared import roles


def test_a_map_costs_no_descriptor() -> None:
    shared = oc.share(np.arange(5))
    before = roles.fds()
    maps = [mapping.map_file(shared._segment.fd, 4096, writable=False) for _ in range(10)]
    assert roles.fds() == before
    assert len(maps) == 10


def test_where_the_c_library_cannot_be_called_a_map_works_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mapping, "_mmap", lambda: None)
    shared = oc.share(np.arange(5))
    assert shared.tolist() == [0, 1, 2, 3, 4]
    private = oc.attach(shared.token(), "c")
    private[0] = 7
    assert shared[0] == 0


def test_a_map_is_undone_with_its_last_array() -> None:
    shared = oc.share(np.arange(5))
    number = str(roles.inode(shared))
    assert number in [line.split()[4] for line in maps_here()]
    del shared
    assert number not in [line.split()[4] for line in maps_here()]


def maps_here() -> list[str]:
    return Path("/proc/self/maps").read_text().splitlines()
