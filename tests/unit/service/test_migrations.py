"""What a caller can ask about definitions that are behind their templates."""

from collections.abc import Sequence

from runwright import Agent
from runwright.agents.base import Origin
from runwright.agents.discover import Discovery
from runwright.agents.registry import Registry
from runwright.agents.templates import Templates
from runwright.core.agent import Definition
from runwright.core.ports import AgentRecord
from runwright.service.agents import Agents
from runwright.service.migrations import Asking, Migrations
from runwright.testing import FakeClock
from tests.unit.agents.test_migrate import Newest, Report
from tests.unit.service.test_agents import MemoryAgentStore


def stored(name: str, template: str, version: str = "1.0.0", **config: object) -> AgentRecord:
    """An agent that was made over the API."""
    definition = Definition(name=name, template=template, version=version, config=config)
    now = FakeClock().now()
    return AgentRecord(name=name, version=version, definition=definition, fingerprint="f", source="api", created_at=now)


class _Changing(MemoryAgentStore):
    """Somebody else changes an agent as soon as all were looked at."""

    def __init__(self, *records: AgentRecord) -> None:
        super().__init__(*records)
        self.change: AgentRecord | None = None

    def all(self) -> Sequence[AgentRecord]:
        """The active versions by name, as they stood before the change."""
        found = super().all()
        if self.change is not None:
            self.put(self.change)
        return found


async def opened(*records: AgentRecord) -> tuple[Migrations, Registry, _Changing]:
    """A service with one agent in code, on a store."""
    registry = Registry([])
    code = Agent("code", template="report@^1", config={"length": 1}).declare(
        Origin(source="code", file="a.py", path="it")
    )
    registry.replace(Discovery(agents=(code,), templates=Templates([Report, Newest])))
    store = _Changing(*records)
    agents = Agents(registry, store, FakeClock())
    await agents.load()
    return Migrations(agents, registry, store), registry, store


async def test_every_definition_is_told() -> None:
    """Those of code and those that are stored, also what cannot be built any more; nothing is changed."""
    migrations, _, store = await opened(stored("gone", "report@^2", lines=1), stored("bad", "report", lines="x"))
    before = list(store.records)
    page = await migrations.list()
    assert [(each.agent, each.source, each.state, each.can_move) for each in page.data] == [
        ("bad", "api", "unfit", False),
        ("code", "code", "behind", True),
        ("gone", "api", "unfit", True),
    ]
    assert page.data[0].problems[0].pointer == "/config/lines"
    assert page.data[1].place == "a.py: it"
    assert (
        "-  lines: 1\n+  lines: 1\n+  style:\n+    tone: dry\n" in page.data[2].diff
        or "+  style:\n" in page.data[2].diff
    )
    assert [each.agent for each in (await migrations.list(Asking(agents=("code",)))).data] == ["code"]
    assert store.records == before


async def test_stored_definitions_move() -> None:
    """A stored definition is moved as its next free version, and served; the old version stays stored."""
    migrations, registry, store = await opened(
        stored("gone", "report@^2", "1.0.1", lines=1), stored("gone", "report@^2", lines=7), stored("new", "report@^3")
    )
    page = await migrations.perform(Asking(agents=("gone", "code")))
    assert [(each.agent, each.is_written) for each in page.data] == [("code", False), ("gone", True)]
    agent = registry.get("gone")
    assert (agent.version, agent.template_version, agent.definition.config["lines"]) == ("1.0.2", "3.1.0", 7)
    assert [(each.version, each.is_active) for each in store.versions("gone")] == [
        ("1.0.2", True),
        ("1.0.0", False),
        ("1.0.1", False),
    ]
    assert (await migrations.perform(Asking(agents=("gone",)))).data == []


async def test_a_change_meanwhile_is_moved_too() -> None:
    """What somebody made of a definition after it was looked at is what is moved."""
    migrations, registry, store = await opened(stored("gone", "report@^2", lines=7))
    store.change = stored("gone", "report@^2", "1.0.5", lines=9)
    (view,) = (await migrations.perform(Asking(agents=("gone",)))).data
    agent = registry.get("gone")
    assert (view.is_written, agent.version, agent.definition.config["lines"]) == (True, "1.0.6", 9)


async def test_what_is_current_meanwhile_is_not_moved() -> None:
    """A definition that somebody else moved after it was looked at gets no further version."""
    migrations, _, store = await opened(stored("gone", "report@^2", lines=7))
    store.change = stored("gone", "report@^3", "1.0.5", lines=9, style={"tone": "dry"})
    assert (await migrations.perform(Asking(agents=("gone",)))).data == []
    assert [each.version for each in store.versions("gone")] == ["1.0.5", "1.0.0"]
