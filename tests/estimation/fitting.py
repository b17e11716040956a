"""A program that fits or transforms rows on disk, and prints what was planned and what it took.

Hands to   : test_memory_of_estimators
"""

from __future__ import annotations

import json
import re
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import outcore as oc


def held_bytes() -> int:
    with open("/proc/self/status") as status:
        return 1024 * sum(map(int, re.findall(r"(?:RssAnon|RssShmem):\s+(\d+)", status.read())))


def operation(name: str, k: int, x: Any, small: Any) -> tuple[Callable[..., Any], Any]:
    if name == "KMeans.fit":
        return oc.KMeans(k, random_state=0, max_iter=3, tol=0.0).fit, x
    if name == "KMeans.transform":
        return oc.KMeans(k, random_state=0, max_iter=1).fit(small).transform, x
    if name == "PCA.fit":
        return oc.PCA(k).fit, x
    if name == "PCA.fit, full":
        return oc.PCA(k, svd_solver="full").fit, x
    return getattr(oc.PCA(k).fit(small), name.removeprefix("PCA.")), x


def main(name: str, path: str, k: int) -> None:
    rng = np.random.default_rng(0)
    tiny = rng.normal(size=(60, 4))
    func, argument = operation(name, 2, tiny, tiny)
    func(argument)  # loads what is loaded once
    with oc.open(path) as x:
        func, argument = operation(name, k, x, rng.normal(size=(3000, x.shape[1])))
        planned = oc.plan(func, argument).peak_bytes
        before, most, over = held_bytes(), 0, threading.Event()

        def watch() -> None:
            nonlocal most
            while not over.is_set():
                most = max(most, held_bytes())
                time.sleep(0.0005)

        watcher = threading.Thread(target=watch)
        watcher.start()
        result = func(argument)
        over.set()
        watcher.join()
        del result
    print(json.dumps({"planned": planned, "taken": most - before}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
