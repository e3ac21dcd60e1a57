"""Structs to tuples and back."""

from __future__ import annotations

import zlib
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runwright.errors import StorageError
from runwright.store.rows import (
    RUN_CHANGES,
    blob_of,
    blob_values,
    micros,
    moment,
    names,
    run_changes,
    run_values,
)
from runwright.store.schema import runs
from runwright.store.words import WORDS
from tests.unit.store.rows import run

ANY_TIME = st.datetimes(timezones=st.just(UTC))


@given(ANY_TIME)
def test_times_keep_every_microsecond(time: datetime) -> None:
    """A time of any year comes back exactly."""
    assert moment(micros(time)) == time


def test_times_are_utc() -> None:
    """Another zone is converted, and a time without a zone is a mistake."""
    east = datetime(2026, 1, 1, 2, tzinfo=timezone(timedelta(hours=2)))
    assert moment(micros(east)).isoformat() == "2026-01-01T00:00:00+00:00"
    with pytest.raises(TypeError):
        micros(datetime(2026, 1, 1))  # noqa: DTZ001 - the mistake


@given(st.binary(max_size=3000))
def test_blobs_keep_every_byte(data: bytes) -> None:
    """Compressed or not, a blob is the bytes it was made from, and never longer."""
    _, codec, stored, _ = blob_values(b"key", data)
    assert isinstance(codec, int)
    assert isinstance(stored, bytes)
    assert blob_of(codec, stored) == data
    assert len(stored) <= len(data)


@pytest.mark.parametrize("size", [1, 300, 16 << 10, (16 << 10) + 1, 1 << 20])
def test_texts_of_any_size_are_compressed(size: int) -> None:
    """Small texts with the dictionary, large ones with zlib's own window; what saves nothing stays as it is."""
    data = (b"If you would like, let me know. " * (size // 32 + 1))[:size]
    _, codec, stored, _ = blob_values(b"key", data)
    assert isinstance(codec, int)
    assert isinstance(stored, bytes)
    assert blob_of(codec, stored) == data
    assert len(stored) < size / 2 or size == 1


def test_blobs_of_the_first_release_are_read() -> None:
    """Codec 0 is bytes as they are, codec 1 zlib, codec 2 deflate with a dictionary that must not change."""
    assert blob_of(0, b"text") == b"text"
    assert blob_of(1, zlib.compress(b"text")) == b"text"
    assert blob_of(2, bytes.fromhex("53c2c84c3ac8b9494f0900")) == b'"If you would like, let me know."'


@pytest.mark.parametrize("codec", [1, 2])
def test_a_damaged_blob_is_a_storage_error(codec: int) -> None:
    """What cannot be unpacked, or unpacks to more than was ever packed, is told as damage."""
    bomb = {1: b"nonsense", 2: WORDS.pack(bytes(1 << 20))}[codec]
    with pytest.raises(StorageError, match="may be damaged"):
        blob_of(codec, bomb)


def test_tuples_have_a_value_for_each_column() -> None:
    """The columns that change are the last ones of the table."""
    assert len(run_values(run())) == len(names(runs))
    assert len(run_changes(run())) == len(RUN_CHANGES)
    assert names(runs)[-len(RUN_CHANGES) :] == RUN_CHANGES
