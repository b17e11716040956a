"""A program that ingests in forked children, each killed before one of its steps, and goes on in others.

A step is a call into the system that changes a file. Each child has done nothing with Polars before it is
forked, so a fork is safe, and takes a hundredth of the time of a fresh interpreter.

    killing.py SPEC     prints a line of JSON for each scenario; SPEC is JSON:

    sources, target, options   arguments of `ingest`
    chunk_bytes                size of the chunks
    clean                      the folder of the target; emptied before each scenario
    before                     folder whose files it holds then, if any
    kills                      a list of step numbers for each scenario: where its children are killed, one
                               after the other; then one child runs to the end
    finish                     whether steps are counted from the end of the reading on

The first scenario is one without kills, with which the files of the others are compared.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import outcore.text.journal as journal
import outcore.text.room as room
from outcore.storage import formats
from outcore.text.ingesting import run
from outcore.text.request import Request
from outcore.text.targets import FlatTarget
from outcore.text.wishes import Wishes

STEPS = (
    (
        os,
        ("pwrite", "fsync", "ftruncate", "truncate", "replace", "rename", "link", "unlink", "mkdir", "rmdir"),
    ),
    (shutil, ("move", "copyfile", "copyfileobj")),
    (journal.Journal, ("add_source", "write")),
)


class Steps:
    """Counts the steps of this process, and ends it before one of them."""

    def __init__(self, kill_at: int | None, *, finish: bool) -> None:
        self.count = 0
        self._kill_at = kill_at
        self._counting = not finish
        self.first_row: int | None = None
        for owner, names in STEPS:
            for name in names:
                setattr(owner, name, self._counted(getattr(owner, name)))
        FlatTarget.finish = self._finishing(FlatTarget.finish)
        FlatTarget.write = self._writing(FlatTarget.write)

    def _counted(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            if self._counting:
                if self.count == self._kill_at:
                    os.kill(os.getpid(), signal.SIGKILL)
                self.count += 1
            return real(*args, **kwargs)

        return call

    def _finishing(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def finish(target: FlatTarget, n_rows: int) -> None:
            self._counting = True
            real(target, n_rows)

        return finish

    def _writing(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def write(target: FlatTarget, start: int, rows: Any) -> None:
            self.first_row = start if self.first_row is None else min(start, self.first_row)
            real(target, start, rows)

        return write


def found(target: str) -> dict[str, Any]:
    """Tell what a killed child left: whether there is something to go on from, and from which row."""
    path, inner = formats.split(target)
    killed = journal.Sidecar(target).interrupted()
    if killed is None:
        return {"state": "nothing"}
    complete = killed.complete is not None and journal.marks(path, inner) == killed.complete
    return {"state": "complete" if complete else "entry", "row": killed.checkpoint.n_rows}


def child(spec: dict[str, Any], kill_at: int | None, answer: int) -> None:
    steps = Steps(kill_at, finish=spec.get("finish", False))
    options = dict(spec["options"])
    wishes = Wishes(**{name: options.pop(name) for name in list(options) if name in Wishes.__annotations__})
    outcome = run(spec["sources"], spec["target"], Request(wishes, **options))
    told = {
        "before": outcome.before,
        "n_rows": outcome.n_rows,
        "steps": steps.count,
        "first_row": steps.first_row,
    }
    os.write(answer, json.dumps(told).encode())


def forked(spec: dict[str, Any], kill_at: int | None) -> dict[str, Any]:
    read_end, write_end = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            child(spec, kill_at, write_end)
            os._exit(0)
        except BaseException:
            traceback.print_exc()
        os._exit(1)
    os.close(write_end)
    with open(read_end, "rb") as answer:
        told = answer.read()
    _, status = os.waitpid(pid, 0)
    return {"status": status, **(json.loads(told) if told else {})}


def left(folder: Path) -> dict[str, str]:
    """Return a digest of every file; of the record of a finished target, its names only: it holds a time."""
    found = {}
    for root, _, names in os.walk(folder):
        for name in names:
            path = Path(root) / name
            data = path.read_bytes()
            if name == "finished.json":
                data = "".join(sorted(json.loads(data)["record"])).encode()
            found[str(path.relative_to(folder))] = hashlib.sha1(data).hexdigest()
    return found


def main(spec: dict[str, Any]) -> None:
    room.CHUNK_BYTES = spec["chunk_bytes"]
    journal.PROCESS_S = 0.0
    clean = Path(spec["clean"])
    wanted: dict[str, str] | None = None
    for kills in [[], *spec["kills"]]:
        for path in clean.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        for path in Path(spec["before"]).iterdir() if spec.get("before") else ():
            shutil.copytree(path, clean / path.name) if path.is_dir() else shutil.copy2(path, clean)
        children = []
        for kill_at in [*kills, None]:
            before = found(spec["target"])
            children.append({**forked(spec, kill_at), "kill_at": kill_at, "found": before})
        now = left(clean)
        wanted = now if wanted is None else wanted
        differing = [name for name in {**wanted, **now} if wanted.get(name) != now.get(name)]
        print(json.dumps({"children": children, "differing": differing}), flush=True)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
