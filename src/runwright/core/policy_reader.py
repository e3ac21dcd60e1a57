"""Guards from plain data: what definitions, callers and settings say, checked, with a place for each mistake."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from difflib import get_close_matches
from typing import Any, Literal, TypeVar, cast, get_args, get_origin

import msgspec

from runwright.core.policy import Cache, Fallback, Guard, GuardSettings, Policy
from runwright.errors import ConfigError

T = TypeVar("T")

_SAID = re.compile(r"Expected `(?P<kinds>[^`]+)`(?: (?P<sign>>=|<=|>|<) (?P<bound>[\d.]+))?")
ONLY_AGENTS = "similar questions are answered for an agent alone: set it in the agent's guard"
_KINDS = {
    "int": "an integer",
    "float": "a number",
    "str": "text",
    "bool": "true or false",
    "object": "a table of figures",
    "array": "a list",
}
_SIGNS = {">=": "of at least", "<=": "of at most", ">": "above", "<": "below"}


def read_guard(data: object, *, at: str = "", is_text: bool = False) -> Guard:
    """A guard from plain data. Raises ConfigError with every mistake; places are JSON pointers that begin with `at`.

    `is_text` takes figures that are written as text, as variables are.
    """
    data = _amounts(data)
    problems = list(_wrong(Guard, data, at, is_strict=not is_text))
    if not problems:
        try:
            return msgspec.convert(data, Guard, strict=not is_text)
        except msgspec.ValidationError as error:
            # Figures that are right each for themselves, and not together.
            said, _, path = str(error).partition(" - at `$")
            problems = [(at + path.rstrip("`").replace(".", "/").replace("[", "/").replace("]", ""), said)]
    raise ConfigError("; ".join(f"{place}: {detail}" for place, detail in problems), problems=problems)


def placed(settings: GuardSettings) -> dict[str, Guard | None]:
    """The guards of an operator by their places."""
    named = {f"/guard/models/{name}": each for name, each in settings.models.items()}
    return {"/guard": settings.app, **named, **{f"/guard/tools/{name}": each for name, each in settings.tools.items()}}


def strangers(guards: Mapping[str, Guard | None], unknown: Callable[[str], str]) -> list[tuple[str, str]]:
    """Where guards, by their places, fall back on what is no model: `unknown` says why a reference can name none."""
    return [
        (f"{at}/fallback/models/{index}", detail)
        for at, guard in guards.items()
        if guard is not None and isinstance(guard.fallback, Fallback)
        for index, ref in enumerate(guard.fallback.models)
        if (detail := unknown(ref))
    ]


def has_similar(guard: Guard | None) -> bool:
    """Whether a guard answers similar questions. Only that of an agent may, because evidence is about one."""
    cache = None if guard is None else guard.cache
    return isinstance(cache, Cache) and cache.similar is not None


def refuse_similar(guard: Guard | None, at: str) -> None:
    """Refuse to answer similar questions where that is not an agent's. Raises ConfigError."""
    if has_similar(guard):
        raise ConfigError(f"{at}/cache/similar: {ONLY_AGENTS}", problems=[(f"{at}/cache/similar", ONLY_AGENTS)])


def write_guard(guard: Guard) -> dict[str, object]:
    """A guard as plain data that `read_guard` reads."""
    return msgspec.json.decode(msgspec.json.encode(guard))


def read_settings(data: object) -> GuardSettings:
    """What an operator sets: policies, and under `models` and `tools` those of single ones. Raises ConfigError."""
    if not isinstance(data, Mapping):
        raise ConfigError(f"this is a table of policies, not {data!r}", problems=[("", f"not {data!r}")])
    given = dict(cast("Mapping[str, object]", data))
    problems: list[tuple[str, str]] = []
    parts = {part: _named(part, given.pop(part, {}), problems) for part in ("models", "tools")}
    app = _collected(given, "", problems)
    if has_similar(app):
        problems.append(("/cache/similar", ONLY_AGENTS))
    if problems:
        raise ConfigError("; ".join(f"{place}: {detail}" for place, detail in problems), problems=problems)
    return GuardSettings(app=app if given else None, models=parts["models"], tools=parts["tools"])


def _named(part: str, data: object, problems: list[tuple[str, str]]) -> dict[str, Guard]:
    if not isinstance(data, Mapping):
        problems.append((f"/{part}", f"this is a table of names, not {data!r}"))
        return {}
    guards: dict[str, Guard] = {}
    for name, each in cast("Mapping[str, object]", data).items():
        place = f"/{part}/{name}"
        guards[name] = _collected(each, place, problems)
        if part == "models" and ":" not in name:
            problems.append((place, "a model is named as 'provider:name', all of a provider as 'provider:*'"))
        if part == "tools" and guards[name].fallback:
            problems.append((f"{place}/fallback", "only models can stand in for each other"))
        if has_similar(guards[name]):
            problems.append((f"{place}/cache/similar", ONLY_AGENTS))
    return guards


