"""`Estimator`: parameters that can be read, set and shown, as scikit-learn's tools expect them.

Hands to   : the estimators

Guarantees
- scikit-learn's `clone`, `Pipeline`, `GridSearchCV` and `check_estimator` take these estimators;
  scikit-learn itself is imported only when it asks for tags.
- Constructors store what they are given, unchanged; `fit` checks it.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from outcore.errors import OptionError, ShapeError
from outcore.estimation.checking import check_is_fitted, is_fitted


class Estimator:
    """Parent of the estimators: what their parameters are is read from the constructor.

    Examples
    --------
    >>> oc.PCA(n_components=2)
    PCA(n_components=2)
    >>> oc.PCA(n_components=2).get_params()
    {'n_components': 2, 'svd_solver': 'auto', 'whiten': False}
    """

    #: For scikit-learn's tags: "clusterer", "density_estimator", or None.
    _estimator_type: str | None = None

    @classmethod
    def _parameters(cls) -> dict[str, inspect.Parameter]:
        signature = inspect.signature(cls.__init__)
        return {name: p for name, p in sorted(signature.parameters.items()) if name != "self"}

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters of the constructor.

        Parameters
        ----------
        deep : bool
            Without effect: no parameter is an estimator.
        """
        return {name: getattr(self, name) for name in self._parameters()}

    def set_params(self, **params: Any) -> Self:
        r"""Change parameters; they are checked by `fit`.

        Parameters
        ----------
        **params
            By name.

        Returns
        -------
        self

        Raises
        ------
        OptionError
            No such parameter; nothing is changed.
        """
        known = self._parameters()
        for name in params:
            if name not in known:
                raise OptionError(
                    f"Invalid parameter {name!r} for {type(self).__name__}.\n"
                    f"The parameters are: {', '.join(known)}."
                )
        for name, value in params.items():
            setattr(self, name, value)
        return self

    def __repr__(self) -> str:
        changed = []
        for name, parameter in inspect.signature(type(self).__init__).parameters.items():
            if name == "self":
                continue
            value = getattr(self, name)
            if not _same(value, parameter.default):
                changed.append(f"{name}={np.array2string(value, threshold=6)}" if isinstance(value,
                np.ndarray)
                               else f"{name}={value!r}")  # fmt: skip
        return f"{type(self).__name__}({', '.join(changed)})"

    def __sklearn_is_fitted__(self) -> bool:
        return is_fitted(self)

    def __sklearn_tags__(self) -> Any:
        # Imported here: whoever asks for tags is scikit-learn, and nobody else needs it.
        from sklearn.utils import Tags, TargetTags, TransformerTags

        transforms = hasattr(self, "transform")
        return Tags(
            estimator_type=self._estimator_type or ("transformer" if transforms else None),
            target_tags=TargetTags(required=False),
            transformer_tags=TransformerTags(preserves_dtype=["float64", "float32"]) if transforms else None,
            regressor_tags=None,
            classifier_tags=None,
        )

    def _feature_names_out(self, n_out: int, input_features: Sequence[str] | None) -> NDArray[np.object_]:
        """Return "name0", "name1", ... of the columns that `transform` makes."""
        check_is_fitted(self)
        if input_features is not None:
            given = np.asarray(input_features, dtype=object)
            known = getattr(self, "feature_names_in_", None)
            if known is not None and not np.array_equal(known, given):
                raise ShapeError(
                    f"input_features is not equal to feature_names_in_: {list(given)} and {list(known)}."
                    "\nLeave input_features out."
                )
            n_in: int = self.n_features_in_  # type: ignore[attr-defined]  # set by every fit
            if len(given) != n_in:
                raise ShapeError(
                    "input_features should have length equal to number of features: "
                    f"{len(given)} names for {n_in} features.\nLeave input_features out."
                )
        prefix = type(self).__name__.lower()
        return np.array([f"{prefix}{i}" for i in range(n_out)], dtype=object)


def _same(value: Any, default: Any) -> bool:
    """Whether a parameter has its default value; arrays never do."""
    return value is default or (
        type(value) is type(default) and not hasattr(value, "shape") and value == default
    )
