"""The body of a chat completions request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import msgspec

from runwright.core.message import SystemMessage, said
from runwright.core.model import ModelRequest, ModelSettings, OutputSpec
from runwright.models.providers import ProviderSpec

_encoder = msgspec.json.Encoder()
_SETTING_NAMES = tuple(name for name in ModelSettings.__struct_fields__ if name != "extra")
_DEFAULT_SETTINGS = ModelSettings()


def encode_body(request: ModelRequest, spec: ProviderSpec, model: str) -> bytes:
    """The JSON body; messages and tools go out as the bytes they already are."""
    body: dict[str, object] = {"model": model, "messages": _messages(request, spec)}
    if request.tools_raw:
        body["tools"] = msgspec.Raw(request.tools_raw)
        if request.tool_choice:
            body["tool_choice"] = _tool_choice(request.tool_choice)
    if request.output is not None:
        body["response_format"] = _response_format(request.output, spec)
    if request.is_streamed:
        body["stream"] = True
        body["stream_options"] = {"include_usage": True}
    if request.settings != _DEFAULT_SETTINGS:
        _add_settings(body, request.settings)
    for name in spec.drops:
        body.pop(name, None)
    for name, theirs in spec.renames.items():
        if name in body:
            body[theirs] = body.pop(name)
    return _encoder.encode(body)


def _messages(request: ModelRequest, spec: ProviderSpec) -> msgspec.Raw:
    raws = [entry.raw for entry in request.messages]
    if request.output is not None and not spec.has_json_schema:
        schema = _encoder.encode(request.output.schema).decode()
        hint = f"Answer with one JSON object that fits this JSON Schema: {schema}"
        raws.append(said(SystemMessage(content=hint)).raw)
    return msgspec.Raw(b"[" + b",".join(raws) + b"]")


def _add_settings(body: dict[str, object], settings: ModelSettings) -> None:
    for name in _SETTING_NAMES:
        value = getattr(settings, name)
        if value is None or (name == "parallel_tool_calls" and "tools" not in body):
            continue
        body[name] = value
    body.update(settings.extra)


def _tool_choice(choice: str) -> object:
    if choice in ("auto", "none", "required"):
        return choice
    return {"type": "function", "function": {"name": choice}}


def _response_format(output: OutputSpec, spec: ProviderSpec) -> object:
    if not spec.has_json_schema:
        return {"type": "json_object"}
    named = {"name": output.name, "schema": output.schema, "strict": is_strict(output.schema)}
    return {"type": "json_schema", "json_schema": named}


def is_strict(schema: object) -> bool:
    """Whether every object in a JSON Schema is closed and requires all its properties, as strict mode demands."""
    if isinstance(schema, list):
        return all(is_strict(item) for item in cast("list[object]", schema))
    if not isinstance(schema, Mapping):
        return True
    node = cast("Mapping[str, Any]", schema)
    properties = node.get("properties")
    if node.get("type") == "object" or isinstance(properties, Mapping):
        names = set(cast("Mapping[str, Any]", properties or {}))
        if node.get("additionalProperties") is not False or set(node.get("required", ())) != names:
            return False
    return all(is_strict(value) for value in node.values())
