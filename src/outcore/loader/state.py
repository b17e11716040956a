"""The state of a loader: JSON that counts samples.

Hands to   : loader.loading

Guarantees
- Samples are counted over all ranks, when a batch is handed over: not batches, and none that was made ahead.
  So a state may be loaded with another batch size, world size or number of workers.
- A state of other data, or of another order, is refused with what differs; nothing is changed then.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from outcore.errors import StateError

VERSION = 1


@dataclass(frozen=True)
class State:
    """Where an epoch was left.

    Attributes
    ----------
    position : int
        Samples consumed in this epoch, over all ranks.
    block_size, blocks_per_buffer : int
        Of a block shuffle; 0 otherwise. They come from the memory budget, and the order depends on them.
    """

    seed: int
    epoch: int
    position: int
    block_size: int
    blocks_per_buffer: int


def dump(state: State, shuffle: str, facts: Mapping[str, str]) -> dict[str, Any]:
    """Return what `json.dumps` takes."""
    return {
        "version": VERSION,
        "fingerprint": dict(facts),
        "seed": state.seed,
        "epoch": state.epoch,
        "position": state.position,
        "order": {
            "shuffle": shuffle,
            "block_size": state.block_size,
            "blocks_per_buffer": state.blocks_per_buffer,
        },
    }


def parse(found: Any, shuffle: str, facts: Mapping[str, str], n: int) -> State:
    """Check a state against the loader that is to go on from it.

    Raises
    ------
    StateError
        No state of a loader, one of another version, or one of other data or another order.
    """
    if not isinstance(found, Mapping) or "version" not in found:
        raise StateError(
            f"{found!r:.100} is not the state of a loader.\nGive what Loader.state_dict() returned, or "
            "json.loads of its json.dumps."
        )
    if found["version"] != VERSION:
        raise StateError(
            f"the state has version {found['version']!r}; this outcore reads version {VERSION}.\n"
            "Load it with the release that saved it."
        )
    theirs = _entry(found, "fingerprint", Mapping)
    for name in [*facts, *theirs]:
        if theirs.get(name) != facts.get(name):
            raise StateError(
                f"the state belongs to other data: its {name} is {_shown(theirs.get(name))}, "
                f"this loader's is {_shown(facts.get(name))}.\n"
                "Make the loader from the same arrays, indices and window, or start the epoch anew: "
                "loader.set_epoch(n)."
            )
    order = _entry(found, "order", Mapping)
    if order.get("shuffle") != shuffle:
        raise StateError(
            f"the state was saved with shuffle={order.get('shuffle')!r};"
            f" this loader has shuffle={shuffle!r}.\n"
            "What was consumed in one order says nothing about another: make the loader with the former."
        )
    state = State(
        _count(found, "seed"),
        _count(found, "epoch"),
        _count(found, "position"),
        _count(order, "block_size"),
        _count(order, "blocks_per_buffer"),
    )
    if state.position > n or (shuffle == "block") != (min(state.block_size, state.blocks_per_buffer) > 0):
        raise StateError(
            f"the state is damaged: position {state.position} of {n} samples, blocks of {state.block_size},"
            f" {state.blocks_per_buffer} to a buffer.\nGive it as it was saved."
        )
    return state


def _entry(found: Mapping[str, Any], name: str, kind: Any) -> Any:
    if not isinstance(found.get(name), kind):
        raise StateError(
            f"the state is damaged: its {name!r} is {found.get(name)!r}.\nGive it as it was saved."
        )
    return found[name]


def _count(found: Mapping[str, Any], name: str) -> int:
    value = found.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise StateError(f"the state is damaged: its {name!r} is {value!r}.\nGive it as it was saved.")
    return value


def _shown(fact: str | None) -> str:
    return "missing" if fact is None else fact
