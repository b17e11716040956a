"""Ready-made transforms of batches: functions whose results are ``transform(batch, rng) -> batch``.

A transform is what `outcore.Loader` calls with each batch and a random generator of that batch; a function
of your own is one too. A batch is an array, or a tuple or dict of arrays. What is made here draws no random
numbers, pickles, and may be used by many threads at once:

- `select`: columns or fields into X, y and weights
- `fillna`: values where NaN stands
- `standardize`: columns of mean 0 and deviation 1
- `one_hot`: labels into rows of zeros and a one
- `astype`: another dtype
"""

from outcore.transforms.casting import astype as astype
from outcore.transforms.encoding import one_hot as one_hot
from outcore.transforms.filling import fillna as fillna
from outcore.transforms.scaling import standardize as standardize
from outcore.transforms.selecting import select as select

__all__ = ["astype", "fillna", "one_hot", "select", "standardize"]
