"""Products of one block against plain NumPy, with SciPy's BLAS and without."""

from __future__ import annotations

import ctypes
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from outcore.linalg import dense


@pytest.fixture(params=["blas", "panels"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "panels":
        monkeypatch.setattr(dense, "_blas", lambda name: None)
    return str(request.param)


def test_the_blas_of_scipy_is_reached() -> None:
    # Without it everything would still be right, and slow.
    for name in ("dsyrk", "dtrmm"):
        found = dense._blas(name)
        assert found is not None
        assert found[1] is ctypes.c_int32


SIZES = [(0, 3), (1, 1), (5, 1), (1, 7), (50, 7), (10, 300), (300, 257), (3, 0)]


@pytest.mark.parametrize("apart", [0, 3])
@pytest.mark.parametrize(("n", "d"), SIZES)
def test_syrk(way: str, n: int, d: int, apart: int) -> None:
    rng = np.random.default_rng(0)
    z, out = rng.normal(size=(n, d + apart))[:, :d], rng.normal(size=(d, d))
    for beta in (0.0, 1.0, 2.0):
        found = out.copy()
        dense.syrk(z, found, beta=beta)
        assert np.allclose(np.triu(found), np.triu(z.T @ z + beta * out), rtol=1e-12, atol=1e-12)
        assert np.array_equal(np.tril(found, -1), np.tril(out, -1))


@pytest.mark.parametrize("n", [0, 4, 700])
@pytest.mark.parametrize("d", [1, 5, 300])
def test_syrk_overwrites_nan(way: str, n: int, d: int) -> None:
    out = np.full((d, d), np.nan)
    dense.syrk(np.ones((n, d)), out)
    assert (out[np.triu_indices(d)] == n).all()


@pytest.mark.parametrize("apart", [0, 3])
@pytest.mark.parametrize(("n", "d"), SIZES)
def test_trmm(way: str, n: int, d: int, apart: int) -> None:
    rng = np.random.default_rng(1)
    y, u = rng.normal(size=(n, d + apart)), rng.normal(size=(d, d))
    u[np.tril_indices(d, -1)] = np.nan  # is not read
    wanted = y[:, :d] @ np.triu(u)
    rest = y[:, d:].copy()
    dense.trmm(y[:, :d], u)
    assert np.allclose(y[:, :d], wanted, rtol=1e-12, atol=1e-12)
    assert np.array_equal(y[:, d:], rest)


@given(d=st.integers(0, 40), panel=st.integers(1, 17))
def test_mirror(d: int, panel: int) -> None:
    square = np.arange(d * d, dtype=float).reshape(d, d)
    found = square.copy()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dense, "PANEL", panel)
        dense.mirror(found)
    assert np.array_equal(found, np.triu(square) + np.triu(square, 1).T)


@pytest.mark.parametrize(("n", "d"), [(0, 4), (5, 0), (1, 1), (100, 33)])
def test_row_dots_also_into_a_column(n: int, d: int) -> None:
    a, b = np.random.default_rng(2).normal(size=(2, n, d))
    out = np.full((n, 3), np.nan)
    dense.row_dots(a, b, out[:, 1])
    assert np.allclose(out[:, 1], (a * b).sum(axis=1))
    assert np.isnan(out[:, [0, 2]]).all()


@pytest.mark.parametrize(
    ("rows", "square", "text"),
    [
        (np.ones((4, 3), "f4"), np.ones((3, 3)), "float32"),
        (np.ones((4, 3), order="F"), np.ones((3, 3)), "strides"),
        (np.ones((4, 6))[:, ::2], np.ones((3, 3)), "strides"),
        (np.ones((4, 3))[::-1], np.ones((3, 3)), "strides"),
        (np.broadcast_to(np.ones(3), (4, 3)), np.ones((3, 3)), "strides"),
        (np.ones((4, 3)), np.ones((3, 3), order="F"), "strides"),
        (np.ones((4, 3)), np.ones((3, 4)), r"\(3, 4\) for rows of 3"),
        (np.ones((4, 3)), np.ones((2, 2)), r"\(2, 2\) for rows of 3"),
    ],
)
def test_what_blas_would_misread_is_refused(rows: np.ndarray, square: np.ndarray, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        dense.syrk(rows, square)
    with pytest.raises(ValueError, match=text):
        dense.trmm(rows, square)


def test_what_is_read_only_is_not_written() -> None:
    rows, square = np.ones((4, 3)), np.ones((3, 3))
    for array in (rows, square):
        array.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        dense.syrk(rows, square)
    with pytest.raises(ValueError, match="read-only"):
        dense.trmm(rows, square)
    dense.syrk(rows, np.ones((3, 3)))
    dense.trmm(np.ones((4, 3)), square)


SIGNATURE = "void (char *, char *, {0} *, {0} *, __pyx_t_5scipy_6linalg_11cython_blas_d *)"


@pytest.mark.parametrize(
    ("integer", "kind"),
    [
        ("int", ctypes.c_int32),
        ("npy_int64", ctypes.c_int64),
        ("long long", ctypes.c_int64),
        ("blas_int", None),  # might be anything
    ],
)
def test_the_integers_are_those_of_the_signature(integer: str, kind: object) -> None:
    assert dense._integer_kind(SIGNATURE.format(integer), 5) is kind


def test_another_number_of_arguments_is_not_called() -> None:
    assert dense._integer_kind(SIGNATURE.format("int"), 6) is None


@pytest.mark.parametrize(
    "breaking",
    [
        "sys.modules['scipy.linalg.cython_blas'] = None; del scipy.linalg.cython_blas",
        "import scipy.linalg.cython_blas as b; del b.__pyx_capi__['dsyrk'], b.__pyx_capi__['dtrmm']",
    ],
)
def test_a_scipy_without_the_functions_is_done_without(breaking: str) -> None:
    code = f"""
import sys
import scipy.linalg
{breaking}
import numpy as np
from outcore.linalg import dense
assert dense._blas("dsyrk") is None and dense._blas("dtrmm") is None
out = np.zeros((2, 2))
dense.syrk(np.ones((3, 2)), out)
y = np.ones((3, 2))
dense.trmm(y, np.array([[1.0, 2.0], [9.0, 4.0]]))
print(out.tolist(), y[0].tolist())
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.stdout == "[[3.0, 3.0], [0.0, 3.0]] [1.0, 6.0]\n", run.stderr


def test_importing_outcore_linalg_does_not_load_scipy() -> None:
    code = "import sys, outcore.linalg; print('scipy' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "False\n"
