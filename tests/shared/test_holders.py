"""Looking at processes that come and go meanwhile."""

from __future__ import annotations

import errno
import os
import resource
import sys
from typing import Any

import numpy as np
import pytest

import outcore as oc
from outcore.shared import census, holders
from tests.shared.listed import nameless_here, nonce_of, the

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="asks /proc")


@pytest.mark.parametrize("kind", [FileNotFoundError, PermissionError, ProcessLookupError])
def test_a_process_that_vanishes_while_it_is_looked_at_is_passed_over(
    kind: type[OSError], monkeypatch: pytest.MonkeyPatch
) -> None:
    array = oc.share(np.arange(5))
    listed, asked = os.listdir, []

    def listdir(path: str) -> list[str]:
        if path == "/proc":
            return ["999999998", *listed(path), "999999999"]
        if "/99999999" in str(path):
            asked.append(path)
            raise kind(errno.ESRCH, "gone")
        return listed(path)

    monkeypatch.setattr(holders.os, "listdir", listdir)
    assert the(nonce_of(array)) is not None
    assert asked == ["/proc/999999998/fd", "/proc/999999999/fd"]


def test_what_vanishes_between_two_looks_is_not_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    array = oc.share(np.arange(5))
    nonce = nonce_of(array)
    scan = holders.scan

    def scan_and_let_go() -> Any:
        nonlocal array
        seen = scan()
        array = None
        return seen

    monkeypatch.setattr(census, "scan", scan_and_let_go)
    monkeypatch.setattr(census, "mapped_here", list)
    assert the(nonce) is None
    assert nameless_here() == []


@pytest.mark.parametrize("part", ["maps", "smaps", "cmdline"])
def test_a_process_that_vanishes_in_the_middle_is_told_as_far_as_it_was_seen(
    part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    array = oc.share(np.arange(5))
    read = holders._read

    def gone(path: str) -> bytes:
        if path == f"/proc/{os.getpid()}/{part}":
            raise ProcessLookupError(errno.ESRCH, "gone")
        return read(path)

    monkeypatch.setattr(holders, "_read", gone)
    found = the(nonce_of(array))
    assert found is not None
    (holder,) = found.holders
    assert holder.how == ("descriptor" if part == "maps" else "mapped r+")
    assert (holder.pss_bytes is None) == (part in ("maps", "smaps"))
    assert (holder.command == "") == (part == "cmdline")


def test_other_errors_are_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(path: str) -> bytes:
        raise OSError(errno.EIO, "broken")

    monkeypatch.setattr(holders, "_read", broken)
    with pytest.raises(OSError, match="broken"):
        oc.segments()


def test_smaps_is_read_for_holders_only(monkeypatch: pytest.MonkeyPatch) -> None:
    array = oc.share(np.arange(5))
    read, asked = holders._read, []

    def noted(path: str) -> bytes:
        asked.append(path)
        return read(path)

    monkeypatch.setattr(holders, "_read", noted)
    found = holders.scan()
    mapped = {h.pid for seen in found.values() for h in seen.holders if h.how != "descriptor"}
    assert os.getpid() in mapped
    assert {int(path.split("/")[2]) for path in asked if path.endswith("/smaps")} == mapped
    assert len([path for path in asked if path.endswith("/maps")]) > len(mapped)
    del array


def test_without_descriptors_left_the_error_names_the_cure() -> None:
    array = oc.share(np.arange(5))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        with pytest.raises(oc.errors.HandleLimitError, match="ulimit -n"):
            oc.segments()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert the(nonce_of(array)) is not None
