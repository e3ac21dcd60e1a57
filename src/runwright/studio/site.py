"""The studio as routes of the server: pages, their twins, actions, and the files they need."""

from __future__ import annotations

import asyncio
import gzip
from typing import TYPE_CHECKING

import msgspec
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from runwright.errors import RunwrightError
from runwright.studio.page import Action, Ask, Page
from runwright.studio.pages import ACTIONS, PAGES

if TYPE_CHECKING:
    from runwright.studio.render import Renderer

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cache-control": "no-store",
    "vary": "accept-encoding, hx-request-type",
}
FOR_EVER = {
    "cache-control": "public, max-age=31536000, immutable",
    "x-content-type-options": "nosniff",
    "vary": "accept-encoding",
}
STATIC = "/static/"
WORTH_PACKING = 1024
"""Bytes from which an answer is sent compressed."""


class Studio:
    """Pages of the server, under the prefix that a proxy serves it at."""

    def __init__(self, *, prefix: str = "", has_key: bool = False) -> None:
        self._prefix = prefix
        self._has_key = has_key
        self._opening = asyncio.Lock()
        self._opened: Renderer | None = None

    def routes(self) -> list[Route]:
        """What a server adds to its own routes. Twins come first: a name in a path could end in `.json`."""
        twins = [Route(_twin(page.path), self._twin(page), methods=["GET"]) for page in PAGES]
        pages = [Route(page.path, self._page(page), methods=["GET"]) for page in PAGES]
        actions = [Route(action.path, self._action(action), methods=["POST"]) for action in ACTIONS]
        static = Route(STATIC + "{version}/{path:path}", self._static, methods=["GET"])
        return [*twins, *pages, *actions, static]

    async def error(self, request: Request, error: RunwrightError) -> Response:
        """The page of an error."""
        ask = Ask(request, prefix=self._prefix)
        renderer = await self._open()
        return await _answer(request, await renderer.error(ask, error), status=error.status)

    async def show(self, request: Request, page: Page, view: msgspec.Struct, *, status: int = 200) -> Response:
        """A page with a view that is there already."""
        renderer = await self._open()
        body = await renderer.page(page, Ask(request, prefix=self._prefix), view)
        return await _answer(request, body, status=status)

    def _page(self, page: Page):  # noqa: ANN202 - an endpoint of Starlette
        async def endpoint(request: Request) -> Response:
            ask = Ask(request, prefix=self._prefix)
            return await self.show(request, page, await page.view(ask))

        return endpoint

    def _twin(self, page: Page):  # noqa: ANN202 - an endpoint of Starlette
        async def endpoint(request: Request) -> Response:
            view = await page.view(Ask(request, prefix=self._prefix))
            body = await asyncio.to_thread(msgspec.json.encode, view)
            return await _answer(request, body, media="application/json")

        return endpoint

    def _action(self, action: Action):  # noqa: ANN202 - an endpoint of Starlette
        async def endpoint(request: Request) -> Response:
            ask = Ask(request, prefix=self._prefix)
            follows = await action.act(ask)
            if isinstance(follows, str):
                return RedirectResponse(follows, status_code=303)
            return await self.show(request, follows.page, follows.view, status=follows.status)

        return endpoint

    async def _static(self, request: Request) -> Response:
        renderer = await self._open()
        body, media = renderer.static(request.path_params["path"])
        is_ours = request.path_params["version"] == renderer.version
        headers = FOR_EVER if is_ours else {**FOR_EVER, "cache-control": "no-store"}
        return await _answer(request, body, media=media, headers=headers)

    async def _open(self) -> Renderer:
        """Templates and what renders them, loaded by the first browser and not at every start."""
        async with self._opening:
            if self._opened is None:
                self._opened = await asyncio.to_thread(self._load)
        return self._opened

    def _load(self) -> Renderer:
        from runwright.studio.render import Renderer  # noqa: PLC0415 - Jinja and Markdown: no start waits for them

        named = [page for page in PAGES if page.nav]
        return Renderer(named, prefix=self._prefix, has_key=self._has_key)


def _twin(path: str) -> str:
    return "/index.json" if path == "/" else f"{path}.json"


async def _answer(
    request: Request,
    body: bytes,
    *,
    status: int = 200,
    media: str = "text/html; charset=utf-8",
    headers: dict[str, str] = HEADERS,
) -> Response:
    own = dict(headers)
    if len(body) >= WORTH_PACKING and "gzip" in request.headers.get("accept-encoding", ""):
        body = await asyncio.to_thread(gzip.compress, body, 6)
        own["content-encoding"] = "gzip"
    return Response(body, status_code=status, media_type=media, headers=own)
