"""What samples are taken of, and that they stay small."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from outcore.text import plan as module
from outcore.text.plan import Wishes, make_plan
from outcore.text.sources import find

NOTHING = Wishes(
    dtype=None,
    delimiter=None,
    header=None,
    names=None,
    columns=None,
    skip_rows=0,
    comment=None,
    quote='"',
    encoding="utf-8",
    decimal=".",
    na_values=("", "NA"),
    fill=None,
)


def planned(folder: Path, **texts: str) -> module.Plan:
    for name, text in texts.items():
        (folder / f"{name}.csv").write_text(text)
    return make_plan(find(folder / "*.csv"), NOTHING)


@pytest.mark.parametrize("where", [0, 100_000, 200_000 - 1])
def test_the_start_the_middle_and_the_end_are_looked_at(tmp_path: Path, where: int) -> None:
    lines = ["1,2"] * 200_000
    lines[where] = "1,2.5"
    plan = planned(tmp_path, a="a,b\n" + "\n".join(lines))
    assert plan.schema.dtype == np.dtype("f8")


def test_only_samples_are_looked_at(tmp_path: Path) -> None:
    lines = ["1,2"] * 400_000
    lines[100_000] = "1,2.5"
    assert planned(tmp_path, a="a,b\n" + "\n".join(lines)).schema.dtype == np.dtype("i8")


def test_every_file_is_looked_at(tmp_path: Path) -> None:
    texts = {f"p{i}": "a,b\n1,2\n" for i in range(20)} | {"p13": "a,b\n1,x\n"}
    assert planned(tmp_path, **texts).schema.dtype["b"].kind == "S"


def test_of_many_files_little_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ALL_BYTES", 1 << 16)
    read: list[int] = []
    real = module.read_chunks
    monkeypatch.setattr(
        module, "read_chunks", lambda *args, **options: (read.append(args[2]), real(*args, **options))[1]
    )
    planned(tmp_path, **{f"p{i}": "1,2\n" * 5000 for i in range(100)})
    assert set(read) == {module.LEAST_BYTES}


def test_of_compressed_files_a_longer_start_is_looked_at(tmp_path: Path) -> None:
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(b"a,b\n" + b"1,2\n" * 200_000 + b"1,2.5\n" * 100))
    assert make_plan(find(tmp_path / "*.gz"), NOTHING).schema.dtype == np.dtype("f8")


def test_records_wider_than_a_sample(tmp_path: Path) -> None:
    n = 30_000
    text = ",".join(f"column{i}" for i in range(n)) + "\n" + "1,2.5," * (n // 2 - 1) + "1,2.5\n"
    plan = planned(tmp_path, a=text)
    assert len(plan.schema.columns) == n
    assert plan.schema.dtype == np.dtype("f8")
    assert plan.dialect.header


def test_lines_of_quoted_text_in_the_middle_do_not_mislead(tmp_path: Path) -> None:
    text = "a,b\n" + '1,"first\nsecond\nthird"\n' * 30_000
    plan = planned(tmp_path, a=text)
    assert plan.schema.dtype["a"] == np.dtype("i8")


def test_files_without_records_say_nothing(tmp_path: Path) -> None:
    plan = planned(tmp_path, a="", b="\n\n", c="a,b\n1,2\n", d="")
    assert (plan.schema.file_names, plan.dialect.header) == (("a", "b"), True)


def test_comments_and_skipped_lines_are_no_samples(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("title, of, all\n# x,y\na,b\n# x\n1,2\n")
    wishes = Wishes(**(vars(NOTHING) | {"skip_rows": 1, "comment": "#"}))
    plan = make_plan(find(tmp_path / "a.csv"), wishes)
    assert (plan.schema.file_names, plan.schema.dtype) == (("a", "b"), np.dtype("i8"))
