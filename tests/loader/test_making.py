from __future__ import annotations

import numpy as np
import pytest

from outcore.loader.making import leaves, size


@pytest.mark.parametrize(
    ("batch", "names"),
    [
        (np.zeros(3), ["batch"]),
        ((np.zeros(3), np.ones(3)), ["batch[0]", "batch[1]"]),
        ({"x": np.zeros(3), "y": (np.ones(3), np.ones(3))}, ["batch['x']", "batch['y'][0]", "batch['y'][1]"]),
        ([np.zeros(3)], ["batch[0]"]),
    ],
)
def test_arrays_of_a_batch_have_names(batch, names):
    assert [name for name, _ in leaves(batch)] == names
    assert size(batch) == 3


def test_a_batch_without_arrays_has_no_samples():
    assert size(()) == 0
