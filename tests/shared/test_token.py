"""Tokens: shared arrays named in a text."""

from __future__ import annotations

import base64
import json
import os
from typing import Any

import numpy as np
import pytest

import outcore as oc
from outcore.errors import AddressError, DTypeError, OptionError, SegmentGoneError
from outcore.shared import travel
from tests.shared.roles import run_program, share_range


def forged(token: str, **changes: Any) -> str:
    names = ["kind", "nonce", "owner", "fd", "path", "offset", "shape", "strides", "dtype"]
    prefix, _, body = token.partition(":")
    facts = dict(zip(names, json.loads(base64.urlsafe_b64decode(body)), strict=True)) | changes
    return f"{prefix}:{base64.urlsafe_b64encode(json.dumps(list(facts.values())).encode()).decode()}"


def test_a_token_is_one_word_and_good_as_long_as_the_array_is_there() -> None:
    shared = share_range(5)
    token = shared[1:].token()
    assert token.isascii()
    assert len(token.split()) == 1
    assert len(token) < 400
    assert oc.attach(token).tolist() == [1, 2, 3, 4]
    assert oc.attach(forged(token)).tolist() == [1, 2, 3, 4]
    assert travel.travelling() == {}  # nobody waits for its receiver
    del shared
    with pytest.raises(SegmentGoneError, match=f"process {os.getpid()} lives, but has let go of it"):
        oc.attach(token)


def attach_and_double(token: str) -> None:
    array = oc.attach(token)
    array *= 2
    print(array.tolist())


def test_an_unrelated_program_of_the_same_user_attaches_it() -> None:
    shared = share_range(4)
    ended = run_program("attach_and_double", shared.token(), module="tests.shared.test_token")
    assert (ended.stdout, ended.stderr) == ("[0, 2, 4, 6]\n", "")
    assert shared.tolist() == [0, 2, 4, 6]


def test_the_array_stays_when_the_program_that_attached_it_ends() -> None:
    # The standard library's shared_memory deletes it then.
    shared = share_range(4)
    for _ in range(2):
        assert run_program("attach_and_double", shared.token(), module="tests.shared.test_token").stderr == ""
    assert shared.tolist() == [0, 4, 8, 12]


def test_modes() -> None:
    shared = share_range(3)
    assert not oc.attach(shared.token(), "r").flags.writeable
    assert oc.attach(shared.token(), "r+").flags.writeable
    with pytest.raises(OptionError, match="mode='w' is not one of 'r', 'r\\+', 'c'"):
        oc.attach(shared.token(), "w")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text", ["", "x", "outcore-shm:", "outcore-shm:!!", "outcore-shm:e30=", "x" * 500, None, 5]
)
def test_what_is_no_token_is_an_address_error(text: Any) -> None:
    with pytest.raises(AddressError, match=r"is not a token[\s\S]*S\.token\(\)"):
        oc.attach(text)


@pytest.mark.parametrize(
    "changes",
    [
        {"shape": [6]},
        {"shape": [-1]},
        {"offset": 8},
        {"offset": -8},
        {"strides": [16]},
        {"strides": [-8]},
        {"strides": []},
        {"dtype": "'O'"},
        {"dtype": "'T'"},
        {"dtype": "{'names': ['a'], 'formats': ['O'], 'offsets': [0], 'itemsize': 8}"},
        {"dtype": "'f8', 3"},
        {"dtype": "nonsense"},
        {"dtype": "__import__('os')"},
        {"shape": "abc"},
        {"owner": ["../..", 1]},
        {"owner": 3},
        {"nonce": "zz"},
    ],
    ids=str,
)
def test_a_forged_token_is_refused_and_reads_nothing_beyond_the_segment(changes: dict[str, Any]) -> None:
    shared = share_range(5)
    with pytest.raises(AddressError):
        oc.attach(forged(shared.token(), **changes))


@pytest.mark.parametrize(
    "changes", [{"nonce": "00" * 16}, {"fd": 0}, {"fd": 10**6}, {"fd": -1, "path": "/etc/passwd"}]
)
def test_a_token_of_something_else_is_gone(changes: dict[str, Any]) -> None:
    shared = share_range(5)
    # The array is mapped here, under its own number: with another place only that number counts.
    changes = {"nonce": "11" * 16} | changes
    with pytest.raises(SegmentGoneError):
        oc.attach(forged(shared.token(), **changes))


def test_a_copy_has_no_token() -> None:
    with pytest.raises(DTypeError, match=r"oc\.share\(a\)"):
        np.array(share_range(3), subok=True).token()
