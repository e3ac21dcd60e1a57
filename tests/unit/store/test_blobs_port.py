"""The Blobs port."""

from __future__ import annotations

import os

import pytest

from runwright.core.message import digest
from runwright.core.ports import Batch, Blob, RunRow
from runwright.store import Stores
from tests.unit.store.rows import run


def test_blobs_come_back(stores: Stores) -> None:
    """Compressed or not, many at once: the bytes are the same, and unknown hashes are left out."""
    data = [b"", b"short", b"words " * 1000, os.urandom(5000), *(b"%d" % n for n in range(1200))]
    made = {digest(item).hex(): item for item in data}
    batch = Batch(run=RunRow(run(), True), blobs=tuple(Blob(key, item) for key, item in made.items()))
    assert stores.writes.append([batch]) == [None]
    assert stores.blobs.get([*made, "00" * 16]) == made
    assert stores.blobs.get([]) == {}


def test_a_hash_that_is_none(stores: Stores) -> None:
    """Text that is no hex is a mistake of the caller."""
    with pytest.raises(ValueError, match="hexadecimal"):
        stores.blobs.get(["xyz"])
