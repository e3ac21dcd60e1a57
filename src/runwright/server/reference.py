"""The OpenAPI document: FastAPI's routes, the fast routes and msgspec's schemas in one."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, cast, get_args, get_origin

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from starlette.responses import Response

from runwright.server.problems import ProblemBody

Document = dict[str, Any]  # an OpenAPI document is JSON of any shape

TEMPLATE = "#/components/schemas/{name}"
SHAPE = "x-shape"
"""Where an operation keeps the number of its shape until it is described."""
STYLE = "body{font:15px system-ui;margin:2rem}td{padding:.2rem .8rem;vertical-align:top}"
STREAM = "text/event-stream"


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """The msgspec types of an operation: its answers by status, its body, its problems."""

    answers: Mapping[str, object]
    body: object = None
    problem: object = ProblemBody
    is_streamed: bool = False


class FastRoute(Shape, frozen=True, kw_only=True):
    """What the document says about a raw route."""

    path: str
    method: str
    summary: str
    tag: str
    parameters: Sequence[Document] = ()


_shapes: list[Shape] = []
"""The shapes of FastAPI's routes. They are described when somebody reads the document, because that takes a while."""


def documented(answer: object, *, body: object = None, status: int = 200, problem: object = ProblemBody) -> Document:
    """Arguments of a FastAPI route whose body and answer are msgspec types."""
    _shapes.append(Shape(answers={str(status): answer}, body=body, problem=problem))
    return {"status_code": status, "response_class": Response, "openapi_extra": {SHAPE: len(_shapes) - 1}}


def _content(kind: object, *, is_streamed: bool = False) -> Document:
    """An answer of a msgspec type, which may also come as a stream; None is no type."""
    shapes: Document = {}
    if kind is not None:
        media = "application/problem+json" if kind is ProblemBody else "application/json"
        shapes[media] = {"schema": _reference(kind)}
    if is_streamed:
        shapes[STREAM] = {"schema": {"type": "string"}}
    summary = (getattr(kind, "__doc__", None) or "").strip().partition("\n")[0]
    described: Document = {"description": "Nothing." if kind is None else summary}
    return {**described, "content": shapes} if shapes else described


def _reference(kind: object) -> Document:
    (schema,), _ = msgspec.json.schema_components([_shown(kind)], schema_hook=_anything, ref_template=TEMPLATE)
    return schema


def _components(*kinds: object) -> Document:
    """The schemas that types refer to."""
    shown = [_shown(kind) for kind in kinds if kind is not None]
    return msgspec.json.schema_components(shown, schema_hook=_anything, ref_template=TEMPLATE)[1]


@cache
def _shown(kind: Any) -> Any:  # noqa: ANN401 - a type, which msgspec takes as it is
    """A type as msgspec can describe it: raw JSON as a default is no value it can show."""
    inside = get_args(kind)
    if inside:
        page: Any = get_origin(kind)
        return page[_shown(inside[0])]
    is_struct = isinstance(kind, type) and issubclass(cast("type[object]", kind), msgspec.Struct)
    return _shown_struct(kind) if is_struct else kind


def _shown_struct(kind: type[msgspec.Struct]) -> type[object]:
    fields = msgspec.structs.fields(kind)
    if not any(isinstance(field.default, msgspec.Raw) for field in fields):
        return kind
    shown = [(field.name, field.type, _default(field)) for field in sorted(fields, key=lambda each: not each.required)]
    return msgspec.defstruct(kind.__name__, shown, kw_only=True, namespace={"__doc__": kind.__doc__})


def _anything(kind: type) -> Document:
    """The schema of `object`."""
    if kind is not object:
        raise NotImplementedError
    return {"description": "Any JSON value."}


def _default(field: msgspec.structs.FieldInfo) -> object:
    if isinstance(field.default, msgspec.Raw):
        return msgspec.field(default_factory=lambda: None)
    if field.default is msgspec.NODEFAULT and field.default_factory is not msgspec.NODEFAULT:
        return msgspec.field(default_factory=field.default_factory)
    return field.default


def parameter(name: str, place: str, description: str, *, kind: str = "string") -> Document:
    """A parameter of a raw route."""
    described = {"name": name, "in": place, "description": description, "schema": {"type": kind}}
    return {**described, "required": place == "path"}


def document(server: FastAPI, fast: Sequence[FastRoute]) -> Document:
    """The OpenAPI document of the server."""
    whole: Document = get_openapi(title=server.title, version=server.version, routes=server.routes)
    paths: Document = whole.setdefault("paths", {})
    schemas: Document = whole.setdefault("components", {}).setdefault("schemas", {})
    operations: list[Document] = [operation for item in paths.values() for operation in item.values()]
    for operation in operations:
        if SHAPE in operation:
            shape = _shapes[int(operation.pop(SHAPE))]
            schemas.update(_describe(operation, shape))
    for route in fast:
        operation = {"summary": route.summary, "tags": [route.tag], "parameters": list(route.parameters)}
        schemas.update(_describe(operation, route))
        paths.setdefault(route.path, {})[route.method.lower()] = operation
    return whole


def _describe(operation: Document, shape: Shape) -> Document:
    """Add what goes in and out of an operation; the schemas that it refers to."""
    answers = {status: _content(kind, is_streamed=shape.is_streamed) for status, kind in shape.answers.items()}
    operation["responses"] = {**answers, "4XX": _content(shape.problem), "5XX": _content(shape.problem)}
    if shape.body is not None:
        operation["requestBody"] = {"required": True, "content": _content(shape.body)["content"]}
    return _components(*shape.answers.values(), shape.body, shape.problem)


def page(document: Document) -> str:
    """The document as a plain page: every endpoint in a line. No script, nothing from elsewhere."""
    rows: list[str] = []
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            cells = (method.upper(), path, operation.get("summary", ""), operation.get("description", ""))
            rows.append("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells) + "</tr>")
    title = html.escape(document["info"]["title"])
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title><style>{STYLE}</style>'
        f'<h1>{title}</h1><p>Everything with its schemas: <a href="/openapi.json">openapi.json</a></p>'
        f"<table>{''.join(rows)}</table></html>"
    )
