"""Symmetric and triangular products of one block, at half the cost of general ones.

Reads from : SciPy's BLAS, by the addresses of its functions
Hands to   : linalg, the estimators

Guarantees
- The interpreter's lock is not held while BLAS works: blocks in several threads run side by side. SciPy's own
  wrappers (``scipy.linalg.blas.dsyrk``) hold it, and two threads then take as long as one.
- Nothing is copied, and nothing allocated but a panel of columns where SciPy's functions cannot be reached.
- Contiguous float64 only; anything else is a ValueError, since it is a mistake of the caller.

``z.T @ z`` of NumPy was rejected for sums over blocks: it calls the same function, but cannot add to what is
there, and mirrors the result each time. ``cython_blas`` is a public module of SciPy, made for calls from
compiled code.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from ctypes import byref, c_double, c_int32, c_int64
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from outcore.blocks.pages import mapped

#: Columns that are worked on together where BLAS has to be reached through general products.
PANEL = 128
#: Rows are copied, scaled and multiplied so many bytes at a time, which stay in the cache of one core between
#: these steps; but not fewer rows than let BLAS work at full speed (copy, triangular product and row dots of
#: 900 columns: 96 % of the product's own speed with 512 rows, 92 % with 128).
PIECE_BYTES, PIECE_ROWS = 1 << 19, 512
#: The types of BLAS's integers, as SciPy spells them in its signatures.
_INTEGERS: dict[str, Callable[[int], Any]] = {
    "int": c_int32,
    "int64_t": c_int64,
    "npy_int64": c_int64,
    "long": ctypes.c_long,
    "long long": c_int64,
}
_ARGUMENTS = {"dsyrk": 10, "dtrmm": 11, "dgelqf": 8}
#: Columns that LAPACK factorises together: its working memory is so many values for each row.
LAPACK_COLUMNS = 64


def syrk(z: NDArray[np.float64], out: NDArray[np.float64], *, beta: float = 0.0) -> None:
    """Add up the products of rows with themselves: upper triangle of ``out = z.T @ z + beta * out``.

    Parameters
    ----------
    z : ndarray of float64, shape (n, d)
        Rows are contiguous; they may lie apart.
    out : ndarray of float64, shape (d, d), C-contiguous
        Its lower triangle is left as it is; `mirror` fills it.
    beta : float
        0 overwrites what was there, NaN included.
    """
    n, d = z.shape
    _check(z, out, written=out)
    if d == 0:
        return
    if n == 0:
        # BLAS may return early here, and its scaling by 0 would keep NaN.
        upper = np.triu_indices(d)
        out[upper] = out[upper] * beta if beta else 0.0
        return
    found = _blas("dsyrk")
    if found is None:
        _syrk_by_panels(z, out, beta)
        return
    dsyrk, integer = found
    # Rows one after the other are the columns of the transpose: BLAS sees A = z.T and adds A @ A.T to its
    # lower triangle, which is our upper one.
    dsyrk(
        b"L",
        b"N",
        byref(integer(d)),
        byref(integer(n)),
        byref(c_double(1.0)),
        z.ctypes.data,
        byref(integer(_stride(z))),
        byref(c_double(beta)),
        out.ctypes.data,
        byref(integer(_stride(out))),
    )


def trmm(y: NDArray[np.float64], u: NDArray[np.float64]) -> None:
    """Multiply rows by an upper triangular matrix, in place: ``y = y @ u``.

    Parameters
    ----------
    y : ndarray of float64, shape (n, d)
        Rows are contiguous; they may lie apart.
    u : ndarray of float64, shape (d, d)
        Rows are contiguous. What is below the diagonal is not read.
    """
    n, d = y.shape
    _check(y, u, written=y)
    if n == 0 or d == 0:
        return
    found = _blas("dtrmm")
    if found is None:
        _trmm_by_panels(y, u)
        return
    dtrmm, integer = found
    dtrmm(
        b"L",
        b"L",
        b"N",
        b"N",
        byref(integer(d)),
        byref(integer(n)),
        byref(c_double(1.0)),
        u.ctypes.data,
        byref(integer(_stride(u))),
        y.ctypes.data,
        byref(integer(_stride(y))),
    )


def mirror(out: NDArray[np.float64]) -> None:
    """Copy the upper triangle of a square matrix to the lower one, in place and in panels."""
    d = len(out)
    for low in range(0, d, PANEL):
        high = min(low + PANEL, d)
        corner = out[low:high, low:high]
        corner[...] = np.triu(corner) + np.triu(corner, 1).T
        out[high:, low:high] = out[low:high, high:].T


def triangular_factor(z: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the upper triangular R with ``R.T @ R = z.T @ z``, of shape (min(n, d), d); `z` is overwritten.

    Parameters
    ----------
    z : ndarray of float64, shape (n, d), C-contiguous

    Notes
    -----
    Memory: the result, and 64 values for each column; `np.linalg.qr` takes three times `z`.
    """
    n, d = z.shape
    if not (z.flags.c_contiguous and z.flags.writeable and z.dtype == np.float64):
        raise ValueError(
            f"{z.dtype} with strides {z.strides}; contiguous rows of float64 needed, to write to"
        )
    found = _blas("dgelqf")
    if found is None or not z.size:
        return np.asarray(np.linalg.qr(z, mode="r"))
    dgelqf, integer = found
    # Our rows are LAPACK's columns: it makes L @ Q of the transpose, and L is the transpose of R.
    tau, work, info = np.empty(min(n, d)), np.empty(LAPACK_COLUMNS * d), integer(0)
    dgelqf(
        byref(integer(d)),
        byref(integer(n)),
        z.ctypes.data,
        byref(integer(d)),
        tau.ctypes.data,
        work.ctypes.data,
        byref(integer(len(work))),
        byref(info),
    )
    factor: NDArray[np.float64] = np.triu(z[: min(n, d)])
    return factor


