from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import outcore as oc
from outcore.errors import OptionError
from outcore.mixture.wishes import check_wishes


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("n_components", 0),
        ("n_components", 2.0),
        ("n_components", True),
        ("n_components", None),
        ("tol", -1e-3),
        ("tol", np.nan),
        ("tol", "small"),
        ("reg_covar", -1),
        ("reg_covar", np.inf),
        ("max_iter", -1),
        ("n_init", 0),
        ("init_rows", 0),
        ("init_params", "kmeans++"),
        ("init_params", np.zeros(3)),
        ("covariance_type", "round"),
        ("verbose", -1),
        ("verbose_interval", 0),
    ],
)
def test_what_makes_no_sense_is_named(name: str, value: Any) -> None:
    with pytest.raises(OptionError, match=rf"^{name}=.*\nUse {name}="):
        check_wishes(oc.GaussianMixture().set_params(**{name: value}))


def test_numbers_of_numpy_are_numbers() -> None:
    found = check_wishes(oc.GaussianMixture(np.int64(3), tol=np.float32(0.5), verbose=True, max_iter=0))
    assert found.n_components == 3
    assert found.tol == 0.5
