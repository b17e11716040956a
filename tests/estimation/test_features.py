"""Names of columns: noted by fit, compared afterwards."""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pytest

import outcore as oc

VALUES = np.random.default_rng(0).normal(size=(30, 3))
TABLE = pd.DataFrame(VALUES, columns=["a", "b", "c"])


@pytest.mark.parametrize("table", [TABLE, pl.DataFrame(VALUES, schema=["a", "b", "c"])])
def test_names_of_tables_are_noted(table: object) -> None:
    pca = oc.PCA().fit(table)
    assert pca.feature_names_in_.tolist() == ["a", "b", "c"]
    np.testing.assert_array_equal(pca.transform(table), oc.PCA().fit_transform(VALUES))


def test_fitting_again_without_names_forgets_them() -> None:
    pca = oc.PCA().fit(TABLE).fit(VALUES)
    assert not hasattr(pca, "feature_names_in_")


def test_columns_by_number_have_no_names() -> None:
    assert not hasattr(oc.PCA().fit(pd.DataFrame(VALUES)), "feature_names_in_")


def test_other_names_are_refused() -> None:
    pca = oc.PCA().fit(TABLE)
    with pytest.raises(oc.errors.ShapeError, match=r"(?s)same order.*feature_names_in_"):
        pca.transform(TABLE[["b", "a", "c"]])
    with pytest.raises(oc.errors.ShapeError, match=r"unseen at fit time:\n- z\n.*missing:\n- c\n"):
        pca.transform(TABLE.rename(columns={"c": "z"}))


def test_names_on_one_side_only_are_warned_of() -> None:
    with pytest.warns(UserWarning, match="X does not have valid feature names, but PCA"):
        oc.PCA().fit(TABLE).transform(VALUES)
    with pytest.warns(UserWarning, match="X has feature names, but PCA was fitted without"):
        oc.PCA().fit(VALUES).transform(TABLE)


def test_names_of_several_types_are_refused() -> None:
    with pytest.raises(oc.errors.DTypeError, match="int, str"):
        oc.PCA().fit(pd.DataFrame(VALUES, columns=["a", 1, "c"]))