def _collected(data: object, at: str, problems: list[tuple[str, str]]) -> Guard:
    try:
        return read_guard(data, at=at, is_text=True)
    except ConfigError as error:
        problems.extend(error.problems)
        return Guard()


def _amounts(data: object) -> object:
    """Amounts of money as text, also where they were written as numbers."""
    if isinstance(data, list | tuple):
        return [_amounts(each) for each in cast("Sequence[object]", data)]
    if not isinstance(data, Mapping):
        return data
    found: dict[str, object] = {}
    for name, value in cast("Mapping[str, object]", data).items():
        is_number = name.startswith("usd") and isinstance(value, int | float) and not isinstance(value, bool)
        # What a plugin is told is its own.
        found[name] = value if name == "config" else f"{Decimal(repr(value)):f}" if is_number else _amounts(value)
    return found


def guard_schema() -> dict[str, Any]:
    """The JSON Schema of a guard, without references."""
    (schema,), parts = msgspec.json.schema_components([Guard])
    return cast("dict[str, Any]", _inlined(schema, parts))


def find_policy(kind: Any) -> type[Policy] | None:  # noqa: ANN401 - any type form
    """The policy that a type form names, if it names one."""
    if isinstance(kind, type):
        return kind if issubclass(kind, Policy) else None
    return next((found for each in get_args(kind) if (found := find_policy(each)) is not None), None)


def _wrong(kind: type[Policy], data: object, at: str, *, is_strict: bool) -> Iterator[tuple[str, str]]:
    """What is wrong with the data of a policy."""
    if not isinstance(data, Mapping):
        yield at, f"this is a table of {'policies' if kind is Guard else 'figures'}, not {data!r}"
        return
    given = cast("Mapping[str, object]", data)
    fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    for name, value in given.items():
        place = f"{at}/{name}"
        if name not in fields:
            yield place, f"there is no {_noun(kind)} {name!r}{_hint(name, fields)}"
        else:
            yield from _wrong_value(fields[name].type, value, place, is_strict=is_strict)
    for name, field in fields.items():
        if field.required and name not in given:
            yield f"{at}/{name}", f"{kind.__name__} needs {name!r}"


def _wrong_value(kind: Any, value: object, at: str, *, is_strict: bool) -> Iterator[tuple[str, str]]:  # noqa: ANN401 - any type form
    inner = find_policy(kind)
    if inner is Fallback and value in (True, "true"):
        yield at, "a fallback names its models: fallback={'models': ['provider:name']}"
        return
    if inner is not None and isinstance(value, Mapping):
        yield from _wrong(inner, cast("object", value), at, is_strict=is_strict)
        return
    if inner is not None and isinstance(value, list | tuple):
        for index, each in enumerate(cast("Sequence[object]", value)):
            yield from _wrong(inner, each, f"{at}/{index}", is_strict=is_strict)
        return
    try:
        msgspec.convert(value, kind, strict=is_strict)
    except msgspec.ValidationError as error:
        yield at, f"{_right(kind, at, str(error))}, not {value!r}"


def _right(kind: Any, at: str, said: str) -> str:  # noqa: ANN401 - any type form
    """What would be right, in words."""
    if at.rpartition("/")[2].startswith("usd"):
        return "this is an amount of USD, such as '0.05'"
    if options := _options(kind):
        return f"this is one of {', '.join(options)}"
    found = _SAID.match(said)
    if found is None:
        return said
    known = [_KINDS[each] for each in found["kinds"].split(" | ") if each in _KINDS]
    bound = f" {_SIGNS[found['sign']]} {float(found['bound']):g}" if found["sign"] else ""
    return f"this is {' or '.join(known)}{bound}"


def _options(kind: Any) -> tuple[str, ...]:  # noqa: ANN401 - any type form
    if get_origin(kind) is Literal:
        return get_args(kind)
    metas = (each for each in getattr(kind, "__metadata__", ()) if isinstance(each, msgspec.Meta))
    return next((tuple(each.extra_json_schema.get("enum", ())) for each in metas if each.extra_json_schema), ())


def _noun(kind: type[Policy]) -> str:
    return "policy" if kind is Guard else "figure"


def _hint(name: str, known: Mapping[str, object]) -> str:
    if near := get_close_matches(name, known, n=1):
        return f"; did you mean {near[0]!r}?"
    return f"; known: {', '.join(known)}"


def _inlined(value: object, parts: Mapping[str, Any]) -> object:
    if isinstance(value, Mapping):
        found = cast("Mapping[str, object]", value)
        if isinstance(reference := found.get("$ref"), str):
            return _inlined(parts[reference.rpartition("/")[2]], parts)
        return {name: _inlined(each, parts) for name, each in found.items()}
    if isinstance(value, list | tuple):
        return [_inlined(each, parts) for each in cast("Sequence[object]", value)]
    return value
