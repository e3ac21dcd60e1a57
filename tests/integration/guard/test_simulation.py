"""Runs against a provider on loopback that is down for a while, and what other policies would have made of that."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from types import MappingProxyType

import pytest

from runwright import Agent, App
from runwright.app import AppOptions
from runwright.core.policy_reader import write_guard
from runwright.errors import InvalidRequest, NotFound
from runwright.guard import Backoff, Fallback, Guard, Retry
from runwright.models import ModelRegistry, ProviderSettings
from runwright.service.simulation_views import NamedPolicies, SimulationFigures, SimulationQuery
from runwright.settings import Settings
from tests.integration.guard.faulty import Faulty, faulty

ONCE = Guard(retry=False, breaker=False)
RUNS, FIRST_DOWN, FIRST_UP = 45, 15, 30
AGENT = "name: shaky\nmodel: openai:shaky\nguard:\n  retry: false\n  breaker: false\n"
WITHIN_S = 120


def four(base_s: float = 0.5) -> Guard:
    """Four attempts from a bucket that lasts."""
    return Guard(retry=Retry(attempts=4, backoff=Backoff(base_s=base_s), bucket=100_000), breaker=False)


def query(
    guards: Mapping[str, Guard] = MappingProxyType({}), *, agent: str = "shaky", last: str = "1h", seeds: int = 4
) -> SimulationQuery:
    """A question about an agent."""
    policies = tuple(NamedPolicies(name=name, guard=write_guard(guard)) for name, guard in guards.items())
    return SimulationQuery(agent=agent, policies=policies, last=last, seeds=seeds)


@asynccontextmanager
async def outage(guard: Guard | None, settings: Settings | None = None) -> AsyncGenerator[App]:
    """An app with runs of which a third came while the provider was down."""
    async with faulty() as provider:
        models = ModelRegistry({"openai": ProviderSettings(base_url=provider.url, api_key="sk-none")})
        agents = [Agent("shaky", model="openai:shaky", guard=guard), Agent("idle", model="openai:well")]
        options = AppOptions(is_in_memory=settings is None, is_offline=True)
        async with App(settings or Settings(metrics=False), agents=agents, models=models, options=options) as app:
            await recorded(app, provider)
            yield app


async def recorded(app: App, provider: Faulty) -> None:
    """Run the agent while the provider is up, down and up again."""
    for place in range(RUNS):
        provider.is_down = FIRST_DOWN <= place < FIRST_UP
        await app.run("shaky", "hello")


def success(figures: SimulationFigures) -> float:
    """The share of calls that succeed."""
    assert figures.success is not None
    return figures.success.mean


async def test_policies_side_by_side() -> None:
    """The policy of the record gives the record; quick resends help little in an outage, slow ones or a model more."""
    policies = {
        "same": ONCE,
        "quick": four(0.001),
        "slow": four(),
        "other": Guard(retry=False, breaker=False, fallback=Fallback(models=("openai:well",))),
    }
    async with outage(ONCE) as app:
        report = await app.simulations.report(query(policies))
        again = await app.simulations.report(query(policies))
    assert (report.data, report.recorded) == (again.data, again.recorded)
    assert (report.runs, report.calls, report.left_out, report.assumed) == (RUNS, RUNS, 0, ["openai:well"])
    today, same, quick, slow, other = report.data
    for each in (report.recorded, today, same):
        assert success(each) == pytest.approx(30 / 45)
        assert (each.calls, each.upstream, each.drawn) == (RUNS, RUNS, 0)
        assert each.errors == {"provider_unavailable": 15}
    assert success(same) <= success(quick) <= success(slow) <= success(other) == 1
    assert success(same) < success(slow)
    assert other.upstream == RUNS + 15
    assert quick.upstream > RUNS + 30
    assert 0 < other.drawn < quick.drawn < 1
    assert other.cut_short == 15


async def test_resends_that_were_recorded_are_replayed() -> None:
    """A record with resends is reproduced by its own policy: as many successes and attempts as the provider saw."""
    async with faulty() as provider:
        models = ModelRegistry({"openai": ProviderSettings(base_url=provider.url, api_key="sk-none")})
        steady = Retry(attempts=4, backoff=Backoff(base_s=0.01, jitter="none"), bucket=100_000)
        agents = [Agent(name, model=f"openai:{name}", guard=Guard(retry=steady)) for name in ("sick-2", "503")]
        options = AppOptions(is_in_memory=True, is_offline=True)
        async with App(Settings(metrics=False), agents=agents, models=models, options=options) as app:
            for name, status in (("sick-2", "completed"), ("503", "failed")):
                assert (await app.run(name, "hello")).status == status
                report = await app.simulations.report(query({"same": Guard(retry=steady)}, agent=name))
                figures = [(each.upstream, success(each), each.drawn) for each in (report.recorded, *report.data)]
                assert figures == [(provider.calls[name], status == "completed", 0)] * 3


async def test_mistakes_are_told() -> None:
    """An agent that nobody knows, a window without runs, runs without calls, policies that are none: each is told."""
    async with outage(ONCE) as app:
        with pytest.raises(NotFound, match="no agent 'shakey'"):
            await app.simulations.report(query(agent="shakey"))
        with pytest.raises(InvalidRequest, match="No run of 'idle' began since"):
            await app.simulations.report(query(agent="idle"))
        for last in ("soon", "2999-01-01"):
            with pytest.raises(InvalidRequest, match=last):
                await app.simulations.report(query(last=last))
        wrong = NamedPolicies(name="mine", guard={"retry": {"attemps": 2}})
        with pytest.raises(InvalidRequest) as caught:
            await app.simulations.report(SimulationQuery(agent="shaky", policies=(wrong, wrong)))
        places = [place for place, _ in caught.value.problems]
        assert places == ["/policies/0/guard/retry/attemps", "/policies/1/guard/retry/attemps", "/policies/1/name"]
        assert "did you mean 'attempts'?" in str(caught.value)


async def test_a_caller_that_is_gone_ends_its_simulation() -> None:
    """Cancelled in the middle, a simulation ends, and the next one has its turn."""
    async with outage(ONCE) as app:
        begun = asyncio.Event()
        loop = asyncio.get_running_loop()
        task = asyncio.create_task(
            app.simulations.report(query(seeds=1000), told=lambda _, __: loop.call_soon_threadsafe(begun.set) and None)
        )
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await app.simulations.report(query(seeds=1))).calls == RUNS


def ran(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """What the command prints in a folder."""
    environ = {**os.environ, "RUNWRIGHT_DATA": str(folder / "data")}
    command = [sys.executable, "-m", "runwright", "guard", "simulate", *words]
    return subprocess.run(
        command, cwd=folder, env=environ, capture_output=True, text=True, timeout=WITHIN_S, check=False
    )


@pytest.mark.e2e
async def test_from_the_command_line(tmp_path: Path) -> None:
    """The command reads policies from files and prints a column for each, the same for the same seed."""
    (tmp_path / "agents").mkdir()
    (tmp_path / "agents" / "shaky.yaml").write_text(AGENT)
    (tmp_path / "four.yaml").write_text("retry: {attempts: 4, bucket: 100000}\nbreaker: false\n")
    (tmp_path / "other.toml").write_text('retry = false\nbreaker = false\nfallback = {models = ["openai:well"]}\n')
    (tmp_path / "wrong.yaml").write_text("breaker: false\nretry:\n  attemps: 4\n")
    async with outage(ONCE, Settings(metrics=False, data=tmp_path / "data")):
        pass
    words = ("--agent", "shaky", "--policy", "four.yaml", "--policy", "other.toml", "--seeds", "3")
    told, again = [await asyncio.to_thread(ran, tmp_path, *words, "--json") for _ in range(2)]
    assert told.returncode == 0, told.stderr
    one, two = json.loads(told.stdout), json.loads(again.stdout)
    assert one["data"] == two["data"]
    assert [each["name"] for each in one["data"]] == ["today", "four", "other"]
    rates = [each["success"]["mean"] for each in (one["recorded"], *one["data"])]
    assert rates[0] == rates[1] == pytest.approx(2 / 3)
    assert rates[1] < rates[2] <= rates[3] == 1
    table = await asyncio.to_thread(ran, tmp_path, *words)
    assert table.stdout.splitlines()[0].split("\t") == ["FIGURE", "RECORDED", "TODAY", "FOUR", "OTHER"]
    assert "Nothing is recorded of openai:well" in table.stderr
    wrong = await asyncio.to_thread(ran, tmp_path, "--agent", "shaky", "--policy", "wrong.yaml")
    assert (wrong.returncode, wrong.stdout) == (3, "")
    assert "wrong.yaml:3: retry.attemps: there is no figure 'attemps'; did you mean 'attempts'?" in wrong.stderr
