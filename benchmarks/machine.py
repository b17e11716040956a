"""What the figures were taken on, in one line.

Reads from : /proc, /sys, the file system of the folder that is measured
"""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from benchmarks import fio, limits


def describe(folder: Path) -> str:
    """Name cores, memory, kernel, file system and versions."""
    python = f"Python {platform.python_version()}"
    packages = [f"{name} {found}" for name in ("numpy", "h5py", "isal") if (found := _version(name))]
    return " · ".join([
        f"{cores()} cores{_model()}", f"{_memory_bytes() / (1 << 30):.0f} GiB",
        f"{platform.system()} {platform.release()}", f"{file_system(folder)}", python, *packages,
        fio.installed() or "no fio", limits.kind(), *_kernels(),
    ])  # fmt: skip


def _kernels() -> list[str]:
    """Say which kernels OpenBLAS was told to use, instead of those for the processor."""
    return [f"{name}={os.environ[name]}" for name in ("OPENBLAS_CORETYPE",) if name in os.environ]


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def file_system(folder: Path) -> str:
    """Name the type of the file system on which `folder` lies; "tmpfs" is no disk at all."""
    try:
        mounts = Path("/proc/self/mounts").read_text().splitlines()
    except OSError:
        return "unknown file system"
    here = os.path.realpath(folder)
    best, kind = "", "unknown file system"
    for line in mounts:
        _, point, found, *_ = line.split()
        point = point.replace("\\040", " ")
        inside = here == point or here.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best):
            best, kind = point, found
    return kind


def _model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return ""
    found = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "")
    return f" ({found})" if found else ""


def _memory_bytes() -> int:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return 0


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
