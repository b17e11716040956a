"""Text to arrays, end to end, on real files: what becomes what."""

from __future__ import annotations

import bz2
import csv
import gzip
import lzma
import os
from pathlib import Path

import h5py
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


# ---- what becomes what ------------------------------------------------------------------------------


def test_ints_become_a_matrix_of_ints(tmp_path: Path, chunk_bytes: int) -> None:
    x = ingest(tmp_path, "a,b\n1,2\n3,4\n-5,6\n")
    assert (x.dtype, x.mode) == (np.dtype("i8"), "r")
    assert x[:].tolist() == [[1, 2], [3, 4], [-5, 6]]
    assert np.load(tmp_path / "x.npy").tolist() == x[:].tolist()


def test_ints_and_floats_become_a_matrix_of_floats(tmp_path: Path, chunk_bytes: int) -> None:
    x = ingest(tmp_path, "1,2.5\n3,4\n")
    assert x.dtype == np.dtype("f8")
    assert x[:].tolist() == [[1, 2.5], [3, 4]]


def test_missing_ints_become_nan(tmp_path: Path, chunk_bytes: int) -> None:
    x = ingest(tmp_path, "a,b\n1,NA\n,4\n")
    assert np.array_equal(x[:], [[1, np.nan], [np.nan, 4]], equal_nan=True)


def test_one_type_forces_a_matrix(tmp_path: Path, chunk_bytes: int) -> None:
    x = ingest(tmp_path, "a,b\n1,NA\n2.5,4\n", "f4")
    assert x.dtype == np.dtype("f4")
    assert np.array_equal(x[:], np.array([[1, np.nan], [2.5, 4]], "f4"), equal_nan=True)
    assert ingest(tmp_path, "a,b\nx,y\n", "S3", header=True)[:].tolist() == [[b"x", b"y"]]


def test_anything_else_becomes_structured_rows(tmp_path: Path, chunk_bytes: int) -> None:
    text = "name,n,x,ok,day,at\nann,1,0.5,true,2024-01-31,2024-01-31T10:00:00Z\nNA,2,,false,,\n"
    x = ingest(tmp_path, text)
    assert x.dtype == np.dtype(
        [("name", "S3"), ("n", "i8"), ("x", "f8"), ("ok", "?"), ("day", "M8[D]"), ("at", "M8[s]")]
    )
    first, second = x[:].tolist()
    assert first[:4] == (b"ann", 1, 0.5, True)
    assert str(x[0]["at"]) == "2024-01-31T10:00:00"
    assert second[0] == b""
    assert np.isnan(second[2])
    assert np.isnat(x[1]["day"])
    assert np.isnat(x[1]["at"])


def test_text_that_is_not_ascii_becomes_unicode(tmp_path: Path, chunk_bytes: int) -> None:
    x = ingest(tmp_path, "a,b\nMüller,1\nx,2\n")
    assert x.dtype["a"] == np.dtype("U6")
    assert x[:]["a"].tolist() == ["Müller", "x"]
    y = ingest(tmp_path, "a,b\nMüller,1\nx,2\n", "a:S b:i4")
    assert y.dtype["a"] == np.dtype("S7")
    assert y[:]["a"][0].decode() == "Müller"


def test_the_width_of_text_is_that_of_the_widest_anywhere(tmp_path: Path) -> None:
    # far behind the samples
    text = "a,b\n" + "x,1\n" * 200_000 + "y" * 77 + ",1\n" + "x,1\n" * 200_000
    x = ingest(tmp_path, text)
    assert x.dtype["a"] == np.dtype("S77")
    assert len(x) == 400_001
    assert x[200_000]["a"] == b"y" * 77


def test_text_without_any_value_has_a_width(tmp_path: Path) -> None:
    assert ingest(tmp_path, "a,b\n,1\n", "a:S b:i4").dtype["a"] == np.dtype("S1")


def test_structured_types_that_are_given(tmp_path: Path, chunk_bytes: int) -> None:
    text = "chr1\t100\t0.5\t3\t6\nchr2\t7\tNA\t0\t2\n"
    x = ingest(tmp_path, text, "chr:S10 pos:i4 pct:f4 c:i4 t:i4")
    assert x.dtype == np.dtype([("chr", "S10"), ("pos", "i4"), ("pct", "f4"), ("c", "i4"), ("t", "i4")])
    assert x[0].tolist() == (b"chr1", 100, 0.5, 3, 6)
    assert np.isnan(x[1]["pct"])


