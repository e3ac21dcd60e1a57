"""Similar questions from shadow mode to answers, with the real embedder, on a store in a file."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from runwright import App
from runwright.app import AppOptions
from runwright.backends.minilm import has_packages
from runwright.core.event import GuardDecided
from runwright.core.replay import Replay
from runwright.core.run import RunRequest
from runwright.errors import Conflict, NotFound
from runwright.models import ModelRegistry
from runwright.models.weights import EMBEDDER
from runwright.service.similar import JudgeBody, PairQuery, ShadowQuery
from runwright.service.views import RunView
from runwright.settings import Settings

WEIGHTS = Settings().cache_dir
ITALY, PARAPHRASE = "What is the capital of Italy?", "Which city is Italy's capital?"
NEGATED, SPAIN = "What is not the capital of Italy?", "What is the capital of Spain?"

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(
        not (has_packages() and all((WEIGHTS / file.filename).is_file() for file in EMBEDDER)),
        reason="needs the extra `similar` and `runwright models pull minilm-l6`, which `make test` installs",
    ),
]


DEFINITION = """
name: faq
model: demo
instructions: {instructions}
settings: {{temperature: 0}}
guard: {{cache: {{similar: {{mode: {mode}, threshold: 0.9, risk: 0.8}}}}}}
"""


def define(agents: Path, mode: str, instructions: str = "Be brief.") -> None:
    """Write the agent's definition."""
    agents.mkdir(exist_ok=True)
    (agents / "faq.yaml").write_text(DEFINITION.format(mode=mode, instructions=instructions))


async def redefine(app: App, agents: Path, mode: str, instructions: str = "Be brief.") -> None:
    """Let the agent have another definition from now on."""
    define(agents, mode, instructions)
    assert await asyncio.to_thread(app.reload) == ()


@pytest.fixture
async def app(tmp_path: Path) -> AsyncIterator[App]:
    """An app in memory with one agent in shadow mode."""
    define(tmp_path, "shadow")
    settings, models = Settings(models_dir=WEIGHTS), ModelRegistry(default="demo")
    options = AppOptions(is_in_memory=True, is_offline=True)
    async with App(settings, sources=[tmp_path], models=models, options=options) as app:
        yield app


async def decided(app: App, run: RunView) -> Sequence[GuardDecided]:
    """What the guard decided in a run."""
    events = [event.data async for page in app.runs.events(run.id) for event in page]
    return [data for data in events if isinstance(data, GuardDecided)]


async def ask(app: App, *questions: str) -> list[RunView]:
    """Ask one after the other."""
    return [await app.run("faq", question) for question in questions]


async def test_from_shadow_to_answers(app: App, tmp_path: Path) -> None:
    """Shadow runs and judgements allow answers, which replay strictly; other instructions need their own evidence."""
    first, like, negated, _ = await ask(app, ITALY, PARAPHRASE, NEGATED, SPAIN)
    (told,) = await decided(app, like)
    assert (told.action, told.figures["run"], told.figures["is_equal"]) == ("would_hit", first.id, 0)
    assert PARAPHRASE in bytes(like.output or b"").decode()
    (view,) = (await app.similar.report(ShadowQuery(agent="faq"))).data
    assert (view.turns, view.hits, view.unjudged, view.upper_bound) == (4, 2, 2, 1.0)
    assert view.missing == "judge 2 pairs whose answers differ"
    pairs = (await app.similar.pairs(PairQuery())).data
    assert {pair.asked.question for pair in pairs} == {PARAPHRASE, NEGATED}
    assert {pair.like.question for pair in pairs} == {ITALY}
    for pair in pairs:
        await app.similar.judge(pair.asked.run_id, pair.asked.step, JudgeBody(verdict="same", by="anna"))
    (view,) = (await app.similar.report(ShadowQuery())).data
    assert (view.same, round(view.upper_bound, 3), view.missing, view.samples) == (2, 0.776, "", ())
    await redefine(app, tmp_path, "answer")
    (hit,) = await ask(app, PARAPHRASE.upper())
    (told,) = await decided(app, hit)
    assert (told.action, told.figures["run"], hit.usage.total_tokens) == ("hit", first.id, 0)
    assert hit.output == first.output
    replay = RunRequest(agent="", input=b"", replay=Replay(of=hit.id))
    again = await (await app.runs.create(replay)).wait()
    assert (again.status, again.output) == ("completed", first.output)
    assert (await app.cache.clear("similar")).entries == 2
    (asked,) = await ask(app, "Tell me what Italy's capital is.")
    assert asked.usage.total_tokens > 0
    await redefine(app, tmp_path, "answer", instructions="Be long.")
    (refused,) = await ask(app, ITALY)
    assert refused.error is not None
    assert (refused.status, refused.error.code) == ("failed", "guard_refused")
    assert "runwright cache shadow --agent faq" in refused.error.message
    assert negated.status == "completed"


async def test_a_wrong_answer_forbids(app: App, tmp_path: Path) -> None:
    """With a pair that is judged different the bound is above the risk, and calls are refused."""
    await ask(app, ITALY, PARAPHRASE, NEGATED)
    for pair in (await app.similar.pairs(PairQuery())).data:
        verdict = "different" if pair.asked.question == NEGATED else "same"
        await app.similar.judge(pair.asked.run_id, pair.asked.step, JudgeBody(verdict=verdict))
    (view,) = (await app.similar.report(ShadowQuery())).data
    assert (view.different, view.false_rate, [pair.asked.question for pair in view.samples]) == (1, 0.5, [NEGATED])
    await redefine(app, tmp_path, "answer")
    (refused,) = await ask(app, SPAIN)
    assert refused.error is not None
    assert "1 of them wrong or not judged" in refused.error.message


async def test_who_may_judge_what(app: App) -> None:
    """What a person said stays when a model says otherwise; what would not have been answered is no pair."""
    first, _ = await ask(app, ITALY, PARAPHRASE)
    (pair,) = (await app.similar.pairs(PairQuery(agent="faq"))).data
    run_id, step = pair.asked.run_id, pair.asked.step
    by_model = JudgeBody(verdict="same", by="model:demo")
    assert (await app.similar.judge(run_id, step, by_model)).by == "model:demo"
    assert (await app.similar.judge(run_id, step, JudgeBody(verdict="different", by="anna"))).verdict == "different"
    with pytest.raises(Conflict, match="anna judged this pair as different"):
        await app.similar.judge(run_id, step, by_model)
    assert (await app.similar.pairs(PairQuery())).data == ()
    assert [each.by for each in (await app.similar.pairs(PairQuery(judged=True))).data] == ["anna"]
    with pytest.raises(NotFound):
        await app.similar.judge(first.id, step, by_model)
