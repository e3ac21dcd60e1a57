"""`runwright cache`."""

import os

import msgspec
import pytest
from inline_snapshot import snapshot

from runwright.cli.cache import JUDGE, clear, judge, shadow, stats
from runwright.cli.call import Options
from runwright.core.sizes import Share
from runwright.errors import InvalidRequest
from runwright.service.cache import CacheCleared, CachePlace, CacheSpace, CacheView
from runwright.service.similar import JudgeBody, PairQuery, PairView, ShadowQuery, ShadowReport, ShadowView, TurnView
from runwright.service.views import Page
from tests.unit.cli.fakes import FakeAccess, FakeCall, FakeRuns, a_run

VIEW = CacheView(
    hits=1200,
    misses=30,
    joined=4,
    stores=30,
    saved_usd="1.25",
    saved_tokens=54000,
    places=(
        CachePlace(
            name="memory",
            entries=25,
            bytes=40_000,
            limit=64_000_000,
            evicted=1,
            spaces=(
                Share(name="model", count=20, bytes=39_000),
                Share(name="tool", count=5, bytes=1000),
            ),
        ),
        CachePlace(name="database", entries=0, bytes=0, limit=None, evicted=0, spaces=()),
    ),
)


class FakeCache:
    """The cache of a test; what was cleared stands in `cleared`."""

    def __init__(self) -> None:
        self.cleared: list[CacheSpace | None] = []

    async def stats(self) -> CacheView:
        """Some hits."""
        return VIEW

    async def clear(self, of: CacheSpace | None = None) -> CacheCleared:
        """Forget."""
        self.cleared.append(of)
        return CacheCleared(entries=1234)


async def test_stats_are_a_table() -> None:
    """Each place with what it holds by kind and in all, then what the cache did."""
    call = FakeCall(FakeAccess(cache=FakeCache()))
    await stats(call=call)
    assert call.printed == snapshot("""\
PLACE	OF	ENTRIES	SIZE	LIMIT	EVICTED
memory	model	20	39 kB		
memory	tool	5	1 kB		
memory	all	25	40 kB	64 MB	1
database	all	0	0 B	-	0

1,200 hits, 30 misses, 4 joined, 30 stored; saved 54,000 tokens, 1.25 USD
""")


async def test_stats_as_json() -> None:
    """The whole report."""
    call = FakeCall(FakeAccess(cache=FakeCache()), is_json=True)
    await stats(call=call)
    assert msgspec.json.decode(call.printed, type=CacheView) == VIEW


async def test_clear() -> None:
    """It says how many answers went, and asks for what was named."""
    cache = FakeCache()
    call = FakeCall(FakeAccess(cache=cache))
    await clear(call=call)
    await clear(of="tool", call=call)
    assert cache.cleared == [None, "tool"]
    assert call.printed == "1,234 answers forgotten\n" * 2


def a_pair(step: int = 3, question: str | None = "Which city is Italy's capital?") -> PairView:
    """Two questions that are much alike, with their answers."""
    return PairView(
        agent="faq",
        similarity=0.9416,
        overlap=0.25,
        verdict="",
        by="",
        asked=TurnView(run_id="run_2", step=step, question=question, answer="It is\nRome."),
        like=TurnView(run_id="run_1", step=3, question="What is the capital of Italy?", answer="Rome"),
    )


class FakeSimilar:
    """Similar questions of a test; what was said of pairs stands in `judged`."""

    def __init__(self, *pairs: PairView, is_empty: bool = False) -> None:
        self._pairs = pairs
        self._is_empty = is_empty
        self.judged: list[tuple[str, int, str, str]] = []

    async def report(self, query: ShadowQuery) -> ShadowReport:
        """One agent in one setting."""
        view = ShadowView(
            agent=query.agent or "faq",
            version="1.0.0",
            model="demo",
            setting="s",
            embedder="minilm-l6-int8",
            threshold=0.9,
            risk=0.01,
            turns=4000,
            hits=400,
            equal=380,
            same=12,
            different=1,
            unjudged=7,
            judged_by_model=3,
            wrong=8,
            false_rate=0.02,
            upper_bound=0.0357,
            missing="judge 7 pairs, and collect 73 more would-be hits, none of them wrong",
            samples=self._pairs,
        )
        return ShadowReport(data=() if self._is_empty else (view,))

    async def pairs(self, query: PairQuery) -> Page[PairView]:
        """The pairs."""
        return Page(data=self._pairs[: query.limit])

    async def judge(self, run_id: str, step: int, body: JudgeBody) -> PairView:
        """Note it."""
        self.judged.append((run_id, step, body.verdict, body.by))
        return self._pairs[0]


