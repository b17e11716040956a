"""Memory: what this process may have, and the places that other libraries take it from."""

from __future__ import annotations

import os
import re
from pathlib import Path

from outcore import budget
from outcore.budget import format_bytes
from outcore.cli.checks.finding import Finding

#: Below this share of the limit, or this many bytes, the next array may not fit.
SCARCE_SHARE = 0.05
SCARCE_BYTES = 100_000_000
#: Docker's default for /dev/shm.
DOCKER_SHM_BYTES = 64 << 20


def main_memory() -> Finding:
    """Compare what is free with the limit, and the limit with the machine."""
    found = budget.machine_memory()
    machine = found.limit_bytes
    if hasattr(os, "sysconf"):  # not on Windows
        machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limited = found.limit_bytes < 0.98 * machine
    text = f"{format_bytes(found.free_bytes)} free of {format_bytes(found.limit_bytes)}"
    if limited:
        text += f" (a control group; the machine has {format_bytes(machine)})"
    figures = {
        "free_bytes": found.free_bytes,
        "limit_bytes": found.limit_bytes,
        "machine_bytes": machine,
        "limited_by_control_group": limited,
        "default_budget_bytes": budget.resolve(),
    }
    if found.free_bytes >= max(SCARCE_BYTES, SCARCE_SHARE * found.limit_bytes):
        return Finding("memory", text, figures=figures)
    advice = "outcore shm lists shared arrays that could be let go of"
    if limited:
        advice += "; a larger limit for a container: docker run --memory=..., for a service: MemoryMax="
    return Finding("memory", text, advice, "warn", figures)


def dev_shm(path: str = "/dev/shm") -> Finding:
    """Look at the size of /dev/shm, which outcore does not use and others do."""
    name = "/dev/shm"
    try:
        room = os.statvfs(path)
    except FileNotFoundError:
        return Finding(name, "there is none; outcore needs none")
    size, free = room.f_frsize * room.f_blocks, room.f_frsize * room.f_bavail
    text = f"{format_bytes(free)} free of {format_bytes(size)}; outcore does not use it"
    figures = {"size_bytes": size, "free_bytes": free}
    if size > DOCKER_SHM_BYTES and free >= SCARCE_SHARE * size:
        return Finding(name, text, figures=figures)
    advice = (
        "multiprocessing.shared_memory and PyTorch's loaders die of SIGBUS when it is full: docker run "
        "--shm-size=8g, or remove what is left over there (ls -l /dev/shm)"
    )
    return Finding(name, text, advice, "warn", figures)


def huge_pages(path: str = "/sys/kernel/mm/transparent_hugepage/shmem_enabled") -> Finding:
    """Tell whether shared memory may lie in huge pages; nothing depends on it."""
    name = "huge pages"
    try:
        choices = Path(path).read_text().strip()
    except FileNotFoundError:
        return Finding(name, "the kernel has no setting for shared memory")
    chosen = re.search(r"\[(\w+)\]", choices)
    setting = chosen[1] if chosen else choices
    return Finding(name, f"for shared memory: {setting}", figures={"shmem_enabled": setting})
