from __future__ import annotations

import numpy as np
import pytest

import outcore as oc
from outcore.loader.structure import Structure

ROWS, LABELS = np.zeros((3, 2)), np.arange(3)


@pytest.mark.parametrize("arrays", [(ROWS, LABELS), {"x": ROWS, "y": LABELS}, (ROWS,), {"only": ROWS}])
def test_batches_have_the_structure_of_the_arrays(arrays):
    structure, parts = Structure.of(arrays)
    made = structure.pack([part[:2] for part in parts])
    assert type(made) is type(arrays)
    assert len(made) == len(arrays)
    if isinstance(arrays, dict):
        assert list(made) == list(arrays)


def test_one_array_alone_stays_alone():
    structure, parts = Structure.of(ROWS)
    assert structure.pack([parts[0][:1]]).shape == (1, 2)


def test_errors_call_arrays_as_the_user_does():
    assert Structure.of((ROWS, LABELS))[0].called(1) == "arrays[1]"
    assert Structure.of({"x": ROWS})[0].called(0) == "arrays['x']"
    assert Structure.of(ROWS)[0].called(0) == "arrays"


@pytest.mark.parametrize("arrays", [(), {}])
def test_no_array_at_all(arrays):
    with pytest.raises(oc.errors.OptionError, match="holds no array"):
        Structure.of(arrays)


def test_keys_that_are_no_text():
    with pytest.raises(oc.errors.OptionError, match="the key 1 of the dict of arrays is not a str, but int"):
        Structure.of({1: ROWS})
