from __future__ import annotations

import contextlib
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import outcore as oc
from outcore import budget
from outcore.budget import Memory
from tests.cgroup import Outcome

MB = 10**6
MiB = 1 << 20


# ---- sizes as text --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("4GB", 4 * 10**9), ("4 gb", 4 * 10**9), (" 1.5kB ", 1500), ("512MiB", 512 << 20), ("2GiB", 2 << 30),
        ("1t", 10**12), ("1TiB", 1 << 40), ("7", 7), ("7b", 7), ("3K", 3000), ("10m", 10 * MB),
        ("0.5kB", 500),
    ],
)  # fmt: skip
def test_text_becomes_bytes(text: str, size: int) -> None:
    assert budget.parse_bytes(text) == size
    assert budget.resolve(text) == size


@given(st.text(max_size=8))
def test_any_text_is_a_size_or_an_option_error(text: str) -> None:
    with contextlib.suppress(oc.errors.OptionError):
        assert budget.parse_bytes(text) >= 1


@given(st.integers(0, 10**15))
def test_written_sizes_are_short_and_within_a_twentieth(size: int) -> None:
    text = budget.format_bytes(size)
    assert len(text) <= 9
    if size >= 1:
        assert budget.parse_bytes(text) == pytest.approx(size, rel=0.05)


# ---- which budget ---------------------------------------------------------------------------------


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Memory:
    memory = Memory(limit_bytes=1000 * MB, free_bytes=600 * MB)
    monkeypatch.setattr(budget, "machine_memory", lambda: memory)
    return memory


@pytest.mark.parametrize(
    ("memory", "bytes_"),
    [
        (None, 300 * MB),  # half of what is free
        (0.5, 500 * MB),  # of the limit
        ("0.5", 500 * MB),
        (1.0, 1000 * MB),
        (np.float32(0.25), 250 * MB),
        (1, 1),
        (4e9, 4 * 10**9),
        (np.int64(12), 12),
        (1e-12, 1),
    ],
)
def test_bytes_shares_and_the_default(machine: Memory, memory: Any, bytes_: int) -> None:
    assert budget.resolve(memory) == bytes_


def test_the_default_is_read_anew_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    free = iter([100, 60])
    monkeypatch.setattr(budget, "machine_memory", lambda: Memory(1000, next(free)))
    assert [budget.resolve(), budget.resolve()] == [50, 30]


def test_nothing_free_is_still_a_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "machine_memory", lambda: Memory(1000, 0))
    assert budget.resolve() == 1


# ---- the error ------------------------------------------------------------------------------------


def test_the_error_holds_both_numbers_their_sum_and_what_to_type() -> None:
    with pytest.raises(oc.errors.MemoryBudgetError) as caught:
        budget.require("gram(X)", {"blocks": 300 * MB, "sums": 1200 * MB}, "1GB", cure="Use fewer workers.")
    assert str(caught.value) == (
        "gram(X) needs 1.5 GB; the budget is 1.0 GB.\n"
        "  blocks 300.0 MB + sums 1.2 GB\n"
        'Use fewer workers. Raise the budget with memory="1500MB" if the machine has it.'
    )
    assert isinstance(caught.value, MemoryError)


@given(needed=st.integers(1, 10**13))
def test_the_budget_that_the_error_names_is_enough(needed: int) -> None:
    with pytest.raises(oc.errors.MemoryBudgetError) as caught:
        budget.require("it", {"part": needed + 1}, needed)
    named = str(caught.value).partition('memory="')[2].partition('"')[0]
    assert budget.require("it", {"part": needed + 1}, named) >= needed + 1


def test_what_fits_exactly_fits() -> None:
    assert budget.require("it", {"a": 60, "b": 40}, 100) == 100


# ---- control groups, version 2 --------------------------------------------------------------------


