"""The login of browsers: the form for the key, the link that is good once, and the way out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import quote

import msgspec
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from runwright.server.sessions import LIFE_S, Sessions
from runwright.studio import Studio
from runwright.studio.page import Ask, Page, is_https, own_path, quoted

PATH = "/login"
HOME = "/"


class LoginView(msgspec.Struct, frozen=True, kw_only=True):
    """The form for the key: where it leads, the token of a link, and what was wrong."""

    next: str = HOME
    token: str = ""
    problem: str = ""


class Login:
    """The pages of the login. To look at them does nothing: a link logs in when its button is pressed."""

    def __init__(self, sessions: Sessions, studio: Studio, *, prefix: str) -> None:
        self._sessions = sessions
        self._studio = studio
        self._prefix = prefix

    def routes(self) -> list[Route]:
        """What a server with a key adds to its routes."""
        return [
            Route(PATH, self._form, methods=["GET"]),
            Route(PATH, self._login, methods=["POST"]),
            Route("/logout", self._logout, methods=["POST"]),
        ]

    async def _form(self, request: Request) -> Response:
        query = request.query_params
        view = LoginView(next=own_path(query.get("next", ""), HOME), token=query.get("once", ""))
        return await self._studio.show(request, _PAGE, view)

    async def _login(self, request: Request) -> Response:
        pairs = await Ask(request).form()
        follows = own_path(_first(pairs, "next"), HOME)
        token, key = _first(pairs, "once"), _first(pairs, "key").strip()
        if token and self._sessions.redeem(token):
            return self._enter(request, follows)
        if key and self._sessions.is_key(key.encode("utf-8", "replace")):
            return self._enter(request, follows)
        if not token and not key:
            return await self._studio.show(request, _PAGE, LoginView(next=follows, problem="Type the key."), status=422)
        await self._sessions.refuse()
        problem = "This is not the key." if key else "This link was used, or is too old: log in with the key."
        return await self._studio.show(request, _PAGE, LoginView(next=follows, problem=problem), status=401)

    def _enter(self, request: Request, follows: str) -> Response:
        answer = RedirectResponse(self._prefix + follows, status_code=303)
        answer.set_cookie(
            self._sessions.cookie,
            self._sessions.begin(),
            max_age=LIFE_S,
            path=self._prefix or "/",
            secure=is_https(request),
            httponly=True,
            samesite="lax",
        )
        return answer

    async def _logout(self, request: Request) -> Response:
        answer = RedirectResponse(self._prefix + PATH, status_code=303)
        answer.delete_cookie(
            self._sessions.cookie,
            path=self._prefix or "/",
            secure=is_https(request),
            httponly=True,
            samesite="lax",
        )
        return answer


def login_url(prefix: str, path: str, query: bytes) -> str:
    """Where a browser without a session is sent, to come back to the page it asked for."""
    asked = quoted(path) + (f"?{query.decode('latin-1')}" if query else "")
    return f"{prefix}{PATH}?next={quote(asked, safe='/')}"


def _first(pairs: Mapping[str, Sequence[str]], name: str) -> str:
    return pairs.get(name, [""])[0]


async def _unseen(_: Ask) -> LoginView:
    return LoginView()


_PAGE = Page(path=PATH, view=_unseen, template="login.html", title="Log in")
