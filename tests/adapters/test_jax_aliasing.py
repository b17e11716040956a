"""JAX arrays may be made of a batch's memory without a copy; that memory must not be used again meanwhile.

`jax.device_put` aliases writable arrays of NumPy on the CPU (jax-ml/jax issue 37830), so a loader that filled
a ring of buffers again and again would change arrays of JAX behind its back.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import outcore as oc
from outcore.blocks.pages import MAPPED_BYTES

jax = pytest.importorskip("jax")

N, WIDTH, BATCH = 40_960, 64, 1024
ROWS = np.arange(N * WIDTH, dtype=np.float32).reshape(N, WIDTH)
WAYS: dict[str, Callable[[Any], Any]] = {
    "asarray": jax.numpy.asarray,
    "device_put": jax.device_put,
    "dlpack": jax.dlpack.from_dlpack,
    "jit": jax.jit(lambda batch: batch + 0),  # what Keras's JAX trainer does: it computes when it comes to it
}


def make_loader() -> oc.Loader:
    return oc.Loader(ROWS, BATCH, shuffle=False, num_workers=2, prefetch=4)


@pytest.mark.parametrize("way", WAYS)
def test_arrays_of_jax_stay_as_they_were_while_the_loader_goes_on(way: str) -> None:
    convert = WAYS[way]
    kept, places = {}, []
    for i, batch in enumerate(make_loader()):
        assert batch.nbytes >= MAPPED_BYTES  # smaller memory is not aligned as JAX wants it, so it is copied
        if i % 4 == 0:
            kept[i] = convert(batch)
        else:
            places.append(batch.ctypes.data)
        del batch
    assert len(set(places)) < len(places)  # memory is used again, or this test could not fail
    for i, array in kept.items():
        np.testing.assert_array_equal(np.asarray(array), ROWS[i * BATCH : (i + 1) * BATCH], strict=True)


def test_jax_takes_the_memory_over_without_a_copy_and_gives_it_back() -> None:
    """What the test above is about happens, and is no leak."""
    taken = set()
    for batch in make_loader():
        array = jax.dlpack.from_dlpack(batch)
        assert array.unsafe_buffer_pointer() == batch.ctypes.data
        taken.add(batch.ctypes.data)
        del array, batch
    assert len(taken) < N // BATCH // 2


def test_a_buffer_that_is_filled_again_changes_the_array_of_jax() -> None:
    """Why the loader must not do so. Where this fails JAX has begun to copy, and the tests above are moot."""
    memory = next(iter(make_loader()))
    array = jax.dlpack.from_dlpack(memory)
    memory[...] = -1
    assert float(array[0, 0]) == -1


def test_epochs_of_keras_on_jax_take_the_arrays_as_they_are() -> None:
    """Keras hands them to JAX without a copy, so it must get the very arrays, writable and nobody else's."""
    pytest.importorskip("keras")
    dataset = make_loader().to_keras()
    first, second = dataset[0], dataset[0]
    assert isinstance(first, np.ndarray)
    assert first.flags.writeable
    assert not np.shares_memory(first, second)
