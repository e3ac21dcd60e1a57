"""The layer that answers equal calls from what was kept, in virtual time."""

import asyncio
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runwright.core.policy import Cache
from runwright.core.ports import KeyValue
from runwright.errors import StorageError, ToolFailed
from runwright.guard import Answers, Call, Codec, Spend
from runwright.guard.cache import SPREAD, Caching
from runwright.guard.key_value import MemoryKeyValue
from runwright.guard.virtual import run_virtual
from tests.unit.guard.calls import Notes, Upstream, call_of

TEXT = Codec[str](encode=str.encode, decode=bytes.decode, shape="text/1")


def now() -> float:
    """The time of the loop, as the time since 1970."""
    return asyncio.get_running_loop().time()


def spend(_: str) -> Spend:
    """What an answer took."""
    return Spend(7, 900)


class Asked:
    """What is behind the layer: gives the answers in order, the last one again and again, after a second each."""

    def __init__(self, *answers: object) -> None:
        self._answers = list(answers) or ["answer"]
        self.times = 0

    async def __call__(self, call: Call[Any]) -> Any:
        """Make the call."""
        answer = self._answers[min(self.times, len(self._answers) - 1)]
        self.times += 1
        await asyncio.sleep(1)
        call.trail.target = call.trail.target or call.target
        if isinstance(answer, Exception):
            raise answer
        return answer


def question(key: bytes | None = b"k", **changes: Any) -> Call[Any]:
    """A call that names its question."""
    return call_of(Upstream("never").send, key=lambda: key, codec=TEXT, **changes)


def layer(answers: Answers | None = None, **policy: Any) -> Caching:
    """The layer under a policy."""
    return Caching(answers or Answers(now=now), Cache(**policy), random=Random(1))


def actions(call: Call[Any]) -> list[str]:
    """What was told about a call."""
    assert isinstance(call.note, Notes)
    return call.note.actions


def test_the_second_time() -> None:
    """The first call is made and says nothing; an equal one later gets its answer, and tells age and savings."""

    async def main() -> None:
        cache, asked = layer(), Asked("one", "two")
        first, second = question(spent=spend), question(spent=spend)
        assert await cache(first, asked) == "one"
        await asyncio.sleep(10)
        assert await cache(second, asked) == "one"
        assert asked.times == 1
        assert (actions(first), first.trail.is_cached) == ([], False)
        assert (actions(second), second.trail.is_cached, second.trail.target) == (["cache hit"], True, "x")
        assert isinstance(second.note, Notes)
        told = second.note.decisions[0]
        assert told.figures == {"age_s": 10, "saved_nano_usd": 900, "saved_tokens": 7}

    run_virtual(main())


@pytest.mark.parametrize(
    "call",
    [
        lambda: question(None),
        lambda: question(is_sampled=True),
        lambda: question(effect="idempotent"),
        lambda: question(effect="once"),
        lambda: call_of(Upstream("never").send, codec=TEXT),
        lambda: call_of(Upstream("never").send, key=lambda: b"k"),
    ],
    ids=["no_key", "sampled", "idempotent", "once", "nameless", "no_codec"],
)
def test_what_is_not_shared(call: Any) -> None:
    """Calls that act, are sampled, or do not name their question are made each time, also at the same time."""

    async def main() -> None:
        cache, asked = layer(), Asked("one", "two", "three")
        assert await asyncio.gather(cache(call(), asked), cache(call(), asked)) == ["one", "two"]
        assert await cache(call(), asked) == "three"

    run_virtual(main())


def test_sampled_by_choice() -> None:
    """A policy can say that sampled answers may be given again."""

    async def main() -> None:
        cache, asked = layer(sampled=True), Asked("one", "two")
        assert [await cache(question(is_sampled=True), asked) for _ in range(2)] == ["one", "one"]

    run_virtual(main())


def test_a_stampede() -> None:
    """200 equal calls that find nothing are one, also when the answer that was kept has just gone."""

    async def main() -> None:
        cache, asked = layer(ttl_s=50), Asked()
        for _ in range(2):
            answers = await asyncio.gather(*(cache(question(), asked) for _ in range(200)))
            assert answers == ["answer"] * 200
            await asyncio.sleep(100)
        assert asked.times == 2

    run_virtual(main())


def test_equal_at_once_and_nothing_kept() -> None:
    """With no time at all equal calls at once are one, and the next is made anew."""

    async def main() -> None:
        cache, asked = layer(ttl_s=0), Asked("one", "two")
        assert await asyncio.gather(cache(question(), asked), cache(question(), asked)) == ["one", "one"]
        assert await cache(question(), asked) == "two"

    run_virtual(main())


def test_an_error_is_not_kept() -> None:
    """A call that failed is made again."""

    async def main() -> None:
        cache, asked = layer(), Asked(ToolFailed("it broke"), "well")
        with pytest.raises(ToolFailed):
            await cache(question(), asked)
        assert await cache(question(), asked) == "well"

    run_virtual(main())


def test_answers_of_others_are_not_kept() -> None:
    """What another model answered is given to the caller, and the next call asks the one that it names."""

    async def main() -> None:
        cache, asked = layer(), Asked("other", "own")
        fallen = question()
        fallen.trail.target = "another"
        assert await cache(fallen, asked) == "other"
        assert await cache(question(), asked) == "own"

    run_virtual(main())


