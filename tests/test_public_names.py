"""The names that `import outcore` offers, and what it costs."""

from __future__ import annotations

import json
import subprocess
import sys
from types import ModuleType

import pytest

import outcore as oc


def in_a_fresh_interpreter(code: str) -> str:
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return run.stdout


def test_all_is_sorted_and_without_repeats() -> None:
    assert list(oc.__all__) == sorted(set(oc.__all__))


@pytest.mark.parametrize("name", oc.__all__)
def test_every_name_can_be_had(name: str) -> None:
    assert getattr(oc, name) is not None


def test_all_is_complete() -> None:
    for name in oc.__all__:
        getattr(oc, name)  # the names are loaded on demand
    offered = {name for name in dir(oc) if not name.startswith("_")}
    # A submodule that was imported on the way is an attribute too, but not offered.
    modules = {name for name in offered if isinstance(getattr(oc, name), ModuleType)}
    stray = offered - modules - set(oc.__all__) - {"annotations", "TYPE_CHECKING"}
    assert stray == set()


def test_star_import_gives_exactly_the_public_names() -> None:
    names: dict[str, object] = {}
    exec("from outcore import *", names)
    names.pop("__builtins__")
    assert sorted(names) == list(oc.__all__)


def test_an_unknown_name_is_an_attribute_error_that_names_both() -> None:
    with pytest.raises(AttributeError, match=r"outcore.*no_such_name"):
        oc.no_such_name  # noqa: B018


def test_import_loads_nothing_but_outcore_and_the_standard_library() -> None:
    modules = "import sys, json; {}print(json.dumps(sorted({{m.partition('.')[0] for m in sys.modules}})))"
    bare = set(json.loads(in_a_fresh_interpreter(modules.format(""))))
    loaded = set(json.loads(in_a_fresh_interpreter(modules.format("import outcore; "))))
    assert loaded - bare - sys.stdlib_module_names == {"outcore"}


def test_import_loads_no_module_of_outcore_that_loads_numpy_later() -> None:
    # `oc.errors` and `oc.__version__` are for programs that only want to catch or to print.
    code = "import sys, outcore as oc; oc.errors, oc.__version__; print('numpy' in sys.modules)"
    assert in_a_fresh_interpreter(code).strip() == "False"


@pytest.mark.parametrize("name", oc.__all__)
def test_every_name_can_be_the_first_one_asked_for(name: str) -> None:
    # A circular import shows only when the wrong module is loaded first.
    in_a_fresh_interpreter(f"import outcore; outcore.{name}")


def test_version_is_that_of_the_installed_distribution() -> None:
    from importlib.metadata import version

    assert oc.__version__ == version("outcore")
