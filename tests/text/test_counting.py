"""Passes that write nothing: the same result for any number of workers and any chunk size."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import outcore as oc
from outcore.text.columns import Values
from outcore.text.counting import Counting, Surveying
from outcore.text.cutting import Cutter
from outcore.text.dialect import Dialect
from outcore.text.parse import Plan
from outcore.text.pipeline import Pipeline
from outcore.text.schema import Column, Schema
from outcore.text.sources import find
from outcore.text.survey import Survey

COLUMNS = (
    Column(0, "name", np.dtype("S")),
    Column(1, "n", np.dtype("i4")),
    Column(2, "color", np.dtype("S"), (), sought=True),
)
PLAN = Plan(
    Dialect(",", comment="#"),
    Schema(("name", "n", "color"), COLUMNS, matrix=False),
    Values(("NA",), None, "."),
)


def go(paths: list[Path], steps: Counting | Surveying, n_workers: int, chunk_bytes: int) -> None:
    told: list[int] = []
    with find(paths) as files, Cutter(files, PLAN.dialect, chunk_bytes) as cutter:
        Pipeline(cutter, steps, 4 * chunk_bytes).run(n_workers, told.append)
    assert sum(told) == sum(path.stat().st_size for path in paths)


def write(folder: Path, *texts: str) -> list[Path]:
    paths = [folder / f"{number}.csv" for number in range(len(texts))]
    for path, text in zip(paths, texts, strict=True):
        path.write_text(text)
    return paths


TEXT = "".join(f'{"é" * (i % 5)}{"x" * (i // 40)},{i},"c\n{i % 7}"\n\n' for i in range(400))


@pytest.mark.parametrize("n_workers", [1, 2, 5])
@pytest.mark.parametrize("chunk_bytes", [1000, 1 << 20])
def test_records_are_counted_whatever_is_in_them(tmp_path: Path, n_workers: int, chunk_bytes: int) -> None:
    paths = write(tmp_path, TEXT, "", "\n# no\n", "1,2\nx\n1,2,3,4")
    counting = Counting(PLAN)
    go(paths, counting, n_workers, chunk_bytes)
    assert counting.n_done == 403


@pytest.mark.parametrize("n_workers", [1, 2, 5])
@pytest.mark.parametrize("chunk_bytes", [1000, 1 << 20])
def test_widths_and_categories_are_those_of_all_files(
    tmp_path: Path, n_workers: int, chunk_bytes: int
) -> None:
    paths = write(tmp_path, TEXT, "ab,1,red\nNA,2,\n")
    survey = Survey(PLAN, guessed=True)
    surveying = Surveying(PLAN, survey, "x.npy")
    go(paths, surveying, n_workers, chunk_bytes)
    assert surveying.n_done == 402
    name, n, color = survey.result().schema.columns
    assert (name.dtype, n.dtype) == (np.dtype("U13"), np.dtype("i4"))
    assert color.categories == (*(f"c\n{i}" for i in range(7)), "red")


@pytest.mark.parametrize("n_workers", [1, 3])
def test_the_first_bad_record_stops_the_work(tmp_path: Path, n_workers: int) -> None:
    bad = TEXT.splitlines(keepends=True)
    bad[900:900] = ["a,1\n"]
    bad[300:300] = ["b,2,3,4\n"]
    paths = write(tmp_path, "".join(bad))
    with pytest.raises(oc.errors.IngestError, match=r"0\.csv:301\b") as raised:
        go(paths, Surveying(PLAN, Survey(PLAN, guessed=True), "x.npy"), n_workers, 500)
    assert "x.npy" in str(raised.value)


RECORDS = st.lists(
    st.sampled_from(
        [
            "a,1,red\n",
            "bb,x,green\n",  # of a wrong type, in a column that nobody asks for here
            "cccc,1\n",
            "ddddd,1,blue,2\n",
            '"eeeeee"e,1,black\n',
            "ffffffff\0,1,white\n",
            "ggg,NA,red\n",
        ]
    ),
    max_size=8,
)


@given(
    records=RECORDS,
    mode=st.sampled_from(["reject", "mask"]),
    size=st.integers(1, 40),
    n_workers=st.integers(1, 3),
)
def test_what_bad_records_have_a_say_in_does_not_depend_on_chunks(
    tmp_path_factory: pytest.TempPathFactory,
    records: list[str],
    mode: Literal["reject", "mask"],
    size: int,
    n_workers: int,
) -> None:
    paths = write(tmp_path_factory.getbasetemp(), "".join(records) or "a,1,red\n")
    plan = replace(PLAN, on_error=mode)

    def surveyed(chunk_bytes: int, workers: int) -> Plan:
        survey = Survey(plan, guessed=True)
        go(paths, Surveying(plan, survey, "x.npy"), workers, chunk_bytes)
        return survey.result()

    with pytest.MonkeyPatch.context() as patch:
        whole = surveyed(1 << 20, 1)
        patch.setattr("outcore.text.cutting.READ_BYTES", 1)
        patch.setattr("outcore.text.recoding.HEAD_BYTES", 8)
        assert surveyed(size, n_workers).schema == whole.schema
