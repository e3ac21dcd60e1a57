"""What a strict replay takes against the live run, whose model answers after half a second.

    python benchmarks/replay.py            ten live runs and their replays, taking turns: about half a minute
    python benchmarks/replay.py --write    put the table into benchmarks/RESULTS.md

A run asks the model three times and calls two tools. The model stands on loopback and answers 500 ms after the request.
Every replay is checked to be the same as its run. The status is 1 where the goal is missed.
"""

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web
from harness import machine, report
from harness.targets import HERE

from runwright import Agent, App, tool
from runwright.app import AppOptions
from runwright.core.replay import Replay
from runwright.core.run import RunRequest
from runwright.models import ModelRegistry, ProviderSettings
from runwright.settings import Settings

ANSWER_S = 0.5
GOAL = 100
PER_RUN = 10
STEPS = 5


@tool(effect="read")
async def look(city: str) -> str:
    """Say the weather."""
    return f"sunny in {city}"


@dataclass(frozen=True, kw_only=True)
class Took:
    """Seconds of live runs, and of replays and their CPU."""

    live: list[float]
    replays: list[float]
    cpu: list[float]


async def answer(request: web.Request) -> web.Response:
    """Two tool calls, one after the other, then words."""
    messages = (await request.json())["messages"]
    asked = sum(message["role"] == "tool" for message in messages)
    await asyncio.sleep(ANSWER_S)
    message: dict[str, object] = {"role": "assistant", "content": "It is sunny."}
    if asked < STEPS // 2:
        call = {"name": "look", "arguments": f'{{"city":"city {asked}"}}'}
        message |= {"content": None, "tool_calls": [{"id": f"call_{asked}", "type": "function", "function": call}]}
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls" if "tool_calls" in message else "stop"}
    usage = {"prompt_tokens": 100, "completion_tokens": 10}
    return web.json_response({"id": "x", "model": "slow", "choices": [choice], "usage": usage})


async def measure(folder: Path, rounds: int) -> Took:
    """Live runs and replays, taking turns."""
    server = web.Application()
    server.router.add_post("/v1/chat/completions", answer)
    runner = web.AppRunner(server)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    models = ModelRegistry({"openai": ProviderSettings(base_url=url, api_key="sk-none")})
    agent = Agent("weather", model="openai:slow", tools=[look])
    took = Took(live=[], replays=[], cpu=[])
    settings = Settings(data=folder, metrics=False)
    async with App(settings, agents=[agent], models=models, options=AppOptions(is_server=True)) as app:
        for _ in range(rounds):
            begun = time.perf_counter()
            view = await app.run("weather", "What is the weather?")
            took.live.append(time.perf_counter() - begun)
            assert view.status == "completed", view.error
            begun, cpu = time.perf_counter(), time.process_time()
            views = [await replay(app, view.id) for _ in range(PER_RUN)]
            took.replays.append((time.perf_counter() - begun) / PER_RUN)
            took.cpu.append((time.process_time() - cpu) / PER_RUN / STEPS)
            for again in views:
                assert (await app.diffs.between(view.id, again)).is_same
    await runner.cleanup()
    return took


async def replay(app: App, run: str) -> str:
    """The id of a strict replay that is on disk."""
    view = await (await app.runs.create(RunRequest(agent="", input=b"", replay=Replay(of=run)))).wait()
    assert view.status == "completed", view.error
    return view.id


def markdown(took: Took, facts: machine.Machine) -> str:
    """The section of the results."""
    live, again, cpu = (statistics.median(values) for values in (took.live, took.replays, took.cpu))
    ratio = statistics.median(one / other for one, other in zip(took.live, took.replays, strict=True))
    run = f"| {live * 1000:.0f} | {again * 1000:.2f} | {ratio:.0f} | >= {GOAL} | {'yes' if ratio >= GOAL else 'no'} |"
    rows = [
        "| measure | unit | live | strict replay | ratio | goal | met |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        f"| a run of {STEPS} steps, 3 of them model calls of 500 ms | ms {run}",
        f"| CPU of a replayed step | ms | | {cpu * 1000:.3f} | | | |",
    ]
    how = (
        f"Measured {facts.date} at commit {facts.commit} on {facts.cpu}, {facts.cores} cores, {facts.system}. "
        f"{len(took.live)} live runs, each followed by {PER_RUN} replays, on file when they are over; "
        "each replay was the same as its run. Medians."
    )
    return "\n".join([how, "", *rows]) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10, help="live runs; default 10")
    parser.add_argument("--write", action="store_true", help="also replace the section in RESULTS.md")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="replay-") as folder:
        facts = machine.describe(["runwright"], Path(folder))
        took = asyncio.run(measure(Path(folder), options.rounds))
    section = markdown(took, facts)
    print(section)
    if options.write:
        report.write_section(HERE / "RESULTS.md", section, name="replay", title="Replay")
    return 0 if statistics.median(took.live) / statistics.median(took.replays) >= GOAL else 1


if __name__ == "__main__":
    sys.exit(main())
