"""One run that meets everything that the guard does, and a record of it that explains each wait and each resend."""

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from runwright import Agent, App, Context
from runwright.app import AppOptions
from runwright.core.run import RunRequest
from runwright.errors import GuardError, ModelError
from runwright.models import ModelRegistry, ProviderSettings
from runwright.service.budgets import RaiseBody
from runwright.settings import Settings
from tests.integration.guard.faulty import Faulty, faulty

WITHIN_S = 60
AGAIN = {"attempts": 3, "backoff": {"base_s": 0.02, "jitter": "none"}}
POLICIES: dict[str, dict[str, object]] = {
    "cached": {"cache": {"sampled": True}},
    "shared": {"cache": {"sampled": True, "ttl_s": 0}},
    "paced": {"limit": {"requests": 1, "per_s": 0.3, "burst": 1.0}},
    "narrow": {"limit": {"concurrency": 1}},
    "full": {"limit": {"concurrency": 1, "queue": 0}},
    "busy-1": {"retry": AGAIN},
    "sick-1": {"retry": AGAIN},
    "late-1": {"retry": AGAIN, "timeout": {"total_s": 1.0}},
    "late-2": {"hedge": {"after_s": 0.1, "extra": 1.0}},
    "503": {"retry": False, "breaker": {"minimum": 1, "open_s": 60}, "fallback": {"models": ["acme:well"]}},
    "tight": {"budget": {"tokens": 1100}},
    "dear": {"budget": {"calls": 1, "at_limit": "wait"}},
}
"""What holds for each model, whose name says how the provider treats it."""

ACCOUNT = "model:acme:dear run:run_..."
TOLD = [
    "acme:cached was answered from the cache",
    "flight joined: acme:shared (an equal call was under way)",
    "acme:paced was waited for: ... s, limited by rate",
    "acme:narrow was waited for: ... s, limited by bulkhead",
    "bulkhead refused: acme:full, ... s (the queue is full)",
    "rate slowed: acme:busy-1, ... s (it answered 429 with Retry-After)",
    "acme:busy-1 is asked again in ... s, attempt 2 (RateLimited: acme answered 429: no)",
    "acme:sick-1 is asked again in ... s, attempt 2 (ProviderUnavailable: acme answered 503: no)",
    (
        "acme:late-1 is asked again in ... s, attempt 2 "
        "(ProviderTimeout: 'acme:late-1' did not answer within ... s; see guard.timeout.total_s.)"
    ),
    "hedge doubled: acme:late-2, ... s (nothing came within ... s)",
    "hedge won: acme:late-2 (the second was first to begin)",
    "breaker opened: acme:503 (of its last 1 calls 1 failed and 0 were slow)",
    "acme:503 failed, acme:well is asked instead (ProviderUnavailable: acme answered 503: no)",
    "breaker refused: acme:503, ... s (it failed too often and rests)",
    "acme:503 failed, acme:well is asked instead (BreakerOpen: 'acme:503' has failed too often and rests for ... s.)",
    "budget waited: acme:tight, ... s (other calls had reserved what was left)",
    (
        f"budget held: acme:dear (The budget of '{ACCOUNT}' is 1 calls: 1 calls are spent, and 0 calls are left. "
        f"Raise it with `runwright budgets raise '{ACCOUNT}' --calls ...`.)"
    ),
]
"""What `runs show` has to say, in order."""

WAITS = (
    ("rate", "waited"),
    ("bulkhead", "waited"),
    ("bulkhead", "refused"),
    ("rate", "slowed"),
    ("retry", "resend"),
    ("hedge", "doubled"),
    ("breaker", "refused"),
    ("budget", "waited"),
)
"""Decisions that tell how long something waits."""


@pytest.fixture
async def provider() -> AsyncIterator[Faulty]:
    """A running provider."""
    async with faulty() as running:
        yield running


async def everything(words: str, context: Context) -> list[str]:
    """Ask each model, one twice after another, some twice at once."""

    async def ask(name: str) -> str:
        try:
            return (await context.model(words, model=f"acme:{name}")).message.content or ""
        except (GuardError, ModelError) as error:
            return error.code

    said: list[str] = []
    for name in ("cached", "cached"):
        said.append(await ask(name))
    for name in ("shared", "paced", "narrow", "full"):
        said += await asyncio.gather(ask(name), ask(name))
    for name in ("busy-1", "sick-1", "late-1", "late-2", "late-2", "503", "503"):
        said.append(await ask(name))
    said += await asyncio.gather(ask("tight"), ask("tight"))
    for name in ("dear", "dear"):
        said.append(await ask(name))
    return said


def opened(provider: Faulty, data: Path) -> App:
    """A server's app whose models are the provider's."""
    guard = {"models": {f"acme:{name}": policies for name, policies in POLICIES.items()}}
    models = ModelRegistry({"acme": ProviderSettings(base_url=provider.url, api_key="sk-none")})
    agent = Agent("everything", run=everything)
    options = AppOptions(is_server=True, is_offline=True)
    return App(Settings(metrics=False, guard=guard, data=data), agents=[agent], models=models, options=options)


@pytest.mark.e2e
async def test_the_record_explains_each_wait_and_each_resend(provider: Faulty, tmp_path: Path) -> None:
    """`runs show` says of every call that was not just sent what the guard did with it, why, and how long it waited."""
    async with opened(provider, tmp_path) as app:
        handle = await app.runs.create(RunRequest(agent="everything", input=b'"go"', mode="background"))
        await handle.wait()
        held = await app.runs.get(handle.run_id)
        assert (held.status, held.reason) == ("waiting", "budget"), held
        await app.budgets.raise_to(RaiseBody(account=f"model:acme:dear run:{handle.run_id}", calls=5))
        async with asyncio.timeout(WITHIN_S):
            while (await app.runs.get(handle.run_id)).status != "completed":  # noqa: ASYNC110 - a run sets no event
                await asyncio.sleep(0.02)
        steps = (await app.runs.steps(handle.run_id)).data
    shown = await asyncio.to_thread(show, tmp_path, handle.run_id)
    assert told(shown) == TOLD
    waits = {(each.layer, each.action): each.wait_s for step in steps for each in step.decisions}
    assert all(waits[kind] > 0 for kind in WAITS), waits
    # A wait for a budget has no end that is known: the events of its beginning and end say how long it was.
    assert [step.status for step in steps if step.name != "acme:full"] == ["completed"] * (len(steps) - 2)


def told(shown: str) -> list[str]:
    """What `runs show` says of decisions, without numbers that differ from run to run."""
    lines = [line.partition(": ")[2] for line in shown.splitlines() if line.startswith("step ")]
    # Whether what is left of the pause is still a wait after the resend's own is a matter of chance.
    kept = (line for line in lines if not line.startswith("acme:busy-1 was waited for"))
    return [re.sub(r"run_[0-9a-f]+", "run_...", re.sub(r"[0-9.]+ s\b", "... s", line)) for line in kept]


def show(data: Path, run_id: str) -> str:
    """What `runwright runs show` prints."""
    command = [sys.executable, "-m", "runwright", "runs", "show", run_id, "--data", str(data)]
    done = subprocess.run(command, env=os.environ, capture_output=True, text=True, timeout=WITHIN_S, check=True)
    return done.stdout
