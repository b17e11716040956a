"""The order of a ring, against a list."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from outcore.shared.ring_state import FREE, READY, Claim, RingState, slot_bytes, slots_at

ME, OTHER = 1, 2


@dataclass
class Item:
    """What the model knows of one slot that is not free."""

    slot: int
    state: str
    owner: int
    claim: Claim = field(default_factory=Claim)


def new(n_slots: int) -> RingState:
    return RingState(np.zeros(slots_at(n_slots), np.uint8), n_slots)


@given(
    st.integers(1, 4),
    st.lists(
        st.tuples(
            st.sampled_from(["write", "read", "written", "given up", "was read", "death"]), st.integers(0, 3)
        ),
        max_size=60,
    ),
)
def test_it_behaves_like_a_list(n_slots: int, steps: list[tuple[str, int]]) -> None:
    state = new(n_slots)
    items: list[Item] = []  # in the order of their claims

    for step, which in steps:
        owner = OTHER if which % 2 else ME
        claim = Claim()
        if step == "write":
            more = state.claim_to_write(claim, owner)
            assert (claim.slot >= 0) == (len(items) < n_slots)
            if claim.slot >= 0:
                assert claim.slot not in {item.slot for item in items}
                items.append(Item(claim.slot, "writing", owner, claim))
                assert more == (len(items) < n_slots)
        elif step == "read":
            waiting = [item for item in items if item.state in ("writing", "ready")]
            more = state.claim_to_read(claim, owner)
            if waiting and waiting[0].state == "ready":
                assert claim.slot == waiting[0].slot
                waiting[0].state, waiting[0].owner, waiting[0].claim = "reading", owner, claim
                assert more == (len(waiting) > 1 and waiting[1].state == "ready")
            else:
                assert (claim.slot, more) == (-1, False)
        elif step == "death":
            dead = [item for item in items if item.owner == OTHER and item.state in ("writing", "reading")]
            assert state.take_back(lambda slot, owner: owner == ME, me=ME) == bool(dead)
            for item in dead:
                if item.state == "writing":
                    items.remove(item)
                item.state = "ready"
        else:
            wanted = "reading" if step == "was read" else "writing"
            found = [item for item in items if item.state == wanted]
            if not found:
                continue
            item = found[which % len(found)]
            state.end(item.claim, READY if step == "written" else FREE)
            assert item.claim.slot == -1
            if step == "written":
                item.state = "ready"
            else:
                items.remove(item)
        assert state.n_ready == sum(item.state == "ready" for item in items)
        assert state.is_empty == all(item.state == "reading" for item in items)


def test_a_claim_that_ended_cannot_end_another_one() -> None:
    state = new(1)
    first, second = Claim(), Claim()
    state.claim_to_write(first, ME)
    taken_away = Claim(first.slot, first.word)
    state.end(first, FREE)
    state.claim_to_write(second, OTHER)
    state.end(first, READY)
    state.end(taken_away, READY)
    assert state.n_ready == 0
    state.end(second, READY)
    assert state.n_ready == 1


def test_what_a_living_process_has_forgotten_to_give_back_was_read() -> None:
    state, claim = new(1), Claim()
    state.claim_to_write(claim, ME)
    state.end(claim, READY)
    state.claim_to_read(claim, ME)
    assert state.take_back(lambda slot, owner: False, me=ME)
    assert (state.n_ready, state.claim_to_write(claim, ME), claim.slot) == (0, False, 0)


@pytest.mark.parametrize(
    ("ending", "woken"),
    [
        (READY, "written"),
        # The slot is free, and a younger item that is complete may be read now.
        (FREE, "written and freed"),
    ],
)
def test_those_who_wait_are_told_of_what_a_writer_did(ending: int, woken: str) -> None:
    state, claim = new(2), Claim()
    state.claim_to_write(claim, ME)
    before = state.written.value, state.freed.value
    state.end(claim, ending)
    assert (state.written.value != before[0]) == ("written" in woken)
    assert (state.freed.value != before[1]) == ("freed" in woken)


@pytest.mark.parametrize("n_slots", [1, 7, 250, 5000])
def test_slots_begin_at_a_page_behind_the_words(n_slots: int) -> None:
    state = new(n_slots)
    assert slots_at(n_slots) % 4096 == 0
    claims = [Claim() for _ in range(n_slots)]
    for claim in claims:
        state.claim_to_write(claim, ME)
    assert sorted(claim.slot for claim in claims) == list(range(n_slots))


def test_slots_are_rounded_up_to_cache_lines() -> None:
    assert [slot_bytes(n) for n in (0, 1, 64, 65)] == [0, 64, 64, 128]


def test_the_description_names_each_process_once() -> None:
    state = new(3)
    for owner in (9, 8, 9):
        state.claim_to_write(Claim(), owner)
    assert state.describe(lambda owner: owner) == (
        "of 3 slots, free: 0, being written: 3 (process 8, 9), waiting to be read: 0, being read: 0"
    )
