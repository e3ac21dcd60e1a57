"""The layer that answers similar questions, or finds out whether it may, over a store in memory."""

import asyncio
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from random import Random
from typing import Any

import pytest

from runwright.core.policy import Cache, Similar
from runwright.core.similar import Asked, Asker, Look, Question
from runwright.errors import ConfigError, GuardError, MissingExtra, StorageFull
from runwright.guard import Answers, Call, Codec, Likeness
from runwright.guard.cache import Caching
from runwright.guard.similar import CHECK_S, Resembling
from runwright.guard.virtual import run_virtual
from runwright.store import Stores, open_stores
from tests.unit.guard.calls import Notes, Upstream, call_of, is_cancelled_at

TEXT = Codec[str](encode=lambda text: text.encode() or None, decode=bytes.decode, shape="text/1")
ASKER = Asker(agent="faq", version="1.0.0", model="demo", setting="s1")
NEAR = {("capital of Italy", "Italy's capital"): 0.97, ("capital of Italy", "capital of Spain"): 0.7}


class Scripted:
    """An embedder: the vector of a text is the text, and likeness is what the script says."""

    name = "scripted"

    def embed(self, text: str) -> bytes | None:
        """The text itself; a long one has no vector."""
        return text.encode() if len(text) < 100 else None

    def nearest(self, vector: bytes, among: Sequence[bytes]) -> tuple[int, float]:
        """The place of the most similar one."""
        text = vector.decode()
        likes = [NEAR.get((other.decode(), text), 0.1) for other in among]
        return max(enumerate(likes), key=lambda each: each[1])


class Scene:
    """The exact cache and the layer behind it, with what they share, and answers to come."""

    def __init__(self, stores: Stores, **similar: Any) -> None:
        self.stores = stores
        self.answers = Answers(now=lambda: asyncio.get_running_loop().time() + 1)
        self.likeness = Likeness(stores.questions, stores.looks, open=Scripted)
        self.sent: list[str] = []
        self.replies: list[str] = []
        self.set(**similar)

    def set(self, **similar: Any) -> None:
        """Take another policy."""
        policy = Cache(similar=Similar(**similar))
        assert policy.similar is not None
        self.caching = Caching(self.answers, policy, random=Random(1))
        self.layer = Resembling(self.likeness, self.answers, policy, similar=policy.similar)

    async def ask(self, text: str, *, step: int, **changes: Any) -> tuple[str, list[Any]]:
        """Ask through both layers; the answer, and what was decided."""
        call = asking(text, step, **changes)
        answer = await self.caching(call, lambda inner: self.layer(inner, self.send))
        assert isinstance(call.note, Notes)
        return answer, call.note.decisions

    async def send(self, call: Call[Any]) -> Any:
        """Make the call."""
        asked = call.asked() if call.asked is not None else None
        self.sent.append("" if asked is None else asked.text)
        call.trail.target = call.trail.target or call.target
        return self.replies.pop(0) if self.replies else f"about {self.sent[-1]}"

    async def look(self, step: int) -> Look | None:
        """What was noted of a turn."""
        return await asyncio.to_thread(self.stores.looks.get, "run_1", step)

    async def kept(self) -> list[int]:
        """The steps of the questions that are kept, the newest first."""
        return [each.step for each in await asyncio.to_thread(self.stores.questions.among, b"scope", now=1)]


def asking(text: str, step: int, *, scope: bytes = b"scope", **changes: Any) -> Call[Any]:
    """A call of a model that asks."""
    asked = Asked(asker=ASKER, scope=scope, text=text, run_id="run_1", step=step, read=str)
    key = scope + text.encode()
    plain = {"kind": "model", "key": lambda: key, "codec": TEXT, "asked": lambda: asked}
    return call_of(Upstream("never").send, **{**plain, **changes})


@pytest.fixture
def stores() -> Iterator[Stores]:
    """A store in memory."""
    opened = open_stores("sqlite://")
    yield opened
    opened.close()


def allow(stores: Stores) -> None:
    """Evidence of as few right answers as allow a risk of 20 %."""
    for number in range(14):
        look = Look(
            run_id="run_0",
            step=number,
            at=datetime(2026, 1, 1, tzinfo=UTC),
            asker=ASKER,
            embedder="scripted",
            threshold=0.95,
            similarity=0.96,
            found="equal",
        )
        stores.looks.note(look)


