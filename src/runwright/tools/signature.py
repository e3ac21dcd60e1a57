"""What a function takes: the JSON Schema of its parameters, and the check of arguments against it."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import msgspec
from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model
from pydantic.errors import PydanticSchemaGenerationError, PydanticUserError
from pydantic.fields import FieldInfo
from pydantic.json_schema import GenerateJsonSchema

from runwright.core.context import Context
from runwright.core.values import in_short, is_list, is_object
from runwright.errors import ConfigError, InvalidRequest
from runwright.tools.docstring import Doc, read_docstring

_FORBIDDEN = {
    inspect.Parameter.VAR_POSITIONAL: "'*{0}' has no place in JSON arguments: take a list",
    inspect.Parameter.VAR_KEYWORD: "'**{0}' has no names for a schema: name each parameter",
    inspect.Parameter.POSITIONAL_ONLY: "{0!r} is positional-only: remove the '/'",
}

# Models write nothing, or null, when a tool takes no arguments.
_NOTHING = ("", "null", b"", b"null")


class _Arguments(BaseModel):
    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=False)


class _QuietSchema(GenerateJsonSchema):
    """Leaves out titles, which repeat the names and cost tokens, and defaults that are no JSON."""

    ignored_warning_kinds = {"skipped-choice", "non-serializable-default"}  # noqa: RUF012 - pydantic's attribute

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ANN401 - pydantic's union of its schemas
        """No titles."""
        return False


class Signature:
    """The parameters of a function as a model fills them in.

    A parameter annotated with `Context` is not part of the schema; `context` is its name.
    Raises ConfigError when the type hints cannot be read or have no JSON Schema.
    """

    __slots__ = ("_fields", "_model", "context", "doc", "parameters")

    def __init__(self, function: Callable[..., Any], *, name: str) -> None:
        self.doc: Doc = read_docstring(inspect.getdoc(function))
        hints = read_hints(function, name=name)
        taken = dict(inspect.signature(function).parameters)
        self.context = _take_context(taken, hints)
        self._fields = {f"p{index}": each for index, each in enumerate(taken)}
        self._model = self._build_model(name, taken, hints)
        self.parameters: dict[str, object] = self._model.model_json_schema(schema_generator=_QuietSchema)
        self.parameters.pop("title", None)
        self.parameters.pop("description", None)
        self.parameters.setdefault("properties", {})

    def check(self, arguments: str | bytes) -> dict[str, object]:
        """Parse and validate JSON arguments. Raises InvalidRequest with a problem for each place."""
        try:
            filled = self._model.model_validate_json("{}" if arguments in _NOTHING else arguments)
        except ValidationError as error:
            problems = pointed(error)
            lines = "; ".join(f"{place or '/'}: {detail}" for place, detail in problems)
            raise InvalidRequest(f"the arguments do not fit: {lines}. {self._expected()}", problems=problems) from None
        fields = self._fields
        return {fields[each]: getattr(filled, each) for each in filled.model_fields_set}

    def _build_model(
        self, name: str, taken: Mapping[str, inspect.Parameter], hints: Mapping[str, Any]
    ) -> type[_Arguments]:
        # Field names are ours and the parameter's name is the alias, so that parameters may be
        # called `json`, `copy` or `_id` without meeting pydantic's own attributes.
        fields: dict[str, Any] = {
            field: (hints.get(each, Any), self._field(taken[each], hints.get(each, Any), name))
            for field, each in self._fields.items()
        }
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)
                model = create_model(name, __base__=_Arguments, **fields)
                model.model_json_schema(schema_generator=_QuietSchema)
        except (PydanticSchemaGenerationError, PydanticUserError) as error:
            raise ConfigError(
                f"the parameters of {name!r} have no JSON Schema: {str(error).splitlines()[0]}"
            ) from error
        return model

    def _field(self, parameter: inspect.Parameter, hint: object, name: str) -> FieldInfo:
        if refusal := _FORBIDDEN.get(parameter.kind):
            raise ConfigError(f"{name!r} cannot be offered: {refusal.format(parameter.name)}")
        options: dict[str, Any] = {"alias": parameter.name}
        described = self.doc.parameters.get(parameter.name)
        if described and not _has_description(hint):
            options["description"] = described
        if parameter.default is inspect.Parameter.empty:
            return Field(**options)
        return Field(default=parameter.default, **options)

    def _expected(self) -> str:
        properties = self.parameters["properties"]
        if not is_object(properties) or not properties:
            return "It takes no arguments: send {}"
        required = self.parameters.get("required", ())
        assert isinstance(required, Sequence)
        shown = ", ".join(
            f"{each} ({_type_name(schema)}{', required' if each in required else ''})"
            for each, schema in properties.items()
        )
        return f"Allowed: {shown}"


def pointed(error: ValidationError) -> tuple[tuple[str, str], ...]:
    """The problems of a validation error as pairs of RFC 6901 pointer and detail."""
    return tuple(
        (pointer(each["loc"]), _detail(each["type"], each["msg"], each["input"]))
        for each in error.errors(include_url=False, include_context=False)
    )


def in_words(problems: Iterable[tuple[str, str]]) -> str:
    """Problems as one line of text."""
    return "; ".join(f"{place}: {detail}" if place else detail for place, detail in problems)


def pointer(path: Sequence[str | int]) -> str:
    """An RFC 6901 pointer; the empty string is the whole document."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)


def read_hints(function: Callable[..., Any], *, name: str) -> dict[str, Any]:
    """The type hints of a function or callable object. Raises ConfigError when a name is unknown."""
    target = function if inspect.isroutine(function) else type(function).__call__
    try:
        return get_type_hints(inspect.unwrap(target), include_extras=True)
    except NameError as error:
        raise ConfigError(
            f"the type hints of {name!r} cannot be read: {error}; import it at the top of the module, "
            "not under TYPE_CHECKING"
        ) from error


def is_context(hint: object) -> bool:
    """Whether an annotation asks for the context: `Context`, or `Context | None`."""
    if get_origin(hint) is Annotated:
        return is_context(get_args(hint)[0])
    return hint is Context or any(each is Context for each in get_args(hint))


def _take_context(taken: dict[str, inspect.Parameter], hints: Mapping[str, Any]) -> str | None:
    for each in taken:
        if is_context(hints.get(each)):
            del taken[each]
            return each
    return None


def _has_description(hint: object) -> bool:
    return any(isinstance(each, FieldInfo) and each.description for each in getattr(hint, "__metadata__", ()))


def _detail(kind: str, message: str, given: object) -> str:
    match kind:
        case "missing":
            return "Field required"
        case "extra_forbidden":
            return "There is no such field"
        case "value_error" | "assertion_error":
            # What a validator raised: in its own words, without pydantic's "Value error, ".
            return message.partition(", ")[2]
        case "json_invalid":
            return message
        case "dict_type":
            return f"this is an object, not {in_short(given)}"
        case _:
            return f"{message}, not {in_short(given)}"


def _type_name(schema: object) -> str:
    if not is_object(schema):
        return "any"
    if "enum" in schema:
        return "one of " + msgspec.json.encode(schema["enum"]).decode()
    if is_list(options := schema.get("anyOf")):
        return " or ".join(_type_name(each) for each in options)
    if ref := schema.get("$ref"):
        return str(ref).rsplit("/", 1)[-1]
    return str(schema.get("type", "any"))
