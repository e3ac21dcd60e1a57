"""The AgentStore port."""

from __future__ import annotations

import msgspec

from runwright.core.agent import Definition
from runwright.core.ports import AgentRecord
from runwright.store import Stores
from tests.unit.store.rows import later


def record(version: str = "1.0.0", **changes: object) -> AgentRecord:
    """A version of the agent `support`."""
    made = AgentRecord(
        name="support",
        version=version,
        definition=Definition(name="support", version=version, config={"model": "demo", "n": [1, None]}),
        fingerprint=f"f{version}",
        source="api",
        created_at=later(float(version[0])),
    )
    return msgspec.structs.replace(made, **changes)


def test_the_newest_put_is_active(stores: Stores) -> None:
    """The version that was put last is the active one; the others stay as they were."""
    one, two = record("1.0.0"), record("2.0.0")
    stores.agents.put(one)
    stores.agents.put(two)
    assert stores.agents.get("support") == two
    assert stores.agents.get("support", "1.0.0") == msgspec.structs.replace(one, is_active=False)
    assert [item.version for item in stores.agents.versions("support")] == ["2.0.0", "1.0.0"]
    assert list(stores.agents.all()) == [two]


def test_the_same_fingerprint_changes_nothing(stores: Stores) -> None:
    """A version that is put again unchanged keeps its time."""
    stores.agents.put(record())
    stores.agents.put(record(created_at=later(99)))
    assert stores.agents.get("support") == record()


def test_another_fingerprint_replaces_a_version(stores: Stores) -> None:
    """A changed definition under the same version number takes its place."""
    stores.agents.put(record())
    stores.agents.put(record(fingerprint="g"))
    assert list(stores.agents.versions("support")) == [record(fingerprint="g")]


def test_an_old_version_can_be_made_active_again(stores: Stores) -> None:
    """To put an older version again is to go back to it."""
    stores.agents.put(record("1.0.0"))
    stores.agents.put(record("2.0.0"))
    stores.agents.put(record("1.0.0"))
    assert stores.agents.get("support") == record("1.0.0")
    assert len(stores.agents.all()) == 1


def test_agents_come_by_name(stores: Stores) -> None:
    """All agents are sorted by name."""
    for name in ("b", "a", "c"):
        stores.agents.put(record(name=name))
    assert [item.name for item in stores.agents.all()] == ["a", "b", "c"]


def test_a_deleted_agent_is_unknown(stores: Stores) -> None:
    """After delete there is no version left; a second delete says so."""
    stores.agents.put(record())
    assert stores.agents.delete("support")
    assert stores.agents.get("support") is None
    assert list(stores.agents.versions("support")) == []
    assert not stores.agents.delete("support")
