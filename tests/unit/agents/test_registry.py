"""Agents that can be run, and how definitions become them."""

import re
import threading
from collections.abc import Callable
from typing import Any, ClassVar

import msgspec
import pytest
from msgspec.structs import replace
from pydantic import BaseModel

from runwright import Agent, BuildContext, Guard, Limits, Loop, ModelSettings, Retry, Template, tool
from runwright.agents.base import Declared, Origin
from runwright.agents.discover import Discovery
from runwright.agents.factory import named_files
from runwright.agents.input import INPUT_SCHEMA, read_messages
from runwright.agents.load import load_body
from runwright.agents.registry import VARIANT_BYTES, VARIANTS, Registry
from runwright.agents.templates import Templates
from runwright.core.agent import Approval, Definition, MemoryBlock, Tool
from runwright.core.policy import Cache, Fallback, Similar
from runwright.core.step import Effect
from runwright.errors import ConfigError, InvalidRequest, NotFound
from runwright.guard import Offered


@tool(effect="read")
async def weather(city: str) -> str:
    """Say the weather."""
    return city


class Answer(BaseModel):
    """An output."""

    city: str


class Polite(Template):
    """Says please."""

    name: ClassVar[str] = "polite"
    version: ClassVar[str] = "2.1.0"

    class Config(BaseModel):
        """How polite."""

        level: int = 1
        mood: str = "good"

    def build(self, config: Config, context: BuildContext) -> Loop:
        """Fail in a bad mood."""
        if config.mood == "bad":
            raise RuntimeError("not today")
        if config.mood == "odd":
            raise ConfigError(problems=[("/mood", "odd moods are not served")])
        return Loop(model=None, instructions=f"please x{config.level}", read_input=read_messages)


class Crew(Template):
    """Names its tools in fields of its own."""

    name: ClassVar[str] = "crew"

    class Config(BaseModel):
        """Who does what."""

        workers: tuple[dict[str, list[str]], ...] = ()

    def build(self, config: Config, context: BuildContext) -> Loop:
        """Give every worker its tools."""
        tools: dict[str, Tool] = {}
        for index, worker in enumerate(config.workers):
            tools |= context.tools(worker["helpers"], at=f"/workers/{index}/helpers")
        return Loop(model=None, tools=tools, read_input=read_messages)


def at(agent: Agent, file: str = "agents/a.py") -> Declared:
    """An agent as if it stood in a file."""
    return agent.declare(Origin(source="code", file=file, path="it"))


def registry(*agents: Agent) -> Registry:
    """A registry with agents, one template and one tool."""
    made = Registry()
    made.replace(discovery(*agents))
    return made


def discovery(*agents: Agent) -> Discovery:
    """Agents, one template and one tool."""
    return Discovery(agents=tuple(map(at, agents)), templates=Templates([Polite, Crew]), tools={"weather": weather})


SUPPORT = Agent("support", model="demo", tools=[weather], output=Answer, settings={"seed": 1}, limits=Limits(steps=3))


def test_conversation() -> None:
    """A definition becomes a loop with tools as the wire has them, settings and limits as the core has them."""
    agent = registry(SUPPORT).get("support")
    assert isinstance(agent.flow, Loop)
    assert (agent.flow.settings, agent.flow.limits) == (ModelSettings(seed=1), Limits(steps=3))
    assert agent.flow.tools_raw.startswith(b'[{"type":"function","function":{"name":"weather","description":')
    assert (agent.input_schema, agent.output_schema) == (INPUT_SCHEMA, Answer.model_json_schema())
    assert (agent.name, agent.version, agent.source) == ("support", "1.0.0", "code")


def test_no_tools() -> None:
    """Without tools nothing about tools is sent, and the output is text."""
    agent = registry(Agent("a")).get("a")
    assert isinstance(agent.flow, Loop)
    assert (agent.flow.tools_raw, agent.output_schema) == (b"", {"type": "string"})


def test_template() -> None:
    """A template of one's own gets its validated configuration."""
    flow = registry(Agent("a", template="polite", config={"level": "3"})).get("a").flow
    assert isinstance(flow, Loop)
    assert flow.instructions == "please x3"


