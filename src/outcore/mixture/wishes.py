"""What the user asks of a fit: the estimator's parameters, checked.

Hands to   : mixture.initialising, mixture.iterating, mixture.checkpoint
"""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

from outcore.errors import OptionError
from outcore.mixture.parameters import COVARIANCE_TYPES

INIT_PARAMS = ("k-means++", "kmeans", "random", "random_from_data")


@dataclass(frozen=True)
class Wishes:
    """Parameters of `GaussianMixture` that are numbers or names."""

    n_components: int
    covariance_type: str
    tol: float
    reg_covar: float
    max_iter: int
    n_init: int
    init_params: str
    init_rows: int | None
    warm_start: bool
    verbose: int
    verbose_interval: int


def check_wishes(estimator: Any) -> Wishes:
    """Read the parameters of an estimator.

    Raises
    ------
    OptionError
        One of them makes no sense; it is named with its value.
    """
    given = {name: getattr(estimator, name) for name in Wishes.__annotations__}
    for name, least in (("n_components", 1), ("max_iter", 0), ("n_init", 1), ("verbose_interval", 1)):
        _number(name, given[name], Integral, least)
    _number("verbose", given["verbose"], Integral, 0, boolean=True)
    if given["init_rows"] is not None:
        _number("init_rows", given["init_rows"], Integral, 1)
    for name in ("tol", "reg_covar"):
        _number(name, given[name], Real, 0)
    _choice("covariance_type", given["covariance_type"], COVARIANCE_TYPES)
    _choice("init_params", given["init_params"], INIT_PARAMS)
    return Wishes(**given)


def _number(name: str, value: Any, kind: type, least: int, *, boolean: bool = False) -> None:
    known = isinstance(value, kind) and (boolean or not isinstance(value, bool))
    if known and least <= value < float("inf"):
        return
    noun = "a whole number" if kind is Integral else "a number"
    raise OptionError(
        f"{name}={value!r} is not {noun} from {least} on.\nUse {name}={max(least, 1)}, for example."
    )


def _choice(name: str, value: Any, choices: tuple[str, ...]) -> None:
    if not isinstance(value, str) or value not in choices:
        known = ", ".join(f'"{choice}"' for choice in choices)
        raise OptionError(f'{name}={value!r} is not one of {known}.\nUse {name}="{choices[0]}", for example.')
