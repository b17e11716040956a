"""What estimators accept as rows and weights, and what they say of the rest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import scipy.sparse

import outcore as oc
from outcore.estimation.base import Estimator
from outcore.estimation.checking import check_number, check_rows, check_weights


class Plain(Estimator):
    """An estimator that keeps what it is given."""

    def __init__(self, size: int = 1) -> None:
        self.size = size


X = np.arange(12.0).reshape(4, 3)


def test_rows_with_an_address_keep_it(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", X)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["x"] = X
        for given in (
            str(tmp_path / "x.npy"),
            tmp_path / "x.npy",
            oc.open(tmp_path / "x.npy"),
            mapped,
            file["x"],
        ):
            found = check_rows(given, Plain(), reset=True)
            assert found.address != "memory"
            assert np.array_equal(found[:], X)
            found.close()
    shared = oc.share(X)
    assert check_rows(shared, Plain(), reset=True).spec.address == oc.asarray(shared).address


@pytest.mark.parametrize("given", [X.tolist(), X.astype(object), X.astype(int), X.astype("f4"), X > 3])
def test_lists_objects_and_other_numbers_are_rows(given: Any) -> None:
    plain = Plain()
    found = check_rows(given, plain, reset=True)
    assert found.shape == (4, 3)
    assert found.dtype.kind in "biuf"
    assert plain.n_features_in_ == 3


@pytest.mark.parametrize(
    ("given", "error", "text"),
    [
        (X[0], oc.errors.ShapeError, r"(?s)1 dimensions \(3,\).*Reshape your data"),
        (np.ones((2, 2, 2)), oc.errors.ShapeError, "3 dimensions"),
        (np.ones((0, 3)), oc.errors.ShapeError, r"0 sample\(s\).*minimum of 1"),
        (np.ones((3, 0)), oc.errors.ShapeError, r"0 feature\(s\) \(shape=\(3, 0\)\)"),
        (X + 1j, oc.errors.DTypeError, "Complex data not supported"),
        (X + 1j, ValueError, "Complex data not supported"),
        (np.array([["a", "b"]]), oc.errors.DTypeError, "dtype <U1; numbers"),
        (np.array([["2026-01-01"]], "M8[D]"), oc.errors.DTypeError, "datetime64"),
        (np.zeros(3, "i4,f8"), oc.errors.DTypeError, "fields f0, f1"),
        ([[1.0, {}]], oc.errors.DTypeError, "not 'dict'"),
        (scipy.sparse.csr_array(X), oc.errors.DTypeError, "Sparse data are not supported"),
    ],
)
def test_what_are_no_rows_is_refused(given: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        check_rows(given, Plain(), reset=True)


def test_other_columns_than_those_of_fit_are_refused() -> None:
    plain = Plain()
    check_rows(X, plain, reset=True)
    with pytest.raises(
        oc.errors.ShapeError, match="X has 2 features, but Plain is expecting 3 features as input"
    ):
        check_rows(X[:, :2], plain, reset=False)


def test_a_plan_notes_nothing() -> None:
    km = oc.KMeans(2)
    assert oc.plan(km.fit, X).n_rows == 4
    assert "n_features_in_" not in vars(km)


def test_weights_are_one_for_each_row(tmp_path: Path) -> None:
    np.save(tmp_path / "w.npy", np.arange(4))
    assert check_weights(None, 4) is None
    found = check_weights(str(tmp_path / "w.npy"), 4)
    assert found is not None
    assert found[:].tolist() == [0, 1, 2, 3]
    found.close()
    for wrong in (np.ones(5), np.ones((4, 2)), 3.0):
        with pytest.raises(oc.errors.ShapeError, match=r"sample_weight has shape .* \(4,\) is needed"):
            check_weights(wrong, 4)


@pytest.mark.parametrize("value", [0, -1, 2.5, True, "3", None, np.nan, np.inf, np.ones(2)])
def test_numbers_that_are_none(value: Any) -> None:
    from numbers import Integral

    with pytest.raises(oc.errors.OptionError, match=r"size=.* is not a whole number from 1 on"):
        check_number("size", value, Integral, 1)


def test_numbers_of_numpy_are_numbers() -> None:
    from numbers import Integral, Real

    check_number("size", np.int32(3), Integral, 1)
    check_number("tol", np.float32(0), Real, 0)
