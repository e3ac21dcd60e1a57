"""Questions that are much alike: the later one may be answered by what the earlier one got.

Behind the exact cache, which keeps the answers. In shadow mode every call is made, and what would have been answered is
compared with what was. Switched on, the layer refuses calls until such evidence bounds the share of wrong answers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from threading import Lock
from typing import Any, Final, TypeVar

import msgspec

from runwright.core.event import GuardDecided
from runwright.core.policy import Cache, Similar
from runwright.core.similar import (
    Asked,
    Asker,
    Embedder,
    Evidence,
    Look,
    LookStore,
    Question,
    QuestionStore,
    overlap,
    words_of,
)
from runwright.errors import GuardError, StorageError
from runwright.guard.cache import Answers, given, named_question, read_answer, skipped
from runwright.guard.call import Call, Codec, Proceed

T = TypeVar("T")

CHECK_S: Final = 60.0
"""How long evidence that allows answers is not read again."""


class Likeness:
    """What questions are compared with and where they are kept. `open` loads the embedder on first use, in a thread."""

    def __init__(self, questions: QuestionStore, looks: LookStore, *, open: Callable[[], Embedder]) -> None:
        self.questions = questions
        self.looks = looks
        self._open = open
        self._lock = Lock()
        self._embedder: Embedder | None = None

    def embedder(self) -> Embedder:
        """The embedder. Raises MissingExtra or ConfigError."""
        with self._lock:
            if self._embedder is None:
                self._embedder = self._open()
            return self._embedder


class _Place(msgspec.Struct, frozen=True):
    """Where a question stands: its vector, and the nearest question of its scope with the cosine to it."""

    question: Question
    embedder: str
    nearest: Question | None = None
    similarity: float | None = None


class _Like(msgspec.Struct, frozen=True):
    """A question that is much like the one that is asked, with its answer; `figures` tell them."""

    question: Question
    answer: Any
    figures: dict[str, int | float | str]


class Resembling:
    """The layer, for calls that say what they ask. A question of which a part would not count is not compared."""

    def __init__(self, likeness: Likeness, answers: Answers, policy: Cache, *, similar: Similar) -> None:
        self._likeness = likeness
        self._answers = answers
        self._policy = policy
        self._similar = similar
        self._allowed: dict[Asker, float] = {}

    async def __call__(self, call: Call[T], proceed: Proceed[T]) -> T:
        """Answer the call, or have it made. Raises GuardError while there is no evidence that answers are right."""
        named = named_question(call, self._policy)
        asked = None if call.asked is None or named is None else call.asked()
        if named is None or asked is None or not self._policy.ttl_s:
            return await proceed(call)
        key, codec = named
        try:
            await self._check(asked.asker)
            place = await asyncio.to_thread(self._locate, asked, key, now=self._answers.now())
            like = None if place is None else await self._like(call, codec, place)
        except StorageError as error:
            skipped(call, error)
            return await proceed(call)
        if place is None:
            return await proceed(call)
        if like is not None and self._similar.mode == "answer":
            return self._give(call, like)
        answer = await proceed(call)
        # Only what the exact cache keeps too, of the model that was asked.
        if codec.encode(answer) is not None and call.trail.target in ("", call.target):
            # Who finds the question before its answer is there takes the answer for one that is gone.
            call.trail.on_kept = lambda: self._note(call, asked, place, like=like, answer=answer)
        return answer

    async def _check(self, asker: Asker) -> None:
        """Refuse to answer without evidence. Raises GuardError and StorageError."""
        now = asyncio.get_running_loop().time()
        if self._similar.mode == "shadow" or self._allowed.get(asker, -CHECK_S) + CHECK_S > now:
            return
        evidence = await asyncio.to_thread(self._evidence, asker)
        if evidence.bound > self._similar.risk:
            raise GuardError(_refusal(asker, self._similar, evidence))
        self._allowed[asker] = now

    def _evidence(self, asker: Asker) -> Evidence:
        name, threshold = self._likeness.embedder().name, self._similar.threshold
        return self._likeness.looks.evidence(asker, name, threshold=threshold)

    def _locate(self, asked: Asked, key: bytes, *, now: float) -> _Place | None:
        embedder = self._likeness.embedder()
        vector = embedder.embed(asked.text)
        if vector is None:
            return None
        question = Question(
            scope=asked.scope,
            key=key,
            vector=vector,
            run_id=asked.run_id,
            step=asked.step,
            expires_at=now + self._policy.ttl_s,
        )
        # The question itself is the exact cache's: it is no evidence.
        others = [each for each in self._likeness.questions.among(asked.scope, now=now) if each.key != key]
        if not others:
            return _Place(question, embedder.name)
        index, similarity = embedder.nearest(vector, [each.vector for each in others])
        return _Place(question, embedder.name, others[index], round(similarity, 6))

    async def _like(self, call: Call[T], codec: Codec[T], place: _Place) -> _Like | None:
        nearest, similarity = place.nearest, place.similarity
        if nearest is None or similarity is None or similarity < self._similar.threshold:
            return None
        ttl_s = self._policy.ttl_s
        kept = await self._answers.near(call.kind, nearest.key, ttl_s=ttl_s)
        kept = kept or await self._answers.far(call.kind, nearest.key, ttl_s=ttl_s)
        answer = None if kept is None else read_answer(codec, kept)
        if kept is None or answer is None:
            await asyncio.to_thread(self._likeness.questions.forget, nearest)
            return None
        told: dict[str, int | float | str] = {"run": nearest.run_id, "step": nearest.step, "similarity": similarity}
        saved = self._answers.hit(kept) if self._similar.mode == "answer" else {}
        return _Like(nearest, answer[0], {**told, **saved})

    def _give(self, call: Call[T], like: _Like) -> T:
        given(call)
        reason = "a question that is much like it"
        call.note(GuardDecided(layer="cache", action="hit", target=call.target, reason=reason, figures=like.figures))
        return like.answer

    async def _note(self, call: Call[T], asked: Asked, place: _Place, *, like: _Like | None, answer: T) -> None:
        """Keep what was found: a look in shadow mode, and the question unless another one would have answered it."""
        look = self._look(asked, place, like=like, answer=answer) if self._similar.mode == "shadow" else None
        if look is not None and like is not None:
            figures = {**like.figures, "overlap": look.overlap, "is_equal": int(look.found == "equal")}
            call.note(GuardDecided(layer="cache", action="would_hit", target=call.target, figures=figures))
        try:
            question = None if like is not None else place.question
            await asyncio.to_thread(self._write, look, question, now=self._answers.now())
        except StorageError as error:
            skipped(call, error)

    def _look(self, asked: Asked, place: _Place, *, like: _Like | None, answer: object) -> Look:
        similarity = place.similarity
        if like is None:
            # The nearest one was below the threshold, or its answer is gone.
            similarity = None if similarity is None else min(similarity, self._similar.threshold - 1e-6)
        look = Look(
            run_id=asked.run_id,
            step=asked.step,
            at=datetime.fromtimestamp(self._answers.now(), UTC),
            asker=asked.asker,
            embedder=place.embedder,
            threshold=self._similar.threshold,
            similarity=similarity,
        )
        if like is None:
            return look
        live, kept = asked.read(answer), asked.read(like.answer)
        return msgspec.structs.replace(
            look,
            like_run_id=like.question.run_id,
            like_step=like.question.step,
            overlap=round(overlap(live, kept), 6),
            found="equal" if words_of(live) == words_of(kept) else "",
        )

    def _write(self, look: Look | None, question: Question | None, *, now: float) -> None:
        if look is not None:
            self._likeness.looks.note(look)
        if question is not None:
            self._likeness.questions.keep(question, now=now)


def _refusal(asker: Asker, similar: Similar, evidence: Evidence) -> str:
    told = f"of {evidence.turns:,} turns {evidence.hits:,} would have been answered"
    judged = f"{evidence.wrong:,} of them wrong or not judged"
    bound = f"so up to {evidence.bound:.1%} of such answers are wrong, and the policy takes {similar.risk:.1%}"
    rest = evidence.missing(similar.risk)
    return (
        f"The cache of {asker.agent!r} (version {asker.version}) may not answer similar questions "
        f"at {similar.threshold:g}: {told}, {judged}, {bound}. Set similar.mode to 'shadow' and {rest}; "
        f"see `runwright cache shadow --agent {asker.agent}`."
    )
