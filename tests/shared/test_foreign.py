"""Libraries with ways of their own to send arrays: Dask on this machine, joblib, cloudpickle."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

import outcore as oc

DASK = """
import numpy as np
import outcore as oc
from distributed import Client, LocalCluster


def make(n):
    import numpy as np, outcore as oc
    return oc.share(np.arange(n))


def write(shared, value):
    shared[0] = value  # seen by everybody, if it is the same memory
    return type(shared).__name__


def last(shared):
    return int(shared[-1])


if __name__ == "__main__":
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None, protocol="tcp") as cluster:
        with Client(cluster) as client:
            future = client.submit(make, 1_000_000)
            received = future.result()
            print(type(received).__name__, int(received[-1]))
            workers = list(client.scheduler_info()["workers"])
            print(*(client.submit(write, received, n, workers=[w], pure=False).result()
                    for n, w in enumerate(workers, 7)))
            print(int(received[0]))
            print(client.submit(last, future, workers=[workers[0]], pure=False).result())
            print(client.submit(last, future, workers=[workers[1]], pure=False).result())
"""


def run(folder, program):
    """Run a program as a process of its own: cluster and pools must not live on in the tests."""
    path = folder / "program.py"  # a file, so that workers can import what is in it
    path.write_text(program)
    return subprocess.run([sys.executable, path], capture_output=True, text=True, timeout=100)


def test_dask_workers_and_client_share_one_memory(tmp_path):
    done = run(tmp_path, DASK)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "SharedArray 999999", "SharedArray SharedArray", "8", "999999", "999999",
    ]  # fmt: skip


JOBLIB = """
import numpy as np
import outcore as oc
from joblib import Parallel, delayed


def make(n):
    return oc.share(np.full(1_000_000, n))


def write(shared, n):
    shared[n] = -1


if __name__ == "__main__":
    with Parallel(n_jobs=2) as parallel:
        made = parallel(delayed(make)(n) for n in range(4))
        print([(type(a).__name__, int(a[-1])) for a in made])
        shared = oc.share(np.zeros(1_000_000))
        parallel(delayed(write)(shared, n) for n in range(4))
        print(shared[:5].tolist())
"""


def test_joblib_neither_writes_arrays_out_nor_pickles_results(tmp_path):
    done = run(tmp_path, JOBLIB)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "[('SharedArray', 0), ('SharedArray', 1), ('SharedArray', 2), ('SharedArray', 3)]",
        "[-1.0, -1.0, -1.0, -1.0, 0.0]",
    ]


def test_dask_falls_back_to_pickle_for_our_class_only():
    serialize = pytest.importorskip("distributed.protocol.serialize")
    shared = oc.share(np.arange(100_000))
    header, frames = serialize.serialize(shared)
    assert sum(len(frame) for frame in frames) < 1000
    assert np.shares_memory(serialize.deserialize(header, frames), shared)
    header, frames = serialize.serialize(np.arange(100_000))
    assert header["serializer"] == "dask"
