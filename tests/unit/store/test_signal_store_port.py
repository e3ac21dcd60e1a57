"""The SignalStore port."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from runwright.core.ports import Batch, RunRow, Signal
from runwright.errors import StorageError
from runwright.store import Stores
from tests.unit.store.rows import NOW, new, run


def signal(number: int) -> Signal:
    """A message to cancel; its id sorts by its number."""
    return Signal(id=f"sig_{number:032x}", run_id=run().id, kind="cancel", body=b'{"by":"me"}', created_at=NOW)


def test_signals_wait_in_order(stores: Stores) -> None:
    """Messages come oldest first, whatever the order of their arrival."""
    for number in (2, 1, 3):
        stores.signals.put(signal(number))
    assert list(stores.signals.pending()) == [signal(1), signal(2), signal(3)]


def test_signals_to_some_runs(stores: Stores) -> None:
    """Who names runs gets the messages to these alone."""
    other = replace(signal(2), run_id="run_other")
    for each in (signal(1), other, signal(3)):
        stores.signals.put(each)
    assert list(stores.signals.pending(["run_other", "run_none"])) == [other]
    assert list(stores.signals.pending([])) == []


def test_consumed_signals_are_not_pending(stores: Stores) -> None:
    """A message that an append consumed is not seen again; one that was dropped neither."""
    for number in (1, 2, 3):
        stores.signals.put(signal(number))
    stores.writes.append([new(run())])
    stores.writes.append([Batch(run=RunRow(run(), False), consumed=(signal(1).id,))])
    stores.signals.drop(signal(2).id)
    assert list(stores.signals.pending()) == [signal(3)]


def test_a_lost_run_consumes_nothing(stores: Stores) -> None:
    """A batch that is left out leaves its messages pending."""
    stores.signals.put(signal(1))
    stores.writes.append([Batch(run=RunRow(run(), False), consumed=(signal(1).id,))])
    assert list(stores.signals.pending()) == [signal(1)]


def test_an_id_twice_is_an_error(stores: Stores) -> None:
    """Two messages cannot have one id."""
    stores.signals.put(signal(1))
    with pytest.raises(StorageError):
        stores.signals.put(signal(1))
