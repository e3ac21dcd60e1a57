"""Every fault of a provider under every set of policies, on real sockets: whatever happens, nothing is left behind."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

import pytest

from runwright import Agent, App
from runwright.app import AppOptions
from runwright.core.event import GuardDecided, StepRestarted
from runwright.core.run import RunRequest
from runwright.guard import Backoff, Breaker, Budget, Cache, Fallback, Guard, Hedge, Limit, Retry, Timeout
from runwright.models import ModelRegistry, ProviderSettings
from runwright.service.views import RunView
from runwright.settings import Settings
from tests.integration.guard.faulty import FAULTS, Faulty, faulty

FAST = Retry(attempts=3, backoff=Backoff(base_s=0.01, cap_s=0.02))
SHORT = Timeout(connect_s=0.3, first_token_s=0.3, idle_s=0.3, total_s=0.6)
POLICIES = {
    "none": Guard(retry=False, breaker=False, limit=False, timeout=SHORT),
    "retry": Guard(retry=FAST, timeout=SHORT),
    "breaker": Guard(retry=FAST, timeout=SHORT, breaker=Breaker(window=4, minimum=2, open_s=0.05)),
    "limit": Guard(retry=FAST, timeout=SHORT, limit=Limit(requests=600, concurrency=1)),
    "hedge": Guard(retry=FAST, timeout=SHORT, hedge=Hedge(after_s=0.05, extra=1.0)),
    "fallback": Guard(retry=False, timeout=SHORT, fallback=Fallback(models=("openai:well",))),
    "cache": Guard(retry=FAST, timeout=SHORT, cache=Cache(sampled=True)),
    "budget": Guard(retry=FAST, timeout=SHORT, budget=Budget(tokens=1_000_000, per="run")),
    "all": Guard(
        retry=FAST,
        timeout=SHORT,
        breaker=Breaker(window=4, minimum=2, open_s=0.05),
        limit=Limit(requests=600, concurrency=2),
        hedge=Hedge(after_s=0.05, extra=1.0),
        fallback=Fallback(models=("openai:well",)),
        cache=Cache(sampled=True),
        budget=(Budget(calls=1000, per="ever"), Budget(tokens=1_000_000, per="run")),
    ),
}
HOSTS = {"tls": "https", "dns": "http"}


@pytest.fixture
async def provider() -> AsyncIterator[Faulty]:
    """A running provider."""
    async with faulty() as running:
        yield running


@asynccontextmanager
async def serving(provider: Faulty, guard: Guard) -> AsyncGenerator[App]:
    """An app with an agent for each fault, all under the same policies."""
    faults = [*FAULTS, "well", "sick-1", "sick-2"]
    agents = [Agent(name, model=f"openai:{name}", guard=guard) for name in faults]
    agents += [Agent(name, model=f"{name}:x", guard=guard) for name in HOSTS]
    models = ModelRegistry(
        {
            "openai": ProviderSettings(base_url=provider.url, api_key="sk-none"),
            "tls": ProviderSettings(base_url=provider.url.replace("http:", "https:"), api_key="sk-none"),
            "dns": ProviderSettings(base_url="http://nowhere.invalid/v1", api_key="sk-none"),
        }
    )
    options = AppOptions(is_in_memory=True, is_offline=True)
    async with App(Settings(metrics=False), agents=agents, models=models, options=options) as app:
        yield app


async def ended(app: App, agent: str, *, mode: str) -> RunView:
    """A run of an agent, streamed or not, when it is over."""
    handle = await app.runs.create(RunRequest(agent=agent, input=f'"{agent} {mode}"'.encode(), mode=mode))  # pyright: ignore[reportArgumentType] - one of the two
    return await handle.wait()


def taken(app: App) -> int:
    """Connections of the pools to providers that somebody holds: aiohttp has no public name for them."""
    providers = app.models._providers.values()  # pyright: ignore[reportPrivateUsage] - as above
    return sum(len(provider.client().connector._acquired) for provider in providers)  # pyright: ignore[reportPrivateUsage, reportOptionalMemberAccess] - as above


async def check_nothing_held(app: App) -> None:
    """No permit, slot, reservation or connection is held by anybody."""
    await asyncio.sleep(0)
    assert app.guards.around.registry.busy() == []
    assert taken(app) == 0


async def check_closed(provider: Faulty) -> None:
    """The provider's side of a connection learns a moment later that it is closed."""
    await asyncio.wait_for(provider.closed.wait(), 10)


@pytest.mark.parametrize("policies", POLICIES)
async def test_nothing_is_left_behind(provider: Faulty, policies: str) -> None:
    """Runs end in a known way under every fault, and afterwards no permit, slot, budget, task or socket is held."""
    tasks = asyncio.all_tasks()
    async with serving(provider, POLICIES[policies]) as app:
        agents = [record.name for record in app.registry.all()]
        views = await asyncio.gather(*(ended(app, name, mode=mode) for mode in ("wait", "stream") for name in agents))
        assert {view.status for view in views} <= {"completed", "failed"}
        failed = {view.error.code for view in views if view.error is not None}
        assert "internal_error" not in failed
        assert "agent_error" not in failed
        well = [view for view in views if view.agent == "well"]
        assert [view.output for view in well] == ["It is well.", "It is well."]
        await check_nothing_held(app)
    await check_closed(provider)
    assert asyncio.all_tasks() - tasks == set()


@pytest.mark.parametrize("policies", POLICIES)
async def test_cancelled_in_the_middle(provider: Faulty, policies: str) -> None:
    """Runs that are cancelled in the middle of a fault leave nothing behind either."""
    async with serving(provider, POLICIES[policies]) as app:
        names = [record.name for record in app.registry.all()]
        handles = [await app.runs.create(RunRequest(agent=name, input=b'"x"', mode="background")) for name in names * 2]
        await asyncio.sleep(0.05)
        await asyncio.gather(*(app.runs.cancel(handle.id) for handle in handles), return_exceptions=True)
        views = await asyncio.gather(*(handle.wait() for handle in handles))
        assert {view.status for view in views} <= {"completed", "failed", "cancelled"}
        await check_nothing_held(app)


@pytest.mark.parametrize("sick", ["sick-1", "sick-2"])
async def test_a_record_explains_each_resend(provider: Faulty, sick: str) -> None:
    """Each call beyond the first that the provider saw stands in the run's record, with its reason."""
    async with serving(provider, POLICIES["retry"]) as app:
        view = await ended(app, sick, mode="wait")
        assert view.output == "It is well."
        data = [event.data for event in await app.runs.events(view.id)]
        resent = [each for each in data if isinstance(each, GuardDecided) and each.layer == "retry"]
        assert len(resent) == provider.calls[sick] - 1 == int(sick[-1])
        assert all("503" in each.reason for each in resent)
        assert [each.attempt for each in data if isinstance(each, StepRestarted)] == list(range(2, len(resent) + 2))
