"""``outcore doctor``: what slows down or breaks work with large arrays on this machine."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import asdict
from functools import partial

from outcore.cli.checks import computing, files, installed, memory, processes
from outcore.cli.checks.finding import Check, Finding, examine
from outcore.cli.output import print_json

CHECKS: tuple[tuple[str, Check], ...] = (
    ("versions", installed.versions),
    ("memory", memory.main_memory),
    ("/dev/shm", memory.dev_shm),
    ("huge pages", memory.huge_pages),
    ("open files", processes.open_files),
    ("start method", processes.start_method),
    ("shared arrays", processes.shared_memory),
    ("mailbox", processes.mailbox_open),
    ("/proc", processes.proc),
    ("ptrace scope", processes.yama),
    ("cores", computing.processors),
    ("BLAS", computing.blas),
    ("thread settings", computing.thread_variables),
    ("HDF5", files.hdf5),
    ("HDF5 locking", files.hdf5_locking),
    ("current folder", files.current_folder),
    *((package[0], partial(installed.optional, *package)) for package in installed.OPTIONAL),
)


def run(arguments: Namespace) -> int:
    """Look at everything and print what was found; warnings are no failures."""
    found = examine(CHECKS)
    warnings = sum(finding.status == "warn" for finding in found)
    if arguments.json:
        print_json({"checks": [asdict(finding) for finding in found], "warnings": warnings})
        return 0
    for line in _lines(found):
        print(line)
    print("no warnings" if not warnings else f"{warnings} warning{'s' if warnings > 1 else ''}")
    return 0


def _lines(found: list[Finding]) -> list[str]:
    width = max(len(finding.name) for finding in found)
    lines = []
    for finding in found:
        lines.append(f"{finding.status:7}  {finding.name.ljust(width)}  {finding.text}")
        if finding.advice:
            lines.append(f"{'':7}  {'':{width}}  -> {finding.advice}")
    return lines
