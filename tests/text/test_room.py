"""The memory of an ingest, divided before it starts."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

import outcore as oc
from outcore.text import room as module
from outcore.text.parallel_gzip import PARALLEL_BYTES
from outcore.text.room import CHUNK_COST, PARSER_BYTES, RECORD_COST, available_cpus, check_row, make_room

MB = 10**6


@given(memory=st.integers(40 * MB, 10**12), workers=st.none() | st.integers(1, 200))
def test_what_is_in_work_fits_the_budget(memory: int, workers: int | None) -> None:
    room = make_room(memory, workers)
    assert room.budget_bytes == memory
    assert 1 <= room.n_workers <= (workers or available_cpus() + module.WAITING)
    assert module.LEAST_CHUNK_BYTES <= room.chunk_bytes <= module.CHUNK_BYTES
    assert room.n_workers * room.chunk_bytes <= room.in_flight_bytes
    assert CHUNK_COST * room.in_flight_bytes + PARSER_BYTES <= memory
    assert RECORD_COST * room.record_bytes + PARSER_BYTES <= memory
    assert room.record_bytes >= room.chunk_bytes
    if room.threads > 1:
        assert CHUNK_COST * room.in_flight_bytes + room.threads * PARALLEL_BYTES + PARSER_BYTES <= memory


def test_workers_are_fewer_where_chunks_would_be_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "available_cpus", lambda: 64)
    assert make_room("2GB", None).n_workers == 64
    assert make_room("8GB", None).n_workers == 64 + module.WAITING
    few = make_room("100MB", None)
    assert 1 <= few.n_workers < 64
    assert few.chunk_bytes >= module.GOOD_CHUNK_BYTES
    assert make_room("100MB", 64).n_workers == 64  # they were asked for
    assert make_room("36MB", 64).n_workers < 64


def test_a_record_of_64_mb_fits_512_mb() -> None:
    assert make_room("512MB", None).record_bytes >= 64_500_000
    check_row(64_000_000, 2, "512MB")


def test_too_small_a_budget() -> None:
    with pytest.raises(oc.errors.MemoryBudgetError, match=r"ingest needs .*\n  parser .* smallest chunk"):
        make_room("30MB", None)
    assert make_room("36MB", None).n_workers == 1


def test_a_row_that_does_not_fit() -> None:
    check_row(8, 1, "40MB")
    with pytest.raises(oc.errors.MemoryBudgetError, match=r"6 x one row 600\.0 MB\n.*columns="):
        check_row(100 * MB, 2, "512MB")
    with pytest.raises(oc.errors.MemoryBudgetError, match=r"5000000 columns 3\.0 GB"):
        check_row(8, 5_000_000, "512MB")


@pytest.mark.parametrize("workers", [0, -1, 1.5, "2", True])
def test_what_is_no_number_of_workers(workers: object) -> None:
    with pytest.raises(oc.errors.OptionError, match="is not a number of threads"):
        make_room(None, workers)


def test_processors() -> None:
    assert 1 <= available_cpus() <= (os.cpu_count() or 1)
