"""The custom template: code in Python, JavaScript or TypeScript, run in a sandbox."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from math import ceil
from typing import Any, ClassVar, Final, Literal

import msgspec
from pydantic import Field

from runwright.agents.base import BuildContext, Template
from runwright.agents.code import Code, CodeFields, may_reach, read_code
from runwright.agents.guest import Job, run_code
from runwright.agents.host import May
from runwright.agents.input import read_json, read_text
from runwright.agents.output import SchemaOutput
from runwright.agents.schema import (
    APPROVALS,
    NAME,
    Approvals,
    LimitsFields,
    approvals_of,
    config_error,
)
from runwright.core.agent import CodeFlow, Limits, Named
from runwright.core.context import Context
from runwright.core.sandbox import LONGEST_S, MIB, Language, SandboxLimits, SandboxOutcome, SandboxSpec
from runwright.core.values import is_object
from runwright.errors import (
    AgentError,
    ConfigError,
    DeadlineExceeded,
    InvalidRequest,
    LimitExceeded,
    OutputInvalid,
    RunError,
)
from runwright.tools.result import encode
from runwright.tools.sandbox.dependencies import check_requirement
from runwright.tools.signature import in_words

KERNEL: Final = 2
"""The lowest isolation for code that came in over the API."""

OF_A_RUN: Final = ("model", "approvals")
"""Fields of the configuration that a run may replace."""


class CodeLimitsFields(LimitsFields):
    """Bounds of one run and of its code."""

    code_timeout_s: float = Field(
        default=30.0, ge=1, le=LONGEST_S, description="Seconds for the code, but for the time in which it waits."
    )
    memory_mb: int = Field(
        default=512, ge=64, le=65536, description="MiB of memory: of Python all, else beyond an idle engine."
    )
    output_kb: int = Field(
        default=1024, ge=1, le=65536, description="KiB that are printed, of one call's arguments, and of the result."
    )
    threads: int = Field(default=32, ge=1, le=4096, description="Threads. Other processes are never begun.")
    calls: int = Field(default=1000, ge=1, le=100_000, description="Whatever the code asks of the host, in all.")

    def to_core(self) -> Limits:
        """The limits as the core knows them."""
        own = set(CodeLimitsFields.model_fields) - set(LimitsFields.model_fields)
        return Limits(**self.model_dump(exclude_unset=True, exclude=own))

    def to_sandbox(self) -> SandboxLimits:
        """The limits as the sandbox knows them."""
        return SandboxLimits(
            wall_s=self.code_timeout_s,
            cpu_s=min(int(LONGEST_S), ceil(self.code_timeout_s) + 1),
            memory=self.memory_mb * MIB,
            output=self.output_kb * 1024,
            threads=self.threads,
        )


class CustomFields(CodeFields):
    """The configuration of a custom agent."""

    language: Language = Field(description="What the code is written in.")
    entry: str = Field(default="main", min_length=1, description="The function that is called.")
    arguments: dict[str, Any] | None = Field(
        default=None, description="A JSON Schema of an object: the arguments of the function. Any object when left out."
    )
    result: dict[str, Any] | None = Field(default=None, description="A JSON Schema that the result must fit.")
    dependencies: tuple[str, ...] = Field(
        default=(), max_length=100, description="Packages with versions, such as `pandas==2.*` or `zod@^4`."
    )
    isolation: Literal[0, 1, 2, 3] | None = Field(
        default=None,
        description="The lowest isolation level at which it is run: 1 when left out, 2 for agents from the API.",
    )
    model: str | None = Field(default=None, description="The model for `context.model`; the default when left out.")
    tools: tuple[str, ...] = Field(default=(), description="Names of the tools that it may call.")
    agents: tuple[str, ...] = Field(default=(), description="Names of the agents that it may run.")
    http: tuple[str, ...] = Field(
        default=(), description="Hosts that it may send requests to, as `name` or `name:port`; `*` for all."
    )
    approvals: Approvals = Field(default={}, description=APPROVALS)
    limits: CodeLimitsFields = Field(default=CodeLimitsFields(), description="Bounds of one run and of its code.")


class Custom(Template):
    """Code of your own, or of others, in Python, JavaScript or TypeScript. It runs in a sandbox."""

    name: ClassVar[str] = "custom"
    version: ClassVar[str] = "1.0.0"
    Config = CustomFields

    def build(self, config: CustomFields, context: BuildContext) -> CodeFlow:
        """Make the code flow. Raises ConfigError with places, also where no sandbox here is strong enough."""
        if found := list(_problems(config, context)):
            raise config_error(found)
        code = read_code(config, context)
        tools = context.tools(config.tools)
        face = _Face(config, _job(config, code, context))
        return CodeFlow(
            function=face.run,
            agents=tuple(Named(name=name, at=f"/agents/{index}") for index, name in enumerate(config.agents)),
            digest=code.digest,
            tools=tools,
            approvals=approvals_of(config.approvals, tools),
            model=config.model,
            limits=config.limits.to_core(),
            read_input=face.read_input,
            write_output=encode,
            input_schema=face.input_schema,
            output_schema=config.result or {"title": "Result", "description": "Any JSON value."},
        )


def _job(config: CustomFields, code: Code, context: BuildContext) -> Job:
    spec = SandboxSpec(
        language=config.language,
        code=code.text,
        limits=config.limits.to_sandbox(),
        min_isolation=_min_isolation(config, context),
    )
    return Job(
        spec=spec,
        entry=config.entry,
        workshop=context.workshop,
        may=May(agents=config.agents, hosts=config.http),
        pinned=code.pinned,
        requirements=config.dependencies,
        calls=config.limits.calls,
    )


def _min_isolation(config: CustomFields, context: BuildContext) -> int:
    if config.isolation is not None:
        return config.isolation
    return KERNEL if context.source == "api" else 1


def _problems(config: CustomFields, context: BuildContext) -> Iterator[tuple[str, str]]:
    yield from _replaced(context)
    if context.source == "api":
        yield from _beyond_api(config, context)
    yield from _unusable(config)
    why_not = context.workshop and context.workshop.sandbox.why_not(config.language, _min_isolation(config, context))
    if why_not:
        yield "/language" if config.isolation is None else "/isolation", why_not


def _unusable(config: CustomFields) -> Iterator[tuple[str, str]]:
    """What can be read, and is not what it should be."""
    for index, each in enumerate(config.dependencies):
        try:
            check_requirement(config.language, each)
        except ConfigError as error:
            yield f"/dependencies/{index}", error.message
    for index, each in enumerate(config.agents):
        if re.fullmatch(NAME, each) is None:
            yield f"/agents/{index}", f"{each!r} is no name of an agent"
    for at, schema in (("/arguments", config.arguments), ("/result", config.result)):
        try:
            SchemaOutput(schema or {})
        except ConfigError as error:
            yield at, error.message
    if config.arguments is not None and config.arguments.get("type", "object") != "object":
        yield "/arguments/type", "the arguments of a function are an object: name each under `properties`"


def _replaced(context: BuildContext) -> Iterator[tuple[str, str]]:
    """What a caller would change for one run: the code of somebody who is trusted stays theirs."""
    if context.own is None:
        return
    given = context.definition.config
    for name in given:
        if name not in OF_A_RUN and given[name] != context.own.get(name):
            yield f"/{name}", f"is said by the definition alone; a run may replace {' and '.join(OF_A_RUN)}"


def _beyond_api(config: CustomFields, context: BuildContext) -> Iterator[tuple[str, str]]:
    """What is not for agents that came in over the API."""
    if config.isolation is not None and config.isolation < KERNEL:
        yield "/isolation", f"code that comes in over the API is run at level {KERNEL} or above"
    limits: Mapping[str, float] = {} if context.workshop is None else context.workshop.api_limits
    for name, most in limits.items():
        if getattr(config.limits, name) > most:
            yield f"/limits/{name}", f"is {most:g} at the most for agents from the API (setting sandbox.api_{name})"
    hosts = may_reach(context)
    for index, host in enumerate(config.http):
        if host not in hosts and "*" not in hosts:
            yield f"/http/{index}", f"agents from the API may not reach {host!r} (setting sandbox.api_hosts)"


class _Face:
    """The code as a function: its arguments and its result, by their schemas."""

    def __init__(self, config: CustomFields, job: Job) -> None:
        self._job = job
        schema = config.arguments
        self.input_schema: dict[str, object] = {"title": "Arguments", "type": "object", **(schema or {})}
        self._arguments = SchemaOutput(self.input_schema)
        self._result = SchemaOutput(config.result or {})
        self._names = _names(self.input_schema)

    def read_input(self, data: bytes) -> dict[str, object]:
        """The arguments of the function: an object, or text for the one that it takes."""
        value = read_json(data)
        if not is_object(value) or ("messages" in value and "messages" not in self._names):
            value = {self._only: value if not isinstance(value, str | dict) else read_text(data)}
        if found := self._arguments.problems(value):
            raise InvalidRequest(f"the arguments do not fit: {in_words(found)}", problems=found)
        return value

    @property
    def _only(self) -> str:
        if len(self._names) > 1:
            raise InvalidRequest(f"send an object with the arguments: {', '.join(self._names)}")
        return self._names[0] if self._names else "input"

    async def run(self, context: Context, inputs: object) -> object:
        """Run the code as a flow. Raises RunError where it gives no result, or one that does not fit."""
        assert is_object(inputs)
        outcome = await run_code(self._job, context, inputs)
        if outcome.result is None:
            raise _failure(outcome)
        return self.check(bytes(outcome.result))

    def check(self, result: bytes) -> object:
        """The result as plain data. Raises OutputInvalid."""
        try:
            value: object = msgspec.json.decode(result)
        except (msgspec.DecodeError, RecursionError) as error:
            raise OutputInvalid(f"the result of the code cannot be read: {error}") from error
        if found := self._result.problems(value):
            raise OutputInvalid(f"the result of the code does not fit its schema: {in_words(found)}")
        return value


def _names(schema: Mapping[str, object]) -> list[str]:
    """The arguments that have to be there, else all that there are."""
    properties, required = schema.get("properties"), schema.get("required")
    if isinstance(required, list) and required:
        return [str(each) for each in required]  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType] - JSON
    return list(properties) if is_object(properties) else []


def _failure(outcome: SandboxOutcome) -> RunError:
    """Why there is no result."""
    error = outcome.error
    message = error.message.removesuffix(".") if error else "it gave no result"
    match outcome.reason:
        case "timeout":
            return DeadlineExceeded(f"{message}; raise limits.code_timeout_s.")
        case "memory":
            return LimitExceeded(f"{message}; raise limits.memory_mb.")
        case "output":
            return LimitExceeded(f"{message}; raise limits.output_kb.")
        case _:
            kind = f"{error.type}: " if error and error.type not in ("error", "killed") else ""
            place = f" ({error.file}, line {error.line})" if error and error.line else ""
            return AgentError(f"The code failed: {kind}{message}{place}")
