"""Products of all rows with themselves and with matrices, in one pass over the data.

`Gram`, `QuadraticForm`, `Product` and `Covariance` are statistics: `outcore.reduce_rows` computes several of
them in one read. `outcore.gram`, `quadratic_form`, `matmul` and `cov` compute one.

- `grams`, `forms`, `matrices`, `covariance`: the statistics and the functions
- `dense`: the symmetric and the triangular product of one block, by BLAS
- `weighing`: weights, and the rows that count
- `arguments`: what is taken, and what is refused
"""

from __future__ import annotations

from outcore.linalg.covariance import Covariance as Covariance
from outcore.linalg.covariance import CovarianceResult as CovarianceResult
from outcore.linalg.forms import QuadraticForm as QuadraticForm
from outcore.linalg.grams import Gram as Gram
from outcore.linalg.matrices import Product as Product

__all__ = ["Covariance", "CovarianceResult", "Gram", "Product", "QuadraticForm"]
