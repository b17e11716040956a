"""docs/reference.md is what docs/make_reference.py would write now."""

from __future__ import annotations

import importlib.util
from types import ModuleType

import pytest

from tests.documents import ROOT


@pytest.fixture
def make_reference() -> ModuleType:
    found = importlib.util.spec_from_file_location("make_reference", ROOT / "docs" / "make_reference.py")
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def test_the_reference_is_up_to_date(make_reference: ModuleType) -> None:
    written = make_reference.TARGET.read_text(encoding="utf-8")
    assert written == make_reference.render(), "run: .venv/bin/python docs/make_reference.py"


def test_parameters_become_a_list(make_reference: ModuleType) -> None:
    def function(a: int, b: str = "x", *, c: int | None = None) -> None:
        """Do something.

        Parameters
        ----------
        a, b : int or str
            Both ``needed``,
            and long.
        c
            Not.

        Returns
        -------
        ndarray of shape (n, *rest)
            Result.
        """

    page = "\n".join(make_reference._entry("oc.function", function))
    assert "oc.function(a, b='x', *, c=None)" in page
    assert "- `a`, `b` (int or str): Both `needed`, and long.\n- `c`: Not." in page
    assert r"- `ndarray` of shape (n, \*rest): Result." in page