def row_dots(a: NDArray[np.float64], b: NDArray[np.float64], out: NDArray[np.float64]) -> None:
    """Multiply row by row and add up: ``out[i] = a[i] @ b[i]``."""
    np.vecdot(a, b, out=out)


def zeros(shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Return zeros to sum into; see `outcore.blocks.pages`."""
    return mapped(shape, np.float64)


def piece_rows(n_columns: int, n_rows: int) -> int:
    """Return how many rows to work on at a time, at most `n_rows`.

    Examples
    --------
    >>> piece_rows(900, 4096), piece_rows(10, 4096), piece_rows(2, 100_000)
    (512, 4096, 32768)
    """
    return min(n_rows, max(PIECE_ROWS, PIECE_BYTES // (8 * max(n_columns, 1))))


def _check(rows: NDArray[np.float64], square: NDArray[np.float64], written: NDArray[np.float64]) -> None:
    d = rows.shape[1]
    if square.shape != (d, d):
        raise ValueError(f"a matrix of shape {square.shape} for rows of {d} values")
    for array in (rows, square):
        step, item = array.strides
        contiguous = item == 8 or d <= 1
        apart = len(array) <= 1 or (step >= 8 * d and step % 8 == 0)
        if array.dtype != np.float64 or (array.size and not (contiguous and apart)):
            raise ValueError(f"{array.dtype} with strides {array.strides}; contiguous rows of float64 needed")
    # BLAS gets an address and would write there all the same.
    if not written.flags.writeable:
        raise ValueError("the result is read-only")


def _stride(array: NDArray[np.float64]) -> int:
    # NumPy may say anything about the stride of an axis with one entry; BLAS checks it.
    return array.strides[0] // 8 if len(array) > 1 else max(array.shape[1], 1)


def _syrk_by_panels(z: NDArray[np.float64], out: NDArray[np.float64], beta: float) -> None:
    d = z.shape[1]
    for low in range(0, d, PANEL):
        high = min(low + PANEL, d)
        product = z[:, low:high].T @ z[:, low:]
        for i in range(low, high):
            row = out[i, i:]
            if beta:
                row *= beta
                row += product[i - low, i - low :]
            else:
                row[...] = product[i - low, i - low :]


def _trmm_by_panels(y: NDArray[np.float64], u: NDArray[np.float64]) -> None:
    # From the right: each panel needs the old values of those to its left.
    d = y.shape[1]
    for low in reversed(range(0, d, PANEL)):
        high = min(low + PANEL, d)
        product = y[:, low:high] @ np.triu(u[low:high, low:high])
        if low:
            product += y[:, :low] @ u[:low, low:high]
        y[:, low:high] = product


@cache
def _blas(name: str) -> tuple[Callable[..., None], Callable[[int], Any]] | None:
    """Return the function of SciPy's BLAS or LAPACK and the type of its integers; None if out of reach."""
    try:
        from scipy.linalg import cython_blas, cython_lapack  # here: SciPy takes as long as a large product

        capsule = (cython_lapack if name == "dgelqf" else cython_blas).__pyx_capi__[name]
    except (ImportError, AttributeError, KeyError):
        return None
    naming, pointing = ctypes.pythonapi.PyCapsule_GetName, ctypes.pythonapi.PyCapsule_GetPointer
    naming.restype, naming.argtypes = ctypes.c_char_p, [ctypes.py_object]
    pointing.restype, pointing.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    signature = naming(capsule)
    kind = _integer_kind(signature.decode(), _ARGUMENTS[name])
    if kind is None:
        return None
    prototype = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * _ARGUMENTS[name])
    return prototype(pointing(capsule, signature)), kind


def _integer_kind(signature: str, n_arguments: int) -> Callable[[int], Any] | None:
    """Find the type of the integers in ``void (char *, ..., int *, ...)``; None if it is not understood.

    Examples
    --------
    >>> _integer_kind("void (char *, int *, double *)", 3).__name__
    'c_int'
    """
    inside = signature[signature.find("(") + 1 : signature.rfind(")")]
    kinds = [argument.replace("*", "").strip() for argument in inside.split(",")]
    integers = {kind for kind in kinds if kind != "char" and not kind.endswith(("_d", "double"))}
    if len(kinds) != n_arguments or len(integers) != 1:
        return None
    return _INTEGERS.get(integers.pop())