@pytest.mark.parametrize(
    ("agent", "problem"),
    [
        (Agent("a", template="polit"), "it.template: there is no template 'polit'; did you mean 'polite'?"),
        (
            Agent("a", template="polite", config={"level": "x"}),
            "it.config.level: Input should be a valid integer, unable to parse string as an integer",
        ),
        (Agent("a", template="polite", config={"mood": "odd"}), "it.config.mood: odd moods are not served"),
        (Agent("a", template="polite", config={"mood": "bad"}), "it: template 'polite': RuntimeError: not today"),
        (
            Agent("a", settings={"temprature": 0}),
            "it.settings.temprature: there is no field 'temprature'; did you mean 'temperature'?",
        ),
        (Agent("a", tools=["wether"]), "it.tools[0]: there is no tool 'wether'; did you mean 'weather'?"),
        (Agent("a", tools=[weather, f"{__name__}:weather"]), "it.tools[1]: the agent has a tool 'weather' already"),
        (Agent("a", tools=["json:dumps"]), "it.tools[0]: 'json:dumps' is no tool"),
        (Agent("a", tools=["json:nothing"]), "it.tools[0]: 'json' has no 'nothing'"),
        (Agent("a", tools=["no_such:x"]), "it.tools[0]: no_such:x: ModuleNotFoundError"),
        (Agent("a", tools=[":x"]), "it.tools[0]: a reference is written package.module:attribute"),
        (Agent("a", output={"type": "objekt"}), "it.output: this is no JSON Schema"),
    ],
)  # fmt: skip
def test_wrong(agent: Agent, problem: str) -> None:
    """What is wrong is located, and the message says what would be right."""
    with pytest.raises(ConfigError) as caught:
        registry(agent)
    assert caught.value.message.startswith(f"agents/a.py: {problem}")


def test_every_problem() -> None:
    """All problems are reported at once, and what was there before stays."""
    made = registry(SUPPORT)
    broken = replace(discovery(Agent("a", template="x"), Agent("b", tools=["x"])), problems=(("c.py:1", "no"),))
    with pytest.raises(ConfigError) as caught:
        made.replace(broken)
    places = [place for place, _ in caught.value.problems]
    assert places == ["c.py:1", "agents/a.py: it.template", "agents/a.py: it.tools[0]"]
    assert [entry.agent.name for entry in made.all()] == ["support"]


def test_replace() -> None:
    """A reload swaps everything; who holds an agent keeps it, and agents made over the API stay."""
    made = registry(SUPPORT)
    held = made.get("support")
    made.put(load_body(b'{"name": "api", "tools": ["weather"]}'))
    assert made.replace(discovery(replace(SUPPORT, model="other"), Agent("b"))) == ()
    assert [entry.agent.name for entry in made.all()] == ["api", "b", "support"]
    assert isinstance(held.flow, Loop)
    assert (held.flow.model, made.get("support").definition.config["model"]) == ("demo", "other")


def test_replace_hides() -> None:
    """An agent made over the API is hidden by one in a file, and told of when it no longer fits."""
    made = registry()
    made.put(load_body(b'{"name": "b"}'))
    made.put(load_body(b'{"name": "api", "tools": ["weather"]}'))
    kept = made.get("api")
    warnings = made.replace(replace(discovery(Agent("b", model="demo")), tools={}))
    assert warnings == (
        ("agent 'b'", "is hidden by the one in agents/a.py: it: rename one of them"),
        ("agent 'api' 1.0.0", "/tools/0: there is no tool 'weather'"),
    )
    assert made.get("api") is kept
    assert made.get("b").source == "code"


def test_versions() -> None:
    """Each version is kept; the one put last is the current one."""
    made = registry()
    for version in ("1.0.0", "1.1.0"):
        made.put(load_body({"name": "a", "version": version}))
    made.put(load_body({"name": "a", "version": "0.9.0"}), is_current=False)
    assert [made.get("a").version, made.get("a", "1.0.0").version, made.get("a", "0.9.0").version] == [
        *("1.1.0", "1.0.0", "0.9.0"),
    ]
    with pytest.raises(NotFound, match=r"no version '2.0.0'; known: 0.9.0, 1.0.0, 1.1.0"):
        made.get("a", "2.0.0")
    made.drop("a")
    with pytest.raises(NotFound):
        made.get("a", "1.0.0")


def test_not_found() -> None:
    """An unknown name is answered with the nearest known one, or with how there come to be any."""
    with pytest.raises(NotFound, match="there is no agent 'suport'; did you mean 'support'"):
        registry(SUPPORT).get("suport")
    with pytest.raises(NotFound, match=r"there is no agent 'x'; none is defined: .*runwright init"):
        Registry().get("x")


