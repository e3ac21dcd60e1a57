"""Who may ask: the API key, the Host header where only this machine is meant, and no web page of another site."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping

from pydantic import SecretStr
from starlette.types import ASGIApp, Receive, Scope, Send

from runwright.errors import ConfigError, Forbidden, Unauthorized
from runwright.server.sessions import Sessions

OPEN_PATHS = frozenset({"/livez", "/readyz"})
WITHOUT_KEY = ("/static/",)
LOGIN = "/login"
CALLER = "runwright.caller"

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
OWN_SITES = frozenset({b"same-origin", b"none"})

_LOCAL_HOSTS = frozenset({b"localhost", b"127.0.0.1", b"[::1]"})


class Auth:
    """Middleware that lets nobody in without the key or a session, and no page of another site change anything.

    A page may have rebound its own name to loopback, or may send what browsers send without asking (a plain POST).
    Without `sessions` there is no key. On loopback a server answers to its own names and to further `hosts`.
    """

    def __init__(self, app: ASGIApp, *, sessions: Sessions | None, host: str, hosts: Iterable[str] = ()) -> None:
        self._app = app
        self._sessions = sessions
        names = _LOCAL_HOSTS | {_host_header(each) for each in (host, *hosts)}
        self._hosts = names if is_loopback(host) else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request. Raises Unauthorized and Forbidden."""
        if scope["type"] == "http" and scope["path"] not in OPEN_PATHS:
            await self._check(scope)
        await self._app(scope, receive, send)

    async def _check(self, scope: Scope) -> None:
        headers: dict[bytes, bytes] = dict(scope["headers"])
        host = headers.get(b"host", b"")
        if self._hosts is not None and _without_port(host) not in self._hosts:
            told = f"This server answers to localhost only, not to the host {host.decode('latin-1')!r}"
            raise Forbidden(f"{told}; RUNWRIGHT_HOSTS names further ones.")
        if scope["method"] not in SAFE_METHODS:
            _refuse_other_sites(headers)
        elif self._sessions is None:
            _refuse_parts_of_other_sites(headers)
        scope[CALLER] = await self._caller(headers, scope["path"])

    async def _caller(self, headers: Mapping[bytes, bytes], path: str) -> str:
        given = _given_key(headers)
        if self._sessions is None or path == LOGIN or path.startswith(WITHOUT_KEY):
            return "anonymous"
        if given and self._sessions.is_key(given):
            return "key"
        if given:
            await self._sessions.refuse()
            raise Unauthorized("This API key is not known.")
        if self._sessions.is_good(_cookie(headers, self._sessions.cookie)):
            return "key"
        raise Unauthorized


def _refuse_other_sites(headers: Mapping[bytes, bytes]) -> None:
    """Browsers say where a request comes from, and pages cannot change it; other clients send neither header.

    Where there is Sec-Fetch-Site it decides: a proxy in front may have changed the host that Origin is compared with.
    """
    site = headers.get(b"sec-fetch-site")
    origin = headers.get(b"origin")
    if site is not None:
        is_own = site in OWN_SITES
    else:
        is_own = origin is None or origin.lower().partition(b"://")[2] == headers.get(b"host", b"").lower()
    if not is_own:
        raise Forbidden(
            f"A web page of another site ({(origin or site or b'').decode('latin-1')!r}) may not change anything here."
        )


def _refuse_parts_of_other_sites(headers: Mapping[bytes, bytes]) -> None:
    """Without a key a page of another site may lead a person here, but may not load anything into itself."""
    if headers.get(b"sec-fetch-site") == b"cross-site" and headers.get(b"sec-fetch-mode") != b"navigate":
        raise Forbidden("A web page of another site may not read anything here without the key.")


def _given_key(headers: Mapping[bytes, bytes]) -> bytes:
    bearer = headers.get(b"authorization", b"")
    if bearer[:7].lower() == b"bearer ":
        return bearer[7:].strip()
    return headers.get(b"x-api-key", b"")


def _cookie(headers: Mapping[bytes, bytes], name: str) -> str:
    pairs = (each.strip().partition("=") for each in headers.get(b"cookie", b"").decode("latin-1").split(";"))
    return next((value for given, _, value in pairs if given == name), "")


def caller(scope: Scope) -> str:
    """Who asks, as a scope for idempotency keys."""
    name: str = scope.get(CALLER, "anonymous")
    return name


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach the address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def check_bind(host: str, key: SecretStr | None) -> None:
    """Raises ConfigError for an address that others can reach while there is no API key."""
    if not is_loopback(host) and not (key and key.get_secret_value()):
        raise ConfigError(
            f"Listening on {host!r} lets other machines in: set RUNWRIGHT_API_KEY, or listen on 127.0.0.1."
        )


def _host_header(host: str) -> bytes:
    return (f"[{host.strip('[]')}]" if ":" in host else host).lower().encode()


def _without_port(host: bytes) -> bytes:
    if host.endswith(b"]"):
        return host.lower()
    name, colon, _ = host.rpartition(b":")
    return (name if colon else host).lower()
