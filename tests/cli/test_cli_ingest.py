"""``outcore ingest``: what is printed, before the work and after it, and the errors."""

from __future__ import annotations

import gzip
import io
import json
import os
import re
import subprocess
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest

import outcore as oc
from tests.cli.commands import COMMAND, outcore, process

TEXT = "name,n,x\nann,1,0.5\nbob,2,NA\n"
BAD = "pos,pct\n1,0.5\n2,?\n3,0.25\nx,y\n5\n"


def written(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        (folder / f"{name}.csv").write_text(text)
    return folder


def facts(folder: Path, *arguments: str) -> dict[str, object]:
    """Run it with --json; one object is all that it prints."""
    run = outcore(folder, "ingest", *arguments, "--json")
    assert run.stderr == ""
    found = json.loads(run.stdout)
    assert isinstance(found, dict)
    return found


def test_the_plan_is_printed_and_then_the_result(tmp_path: Path) -> None:
    written(tmp_path, x=TEXT)
    lines = outcore(
        tmp_path, "ingest", "x.csv", "x.npy", "--workers", "2", "--memory", "1GB"
    ).stdout.splitlines()
    assert lines[0] == "plan  1 file, 28 B, comma, header, 3 columns; workers 2, budget 1.0 GB"
    assert lines[1].strip() == "name:S n:i8 x:f8"  # the width is measured after this
    assert lines[2].startswith(f"{tmp_path}/x.npy  (2,) name:S3 n:i8 x:f8  38 B")
    assert lines[3].startswith("2 rows of 1 file, ")
    assert len(lines) == 4


def test_json_is_one_object(tmp_path: Path) -> None:
    written(tmp_path, x=TEXT)
    made = facts(tmp_path, "*.csv", "y.h5::/y", "--compression", "4", "--chunks", "auto")
    seconds = made.pop("seconds")
    assert isinstance(seconds, float)
    assert made == {
        "address": f"{tmp_path}/y.h5::/y",
        "shape": [2],
        "dtype": [["name", "|S3"], ["n", "<i8"], ["x", "<f8"]],
        "nbytes": 38,
        "n_rows": 2,
        "n_files": 1,
        "n_rejects": 0,
        "n_masked": 0,
        "n_cut": 0,
        "rejects": "",
        "before": "",
    }
    with h5py.File(tmp_path / "y.h5") as f:
        assert f["y"][0].tolist() == (b"ann", 1, 0.5)
        assert (f["y"].compression, f["y"].compression_opts) == ("gzip", 4)


def test_every_option_of_the_text(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_bytes("junk\n#c\n1;'é';-;1,5\n".encode("latin-1"))
    options = (
        "--dtype|d:f4 b:U3 a:i2|--delimiter|semicolon|--no-header|--names|a,b,c,d|--columns|d,1,0"
        "|--skip-rows|1|--comment|#|--quote|'|--encoding|latin-1|--decimal|,|--na|-|--fill|7|--memory|64MB"
        "|--no-progress|--overwrite"
    )
    outcore(tmp_path, "ingest", "x.txt", "x.npy", *options.split("|"))
    assert np.load(tmp_path / "x.npy").tolist() == [(1.5, "é", 1)]


@pytest.mark.parametrize(
    ("word", "delimiter"), [("tab", "\t"), ("space", " "), ("pipe", "|"), ("~", "~"), ("whitespace", "  \t")]
)
def test_delimiters_are_named_in_the_plan_too(tmp_path: Path, word: str, delimiter: str) -> None:
    written(tmp_path, x=f"1{delimiter}2\n")
    run = outcore(tmp_path, "ingest", "x.csv", "x.npy", "--delimiter", word)
    assert np.load(tmp_path / "x.npy").tolist() == [[1, 2]]
    shown = {"~": "'~'", "whitespace": "white space"}.get(word, word)
    assert f", {shown}, no header, 2 columns;" in run.stdout


def test_the_plan_says_how_files_are_compressed(tmp_path: Path) -> None:
    packed = gzip.compress(b"a,b,c\n1,2,3\n")
    for name in ("p1.gz", "p2.gz"):
        (tmp_path / name).write_bytes(packed)
    run = outcore(tmp_path, "ingest", "*.gz", "x.npy", "--columns", "c,a")
    assert f"plan  2 files, {2 * len(packed)} B gzip, comma, header, 2 of 3 columns;" in run.stdout
    (tmp_path / "p3.gz").write_bytes(b"a,b,c\n1,2,3\n")
    assert "B gzip and plain, " in outcore(tmp_path, "ingest", "*.gz", "y.npy").stdout


def test_members_of_an_archive(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "logs.zip", "w") as archive:
        for day in (1, 2, 10):
            archive.writestr(f"day{day}.csv", f"{day},0\n")
    assert facts(tmp_path, "logs.zip", "all.npy")["n_files"] == 3
    assert np.load(tmp_path / "all.npy")[:, 0].tolist() == [1, 2, 10]
    outcore(tmp_path, "ingest", "logs.zip::day10.csv", "one.npy")
    assert np.load(tmp_path / "one.npy").tolist() == [[10, 0]]


def test_types_of_many_columns_are_not_all_printed(tmp_path: Path) -> None:
    names = [f"x{i}" for i in range(500)]
    written(tmp_path, x=",".join(names) + "\n" + ",".join(["1"] * 499 + ["t"]) + "\n")
    run = outcore(tmp_path, "ingest", "x.csv", "x.npy")
    assert "... 470 more fields ... x499:S" in run.stdout
    assert max(map(len, run.stdout.splitlines())) < 600


# ---- categories, schema, truncate --------------------------------------------------------------------


def test_categories(tmp_path: Path) -> None:
    written(tmp_path, x="chr,pos\nchr2,1\nchr1,2\nchr2,3\n")
    run = outcore(tmp_path, "ingest", "x.csv", "x.npy", "--categories", "chr")
    assert "chr:category pos:i8" in run.stdout
    assert np.load(tmp_path / "x.npy")["chr"].tolist() == [1, 0, 1]


def test_a_schema_from_a_dry_run_can_be_edited_and_used(tmp_path: Path) -> None:
    written(tmp_path, x=TEXT)
    schema = outcore(tmp_path, "ingest", "x.csv", "x.npy", "--dry-run", "--json").stdout
    assert json.loads(schema)["dialect"]["delimiter"] == ","
    (tmp_path / "types.json").write_text(schema.replace('"f8"', '"f4"'))
    made = facts(tmp_path, "x.csv", "x.npy", "--schema", "types.json")
    assert made["dtype"] == [["name", "|S3"], ["n", "<i8"], ["x", "<f4"]]
    # What a run leaves beside the target serves as well.
    assert facts(tmp_path, "x.csv", "y.npy", "--schema", "x.npy.ingest/schema.json")["dtype"] == made["dtype"]


def test_cut_texts_are_counted(tmp_path: Path) -> None:
    written(tmp_path, x=TEXT)
    arguments = ("ingest", "x.csv", "x.npy", "--dtype", "name:S2 n:i4 x:f4")
    assert "--truncate" in outcore(tmp_path, *arguments, code=1).stderr
    assert "cut  2 texts to the width of the field" in outcore(tmp_path, *arguments, "--truncate").stdout
    assert facts(tmp_path, *arguments[1:], "--truncate")["n_cut"] == 2


# ---- what goes wrong ---------------------------------------------------------------------------------


def test_rejects_are_no_failure_and_are_listed(tmp_path: Path) -> None:
    written(tmp_path, bad=BAD)
    run = outcore(tmp_path, "ingest", "bad.csv", "x.npy", "--dtype", "f4", "--on-error", "reject")
    lines = run.stdout.splitlines()
    assert lines[2:7] == [
        f"rejects  3 records left out; listed in {tmp_path}/x.rejects.csv",
        "  bad.csv:3:2  pct: '?' is not float32",
        "  bad.csv:5:1  pos: 'x' is not float32",
        "  bad.csv:5:2  pct: 'y' is not float32",
        "  bad.csv:6  1 field, expected 2: '5'",
    ]
    assert run.stderr == ""
    assert np.load(tmp_path / "x.npy").tolist() == [[1, 0.5], [3, 0.25]]
    assert (tmp_path / "x.rejects.csv").read_text().count("\n") == 5


def test_no_more_than_ten_are_told(tmp_path: Path) -> None:
    written(tmp_path, bad="a,b\n" + "".join(f"{i},?\n" for i in range(33)) + "1,2\n")
    arguments = ("ingest", "bad.csv", "x.npy", "--dtype", "f4", "--on-error", "reject", "--rejects", "r.csv")
    run = outcore(tmp_path, *arguments)
    assert len(re.findall("^  bad.csv:", run.stdout, re.MULTILINE)) == 10
    assert "\n  and 23 more\n" in run.stdout
    again = outcore(tmp_path, *arguments)
    assert "nothing to do: 1 file unchanged" in again.stdout
    assert "rejects  33 records left out; listed in " in again.stdout
    found = facts(tmp_path, *arguments[1:])
    assert (found["n_rejects"], found["before"]) == (33, "finished")
    assert os.path.samefile(tmp_path / str(found["rejects"]), tmp_path / "r.csv")


def test_masked_cells_are_told(tmp_path: Path) -> None:
    written(tmp_path, bad=BAD)
    run = outcore(tmp_path, "ingest", "bad.csv", "x.npy", "--dtype", "f4", "--on-error", "mask")
    assert "rejects  1 record left out, 3 cells masked; listed in " in run.stdout
    assert "more\n" not in run.stdout
    assert np.load(tmp_path / "x.npy").shape == (4, 2)
    found = facts(tmp_path, "bad.csv", "y.npy", "--dtype", "f4", "--on-error", "mask")
    assert (found["n_rejects"], found["n_masked"], found["n_rows"]) == (1, 3, 4)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("--dtype i4", "x.csv:2:1  name: 'ann' is not int32"),
        ("--delimiter ::", "delimiter='::' is not one ASCII character"),
        ("--decimal x", "decimal='x' is not supported"),
        ("--encoding klingon", "encoding='klingon' is not supported"),
        ("--columns 7", "7"),
        ("--categories nope", "nope"),
        ("--schema no.json", "no.json: there is no such schema file"),
        ("--schema broken.json", "broken.json"),
        ("--schema types.json --delimiter tab", "the schema says something else"),
        ("--max-rejects 3", 'max_rejects=3 needs on_error="reject"'),
        ("--on-error reject --max-rejects 0 --dtype f4", "max_rejects=0"),
        ("--on-error mask", "fill=VALUE (--fill VALUE)"),
        ("--workers 0", "workers=0"),
        ("--memory 1MB", "the budget is 1.0 MB"),
        ("--memory lots", "memory='lots'"),
        ("--compression gzip", "x.npy is a flat file"),
        ("--dtype wrong:x9", "x9"),
    ],
)
def test_an_error_says_what_to_type_and_leaves_nothing(tmp_path: Path, arguments: str, words: str) -> None:
    written(tmp_path, x=TEXT)
    (tmp_path / "broken.json").write_text("{")
    (tmp_path / "types.json").write_text(
        outcore(tmp_path, "ingest", "x.csv", "x.npy", "--dry-run", "--json").stdout
    )
    before = sorted(os.listdir(tmp_path))
    run = outcore(tmp_path, "ingest", "x.csv", "x.npy", *arguments.split(), code=1)
    assert run.stderr.startswith("outcore: ")
    assert words in run.stderr
    assert run.stderr.count("\n") >= 2  # what happened, and what to type
    assert run.stdout == "" or run.stdout.startswith("plan  1 file, ")
    assert sorted(os.listdir(tmp_path)) == before
    assert outcore(tmp_path, "ingest", "x.csv", "x.npy", *arguments.split(), "--json", code=1).stdout == ""