def test_fields_are_matched_to_the_header_by_name(tmp_path: Path, chunk_bytes: int) -> None:
    x = ingest(tmp_path, "a,b,c\n1,2.5,x\n", "c:S2 a:i4")
    assert x[:].tolist() == [(b"x", 1)]


def test_columns_are_chosen_and_ordered(tmp_path: Path, chunk_bytes: int) -> None:
    text = "a,b,c\n1,x,3\n4,y,6\n"
    assert ingest(tmp_path, text, columns=["c", "a"])[:].tolist() == [[3, 1], [6, 4]]
    assert ingest(tmp_path, text, columns=[-1, 0])[:].tolist() == [[3, 1], [6, 4]]
    assert ingest(tmp_path, text, "q:i4 r:f4", columns=["c", "a"])[:].tolist() == [(3, 1.0), (6, 4.0)]
    twice = ingest(tmp_path, text, "q:f4 r:i4", columns=["a", "a"])
    assert twice[:].tolist() == [(1.0, 1), (4.0, 4)]
    assert ingest(tmp_path, text, columns=["b", "b"]).dtype.names == ("b", "b_2")


def test_names_replace_the_header(tmp_path: Path, chunk_bytes: int) -> None:
    x = ingest(tmp_path, "a,b\n1,x\n", names=["p", "q"])
    assert x.dtype.names == ("p", "q")
    assert x[:].tolist() == [(1, b"x")]
    assert ingest(tmp_path, "1,x\n", names=["p", "q"]).dtype.names == ("p", "q")
    with pytest.raises(oc.errors.OptionError, match=r"names has 1 entries.*2 columns"):
        ingest(tmp_path, "1,x\n", names=["p"])


def test_columns_without_names(tmp_path: Path, chunk_bytes: int) -> None:
    assert ingest(tmp_path, "1,x\n2,y\n").dtype.names == ("f0", "f1")
    assert ingest(tmp_path, ",x x,x_x\n1,a,b\n").dtype.names == ("f0", "x_x", "x_x_2")


def test_a_header_may_be_forced_or_forbidden(tmp_path: Path, chunk_bytes: int) -> None:
    assert ingest(tmp_path, "2019,2020\n1,2\n", header=True)[:].tolist() == [[1, 2]]
    assert len(ingest(tmp_path, "a,b\n1,2\n", header=False)) == 2


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("a;b\n1,5;2\n3;4,25\n", {"decimal": ","}),
        ("a b\n1.5   2\n  3 4.25\n", {"delimiter": "whitespace"}),
        ("# x, y\na,b\n1.5,2\n#1,1\n3,4.25\n# end", {"comment": "#"}),
        ('junk\n"more junk\na,b\n1.5,2\n3,4.25\n', {"skip_rows": 2}),
        ("\na,b\r\n\r\n1.5,2\r\n\r\n3,4.25", {}),
        ("\ufeffa,b\n1.5,2\n3,4.25\n", {}),
        ('"a","b"\n"1.5","2"\n"3","4.25"\n', {}),
        ("a,b\n 1.5 ,2 \n3, 4.25\n", {}),
        ("'a','b'\n'1.5',2\n3,4.25\n", {"quote": "'"}),
        ("a|b\n1.5|2\n3|4.25\n", {}),
        ("a\tb\n1.5\t2\n3\t4.25\n", {"encoding": "ascii"}),
    ],
)
def test_ways_of_writing(tmp_path: Path, chunk_bytes: int, text: str, options: dict[str, object]) -> None:
    assert ingest(tmp_path, text, **options)[:].tolist() == [[1.5, 2], [3, 4.25]]


def test_latin_1(tmp_path: Path, chunk_bytes: int) -> None:
    text = "name,n\nMüller,1\nJosé,2\n".encode("latin-1")
    assert ingest(tmp_path, text, encoding="latin-1")[:]["name"].tolist() == ["Müller", "José"]


def test_missing_values_can_be_named_and_filled(tmp_path: Path, chunk_bytes: int) -> None:
    text = "a,b\n1,-99\n.,4\n"
    x = ingest(tmp_path, text, na_values=[".", "-99"])
    assert np.array_equal(x[:], [[1, np.nan], [np.nan, 4]], equal_nan=True)
    y = ingest(tmp_path, text, na_values=[".", "-99"], fill=0)
    assert (y.dtype, y[:].tolist()) == (np.dtype("i8"), [[1, 0], [0, 4]])
    assert ingest(tmp_path, "a,b\nNA,1\n", "a:S2 b:i4", na_values=[])[:].tolist() == [(b"NA", 1)]