def test_shadow_asks_and_compares(stores: Stores) -> None:
    """In shadow mode a similar question is asked all the same; the record tells what would have answered it."""

    async def main() -> None:
        scene = Scene(stores)
        scene.replies = ["Rome.", "It is Rome."]
        assert await scene.ask("capital of Italy", step=1) == ("Rome.", [])
        answer, (told,) = await scene.ask("Italy's capital", step=2)
        assert (answer, scene.sent) == ("It is Rome.", ["capital of Italy", "Italy's capital"])
        assert (told.layer, told.action) == ("cache", "would_hit")
        figures = {"run": "run_1", "step": 1, "similarity": 0.97, "overlap": 0.333333, "is_equal": 0}
        assert told.figures == figures
        first, second = await scene.look(1), await scene.look(2)
        assert first is not None
        assert second is not None
        assert (first.is_hit, first.similarity) == (False, None)
        assert (second.is_hit, second.found, second.like_step, second.overlap) == (True, "", 1, 0.333333)

    run_virtual(main())


def test_equal_words_are_right(stores: Stores) -> None:
    """A live answer of the same words, whatever their dress, needs no judgement."""

    async def main() -> None:
        scene = Scene(stores)
        scene.replies = ["Rome.", " rome"]
        await scene.ask("capital of Italy", step=1)
        _, (told,) = await scene.ask("Italy's capital", step=2)
        look = await scene.look(2)
        assert look is not None
        assert (told.figures["is_equal"], look.found) == (1, "equal")

    run_virtual(main())


def test_below_the_threshold_nothing_would_be_given(stores: Stores) -> None:
    """A question that is not like enough is counted with its similarity, and is one to compare with from then on."""

    async def main() -> None:
        scene = Scene(stores)
        await scene.ask("capital of Italy", step=1)
        assert await scene.ask("capital of Spain", step=2) == ("about capital of Spain", [])
        look = await scene.look(2)
        assert look is not None
        assert (look.similarity, look.is_hit, look.like_run_id) == (0.7, False, "")
        assert sorted(await scene.kept()) == [1, 2]

    run_virtual(main())


def test_what_would_be_answered_is_not_kept(stores: Stores) -> None:
    """Shadow mode compares with the questions that a cache that is on would hold: not with those it would answer."""

    async def main() -> None:
        scene = Scene(stores)
        await scene.ask("capital of Italy", step=1)
        await scene.ask("Italy's capital", step=2)
        assert await scene.kept() == [1]

    run_virtual(main())


@pytest.mark.parametrize(
    ("text", "changes"),
    [
        ("Italy's capital", {"scope": b"other"}),
        ("Italy's capital", {"asked": None}),
        ("Italy's capital", {"asked": lambda: None}),
        ("Italy's capital", {"is_sampled": True}),
        ("Italy's capital", {"codec": None}),
        ("Italy's capital " * 20, {}),
    ],
    ids=["other_scope", "never_asks", "with_tools", "sampled", "replay", "too_long"],
)
def test_what_is_never_compared(stores: Stores, text: str, changes: dict[str, Any]) -> None:
    """Another scope, a turn with tools, a sampled answer, a replay and a text beyond the window meet no kept answer."""

    async def main() -> None:
        scene = Scene(stores, mode="answer", risk=0.2)
        await asyncio.to_thread(allow, stores)
        await scene.ask("capital of Italy", step=1)
        _, decisions = await scene.ask(text, step=2, **changes)
        assert (len(scene.sent), decisions) == (2, [])

    run_virtual(main())


def test_without_evidence_it_refuses(stores: Stores) -> None:
    """Switched on without evidence, a call fails before anything is sent, and says the figures and the command."""

    async def main() -> None:
        scene = Scene(stores, mode="answer")
        with pytest.raises(GuardError) as failed:
            await scene.ask("capital of Italy", step=1)
        assert scene.sent == []
        assert failed.value.message == (
            "The cache of 'faq' (version 1.0.0) may not answer similar questions at 0.95: of 0 turns 0 would have been "
            "answered, 0 of them wrong or not judged, so up to 100.0% of such answers are wrong, and the policy takes "
            "1.0%. Set similar.mode to 'shadow' and collect 299 more would-be hits, none of them wrong; "
            "see `runwright cache shadow --agent faq`."
        )

    run_virtual(main())


def test_with_evidence_it_answers(stores: Stores) -> None:
    """With evidence a similar question gets the kept answer; that is not kept again under the new question."""

    async def main() -> None:
        scene = Scene(stores, mode="answer", risk=0.2)
        await asyncio.to_thread(allow, stores)
        assert await scene.ask("capital of Italy", step=1) == ("about capital of Italy", [])
        for step in (2, 3):
            answer, (told,) = await scene.ask("Italy's capital", step=step)
            assert (answer, scene.sent) == ("about capital of Italy", ["capital of Italy"])
            assert (told.layer, told.action, told.reason) == ("cache", "hit", "a question that is much like it")
            assert (told.figures["run"], told.figures["step"], told.figures["similarity"]) == ("run_1", 1, 0.97)
        assert await scene.look(2) is None

    run_virtual(main())


