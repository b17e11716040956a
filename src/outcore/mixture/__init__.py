"""A mixture of Gaussian distributions, fitted to rows that do not fit in memory.

- `gaussian`: the estimator, ``outcore.GaussianMixture``
- `initialising`: where it starts, from a subsample
- `iterating`: expectation and maximisation in turn, from several starts
- `parameters`, `whitening`: what is estimated, from the sums of a pass
- `checkpoint`: the state of a fit, on disk
- `expectation`: the statistic of one pass; `densities`, `early_exit`, `accumulation` are its parts
- `assigning`: what the fitted mixture says of each row
"""
