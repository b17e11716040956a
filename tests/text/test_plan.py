"""What samples are taken of, and that they stay small."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

import outcore as oc
from outcore.text import plan as module
from outcore.text import samples
from outcore.text.parse import Plan
from outcore.text.plan import check_headers, header_check, make_plan
from outcore.text.schema_file import dump
from outcore.text.sources import find
from outcore.text.wishes import Wishes

NOTHING = Wishes()


def planned(folder: Path, *, wishes: Wishes = NOTHING, **texts: str) -> Plan:
    for name, text in texts.items():
        (folder / f"{name}.csv").write_text(text)
    return make_plan(find(folder / "*.csv"), wishes)


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


def test_of_many_files_little_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looked_at: list[int] = []
    real = module.Evidence.add
    monkeypatch.setattr(
        module.Evidence, "add", lambda self, text: (looked_at.append(len(text)), real(self, text))[1]
    )
    monkeypatch.setattr(samples, "ALL_BYTES", 1 << 16)
    planned(tmp_path, **{f"p{i}": "1,2\n" * 5000 for i in range(100)})
    assert max(looked_at) == samples.LEAST_BYTES
    assert len(looked_at) == 300


def test_a_file_is_opened_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    real = type(find(__file__)[0]).open
    monkeypatch.setattr(
        type(find(__file__)[0]),
        "open",
        lambda self, **options: (opened.append(self.path), real(self, **options))[1],
    )
    planned(tmp_path, a="a,b\n1,2\n", b="a,b\n" + "3,4\n" * 100_000)
    assert [Path(path).name for path in opened] == ["a.csv", "b.csv"]


def test_of_compressed_files_a_longer_start_is_looked_at(tmp_path: Path) -> None:
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(b"a,b\n" + b"1,2\n" * 200_000 + b"1,2.5\n" * 100))
    assert make_plan(find(tmp_path / "*.gz"), Wishes()).schema.dtype == np.dtype("f8")


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
    plan = make_plan(find(tmp_path / "a.csv"), Wishes(skip_rows=1, comment="#"))
    assert (plan.schema.file_names, plan.schema.dtype) == (("a", "b"), np.dtype("i8"))


def test_quotes_and_blanks_between_fields(tmp_path: Path) -> None:
    text = 'name  value\n"x  y"   1\n' + '"a b" 2.5\n' * 60_000
    plan = planned(tmp_path, a=text)
    assert (plan.dialect.delimiter, plan.schema.dtype) == (
        "whitespace",
        np.dtype([("name", "S"), ("value", "f8")]),
    )


def test_long_records(tmp_path: Path) -> None:
    long = '"' + "lorem, ipsum\n" * 500_000 + '"\n'
    plan = planned(tmp_path, a=f'id,"{"text" * 2000}"\n1.5,{long}2,{long}3,{long}')
    assert plan.schema.header == ("id", "text" * 2000)
    assert [column.dtype for column in plan.schema.columns] == ["f8", "S"]


def test_the_header_is_kept_as_it_is_written(tmp_path: Path) -> None:
    assert planned(tmp_path, a="id, wind speed\n1,2\n").schema.header == ("id", " wind speed")
    assert planned(tmp_path, a="1,2\n3,4\n").schema.header == ()


def test_files_with_another_header(tmp_path: Path) -> None:
    with pytest.raises(
        oc.errors.IngestError, match=r"b.csv has another header than .*a.csv:\n  a, b\n  a, c"
    ):
        planned(tmp_path, a="a,b\n1,2\n", b="a,c\n1,2\n")
    wide = [f"x{i}" for i in range(100)]
    values = ",".join("1" * 100)
    with pytest.raises(oc.errors.IngestError, match=r"column 100 is 'x99', here 'y'"):
        planned(
            tmp_path,
            a=",".join(wide) + "\n" + values,
            b=",".join([*wide[:-1], "y"]) + "\n" + values,
        )
    with pytest.raises(oc.errors.IngestError, match=r"b.csv has another header than .*: 2 names, here 3:"):
        planned(tmp_path, a="a,b\n1,2\n", b="a,b,c\n1,2,3\n")


def test_files_with_more_columns(tmp_path: Path) -> None:
    with pytest.raises(oc.errors.IngestError, match=r"b.csv has 1 column; .*a.csv has 2"):
        planned(tmp_path, a="1,2\n", b="3\n")


def test_a_plan_knows_files_that_do_not_belong_to_it(tmp_path: Path) -> None:
    plan = planned(tmp_path, a="a,b\n1,2\n")
    (tmp_path / "new.csv").write_text("b,a\n1,2\n")
    with pytest.raises(oc.errors.IngestError, match=r"new.csv has another header than the others"):
        check_headers(find(tmp_path / "new.csv"), plan)
    (tmp_path / "new.csv").write_text("\n\na,b\n1,2\n")
    check_headers(find(tmp_path / "new.csv"), plan)
    check = header_check(Plan(plan.dialect, plan.schema, plan.meaning))
    check("x.csv", b'"a",b\r\n')
    with pytest.raises(oc.errors.IngestError, match=r"x.csv has another header than the others"):
        check("x.csv", b"a, b\n")
    (tmp_path / "new.csv").unlink()
    (tmp_path / "a.csv").write_text("1,2\n")
    check = header_check(make_plan(find(tmp_path / "a.csv"), Wishes()), "the schema")
    check("x.csv", b"7,8\n")
    with pytest.raises(oc.errors.IngestError, match=r"x.csv has 3 columns; the schema has 2"):
        check("x.csv", b"7,8,9\n")


CARRIERS = "carrier,delay\nUA,1\nAA,2\nUA,3\n"


@pytest.mark.parametrize("categories", ["carrier", ["carrier"], 0, [-2], {"carrier": None}])
def test_categories_to_be_found(tmp_path: Path, categories: object) -> None:
    plan = planned(tmp_path, wishes=Wishes(categories=categories), a=CARRIERS)
    carrier, delay = plan.schema.columns
    assert (carrier.sought, carrier.categories, carrier.dtype) == (True, (), np.dtype("S"))
    assert (delay.sought, delay.categories, delay.dtype) == (False, None, np.dtype("i8"))


@pytest.mark.parametrize(
    ("wishes", "dtype", "matrix"),
    [
        (Wishes(categories={"carrier": ["UA", "AA"]}), [("carrier", "i1"), ("delay", "i8")], False),
        (
            Wishes("carrier:category delay:f4", categories={0: ["UA", "AA"]}),
            [("carrier", "i1"), ("delay", "f4")],
            False,
        ),
        (
            Wishes("carrier:i4 delay:f4", categories={0: ["UA", "AA"]}),
            [("carrier", "i4"), ("delay", "f4")],
            False,
        ),
        (Wishes("f4", categories={0: ["UA", "AA"]}), "f4", True),
        (Wishes("u1", categories={0: ["UA", "AA"]}, fill=255), "u1", True),
        (
            Wishes("x:category y:f4", categories={"x": ["UA"], "y": None}, header=True, names=["x", "y"]),
            [("x", "i1"), ("y", "f4")],
            False,
        ),
    ],
)
def test_given_categories(tmp_path: Path, wishes: Wishes, dtype: object, matrix: bool) -> None:
    plan = planned(tmp_path, wishes=wishes, a=CARRIERS)
    assert (plan.schema.dtype, plan.schema.matrix) == (np.dtype(dtype), matrix)
    assert plan.schema.columns[0].categories in (("UA", "AA"), ("UA",))


@pytest.mark.parametrize(
    ("wishes", "text"),
    [
        (
            Wishes(categories="x"),
            r"categories holds 'x'; the files have 2 columns.\nThey are: carrier, delay",
        ),
        (Wishes(categories="carrier", columns=["delay"]), r"categories holds 'carrier', which is not kept"),
        (Wishes("carrier:category delay:i4", categories=[7]), r"categories holds 7; the files have 2"),
        (Wishes(categories={"carrier": ["UA"]}, fill=0.5), r"fill=0.5 is no code of carrier"),
        (Wishes(fill="x"), r"fill='x' is no value of"),
        (Wishes(skip_rows=-1), r"skip_rows=-1 is not a number of lines"),
        (Wishes(names=["a"]), r"names has 1 entries; the files have 2 columns"),
    ],
)
def test_wishes_that_do_not_fit(tmp_path: Path, wishes: Wishes, text: str) -> None:
    with pytest.raises(oc.errors.OptionError, match=text):
        planned(tmp_path, wishes=wishes, a=CARRIERS)


def test_nothing_to_go_by(tmp_path: Path) -> None:
    with pytest.raises(oc.errors.IngestError, match=r"hold no records(.|\n)*dtype="):
        planned(tmp_path, a="", b="\n# x\n", wishes=Wishes(comment="#"))
    plan = planned(tmp_path, a="", wishes=Wishes("a:i4 b:category"))
    assert [column.name for column in plan.schema.columns] == ["a", "b"]


def test_a_schema_decides(tmp_path: Path) -> None:
    first = planned(tmp_path, a=CARRIERS)
    schema = tmp_path / "schema.json"
    schema.write_text(dump(first).replace('"i8"', '"f4"').replace('"S"', '"S3"'))
    again = planned(tmp_path, wishes=Wishes(schema=schema))
    assert again.schema.dtype == np.dtype([("carrier", "S3"), ("delay", "f4")])
    with pytest.raises(oc.errors.OptionError, match=r"something else than delimiter=';' \(schema: ','\)"):
        planned(tmp_path, wishes=Wishes(schema=schema, delimiter=";"))
    with pytest.raises(oc.errors.IngestError, match=r"b.csv has another header than the schema"):
        planned(tmp_path, wishes=Wishes(schema=schema), b="x,y\n1,2\n")
