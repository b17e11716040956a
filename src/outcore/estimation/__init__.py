"""What all estimators share: parameters, checks of their input, rows to begin with.

- `base`: `Estimator`, the parent of all
- `checking`: input, weights, whether `fit` was called
- `features`: the names of features, where rows come with names
- `phases`: memory besides that of the passes
- `sampling`: `sample_rows`, `random_state`
"""