def write_group(folder: Path, files: dict[str, str | int]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(f"{text}\n")


def v2(limit: str | int, used: int, *, inactive: int = 0, active: int = 0) -> dict[str, str | int]:
    stat = f"anon 5\ninactive_file {inactive}\nactive_file {active}\nslab 7"
    return {"memory.max": limit, "memory.current": used, "memory.stat": stat}


@pytest.fixture
def groups(tmp_path: Path) -> Callable[[str], list[tuple[int, int]]]:
    """Read the groups of a process whose /proc/self/cgroup has the given text."""

    def read(lines: str) -> list[tuple[int, int]]:
        (tmp_path / "cgroup").write_text(lines)
        return budget._control_groups(tmp_path / "cgroup", tmp_path / "fs")

    return read


Groups = Callable[[str], list[tuple[int, int]]]


def test_every_limited_group_above_counts(tmp_path: Path, groups: Groups) -> None:
    write_group(tmp_path / "fs" / "a" / "b" / "c", v2(500, 100))
    write_group(tmp_path / "fs" / "a" / "b", v2("max", 0))
    write_group(tmp_path / "fs" / "a", v2(300, 250))
    assert groups("0::/a/b/c\n") == [(500, 100), (300, 250)]


def test_page_cache_counts_as_free(tmp_path: Path, groups: Groups) -> None:
    write_group(tmp_path / "fs" / "a", v2(1000, 900, inactive=500, active=300))
    assert groups("0::/a\n") == [(1000, 100)]


def test_more_cache_than_usage_is_nothing_used(tmp_path: Path, groups: Groups) -> None:
    write_group(tmp_path / "fs" / "a", v2(1000, 100, inactive=500))
    assert groups("0::/a\n") == [(1000, 0)]


def test_a_container_that_sees_its_group_as_the_root(tmp_path: Path, groups: Groups) -> None:
    write_group(tmp_path / "fs", v2(800, 10))
    assert groups("0::/\n") == [(800, 10)]
    assert groups("0::/docker/0123\n") == [(800, 10)]  # a path of the host, missing here


def test_a_path_that_leads_above_the_root(tmp_path: Path, groups: Groups) -> None:
    write_group(tmp_path / "fs", v2(800, 10))
    assert groups("0::/../other\n") == [(800, 10)]


def test_the_root_of_the_machine_has_no_limit(tmp_path: Path, groups: Groups) -> None:
    write_group(tmp_path / "fs", {"memory.stat": "anon 5"})
    assert groups("0::/\n") == []


def test_no_control_groups_at_all(tmp_path: Path) -> None:
    assert budget._control_groups(tmp_path / "cgroup", tmp_path) == []


# ---- control groups, version 1 --------------------------------------------------------------------


def v1(limit: int, used: int, *, inactive: int = 0, active: int = 0) -> dict[str, str | int]:
    stat = f"cache 9\ninactive_file 1\ntotal_inactive_file {inactive}\ntotal_active_file {active}"
    return {"memory.limit_in_bytes": limit, "memory.usage_in_bytes": used, "memory.stat": stat}


def test_version_1_is_found_by_its_controller(tmp_path: Path, groups: Groups) -> None:
    write_group(tmp_path / "fs" / "memory" / "job", v1(700, 600, inactive=100, active=50))
    write_group(tmp_path / "fs" / "memory", v1(0x7FFFFFFFFFFFF000, 10**9))
    lines = "9:cpu,cpuacct:/job\n5:cpuset,memory:/job\n1:name=systemd:/x\n0::/x\n"
    assert groups(lines) == [(700, 450), (0x7FFFFFFFFFFFF000, 10**9)]


def test_the_tightest_group_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "_machine", lambda: (1000, 800))
    monkeypatch.setattr(budget, "_control_groups", lambda: [(0x7FFFFFFFFFFFF000, 5), (600, 100), (700, 650)])
    assert budget.machine_memory() == Memory(600, 50)
    monkeypatch.setattr(budget, "_control_groups", lambda: [(600, 700)])  # over its limit
    assert budget.machine_memory() == Memory(600, 0)


def test_the_machine_itself() -> None:
    found = budget.machine_memory()
    assert 0 <= found.free_bytes <= found.limit_bytes


# ---- under a real limit ---------------------------------------------------------------------------


def test_a_process_in_a_group_of_512_mb_sees_that_limit(cgroup: Callable[..., Outcome]) -> None:
    code = """if True:
        from outcore import budget
        print(budget.machine_memory().limit_bytes, budget.resolve(), budget.resolve(0.5))"""
    outcome = cgroup([sys.executable, "-c", code], 512 * MiB)
    assert outcome.returncode == 0, outcome.stderr
    limit, default, share = map(int, outcome.stdout.split())
    assert (limit, share) == (512 * MiB, 256 * MiB)
    assert 200 * MiB < default < 256 * MiB


def test_page_cache_in_a_real_group_counts_as_free(cgroup: Callable[..., Outcome], tmp_path: Path) -> None:
    code = """if True:
        from outcore import budget
        with open("big", "wb") as file:
            for _ in range(150):
                file.write(bytes(1 << 20))
        print(budget.resolve())"""
    outcome = cgroup([sys.executable, "-c", code], 256 * MiB, cwd=tmp_path)
    assert outcome.returncode == 0, outcome.stderr
    assert int(outcome.stdout) > 90 * MiB


def test_reading_more_than_a_real_limit_is_refused_and_not_killed(
    cgroup: Callable[..., Outcome], tmp_path: Path
) -> None:
    with (tmp_path / "x.bin").open("wb") as file:
        file.truncate(400 * MiB)
    code = """if True:
        import numpy as np, outcore as oc
        x = oc.open("x.bin", dtype="f8", shape=(-1, 64))
        for read in (lambda: np.asarray(x), lambda: x[:], lambda: x.take(np.arange(len(x))), lambda: x[::2]):
            try:
                read()
            except oc.errors.MemoryBudgetError:
                print("refused")
        print(x[-5:].sum())
    """
    outcome = cgroup([sys.executable, "-c", code], 256 * MiB, cwd=tmp_path)
    assert (outcome.returncode, outcome.stdout) == (0, "refused\n" * 4 + "0.0\n"), outcome.stderr


# ---- operations refuse before they allocate -------------------------------------------------------


