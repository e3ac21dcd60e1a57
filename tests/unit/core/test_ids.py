"""Identifiers."""

import time
from uuid import UUID

from runwright.core.ids import make_id

MANY = 5000


def test_ids_are_ordered_as_they_were_made() -> None:
    """Ids of one process sort in the order they were made, also those of one millisecond."""
    made = [make_id("run") for _ in range(MANY)]
    assert made == sorted(set(made))


def test_an_id_is_a_uuid_of_this_moment() -> None:
    """Behind the prefix stands a UUID of version 7, whose first part is the time in milliseconds."""
    before = time.time_ns() // 1_000_000
    made = make_id("thr")
    after = time.time_ns() // 1_000_000
    uuid = UUID(made.removeprefix("thr_"))
    assert (uuid.version, made) == (7, f"thr_{uuid.hex}")
    # Ids that were made faster than time goes lie a little ahead of it.
    assert before <= uuid.int >> 80 <= after + MANY * 250 // 1_000_000 + 1