@pytest.mark.parametrize(
    ("dtype", "fill"), [("i4", 1.5), ("u1", -1), ("i1", 300), ("i4", float("nan")), ("i4", "x")]
)
def test_a_fill_that_a_type_cannot_hold(tmp_path: Path, dtype: str, fill: object) -> None:
    with pytest.raises(oc.errors.OptionError, match="fill="):
        ingest(tmp_path, "1,2\n", dtype, fill=fill)


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, lzma.compress])
def test_compressed_files(tmp_path: Path, chunk_bytes: int, compress: object) -> None:
    x = ingest(tmp_path, compress(b"a,b\n1,2\n3,4\n"))
    assert x[:].tolist() == [[1, 2], [3, 4]]


def test_one_column(tmp_path: Path, chunk_bytes: int) -> None:
    assert ingest(tmp_path, "a\n1\n\n2\n")[:].tolist() == [[1], [2]]
    assert ingest(tmp_path, 'a\nx\n""\n\ny\n', "a:S1")[:]["a"].tolist() == [b"x", b"", b"y"]


@pytest.mark.parametrize("text", ["a,b\n", "a,b", "\n\na,b\n\n"])
def test_a_header_alone_has_no_rows(tmp_path: Path, text: str) -> None:
    x = ingest(tmp_path, text)
    assert (x.shape, x.dtype) == ((0, 2), np.dtype("f8"))


def test_no_text_at_all(tmp_path: Path) -> None:
    with pytest.raises(oc.errors.IngestError, match="no records"):
        ingest(tmp_path, "\n")
    assert ingest(tmp_path, "", "a:i4 b:S3").shape == (0,)
    assert ingest(tmp_path, "", names=["a", "b"]).shape == (0, 2)


# ---- several files, several targets -----------------------------------------------------------------


def test_many_files_in_natural_order(tmp_path: Path, chunk_bytes: int) -> None:
    for i in (10, 2, 1):
        write(tmp_path / f"p{i}.csv", f"a,b\n{i},0\n{i},1")
    write(tmp_path / "p3.csv", "")
    x = oc.ingest(tmp_path / "p*.csv", tmp_path / "x.npy")
    assert x[:, 0].tolist() == [1, 1, 2, 2, 10, 10]
    y = oc.ingest([tmp_path / "p10.csv", tmp_path / "p1.csv"], tmp_path / "y.npy")
    assert y[:, 0].tolist() == [10, 10, 1, 1]


def test_headers_that_differ_are_shown_both(tmp_path: Path) -> None:
    write(tmp_path / "1.csv", "a,b\n1,2\n")
    write(tmp_path / "2.csv", "a,c\n1,2\n")
    with pytest.raises(
        oc.errors.IngestError, match=r"(?s)2\.csv has another header than .*1\.csv.*a, b.*a, c"
    ):
        oc.ingest(tmp_path / "*.csv", tmp_path / "x.npy")
    assert sorted(os.listdir(tmp_path)) == ["1.csv", "2.csv"]


def test_files_with_other_numbers_of_columns(tmp_path: Path) -> None:
    write(tmp_path / "1.csv", "1,2\n")
    write(tmp_path / "2.csv", "1,2,3\n")
    with pytest.raises(oc.errors.IngestError, match=r"2\.csv has 3 columns; .*1\.csv has 2"):
        oc.ingest(tmp_path / "*.csv", tmp_path / "x.npy")


def test_types_are_found_in_every_file_and_at_its_end(tmp_path: Path) -> None:
    write(tmp_path / "1.csv", "a,b\n" + "1,2\n" * 100_000 + "1.5,2\n")
    write(tmp_path / "2.csv", "a,b\n1,x\n")
    x = oc.ingest(tmp_path / "*.csv", tmp_path / "x.npy")
    assert x.dtype == np.dtype([("a", "f8"), ("b", "S1")])


def test_other_formats(tmp_path: Path, chunk_bytes: int) -> None:
    source = write(tmp_path / "x.csv", "a,b\nann,1\nbob,2\n")
    x = oc.ingest(source, f"{tmp_path}/x.h5::/g/x", chunks=(100,), compression="gzip")
    with h5py.File(tmp_path / "x.h5") as f:
        assert f["g/x"].compression == "gzip"
        assert f["g/x"][:].tolist() == x[:].tolist() == [(b"ann", 1), (b"bob", 2)]
    y = oc.ingest(source, tmp_path / "x.bin", "a:S3 b:i4")
    assert np.fromfile(tmp_path / "x.bin", y.dtype).tolist() == [(b"ann", 1), (b"bob", 2)]


