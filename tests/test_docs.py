"""What the documents say is true: their code runs, their links lead somewhere, nothing public is missing."""

from __future__ import annotations

import argparse
import linecache
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest

import outcore as oc
from tests.documents import ROOT, Block, anchors, blocks, commands, documents, links

DOCUMENTS = [pytest.param(path, id=str(path.relative_to(ROOT))) for path in documents()]
COMMAND_S = 90.0
WITHOUT_TORCH = os.environ.get("TORCH") == "0"
# Fences whose code would pass unread. Shell lines belong in `console`, Python in `python`.
UNREAD = {"bash", "ipython", "py", "pycon", "python3", "sh", "shell"}


def run_python(block: Block, document: Path, namespace: dict[str, object]) -> None:
    # Named and numbered so that a traceback shows the document's own line.
    name = f"<{document.relative_to(ROOT)}:{block.line}>"
    linecache.cache[name] = (len(block.text), None, block.text.splitlines(keepends=True), name)
    exec(compile(block.text, name, "exec"), namespace)


def run_console(block: Block, document: Path, folder: Path) -> None:
    for command in commands(block.text):
        program = re.match(r"python (\S+\.py)\b", command)
        if program and (folder / program[1]).exists():
            command = command.removeprefix("python ")
        elif re.match(r"outcore\b", command):
            command = f"-m {command}"
        else:
            continue  # make, pip and their like are shown, not run
        run = subprocess.run(
            f'"{sys.executable}" {command}',
            shell=True,  # the reader's shell expands patterns and pipes, so ours does
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=COMMAND_S,
        )
        assert run.returncode == 0, (
            f"{document.relative_to(ROOT)}:{block.line}: `{command}` exited {run.returncode}\n"
            f"{run.stdout}{run.stderr}"
        )


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let blocks, and the processes that they start, import the files of their document."""
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", None)).startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.mark.parametrize("document", DOCUMENTS)
@pytest.mark.usefixtures("modules")
def test_the_code_runs(document: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {"__name__": "__main__"}
    for block in blocks(document.read_text(encoding="utf-8")):
        where = f"{document.relative_to(ROOT)}:{block.line}"
        assert block.language not in UNREAD, f"{where}: use python or console, not {block.language}"
        if block.language in ("python", "console") and not block.run:
            assert block.text.lstrip().startswith("#"), (
                f"{where}: a no-run block starts with a comment that says why"
            )
        if block.file:
            (tmp_path / block.file).write_text(block.text, encoding="utf-8")
        elif block.language == "python" and block.run:
            run_python(block, document, namespace)
        elif block.language == "python":
            compile(block.text, where, "exec")
        elif block.language == "console" and block.run and not (block.torch and WITHOUT_TORCH):
            run_console(block, document, tmp_path)


@pytest.mark.parametrize("document", [*DOCUMENTS, *map(pytest.param, sorted(ROOT.glob("C*.md")))])
def test_local_links_lead_somewhere(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    dead = []
    for link in links(text):
        if re.match(r"[a-z]+:", link):
            continue  # the web; no test needs the network
        name, _, anchor = unquote(link).partition("#")
        target = (document.parent / name) if name else document
        if not target.exists() or (
            anchor and target.suffix == ".md" and anchor not in anchors(target.read_text(encoding="utf-8"))
        ):
            dead.append(link)
    assert dead == []


@pytest.mark.parametrize("name", oc.__all__)
def test_every_public_name_is_in_the_reference(name: str) -> None:
    reference = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
    assert re.search(rf"(?:\boc\.|\boutcore\.|`){re.escape(name)}\b", reference), name


def test_every_error_is_in_the_reference() -> None:
    reference = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
    errors = [
        name
        for name, thing in vars(oc.errors).items()
        if isinstance(thing, type) and issubclass(thing, oc.errors.OutcoreError)
    ]
    assert errors
    assert [name for name in errors if not re.search(rf"\b{name}\b", reference)] == []


def test_every_command_is_in_the_documents() -> None:
    from outcore.cli import build_parser

    subparsers = [a for a in build_parser()._actions if isinstance(a, argparse._SubParsersAction)]
    names = [name for action in subparsers for name in action.choices]
    assert names
    text = "\n".join(path.read_text(encoding="utf-8") for path in documents())
    assert [name for name in names if not re.search(rf"\boutcore {re.escape(name)}\b", text)] == []


def test_every_make_target_is_in_its_help() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    (phony,) = re.findall(r"^\.PHONY: (setup .*)$", makefile, re.MULTILINE)
    helped = re.findall(r"^([a-z-]+):.*  ## ", makefile, re.MULTILINE)
    assert sorted(helped) == sorted(phony.split())


def repository_files() -> list[Path]:
    """What git tracks, or would if everything that it does not ignore were added."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    ).stdout.decode()
    return [path for name in listing.split("\0") if name and (path := ROOT / name).is_file()]


def test_no_file_names_a_folder_of_this_machine() -> None:
    # The checkout, the folder that holds it and the home folder, unless every machine has one of that name.
    everywhere = set(map(Path, ("/", "/home", "/tmp", "/var/tmp", "/srv", "/opt", "/mnt")))
    private = {ROOT, ROOT.parent, Path.home()} - everywhere
    pattern = re.compile("|".join(rf"(?<![\w./-]){re.escape(str(p))}(?=/|\b)" for p in private).encode())
    assert [str(p.relative_to(ROOT)) for p in repository_files() if pattern.search(p.read_bytes())] == []


def test_no_file_names_a_package_index() -> None:
    pattern = re.compile(
        rb"://[^\s/\"']*(?:pypi|pythonhosted)"  # an index by its host
        rb"|://[^\s\"'()]*/(?:simple|packages)(?:[/\s\"')]|$)"  # or by its path
        rb"|^\s*--(?:extra-)?index-url|^\s*--find-links",
        re.MULTILINE,
    )
    assert [str(p.relative_to(ROOT)) for p in repository_files() if pattern.search(p.read_bytes())] == []


def test_lock_files_hold_only_names_versions_and_hashes() -> None:
    for path in sorted((ROOT / "requirements").glob("*.txt")):
        for line in path.read_text(encoding="utf-8").splitlines():
            assert re.match(
                r" +#|#|[a-z0-9-]+==[^ ]+ (; .* )?\\$| +--hash=sha256:[0-9a-f]{64}( \\)?$", line
            ), line
