"""Natural order, and the names that a pattern or folder stands for."""

from __future__ import annotations

import os
import re
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from outcore.text.names import in_folder, matching, natural, sort

NAMES = st.lists(st.text(alphabet="0019aB.é_-", min_size=1, max_size=12), max_size=12)


def as_list(name: str) -> list[str | int]:
    """The order in plain words: text and numbers in turn, numbers compared as numbers."""
    return [int(part) if i % 2 else part for i, part in enumerate(re.split(r"([0-9]+)", name))]


def test_natural_order_compares_numbers_as_numbers() -> None:
    ordered = ["9", "10", "a", "a9", "a10b1", "a10b2", "a.b", "b"]
    assert sorted(set(ordered), key=natural) == ordered


@given(NAMES)
def test_the_flat_key_orders_like_a_list_of_texts_and_numbers(names: list[str]) -> None:
    assert sorted(names, key=natural) == sorted(names, key=as_list)


@given(NAMES)
def test_sorting_gives_each_name_once_whatever_the_order_of_the_listing(names: list[str]) -> None:
    wanted = sorted(sorted(set(names)), key=as_list)
    assert [name.decode() for name in sort(name.encode() for name in names)] == wanted


def test_numbers_longer_than_a_length_byte() -> None:
    digits = ["9" * 100, "1" * 253, "9" * 253, "1" * 254, "2" * 254, "1" * 300]
    assert sorted(set(digits), key=natural) == digits


def test_hidden_files_only_when_asked_for(tmp_path: Path) -> None:
    for name in ["a.csv", ".b.csv"]:
        (tmp_path / name).touch()
    assert list(in_folder(str(tmp_path))) == [b"a.csv"]
    assert list(in_folder(str(tmp_path), ".*")) == [b".b.csv"]


def test_one_question_mark_is_one_character_not_one_byte(tmp_path: Path) -> None:
    (tmp_path / "é.csv").touch()
    assert list(matching(f"{tmp_path}/?.csv")) == [os.fsencode(tmp_path / "é.csv")]


def test_a_name_that_two_stars_reach_twice_comes_once(tmp_path: Path) -> None:
    (tmp_path / "x" / "y").mkdir(parents=True)
    (tmp_path / "x" / "y" / "a.csv").touch()
    assert list(matching(f"{tmp_path}/**/**/*.csv")) == [os.fsencode(tmp_path / "x" / "y" / "a.csv")]
