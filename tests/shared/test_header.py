"""The first page of a segment, and dtypes as plain values."""

from __future__ import annotations

import ast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from outcore.shared.header import HEADER_BYTES, Header, describe_dtype, dtype_described, pack, unpack
from tests import strategies

DTYPES = [
    *strategies.DTYPES,
    *strategies.STRUCTURED,
    np.dtype({"names": ["b", "a"], "formats": ["<i4", "<i2"], "offsets": [4, 0]}),
    np.dtype({"names": ["a", "b"], "formats": ["<i4", "<i2"], "offsets": [0, 0], "itemsize": 8}),
    np.dtype([(("the title", "a"), "i1"), ("b", "f8")], align=True),
    np.dtype((np.record, [("a", "i4"), ("n", [("x", "f4")])])),
    np.dtype([("é", "U3"), ("a b", "M8[25us]")]),
    np.dtype([]),
]


def header(dtype: np.dtype | None = None, **changes: object) -> Header:
    facts = {"nonce": bytes(range(16)), "nbytes": 24, "pid": 7, "made_ns": 5, "site": "a.py:1 in <module>"}
    facts |= {"dtype": dtype, "shape": (3, 2), "order": "C"} | changes
    return Header(**facts)  # type: ignore[arg-type]


@pytest.mark.parametrize("dtype", [None, *DTYPES], ids=str)
def test_a_header_reads_back_from_one_page(dtype: np.dtype | None) -> None:
    page = pack(header(dtype))
    assert len(page) == HEADER_BYTES
    assert unpack(page) == header(dtype)
    assert unpack(page + b"the data") == header(dtype)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_any_dtype_is_described_by_plain_values(dtype: np.dtype) -> None:
    made = dtype_described(ast.literal_eval(repr(describe_dtype(dtype))))
    assert made == dtype
    assert made.isalignedstruct == dtype.isalignedstruct
    assert made.type is dtype.type


def test_notes_that_a_dtype_carries_are_left_out() -> None:
    noted = np.dtype([("a", np.dtype("S5", metadata={"h5py": "ascii"}))], metadata={"more": print})
    assert unpack(pack(header(noted))) == header(np.dtype([("a", "S5")]))


def test_what_does_not_fit_is_left_out_and_the_rest_stays() -> None:
    wide = np.dtype([(f"field number {i}", "f8") for i in range(1000)])
    assert unpack(pack(header(wide))) == header(None)
    assert unpack(pack(header(site="x" * 9000))) == header(site="x" * 200)


@pytest.mark.parametrize("shape", [(), (0,), (1 << 40, 0, 3), tuple(range(64))])
def test_every_shape_fits(shape: tuple[int, ...]) -> None:
    assert unpack(pack(header(np.dtype("f8"), shape=shape))) == header(np.dtype("f8"), shape=shape)


def test_what_is_no_page_of_ours_is_refused() -> None:
    page = pack(header(np.dtype("f8")))
    for other in (b"", page[:-1], bytes(HEADER_BYTES), b"\x7fELF" + page[4:], page[:12] + b"9" + page[13:]):
        assert unpack(other) is None


@given(where=st.integers(16, 140), damage=st.binary(min_size=1, max_size=40))
def test_a_damaged_page_is_refused_or_read_but_raises_nothing(where: int, damage: bytes) -> None:
    page = bytearray(pack(header(strategies.STRUCTURED[1])))
    page[where : where + len(damage)] = damage
    found = unpack(bytes(page))
    assert found is None or isinstance(found, Header)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "(",
        "1",
        "('a', '<f8', (3,))",
        "('a', {'names': 1}, (3,), 'C')",
        "('a', {}, (3,), 'C')",
        "__import__('os')",
    ],
)
def test_a_text_that_says_something_else_is_refused(text: str) -> None:
    page = pack(header(np.dtype("f8")))
    start = page.index(b"(")
    fixed = page[: start - 4] + len(text).to_bytes(4, "little")
    assert unpack((fixed + text.encode()).ljust(HEADER_BYTES, b"\0")) is None