def test_configured() -> None:
    """One run can have another configuration; what does not fit is the caller's mistake, with a pointer."""
    made = registry(SUPPORT)
    flow = made.get("support", config={"settings": {"seed": 2}, "output": {"type": "object"}}).flow
    assert isinstance(flow, Loop)
    assert flow.output is not None
    assert (flow.settings, flow.output.check("{}")) == (ModelSettings(seed=2), b"{}")
    assert made.get("support").definition.config["settings"] == {"seed": 1}
    with pytest.raises(InvalidRequest) as caught:
        made.get("support", config={"settings": {"seed": "x"}})
    assert [place for place, _ in caught.value.problems] == ["/config/settings/seed"]


def test_policies_of_a_run() -> None:
    """Policies among a run's configuration stand beside those of its agent, whatever else is configured."""
    made = registry(Agent("a", guard=Guard(retry=Retry(attempts=2))))
    agent = made.get("a")
    for config in ({}, {"instructions": "Be brief."}):
        of_run = made.get("a", config={**config, "guard": {"cache": True}})
        assert (of_run.guard, of_run.run_guard) == (agent.guard, Guard(cache=True))
        assert of_run.guard is agent.guard
    assert agent.run_guard is None
    with pytest.raises(InvalidRequest) as caught:
        made.get("a", config={"guard": {"retry": {"attempts": 0}}})
    assert [place for place, _ in caught.value.problems] == ["/config/guard/retry/attempts"]


@tool(effect="idempotent")
async def label(name: str) -> str:
    """Put a label on it."""
    return name


@tool
async def send(name: str) -> str:
    """Send it; what is undeclared acts once."""
    return name


def test_results_that_are_given_again_do_nothing_again() -> None:
    """Whole runs are cached where every tool only reads and no memory is shown; else the tools are named."""
    guard = Guard(cache=Cache(of="runs"))
    assert registry(Agent("a", tools=[weather], guard=guard)).get("a").guard == guard
    assert registry(Agent("a", tools=[send], guard=Guard(cache=True))).get("a").guard == Guard(cache=True)
    for agent, words in (
        (Agent("a", tools=[weather, send, label], guard=guard), "'label' (idempotent), 'send' (once)"),
        (Agent("a", memory=[MemoryBlock(name="notes")], guard=guard), "memory"),
    ):
        with pytest.raises(ConfigError) as caught:
            registry(agent)
        ((place, detail),) = caught.value.problems
        assert (place.endswith("guard.cache.of"), words in detail) == (True, True), (place, detail)


def test_similar_questions_are_answered_without_tools() -> None:
    """An agent that could never be answered so, because it has tools or keeps whole runs, is refused."""
    similar = Guard(cache=Cache(similar=Similar()))
    assert registry(Agent("a", guard=similar)).get("a").guard == similar
    for agent, words in (
        (Agent("a", tools=[weather], guard=similar), "this agent has 'weather'"),
        (Agent("a", guard=Guard(cache=Cache(of="runs", similar=Similar()))), "with of='calls', not 'runs'"),
    ):
        with pytest.raises(ConfigError) as caught:
            registry(agent)
        ((place, detail),) = caught.value.problems
        assert (place.endswith("guard.cache.similar"), words in detail) == (True, True), (place, detail)


def test_policies_are_for_every_template() -> None:
    """An agent has policies whatever it is made from."""
    guard = Guard(retry=False)
    assert registry(Agent("a", template="polite", guard=guard)).get("a").guard == guard


def test_configured_is_built_once() -> None:
    """The same configuration gives the same agent again, in a number that is bounded; a mistake is told each time."""
    made = registry(SUPPORT, Agent("other"))
    first = made.get("support", config={"settings": {"seed": 2}})
    assert made.get("support", config={"settings": {"seed": 2}}) is first
    assert made.get("other", config={"settings": {"seed": 2}}) is not first
    for seed in range(3, 3 + VARIANTS):
        assert made.get("support", config={"settings": {"seed": seed}}) is not first
    assert made.get("support", config={"settings": {"seed": 2}}) is not first
    for _ in range(2):
        with pytest.raises(InvalidRequest):
            made.get("support", config={"settings": {"seed": "x"}})


def test_configured_keeps_no_large_configuration() -> None:
    """What is kept of callers has a bound in bytes too."""
    made = registry(SUPPORT)
    config = {"instructions": "y" * VARIANT_BYTES}
    assert made.get("support", config=config) is not made.get("support", config=config)


