"""What a page is: a function that gives a view, a template that shows it, and a twin in JSON at `PATH.json`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, cast
from urllib.parse import parse_qs, quote, urlencode

import msgspec
from starlette.requests import Request

from runwright.core.labels import number
from runwright.errors import InvalidRequest, NotFound, TooLarge

if TYPE_CHECKING:
    from runwright.app import App

FORM_LIMIT = 2 * 1024 * 1024
"""Bytes that a form may send."""


class Ask:
    """What a browser asks: the open App, the names in the path, the query and the form."""

    def __init__(self, request: Request, *, prefix: str = "") -> None:
        self._request = request
        self._prefix = prefix

    @property
    def app(self) -> App:
        """The open App behind the server."""
        return cast("App", self._request.app.state.app)

    @property
    def path(self) -> str:
        """The path asked for, without the prefix of a proxy and without `.json`."""
        path: str = self._request.scope["path"]
        return path.removesuffix(".json")

    @property
    def query(self) -> Mapping[str, str]:
        """The last value of each parameter that is not empty."""
        return {name: value for name, value in self._request.query_params.items() if value}

    @property
    def given(self) -> str:
        """The query as it was sent."""
        return self._request.url.query

    @property
    def is_part(self) -> bool:
        """Whether the answer goes into a page that is there already."""
        return self._request.headers.get("hx-request-type") == "partial"

    @property
    def came_from(self) -> str:
        """The page that a form or a part belongs to, as the browser tells it, without the prefix of a proxy."""
        path = "/" + self._request.headers.get("referer", "").partition("://")[2].partition("/")[2]
        return own_path(path.removeprefix(self._prefix), "/")

    @property
    def fragment(self) -> str | None:
        """The block of the template that htmx wants, by the id of the element it goes into."""
        if not self.is_part:
            return None
        return self._request.headers.get("hx-target", "").partition("#")[2].replace("-", "_") or None

    @property
    def origin(self) -> str:
        """Scheme, host and prefix as the browser knows them."""
        scheme = "https" if is_https(self._request) else "http"
        return f"{scheme}://{self._request.url.netloc}{self._prefix}"

    def name(self, key: str) -> str:
        """A name in the path. Raises NotFound for one that no name can have."""
        value: str = self._request.path_params[key]
        if not value or "\0" in value:
            raise NotFound(f"There is no {key} {value!r}.")
        return value

    def number(self, key: str, default: int, *, most: int) -> int:
        """A number of the query between 0 and `most`. Raises InvalidRequest."""
        text = self.query.get(key)
        if text is None:
            return default
        found = number(text, most)
        if found is None:
            detail = f"a whole number from 0 to {most}, not {text[:40]!r}"
            raise InvalidRequest(f"{key!r} is {detail}.", problems=[(f"/{key}", detail)])
        return found

    def url(self, path: str, query: Mapping[str, object] | None = None) -> str:
        """The address of a path of this server, whatever prefix it is served under."""
        given = {name: value for name, value in (query or {}).items() if value not in (None, "")}
        return self._prefix + path + (f"?{urlencode(given, doseq=True)}" if given else "")

    def here(self, **change: object) -> str:
        """The address of this page with some parameters changed; an empty one goes."""
        return self.url(quoted(self.path), {**self.query, **change})

    async def form(self) -> Mapping[str, list[str]]:
        """What a plain form sent. Raises TooLarge, and InvalidRequest for what is no form."""
        body = b""
        async for part in self._request.stream():
            body += part
            if len(body) > FORM_LIMIT:
                raise TooLarge(f"The form is larger than {FORM_LIMIT} bytes.")
        try:
            return parse_qs(body.decode(), keep_blank_values=True, errors="strict", max_num_fields=10_000)
        except ValueError as error:
            raise InvalidRequest("The form cannot be read.", problems=[("", str(error))]) from error


def quoted(path: str) -> str:
    """A path with names of any characters, as it stands in an address."""
    return quote(path, safe="/:@")


def is_https(request: Request) -> bool:
    """Whether the browser's side of the connection is encrypted, which a proxy says for itself."""
    headers = request.headers
    said = headers.get("x-forwarded-proto", "").partition(",")[0].strip()
    return "https" in {request.url.scheme, said, headers.get("origin", "").partition(":")[0]}


def own_path(text: str, default: str) -> str:
    """A path of this server that a form or a link named, else the default: no browser is sent elsewhere."""
    is_own = text.startswith("/") and not text.startswith("//") and "\\" not in text and text.isprintable()
    return text if is_own else default


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """A page. `view` gives what is shown, `template` shows it; `title` names it, `nav` in the navigation.

    `under` is the path of the page in the navigation that it belongs to, where its own path does not say so.
    """

    path: str
    view: Callable[[Ask], Awaitable[msgspec.Struct]]
    template: str
    title: str
    nav: str = ""
    under: str = ""


class Again(msgspec.Struct, frozen=True, kw_only=True):
    """A page in place of the next one: a form as it was typed, and what is wrong with it."""

    page: Page
    view: msgspec.Struct
    status: int = 422


class Action(msgspec.Struct, frozen=True, kw_only=True):
    """Something a form does. `act` says which page comes next, as a URL made by `Ask.url`, or shows the form again."""

    path: str
    act: Callable[[Ask], Awaitable[str | Again]]
