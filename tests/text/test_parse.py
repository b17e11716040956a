"""Text to rows, by every way through the parser, against np.loadtxt, the csv module and Python's numbers."""

from __future__ import annotations

import csv
import io
import itertools
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from outcore.text import parse
from outcore.text.boundaries import last_record_end
from outcore.text.cleaning import clean
from outcore.text.columns import Values
from outcore.text.dialect import Dialect
from outcore.text.parse import Plan, Unreadable, parts
from outcore.text.schema import Column, Schema, parse_dtype

COMMA = Dialect(",")


def plan_for(
    dtype: str,
    n_columns: int = 2,
    *,
    places: tuple[int, ...] = (),
    dialect: Dialect = COMMA,
    fill: float | None = None,
    na: tuple[str, ...] = ("", "NA", "nan"),
) -> Plan:
    """Make a plan for a matrix of one dtype, or of the fields of a structured one."""
    kind = parse_dtype(dtype)
    names = kind.names or tuple(f"c{i}" for i in range(n_columns))
    kept = places or tuple(range(len(names)))
    columns = tuple(Column(i, names[i], kind[names[i]] if kind.names else kind) for i in kept)
    return Plan(dialect, Schema(names, columns, matrix=kind.names is None), Values(na, fill, dialect.decimal))


def rows_of(data: bytes, plan: Plan) -> np.ndarray:
    return parse.rows(data, plan).values


def ways(data: bytes, plan: Plan) -> list[np.ndarray | None]:
    """Read it as a narrow table, as a wide one, and as text; None where it is refused."""
    found: list[np.ndarray | None] = []
    for wide, typed in ((10**9, True), (1, True), (10**9, False), (1, False)):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(parse, "WIDE", wide)
            if not typed:
                patch.setattr(parse, "_read_typed", lambda data, plan: None)
            try:
                found.append(rows_of(data, plan))
            except Unreadable:
                found.append(None)
    return found


def refused(found: list[np.ndarray | None]) -> bool:
    """Whether every way refused it."""
    return all(made is None for made in found)


def same(one: np.ndarray | None, other: np.ndarray | None) -> bool:
    """Whether both were refused, or hold the same bits, but for those of a NaN."""
    if one is None or other is None:
        return one is other
    return (
        one.dtype == other.dtype
        and np.array_equal(one, other, equal_nan=one.dtype.kind == "f")
        and (
            one.dtype.kind != "f"
            or np.array_equal(np.signbit(one)[~np.isnan(one)], np.signbit(other)[~np.isnan(other)])
        )
    )


# --------------------------------------------------------------------------------------------- numbers

HARD = [
    "9007199254740993", "9007199254740992.9999999999999999", "0.1", "1e23", "8.5e22",
    "2.2250738585072011e-308", "2.2250738585072012e-308", "2.2250738585072014e-308", "4.9e-324",
    "2.4703282292062327e-324", "2.4703282292062328e-324", "1.7976931348623157e308",
    "1.7976931348623158e+308", "-0", "-0.0", "+1", "1.", ".5", "1E5", "00012", "6.0221407621e23",
    "1.00000000000000011102230246251565404236316680908203125",
    "1.00000000000000011102230246251565404236316680908203124", "123456789012345678901234567890",
    "1.00000000000000011102230246251565404236316680908203126", "0." + "0" * 330 + "1", "9" * 300,
    "1e-400", "3.4028234663852886e38", "1.1754942e-38", "1.401298464324817e-45", "16777217", "inf",
    "-inf", "Infinity", "nan", "NaN", "-NAN", "+inf",
]  # fmt: skip
DIGITS = st.from_regex(r"-?[0-9]{1,25}(\.[0-9]{0,25})?(e-?[0-9]{1,3})?", fullmatch=True)


@given(cells=st.lists(st.floats().map(repr) | DIGITS | st.sampled_from(HARD), min_size=1, max_size=8))
def test_floats_are_bit_for_bit_those_of_python(cells: list[str]) -> None:
    cells = [cell for cell in cells if np.isfinite(float(cell)) or "n" in cell.lower()]
    data = "".join(f"{cell},{cell}\n" for cell in cells).encode()
    wanted = np.array([[float(cell)] * 2 for cell in cells]).reshape(-1, 2)
    for made in ways(data, plan_for("f8", na=())):
        assert made is not None
        assert same(made, wanted)
    if cells:
        assert same(rows_of(data, plan_for("f8")), np.loadtxt(io.BytesIO(data), delimiter=",", ndmin=2))


