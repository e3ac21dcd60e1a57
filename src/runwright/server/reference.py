"""The OpenAPI document: FastAPI's routes, the fast routes and msgspec's schemas in one."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any, TypeGuard

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from starlette.responses import Response

from runwright.server.problems import OpenAIErrorBody, Problem

Document = dict[str, Any]  # an OpenAPI document is JSON of any shape

TEMPLATE = "#/components/schemas/{name}"
MARK = "x-runwright-type"
STYLE = "body{font:15px system-ui;margin:2rem}td{padding:.2rem .8rem;vertical-align:top}"
STREAM = "text/event-stream"


class FastRoute(msgspec.Struct, frozen=True, kw_only=True):
    """What the document says about a raw route."""

    path: str
    method: str
    summary: str
    tag: str
    answers: Document
    body: object = None
    parameters: Sequence[Document] = ()


def documented(answer: object, *, body: object = None, status: int = 200, problem: object = Problem) -> Document:
    """Arguments of a FastAPI route whose body and answer are msgspec types."""
    described: Document = {
        "status_code": status,
        "response_class": Response,
        "responses": {status: content(answer), "4XX": content(problem), "5XX": content(problem)},
    }
    if body is not None:
        described["openapi_extra"] = {"requestBody": {"required": True, "content": content(body)["content"]}}
    return described


def content(kind: object, *, is_streamed: bool = False) -> Document:
    """An answer of a msgspec type; the type itself is put in when the document is built."""
    if kind is None and not is_streamed:
        return {"description": "Nothing."}
    media = "application/problem+json" if kind is Problem else "application/json"
    shapes: Document = {} if kind is None else {media: {"schema": {MARK: kind}}}
    if is_streamed:
        shapes[STREAM] = {"schema": {"type": "string"}}
    summary = (getattr(kind, "__doc__", None) or "The answer.").strip().partition("\n")[0]
    return {"description": summary, "content": shapes}


def parameter(name: str, place: str, description: str, *, kind: str = "string") -> Document:
    """A parameter of a raw route."""
    described = {"name": name, "in": place, "description": description, "schema": {"type": kind}}
    return {**described, "required": place == "path"}


def document(server: FastAPI, fast: Sequence[FastRoute]) -> Document:
    """The OpenAPI document of the server, built once."""
    whole: Document = get_openapi(title=server.title, version=server.version, routes=server.routes)
    paths: Document = whole.setdefault("paths", {})
    for route in fast:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    schemas = _Schemas(paths)
    schemas.fill(paths)
    whole.setdefault("components", {}).setdefault("schemas", {}).update(schemas.components)
    return whole


def _operation(route: FastRoute) -> Document:
    problem = content(OpenAIErrorBody if route.path.startswith("/v1/") else Problem)
    operation: Document = {
        "summary": route.summary,
        "tags": [route.tag],
        "parameters": list(route.parameters),
        "responses": {**route.answers, "4XX": problem, "5XX": problem},
    }
    if route.body is not None:
        operation["requestBody"] = {"required": True, "content": content(route.body)["content"]}
    return operation


class _Schemas:
    """The JSON Schemas of all msgspec types that a tree names."""

    def __init__(self, tree: object) -> None:
        kinds = list(dict.fromkeys(_marked(tree)))
        found, self.components = msgspec.json.schema_components(kinds, ref_template=TEMPLATE)
        self._schemas = dict(zip(kinds, found, strict=True))

    def fill(self, tree: object) -> None:
        """Put the schemas in place of the types."""
        for child in _children(tree):
            if _is_object(child) and MARK in child:
                child.update(self._schemas[child.pop(MARK)])
            self.fill(child)


def _marked(tree: object) -> list[object]:
    own = [tree[MARK]] if _is_object(tree) and MARK in tree else []
    return own + [kind for child in _children(tree) for kind in _marked(child)]


def _children(tree: object) -> list[object]:
    if _is_object(tree):
        return list(tree.values())
    return tree if _is_list(tree) else []


def _is_object(value: object) -> TypeGuard[dict[str, object]]:
    return isinstance(value, dict)


def _is_list(value: object) -> TypeGuard[list[object]]:
    return isinstance(value, list)


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