def test_an_existing_target_stays_and_is_noticed_before_the_work(tmp_path: Path) -> None:
    write(tmp_path / "x.npy", "old")
    with pytest.raises(oc.errors.ExistsError, match="overwrite=True"):
        oc.ingest(
            write(tmp_path / "x.csv", "a,b\n1,x\n"),
            tmp_path / "x.npy",
            progress=lambda *_: pytest.fail("work was done"),
        )
    assert (tmp_path / "x.npy").read_bytes() == b"old"


def test_progress_counts_the_bytes_of_each_pass(tmp_path: Path, chunk_bytes: int) -> None:
    heard: list[tuple[int, int]] = []
    text = "a,b\n" + "x,1\n" * 100
    ingest(tmp_path, text, progress=lambda done, total: heard.append((done, total)))
    # Text columns are measured first.
    assert heard.count((len(text), len(text))) == 2
    heard.clear()
    ingest(tmp_path, text, "a:S1 b:i4", progress=lambda done, total: heard.append((done, total)))
    assert heard[-1] == (len(text), len(text))


# ---- against Python's own reader --------------------------------------------------------------------

CELL_TEXT = st.text(st.sampled_from("abzé ,;\"\n\t'#"), min_size=1, max_size=6).filter(lambda t: t.strip())
ROWS = st.lists(
    st.tuples(
        CELL_TEXT,
        st.integers(-(2**63), 2**63 - 1),
        st.floats(allow_infinity=False) | st.just(float("nan")),
        st.booleans(),
    ),
    min_size=1,
    max_size=12,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=ROWS, size=st.integers(1, 80), end=st.sampled_from(["\n", "\r\n"]), delimiter=st.sampled_from(",;\t")
)
def test_what_python_writes_is_read_back(
    tmp_path: Path, rows: list[tuple[str, int, float, bool]], size: int, end: str, delimiter: str
) -> None:
    with (tmp_path / "x.csv").open("w", newline="", encoding="utf-8") as f:
        writer = csv.writer(f, lineterminator=end, delimiter=delimiter)
        writer.writerow(["t", "i", "x", "b"])
        writer.writerows(rows)
    wanted = np.array(rows, [("t", "U6"), ("i", "i8"), ("x", "f8"), ("b", "?")])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(room, "CHUNK_BYTES", size)
        patch.setattr(recoding, "HEAD_BYTES", max(size, 4))
        x = oc.ingest(
            tmp_path / "x.csv",
            tmp_path / "x.npy",
            wanted.dtype,
            delimiter=delimiter,
            header=True,
            overwrite=True,
        )
    found = x[:]
    for name in ("t", "i", "b"):
        assert np.array_equal(found[name], wanted[name])
    assert np.array_equal(
        found["x"].view("i8")[~np.isnan(found["x"])], wanted["x"].view("i8")[~np.isnan(wanted["x"])]
    )
    assert np.array_equal(np.isnan(found["x"]), np.isnan(wanted["x"]))


def test_a_million_random_floats_are_bit_exact(tmp_path: Path) -> None:
    bits = np.random.default_rng(0).integers(0, 2**64, 1_000_000, np.uint64).view("f8")
    wanted = bits[np.isfinite(bits)]
    wanted = wanted[: len(wanted) // 4 * 4].reshape(-1, 4)
    lines = (",".join(map(repr, row)) for row in wanted.tolist())
    x = ingest(tmp_path, "\n".join(lines) + "\n", header=False)
    assert x[:].tobytes() == wanted.tobytes()


def test_the_result_does_not_depend_on_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    lines = [f'"n{i},\n{i}",{rng.random()},{i % 7 or "NA"}' for i in range(300)]
    text = "name,x,n\n" + "\n\n".join(lines)
    results = set()
    for size in (1, 7, 100, 1001, 1 << 20):
        monkeypatch.setattr(room, "CHUNK_BYTES", size)
        monkeypatch.setattr(recoding, "HEAD_BYTES", max(size, 4))
        ingest(tmp_path, text)
        results.add((tmp_path / "x.npy").read_bytes())
    assert len(results) == 1