@pytest.mark.parametrize("cell", HARD)
def test_each_hard_float(cell: str) -> None:
    for made in ways(f"{cell},1\n".encode(), plan_for("f8", na=())):
        assert made is not None
        assert same(made[0, :1], np.array([float(cell)]))
    with np.errstate(over="ignore"):
        single = np.float32(np.longdouble(cell))  # rounded once
    for made in ways(f"{cell},1\n".encode(), plan_for("f4", na=())):
        if np.isinf(single) and "inf" not in cell.lower():
            assert made is None
        else:
            assert made is not None
            assert same(made[0, :1], np.array([single]))


@pytest.mark.parametrize("kind", ["f2", "f4", "f8"])
@pytest.mark.parametrize(
    "cell", ["1e400", "-1e999", "9" * 400, "x", "1_0", "0x1", "1e", "+", ".", "1 2", "\uff11", "1,5"]
)
def test_what_is_no_float_of_the_type_is_refused(cell: str, kind: str) -> None:
    assert refused(ways(f'"{cell}",1\n'.encode(), plan_for(kind)))


def test_half_floats() -> None:
    cells = ["65504", "65519.9", "-65519.9", "2.9802322387695312e-8", "6e-8", "nan", "NaN", "inf", "0.1"]
    data = "".join(f"{cell},1\n" for cell in cells).encode()
    for made in ways(data, plan_for("f2", na=())):
        assert made is not None
        assert same(made[:, 0], np.array([float(cell) for cell in cells]).astype("f2"))
    assert refused(ways(b"65520,1\n", plan_for("f2")))


@pytest.mark.parametrize("kind", ["i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8"])
def test_whole_numbers_at_their_limits(kind: str) -> None:
    low, high = int(np.iinfo(kind).min), int(np.iinfo(kind).max)
    for made in ways(f"{low},{high}\n+{high},0\n".encode(), plan_for(kind)):
        assert made is not None
        assert made.tolist() == [[low, high], [high, 0]]
    for bad in (low - 1, high + 1, "1.0", "1e2", "", "NA", "9" * 30, "x"):
        assert refused(ways(f"{bad},1\n".encode(), plan_for(kind)))


CELLS = st.sampled_from(
    ["1", "-2.5", " 3", "4 ", "NA", " NA", "", " ", "inf", " nan", "nan", "-99", " -99", "1e400", "\t5",
     "6\t", "NaN", "+7", "x", "\t", "True", "0"]
)  # fmt: skip


@given(
    cells=st.lists(CELLS, min_size=1, max_size=6),
    kind=st.sampled_from(["f8", "f4", "f2", "i4", "u1", "?"]),
    fill=st.sampled_from([None, 1.0]),
    na=st.sampled_from([("NA", "nan"), ("NA", "-99"), ()]),
)
def test_the_way_a_cell_is_read_depends_on_nothing_else(
    cells: list[str], kind: str, fill: float | None, na: tuple[str, ...]
) -> None:
    plan = plan_for(kind, fill=fill, na=na)
    alone = [ways(f"{cell},1\n".encode(), plan) for cell in cells]
    for one in alone:
        assert all(same(one[0], other) for other in one)
    wanted = None
    if not any(one[0] is None for one in alone):
        wanted = np.concatenate([one[0] for one in alone if one[0] is not None])
    for together in ways("".join(f"{cell},1\n" for cell in cells).encode(), plan):
        assert same(together, wanted)


def test_missing_values() -> None:
    data = b'NA,1\n"",2\n, NA \n NA,"NA"\n'
    nan = float("nan")
    for made in ways(data, plan_for("f8", dialect=replace(COMMA, quote='"'))):
        assert same(made, np.array([[nan, 1], [nan, 2], [nan, nan], [nan, nan]]))
    for made in ways(data, plan_for("i4", fill=-1)):
        assert same(made, np.array([[-1, 1], [-1, 2], [-1, -1], [-1, -1]], "i4"))
    for made in ways(data, plan_for("f8", fill=-1)):
        assert same(made, np.array([[-1, 1], [-1, 2], [-1, -1], [-1, -1]], "f8"))


