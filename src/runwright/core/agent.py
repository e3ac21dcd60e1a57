"""What an agent is: its definition as data, and what is built from it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Protocol, cast

import msgspec

from runwright.core.history import History
from runwright.core.memory import Scope
from runwright.core.message import Message
from runwright.core.model import ModelSettings, OutputSpec, ToolSpec
from runwright.core.policy import Guard
from runwright.core.step import Effect, StepKind

if TYPE_CHECKING:
    from runwright.core.context import Context


class Limits(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """Bounds of one run. Times are seconds; None means no bound.

    `usd` is a decimal text; it and `tokens` count the runs below it too. `children` counts the runs that it begins,
    `depth` how deep runs may stand below it.
    """

    time_s: float | None = 600.0
    steps: int = 50
    tokens: int | None = None
    usd: str | None = None
    children: int | None = None
    depth: int | None = None
    model_timeout_s: float = 120.0
    tool_timeout_s: float = 60.0
    output_retries: int = 2


class Approval(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """Asks a person before a tool is called. After `expires_s` seconds without an answer it is denied."""

    expires_s: float | None = None


class Definition(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An agent as data, whatever it was written in. `config` fits the template's configuration schema.

    `guard` are its policies as data, which `core.policy_reader` reads.
    """

    name: str
    template: str = "conversation"
    version: str = "1.0.0"
    description: str = ""
    config: dict[str, object] = {}
    metadata: dict[str, str] = {}
    guard: dict[str, object] = {}


class Tool(Protocol):
    """Something an agent can do. `tools.base.FunctionTool` is the usual one.

    One that has policies of its own holds them in a further attribute, `guard`; one that a person has to allow, how in
    `approval`; one whose calls are no `tool` steps, their kind in `kind`; one that takes arguments from a loop's
    opening, their names in `bound`.
    """

    @property
    def spec(self) -> ToolSpec:
        """What the model sees."""
        ...

    @property
    def effect(self) -> Effect:
        """read, idempotent or once."""
        ...

    @property
    def timeout_s(self) -> float | None:
        """Seconds for one call; None takes the agent's limit."""
        ...

    @property
    def fingerprint(self) -> str:
        """A hash of name, schema and effect; a run goes on after a restart only if it is the same."""
        ...

    def check(self, arguments: str) -> Mapping[str, object]:
        """Parse and validate JSON arguments. Raises InvalidRequest that says what would be right."""
        ...

    async def call(self, arguments: Mapping[str, object], context: Context) -> bytes:
        """Run the tool and give its result as JSON text. Raises ToolFailed, NotSent or what the tool raises."""
        ...


def guard_of(tool: Tool) -> Guard | None:
    """The policies that a tool brings, if it has any."""
    guard: object = getattr(tool, "guard", None)
    return guard if isinstance(guard, Guard) else None


def approval_of(tool: Tool) -> Approval | None:
    """How a person is asked before a tool is called, if one is."""
    approval: object = getattr(tool, "approval", None)
    return approval if isinstance(approval, Approval) else None


def bound_of(tool: Tool) -> frozenset[str]:
    """The arguments of a tool that a loop's opening gives, in place of the model."""
    bound: object = getattr(tool, "bound", None)
    return cast("frozenset[str]", bound) if isinstance(bound, frozenset) else frozenset()


def kind_of(tool: Tool) -> StepKind:
    """The kind of step that calls of a tool are."""
    kind: StepKind = getattr(tool, "kind", "tool")
    return kind


class OutputCheck(Protocol):
    """Judges a final answer."""

    @property
    def spec(self) -> OutputSpec:
        """The schema that is sent to the model."""
        ...

    def check(self, text: str) -> bytes:
        """Give the output as JSON text. Raises OutputInvalid that says what would be right."""
        ...


class Named(msgspec.Struct, frozen=True, kw_only=True):
    """An agent that a flow has run, and the JSON pointer to where its configuration says so."""

    name: str
    version: str | None = None
    at: str = ""


