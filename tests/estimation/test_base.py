"""Parameters, text and tags of estimators."""

from __future__ import annotations

import pickle
import subprocess
import sys

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import get_tags
from sklearn.utils.validation import check_is_fitted

import outcore as oc


def test_parameters_are_read_and_set_by_name() -> None:
    pca = oc.PCA(2)
    assert pca.get_params() == {"n_components": 2, "svd_solver": "auto", "whiten": False}
    assert pca.set_params(whiten=True) is pca
    assert pca.whiten is True


def test_an_unknown_parameter_changes_nothing() -> None:
    pca = oc.PCA(2)
    with pytest.raises(oc.errors.OptionError, match=r"(?s)'kind'.*n_components, svd_solver, whiten"):
        pca.set_params(whiten=True, kind=3)
    assert pca.whiten is False


def test_repr_shows_what_was_changed() -> None:
    assert repr(oc.KMeans()) == "KMeans()"
    assert repr(oc.KMeans(3, tol=0.0)) == "KMeans(n_clusters=3, tol=0.0)"
    assert "init=[[0. 0.]" in repr(oc.KMeans(init=np.zeros((8, 2))))
    assert len(repr(oc.KMeans(init=np.zeros((800, 90))))) < 300


def test_clone_pipeline_and_grid_search_take_them() -> None:
    x = np.random.default_rng(0).normal(size=(60, 5))
    original = oc.KMeans(3, init=x[:3])
    copied = clone(original)
    assert copied is not original
    assert np.array_equal(copied.init, original.init)
    labels = make_pipeline(StandardScaler(), oc.PCA(2), oc.KMeans(3, random_state=0)).fit_predict(x)
    assert labels.shape == (60,)
    search = GridSearchCV(oc.PCA(), {"n_components": [1, 2]}, cv=2).fit(x)
    assert search.best_params_["n_components"] in (1, 2)


def test_tags_say_what_an_estimator_is() -> None:
    assert get_tags(oc.KMeans()).estimator_type == "clusterer"
    assert get_tags(oc.PCA()).estimator_type == "transformer"
    assert get_tags(oc.PCA()).transformer_tags.preserves_dtype == ["float64", "float32"]


def test_a_fit_that_failed_is_no_fit() -> None:
    x = np.ones((10, 2))
    x[4, 1] = np.nan
    pca = oc.PCA()
    with pytest.raises(oc.errors.NonFiniteError):
        pca.fit(x)
    with pytest.raises(NotFittedError):
        check_is_fitted(pca)
    with pytest.raises(oc.errors.NotFittedError, match=r"PCA instance is not fitted yet"):
        pca.transform(x)


def test_not_fitted_is_the_error_of_both_and_pickles() -> None:
    with pytest.raises(NotFittedError) as caught:
        oc.KMeans().predict(np.ones((3, 2)))
    assert isinstance(caught.value, oc.errors.NotFittedError)
    again = pickle.loads(pickle.dumps(caught.value))
    assert type(again) is type(caught.value)
    assert str(again) == str(caught.value)


def test_scikit_learn_is_not_needed() -> None:
    code = (
        "import sys, numpy as np, outcore as oc\n"
        "x = np.random.default_rng(0).normal(size=(50, 3))\n"
        "oc.KMeans(2, random_state=0).fit(x).predict(x), oc.PCA().fit_transform(x)\n"
        "try: oc.PCA().transform(x)\n"
        "except oc.errors.NotFittedError as error: print(type(error) is oc.errors.NotFittedError)\n"
        "print(any(name.partition('.')[0] == 'sklearn' for name in sys.modules))\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["True", "False"]


def test_names_of_what_comes_out() -> None:
    x = np.random.default_rng(0).normal(size=(20, 3))
    assert oc.PCA(2).fit(x).get_feature_names_out().tolist() == ["pca0", "pca1"]
    km = oc.KMeans(2, random_state=0).fit(x)
    assert km.get_feature_names_out(["a", "b", "c"]).tolist() == ["kmeans0", "kmeans1"]
    with pytest.raises(oc.errors.ShapeError, match="input_features should have length equal"):
        km.get_feature_names_out(["a", "b"])
