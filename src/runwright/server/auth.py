"""Who may ask: the API key, and the Host header where only this machine is meant."""

from __future__ import annotations

import hmac
import ipaddress

from pydantic import SecretStr
from starlette.types import ASGIApp, Receive, Scope, Send

from runwright.errors import ConfigError, Forbidden, Unauthorized

OPEN_PATHS = frozenset({"/livez", "/readyz"})
CALLER = "runwright.caller"

_LOCAL_HOSTS = frozenset({b"localhost", b"127.0.0.1", b"[::1]"})


class Auth:
    """Middleware that lets nobody in without the key, and no web page in through a name it rebound to loopback."""

    def __init__(self, app: ASGIApp, *, key: SecretStr | None, host: str) -> None:
        self._app = app
        self._key = key.get_secret_value().encode() if key else None
        self._hosts = _LOCAL_HOSTS | {_host_header(host)} if is_loopback(host) else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request. Raises Unauthorized and Forbidden."""
        if scope["type"] == "http" and scope["path"] not in OPEN_PATHS:
            self._check(scope)
        await self._app(scope, receive, send)

    def _check(self, scope: Scope) -> None:
        host = b""
        given = b""
        for name, value in scope["headers"]:
            if name == b"host":
                host = value
            elif name == b"authorization" and value[:7].lower() == b"bearer ":
                given = value[7:].strip()
            elif name == b"x-api-key":
                given = value
        if self._hosts is not None and _without_port(host) not in self._hosts:
            raise Forbidden(f"This server answers to localhost only, not to the host {host.decode('latin-1')!r}.")
        if self._key is None:
            scope[CALLER] = "anonymous"
        elif hmac.compare_digest(given, self._key):
            scope[CALLER] = "key"
        elif given:
            raise Unauthorized("This API key is not known.")
        else:
            raise Unauthorized


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