def test_evidence_is_looked_at_again(stores: Stores) -> None:
    """A wrong answer that is found later ends the permission, within a minute; other settings never had it."""

    async def main() -> None:
        scene = Scene(stores, mode="answer", risk=0.2)
        await asyncio.to_thread(allow, stores)
        await scene.ask("capital of Italy", step=1)
        await asyncio.to_thread(stores.looks.judge, "run_0", 3, verdict="different", by="anna")
        await asyncio.sleep(CHECK_S / 2)
        await scene.ask("capital of Spain", step=2)
        await asyncio.sleep(CHECK_S)
        with pytest.raises(GuardError, match="1 of them wrong"):
            await scene.ask("capital of France", step=3)
        scene.set(mode="answer", risk=0.2, threshold=0.9)
        with pytest.raises(GuardError, match="of 0 turns"):
            await scene.ask("capital of France", step=3)

    run_virtual(main())


def test_an_answer_that_is_gone_is_not_missed(stores: Stores) -> None:
    """A question whose answer the cache has forgotten is forgotten too, and the call is made."""

    async def main() -> None:
        scene = Scene(stores, mode="answer", risk=0.2)
        await asyncio.to_thread(allow, stores)
        await scene.ask("capital of Italy", step=1)
        await scene.answers.clear("model")
        assert await scene.ask("Italy's capital", step=2) == ("about Italy's capital", [])
        assert await scene.kept() == [2]

    run_virtual(main())


def test_a_question_is_kept_after_its_answer(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    """A similar call that comes while an answer is being kept does not take its question for one without an answer."""

    async def main() -> None:
        scene = Scene(stores)
        keep = scene.answers.keep

        async def slow(*args: Any, **kwargs: Any) -> None:
            monkeypatch.undo()
            await scene.ask("Italy's capital", step=2)
            await keep(*args, **kwargs)

        monkeypatch.setattr(scene.answers, "keep", slow)
        await scene.ask("capital of Italy", step=1)
        assert sorted(await scene.kept()) == [1, 2]

    run_virtual(main())


def test_a_similar_answer_is_a_hit_and_no_miss(stores: Stores) -> None:
    """What a similar question answered counts once."""

    async def main() -> None:
        scene = Scene(stores, mode="answer", risk=0.2)
        await asyncio.to_thread(allow, stores)
        await scene.ask("capital of Italy", step=1)
        await scene.ask("Italy's capital", step=2)
        assert (scene.answers.counts.hits, scene.answers.counts.misses) == (1, 1)

    run_virtual(main())


def test_answers_that_are_not_kept_are_not_compared(stores: Stores) -> None:
    """An answer that was cut short, or is of a model that was fallen back on, is neither evidence nor a question."""

    async def main() -> None:
        scene = Scene(stores)
        await scene.ask("capital of Italy", step=1)
        scene.replies = [""]
        await scene.ask("Italy's capital", step=2)
        call = asking("Italy's capital", 3)
        call.trail.target = "another"
        await scene.layer(call, scene.send)
        assert (await scene.look(2), await scene.look(3)) == (None, None)
        assert await scene.kept() == [1]

    run_virtual(main())


class FullStore:
    """Questions on a disk that is full."""

    def among(self, scope: bytes, *, now: float) -> Sequence[Question]:
        """None."""
        raise StorageFull("The disk is full.")

    def keep(self, question: Question, *, now: float) -> None:
        """Not now."""
        raise StorageFull("The disk is full.")


def test_a_store_that_is_away_fails_no_call(stores: Stores) -> None:
    """Where questions cannot be read, the call is made, and the record tells that the cache was left out."""

    async def main() -> None:
        scene = Scene(stores)
        full: Any = FullStore()
        scene.likeness = Likeness(full, stores.looks, open=Scripted)
        scene.set()
        answer, (told,) = await scene.ask("capital of Italy", step=1)
        assert (answer, told.action, told.reason) == ("about capital of Italy", "skipped", "The disk is full.")

    run_virtual(main())


def test_a_missing_embedder_is_told(stores: Stores) -> None:
    """Without the extra the call fails with what to install, each time anew."""

    def missing() -> Scripted:
        raise MissingExtra("pip install 'runwright[similar]'")

    async def main() -> None:
        scene = Scene(stores)
        scene.likeness = Likeness(stores.questions, stores.looks, open=missing)
        scene.set()
        for step in (1, 2):
            with pytest.raises(ConfigError, match="similar"):
                await scene.ask("capital of Italy", step=step)
        assert scene.sent == []

    run_virtual(main())


def test_cancelled_anywhere_it_leaves_nothing(stores: Stores) -> None:
    """Cancelled at any wait, a call leaves no flight, and the next one is answered as if it had not been."""

    async def main() -> None:
        scene = Scene(stores)
        at = 1
        while await is_cancelled_at(scene.ask(f"question {at}", step=at), at):
            assert len(scene.answers.flights) == 0
            assert (await scene.ask(f"question {at}", step=at))[0] == f"about question {at}"
            at += 1
        assert at > 1

    run_virtual(main())
