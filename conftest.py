"""What holds for every test and every doctest: nothing is left behind, names and folder of doctests.

Also what is left out where PyTorch is, with ``TORCH=0``. Without it a missing PyTorch is a failure.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import hygiene

FAILED = pytest.StashKey[bool]()

WITHOUT_TORCH = os.environ.get("TORCH") == "0"
LEFT_OUT = "TORCH=0: needs PyTorch"

# What Keras computes with is chosen when it is imported: here, before anybody does.
os.environ.setdefault("KERAS_BACKEND", "jax" if WITHOUT_TORCH else "torch")


class LeftOutFile(pytest.File):
    """A file that imports PyTorch at its top, and that nobody imports."""

    def collect(self) -> Iterable[pytest.Item]:
        pytest.skip(f"{LEFT_OUT}: {self.path.relative_to(self.config.rootpath)}")


@pytest.hookimpl(wrapper=True)
def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> Generator[None, Any, Any]:
    collectors = yield
    named = file_path.name.removeprefix("test_").startswith("torch_") and file_path.suffix == ".py"
    return [LeftOutFile.from_parent(parent, path=file_path)] if WITHOUT_TORCH and named else collectors


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if WITHOUT_TORCH and item.get_closest_marker("torch"):
            item.add_marker(pytest.mark.skip(reason=f"{LEFT_OUT}: {item.nodeid}"))


@pytest.hookimpl(wrapper=True, tryfirst=True)  # so that its line comes behind the summary of pytest itself
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> Generator[None, None, None]:
    yield
    if not WITHOUT_TORCH:
        return
    reports = terminalreporter.getreports("skipped")
    reasons = [report.longrepr[2] for report in reports if isinstance(report.longrepr, tuple)]
    names = {reason.rpartition("/")[2] for reason in reasons if LEFT_OUT in reason}
    terminalreporter.write_line(
        f"TORCH=0: PyTorch was left out, and with it {', '.join(sorted(names)) or 'no test'}; "
        f"Keras computed on {os.environ['KERAS_BACKEND']}.",
        yellow=True,
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed or hasattr(report, "wasxfail"):
        item.stash[FAILED] = True
    return report


@pytest.fixture(autouse=True)
def nothing_left_behind(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test that leaves a file descriptor, thread, process or shared memory file.

    Set up before and torn down after the test's other fixtures, so what they close is closed. A test that
    failed is not looked at: its traceback keeps its variables, and so their files, alive.
    """
    before = hygiene.snapshot()
    yield
    if request.node.stash.get(FAILED, False):
        return
    left = hygiene.left_since(before)
    if left:
        pytest.fail("the test left behind:\n  " + "\n  ".join(left), pytrace=False)


@pytest.fixture(autouse=True)
def _doctest_surroundings(request: pytest.FixtureRequest, doctest_namespace: dict[str, Any]) -> None:
    """Doctests know `np` and `oc`, and run in an empty folder of their own."""
    if not isinstance(request.node, pytest.DoctestItem):
        return
    import numpy as np

    import outcore as oc

    doctest_namespace.update(np=np, oc=oc)
    folder: Path = request.getfixturevalue("tmp_path")
    request.getfixturevalue("monkeypatch").chdir(folder)