class MemoryBlock(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A block of memory that a model is shown with its instructions; `limit` counts characters."""

    name: str
    description: str = ""
    scope: Scope = "agent"
    limit: int = 4000


class Opening(msgspec.Struct, frozen=True, kw_only=True):
    """A tool call that comes before the first call of the model: what a run works on is found once, and recorded.

    `ask` makes its arguments of the run's JSON input. Of its result, which is JSON text, `tell` makes what the model
    reads after its instructions, and `bind` the arguments that tools are given in place of the model.
    """

    tool: Tool
    ask: Callable[[bytes], Mapping[str, object]]
    tell: Callable[[bytes], str]
    bind: Callable[[bytes], Mapping[str, object]]


class Closing(msgspec.Struct, frozen=True, kw_only=True):
    """A tool call that comes after the model's answer: its result is the run's output.

    `ask` makes its arguments of the answer. If it fails, the model is told why and answers again, as with an output
    that does not fit its schema.
    """

    tool: Tool
    ask: Callable[[str], Mapping[str, object]]


class Loop(msgspec.Struct, frozen=True, kw_only=True):
    """A loop definition: model calls and tool calls until the model answers without a tool call.

    `read_input` turns the caller's JSON input into messages; it raises InvalidRequest. `approvals` names tools that a
    person has to allow, beside those that say so themselves. `agents` are those that it may have run, by tools whose
    kind is `child`. `history` says how much of the conversation a model is sent. Of the calls of a turn `at_once` are
    under way together; None stands for all. `output_schema` is that of what `closing` gives.
    """

    model: str | None
    instructions: str = ""
    tools: Mapping[str, Tool] = {}
    tools_raw: bytes = b""
    output: OutputCheck | None = None
    memory: tuple[MemoryBlock, ...] = ()
    history: History | None = None
    opening: Opening | None = None
    closing: Closing | None = None
    settings: ModelSettings = ModelSettings()
    limits: Limits = Limits()
    approvals: Mapping[str, Approval] = {}
    agents: tuple[Named, ...] = ()
    at_once: int | None = None
    read_input: Callable[[bytes], tuple[Message, ...]]
    input_schema: dict[str, object] = {}
    output_schema: dict[str, object] = {}

    @property
    def models(self) -> tuple[str, ...]:
        """The models that it names beside its own."""
        summary = None if self.history is None else self.history.summary
        return () if summary is None or summary.model is None else (summary.model,)


class CodeFlow(msgspec.Struct, frozen=True, kw_only=True):
    """A code flow: an async function that does its effects through the context. Gets the input, gives the output.

    `agents` are those that its configuration names; they have to be there when a run begins. `models` are those that
    it names beside its own, so that they are there before a run asks them. With `is_conversation` its last model call
    without a lane holds the conversation, which is left to the next run of its thread; or `conversation` makes that of
    what the function gave. `digest` tells what it executes from another version of it, where the definition does not
    say that.
    """

    function: Callable[[Context, object], Awaitable[object]]
    agents: tuple[Named, ...] = ()
    digest: str = ""
    tools: Mapping[str, Tool] = {}
    model: str | None = None
    models: tuple[str, ...] = ()
    is_conversation: bool = False
    conversation: Callable[[object], tuple[Message, ...]] | None = None
    limits: Limits = Limits()
    approvals: Mapping[str, Approval] = {}
    read_input: Callable[[bytes], object]
    write_output: Callable[[object], bytes]
    input_schema: dict[str, object] = {}
    output_schema: dict[str, object] = {}


Flow = Loop | CodeFlow


class BuiltAgent(msgspec.Struct, frozen=True, kw_only=True):
    """An agent ready to run. `fingerprint` covers definition and tool schemas; schemas are JSON Schema objects.

    `guard` are the agent's policies, `run_guard` those that one run set. The fingerprint leaves them out: they change
    when and where something is sent, never what is asked.
    """

    definition: Definition
    fingerprint: str
    flow: Flow
    input_schema: dict[str, object]
    output_schema: dict[str, object]
    template_version: str = ""
    source: str = "code"
    guard: Guard | None = None
    run_guard: Guard | None = None

    @property
    def name(self) -> str:
        """The agent's name."""
        return self.definition.name

    @property
    def version(self) -> str:
        """The agent's version."""
        return self.definition.version