async def test_shadow_is_told() -> None:
    """The figures with the bound, what is missing, and the riskiest pairs; without turns, what to do."""
    call = FakeCall(FakeAccess(similar=FakeSimilar(a_pair(question=None))))
    await shadow(agent="faq", call=call)
    assert call.printed == snapshot("""\
faq 1.0.0, demo, threshold 0.9, minilm-l6-int8
FIGURE	VALUE
turns	4,000
would-be hits	400
equal answers	380
judged same	12
judged different	1
judged by a model	3
not judged	7
false hits	2.0%, with 95 % confidence at most 3.6%
to switch on	judge 7 pairs, and collect 73 more would-be hits, none of them wrong

faq: similarity 0.942, words in common 25%
  earlier  run_1#3
    asked    What is the capital of Italy?
    answer   Rome
  later  run_2#3
    asked    (the record is gone)
    answer   It is Rome.

""")
    call = FakeCall(FakeAccess(similar=FakeSimilar(is_empty=True)))
    await shadow(call=call)
    assert (call.printed, "no turns yet" in call.noted) == ("", True)


async def test_shadow_as_json() -> None:
    """The whole report."""
    similar = FakeSimilar(a_pair())
    call = FakeCall(FakeAccess(similar=similar), is_json=True)
    await shadow(call=call)
    assert msgspec.json.decode(call.printed, type=ShadowReport) == await similar.report(ShadowQuery())


async def test_judging_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pairs are shown one by one until the end; what is no answer is asked again, and gone records are left out."""
    source, sink = os.pipe()
    os.write(sink, b"what\ny\ns\nN\nq\n")
    os.close(sink)
    with os.fdopen(source) as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        similar = FakeSimilar(a_pair(3), a_pair(4, None), a_pair(5), a_pair(6), a_pair(7), a_pair(8))
        call = FakeCall(FakeAccess(similar=similar))
        await judge(call=call)
    assert similar.judged == [("run_2", 3, "same", ""), ("run_2", 6, "different", "")]
    assert call.printed == "2 of 6 pairs judged\n"
    assert call.noted.count("Would either answer do") == 5


@pytest.mark.parametrize(
    ("output", "status", "judged"),
    [
        (b'{"same":true}', "completed", [("run_2", 3, "same", "model:demo")]),
        (b'{"same":false}', "completed", [("run_2", 3, "different", "model:demo")]),
        (None, "failed", []),
    ],
    ids=["same", "different", "failed"],
)
async def test_judging_by_a_model(output: bytes | None, status: str, judged: list[object]) -> None:
    """A model's judgement is a run of an agent that the command brings, and is recorded as that model's."""
    similar, runs = FakeSimilar(a_pair()), FakeRuns(a_run(output=output, status=status))
    call = FakeCall(FakeAccess(runs, similar=similar))
    await judge(model="demo", call=call)
    assert similar.judged == judged
    assert [(agent.name, agent.model) for agent in call.brought] == [(JUDGE, "demo")]
    (asked,) = runs.created
    told = msgspec.json.decode(msgspec.json.decode(asked.input))
    assert told["later"] == {"question": "Which city is Italy's capital?", "answer": "It is\nRome."}


async def test_a_model_judges_where_the_data_is() -> None:
    """A model on a server's data is refused: its agent is the command's own."""
    with pytest.raises(InvalidRequest, match="leave --server out"):
        await judge(model="demo", call=FakeCall(options=Options(server="http://127.0.0.1:1")))
