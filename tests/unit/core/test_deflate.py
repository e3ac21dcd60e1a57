"""Compression with a dictionary."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runwright.core.deflate import Deflate

WORDS = Deflate(b"a common phrase, another one")


@given(st.binary(max_size=2000) | st.text(max_size=2000).map(str.encode))
def test_every_byte_comes_back(data: bytes) -> None:
    """What is packed is unpacked as it was, at the bound too."""
    assert WORDS.unpack(WORDS.pack(data), largest=max(len(data), 1)) == data


def test_the_dictionary_saves_what_it_holds() -> None:
    """A text of phrases that it knows takes next to nothing."""
    assert (
        len(WORDS.pack(b"another one, a common phrase"))
        < len(Deflate(b"unlike").pack(b"another one, a common phrase")) / 2
    )


def test_another_dictionary_reads_nothing_true() -> None:
    """Text packed with one dictionary is not read as it was with another."""
    packed = WORDS.pack(b"another one, a common phrase")
    try:
        assert Deflate(b"b" * 28).unpack(packed) != b"another one, a common phrase"
    except ValueError as error:
        assert "not compressed" in str(error)


def test_a_bomb_is_refused() -> None:
    """What unpacks to more than is asked for is an error, before the memory is taken."""
    bomb = WORDS.pack(bytes(50_000_000))
    assert len(bomb) < 100_000
    with pytest.raises(ValueError, match="it holds more than 1000 bytes"):
        WORDS.unpack(bomb, largest=1000)


@pytest.mark.parametrize(
    ("cut", "more", "message"),
    [(-1, b"", "its end is missing"), (0, b"", "its end is missing"), (None, b"x", "something stands behind its end")],
    ids=["short", "empty", "long"],
)
def test_damage_is_told(cut: int | None, more: bytes, message: str) -> None:
    """Data that is cut off or goes on is a ValueError that says so."""
    with pytest.raises(ValueError, match=message):
        WORDS.unpack(WORDS.pack(b"some text that is long enough")[:cut] + more)


def test_other_data_is_told() -> None:
    """What was never packed is a ValueError."""
    with pytest.raises(ValueError, match="not compressed as it should be"):
        WORDS.unpack(bytes([255]) * 20)