def test_a_target_that_was_made_otherwise_stays(tmp_path: Path) -> None:
    written(tmp_path, x=TEXT)
    outcore(tmp_path, "ingest", "x.csv", "x.npy")
    run = outcore(tmp_path, "ingest", "x.csv", "x.npy", "--fill", "0", code=1)
    assert "fill was None, is 0" in run.stderr
    assert "--overwrite" in run.stderr
    assert "x:f8" in outcore(tmp_path, "ingest", "x.csv", "x.npy", "--fill", "0", "--overwrite").stdout


# ---- again -------------------------------------------------------------------------------------------


def test_again_there_is_nothing_to_do(tmp_path: Path) -> None:
    written(tmp_path, p1="1,2\n", p2="3,4\n")
    outcore(tmp_path, "ingest", "*.csv", "x.npy")
    run = outcore(tmp_path, "ingest", "*.csv", "x.npy")
    assert run.stdout.startswith("nothing to do: 2 files unchanged\n")
    assert "plan" not in run.stdout
    assert outcore(tmp_path, "ingest", "*.csv", "x.npy", "--dry-run").stdout.splitlines()[-2:] == [
        "nothing to do: 2 files unchanged",
        "dry run: x.npy was not touched",
    ]


def test_new_files_are_added(tmp_path: Path) -> None:
    written(tmp_path, p1="1,2\n", p2="3,4\n")
    outcore(tmp_path, "ingest", "*.csv", "x.npy")
    written(tmp_path, p3="5,6\n", p4="7,8\n", p5="9,0\n")
    rehearsed = outcore(tmp_path, "ingest", "*.csv", "x.npy", "--dry-run").stdout
    assert "would add 3 files to the 2 that were read before" in rehearsed
    assert len(np.load(tmp_path / "x.npy")) == 2
    assert (
        "added 3 files to the 2 that were read before" in outcore(tmp_path, "ingest", "*.csv", "x.npy").stdout
    )
    assert np.load(tmp_path / "x.npy").tolist() == [[1, 2], [3, 4], [5, 6], [7, 8], [9, 0]]
    written(tmp_path, p6="1,1\n")
    found = facts(tmp_path, "*.csv", "x.npy")
    assert (found["before"], found["n_files"], found["n_rows"]) == ("grown", 6, 6)


