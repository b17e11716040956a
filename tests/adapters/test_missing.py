from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from outcore.adapters import missing
from outcore.errors import MissingPackageError


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch):
    """Make imports of an adapter fail as if the module `name` were not installed."""

    def pretend(error: ImportError) -> None:
        def fail(name: str) -> None:
            raise error

        monkeypatch.setattr(importlib, "import_module", fail)

    return pretend


def test_an_adapter_is_imported_by_its_name():
    assert missing.load("protocol", "torch").__name__ == "outcore.adapters.protocol"


@pytest.mark.parametrize(("extra", "name"), [("torch", "PyTorch"), ("keras", "Keras")])
def test_a_package_that_is_not_installed_is_named_with_what_to_type(without, extra, name):
    error = ModuleNotFoundError(f"No module named {extra!r}", name=extra)
    without(error)
    with pytest.raises(MissingPackageError) as caught:
        missing.load("some_dataset", extra)
    assert f"{name} is not installed" in str(caught.value)
    assert f'pip install "outcore[{extra}]"' in str(caught.value)
    assert isinstance(caught.value, ImportError)
    assert caught.value.name == extra
    assert caught.value.__cause__ is error


def test_keras_without_what_it_computes_with_names_the_backend(without, monkeypatch):
    monkeypatch.delenv("KERAS_BACKEND")
    without(ModuleNotFoundError("No module named 'tensorflow'", name="tensorflow"))
    with pytest.raises(
        MissingPackageError, match=r"(?s)no backend chosen, so tensorflow.*KERAS_BACKEND=\"torch\""
    ):
        missing.load("keras_dataset", "keras")


def test_a_package_that_is_there_but_broken_is_not_called_missing(without):
    without(ImportError("libcudart.so.12: cannot open shared object file", name="torch._C"))
    with pytest.raises(MissingPackageError, match="PyTorch cannot be imported: libcudart"):
        missing.load("torch_dataset", "torch")


def test_a_mistake_of_ours_stays_an_import_error():
    with pytest.raises(ModuleNotFoundError, match="no_such_adapter") as caught:
        missing.load("no_such_adapter", "torch")
    assert not isinstance(caught.value, MissingPackageError)


def test_outcore_imports_no_framework(tmp_path: Path):
    code = (
        "import sys, outcore as oc, outcore.adapters.missing; oc.asarray\n"
        "print([name for name in ('torch', 'keras', 'jax', 'torchdata') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert done.stdout.strip() == "[]"