def test_a_change_forgets_what_was_configured() -> None:
    """After any change of the registry nothing is kept of agents that were built from what it was before."""
    made = registry(SUPPORT)
    for change in (lambda: made.put(load_body(b'{"name": "b"}')), lambda: made.drop("b")):
        kept = made.get("support", config={"settings": {"seed": 2}})
        assert made.get("support", config={"settings": {"seed": 2}}) is kept
        change()
        assert made.get("support", config={"settings": {"seed": 2}}) is not kept


def test_a_caller_names_no_file_as_a_model() -> None:
    """A model is a file of this machine where code says so; in a definition that comes over the API it is not."""
    path = "local:/etc/x.gguf"
    with pytest.raises(ConfigError, match="no local model") as caught:
        registry().check(load_body({"name": "api", "model": path}))
    assert caught.value.problems[0][0] == "/model"
    assert registry().check(load_body({"name": "api", "model": "local:smollm2-135m"}))
    assert registry(Agent("own", model=path)).get("own", config={"instructions": "x"}).flow.model == path


def test_a_caller_falls_back_on_no_file() -> None:
    """A file of the machine is no model that a caller may fall back on, in a definition or for a run."""
    config = {"guard": {"fallback": {"models": ["demo", "local:/etc/passwd"]}}}
    assert [place for place, _ in named_files(config)] == ["/guard/fallback/models/1"]
    with pytest.raises(ConfigError) as caught:
        registry().check(load_body(msgspec.json.encode({"name": "a", **config})))
    assert [place for place, _ in caught.value.problems] == ["/guard/fallback/models/1"]


def test_files_are_found_wherever_a_model_is_named() -> None:
    """A template may have fields of its own, at any depth; text that only looks like a file passes."""
    config = {"workers": [{"model": "local:x.gguf"}, {"model": "demo"}], "instructions": "local:x.gguf", "model": None}
    assert [place for place, _ in named_files(config)] == ["/workers/0/model"]


def test_a_caller_has_no_tool_imported() -> None:
    """A run may name the tools that its agent and the server know; importing more is for definitions."""
    own = f"{__name__}:weather"
    made = registry(Agent("a", tools=[own]), SUPPORT)
    assert list(made.get("a", config={"tools": [own]}).flow.tools) == ["weather"]
    assert list(made.get("a", config={"instructions": "x"}).flow.tools) == ["weather"]
    with pytest.raises(InvalidRequest, match="there is no tool 'antigravity:fly'") as caught:
        made.get("support", config={"tools": ["weather", "antigravity:fly"]})
    assert caught.value.problems[0][0] == "/config/tools/1"


def test_a_caller_has_no_tool_imported_whatever_the_field_is_called() -> None:
    """Templates name tools in any field; there too a run may name what its definition names, and nothing else."""
    own = f"{__name__}:weather"
    made = registry(Agent("a", template="crew", config={"workers": [{"helpers": [own]}]}))
    assert list(made.get("a", config={"workers": [{"helpers": [own]}]}).flow.tools) == ["weather"]
    with pytest.raises(InvalidRequest, match="there is no tool 'antigravity:fly'") as caught:
        made.get("a", config={"workers": [{"helpers": ["antigravity:fly"]}]})
    assert caught.value.problems[0][0] == "/config/workers/0/helpers/0"


def test_configured_keeps_the_order_of_a_schema() -> None:
    """A model fills a schema in its order, so two orders are two configurations."""
    made = registry(SUPPORT)
    for names in (["b", "a"], ["a", "b"]):
        output = {"type": "object", "properties": {name: {"type": "string"} for name in names}}
        assert list(made.get("support", config={"output": output}).output_schema["properties"]) == names  # pyright: ignore[reportArgumentType] - JSON


def test_configured_follows_a_reload() -> None:
    """After a reload, or another definition over the API, what was built from the old one is not used any more."""
    made = registry(Agent("a", model="one"))
    made.put(load_body({"name": "api", "model": "one", "tools": ["weather"]}))
    config = {"settings": {"seed": 2}}

    def models() -> list[str | None]:
        flows = [made.get(name, config=config).flow for name in ("a", "api")]
        return [flow.model for flow in flows]

    assert models() == ["one", "one"]
    made.replace(discovery(Agent("a", model="two")))
    made.put(load_body({"name": "api", "model": "two", "tools": ["weather"]}))
    assert models() == ["two", "two"]
    made.replace(replace(discovery(Agent("a")), tools={}))
    with pytest.raises(InvalidRequest, match="no tool 'weather'"):
        made.get("api", config=config)


