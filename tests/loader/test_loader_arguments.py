from __future__ import annotations

import numpy as np
import pytest

import outcore as oc
from outcore.loader.arguments import MOST_THREADS, checked, default_workers

DEFAULTS = {
    "batch_size": 4, "shuffle": "block", "seed": 0, "drop_last": False, "rank": 0, "world_size": 1,
    "num_workers": None, "worker_type": "thread", "prefetch": None, "block_size": None, "transform": None,
}  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_size": 0}, "batch_size=0 is not a whole number of 1 or more"),
        ({"batch_size": 2.5}, r"batch_size=2\.5"),
        ({"batch_size": True}, "batch_size=True"),
        ({"seed": -1}, "seed=-1 is not a whole number of 0 or more"),
        ({"shuffle": "global"}, "shuffle='global' is none of 'block', True and False"),
        ({"shuffle": 1}, "shuffle=1 is none of"),
        ({"shuffle": None}, "shuffle=None is none of"),
        ({"drop_last": "yes"}, "drop_last='yes'"),
        (
            {"rank": 2, "world_size": 2},
            r"rank=2 is not below world_size=2(.|\n)*rank=1 or less, or world_size=3",
        ),
        ({"world_size": 0}, "world_size=0"),
        ({"num_workers": -1}, "num_workers=-1"),
        ({"prefetch": 0}, "prefetch=0"),
        ({"block_size": 0}, "block_size=0"),
        ({"worker_type": "fork"}, "worker_type='fork' is neither"),
        ({"worker_type": "process"}, "without a transform"),
        ({"worker_type": "process", "transform": print, "num_workers": 0}, "contradict"),
        ({"transform": "fillna"}, "transform='fillna' cannot be called"),
        ({"transform": [print, 3]}, "transform=3 cannot be called"),
    ],
)
def test_what_makes_no_sense_is_refused(changes, message):
    with pytest.raises(oc.errors.OptionError, match=message):
        checked(**DEFAULTS | changes)


def test_numbers_of_numpy_are_numbers():
    options = checked(**DEFAULTS | {"batch_size": np.int64(8), "shuffle": np.True_})
    assert options.batch_size == 8
    assert type(options.batch_size) is int
    assert options.shuffle is True


def test_the_default_number_of_workers_is_small():
    assert checked(**DEFAULTS).num_workers is None
    for worker_type in ("thread", "process"):
        for transforms in (True, False):
            assert 1 <= default_workers(worker_type, 1 << 24, transforms=transforms) <= MOST_THREADS
    assert default_workers("thread", 1000, transforms=True) == 1
    assert default_workers("thread", 1000, transforms=False) == default_workers(
        "process", 1000, transforms=True
    )


def test_transforms_are_listed():
    assert checked(**DEFAULTS | {"transform": print}).transforms == (print,)
    assert checked(**DEFAULTS | {"transform": [print, len]}).transforms == (print, len)
    assert checked(**DEFAULTS).transforms == ()