def test_a_file_that_changed_is_named(tmp_path: Path) -> None:
    written(tmp_path, p1="1,2\n", p2="3,4\n")
    outcore(tmp_path, "ingest", "*.csv", "x.npy")
    written(tmp_path, p2="3,4\n5,6\n")
    assert f"{tmp_path}/p2.csv has changed" in outcore(tmp_path, "ingest", "*.csv", "x.npy", code=1).stderr


# ---- dry run -----------------------------------------------------------------------------------------


def test_a_dry_run_shows_the_columns_and_writes_nothing(tmp_path: Path) -> None:
    written(tmp_path, x=TEXT)
    run = outcore(tmp_path, "ingest", "x.csv", "x.npy", "--dry-run")
    lines = run.stdout.splitlines()
    assert lines[0].startswith("plan  1 file, 28 B, comma, header, 3 columns;")
    assert [line.split() for line in lines[-4:-1]] == [
        ["name", "S,", "to", "be", "measured", "1"],
        ["n", "i8", "2"],
        ["x", "f8", "3"],
    ]
    assert lines[-1] == "dry run: x.npy was not touched"
    assert os.listdir(tmp_path) == ["x.csv"]


def test_a_dry_run_makes_the_same_checks(tmp_path: Path) -> None:
    written(tmp_path, x=TEXT)
    (tmp_path / "x.npy").write_bytes(b"precious")
    assert "--overwrite" in outcore(tmp_path, "ingest", "x.csv", "x.npy", "--dry-run", code=1).stderr
    assert outcore(tmp_path, "ingest", "x.csv", "x.npy", "--dry-run", "--overwrite").stderr == ""
    assert (tmp_path / "x.npy").read_bytes() == b"precious"
    assert (
        "workers=0"
        in outcore(tmp_path, "ingest", "x.csv", "y.npy", "--dry-run", "--workers", "0", code=1).stderr
    )