def test_api_tools() -> None:
    """A definition over the API can name the tools of the toolbox and no others; nothing is imported for it."""
    with pytest.raises(ConfigError, match="there is no tool 'os:system'"):
        registry().check(load_body(b'{"name": "a", "tools": ["os:system"]}'))


def test_fingerprint() -> None:
    """The fingerprint changes with the definition, a tool's schema and the template's version, and nothing else."""

    def same(city: str) -> str:
        return city

    def other(town: str) -> str:
        return town

    def of(function: Callable[..., str] = same, effect: Effect = "once", **options: Any) -> str:
        look = tool(effect=effect, name="look")(function)
        return registry(Agent("a", tools=[look], **options)).get("a").fingerprint

    first = of()
    assert first == of()
    assert len({first, of(other), of(effect="read"), of(model="demo"), of(version="1.0.1")}) == 5
    assert of(guard=Guard(retry=False)) == first


def test_semver() -> None:
    """A template whose version is none is a ValueError where it stands."""
    with pytest.raises(ValueError, match="version of template Bad has three numbers"):
        type("Bad", (Template,), {"name": "bad", "version": "1"})


def test_unwritten() -> None:
    """A template without `build` cannot be built."""
    made = Registry([type("Empty", (Template,), {"name": "empty"})])
    with pytest.raises(ConfigError, match="NotImplementedError"):
        made.check(Declared(definition=Definition(name="a", template="empty"), origin=Origin(source="api")))


@pytest.mark.parametrize(
    ("approvals", "expires_s"),
    [
        (["send"], None),
        ({"send": None}, None),
        ({"send": {"expires_s": 60}}, 60),
        ({"send": Approval(expires_s=60)}, 60),
    ],
    ids=["names", "bare", "fields", "object"],
)
def test_approvals(approvals: Any, expires_s: float | None) -> None:
    """Tools that a person has to allow are named, with or without how long to wait, for loops and for functions."""

    async def run(text: str) -> str:
        return text

    for agent in (
        Agent("a", tools=[send], approvals=approvals),
        Agent("a", tools=[send], approvals=approvals, run=run),
    ):
        assert registry(agent).get("a").flow.approvals == {"send": Approval(expires_s=expires_s)}


@pytest.mark.parametrize(
    ("approvals", "problem"),
    [
        (["sent"], "it.approvals: the agent has no tool 'sent'; did you mean 'send'?"),
        ({"send": {"expires_s": 0}}, "it.approvals.send.expires_s: Input should be greater than 0, not 0"),
        ({"send": {"until": 5}}, "it.approvals.send.until: there is no field 'until'"),
        ("send", "it.approvals: "),
    ],
    ids=["stranger", "no-time", "no-field", "text"],
)
def test_wrong_approvals(approvals: Any, problem: str) -> None:
    """An approval of a tool that is not there would hold nothing, so it is refused, as are fields nobody knows."""
    with pytest.raises(ConfigError, match=re.escape(problem)):
        registry(Agent("a", tools=[send], approvals=approvals)).get("a")


def test_a_caller_takes_no_approval_away() -> None:
    """The configuration of a run adds approvals to those of the agent; it neither removes nor changes one."""
    made = registry(Agent("a", tools=[send, label], approvals={"send": Approval(expires_s=60)}))
    asked = Approval(expires_s=60)
    configs: list[dict[str, Any]] = [
        {"approvals": []},
        {"approvals": {"send": {"expires_s": 1}}},
        {"instructions": "x"},
        {"tools": []},
    ]
    for config in configs:
        assert made.get("a", config=config).flow.approvals == {"send": asked}
    more = made.get("a", config={"approvals": ["label"]}).flow.approvals
    assert more == {"send": asked, "label": Approval()}


def test_changes_come_one_after_the_other() -> None:
    """An agent that is put while another thread replaces what was discovered is not lost."""
    putting = threading.Thread(target=lambda: made.put(api("second")))
    reloading: list[bool] = []

    def unknown(_ref: str) -> str:
        if reloading:
            # Long enough for the other thread to come through, if it may.
            putting.start()
            putting.join(0.2)
            reloading.clear()
        return ""

    def api(name: str) -> Declared:
        return Agent(name, guard=Guard(fallback=Fallback(models=("test:other",)))).declare(Origin(source="api"))

    made = Registry(refuse=Offered({}, unknown=unknown).refuse)
    made.put(api("first"))
    reloading.append(True)
    made.replace(Discovery())
    putting.join()
    assert [entry.agent.name for entry in made.all()] == ["first", "second"]
    made.drop("first")
    assert [entry.agent.name for entry in made.all()] == ["second"]