def test_decimal_commas() -> None:
    plan = plan_for("f8", dialect=Dialect(";", decimal=","))
    for made in ways(b"1,5;-2\n3,;,25\n", plan):
        assert same(made, np.array([[1.5, -2], [3, 0.25]]))
    assert refused(ways(b"1.5;2\n", plan))


def test_truth_values_dates_and_categories() -> None:
    made = rows_of(b"yes,2024-02-29\nF, 1999-12-31 \n0,NA\n", plan_for("a:? b:M8[D]"))
    assert made["a"].tolist() == [True, False, False]
    assert np.array_equal(
        made["b"].view("i8"), np.array(["2024-02-29", "1999-12-31", "NaT"], "M8[D]").view("i8")
    )
    plan = plan_for("a:i1 b:f8")
    coded = replace(plan.schema.columns[0], categories=("red", "dark blue"))
    plan = replace(plan, schema=replace(plan.schema, columns=(coded, plan.schema.columns[1])))
    assert rows_of(b'"dark blue",1\nNA,2\nred,3\n', plan)["a"].tolist() == [1, -1, 0]
    with pytest.raises(Unreadable):
        rows_of(b"blue,1\n", plan)


# ------------------------------------------------------------------------------------------ structure

TEXTS = st.text(st.sampled_from('ab ,"\né\r'), max_size=5)


@given(
    rows=st.lists(st.tuples(TEXTS, st.integers(-99, 99), TEXTS), max_size=8),
    end=st.sampled_from(["\n", "\r\n"]),
    quoting=st.sampled_from([0, 1]),
    final=st.booleans(),
    blank=st.integers(0, 2),
    room=st.sampled_from([1, 60, 1 << 20]),
)
def test_records_are_those_of_the_csv_module(
    rows: list[tuple[str, int, str]], end: str, quoting: Any, final: bool, blank: int, room: int
) -> None:
    if quoting == csv.QUOTE_MINIMAL:  # that leaves returns without quotes, and so part of a newline
        rows = [(one.replace("\r", ""), n, other.replace("\r", "")) for one, n, other in rows]
    out = io.StringIO()
    csv.writer(out, lineterminator=end * (1 + blank), quoting=quoting).writerows(rows)
    text = out.getvalue() if final else out.getvalue().rstrip("\r\n") if rows else ""
    with pytest.MonkeyPatch.context() as patch:
        if room == 1:
            patch.setattr(parse, "TABLE_COST", 0)  # each record is read on its own
        made = rows_of(text.encode(), plan_for("a:S20 n:i2 b:U9"))
    assert made["a"].tolist() == [row[0].encode() for row in rows]
    assert made["n"].tolist() == [row[1] for row in rows]
    assert made["b"].tolist() == [row[2] for row in rows]


@given(
    lengths=st.lists(st.integers(1, 5), max_size=8),
    n_columns=st.integers(1, 4),
    quoted=st.booleans(),
    final=st.booleans(),
    kept=st.sets(st.integers(0, 3), min_size=1),
    kind=st.sampled_from(["f8", "S3"]),
)
def test_each_record_has_as_many_fields_as_there_are_columns(
    lengths: list[int], n_columns: int, quoted: bool, final: bool, kept: set[int], kind: str
) -> None:
    places = tuple(place for place in sorted(kept) if place < n_columns) or (0,)
    plan = plan_for(kind, n_columns, places=places)
    cell = '"1"' if quoted else "1"
    text = "\n".join(",".join([cell] * n) for n in lengths) + "\n" * final
    found = ways(text.encode(), plan)
    if all(n == n_columns for n in lengths):
        assert all(made is not None and made.shape == (len(lengths), len(places)) for made in found)
    else:
        assert refused(found)


@pytest.mark.parametrize("order", list(itertools.permutations([1, 2, 3])))
@pytest.mark.parametrize("places", [(0, 1), (1, 0), (0,), (1,), (0, 0), (0, 1, 1)])
def test_a_long_record_does_not_make_up_for_a_short_one(
    order: tuple[int, ...], places: tuple[int, ...]
) -> None:
    text = "".join(",".join(["1"] * n) + "\n" for n in order)
    assert refused(ways(text.encode(), plan_for("f8", places=places)))


