"""Text that cannot be read: the exact place, and that nothing is left behind."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import outcore as oc
from outcore.text import recoding, room
from tests.text.runs import write


@pytest.fixture(params=[1 << 20, 16])
def chunk_bytes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Whole files in one chunk, and a few records in each."""
    monkeypatch.setattr(room, "CHUNK_BYTES", request.param)
    monkeypatch.setattr(recoding, "HEAD_BYTES", request.param)
    return int(request.param)


def ingest(folder: Path, text: str | bytes, dtype: object = None, **options: object) -> oc.Array:
    return oc.ingest(write(folder / "x.csv", text), folder / "x.npy", dtype, overwrite=True, **options)


# ---- what cannot be read ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "dtype", "place", "words"),
    [
        ("a,b\n1,2\n3,x\n", "i4", "3:2", r"b: 'x' is not int32"),
        ("a,b\n1,2\n3,\n", "i4", "3:2", r"b: '' is a missing value, which int32 cannot express(?s:.*)fill="),
        ("a,b\n1,2\n3,NA\n", "i4", "3:2", r"'NA' is a missing value"),
        ("a,b\n1,2\n3,4.5\n", "i4", "3:2", r"'4\.5' is not int32(?s:.*)'f8'"),
        ("a,b\n1,2\n3,3000000000\n", "i4", "3:2", r"'3000000000' is not int32(?s:.*)'i8'"),
        ("a,b\n1,2\n3,1e39\n", "f4", "3:2", r"'1e39' is not float32(?s:.*)'f8'"),
        ('a;b\n1;2\n3;"1,5"\n', "f4", "3:2", r"'1,5' is not float32(?s:.*)decimal=\",\""),
        ("a,b\n1,2\n3\n5,6\n", "i4", "3", r"1 field, expected 2: '3'"),
        ("a,b\n1,2\n3,4,5\n5,6\n", "i4", "3", r"3 fields, expected 2: '3,4,5'"),
        ("a,b\n1\n3,4,5\n", "i4", "2", r"1 field, expected 2"),
        ("a,b\n\n\r\n1,2\n\n3,x\n", "i4", "6:2", r"'x'"),
        ('a,b\n"p\n\nq",2\nr,x\n', "a:S9 b:i4", "5:2", r"'x'"),
        ('a,b\n"p\nq",x\nr,2\n', "a:S9 b:i4", "2:2", r"'x'"),
        (
            "a,b\nabc,2\nabcde,3\n",
            "a:S3 b:i4",
            "3:1",
            r"'abcde' has 5 bytes, S3 holds 3; nothing is cut(?s:.*)\"S5\"",
        ),
        ("a,b\nabc,2\nabcdé,3\n", "a:U3 b:i4", "3:1", r"'abcdé' has 5 characters, U3 holds 3"),
        ("a,b\n2024-01-31,2\n31.1.2024,3\n", "a:M8[D] b:i4", "3:1", r"'31\.1\.2024' is not datetime64\[D\]"),
        ("a,b\n2024-01-31,2\n2024-01-31T10:00,3\n", "a:M8[D] b:i4", "3:1", r"is not datetime64\[D\]"),
        ("a,b\ntrue,2\nperhaps,3\n", "a:? b:i4", "3:1", r"'perhaps' is not bool"),
        (
            'a,b\nx,1\n5" disk,2\n6" disk,3\n',
            "a:S9 b:i4",
            "3:1",
            r'a quote " stands in the middle(?s:.*)quote=None',
        ),
        ('a,b\nx,1\n"x"y,2\n', "a:S9 b:i4", "3:1", r'a quote " stands in the middle'),
        ('a,b\nx,1\ny,2\n"z,3\n', "a:S9 b:i4", "4:1", r'the quote " that opens here is never closed'),
    ],
)
def test_the_exact_place_is_named(
    tmp_path: Path, chunk_bytes: int, text: str, dtype: str, place: str, words: str
) -> None:
    with pytest.raises(oc.errors.IngestError, match=words) as caught:
        ingest(tmp_path, text, dtype, header=True)
    assert str(caught.value).startswith(f"{tmp_path}/x.csv:{place}  ")
    assert sorted(os.listdir(tmp_path)) == ["x.csv"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(
        st.tuples(st.text(st.sampled_from('a,"\n'), max_size=4), st.integers(0, 99)), min_size=1, max_size=15
    ),
    bad=st.integers(0, 14),
    size=st.integers(1, 60),
    blank=st.integers(0, 2),
    lead=st.sampled_from(["", '# "quoted\n', "\n\n"]),
)
def test_the_first_bad_cell_is_found_whatever_stands_before_it(
    tmp_path: Path, rows: list[tuple[str, int]], bad: int, size: int, blank: int, lead: str
) -> None:
    bad %= len(rows)
    lines = []
    for i, (text, number) in enumerate(rows):
        quoted = text.replace('"', '""')
        lines.append(f'"{quoted}",{"bad" if i >= bad else number}\n' + "\n" * blank)
    before = f"{lead}t,n\n" + "".join(lines[:bad])
    (tmp_path / "x.csv").write_text(before + "".join(lines[bad:]))
    options = {"comment": "#", "delimiter": ",", "header": True}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(room, "CHUNK_BYTES", size)
        patch.setattr(recoding, "HEAD_BYTES", max(size, 4))
        with pytest.raises(oc.errors.IngestError) as caught:
            oc.ingest(tmp_path / "x.csv", tmp_path / "x.npy", "t:S4 n:i4", **options)
    line = before.count("\n") + 1
    assert str(caught.value).startswith(f"{tmp_path}/x.csv:{line}:2  n: 'bad' is not int32\n")
    assert f"\n  {bad} earlier row" in str(caught.value)
    assert os.listdir(tmp_path) == ["x.csv"]


