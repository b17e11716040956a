"""``outcore doctor``: every check, on this machine and on made-up ones."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from outcore import budget
from outcore.cli import doctor, main
from outcore.cli.checks import computing, files, installed, memory, processes
from outcore.cli.checks.finding import Finding, examine

GB = 10**9
NAMES = [name for name, _ in doctor.CHECKS]


def set_limit(monkeypatch: pytest.MonkeyPatch, limit: int, free: int) -> None:
    monkeypatch.setattr(budget, "machine_memory", lambda: budget.Memory(limit, free))


# ---- the verb -------------------------------------------------------------------------------------


def test_it_looks_at_everything_here_and_is_no_failure(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [check["name"] for check in told["checks"]] == NAMES
    assert {check["status"] for check in told["checks"]} <= {"ok", "warn", "unknown"}
    assert told["warnings"] == sum(check["status"] == "warn" for check in told["checks"])
    for check in told["checks"]:
        assert check["text"]
        assert check["status"] == "ok" or check["status"] == "unknown" or check["advice"]
    if sys.platform == "linux":
        assert [check for check in told["checks"] if check["status"] == "unknown"] == []


def test_as_text_each_warning_is_followed_by_what_to_type(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken() -> Finding:
        raise OSError("no such luck\nsecond line")

    checks = (
        ("first", lambda: Finding("first", "all well")),
        ("broken", broken),
        ("last", lambda: Finding("last", "is small", "ulimit -n 9", "warn")),
    )
    monkeypatch.setattr(doctor, "CHECKS", checks)
    assert main(["doctor"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "ok       first   all well",
        "unknown  broken  OSError: no such luck",
        "warn     last    is small",
        "                 -> ulimit -n 9",
        "1 warning",
    ]
    monkeypatch.setattr(doctor, "CHECKS", checks[:1])
    assert main(["doctor"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "no warnings"


@pytest.mark.parametrize("error", [OSError("gone"), ImportError("no module"), ValueError(), KeyError("x")])
def test_a_check_that_fails_says_why_and_keeps_no_other_from_running(error: Exception) -> None:
    def fail() -> Finding:
        raise error

    first, second = examine([("bad", fail), ("good", lambda: Finding("good", "fine"))])
    assert (first.name, first.status) == ("bad", "unknown")
    assert first.text.startswith(type(error).__name__)
    assert str(error) in first.text
    assert second.text == "fine"


def test_without_proc_and_sys_nothing_breaks(tmp_path: Path) -> None:
    """A process that sees neither: the checks say so one by one."""
    code = (
        "import builtins, io, os, sys\n"
        "from outcore.cli import main\n"
        "opened, listed = io.open, os.listdir\n"
        "def hidden(path): return str(path).startswith(('/proc', '/sys'))\n"
        "def refuse(path, *a, **k):\n"
        "    if hidden(path): raise PermissionError(13, 'Permission denied', str(path))\n"
        "    return opened(path, *a, **k)\n"
        "builtins.open = io.open = refuse\n"
        "sys.exit(main(['doctor', '--json']))\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    told = {check["name"]: check for check in json.loads(run.stdout)["checks"]}
    assert list(told) == NAMES
    assert told["huge pages"]["status"] == "unknown"
    assert "PermissionError" in told["huge pages"]["text"]
    assert told["versions"]["status"] == told["HDF5"]["status"] == "ok"


# ---- memory ---------------------------------------------------------------------------------------


def machine_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def test_memory_names_the_group_that_limits_it(monkeypatch: pytest.MonkeyPatch) -> None:
    set_limit(monkeypatch, machine_bytes(), machine_bytes() // 2)
    found = memory.main_memory()
    assert (found.status, found.advice) == ("ok", "")
    assert "control group" not in found.text
    set_limit(monkeypatch, GB, 3 * GB // 4)
    found = memory.main_memory()
    assert found.status == "ok"
    assert found.text.startswith("750.0 MB free of 1.0 GB (a control group; the machine has ")
    assert found.figures["default_budget_bytes"] == 3 * GB // 8
    set_limit(monkeypatch, GB, GB // 20)
    found = memory.main_memory()
    assert found.status == "warn"
    assert "outcore shm" in found.advice
    assert "--memory=" in found.advice


@pytest.mark.parametrize(
    ("size", "free", "status"), [(64 << 20, 64 << 20, "warn"), (8 * GB, GB, "ok"), (8 * GB, GB // 10, "warn")]
)
def test_dev_shm(size: int, free: int, status: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        memory.os, "statvfs", lambda path: SimpleNamespace(f_frsize=1, f_blocks=size, f_bavail=free)
    )
    found = memory.dev_shm()
    assert (found.status, "--shm-size" in found.advice) == (status, status == "warn")
    assert "outcore does not use it" in found.text


def test_no_dev_shm(tmp_path: Path) -> None:
    assert memory.dev_shm(str(tmp_path / "none")).status == "ok"


def test_huge_pages(tmp_path: Path) -> None:
    setting = tmp_path / "shmem_enabled"
    assert "no setting" in memory.huge_pages(str(setting)).text
    setting.write_text("always within_size advise [never] deny force\n")
    assert memory.huge_pages(str(setting)).figures == {"shmem_enabled": "never"}


# ---- processes ------------------------------------------------------------------------------------


def test_open_files(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda which: given[-1])
    given.append((100_000, 200_000))
    found = processes.open_files()
    assert found.status == "ok"
    assert 90_000 < found.figures["shared_arrays"] == 100_000 - found.figures["in_use"]
    given.append((256, 4096))
    found = processes.open_files()
    assert (found.status, found.advice) == ("warn", "ulimit -n 4096")
    assert "256 at a time (4096 if asked for)" in found.text
    given.append((256, resource.RLIM_INFINITY))
    assert processes.open_files().advice == "ulimit -n 65536"
    given.append((256, 256))
    found = processes.open_files()
    assert found.status == "warn"
    assert "shared_empty" in found.advice
    given.append((resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert processes.open_files().text == "no limit"


@pytest.mark.parametrize(("method", "status"), [("fork", "warn"), ("spawn", "ok"), ("forkserver", "ok")])
def test_start_method(method: str, status: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes.multiprocessing, "get_start_method", lambda allow_none: None)
    monkeypatch.setattr(processes.multiprocessing, "get_all_start_methods", lambda: [method, "other"])
    found = processes.start_method()
    assert (found.status, found.figures) == (status, {"start_method": method})
    assert ("get_context" in found.advice) == (status == "warn")


def test_asking_for_the_start_method_does_not_settle_it() -> None:
    code = (
        "import multiprocessing as m; from outcore.cli.checks import processes\n"
        "processes.start_method(); print(m.get_start_method(allow_none=True))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "None"


@pytest.mark.skipif(sys.platform != "linux", reason="memfd")
def test_shared_arrays_and_the_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes.platform, "release", lambda: "6.1.0-13-amd64")
    found = processes.shared_memory()
    assert (found.status, found.figures) == ("ok", {"backend": "memfd", "kernel": "6.1.0-13-amd64"})
    monkeypatch.setattr(processes.platform, "release", lambda: "4.18.0-553.el8")
    found = processes.shared_memory()
    assert found.status == "warn"
    assert "5.1" in found.advice


def test_shared_arrays_that_cannot_be_made_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(shape: object) -> None:
        raise OSError("memfd_create is not allowed here")

    monkeypatch.setattr(processes.sharing, "shared_empty", refuse)
    (found,) = examine([("shared arrays", processes.shared_memory)])
    assert (found.status, found.text) == ("unknown", "OSError: memfd_create is not allowed here")


@pytest.mark.parametrize("is_open", [True, False])
def test_mailbox(is_open: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    box = SimpleNamespace(open=is_open, reason="" if is_open else "the socket cannot be opened: No way")
    monkeypatch.setattr(processes.mailbox, "own", lambda: box)
    found = processes.mailbox_open()
    assert found.status == ("ok" if is_open else "warn")
    assert ("No way" in found.text) is not is_open
    assert bool(found.advice) is not is_open


def mount(where: str, kind: str, options: str = "", super_options: str = "") -> str:
    line = "22 27 0:21 / {} rw,relatime{} shared:5 - {} {} rw{}\n"
    return line.format(where, options, kind, kind, super_options)


@pytest.mark.skipif(sys.platform != "linux", reason="/proc")
def test_proc(tmp_path: Path) -> None:
    assert processes.proc(str(tmp_path / "none")).status == "warn"
    (tmp_path / "self" / "fd").mkdir(parents=True)
    mounts = tmp_path / "self" / "mountinfo"
    mounts.write_text(mount("/", "ext4") + mount("/proc", "proc"))
    assert processes.proc(str(tmp_path)).text == "readable"
    mounts.write_text(mount("/proc", "proc", super_options=",hidepid=invisible"))
    found = processes.proc(str(tmp_path))
    assert (found.status, found.figures["hidepid"]) == ("ok", "invisible")
    mounts.write_text(mount("/proc", "proc", ",hidepid=2") + mount("/proc", "proc", ",hidepid=0"))
    assert processes.proc(str(tmp_path)).figures["hidepid"] == ""


def test_yama(tmp_path: Path) -> None:
    scope = tmp_path / "ptrace_scope"
    assert processes.yama(str(scope)).text == "not restricted"
    scope.write_text("1\n")
    assert processes.yama(str(scope)).text.startswith("1 (children only)")
    scope.write_text("what?\n")
    assert examine([("ptrace scope", lambda: processes.yama(str(scope)))])[0].status == "unknown"


# ---- computing ------------------------------------------------------------------------------------


def group(root: Path, path: str, **contents: str) -> None:
    folder = root / path
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in contents.items():
        (folder / name.replace("__", ".")).write_text(text)


def test_quota_of_version_2(tmp_path: Path) -> None:
    proc, root = tmp_path / "cgroup", tmp_path / "root"
    proc.write_text("0::/user.slice/job\n")
    assert computing.quota(str(proc), str(root)) is None
    group(root, "user.slice/job", cpu__max="max 100000\n")
    assert computing.quota(str(proc), str(root)) is None
    group(root, "user.slice", cpu__max="150000 100000\n")  # above ours, and smaller
    assert computing.quota(str(proc), str(root)) == 1.5
    group(root, "user.slice/job", cpu__max="400000 100000\n")
    assert computing.quota(str(proc), str(root)) == 1.5
    group(root, "user.slice/job", cpu__max="50000 100000\n")
    assert computing.quota(str(proc), str(root)) == 0.5


@pytest.mark.parametrize("folder", ["cpu", "cpu,cpuacct"])
def test_quota_of_version_1(folder: str, tmp_path: Path) -> None:
    proc, root = tmp_path / "cgroup", tmp_path / "root"
    proc.write_text("5:memory:/docker/ab\n4:cpu,cpuacct:/docker/ab\n0::/\n")
    # As containers see it: the path of the host is missing, the limit is at the root.
    group(root, folder, cpu__cfs_quota_us="-1\n", cpu__cfs_period_us="100000\n")
    assert computing.quota(str(proc), str(root)) is None
    group(root, folder, cpu__cfs_quota_us="250000\n")
    assert computing.quota(str(proc), str(root)) == 2.5


def test_no_control_groups(tmp_path: Path) -> None:
    assert computing.quota(str(tmp_path / "none")) is None


def set_cores(monkeypatch: pytest.MonkeyPatch, machine: int, allowed: int, quota: float | None) -> None:
    monkeypatch.setattr(computing.os, "cpu_count", lambda: machine)
    monkeypatch.setattr(computing, "_affinity", lambda: allowed)
    monkeypatch.setattr(computing, "quota", lambda: quota)


def test_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    set_cores(monkeypatch, 8, 8, None)
    assert (computing.processors().status, computing.processors().text) == ("ok", "8")
    set_cores(monkeypatch, 8, 4, 6.0)
    assert computing.processors().status == "ok"
    assert computing.processors().figures["usable"] == 4
    set_cores(monkeypatch, 8, 4, 2.5)
    found = computing.processors()
    assert found.status == "warn"
    assert found.text == "8, of which this process may use 4; a control group grants the time of 2.5"
    assert found.advice.endswith("export OMP_NUM_THREADS=3")
    set_cores(monkeypatch, 8, 4, 0.1)
    assert computing.usable() == 1


def pool(api: str, threads: int, kind: str = "blas") -> dict[str, Any]:
    return {"user_api": kind, "internal_api": api, "version": "1.2", "num_threads": threads}


def test_blas(monkeypatch: pytest.MonkeyPatch) -> None:
    import threadpoolctl

    found = computing.blas()
    assert found.figures["libraries"]
    pools: list[dict[str, Any]] = []
    monkeypatch.setattr(threadpoolctl, "threadpool_info", lambda: pools)
    set_cores(monkeypatch, 8, 4, None)
    assert computing.blas().status == "ok"
    pools += [pool("openblas", 4), pool("openblas", 4), pool("openmp", 64, "openmp")]
    found = computing.blas()
    assert (found.status, found.text) == ("ok", "openblas 1.2, 4 threads")
    pools += [pool("mkl", 8), pool("flexiblas", 1)]
    found = computing.blas()
    assert found.status == "warn"
    assert found.advice == "export OPENBLAS_NUM_THREADS=4 MKL_NUM_THREADS=4 OMP_NUM_THREADS=4"


def test_thread_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    set_cores(monkeypatch, 8, 4, None)
    for name in computing.VARIABLES:
        monkeypatch.delenv(name, raising=False)
    found = computing.thread_variables()
    assert (found.status, found.figures["variables"]) == ("ok", {})
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    assert computing.thread_variables().status == "ok"
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "64")
    found = computing.thread_variables()
    assert (found.status, found.text) == ("warn", "OMP_NUM_THREADS=4, OPENBLAS_NUM_THREADS=64")
    assert found.advice.endswith("export OPENBLAS_NUM_THREADS=4")


# ---- files ----------------------------------------------------------------------------------------


def test_hdf5() -> None:
    import h5py

    assert files.hdf5().figures == {"h5py": h5py.__version__, "hdf5": h5py.version.hdf5_version}


def test_the_file_system_of_a_folder(tmp_path: Path) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(
        mount("/", "overlay")
        + mount("/data", "nfs4")
        + mount("/data/fast\\040disk", "xfs")
        + mount("/data/fast\\040disk", "ext4")  # mounted over it
    )

    def of(folder: str) -> tuple[str, str]:
        return files.file_system_of(folder, str(mounts))

    assert of("/home/me") == ("/", "overlay")
    assert of("/data") == of("/data/x") == ("/data", "nfs4")
    assert of("/database") == ("/", "overlay")
    assert of("/data/fast disk/x") == ("/data/fast disk", "ext4")
    assert files.file_system_of("/x", str(tmp_path / "none")) == ("/", "unknown")


@pytest.mark.parametrize(
    ("setting", "kind", "status"),
    [
        (None, "ext4", "ok"),
        (None, "nfs4", "warn"),
        ("TRUE", "lustre", "warn"),
        ("FALSE", "nfs4", "ok"),
        ("BEST_EFFORT", "nfs4", "ok"),
    ],
)
def test_hdf5_locking(setting: str | None, kind: str, status: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "file_system_of", lambda folder: ("/x", kind))
    if setting is None:
        monkeypatch.delenv(files.LOCKING, raising=False)
    else:
        monkeypatch.setenv(files.LOCKING, setting)
    found = files.hdf5_locking()
    assert found.status == status
    assert ("export HDF5_USE_FILE_LOCKING=FALSE" in found.advice) == (status == "warn")
    assert found.figures == {files.LOCKING: setting, "file_system": kind}


@pytest.mark.parametrize(
    ("kind", "free", "word"),
    [
        ("ext4", 50, None),
        ("ext4", 1, "nearly full"),
        ("nfs4", 50, "network"),
        ("overlay", 50, "volume"),
        ("tmpfs", 50, "memory"),
    ],
)
def test_the_current_folder(kind: str, free: int, word: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "file_system_of", lambda folder: ("/x", kind))
    monkeypatch.setattr(
        files.os, "statvfs", lambda path: SimpleNamespace(f_frsize=GB, f_blocks=100, f_bavail=free)
    )
    found = files.current_folder()
    assert found.status == ("ok" if word is None else "warn")
    assert (word or "") in found.advice
    assert found.text == f"{kind} at /x, {free}.0 GB free of 100.0 GB"


# ---- installed ------------------------------------------------------------------------------------


def test_versions() -> None:
    import numpy

    found = installed.versions()
    assert found.figures["numpy"] == numpy.__version__
    assert found.figures["python"] == sys.version.split()[0]


def test_optional_packages() -> None:
    found = installed.optional("numpy", "arrays are possible", "all")
    assert found.text.endswith(": arrays are possible")
    found = installed.optional("no_such_package", "all is well", "fast")
    assert (found.status, found.advice) == ("ok", "pip install 'outcore[fast]'")


@pytest.mark.parametrize("look", [check for _, check in doctor.CHECKS], ids=NAMES)
def test_each_check_is_called_what_it_calls_itself(look: Callable[[], Finding]) -> None:
    named = dict(doctor.CHECKS)
    found = look()
    assert named[found.name] is look
    json.dumps(found.figures)
