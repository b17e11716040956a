"""Principal components: `PCA`.

- `pca`: the estimator
- `components`: from a covariance, or a triangular factor, to components
- `triangular`: the triangular factor of all rows, which keeps small variances
- `dimension`: how many components are more than noise
- `projecting`: rows times a matrix, and the log-likelihood of rows
"""
