"""k-means: `KMeans`, and where it begins.

- `kmeans`: the estimator
- `wishes`: its parameters, checked, and the centres to begin with
- `nearest`: the nearest centre of each row
- `lloyd`: what an iteration sums up
- `farthest`: rows that take the place of centres without rows
- `transforming`: the distances to all centres
- `spread`: mean and variance, for the tolerance
- `seeding`: k-means++
"""
