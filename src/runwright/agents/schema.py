"""The fields of a definition, checked: what a file, an API body and `Agent(...)` have in common."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from difflib import get_close_matches
from typing import Annotated, Any, TypeVar, cast, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, WithJsonSchema

from runwright.core.agent import Approval, Definition, Limits, MemoryBlock
from runwright.core.memory import BLOCK_BYTES, Scope
from runwright.core.memory import NAME as MEMORY_NAME
from runwright.core.model import ModelSettings
from runwright.core.policy_reader import guard_schema, read_guard, write_guard
from runwright.core.values import in_short
from runwright.errors import ConfigError
from runwright.tools.signature import in_words, pointed

NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
SEMVER = (
    r"^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)"
    r"(-[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?(\+[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?$"
)
"""The shape of a version (semver.org 2.0.0)."""

OUTSIDE = ("guard",)
"""Fields of a definition beside the template's configuration, which a run may replace with it."""

SHARED = ("model", "instructions", "tools", "approvals", "output", "memory", "settings", "limits")
"""Fields of a definition that are part of the template's configuration."""

Problems = tuple[tuple[str, str], ...]


class Fields(BaseModel):
    """A configuration that refuses fields it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class SettingsFields(Fields):
    """Sampling parameters under their OpenAI names; what is left out is up to the provider."""

    temperature: float | None = Field(
        default=None, ge=0, le=2, description="0 is nearly deterministic, 2 the most varied."
    )
    top_p: float | None = Field(
        default=None, ge=0, le=1, description="Sample from the likeliest tokens that make up this probability."
    )
    max_tokens: int | None = Field(default=None, ge=1, description="The longest answer, in tokens.")
    seed: int | None = Field(default=None, description="The same seed gives the same answer, where the provider can.")
    stop: tuple[str, ...] | None = Field(default=None, description="Texts that end the answer.")
    frequency_penalty: float | None = Field(
        default=None, ge=-2, le=2, description="Above 0, tokens that were used often become less likely."
    )
    presence_penalty: float | None = Field(
        default=None, ge=-2, le=2, description="Above 0, tokens that were used at all become less likely."
    )
    parallel_tool_calls: bool | None = Field(
        default=None, description="Whether the model may ask for several tool calls at once."
    )
    reasoning_effort: str | None = Field(
        default=None, description="How long a reasoning model thinks, for example `low`."
    )
    extra: dict[str, Any] = Field(default={}, description="Parameters of one provider, sent as they are.")

    def to_core(self) -> ModelSettings:
        """The settings as the core knows them."""
        return ModelSettings(**self.model_dump(exclude_unset=True))


def _plain_amount(given: object) -> object:
    """An amount of money as text, also where it was written as a number."""
    is_number = isinstance(given, int | float) and not isinstance(given, bool)
    return f"{Decimal(repr(given)):f}" if is_number else given


Dollars = Annotated[
    str,
    Field(pattern=r"^\d+(\.\d{1,9})?$"),
    BeforeValidator(_plain_amount, json_schema_input_type=str | float),
]
"""US dollars as a decimal number."""


class LimitsFields(Fields):
    """Bounds of one run."""

    time_s: float | None = Field(default=600.0, gt=0, description="Seconds for the whole run.")
    steps: int = Field(default=50, ge=1, description="Model and tool calls of the whole run.")
    tokens: int | None = Field(
        default=None, ge=1, description="Tokens of the whole run with all runs below it, reserved before each call."
    )
    usd: Dollars | None = Field(
        default=None, description="US dollars of the whole run with all runs below it, reserved before each call."
    )
    children: int | None = Field(default=None, ge=1, description="Runs of other agents that one run begins.")
    depth: int | None = Field(
        default=None, ge=1, description="How deep runs may stand below a run: at 1 none of them may begin another."
    )
    model_timeout_s: float = Field(default=120.0, gt=0, description="Seconds for one model call.")
    tool_timeout_s: float = Field(
        default=60.0, gt=0, description="Seconds for one tool call, where the tool sets none."
    )
    output_retries: int = Field(
        default=2, ge=0, description="How often the model may repair an answer that does not fit the output schema."
    )

    def to_core(self) -> Limits:
        """The limits as the core knows them."""
        return Limits(**self.model_dump(exclude_unset=True))


class ApprovalFields(Fields):
    """How a person is asked before a tool is called."""

    expires_s: float | None = Field(
        default=None, gt=0, description="Seconds after which a call that nobody answered for counts as denied."
    )


NO_FIELDS: Mapping[str, object] = {}


def _by_name(given: object) -> object:
    """A list of tools as a mapping, like the one that says how."""
    if isinstance(given, list | tuple):
        return dict.fromkeys(cast("Sequence[object]", given), NO_FIELDS)
    if isinstance(given, Mapping):
        named = cast("Mapping[object, object]", given)
        return {name: NO_FIELDS if value is None else value for name, value in named.items()}
    return given


NamedApprovals = list[str] | dict[str, ApprovalFields | None]
Approvals = Annotated[dict[str, ApprovalFields], BeforeValidator(_by_name, json_schema_input_type=NamedApprovals)]
"""Tools that a person has to allow: their names, or a mapping of them to how."""

APPROVALS = "Tools that a person has to allow before each call: a list of names, or `{name: {expires_s: 3600}}`."


def approvals_of(fields: Mapping[str, ApprovalFields], tools: Iterable[str]) -> dict[str, Approval]:
    """Approvals as the core knows them. Raises ConfigError for a tool that the agent does not have."""
    known = tuple(tools)
    strangers = [name for name in fields if name not in known]
    if strangers:
        raise config_error(
            ("/approvals", f"the agent has no tool {name!r}{did_you_mean(name, known)}") for name in strangers
        )
    return {name: Approval(expires_s=each.expires_s) for name, each in fields.items()}


class BlockFields(Fields):
    """A block of memory that the model is shown."""

    name: str = Field(pattern=f"^{MEMORY_NAME.pattern}$", description="Up to 64 letters, digits, '.', '_' and '-'.")
    description: str = Field(default="", description="What the block is for; the model is told.")
    scope: Scope = Field(
        default="agent", description="`agent`: one for all runs of the agent; `thread`: one for each thread."
    )
    limit: int = Field(default=4000, ge=1, le=BLOCK_BYTES, description="The characters that the model may write there.")

    def to_core(self) -> MemoryBlock:
        """The block as the core knows it."""
        return MemoryBlock(**self.model_dump(exclude_unset=True))


class DefinitionFields(Fields):
    """The definition of an agent, as in `Agent(...)`."""

    name: str = Field(pattern=NAME, description="Up to 64 letters, digits, '.', '_' and '-'.")
    template: str = Field(default="conversation", description="What the agent is made from.")
    version: str = Field(default="1.0.0", pattern=SEMVER, description="A semantic version, such as 1.4.0.")
    description: str = Field(default="", description="What the agent is for.")
    metadata: dict[str, str] = Field(default={}, description="Labels of your own.")
    model: str | None = Field(
        default=None, description="A reference as `provider:name`; the server's default model when left out."
    )
    instructions: str | None = Field(default=None, description="What the model is told before the conversation.")
    tools: list[str] | None = Field(default=None, description="Names of tools.")
    approvals: list[str] | dict[str, Any] | None = Field(default=None, description=APPROVALS)
    output: dict[str, Any] | None = Field(default=None, description="A JSON Schema that the final answer must fit.")
    memory: list[dict[str, Any]] | None = Field(default=None, description="Blocks of memory that the model is shown.")
    settings: dict[str, Any] | None = Field(default=None, description="Sampling parameters.")
    limits: dict[str, Any] | None = Field(default=None, description="Bounds of one run.")
    guard: Annotated[dict[str, Any], WithJsonSchema(guard_schema())] = Field(
        default={}, description="Policies for the agent's calls; what is left out holds as it is set elsewhere."
    )
    config: dict[str, Any] = Field(default={}, description="Further configuration of the template.")


def read_definition(data: object) -> Definition:
    """A definition from plain data. Raises ConfigError whose places are JSON pointers into it."""
    fields = validate(DefinitionFields, data)
    shared = {each: value for each in SHARED if (value := getattr(fields, each)) is not None}
    if twice := sorted(shared.keys() & fields.config.keys()):
        raise config_error((f"/config/{each}", f"{each!r} is given outside of config too") for each in twice)
    return Definition(
        name=fields.name,
        template=fields.template,
        version=fields.version,
        description=fields.description,
        metadata=fields.metadata,
        config=shared | fields.config,
        guard=_guard(fields.guard),
    )


def _guard(data: Mapping[str, object]) -> dict[str, object]:
    """Policies, checked and as they are stored."""
    return write_guard(read_guard(data, at="/guard"))


def write_definition(definition: Definition) -> dict[str, object]:
    """A definition as plain data that `read_definition` reads."""
    config = definition.config
    data: dict[str, object] = {
        "name": definition.name,
        "template": definition.template,
        "version": definition.version,
        "description": definition.description,
        "metadata": definition.metadata,
    }
    data |= {each: config[each] for each in SHARED if each in config}
    if definition.guard:
        data["guard"] = definition.guard
    if rest := {each: value for each, value in config.items() if each not in SHARED}:
        data["config"] = rest
    return data


Model = type[BaseModel]
FieldsT = TypeVar("FieldsT", bound=BaseModel)


def validate(model: type[FieldsT], data: object) -> FieldsT:
    """Data as a pydantic model. Raises ConfigError whose places are JSON pointers."""
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise config_error(_explained(error, model)) from None


def config_error(problems: Iterable[tuple[str, str]]) -> ConfigError:
    """A ConfigError with its problems in its message."""
    found = tuple(problems)
    return ConfigError(in_words(found), problems=found)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A hint at the nearest known name, or at all of them; begins with a semicolon."""
    names = sorted(known)
    if near := get_close_matches(name, names, n=1):
        return f"; did you mean {near[0]!r}?"
    return f"; known: {', '.join(names[:20])}" if names else ""


