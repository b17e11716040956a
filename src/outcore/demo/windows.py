"""Fourth job: random windows of an array larger than the memory, beside np.memmap and h5py.

Reads from : the arrays of `ingesting`
Hands to   : demo.report

Every reader gets the same windows in the same order, in a fresh process, from a file that was dropped from
the page cache before; h5py gets a copy of the array in a contiguous HDF5 dataset. Where a control group
can be made it also bounds the page cache, so that a file larger than it stays cold.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from outcore import progress
from outcore.budget import format_bytes
from outcore.demo.ingesting import FLIGHTS, NUMBERS
from outcore.demo.stage import BUDGET_BYTES, Demo, Step
from outcore.demo.texts import SOURCES, YEARS
from outcore.errors import OutcoreError

#: As `outcore.demo.readers` knows them.
READERS = ("outcore", "np.memmap", "h5py")
LENGTH = 2048
#: At size 1. Above, more would make no difference to the ratios and take minutes with a memory map.
WINDOWS, MOST_WINDOWS = 1500, 3000
HDF5 = "flights.h5::/flights"


def disk_bytes(size: float) -> int:
    """Estimate what the copy for h5py will take."""
    return round(SOURCES[0].rows * 8 * len(NUMBERS) * YEARS * size)


def work(demo: Demo) -> None:
    """Convert, then read with each reader in turn."""
    rows, nbytes = demo.facts["array"]["shape"][0], demo.facts["array"]["nbytes"]
    demo.outcore("convert to HDF5", "convert", FLIGHTS, HDF5, nbytes=nbytes)
    count = max(1, min(round(WINDOWS * demo.size), MOST_WINDOWS))
    length = max(1, min(LENGTH, rows // 4))
    demo.say(f"windows: {count} of {length} rows at random places, by each of {', '.join(READERS)}")
    found: dict[str, dict[str, Any]] = {}
    with progress.bar("windows", count * len(READERS), unit="windows") as advance:
        for reader in READERS:
            address = HDF5 if reader == "h5py" else FLIGHTS
            forget(demo.folder / address.partition("::")[0])
            finished = demo.python(
                f"reading windows with {reader}",
                *("-m", "outcore.demo.readers", reader, address, str(count), str(length), str(BUDGET_BYTES)),
                on_line=lambda line: advance(line["done"]),
            )
            found[reader] = finished.answer | {"peak_bytes": finished.peak_bytes}
    _compare(found)
    demo.say(f"  {format_bytes(found['outcore']['nbytes'])} by each, the same to the last byte")
    ours = found["outcore"]["seconds"]
    for reader, answer in found.items():
        answer["ratio"] = answer["seconds"] / ours
        note = "" if reader == "outcore" else f"{answer['ratio']:.1f} times as long as outcore"
        demo.steps.append(
            Step(f"windows, {reader}", answer["seconds"], answer["nbytes"], answer["peak_bytes"], note)
        )
    demo.facts["windows"] = {"count": count, "length": length, "readers": found}


def forget(path: Path) -> None:
    """Drop a file from the page cache, where the system can be asked to."""
    if not hasattr(os, "posix_fadvise"):
        return
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)  # pages that are not on the device yet are not dropped
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(fd)


def _compare(found: dict[str, dict[str, Any]]) -> None:
    sums = {reader: answer["checksum"] for reader, answer in found.items()}
    if len(set(sums.values())) != 1:
        listed = ", ".join(f"{reader} {checksum:08x}" for reader, checksum in sums.items())
        raise OutcoreError(
            f"the readers delivered different rows (checksums: {listed}).\n"
            "That is a defect of outcore: please report it."
        )