def test_the_second_file_is_named_and_counts_its_own_lines(tmp_path: Path, chunk_bytes: int) -> None:
    write(tmp_path / "1.csv", "a,b\n1,2\n" * 1)
    write(tmp_path / "2.csv", "a,b\n1,2\n3,4\n5,x\n")
    with pytest.raises(
        oc.errors.IngestError, match=r"2\.csv:4:2 (?s:.*)  2 earlier rows of this file were fine"
    ):
        oc.ingest(tmp_path / "*.csv", tmp_path / "x.npy", "i4")


def test_missing_ints_found_after_the_samples_say_what_to_do(tmp_path: Path) -> None:
    text = "a,b\n" + "1,2\n" * 100_000 + "1,\n" + "1,2\n" * 300_000
    with pytest.raises(oc.errors.IngestError, match=r":100002:2  b: '' is a missing value, which int64"):
        ingest(tmp_path, text)


@pytest.mark.parametrize(
    ("data", "encoding", "byte"),
    [(b"a,b\nx,1\n\xe9,2\n", "utf-8", "0xe9"), (b"a,b\nx,1\n\xc3\xa9,2\n", "ascii", "0xc3")],
)
def test_bytes_of_another_encoding(
    tmp_path: Path, chunk_bytes: int, data: bytes, encoding: str, byte: str
) -> None:
    with pytest.raises(
        oc.errors.IngestError, match=rf":3:1  a: byte {byte} of (?s:.*)is not {encoding}(?s:.*)latin-1"
    ):
        ingest(tmp_path, data, "a:S5 b:i4", header=True, encoding=encoding)


def test_a_binary_file_is_no_text(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros(100))
    with pytest.raises(oc.errors.IngestError, match=r"zero bytes(?s:.*)oc\.open"):
        oc.ingest(tmp_path / "x.npy", tmp_path / "y.npy")


@pytest.mark.parametrize(
    "options",
    [{"skip_rows": -1}, {"delimiter": "ab"}, {"columns": ["zz"]}, {"memory": "nothing"}, {"quote": "ab"}],
)
def test_options_that_make_no_sense(tmp_path: Path, options: dict[str, object]) -> None:
    with pytest.raises(oc.errors.OptionError):
        ingest(tmp_path, "a,b\n1,2\n", **options)
    assert os.listdir(tmp_path) == ["x.csv"]


def test_a_budget_too_small_for_anything(tmp_path: Path) -> None:
    with pytest.raises(oc.errors.MemoryBudgetError, match="ingest needs"):
        ingest(tmp_path, "a,b\n1,2\n", memory="1MB")
