"""Personal data taken out of exported runs."""

from __future__ import annotations

import asyncio
import gzip
from pathlib import Path

import msgspec
import pytest

from runwright import Agent, App, Context, tool
from runwright.app import AppOptions
from runwright.core.replay import Replay
from runwright.core.run import RunRequest
from runwright.errors import Conflict, InvalidRequest
from runwright.journal.export import read_bundle
from runwright.service.redaction import Redactor
from runwright.settings import Settings
from runwright.testing import assert_replays

pytestmark = pytest.mark.anyio

MEMORY = AppOptions(is_in_memory=True, is_offline=True)
ADA = "ada@example.org"


@tool(effect="read")
async def look_up(email: str) -> dict[str, str]:
    """Look up a customer."""
    return {"name": "Ada", "email": email, "second": "bob@example.org"}


def support(instructions: str = "Help.") -> Agent:
    """A loop that looks customers up."""
    return Agent("support", model="demo", instructions=instructions, tools=[look_up])


async def _look(email: str, context: Context) -> str:
    found = await context.tool(look_up, email=email)
    return f"{found['name']}: {found['email']}"


flow = Agent("flow", run=_look)


async def exported(agent: Agent, input: str, *rules: str) -> bytes:
    """A run as a redacted file."""
    app = await asyncio.to_thread(lambda: App(Settings(metrics=False), agents=[agent], options=MEMORY))
    async with app:
        view = await app.run(agent.name, input, user=ADA, group=ADA, metadata={"who": ADA})
        assert view.status == "completed", view.error
        return await app.exports.export(view.id, redact=rules)


@pytest.mark.parametrize("name", ["support", "flow"])
def test_a_redacted_run_replays(name: str, tmp_path: Path) -> None:
    """Nothing of the data is left in the file, and the run still replays."""
    agent = support() if name == "support" else flow
    raw = asyncio.run(exported(agent, f"look up the email {ADA}" if name == "support" else ADA, "email"))
    text = gzip.decompress(raw).decode()
    assert "example.org" not in text
    assert "<email-1>" in text
    assert "<email-2>" in text
    assert read_bundle(raw).redacted == ("email",)
    file = tmp_path / "x.run"
    file.write_bytes(raw)
    assert_replays(file, agents=[agent])


async def test_instructions_that_held_it_are_told() -> None:
    """A run whose instructions changed cannot be replayed, and says why."""
    agent = support(f"Write to {ADA}.")
    raw = await exported(agent, "hello", "email")
    app = await asyncio.to_thread(lambda: App(Settings(metrics=False), agents=[agent], options=MEMORY))
    async with app:
        view = await app.exports.import_file(raw)
        with pytest.raises(Conflict, match="instructions held personal data"):
            await app.runs.create(RunRequest(agent="", input=b"", replay=Replay(of=view.id)))


def test_rules() -> None:
    """Rules find what they name; the same text has the same pseudonym, another text another one."""
    redactor = Redactor(["email", "phone", "card", "ip", "iban", "order=ORD-[0-9]+"])
    mails, card = "ada@x.org, bob@x.org, ada@x.org", "4111 1111 1111 1111"
    said = f"{mails}; +49 30 1234 5678; {card}; 10.0.0.1; DE89 3704 0044 0532 0130 00; ORD-17"
    shown = redactor.text(said)
    assert shown == "<email-1>, <email-2>, <email-1>; <phone-1>; <card-1>; <ip-1>; <iban-1>; <order-1>"
    assert redactor.text("version 1.2.3 of 2026-11-21, 12345, run_01a1ff5d96457bb88afb83686ccd0601") == (
        "version 1.2.3 of 2026-11-21, 12345, run_01a1ff5d96457bb88afb83686ccd0601"
    )
    assert redactor.json(b'{"ada@x.org":["bob@x.org",1.50]}') == b'{"<email-1>":["<email-2>",1.5]}'


@pytest.mark.parametrize("rule", ["nothing", "own=["])
def test_rules_that_are_none(rule: str) -> None:
    """An unknown rule and an expression that is none are refused."""
    with pytest.raises(InvalidRequest, match=r"no rule|no regular expression"):
        Redactor([rule])


async def test_results_that_a_replay_was_given_are_cleaned() -> None:
    """What somebody put in the place of a recorded result stands in the replay's request, and goes too."""
    app = await asyncio.to_thread(lambda: App(Settings(metrics=False), agents=[flow], options=MEMORY))
    async with app:
        first = await app.run("flow", "somebody")
        (step,) = (await app.runs.steps(first.id)).data
        result = msgspec.Raw(msgspec.json.encode({"name": "Ada", "email": ADA}))
        request = RunRequest(agent="", input=b"", replay=Replay(of=first.id, results={step.seq: result}))
        again = await (await app.runs.create(request)).wait()
        assert ADA in bytes(again.output).decode(), again.error
        assert ADA not in gzip.decompress(await app.exports.export(again.id, redact=["email"])).decode()