def test_a_stricter_policy() -> None:
    """What was kept for long is not given to a caller who wants it fresher."""

    async def main() -> None:
        answers, asked = Answers(now=now), Asked("one", "two")
        await layer(answers, ttl_s=1000)(question(), asked)
        await asyncio.sleep(20)
        assert await layer(answers, ttl_s=60)(question(), asked) == "one"
        assert await layer(answers, ttl_s=10)(question(), asked) == "two"

    run_virtual(main())


@given(seed=st.integers(0, 1000), ttl_s=st.floats(1, 10_000))
def test_how_long(seed: int, ttl_s: float) -> None:
    """An answer is given again for at least nine tenths of its time, and never after it."""

    async def main() -> None:
        cache = Caching(Answers(now=now), Cache(ttl_s=ttl_s), random=Random(seed))
        asked = Asked("one", "two")
        await cache(question(), asked)
        await asyncio.sleep(ttl_s * (1 - SPREAD) * 0.999)
        assert await cache(question(), asked) == "one"
        await asyncio.sleep(ttl_s * (SPREAD + 0.002))
        assert await cache(question(), asked) == "two"

    run_virtual(main())


class Away(MemoryKeyValue):
    """A place that cannot be reached."""

    async def get(self, space: str, key: bytes) -> bytes | None:
        """Refuse."""
        raise StorageError("away")

    async def set(self, space: str, key: bytes, value: bytes, *, ttl_s: float) -> None:
        """Refuse."""
        raise StorageError("away")


def test_the_far_place() -> None:
    """What another process kept is found there once, and stands in memory from then on."""

    async def main() -> None:
        shared, asked = MemoryKeyValue(now=now), Asked("one", "two")
        await layer(Answers(far=shared, now=now))(question(), asked)
        near = MemoryKeyValue(now=now)
        own = Answers(near=near, far=shared, now=now)
        call = question()
        assert await layer(own)(call, asked) == "one"
        assert (actions(call), call.trail.is_cached) == (["cache hit"], True)
        await shared.clear()
        assert await layer(own)(question(), asked) == "one"
        assert (own.counts.hits, own.counts.misses) == (2, 0)

    run_virtual(main())


def test_the_far_place_is_away() -> None:
    """A call does not fail because its answer can be neither looked for nor kept; that is told."""

    async def main() -> None:
        call = question()
        cache, asked = layer(Answers(far=Away(now=now), now=now)), Asked()
        assert await cache(call, asked) == "answer"
        assert actions(call) == ["cache skipped"] * 2

    run_virtual(main())


@pytest.mark.parametrize(
    "other",
    [
        Codec[str](encode=str.encode, decode=bytes.decode, shape="text/2"),
        Codec[str](encode=str.encode, decode=lambda data: str(int(data)), shape="text/1"),
    ],
    ids=["another_shape", "unreadable"],
)
def test_answers_of_another_release(other: Codec[str]) -> None:
    """What this release cannot read is not given; the call is made."""

    async def main() -> None:
        cache, asked = layer(), Asked("one", "two")
        await cache(question(), asked)
        call = call_of(Upstream("never").send, key=lambda: b"k", codec=other)
        assert await cache(call, asked) == "two"

    run_virtual(main())


def test_bytes_that_nobody_kept() -> None:
    """Garbage under a key is no answer."""

    async def main() -> None:
        near: KeyValue = MemoryKeyValue(now=now)
        await near.set("tool", b"k", b"\xc1garbage", ttl_s=100)
        assert await layer(Answers(near=near, now=now))(question(), Asked()) == "answer"

    run_virtual(main())


def test_counts() -> None:
    """Hits, misses, calls that joined, stores and savings are counted; clearing says how many answers went."""

    async def main() -> None:
        answers = Answers(now=now)
        cache, asked = layer(answers), Asked()
        await asyncio.gather(*(cache(question(spent=spend), asked) for _ in range(5)))
        await cache(question(spent=spend), asked)
        await cache(question(b"other"), asked)
        counts = answers.counts
        assert (counts.hits, counts.misses, counts.joined, counts.stores) == (1, 2, 4, 2)
        assert counts.saved == Spend(7, 900, calls=1)
        (size,) = await answers.sizes()
        assert [(space.name, space.count) for space in size.spaces] == [("tool", 2)]
        assert await answers.clear("model") == 0
        assert await answers.clear("tool") == 2
        assert await cache(question(), asked) == "answer"
        assert asked.times == 3

    run_virtual(main())


@given(steps=st.integers(0, 12), is_far=st.booleans())
def test_cancelled_at_every_step(steps: int, is_far: bool) -> None:
    """A call that is cancelled after any number of the loop's steps leaves no task and no answer."""

    async def main() -> None:
        answers = Answers(far=MemoryKeyValue(now=now) if is_far else None, now=now)
        cache, asked = layer(answers), Asked()
        task = asyncio.ensure_future(cache(question(), asked))
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        assert (len(answers.flights), len(asyncio.all_tasks()), answers.counts.stores) == (0, 1, 0)

    run_virtual(main())
