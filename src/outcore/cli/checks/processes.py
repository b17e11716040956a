"""Processes: descriptors, how children start, and whether shared arrays get from one to another."""

from __future__ import annotations

import multiprocessing
import os
import platform
import re
from pathlib import Path

from outcore.cli.checks.finding import Finding
from outcore.shared import mailbox, memfd, sharing

#: Fewer shared arrays at a time than this are soon used up.
FEW_ARRAYS = 512
#: What a user may usually raise the limit to.
GENEROUS_FDS = 65536
#: Before this the kernel does not enforce `freeze`.
FREEZING_KERNEL = (5, 1)


def open_files() -> Finding:
    """Count the descriptors that are left: each shared array needs one."""
    import resource  # not on Windows

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = soft == resource.RLIM_INFINITY
    used = len(os.listdir("/proc/self/fd")) - 1 if os.path.isdir("/proc/self/fd") else None
    left = None if unlimited else max(soft - (used or 0), 0)
    name, figures = "open files", {"soft": soft, "hard": hard, "in_use": used, "shared_arrays": left}
    if left is None:
        return Finding(name, "no limit", figures=figures)
    allowed = "any number" if hard == resource.RLIM_INFINITY else str(hard)
    text = f"{soft} at a time ({allowed} if asked for), {used} in use here: room for {left} shared arrays"
    if left >= FEW_ARRAYS:
        return Finding(name, text, figures=figures)
    more = GENEROUS_FDS if hard == resource.RLIM_INFINITY else min(hard, GENEROUS_FDS)
    advice = (
        f"ulimit -n {more}"
        if more > soft
        else "put many small arrays into one oc.shared_empty((n, ...)); root can raise the limit"
    )
    return Finding(name, text, advice, "warn", figures)


def start_method() -> Finding:
    """Tell how multiprocessing starts children where a program does not say."""
    # The first is the default; asking get_start_method() would settle it for this process.
    method = multiprocessing.get_start_method(allow_none=True) or multiprocessing.get_all_start_methods()[0]
    figures = {"start_method": method}
    name, text = "start method", f"{method}, unless a program says otherwise"
    if method != "fork":
        return Finding(name, text, figures=figures)
    advice = (
        "a forked child may hang on a lock that a thread of its parent held (BLAS, Polars, HDF5); "
        'ProcessPoolExecutor(mp_context=multiprocessing.get_context("forkserver"))'
    )
    return Finding(name, text, advice, "warn", figures)


def shared_memory() -> Finding:
    """Make a shared array, and tell where it is."""
    backend = sharing.BACKEND.__name__.rpartition(".")[2]
    kernel = platform.release()
    sharing.shared_empty(1)
    figures = {"backend": backend, "kernel": kernel}
    name = "shared arrays"
    if sharing.BACKEND is not memfd:
        advice = "a folder on local disk, set by TMPDIR, must have room for them" * (os.name == "posix")
        return Finding(name, f"in files or sections with a name ({platform.system()})", advice, "ok", figures)
    text = f"memory without a name (memfd), Linux {kernel}"
    if _numbers(kernel) < FREEZING_KERNEL:
        advice = "freeze() is enforced by NumPy alone; the kernel does it from Linux 5.1 on"
        return Finding(name, text, advice, "warn", figures)
    return Finding(name, text, figures=figures)


def mailbox_open() -> Finding:
    """Tell whether arrays of children that have ended can be received."""
    box = mailbox.own()
    figures = {"open": box.open, "reason": box.reason}
    if box.open:
        return Finding("mailbox", "open: arrays outlive the children that made them", figures=figures)
    advice = (
        "results of workers that have ended cannot be received: keep the pool open until they are, or let "
        "the parent make the arrays (oc.shared_empty) and the children fill them"
    )
    return Finding("mailbox", f"closed: {box.reason}", advice, "warn", figures)


def proc(root: str = "/proc") -> Finding:
    """Tell whether processes find each other's descriptors."""
    name = "/proc"
    if sharing.BACKEND is not memfd:
        return Finding(name, "not needed on this system")
    try:
        os.listdir(f"{root}/self/fd")
    except OSError as error:
        text = f"not readable ({error.strerror}): shared arrays cannot be received"
        return Finding(name, text, "mount -t proc proc /proc", "warn", {"readable": False})
    hidden = _option(Path(f"{root}/self/mountinfo").read_text(errors="replace"), "hidepid")
    # Whatever it hides could not be opened in any case.
    note = f", mounted with hidepid={hidden}, which hides processes of other users only" if hidden else ""
    return Finding(name, f"readable{note}", figures={"readable": True, "hidepid": hidden})


def yama(path: str = "/proc/sys/kernel/yama/ptrace_scope") -> Finding:
    """Tell who may debug whom; shared arrays do not depend on it."""
    name = "ptrace scope"
    try:
        scope = int(Path(path).read_text())
    except FileNotFoundError:
        return Finding(name, "not restricted", figures={"ptrace_scope": None})
    meaning = {0: "not restricted", 1: "children only", 2: "root only", 3: "nobody"}.get(scope, "unknown")
    text = f"{scope} ({meaning}); it matters to debuggers, not to shared arrays"
    return Finding(name, text, figures={"ptrace_scope": scope})


def _option(mounts: str, wanted: str) -> str:
    """Return the value of an option of /proc's mount; empty if it has none."""
    found = ""
    for line in mounts.splitlines():
        fields = line.split()
        if len(fields) > 5 and fields[4] == "/proc":  # the last of several is the one that is seen
            words = [*fields[5].split(","), *fields[-1].split(",")]
            values = [word.partition("=")[2] for word in words if word.startswith(f"{wanted}=")]
            found = values[0] if values else ""
    return "" if found in ("0", "off") else found


def _numbers(release: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", release)[:2])