# ---- standard input ----------------------------------------------------------------------------------


def piped(folder: Path, data: bytes, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[bytes]:
    run = subprocess.run(
        [*COMMAND, "ingest", "-", *arguments], cwd=folder, input=data, capture_output=True, check=False
    )
    assert run.returncode == code, run
    assert b"Traceback" not in run.stderr
    return run


def test_standard_input(tmp_path: Path) -> None:
    data = b"a,b\n" + b"".join(b"%d,%d\n" % (i, 2 * i) for i in range(1000))
    run = piped(tmp_path, gzip.compress(data), "x.npy")
    assert run.stdout.startswith(b"plan  1 file, size unknown gzip, comma, header, 2 columns;")
    assert b"1,000 rows of 1 file" in run.stdout
    assert np.array_equal(np.load(tmp_path / "x.npy"), np.arange(1000)[:, None] * [1, 2])
    again = piped(tmp_path, data, "x.npy", code=1)
    assert b"x.npy exists and overwrite is False" in again.stderr
    assert b"(--overwrite)" in again.stderr


def test_standard_input_that_would_have_to_be_read_twice(tmp_path: Path) -> None:
    run = piped(tmp_path, TEXT.encode(), "x.npy", code=1)
    assert b"<stdin> can be read only once" in run.stderr
    assert os.listdir(tmp_path) == []
    rehearsed = piped(tmp_path, TEXT.encode(), "x.npy", "--dry-run")
    assert (
        b"<stdin> can be read only once: give what is to be measured by --dtype or --schema"
        in rehearsed.stdout
    )
    made = piped(tmp_path, TEXT.encode(), "x.npy", "--dtype", "name:S3 n:i4 x:f4", "--json")
    assert json.loads(made.stdout)["n_rows"] == 2


def test_standard_input_twice(tmp_path: Path) -> None:
    assert b"standard input, '-', twice" in piped(tmp_path, b"1\n", "-", "x.npy", code=1).stderr


# ---- as a process, and beside Python -----------------------------------------------------------------


def test_as_a_process(tmp_path: Path) -> None:
    written(tmp_path, x=TEXT, bad=BAD)
    assert json.loads(process(tmp_path, "ingest", "x.csv", "x.npy", "--json").stdout)["shape"] == [2]
    assert process(tmp_path, "ingest", "bad.csv", "y.npy", "--dtype", "f4", code=1).stderr.startswith(
        "outcore: bad.csv:3:2  pct: '?' is not float32"
    )
    assert (
        process(tmp_path, "ingest", "bad.csv", "y.npy", "--dtype", "f4", "--on-error", "reject").stderr == ""
    )
    assert "usage:" in process(tmp_path, "ingest", "x.csv", "y.npy", "--on-error", "skip", code=2).stderr


def test_what_python_made_the_command_knows_and_the_other_way_round(tmp_path: Path) -> None:
    written(tmp_path, x="a\tb\n1\t2\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        with oc.ingest(
            "x.csv", "x.npy", "f4", delimiter="\t", columns=["b", 0], na_values=["-"], fill=7
        ) as made:
            assert made[:].tolist() == [[2, 1]]
    words = "x.csv x.npy --dtype f4 --delimiter tab --columns b,0 --na - --fill 7"
    assert facts(tmp_path, *words.split())["before"] == "finished"


def test_a_reader_that_has_enough_stops_it_quietly(tmp_path: Path) -> None:
    written(tmp_path, x=TEXT)
    with subprocess.Popen(
        [*COMMAND, "ingest", "x.csv", "x.npy"], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as running:
        assert isinstance(running.stdout, io.BufferedReader)
        assert running.stderr is not None
        running.stdout.close()
        assert running.stderr.read() == b""
    assert running.returncode == 141