_PATTERNS = {
    NAME: "a name is up to 64 letters, digits, '.', '_' and '-', and begins with a letter or a digit",
    SEMVER: "a version has three numbers, such as '1.0.0'",
}


def _explained(error: ValidationError, model: Model) -> Iterable[tuple[str, str]]:
    for (place, detail), each in zip(pointed(error), error.errors(), strict=True):
        if each["type"] == "extra_forbidden":
            *parents, name = each["loc"]
            hint = did_you_mean(str(name), _field_names(model, parents))
            yield place, f"there is no field {name!r}{hint}"
        elif each["type"] == "model_type":
            names = ", ".join(_field_names(model, each["loc"]))
            yield place, f"this is an object with some of the fields {names}, not {in_short(each['input'])}"
        elif each["type"] == "string_pattern_mismatch" and (
            told := _PATTERNS.get(each.get("ctx", {}).get("pattern", ""))
        ):
            yield place, f"{told}, not {in_short(each['input'])}"
        else:
            yield place, detail


def _field_names(model: Model, path: Sequence[str | int]) -> Iterable[str]:
    found: Model | None = model
    for part in path:
        field = found.model_fields.get(str(part)) if found else None
        found = _model_in(field.annotation) if field else None
    return found.model_fields if found else ()


def _model_in(annotation: object) -> Model | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for each in get_args(annotation) if (found := _model_in(each))), None)


def dotted(place: str) -> str:
    """A JSON pointer as a path: `/settings/stop/0` is `settings.stop[0]`."""
    path = ""
    for part in place.split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        path += f"[{name}]" if name.isdigit() else f".{name}"
    return path.removeprefix(".")


def in_config(place: str) -> str:
    """The pointer into a definition of a pointer into its configuration."""
    head = place.split("/")[1] if place else ""
    return place if not place or head in (*SHARED, *OUTSIDE) else f"/config{place}"
