"""What callers can ask about agents."""

from collections.abc import Sequence
from typing import Any

import pytest
from msgspec.structs import replace

from runwright import Agent, tool
from runwright.agents.base import Origin
from runwright.agents.discover import Discovery
from runwright.agents.registry import BUILT_IN, Registry
from runwright.core.agent import Definition
from runwright.core.ports import AgentRecord
from runwright.errors import Conflict, InvalidRequest, NotFound, StorageFull
from runwright.service.agents import Agents
from runwright.service.views import Problem
from runwright.testing import FakeClock


class MemoryAgentStore:
    """The AgentStore port over a list, newest last."""

    def __init__(self, *records: AgentRecord) -> None:
        self.records = list(records)
        self.is_full = False

    def put(self, record: AgentRecord) -> None:
        """Keep a version and make it the active one."""
        if self.is_full:
            raise StorageFull
        old = self.get(record.name, record.version)
        kept = old if old is not None and old.fingerprint == record.fingerprint else record
        rest = [each for each in self.records if (each.name, each.version) != (record.name, record.version)]
        self.records = [replace(each, is_active=each.is_active and each.name != record.name) for each in rest]
        self.records.append(replace(kept, is_active=True))

    def get(self, name: str, version: str | None = None) -> AgentRecord | None:
        """A version, or the active one."""
        named = [each for each in self.records if each.name == name]
        return next((each for each in named if each.version == version or (version is None and each.is_active)), None)

    def all(self) -> Sequence[AgentRecord]:
        """The active versions by name."""
        return sorted((each for each in self.records if each.is_active), key=lambda each: each.name)

    def versions(self, name: str) -> Sequence[AgentRecord]:
        """All versions, newest first."""
        return [each for each in reversed(self.records) if each.name == name]

    def delete(self, name: str) -> bool:
        """Forget an agent."""
        before = len(self.records)
        self.records = [each for each in self.records if each.name != name]
        return len(self.records) < before


@tool(effect="read")
async def weather(city: str) -> str:
    """Say the weather."""
    return city


class Fixture:
    """A service with one agent in code, and what stands behind it."""

    def __init__(self, *records: AgentRecord) -> None:
        self.store = MemoryAgentStore(*records)
        self.clock = FakeClock()
        self.registry = Registry()
        support = Agent("support", tools=[weather], version="1.2.0").declare(
            Origin(source="code", file="agents/a.py", path="support")
        )
        self.registry.replace(Discovery(agents=(support,), tools={"weather": weather}))
        self.agents = Agents(self.registry, self.store, self.clock)

    async def restarted(self) -> "Fixture":
        """The same store under a process that starts again."""
        again = Fixture(*self.store.records)
        assert await again.agents.load() == ()
        return again


def problems(error: InvalidRequest) -> list[str]:
    """The pointers of an error."""
    return [place for place, _ in error.problems]


async def test_create() -> None:
    """A definition becomes an agent at once and after a restart."""
    subject = Fixture()
    made = await subject.agents.create(b'{"name": "a", "model": "demo", "tools": ["weather"]}')
    assert (made.name, made.source, made.place, made.created_at) == ("a", "api", None, subject.clock.now())
    assert made.definition == {
        "name": "a",
        "template": "conversation",
        "version": "1.0.0",
        "description": "",
        "metadata": {},
        "model": "demo",
        "tools": ["weather"],
    }
    assert [each.effect for each in made.tools] == ["read"]
    again = await subject.restarted()
    assert await again.agents.get("a") == made


@pytest.mark.parametrize(
    ("body", "places"),
    [
        (b'{"name": "a b", "modell": 1}', ["/name", "/modell"]),
        (b'{"name": "a", "tools": ["x"], "output": {"type": "y"}}', ["/tools/0"]),
        (b'{"name": "a", "settings": {"seed": ""}, "limits": {"steps": 0}}', ["/settings/seed", "/limits/steps"]),
        (b'{"name": "a", "template": "function"}', [""]),
        (b'{"name": "a", "config": {"x": 1}}', ["/config/x"]),
        (b"[]", [""]),
    ],
)
async def test_problems(body: bytes, places: list[str]) -> None:
    """Validation gives what creation would refuse, and stores nothing."""
    subject = Fixture()
    assert [each.pointer for each in await subject.agents.validate(body)] == places
    with pytest.raises(InvalidRequest) as caught:
        await subject.agents.create(body)
    assert problems(caught.value) == places
    assert subject.store.records == []


