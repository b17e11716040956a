"""Bytes of a file by those of its text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outcore.text.places import source_bytes

WIDE = ["utf-8", "utf-16-le", "utf-16-be"]
NARROW = ["ascii", "latin-1", "cp1252", "iso8859-15"]


@given(st.text(), st.sampled_from(WIDE))
def test_bytes_are_those_of_the_encoding(text: str, encoding: str) -> None:
    assert source_bytes(text.encode(), encoding) == len(text.encode(encoding))
    assert source_bytes(memoryview(text.encode()), encoding) == len(text.encode(encoding))


@given(st.binary(), st.sampled_from(NARROW))
def test_a_byte_each_in_encodings_of_one_byte(data: bytes, encoding: str) -> None:
    if encoding == "ascii":
        data = bytes(byte & 0x7F for byte in data)
    text = data.decode(encoding, "surrogateescape").encode("utf-8", "surrogatepass")
    assert source_bytes(text, encoding) == len(data)


@pytest.mark.parametrize("encoding", WIDE[1:])
def test_lone_surrogates_have_two_bytes(encoding: str) -> None:
    assert source_bytes("a\ud800b\udc00".encode("utf-8", "surrogatepass"), encoding) == 8
