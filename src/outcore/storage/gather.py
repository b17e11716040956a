"""Gather many byte ranges of one file into one buffer, at the speed of the device.

Reads from : a `PosixFile` (storage.file)
Hands to   : storage.flat

Guarantees
- Range i lands in ``out[i]`` whatever order the ranges are read in.
- Bytes outside the ranges are read only where they share a page with them.
- Memory beyond `out` is what `gather_bytes` says.
- Nothing is cached between calls; a short read is an error, never stale bytes.

How
- Cold: ranges are sorted by offset, cut into groups, announced to the kernel (`posix_fadvise`) a few
  groups ahead, and read by a few threads straight into their places. The kernel then keeps the
  device's queue full, which neither memmap (one page fault at a time) nor a plain read loop does.
- Hot: where a sample of the ranges is in the page cache, copying from a mapping beats one system
  call a range, so that is done instead. The length of the file is checked first; a mapping is never
  touched beyond it.

Rejected: a loop over ``memmap[s : s + n]`` (15-30 times slower when cold), merging ranges across
gaps (the device reads more and nothing is gained), a standing thread pool (dies in a forked child).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np

from outcore.layout import PAGE_BYTES, Indices, cut_runs
from outcore.storage.copying import Bytes, copy_ranges, flat_view
from outcore.storage.file import MAX_BUFFERS, PosixFile, ended, stale
from outcore.storage.threads import run_threads

#: One range longer than this is read in pieces, so that several threads share it.
PIECE_BYTES = 4 << 20
#: One range at least this long is read in order, as is one that goes on where the last one ended.
SCAN_BYTES = 64 << 20
#: Cold: bytes and ranges that one thread reads between two announcements.
GROUP_BYTES = 2 << 20
GROUP_RANGES = 64
#: Cold: as many ranges where they lie close together; sorting them out takes some 40 bytes each.
DENSE_RANGES = 1 << 16
#: Cold: how many groups are announced before the one being read.
GROUPS_AHEAD = 4
#: Cold: threads that read. They mostly wait for the device when ranges are long; when ranges are short,
#: more than two only wait for each other (ranges of 4 kB and 16 kB: two are 1.2 times faster than four).
THREADS = 4
THREADS_SHORT = 2
SHORT_BYTES = 64 << 10
#: Below this a second thread costs more than it saves.
SMALL_BYTES = 1 << 20
#: So few small ranges are simply read: looking where they are would take as long.
FEW = 4
FEW_BYTES = 32 << 10
#: Largest run that is read in one piece and then distributed.
SCRATCH_BYTES = 4 << 20
#: From here on ranges are distributed one by one.
SCATTER_BYTES = 2048
#: How many bytes asked for one probe of the page cache stands for, and how many probes there are.
PROBE_BYTES = 256 << 10
MIN_PROBES = 4
MAX_PROBES = 32
#: After so many gathers that found everything in the page cache, only each fourth of at most `PIECE_BYTES` is
#: probed: probing takes a tenth of the time of gathers of 1 MB.
SURELY_HOT = 16
PROBED = 4


def gather_bytes(n: int, nbytes: int, span_bytes: int) -> int:
    """Bytes needed besides `out`, at most, for `n` ranges of `nbytes` that lie within `span_bytes`."""
    # Starts, offsets, their order and the sorted offsets; what each thread sorts out, reads to share
    # among several ranges, and holds on the way to their places.
    sorting = 32 * n + 40 * min(n, THREADS * DENSE_RANGES)
    shared = min(THREADS * SCRATCH_BYTES, n * (nbytes + PAGE_BYTES), span_bytes + THREADS * nbytes)
    return sorting + shared + (min(THREADS * GROUP_BYTES, n * nbytes) if nbytes < SCATTER_BYTES else 0)


def gather(file: PosixFile, base: int, unit: int, starts: Indices, out: Bytes) -> None:
    """Fill ``out[i]`` with the ``out.shape[1]`` bytes of `file` from ``base + starts[i] * unit`` on.

    Parameters
    ----------
    file : PosixFile
    base : int
        Where the first row begins, in bytes.
    unit : int
        Bytes from one row to the next.
    starts : ndarray of int64, shape (n,)
        Rows; any order, repeats and overlaps allowed; inside the file, as the caller has checked.
    out : ndarray of uint8, shape (n, nbytes), C-contiguous

    Raises
    ------
    StaleArrayError
        The file has become shorter than the ranges.
    """
    n, nbytes = out.shape
    if n == 0 or nbytes == 0:
        return
    if n <= FEW and nbytes <= FEW_BYTES:
        for slot, start in enumerate(starts.tolist()):
            file.read(base + start * unit, [flat_view(out[slot])])
    elif file.positional and _seems_hot(file, base, unit, starts, nbytes):
        _copy(file, base, unit, starts, out)
    elif n == 1 and _is_scan(file, base + int(starts[0]) * unit, nbytes):
        _read_in_order(file, base + int(starts[0]) * unit, out)
    elif nbytes > PIECE_BYTES:
        _read_pieces(file, base + starts * unit, out)
    else:
        _read_groups(file, base + starts * unit, out)


def _seems_hot(file: PosixFile, base: int, unit: int, starts: Indices, nbytes: int) -> bool:
    row = file.hot_in_a_row
    sure = row >= SURELY_HOT and row % PROBED and len(starts) * nbytes <= PIECE_BYTES
    if not sure and not _is_hot(file, base, unit, starts, nbytes):
        file.hot_in_a_row = 0
        return False
    file.hot_in_a_row = row + 1
    return True


def _is_hot(file: PosixFile, base: int, unit: int, starts: Indices, nbytes: int) -> bool:
    # Evenly spread over the bytes asked for, without random numbers, so that the same request takes
    # the same path. A probe costs a microsecond, copying what it stands for at least ten.
    total = len(starts) * nbytes
    probes = min(max(total // PROBE_BYTES, MIN_PROBES), MAX_PROBES)
    for i in range(probes):
        slot, within = divmod((2 * i + 1) * total // (2 * probes), nbytes)
        if not file.resident(base + int(starts[slot]) * unit + within):
            return False
    return True


# ---- cold ------------------------------------------------------------------------------------


def _is_scan(file: PosixFile, begin: int, nbytes: int) -> bool:
    """Whether this range is long, or goes on where the one before it ended: a file read from end to end."""
    goes_on, file.scanned_to = begin == file.scanned_to, begin + nbytes
    return nbytes >= SCAN_BYTES or (goes_on and nbytes > SHORT_BYTES)


def _read_in_order(file: PosixFile, begin: int, out: Bytes) -> None:
    # The kernel's own readahead sees a file read in order and fetches what comes next, across calls too,
    # in larger requests than announced ranges get: 1.4 times as fast. It would read on behind a short
    # range for nothing, so those are announced.
    flat = flat_view(out)
    for low in range(0, len(flat), PIECE_BYTES):
        file.read(begin + low, [flat[low : low + PIECE_BYTES]])


def _read_pieces(file: PosixFile, offsets: Indices, out: Bytes) -> None:
    n, nbytes = out.shape
    pieces = -(-nbytes // PIECE_BYTES)
    order = np.argsort(offsets, kind="stable")
    flat = flat_view(out)

    def span(job: int) -> tuple[int, int, int]:
        at, piece = divmod(job, pieces)
        slot = int(order[at])
        low = piece * PIECE_BYTES
        return int(offsets[slot]) + low, slot * nbytes + low, min(PIECE_BYTES, nbytes - low)

    def announce(job: int) -> None:
        begin, _, size = span(job)
        file.announce(begin, size)

    def read(job: int) -> None:
        begin, place, size = span(job)
        file.read(begin, [flat[place : place + size]])

    _pipeline(n * pieces, announce, read, threads=THREADS)


def _read_groups(file: PosixFile, offsets: Indices, out: Bytes) -> None:
    n, nbytes = out.shape
    if n > 1 and np.any(offsets[1:] < offsets[:-1]):
        order = np.argsort(offsets, kind="stable")
        begins = offsets[order]
    else:
        order, begins = np.arange(n), offsets
    size = max(1, min(GROUP_BYTES // nbytes, n)) if nbytes * GROUP_RANGES > GROUP_BYTES else GROUP_RANGES
    if n > 1 and _dense(begins, nbytes):
        size = max(size, min(GROUP_BYTES // nbytes, DENSE_RANGES))
    flat = flat_view(out)

    def announce(group: int) -> None:
        runs = cut_runs(begins[group * size : (group + 1) * size], nbytes)
        for begin, length in zip(runs.begin.tolist(), runs.nbytes.tolist(), strict=True):
            file.announce(begin, length)

    def read(group: int) -> None:
        here = slice(group * size, (group + 1) * size)
        _read_group(file, begins[here], order[here], out, flat)

    threads = 1 if out.nbytes <= SMALL_BYTES else THREADS_SHORT if nbytes < SHORT_BYTES else THREADS
    _pipeline(-(-n // size), announce, read, threads=threads)


def _dense(begins: Indices, nbytes: int) -> bool:
    """Whether most neighbours share a run, so that groups may hold many ranges."""
    span = int(begins[-1]) - int(begins[0]) + nbytes
    return span < len(begins) * (nbytes + PAGE_BYTES)


def _read_group(file: PosixFile, begins: Indices, slots: Indices, out: Bytes, flat: memoryview) -> None:
    nbytes = out.shape[1]
    runs = cut_runs(begins, nbytes)
    if len(runs.begin) == len(begins):  # every range on its own: the common case, kept tight
        for begin, slot in zip(begins.tolist(), slots.tolist(), strict=True):
            place = slot * nbytes
            file.read(begin, [flat[place : place + nbytes]])
        return
    if runs.plain and nbytes >= PAGE_BYTES:
        for r, begin in enumerate(runs.begin.tolist()):
            _read_plain_run(file, begin, slots[runs.first[r] : runs.first[r + 1]], nbytes, flat)
        return
    for r, begin in enumerate(runs.begin.tolist()):
        first, last = int(runs.first[r]), int(runs.first[r + 1])
        _read_shared_run(file, begin, begins[first:last], slots[first:last], out)


def _read_plain_run(file: PosixFile, begin: int, slots: Indices, nbytes: int, flat: memoryview) -> None:
    # Neighbours in the file go to their own places by one vectored read.
    for low in range(0, len(slots), MAX_BUFFERS):
        part = slots[low : low + MAX_BUFFERS].tolist()
        if part[-1] - part[0] == len(part) - 1 and all(b - a == 1 for a, b in itertools.pairwise(part)):
            buffers = [flat[part[0] * nbytes : (part[-1] + 1) * nbytes]]
        else:
            buffers = [flat[slot * nbytes : (slot + 1) * nbytes] for slot in part]
        file.read(begin + low * nbytes, buffers)


def _read_shared_run(file: PosixFile, begin: int, begins: Indices, slots: Indices, out: Bytes) -> None:
    # Overlapping or close ranges: every byte is read once into a scratch buffer, then copied out.
    nbytes = out.shape[1]
    at = 0
    while at < len(begins):
        low = int(begins[at])
        upto = int(np.searchsorted(begins, low + max(SCRATCH_BYTES - nbytes, 0), side="right"))
        length = int(begins[upto - 1]) + nbytes - low
        scratch = np.empty(length, np.uint8)
        file.read(low, [flat_view(scratch)])
        _scatter(scratch, begins[at:upto] - low, slots[at:upto], out)
        at = upto


def _scatter(source: Bytes, places: Indices, slots: Indices, out: Bytes) -> None:
    nbytes = out.shape[1]
    if nbytes >= SCATTER_BYTES:
        for place, slot in zip(places.tolist(), slots.tolist(), strict=True):
            out[slot] = source[place : place + nbytes]
        return
    # One void item a range: NumPy then moves whole ranges instead of single bytes.
    ranges = np.ndarray((len(source) - nbytes + 1,), f"V{nbytes}", source, 0, (1,))
    out.view(f"V{nbytes}")[slots, 0] = ranges[places]


def _pipeline(
    jobs: int, announce: Callable[[int], None], read: Callable[[int], None], *, threads: int
) -> None:
    """Run ``read(0..jobs)`` in order on a few threads, each job announced `GROUPS_AHEAD` jobs before."""
    ahead = min(GROUPS_AHEAD * threads, jobs)
    for job in range(ahead):
        announce(job)
    if jobs == 1:
        read(0)
        return
    following = itertools.count(ahead)  # next() on a count is atomic: no lock that a fork could copy locked

    def step(job: int) -> None:
        later = next(following)
        if later < jobs:
            announce(later)
        read(job)

    run_threads(jobs, step, threads)


# ---- hot -------------------------------------------------------------------------------------


def _copy(file: PosixFile, base: int, unit: int, starts: Indices, out: Bytes) -> None:
    source = file.mapping()
    last = base + int(starts.max()) * unit + out.shape[1] - 1
    if last >= len(source):
        raise ended(file, last)  # cut before it was mapped: the copy relies on all rows being there

    def check() -> None:
        # Touching a mapping beyond the end of its file kills the process (SIGBUS), so the length is
        # read again right before each piece.
        if file.size() < len(source):
            raise stale(file.path, f"has {file.size()} bytes left of {len(source)}: it was cut")

    copy_ranges(source, base, unit, starts, out, check)
