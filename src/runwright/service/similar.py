"""Similar questions: what shadow mode found, and what people say of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Literal

import msgspec

from runwright.core.agent import BuiltAgent
from runwright.core.event import MessageCompleted
from runwright.core.message import UserMessage, said_raw, text_of
from runwright.core.policy import Cache, Similar
from runwright.core.ports import RunStore
from runwright.core.similar import MODEL, Look, LookStore, Standing, Verdict
from runwright.errors import Conflict, NotFound
from runwright.journal.read import JournalReader
from runwright.journal.requests import sent_messages
from runwright.service.views import Page

SAMPLES = 5
"""Pairs that a report shows of each agent."""

AgentsOfToday = Callable[[], Iterable[BuiltAgent]]


class ShadowQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Whose turns: of one agent, or of all."""

    agent: str | None = None


class PairQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which pairs of answers: those to be judged, or those that were."""

    agent: str | None = None
    judged: bool = False
    limit: int = 20


class JudgeBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whether the kept answer would have done as well, and who says so: a name, or `model:REF`."""

    verdict: Verdict
    by: str = ""


class TurnView(msgspec.Struct, frozen=True, kw_only=True):
    """A question and its answer; None where the record is gone."""

    run_id: str
    step: int
    question: str | None
    answer: str | None


class PairView(msgspec.Struct, frozen=True, kw_only=True):
    """A turn, and the earlier one that would have answered it. `overlap` is the share of words the answers share."""

    object: Literal["similar_pair"] = "similar_pair"
    agent: str
    similarity: float
    overlap: float
    verdict: str
    by: str
    asked: TurnView
    like: TurnView


class ShadowView(msgspec.Struct, frozen=True, kw_only=True):
    """What shadow mode found for an agent in one setting.

    `wrong` counts what was judged different and what nobody judged. `false_rate` is its share of the would-be hits,
    `upper_bound` the one-sided upper 95 % bound of that. `missing` says what is to be done before the policy may be
    switched on with `risk`; empty when it may.
    """

    agent: str
    version: str
    model: str
    setting: str
    embedder: str
    threshold: float
    risk: float
    turns: int
    hits: int
    equal: int
    same: int
    different: int
    unjudged: int
    judged_by_model: int
    wrong: int
    false_rate: float | None
    upper_bound: float
    missing: str
    samples: tuple[PairView, ...]


class ShadowReport(msgspec.Struct, frozen=True, kw_only=True):
    """What shadow mode found, the newest first."""

    object: Literal["similar_shadow"] = "similar_shadow"
    data: tuple[ShadowView, ...]


class SimilarQuestions:
    """What a caller can ask about similar questions. `agents` are those of today."""

    def __init__(self, looks: LookStore, runs: RunStore, reader: JournalReader, *, agents: AgentsOfToday) -> None:
        self._looks = looks
        self._runs = runs
        self._reader = reader
        self._agents = agents

    async def report(self, query: ShadowQuery) -> ShadowReport:
        """What shadow mode found. Raises StorageError."""
        return await asyncio.to_thread(self._report, query)

    async def pairs(self, query: PairQuery) -> Page[PairView]:
        """Pairs whose answers differ. Raises StorageError."""
        return await asyncio.to_thread(self._pairs, query)

    async def judge(self, run_id: str, step: int, body: JudgeBody) -> PairView:
        """Say whether the kept answer would have done. What a person said, no model changes.

        Raises NotFound, and Conflict where there is nothing to judge.
        """
        return await asyncio.to_thread(self._judge, run_id, step, body)

    def _report(self, query: ShadowQuery) -> ShadowReport:
        return ShadowReport(data=tuple(map(self._shadow, self._looks.standings(query.agent))))

    def _pairs(self, query: PairQuery) -> Page[PairView]:
        looks = self._looks.pairs(query.agent, is_judged=query.judged, limit=query.limit)
        return Page(data=tuple(map(self._pair, looks)))

    def _judge(self, run_id: str, step: int, body: JudgeBody) -> PairView:
        look = self._looks.get(run_id, step)
        if look is None or not look.is_hit:
            raise NotFound(f"No earlier answer would have been given in step {step} of run {run_id!r}.")
        if look.found == "equal":
            raise Conflict("Both answers have the same words: there is nothing to judge.")
        if look.found and body.by.startswith(MODEL) and not look.by.startswith(MODEL):
            raise Conflict(f"{look.by or 'A person'} judged this pair as {look.found}; a model does not change that.")
        self._looks.judge(run_id, step, verdict=body.verdict, by=body.by)
        return self._pair(msgspec.structs.replace(look, found=body.verdict, by=body.by))

    def _shadow(self, standing: Standing) -> ShadowView:
        asker, evidence = standing.asker, standing.evidence
        similar = self._policy(asker.agent)
        worst = [
            look
            for is_judged in (True, False)
            for look in self._looks.pairs(asker.agent, is_judged=is_judged, limit=SAMPLES)
            if (look.asker, look.threshold) == (asker, standing.threshold) and look.found != "same"
        ]
        return ShadowView(
            agent=asker.agent,
            version=asker.version,
            model=asker.model,
            setting=asker.setting,
            embedder=standing.embedder,
            threshold=standing.threshold,
            risk=similar.risk,
            turns=evidence.turns,
            hits=evidence.hits,
            equal=evidence.equal,
            same=evidence.same,
            different=evidence.different,
            unjudged=evidence.unjudged,
            judged_by_model=evidence.by_model,
            wrong=evidence.wrong,
            false_rate=evidence.wrong / evidence.hits if evidence.hits else None,
            upper_bound=evidence.bound,
            missing=evidence.missing(similar.risk),
            samples=tuple(map(self._pair, worst[:SAMPLES])),
        )

    def _policy(self, agent: str) -> Similar:
        """What the agent says today, else what it would say by default."""
        guards = (each.guard for each in self._agents() if each.name == agent)
        caches = (guard.cache for guard in guards if guard is not None)
        return next((each.similar for each in caches if isinstance(each, Cache) and each.similar), Similar())

    def _pair(self, look: Look) -> PairView:
        return PairView(
            agent=look.asker.agent,
            similarity=look.similarity or 0.0,
            overlap=look.overlap,
            verdict=look.found,
            by=look.by,
            asked=self._turn(look.run_id, look.step),
            like=self._turn(look.like_run_id, look.like_step),
        )

    def _turn(self, run_id: str, step: int) -> TurnView:
        """A question and its answer, from the record."""
        question = answer = None
        if self._runs.get(run_id) is not None:
            events = list(self._reader.events(run_id))
            sent = sent_messages(events).get(step, ())
            last = said_raw(bytes(sent[-1])).message if sent else None
            question = text_of(last) if isinstance(last, UserMessage) else None
            for event in events:
                if event.step == step and isinstance(event.data, MessageCompleted):
                    answer = text_of(said_raw(bytes(event.data.message)).message)
        return TurnView(run_id=run_id, step=step, question=question, answer=answer)
