"""What products take and what they refuse, the same for all of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import outcore as oc
from outcore.linalg import Gram

OPERATIONS: list[Callable[[Any], Any]] = [
    oc.gram,
    oc.cov,
    lambda x: oc.quadratic_form(x, np.eye(3)),
    lambda x: oc.matmul(x, np.eye(3)),
]


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize(
    ("x", "error", "text"),
    [
        (np.ones(5), oc.errors.ShapeError, r"X has shape \(5,\)(.|\n)*reshape\(-1, 1\)"),
        (np.ones((2, 3, 4)), oc.errors.ShapeError, r"X has shape \(2, 3, 4\)(.|\n)*reshape\(len\(X\), -1\)"),
        (np.array(1.0), oc.errors.ShapeError, "no dimensions"),
        (np.ones((3, 3), complex), oc.errors.DTypeError, r"complex128(.|\n)*X\.real"),
        (np.array([["1", "2", "3"]]), oc.errors.DTypeError, "<U1"),
        (np.zeros((3, 3), "M8[s]"), oc.errors.DTypeError, "datetime64"),
        (np.zeros(3, [("pos", "f4"), ("chr", "S3")]), oc.errors.DTypeError, r"fields \(pos, chr\)"),
    ],
)
def test_what_is_no_matrix_of_numbers_is_refused(
    operation: Callable[[Any], Any], x: np.ndarray, error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        operation(x)


def test_the_address_is_named_where_there_is_one(tmp_path: Any) -> None:
    np.save(tmp_path / "x.npy", np.ones(5))
    with pytest.raises(oc.errors.ShapeError, match=r"x\.npy has shape \(5,\)"):
        oc.gram(tmp_path / "x.npy")
    with pytest.raises(oc.errors.ShapeError, match="a Gram matrix needs a matrix"):
        oc.reduce_rows(tmp_path / "x.npy", Gram())


@pytest.mark.parametrize(("n", "d"), [(0, 3), (3, 0), (0, 0)])
def test_nothing_gives_zeros_of_the_right_shape(n: int, d: int) -> None:
    x = np.empty((n, d))
    assert np.array_equal(oc.gram(x), np.zeros((d, d)))
    assert np.array_equal(oc.gram(x, np.ones((n, 2))), np.zeros((2, d, d)))
    assert np.array_equal(oc.quadratic_form(x, np.ones((d, d))), np.zeros(n))
    assert np.array_equal(oc.matmul(x, np.ones((d, 2))), np.zeros((n, 2)))


def test_a_field_of_a_structured_array_is_a_matrix() -> None:
    table = np.zeros(50, [("v", "f4", (3,)), ("t", "i8")])
    table["v"] = np.random.default_rng(0).normal(size=(50, 3))
    assert np.allclose(oc.gram(table["v"]), table["v"].astype("f8").T @ table["v"].astype("f8"))