@given(st.data())
def test_a_wide_table_is_a_narrow_one(data: st.DataObject) -> None:
    n_columns = data.draw(st.integers(1, 5))
    cell = st.sampled_from(["1", "", "-2.5", "NA", "1e5", " 3", "x", "\r4", "5\r", "\x01"])
    record = st.lists(cell, min_size=n_columns, max_size=n_columns).map(",".join)
    lines = data.draw(st.lists(record | st.just(""), max_size=6))
    end = data.draw(st.sampled_from(["\n", "\r\n"]))
    text = end.join(lines) + (end if data.draw(st.booleans()) else "")
    kind = data.draw(st.sampled_from(["f8", "f4", "i2", "u1", "?"]))
    plan = plan_for(kind, n_columns, fill=data.draw(st.sampled_from([None, 1])))
    narrow, *others = ways(text.encode(), plan)
    assert all(same(narrow, other) for other in others)


def test_wide_is_what_has_many_columns_of_one_type(monkeypatch: pytest.MonkeyPatch) -> None:
    used = []
    monkeypatch.setattr(parse, "_wide_rows", lambda data, plan: used.append(plan))
    line = ",".join(["1"] * parse.WIDE).encode() + b"\n"
    uniform = plan_for("f8", parse.WIDE)
    rows_of_text = plan_for("S3", parse.WIDE)
    for plan in (
        uniform,
        rows_of_text,
        plan_for("f8", parse.WIDE - 1),
        plan_for("f8", parse.WIDE + 1, places=tuple(range(1, parse.WIDE + 1))),
        plan_for("f8", parse.WIDE, places=(1, 0, *range(2, parse.WIDE))),
        replace(uniform, schema=replace(uniform.schema, matrix=False)),
    ):
        try:
            parse.rows(line, plan)
        except Unreadable:
            continue
    parse.rows(line.replace(b"1,", b'"1",', 1), uniform)  # quotes are for the narrow way
    assert used == [uniform]


def test_blanks_between_fields_against_loadtxt() -> None:
    text = b"  1 \t 2.5  \n\n# no\n3\t4\n 5   6e3 # 7\n".replace(b" # 7", b"")
    dialect = Dialect("whitespace", comment="#")
    for made in ways(clean(text, dialect), plan_for("f8", dialect=dialect)):
        assert same(made, np.loadtxt(io.BytesIO(text)))


@pytest.mark.parametrize(
    "data", [b"1,2\n3\n4,5,6\n", b"1,2\n3\n", b"1,2,3\n", b'"1,2\n', b"1,x\n", b"1,\0\n", b"1,\xff\n"]
)
def test_what_cannot_be_read_is_signalled(data: bytes) -> None:
    with pytest.raises(Unreadable):
        rows_of(data, plan_for("f8"))


def test_nothing_at_all() -> None:
    for data in (b"", b"\n\r\n"):
        assert rows_of(data, plan_for("a:S9 b:f8")).shape == (0,)
        assert [made is not None and made.shape for made in ways(data, plan_for("f8"))] == [(0, 2)] * 4


def test_one_column_may_be_empty_between_quotes() -> None:
    assert rows_of(b'""\n\n"a"\nNA\n', plan_for("S2", 1)).tolist() == [[b""], [b"a"], [b""]]
    assert same(rows_of(b'""\n\n"1"\nNA\n', plan_for("f8", 1)), np.array([[np.nan], [1], [np.nan]]))


def test_columns_are_chosen_in_any_order_and_twice() -> None:
    assert rows_of(b"1,2,3\n4,5,6\n", plan_for("i4", 3, places=(2, 0, 2))).tolist() == [[3, 1, 3], [6, 4, 6]]
    columns = (Column(1, "n", np.dtype("i2")), Column(1, "s", np.dtype("S2")))
    plan = Plan(COMMA, Schema(("a", "b"), columns, matrix=False), Values((), None, "."))
    assert rows_of(b"1,2\n3,4\n", plan).tolist() == [(2, b"2"), (4, b"4")]


