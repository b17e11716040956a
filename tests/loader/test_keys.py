"""Keys out of (seed, epoch, purpose): unrelated, and the same forever."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from outcore.errors import OptionError
from outcore.loader.keys import derive, generator

NUMBERS = st.integers(0, 3) | st.integers(0, 2**80)
PARTS = st.lists(NUMBERS | st.text(max_size=3), max_size=3).map(tuple)
ARGUMENTS = st.tuples(NUMBERS, NUMBERS, PARTS)


def test_keys_of_an_earlier_release():
    assert derive(0, 0) == 0x8392548E7E1500FA
    assert derive(0, 1, "order") == 0x3B5E85EF98EEB0B8
    assert derive(1, 0, "order") == 0x837BA12A3DA0BDDA
    assert derive(2**70, 3, "buffer", 7) == 0x20CB31E5C145C29B


def test_the_bits_of_a_generator_of_an_earlier_release():
    raw = generator(0, 1, 2).bit_generator.random_raw(3)
    assert raw.tolist() == [6610836355908934085, 5036975264147536413, 6521260650972061492]


@given(ARGUMENTS, ARGUMENTS)
def test_equal_keys_are_keys_of_equal_arguments(one, other):
    keys = [derive(seed, epoch, *purpose) for seed, epoch, purpose in (one, other)]
    assert all(0 <= key < 2**64 for key in keys)
    assert (keys[0] == keys[1]) == (one == other)


@pytest.mark.parametrize(
    "other",
    [(1, 0), (0, 1, ""), (0, 1, 0), (0, 256), (0, 1, "a"), (0, 1, "\x01"), (257, 0)],
)
def test_arguments_that_only_look_alike(other):
    assert derive(0, 1) != derive(*other)


def test_strings_do_not_run_into_each_other():
    found = {derive(0, 0, *parts) for parts in (("ab",), ("a", "b"), ("", "ab"), ("ab", ""), ("b", "a"))}
    assert len(found) == 5


def test_a_seed_of_numpy_is_the_same_seed():
    assert derive(np.int64(7), np.uint8(2), np.int32(5)) == derive(7, 2, 5)


def test_keys_of_a_grid_of_seeds_and_epochs_have_all_bits_equally_often():
    keys = np.array([derive(seed, epoch, "x") for seed in range(64) for epoch in range(64)], dtype=np.uint64)
    assert len(np.unique(keys)) == 4096
    ones = ((keys[:, None] >> np.arange(64, dtype=np.uint64)) & np.uint64(1)).sum(axis=0)
    assert np.all(np.abs(ones.astype(int) - 2048) < 5 * 32)  # five standard deviations


@pytest.mark.parametrize(
    ("arguments", "text"),
    [((-1, 0), "seed=-1"), ((0, -2), "epoch=-2"), ((0, 0, -3), "purpose=-3")],
)
def test_negative_numbers_are_refused(arguments, text):
    with pytest.raises(OptionError, match=text):
        derive(*arguments)


def test_a_float_is_no_seed():
    with pytest.raises(TypeError):
        derive(0.5, 0)


def test_a_generator_begins_anew_with_each_call():
    first = generator(3, 4, 5).random(4)
    assert np.array_equal(first, generator(3, 4, 5).random(4))


def test_generators_of_other_positions_epochs_and_seeds_are_unrelated():
    drawn = [generator(*key).random(2000) for key in ((0, 1, 0), (1, 0, 0), (0, 0, 1), (0, 0, 0), (0, 1, 1))]
    related = np.corrcoef(drawn) - np.eye(5)
    assert np.abs(related).max() < 4.5 / np.sqrt(2000)
