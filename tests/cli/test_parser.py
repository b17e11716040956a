"""Arguments: what is refused, and that asking costs nothing."""

from __future__ import annotations

import argparse
import subprocess
import sys
from importlib.util import find_spec

import pytest

from outcore.cli import build_parser


def verbs() -> dict[str, argparse.ArgumentParser]:
    (action,) = (a for a in build_parser()._actions if isinstance(a, argparse._SubParsersAction))
    return dict(action.choices)


def test_the_verbs() -> None:
    names = ["info", "head", "ingest", "convert", "combine", "describe", "shm", "doctor", "demo"]
    assert list(verbs()) == names


@pytest.mark.parametrize("name", list(verbs()))
def test_each_verb_has_a_module_and_json(name: str) -> None:
    parser = verbs()[name]
    assert find_spec(parser.get_default("module")) is not None
    assert "--json" in parser.format_help()
    assert parser.description


@pytest.mark.parametrize("name", list(verbs()))
def test_every_option_is_explained(name: str) -> None:
    assert [a.option_strings or a.dest for a in verbs()[name]._actions if not a.help] == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["ingest", "--help"],
        ["doctor", "--help"],
        ["shm", "--help"],
        ["--version"],
        ["info"],
        ["no-such-verb"],
    ],
)
def test_asking_imports_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import sys\nfrom outcore.cli import main\n"
        "try: main(sys.argv[1:])\nexcept SystemExit: pass\n"
        "heavy = {'numpy', 'h5py', 'polars', 'rich', 'scipy'} & set(sys.modules)\n"
        "print(sorted(heavy), file=sys.stderr)"
    )
    run = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    assert run.stderr.splitlines()[-1] == "[]"


def test_options_are_not_abbreviated(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        build_parser().parse_args(["describe", "x.npy", "--mem", "1GB"])
    assert caught.value.code == 2
    assert "--mem" in capsys.readouterr().err


def test_values_are_understood() -> None:
    parse = build_parser().parse_args
    words = "ingest a.csv b.csv x.npy --fill -1 --columns a,2 --na . --na - --memory 0.5 --no-header"
    given = parse([*words.split(), "--no-progress"])
    assert (given.sources, given.target, given.fill, given.memory) == (["a.csv", "b.csv"], "x.npy", -1, 0.5)
    assert (given.columns, given.na_values) == (["a", 2], [".", "-"])
    assert (given.header, given.progress) == (False, False)
    assert isinstance(given.fill, int)
    words = "head x.bin --dtype f8 --shape -1,3 --offset 16 -n 4"
    given = parse(words.split())
    assert (given.dtype, given.shape, given.offset, given.rows) == ("f8", (-1, 3), 16, 4)
    assert parse(["ingest", "a", "b"]).header is None
    assert parse(["ingest", "a", "b", "--columns", "-1,0"]).columns == [-1, 0]
    assert parse(["ingest", "a", "b", "--fill", "2.5"]).fill == 2.5


@pytest.mark.parametrize(
    "arguments",
    [
        "head x.npy -n -1",
        "head x.npy -n many",
        "convert x.npy y.h5::/y --chunks a,b",
        "convert x.npy y.npy --casting maybe",
        "ingest a.csv x.npy --fill much",
        "ingest x.npy",
        "ingest a.csv x.npy --header --no-header",
        "demo --size big",
        "",
    ],
)
def test_wrong_arguments_exit_with_2(arguments: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        build_parser().parse_args(arguments.split())
    assert caught.value.code == 2
    assert "outcore" in capsys.readouterr().err
