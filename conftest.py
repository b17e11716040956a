"""What holds for every test and every doctest: nothing is left behind, names and folder of doctests."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import hygiene

FAILED = pytest.StashKey[bool]()


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
