"""From views to HTML: the Jinja environment, its filters, and the static files."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from importlib.resources import files
from importlib.resources.abc import Traversable
from shlex import quote
from string import ascii_lowercase

import msgspec
from jinja2 import Environment, PackageLoader, StrictUndefined

from runwright import __version__
from runwright.errors import NotFound, RunwrightError
from runwright.studio import filters
from runwright.studio.page import Ask, Page, quoted

AT_ONCE = 2
"""Pages that are rendered at the same time: they leave threads for everybody else."""

MEDIA = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}


class Renderer:
    """Templates and static files, read once. Its methods render in a thread: views may hold megabytes of text."""

    def __init__(self, navigation: Sequence[Page], *, prefix: str, has_key: bool) -> None:
        self._prefix = prefix
        self._has_key = has_key
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._static = dict(_static_files())
        self.version = _digest(self._static)
        self._environment = Environment(
            loader=PackageLoader("runwright.studio"),
            autoescape=True,
            undefined=StrictUndefined,
            finalize=filters.inert,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._environment.filters.update(filters.FILTERS)
        self._known = {
            "static": self._static_url,
            "version": __version__,
            "navigation": _lettered(navigation),
            "has_key": has_key,
        }

    async def page(self, page: Page, ask: Ask, view: msgspec.Struct) -> bytes:
        """A whole page, or the block of it that htmx asked for."""
        given = {"view": view, "title": page.title, "under": page.under, "curl": self._curl(ask), "part": ask.fragment}
        return await self._rendered(page.template, ask, given)

    async def error(self, ask: Ask, error: RunwrightError) -> bytes:
        """The page of an error; where it goes into a part of a page, what it says alone."""
        part = "main" if ask.is_part else ""
        given = {"error": error, "title": error.code, "under": "", "curl": None, "part": part}
        return await self._rendered("error.html", ask, given)

    def static(self, path: str) -> tuple[bytes, str]:
        """A static file and its media type. Raises NotFound."""
        body = self._static.get(path)
        if body is None:
            raise NotFound(f"There is no file {path!r}.")
        return body, MEDIA[path[path.rindex(".") :]]

    async def _rendered(self, name: str, ask: Ask, given: Mapping[str, object]) -> bytes:
        async with self._turns:
            return await asyncio.to_thread(self._render, name, ask, given)

    def _render(self, name: str, ask: Ask, given: Mapping[str, object]) -> bytes:
        template = self._environment.get_template(name)
        known = {**self._known, **given, "ask": ask, "url": ask.url}
        parts = self._environment.get_template("_parts.html").make_module(known)
        block = template.blocks.get(str(given["part"]))
        context = template.new_context(known | {"parts": parts})
        return "".join((block or template.root_render_func)(context)).encode("utf-8", "replace")

    def _static_url(self, path: str) -> str:
        if path not in self._static:
            raise LookupError(f"a template names the static file {path!r}, which does not exist")
        return f"{self._prefix}/static/{self.version}/{path}"

    def _curl(self, ask: Ask) -> str:
        """The command that gives the page's twin."""
        path = "/index" if ask.path == "/" else quoted(ask.path)
        address = ask.origin + ask.url(f"{path}.json", ask.query).removeprefix(self._prefix)
        key = ' -H "Authorization: Bearer $RUNWRIGHT_API_KEY"' if self._has_key else ""
        return f"curl{key} {quote(address)}"


def _lettered(pages: Sequence[Page]) -> Sequence[tuple[Page, str]]:
    """Each page with the letter that leads to it behind `g`: the first of its name that is free."""
    free = set(ascii_lowercase)
    found: list[tuple[Page, str]] = []
    for page in pages:
        letter = next((each for each in page.nav.lower() if each in free), "")
        free.discard(letter)
        found.append((page, letter))
    return found


def _static_files() -> list[tuple[str, bytes]]:
    folder = files("runwright.studio") / "static"
    return [(name, file.read_bytes()) for name, file in sorted(_below(folder, "")) if name[name.rfind(".") :] in MEDIA]


def _below(folder: Traversable, at: str) -> list[tuple[str, Traversable]]:
    found: list[tuple[str, Traversable]] = []
    for each in folder.iterdir():
        found += _below(each, f"{at}{each.name}/") if each.is_dir() else [(at + each.name, each)]
    return found


def _digest(static: dict[str, bytes]) -> str:
    """One version for all files, so that a module finds those it imports beside it."""
    whole = hashlib.blake2b(digest_size=8)
    for name, body in static.items():
        whole.update(name.encode() + b"\0" + body)
    return whole.hexdigest()
