"""The options of ``ingest``: all that `oc.ingest` takes, and a manual."""

from __future__ import annotations

import argparse
import inspect
import shlex

import pytest

import outcore as oc
from outcore.cli import build_parser
from outcore.text.request import Request
from outcore.text.wishes import Wishes


def ingest_parser() -> argparse.ArgumentParser:
    (action,) = (a for a in build_parser()._actions if isinstance(a, argparse._SubParsersAction))
    found = action.choices["ingest"]
    assert isinstance(found, argparse.ArgumentParser)
    return found


def parsed(*words: str) -> argparse.Namespace:
    return build_parser().parse_args(["ingest", "a.csv", "x.npy", *words])


def options(line: str) -> argparse.Namespace:
    return parsed(*line.split())


def test_every_keyword_has_its_option_and_every_option_its_keyword() -> None:
    options = {action.dest for action in ingest_parser()._actions}
    about_the_command = {"help", "json", "dry_run"}
    assert options - about_the_command == set(inspect.signature(oc.ingest).parameters)


def test_options_are_named_as_keywords_are() -> None:
    names: dict[str, list[str]] = {}
    for action in ingest_parser()._actions:
        if action.option_strings:
            names.setdefault(action.dest, []).extend(action.option_strings)
    others = {dest: given for dest, given in names.items() if f"--{dest.replace('_', '-')}" not in given}
    assert others == {"na_values": ["--na"]}


def test_what_is_not_given_is_the_default_of_the_function() -> None:
    keywords = inspect.signature(oc.ingest).parameters
    for name, value in vars(parsed()).items():
        if name in keywords and name not in ("sources", "target"):
            # None: the command takes the function's own.
            assert value == keywords[name].default or (name, value) == ("na_values", None), name


def test_what_is_asked_for_is_all_there_is() -> None:
    # A field that the command does not fill would be an option that nobody can give.
    fields = (set(Request.__dataclass_fields__) | set(Wishes.__dataclass_fields__)) - {"wishes"}
    assert fields == set(inspect.signature(oc.ingest).parameters) - {"sources", "target"}


@pytest.mark.parametrize(
    ("word", "delimiter"),
    [
        ("tab", "\t"),
        ("\\t", "\t"),
        ("\t", "\t"),
        ("space", " "),
        (" ", " "),
        ("comma", ","),
        ("semicolon", ";"),
        ("pipe", "|"),
        ("whitespace", "whitespace"),
        ("~", "~"),
        ("::", "::"),  # refused later, by the same words as in Python
    ],
)
def test_delimiters_have_names(word: str, delimiter: str) -> None:
    assert parsed("--delimiter", word).delimiter == delimiter


def test_values_are_understood() -> None:
    given = options("--categories chr,-1,2 --schema s.json --truncate")
    assert (given.categories, given.schema, given.truncate) == (["chr", -1, 2], "s.json", True)
    given = options("--on-error reject --max-rejects 5 --rejects r.csv --workers 3 --dry-run")
    assert (given.on_error, given.max_rejects, given.rejects) == ("reject", 5, "r.csv")
    assert (given.workers, given.dry_run) == (3, True)
    assert (parsed("--chunks", "auto").chunks, parsed("--chunks", "100,5").chunks) == (True, (100, 5))
    assert (parsed("--compression", "9").compression, parsed("--compression", "lzf").compression) == (
        9,
        "lzf",
    )
    assert build_parser().parse_args(["ingest", "-", "b.csv", "x.npy"]).sources == ["-", "b.csv"]


@pytest.mark.parametrize(
    "words", ["--on-error skip", "--max-rejects -1", "--max-rejects few", "--workers two", "--chunks a"]
)
def test_wrong_values_exit_with_2(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        options(words)
    assert caught.value.code == 2
    assert words.split()[0] in capsys.readouterr().err


def test_the_help_is_a_manual() -> None:
    text = ingest_parser().format_help()
    titles = (
        "\nsources\n",
        "\nthe text\n",
        "\ntypes\n",
        "\nmissing values\n",
        "\nwhat goes wrong\n",
        "\ngoing on\n",
        "\nbeside the target ",
        "\nexit codes\n",
        "\nexamples\n",
    )
    assert [title for title in titles if title not in text] == []
    words = ("--dtype f4", "chr:S10", "M8[s]", "--decimal ,", ".csv.gz", "logs.zip::day1.csv", "ingest - ")
    assert [word for word in words if word not in text] == []
    assert max(map(len, text.splitlines())) <= 110


def test_the_examples_are_commands() -> None:
    lines = (ingest_parser().epilog or "").replace("\\\n", " ").splitlines()
    commands = [line.split("outcore ingest", 1)[1] for line in lines if "outcore ingest " in line]
    assert len(commands) >= 10
    for command in commands:
        words = shlex.split(command.partition(" > ")[0])
        assert ingest_parser().parse_args(words).target.endswith((".npy", "::/reads"))