def test_padding_is_zero() -> None:
    dtype = np.dtype([("a", "i1"), ("b", "f8")], align=True)
    columns = (Column(0, "a", dtype["a"]), Column(1, "b", dtype["b"]))
    plan = Plan(COMMA, Schema(("a", "b"), columns, matrix=False, record=dtype), Values((), None, "."))
    made = rows_of(b"1,2\n" * 1000, plan)
    assert made.dtype == dtype
    assert made.view(np.uint8).reshape(-1, 16)[:, 1:8].sum() == 0


def test_texts_that_are_too_wide_are_refused_or_cut_and_counted() -> None:
    plan = plan_for("a:S3 b:f4")
    with pytest.raises(Unreadable, match="a holds a cell"):
        rows_of(b"abcd,1\n", plan)
    made = parse.rows("abcd,1\nabc,1\naaé,1\n".encode(), replace(plan, truncate=True))
    assert (made.values["a"].tolist(), made.cut) == ([b"abc", b"abc", b"aa"], 2)


# ------------------------------------------------------------------------------------------------ room

RECORDS = st.lists(
    st.sampled_from(["1,2\n", "\n", '"a\nb\n\nc",3\n', "# no\n", '#"\n', "1," + "9" * 30 + "\n"]), max_size=20
)


@given(records=RECORDS, row_bytes=st.integers(1, 10), room=st.integers(1, 100))
def test_parts_are_whole_records_and_no_larger_than_the_room(
    records: list[str], row_bytes: int, room: int
) -> None:
    dialect = Dialect(",", comment="#")
    data = "".join(records).encode()
    found = list(parts(data, dialect, row_bytes, room))
    assert b"".join(found) == data
    for part in found:
        assert last_record_end(part, dialect) == len(part)
        n_ends = sum(
            part[: i + 1].endswith(b"\n") and last_record_end(part[: i + 1], dialect) == i + 1
            for i in range(len(part))
        )
        assert part.count(b"\n") * row_bytes <= room or n_ends == 1


MEASURED = """
import sys, threading
import numpy as np
from outcore.text import parse
from outcore.text.columns import Values
from outcore.text.dialect import Dialect
from outcore.text.schema import Column, Schema, parse_dtype

kinds, line = parse_dtype(sys.argv[1]), sys.argv[2].encode().decode("unicode_escape").encode()
names = kinds.names or tuple(f"c{i}" for i in range(line.count(b",") + 1))
columns = tuple(Column(i, n, kinds[n] if kinds.names else kinds) for i, n in enumerate(names))
schema = Schema(names, columns, matrix=kinds.names is None)
plan = parse.Plan(Dialect(","), schema, Values(("NA",), None, "."))
parse.rows(line * 10, plan)
data = line * (int(sys.argv[3]) // len(line))

def anonymous():
    for row in open("/proc/self/status"):
        if row.startswith("RssAnon"):
            return int(row.split()[1]) * 1024

base, peak, ended = anonymous(), 0, threading.Event()

def watch():
    global peak
    while not ended.wait(0.001):
        peak = max(peak, anonymous())

watcher = threading.Thread(target=watch)
watcher.start()
made = parse.rows(data, plan).values
ended.set()
watcher.join()
print(peak - base - made.nbytes)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc")
@pytest.mark.parametrize(
    ("dtype", "line"),
    [
        ("f8", "0.12345,-1.23456,2.34567,0.00001,12.5\\n"),
        ("f8", "1,2,3,4,5,6,7,8,9,0\\n"),
        ("f8", "1," * 199 + "2\\n"),
        ("f8", " 1 ," * 199 + "2\\n"),
        ("a:S2 b:S1", "ab,c\\n"),
        ("a:S9 b:U9", '"some text","more"\\n'),
        ("a:S40 b:f8", "a,1\\n"),
        ("a:M8[D] b:i1", "2024-01-31,1\\n"),
        ("a:f8 b:f8 c:f8", ",,\\n"),
    ],
)
def test_memory_beside_the_rows_is_a_few_times_the_text(dtype: str, line: str) -> None:
    nbytes = 4 << 20
    run = subprocess.run(
        [sys.executable, "-c", MEASURED, dtype, line, str(nbytes)], capture_output=True, text=True, check=True
    )
    # Beyond what is said of the table and the temporaries of a column: what Polars keeps for its threads.
    assert int(run.stdout) < (parse.TABLE_COST + 4) * nbytes + (16 << 20)