async def test_valid() -> None:
    """A good definition has no problems, and no agent comes of asking."""
    subject = Fixture()
    assert await subject.agents.validate(b'{"name": "a"}') == []
    assert await subject.agents.validate(b"{") == [
        Problem(pointer="", detail="the body is no JSON: Input data was truncated")
    ]
    with pytest.raises(NotFound):
        await subject.agents.get("a")


async def test_taken() -> None:
    """A name that is taken is a conflict that says by what."""
    subject = Fixture()
    await subject.agents.create({"name": "a"})
    with pytest.raises(Conflict, match=r"There is an agent 'a' already .made over the API."):
        await subject.agents.create({"name": "a"})
    with pytest.raises(Conflict, match=r"agents/a.py: support"):
        await subject.agents.create({"name": "support"})


async def test_read_only() -> None:
    """An agent of code cannot be changed here; the answer says where it can."""
    agents = Fixture().agents
    for change in (agents.update("support", {}), agents.patch("support", {}), agents.delete("support")):
        with pytest.raises(Conflict, match=r"Agent 'support' is defined in agents/a.py: support: change it there\."):
            await change


async def test_update() -> None:
    """A change without a version becomes the next patch version; the same again changes nothing."""
    subject = Fixture()
    await subject.agents.create({"name": "a", "version": "1.0.9", "description": "x"})
    assert (await subject.agents.update("a", {"description": "x"})).version == "1.0.9"
    changed = await subject.agents.update("a", b'{"description": "y"}')
    assert (changed.version, changed.description) == ("1.0.10", "y")
    assert (await subject.agents.update("a", {"version": "2.0.0", "description": "z"})).version == "2.0.0"
    assert (await subject.agents.update("a", {"version": "1.0.9", "description": "x"})).version == "1.0.9"
    assert (await subject.agents.update("a", {"description": "new"})).version == "1.0.11"
    again = await subject.restarted()
    found = await again.agents.versions("a")
    assert [(each.version, each.is_active) for each in found.data] == [
        *(("1.0.11", True), ("1.0.9", False), ("2.0.0", False), ("1.0.10", False)),
    ]
    assert (await again.agents.get("a", "2.0.0")).description == "z"
    assert not (await again.agents.get("a", "2.0.0")).is_active


async def test_version_means_one_thing() -> None:
    """A version that exists with other content is a conflict; a name never changes."""
    agents = Fixture().agents
    await agents.create({"name": "a"})
    with pytest.raises(Conflict, match=r"Version 1.0.0 of 'a' exists with other content"):
        await agents.update("a", {"version": "1.0.0", "description": "x"})
    with pytest.raises(InvalidRequest) as caught:
        await agents.update("a", {"name": "b"})
    assert problems(caught.value) == ["/name"]
    with pytest.raises(NotFound):
        await agents.update("b", {})
    with pytest.raises(InvalidRequest):
        await agents.update("a", b"[]")


async def test_patch() -> None:
    """A merge patch changes what it names; null takes a field away."""
    agents = Fixture().agents
    await agents.create({"name": "a", "description": "x", "settings": {"seed": 1, "top_p": 1}, "metadata": {"k": "v"}})
    changed = await agents.patch(
        "a", b'{"description": null, "settings": {"seed": 2, "top_p": null}, "limits": {"steps": 2}}'
    )
    assert changed.definition == {
        "name": "a",
        "template": "conversation",
        "version": "1.0.1",
        "description": "",
        "settings": {"seed": 2},
        "limits": {"steps": 2},
        "metadata": {"k": "v"},
    }


