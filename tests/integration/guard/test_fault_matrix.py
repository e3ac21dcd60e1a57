"""Every fault of a provider under every set of policies, on real sockets: whatever happens, nothing is left behind."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import pytest

from runwright import Agent, App
from runwright.app import AppOptions
from runwright.core.budget import NOTHING
from runwright.core.event import GuardDecided, StepRestarted
from runwright.core.run import RunRequest
from runwright.guard import Backoff, Breaker, Budget, Cache, Fallback, Guard, Hedge, Limit, Retry, Timeout
from runwright.guard.breaker import LocalBreaker
from runwright.guard.rate import Gate
from runwright.models import ModelRegistry, ProviderSettings
from runwright.models.openai_wire import Provider
from runwright.service.views import RunView
from runwright.settings import Settings
from tests.integration.guard.faulty import FAULTS, Faulty, faulty

FAST = Retry(attempts=3, backoff=Backoff(base_s=0.01, cap_s=0.02))
SHORT = Timeout(connect_s=0.3, first_token_s=0.3, idle_s=0.3, total_s=0.6)
POLICIES = {
    "none": Guard(retry=False, breaker=False, limit=False, timeout=SHORT),
    "retry": Guard(retry=FAST, limit=False, timeout=SHORT),
    "breaker": Guard(retry=FAST, limit=False, timeout=SHORT, breaker=Breaker(window=4, minimum=2, open_s=0.05)),
    "limit": Guard(retry=FAST, timeout=SHORT, limit=Limit(requests=600, concurrency=1)),
    "hedge": Guard(retry=FAST, limit=False, timeout=SHORT, hedge=Hedge(after_s=0.05, extra=1.0)),
    "fallback": Guard(retry=False, limit=False, timeout=SHORT, fallback=Fallback(models=("openai:well",))),
    "cache": Guard(retry=FAST, limit=False, timeout=SHORT, cache=Cache(sampled=True)),
    "budget": Guard(retry=FAST, limit=False, timeout=SHORT, budget=Budget(tokens=1_000_000, per="run")),
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
HOSTS = ("tls", "dns")
"""Providers that cannot be reached at all."""
WELL = ("well", "sick-1", "sick-2")
AGENTS = (*FAULTS, *WELL, *HOSTS)


@pytest.fixture
async def provider() -> AsyncIterator[Faulty]:
    """A running provider."""
    async with faulty() as running:
        yield running


@asynccontextmanager
async def serving(provider: Faulty, guard: Guard) -> AsyncGenerator[App]:
    """An app with an agent for each fault, all under the same policies."""
    models = {name: f"{name}:x" if name in HOSTS else f"openai:{name}" for name in AGENTS}
    # On a busy machine what is well takes its time too.
    patient = msgspec.structs.replace(guard, timeout=Timeout(total_s=60))
    agents = [Agent(name, model=models[name], guard=guard) for name in (*FAULTS, *HOSTS)]
    agents += [Agent(name, model=models[name], guard=patient) for name in WELL]
    registry = ModelRegistry(
        {
            "openai": ProviderSettings(base_url=provider.url, api_key="sk-none"),
            "tls": ProviderSettings(base_url=provider.url.replace("http:", "https:"), api_key="sk-none"),
            "dns": ProviderSettings(base_url="http://nowhere.invalid/v1", api_key="sk-none"),
        }
    )
    options = AppOptions(is_in_memory=True, is_offline=True)
    async with App(Settings(metrics=False), agents=agents, models=registry, options=options) as app:
        yield app


async def ended(app: App, agent: str, *, mode: str) -> RunView:
    """A run of an agent, streamed or not, when it is over."""
    handle = await app.runs.create(RunRequest(agent=agent, input=f'"{agent} {mode}"'.encode(), mode=mode))  # pyright: ignore[reportArgumentType] - one of the two
    return await handle.wait()


def taken(app: App) -> int:
    """Connections of the pools to providers that somebody holds: aiohttp has no public name for them."""
    places = app.models._providers.values()  # pyright: ignore[reportPrivateUsage] - as above
    connectors = [place.client().connector for place in places if isinstance(place, Provider)]
    return sum(len(each._acquired) for each in connectors if each is not None)  # pyright: ignore[reportPrivateUsage] - as above


async def held(app: App) -> list[str]:
    """What calls still hold: places in lines, probes, slots, reservations, flights and connections."""
    around = app.guards.around
    found = [f"line of {target}" for target, _, gate in around.registry.all(Gate) if gate.line.waiting]
    found += [f"probe of {target}" for target, _, state in around.registry.all(LocalBreaker) if state.is_probed]
    found += [f"budget of {each.account.name}" for each in await around.ledger.active() if each.reserved != NOTHING]
    found += ["flight"] * (0 if around.answers is None else len(around.answers.flights))
    return found + ["connection"] * taken(app)


async def check_closed(provider: Faulty) -> None:
    """The provider's side of a connection learns a moment later that it is closed."""
    await asyncio.wait_for(provider.closed.wait(), 10)


@pytest.mark.parametrize("policies", POLICIES)
async def test_nothing_is_left_behind(provider: Faulty, policies: str) -> None:
    """Runs end in a known way under every fault, and afterwards no permit, slot, budget, task or socket is held."""
    tasks = asyncio.all_tasks()
    async with serving(provider, POLICIES[policies]) as app:
        views = await asyncio.gather(*(ended(app, name, mode=mode) for mode in ("wait", "stream") for name in AGENTS))
        assert {view.status for view in views} <= {"completed", "failed"}
        failed = {view.error.code for view in views if view.error is not None}
        assert "internal_error" not in failed
        assert "agent_error" not in failed
        well = [view for view in views if view.agent == "well"]
        assert [bytes(view.output) for view in well] == [b'"It is well."'] * 2
        assert await held(app) == []
    await check_closed(provider)
    assert asyncio.all_tasks() - tasks == set()


@pytest.mark.parametrize("policies", POLICIES)
async def test_cancelled_in_the_middle(provider: Faulty, policies: str) -> None:
    """Runs that are cancelled in the middle of a fault leave nothing behind either."""
    async with serving(provider, POLICIES[policies]) as app:
        requests = [RunRequest(agent=name, input=b'"x"', mode="background") for name in AGENTS * 2]
        handles = [await app.runs.create(request) for request in requests]
        await asyncio.sleep(0.05)
        await asyncio.gather(*(app.runs.cancel(handle.run_id) for handle in handles), return_exceptions=True)
        views = await asyncio.gather(*(handle.wait() for handle in handles))
        assert {view.status for view in views} <= {"completed", "failed", "cancelled"}
        assert await held(app) == []


@pytest.mark.parametrize("sick", ["sick-1", "sick-2"])
async def test_a_record_explains_each_resend(provider: Faulty, sick: str) -> None:
    """Each call beyond the first that the provider saw stands in the run's record, with its reason."""
    async with serving(provider, POLICIES["retry"]) as app:
        view = await ended(app, sick, mode="wait")
        assert bytes(view.output) == b'"It is well."'
        data = [event.data async for events in app.runs.events(view.id) for event in events]
        resent = [each for each in data if isinstance(each, GuardDecided) and each.layer == "retry"]
        assert len(resent) == provider.calls[sick] - 1 == int(sick[-1])
        assert all("503" in each.reason for each in resent)
        assert [each.attempt for each in data if isinstance(each, StepRestarted)] == list(range(2, len(resent) + 2))