@pytest.fixture(scope="module")
def huge(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """32 GB that take no room on the disk."""
    path = tmp_path_factory.mktemp("huge") / "x.npy"
    with path.open("wb") as file:
        header = np.lib.format.header_data_from_array_1_0(np.empty(0, "f8")) | {"shape": (2_000_000, 2000)}
        np.lib.format.write_array_header_1_0(file, header)
        file.truncate(file.tell() + 32 * 10**9)
    return path


OPERATIONS: dict[str, Callable[[oc.Array], Any]] = {
    "asarray": np.asarray,
    "asarray of another type": lambda x: np.asarray(x, "f4"),
    "all": lambda x: x[...],
    "slice": lambda x: x[5:1_900_000],
    "stepped slice": lambda x: x[::2],
    "backwards": lambda x: x[::-1],
    "columns": lambda x: x[:, 3:1900],
    "take": lambda x: x.take(np.arange(1_000_000)),
    "mask": lambda x: x[np.ones(2_000_000, bool)],
    "windows": lambda x: x.windows(np.arange(100_000), 16),
}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_operations_over_the_budget_are_refused_before_they_allocate(huge: Path, operation: str) -> None:
    array = oc.open(huge)
    array[0, 0]
    tracemalloc.start()
    try:
        with oc.options(memory="4GB"), pytest.raises(oc.errors.MemoryBudgetError) as caught:
            OPERATIONS[operation](array)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 40 * MB  # the indices, which the caller has made
    assert "the budget is 4.0 GB" in str(caught.value)
    assert 'memory="' in str(caught.value)


def test_a_conversion_counts_with_what_it_converts() -> None:
    array = oc.asarray(np.zeros((2500, 2000), "f4")[:, ::2])  # 10 MB
    with oc.options(memory="25MB"):
        assert np.asarray(array, "f4").nbytes == 10 * MB
        with pytest.raises(oc.errors.MemoryBudgetError, match=r"rows 10\.0 MB \+ converted 20\.0 MB"):
            np.asarray(array, "f8")


def test_a_step_over_billions_of_rows_is_refused_before_they_are_counted_out(huge: Path) -> None:
    path = huge.with_suffix(".bin")
    with path.open("wb") as file:
        file.truncate(32 * 10**9)
    many = oc.open(path, dtype="u1")
    tracemalloc.start()
    try:
        for rows in (slice(None, None, 2), slice(None, None, -1)):
            with pytest.raises(oc.errors.MemoryBudgetError):
                many[rows]
        assert tracemalloc.get_traced_memory()[1] < MB
    finally:
        tracemalloc.stop()


def test_the_error_of_a_call_names_the_call(huge: Path) -> None:
    array = oc.open(huge)
    with pytest.raises(
        oc.errors.MemoryBudgetError, match=r"take\(1000 rows\) needs 32\.\d MB; the budget is 1\.0 MB"
    ):
        array.take(range(1000), memory="1MB")
    with pytest.raises(oc.errors.MemoryBudgetError, match=r"windows\(100 x 16 rows\) needs 4\d\.\d MB"):
        array.windows(range(100), 16, memory="1MB")


def test_a_result_of_the_callers_does_not_count(huge: Path) -> None:
    array, out = oc.open(huge), np.empty((1000, 2000))
    array.take(range(1000), out, memory="20MB")
    with pytest.raises(oc.errors.MemoryBudgetError):
        array.take(range(1000), memory="20MB")


def test_iteration_needs_a_block_and_no_more(huge: Path) -> None:
    array = oc.open(huge)
    with oc.options(memory="40MB"):
        for i, row in enumerate(array):
            assert row.shape == (2000,)
            if i == 3000:
                break


def test_an_assignment_of_one_number_needs_no_room_for_all(tmp_path: Path) -> None:
    path = tmp_path / "x.bin"
    with path.open("wb") as file:
        file.truncate(200 * MB)
    array = oc.open(path, mode="r+", dtype="f8", shape=(-1, 2500))
    tracemalloc.start()
    try:
        array[:] = 1
        array[::2] = 2
        array[:, 5] = 3
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 40 * MB
    assert array[-4:, 4:6].tolist() == [[2, 3], [1, 3], [2, 3], [1, 3]]


def test_small_requests_are_served_by_a_look_a_moment_ago_and_large_ones_by_a_new_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    np.save(tmp_path / "x.npy", np.zeros((40, MB), np.uint8))
    array = oc.open(tmp_path / "x.npy")
    looks: list[int] = []

    def look() -> Memory:
        looks.append(1)
        return Memory(1000 * MB, free[0])

    free = [800 * MB]
    monkeypatch.setattr(budget, "machine_memory", look)
    monkeypatch.setattr(budget, "_seen", (float("-inf"), 0))
    for _ in range(5):
        array[:20]
    assert len(looks) == 1
    free[0] = 50 * MB  # somebody took it
    with pytest.raises(oc.errors.MemoryBudgetError):
        array[:]  # more than a small part of what was free: looked at again
    monkeypatch.setattr(budget, "LOOK_S", 0)
    free[0] = 30 * MB
    with pytest.raises(oc.errors.MemoryBudgetError):
        array[:20]