async def test_delete() -> None:
    """A deleted agent is unknown, also after a restart."""
    subject = Fixture()
    await subject.agents.create({"name": "a"})
    await subject.agents.delete("a")
    for agents in (subject.agents, (await subject.restarted()).agents):
        with pytest.raises(NotFound):
            await agents.get("a")


async def test_full_disk() -> None:
    """What cannot be stored is not served."""
    subject = Fixture()
    subject.store.is_full = True
    with pytest.raises(StorageFull):
        await subject.agents.create({"name": "a"})
    with pytest.raises(NotFound):
        await subject.agents.get("a")


async def test_list() -> None:
    """Pages go by name, and the cursor is the last name."""
    agents = Fixture().agents
    for name in ("c", "a", "z"):
        await agents.create({"name": name})
    first = await agents.list(limit=2)
    assert ([each.name for each in first.data], first.has_more, first.next) == (["a", "c"], True, "c")
    second = await agents.list(after=first.next, limit=2)
    assert ([each.name for each in second.data], second.has_more, second.next) == (["support", "z"], False, None)
    assert second.data[0].place == "agents/a.py: support"


async def test_code_is_recorded() -> None:
    """Versions of agents of code are recorded when they are served, once each."""
    subject = Fixture()
    await subject.agents.load()
    await subject.agents.load()
    found = await subject.agents.versions("support")
    assert [(each.version, each.source, each.is_active) for each in found.data] == [("1.2.0", "code", True)]


async def test_the_templates_of_agents_are_known() -> None:
    """By agent without a version: of those that are served, always there, or gone from code but recorded."""
    base: Any = {"version": "1.0.0", "fingerprint": "f", "source": "code", "created_at": FakeClock().now()}
    gone = AgentRecord(name="gone", definition=Definition(name="gone", template="task@^1.0"), **base)
    moved = AgentRecord(name="support", definition=Definition(name="support", template="task"), **base)
    names = Fixture(gone, moved).agents.template_names()
    assert names == {"gone": "task", "support": "conversation", "chain": "chain", "parallel": "parallel"}


async def test_load() -> None:
    """A stored definition that no longer fits is reported and stays stored; the others are served."""
    base: Any = {"version": "1.0.0", "fingerprint": "f", "source": "api", "created_at": FakeClock().now()}
    records = [
        AgentRecord(name="a", definition=Definition(name="a"), **base),
        AgentRecord(name="b", definition=Definition(name="b", config={"tools": ["gone"]}), **base),
        AgentRecord(name="support", definition=Definition(name="support"), **base),
    ]
    subject = Fixture(*records)
    assert await subject.agents.load() == (
        ("stored agent 'b' 1.0.0", "/tools/0: there is no tool 'gone'; known: weather"),
        ("stored agent 'support' 1.0.0", "is hidden by the one in agents/a.py: support: rename one of them"),
    )
    assert [each.name for each in (await subject.agents.list()).data] == ["a", "support"]
    assert subject.store.records == records


async def test_schema() -> None:
    """Callers can ask what an agent takes and gives."""
    found = await Fixture().agents.schema("support")
    assert (found.agent, found.version, found.output) == ("support", "1.2.0", {"type": "string"})


async def test_templates() -> None:
    """Templates are listed with the JSON Schema of their configuration, every field described."""
    agents = Fixture().agents
    page = await agents.templates()
    assert [each.name for each in page.data] == sorted(each.name for each in BUILT_IN)
    conversation = await agents.template("conversation")
    assert conversation.description == "A model that talks, with instructions and tools."
    properties: Any = conversation.schema["properties"]
    assert all("description" in each or "$ref" in each for each in properties.values())
    with pytest.raises(NotFound, match="did you mean 'conversation'"):
        await agents.template("conversion")


async def test_tools() -> None:
    """The tools that definitions may name are listed with their schemas."""
    (found,) = (await Fixture().agents.tools()).data
    assert (found.name, found.effect, found.parameters["required"]) == ("weather", "read", ["city"])
