"""Apps that share over a real Valkey server, which may go and come back."""

from __future__ import annotations

import asyncio
import logging
import sys

import msgspec
import pytest
from pydantic import SecretStr

from runwright import Agent, App, Context, tool
from runwright.app import AppOptions
from runwright.core.policy import Budget, Cache, Guard, Limit, Retry
from runwright.errors import ConfigError, MissingExtra
from runwright.models import ModelRegistry
from runwright.sections import RedisSettings
from runwright.settings import Settings
from tests.valkey import Valkey

pytestmark = pytest.mark.anyio


def app_of(url: str, *agents: Agent, **redis: object) -> App:
    """An app with a database of its own that shares over this server."""
    settings = Settings(redis=RedisSettings.model_validate({"url": SecretStr(url), **redis}))
    return App(
        settings,
        agents=agents,
        models=ModelRegistry(default="demo"),
        options=AppOptions(is_in_memory=True, is_offline=True),
    )


def looker(calls: list[str], guard: Guard) -> Agent:
    """An agent whose one tool counts its calls."""

    @tool(effect="read", guard=guard)
    async def look(what: str) -> str:
        """Look something up."""
        calls.append(what)
        return f"found {what}"

    async def run(text: str, context: Context) -> str:
        return str(await context.tool("look", what=text))

    return Agent("looker", run=run, tools=[look])


async def test_an_answer_that_another_process_got(shared_valkey: Valkey) -> None:
    """What one app looked up another one with a database of its own knows, and the places say that it stands there."""
    calls: list[str] = []
    agent = looker(calls, Guard(cache=Cache()))
    async with app_of(shared_valkey.url, agent) as one:
        assert (await one.run("looker", "x")).output == msgspec.Raw(b'"found x"')
    async with app_of(shared_valkey.url, agent) as other:
        assert (await other.run("looker", "x")).output == msgspec.Raw(b'"found x"')
        places = [place.name for place in (await other.cache.stats()).places]
        pools = (await other.redis.stats()).data
        assert other.metrics is not None
        body, _ = await asyncio.to_thread(other.metrics.render)
    assert calls == ["x"]
    assert places == ["memory", "redis"]
    assert [(pool.port, pool.is_away) for pool in pools] == [(shared_valkey.port, False)]
    assert f'pool_reuse_ratio{{server="127.0.0.1:{shared_valkey.port}"}}' in body.decode()


async def test_a_limit_and_a_budget_of_two_apps(shared_valkey: Valkey) -> None:
    """Calls of two apps come off the same limit and the same budget."""
    calls: list[str] = []
    limit = Guard(limit=Limit(requests=3, per_s=1e6, burst=1.0, queue_s=0.2), retry=False, cache=False)
    budget = Guard(budget=Budget(calls=2, per="ever"), retry=False, cache=False, limit=False)
    for guard, most in ((limit, 3), (budget, 2)):
        calls.clear()
        agent = looker(calls, guard)
        statuses: list[str] = []
        for _ in range(2):
            options = {"prefix": f"test-{most}"}
            async with app_of(shared_valkey.url, agent, **options) as app:
                statuses += [(await app.run("looker", str(number))).status for number in range(3)]
        assert len(calls) == statuses.count("completed") == most


async def test_a_server_that_goes(valkey: Valkey, caplog: pytest.LogCaptureFixture) -> None:
    """Without the server limits are kept and answers looked up here, budgets refuse; all that is told, and ends."""
    caplog.set_level(logging.WARNING, logger="runwright.redis")
    calls: list[str] = []
    plain = looker(calls, Guard(cache=Cache(), limit=Limit(requests=50)))
    paying = Agent(
        "paying", run=plain.run, tools=plain.tools, guard=Guard(budget=Budget(calls=9, per="day"), retry=False)
    )
    async with app_of(valkey.url, plain, paying) as app:
        await asyncio.to_thread(valkey.stop)
        assert (await app.run("looker", "x")).status == "completed"
        refused = await app.run("paying", "y")
        assert refused.status == "failed"
        assert refused.error is not None
        assert "Budgets are counted in Redis" in refused.error.message
        assert [(name, ok) for name, ok, _ in await app.ready()] == [("store", True), ("engine", True), ("redis", True)]
        assert "away" in (await app.ready())[2][2]
        await asyncio.to_thread(valkey.start)
        async with asyncio.timeout(20):
            while (await app.redis.stats()).data[0].is_away:  # noqa: ASYNC110 - a server sets no event
                await asyncio.sleep(0.01)
        assert (await app.run("paying", "y")).status == "completed"
    told = [record.message for record in caplog.records if record.name == "runwright.redis"]
    assert [text.split(f"{valkey.port} ")[1].split(":")[0] for text in told] == ["is away", "is back"]
    assert calls == ["x", "y"]


async def test_a_server_that_is_not_there_at_the_start(valkey: Valkey) -> None:
    """An app starts without its server, and with `alone` it counts budgets by itself."""
    valkey.stop()
    calls: list[str] = []
    agent = looker(calls, Guard(budget=Budget(calls=1, per="ever"), retry=Retry(attempts=1)))
    async with app_of(valkey.url, agent, without="alone") as app:
        assert [(await app.run("looker", "x")).status for _ in range(2)] == ["completed", "failed"]
        assert (await app.redis.stats()).data[0].is_away


async def test_a_url_that_cannot_be_read() -> None:
    """A wrong URL keeps an app from starting, and its password is not shown."""
    with pytest.raises(ConfigError, match="redis://HOST:PORT") as refused:
        async with app_of("redis://:secret-word@host:port"):
            pass
    assert "secret-word" not in str(refused.value)


async def test_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the client of Redis is not installed, the error says which extra to install."""
    for name in [name for name in sys.modules if name.startswith(("runwright.backends.redis", "redis"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "redis", None)
    with pytest.raises(MissingExtra, match=r"runwright\[redis\]"):
        async with app_of("redis://localhost"):
            pass


def test_the_url_is_a_secret() -> None:
    """Neither the URL nor its password is shown with the settings, and both are taken out of what is recorded."""
    settings = Settings(redis=RedisSettings(url=SecretStr("redis://:hidden-word@localhost/0")))
    assert "hidden-word" not in repr(settings)
    assert {"hidden-word", "redis://:hidden-word@localhost/0"} <= settings.secret_values()
