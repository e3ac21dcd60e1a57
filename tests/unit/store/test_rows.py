"""Structs to tuples and back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

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


def test_tuples_have_a_value_for_each_column() -> None:
    """The columns that change are the last ones of the table."""
    assert len(run_values(run())) == len(names(runs))
    assert len(run_changes(run())) == len(RUN_CHANGES)
    assert names(runs)[-len(RUN_CHANGES) :] == RUN_CHANGES
