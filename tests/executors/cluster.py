"""A program that is a Dask scheduler with two worker processes, all of them reached over TCP.

Says the scheduler's address, and ends when its standard input does. A program of its own, since it opens
connections as it needs them and keeps them: a test that looks what is left behind would find those.
"""

from __future__ import annotations

import json
import sys

import dask
from distributed import LocalCluster


def main() -> None:
    dask.config.set(json.loads(sys.argv[1]))
    with LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        processes=True,
        protocol="tcp://",
        dashboard_address="127.0.0.1:0",
        silence_logs="CRITICAL",
    ) as cluster:
        print(cluster.scheduler_address, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
