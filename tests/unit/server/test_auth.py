"""Who may ask."""

import pytest
from pydantic import SecretStr
from starlette.types import Message, Receive, Scope, Send

from runwright.errors import ConfigError, Forbidden, Unauthorized
from runwright.server.auth import Auth, caller, check_bind, is_loopback
from runwright.server.sessions import Sessions

KEY = SecretStr("secret-key")


async def ask(
    auth: SecretStr | None,
    *headers: tuple[bytes, bytes],
    host: str = "127.0.0.1",
    hosts: tuple[str, ...] = (),
    path: str = "/x",
    method: str = "POST",
) -> str:
    """Send a request through the middleware and give the caller it was let in as."""
    seen: list[str] = []

    async def inner(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(caller(scope))

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(_: Message) -> None:
        return

    scope: Scope = {"type": "http", "method": method, "path": path, "headers": list(headers)}
    sessions = Sessions(auth.get_secret_value()) if auth else None
    await Auth(inner, sessions=sessions, host=host, hosts=hosts)(scope, receive, send)
    return seen[0]


LOCAL = (b"host", b"localhost:8321")


@pytest.mark.parametrize(
    "given",
    [(b"authorization", b"Bearer secret-key"), (b"authorization", b"bearer secret-key"), (b"x-api-key", b"secret-key")],
)
async def test_the_key_is_taken_from_both_headers(given: tuple[bytes, bytes]) -> None:
    """A caller with the key is let in as its owner."""
    assert await ask(KEY, LOCAL, given) == "key"


@pytest.mark.parametrize(
    "given", [(b"authorization", b"Bearer no"), (b"authorization", b"Basic x"), (b"x-api-key", b"")]
)
async def test_another_key_or_none_is_refused(given: tuple[bytes, bytes]) -> None:
    """Without the right key nobody gets in."""
    with pytest.raises(Unauthorized):
        await ask(KEY, LOCAL, given)


async def test_health_probes_need_no_key() -> None:
    """/livez and /readyz are open to anyone, by any name."""
    for path in ("/livez", "/readyz"):
        assert await ask(KEY, (b"host", b"pod-7"), path=path) == "anonymous"


@pytest.mark.parametrize("name", [b"localhost", b"LOCALHOST:1", b"127.0.0.1:8321", b"[::1]", b"[::1]:8321"])
async def test_loopback_names_pass(name: bytes) -> None:
    """The names of this machine are let in."""
    assert await ask(None, (b"host", name)) == "anonymous"


@pytest.mark.parametrize("name", [b"evil.example", b"evil.example:8321", b"localhost.evil.example", b""])
async def test_rebound_names_are_refused_on_loopback(name: bytes) -> None:
    """A web page that rebinds its name to loopback is refused, or any page could start runs."""
    with pytest.raises(Forbidden):
        await ask(None, (b"host", name))


async def test_a_further_name_is_let_in_where_it_is_set() -> None:
    """Behind a proxy on the same machine the proxy's name passes when it is named, and no other does."""
    for name in (b"agents.example", b"Agents.Example:443", b"localhost"):
        assert await ask(None, (b"host", name), hosts=("agents.example",)) == "anonymous"
    with pytest.raises(Forbidden, match="RUNWRIGHT_HOSTS"):
        await ask(None, (b"host", b"evil.example"), hosts=("agents.example",))


async def test_any_name_passes_beyond_loopback() -> None:
    """A server for others is reached by whatever name they gave it."""
    assert await ask(KEY, (b"host", b"agents.example"), (b"x-api-key", b"secret-key"), host="0.0.0.0") == "key"


@pytest.mark.parametrize(
    "headers",
    [
        {b"sec-fetch-site": b"cross-site"},
        {b"sec-fetch-site": b"same-site", b"origin": b"http://localhost:3000"},
        {b"sec-fetch-site": b"cross-site", b"origin": b"http://localhost:8321"},
        {b"origin": b"https://evil.example"},
        {b"origin": b"http://localhost:3000"},
        {b"origin": b"null"},
        {b"origin": b""},
    ],
)
@pytest.mark.parametrize("key", [None, KEY])
async def test_a_page_of_another_site_changes_nothing(headers: dict[bytes, bytes], key: SecretStr | None) -> None:
    """A browser's request for another site is refused unless it only reads, also from another port of this machine."""
    given = [LOCAL, (b"x-api-key", b"secret-key"), *headers.items()]
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        with pytest.raises(Forbidden, match="another site"):
            await ask(key, *given, method=method)
    for method in ("GET", "HEAD", "OPTIONS"):
        await ask(key, *given, (b"sec-fetch-mode", b"navigate"), method=method)


@pytest.mark.parametrize("mode", [b"no-cors", b"cors", b""])
async def test_without_a_key_another_site_loads_nothing(mode: bytes) -> None:
    """A page of another site may lead a person here, but nothing it loads into itself is answered."""
    site = (b"sec-fetch-site", b"cross-site")
    for method in ("GET", "HEAD"):
        with pytest.raises(Forbidden, match="another site"):
            await ask(None, LOCAL, site, (b"sec-fetch-mode", mode), method=method)
    assert await ask(KEY, LOCAL, site, (b"sec-fetch-mode", mode), (b"x-api-key", b"secret-key"), method="GET") == "key"


@pytest.mark.parametrize(
    "headers",
    [
        {b"sec-fetch-site": b"same-origin", b"origin": b"http://localhost:8321"},
        {b"sec-fetch-site": b"same-origin", b"origin": b"https://agents.example"},
        {b"sec-fetch-site": b"none"},
        {b"origin": b"http://LOCALHOST:8321"},
        {},
    ],
)
async def test_our_own_pages_and_other_clients_pass(headers: dict[bytes, bytes]) -> None:
    """Pages of the server itself, also behind a proxy that changes the host, and clients that are no browsers."""
    assert await ask(None, LOCAL, *headers.items()) == "anonymous"


def test_a_bind_beyond_loopback_needs_a_key() -> None:
    """Listening for other machines without a key is refused."""
    for host in ("0.0.0.0", "::", "192.168.1.7", "agents.example"):
        with pytest.raises(ConfigError, match="RUNWRIGHT_API_KEY"):
            check_bind(host, None)
        check_bind(host, KEY)
    check_bind("127.0.0.1", None)


def test_loopback_addresses() -> None:
    """All addresses that only this machine can reach are known."""
    assert [is_loopback(host) for host in ("localhost", "127.8.9.1", "::1", "[::1]", "0.0.0.0", "::", "x")] == [
        True,
        True,
        True,
        True,
        False,
        False,
        False,
    ]
