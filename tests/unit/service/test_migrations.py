"""What a caller can ask about definitions that are behind their templates."""

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


async def opened(*records: AgentRecord) -> tuple[Migrations, Registry, MemoryAgentStore]:
    """A service with one agent in code, on a store."""
    registry = Registry([])
    code = Agent("code", template="report@^1", config={"length": 1}).declare(
        Origin(source="code", file="a.py", path="it")
    )
    registry.replace(Discovery(agents=(code,), templates=Templates([Report, Newest])))
    store = MemoryAgentStore(*records)
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
