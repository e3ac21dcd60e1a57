"""Search for texts: what is found, how far a call looks, and how a search goes on."""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from typing import SupportsIndex, cast

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runwright.core.event import Event, RunCompleted, RunQueued
from runwright.core.ports import Batch, Blobs, RunFilter, RunRow
from runwright.core.run import ErrorInfo, Run
from runwright.errors import InvalidRequest
from runwright.journal.shapes import pack
from runwright.service import search
from runwright.service.edges import Edge, Edges
from runwright.service.matches import match, unfolded
from runwright.service.search import Searches
from runwright.service.search_views import FoundRuns
from tests.unit.engine.harness import Process, looping, started
from tests.unit.store.rows import NOW, run

WORDS = ("Straße", "ÇA VA", "naïve", "100%", "a_b", "x\\y", 'say "hi"', "<b>", "日本", "\u202eevil", "İstanbul", "42")


class Shelf:
    """Runs that were written as they are, and the searches over them."""

    def __init__(self, process: Process) -> None:
        self.stores = process.stores
        self.edges = Edges(process.stores.stories, process.stores.blobs, process.reader)
        self.searches = Searches(process.runs, process.stores.runs, self.edges)
        self.count = 0

    async def put(self, input: object, output: object = None, **fields: object) -> str:
        """A run that is completed, or of another status."""
        self.count += 1
        made = run(self.count, status="completed", last_seq=2, created_at=NOW + timedelta(seconds=self.count))
        made = msgspec.structs.replace(made, **fields)
        told = [Event(made.id, 1, NOW, RunQueued(agent="support", version="1", input=_raw(input)))]
        if made.status == "completed":
            told.append(Event(made.id, 2, NOW, RunCompleted(output=_raw(output))))
        row, blobs = pack(told)
        await self.write(Batch(run=RunRow(made, is_first=True), events=(row,), blobs=blobs))
        return made.id

    async def write(self, batch: Batch) -> None:
        """Rows of a run."""
        assert await asyncio.to_thread(self.stores.writes.append, [batch]) == [None]

    async def whole(self, text: str, **where: object) -> tuple[list[str], int]:
        """The ids of all runs that are found, to the end of the list, and how many were looked at."""
        found: list[str] = []
        looked = 0
        after = None
        while True:
            page = await self.searches.find(text, RunFilter(after=after, **where))  # pyright: ignore[reportArgumentType] - filters of a test's choice
            assert [view.id for view in page.data] == list(page.matches)
            found += page.matches
            looked += page.looked_at
            if not page.has_more:
                assert page.next is None
                return found, looked
            after = page.next


def _raw(value: object) -> msgspec.Raw:
    return value if isinstance(value, msgspec.Raw) else msgspec.Raw(msgspec.json.encode(value))


@pytest.fixture
async def shelf() -> AsyncIterator[Shelf]:
    """A shelf without runs."""
    async with started(looping()) as process:
        yield Shelf(process)


def _holds(value: object, needle: str) -> bool:
    """What a search is to find, in the plainest words."""
    if isinstance(value, str):
        return needle in value.casefold()
    if isinstance(value, dict):
        return any(_holds(part, needle) for pair in cast("dict[str, object]", value).items() for part in pair)
    if isinstance(value, list):
        return any(_holds(part, needle) for part in cast("list[object]", value))
    return value is not None and needle in msgspec.json.encode(value).decode()


@pytest.mark.parametrize("limit", [2, 50])
async def test_going_on_to_the_end_finds_exactly_the_runs_that_hold_it(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    """Whatever the bounds of a call and of a page are, each run that holds the text comes once, newest first."""
    monkeypatch.setattr(search, "RUNS", 7)
    monkeypatch.setattr(search, "AT_ONCE", 5)
    chance = random.Random(11)
    said: dict[str, tuple[object, object]] = {}
    for _ in range(33):
        words = [" ".join(chance.choices(WORDS, k=chance.choice((0, 1, 3, 60)))) for _ in range(2)]
        input = {"of": [words[0], {"n": 42}]} if chance.random() < 0.3 else words[0]
        said[await shelf.put(input, words[1])] = (input, words[1])
    for word in (*WORDS, "STRASSE", "ça va", "Va NAÏ", "i̇stanbul", "of", "none of them"):
        found, looked = await shelf.whole(word, limit=limit)
        held = [name for name, parts in said.items() if any(_holds(part, word.casefold()) for part in parts)]
        assert found == held[::-1]
        assert looked == len(said)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**6), 10**6) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@given(value=JSON, start=st.integers(0, 3), count=st.integers(1, 4), text=st.text(min_size=1, max_size=3))
def test_a_text_is_found_where_it_stands(value: object, start: int, count: int, text: str) -> None:
    """A text is found in JSON if and only if one of its texts, names or numbers holds it, and is shown as it stands."""
    inside = value[start : start + count] if isinstance(value, str) else text
    for needle in (inside or text, text):
        folded = needle.casefold()
        found = match(Edge(run=run(), input=msgspec.json.encode(value)), folded)
        assert (found is not None and found.place == "input") == _holds(value, folded)
        if found is not None and found.place == "input":
            assert folded in found.found.casefold()
            if isinstance(value, str):
                assert found.before + found.found + found.after in value


class _Counted(str):
    """A text that counts the characters of it that are folded."""

    folded: list[int]

    def casefold(self) -> str:
        self.folded.append(len(self))
        return super().casefold()

    def __getitem__(self, place: SupportsIndex | slice) -> "_Counted":
        part = _Counted(super().__getitem__(place))
        part.folded = self.folded
        return part


@pytest.mark.parametrize("at", [0, 1, 4_999, 9_999])
def test_a_place_in_a_folded_text_costs_no_more_than_folding_it(at: int) -> None:
    """Where a text grows when it is folded, the character of a place is found by folding it once."""
    text = _Counted("İ" * 10_000)
    text.folded = []
    assert [unfolded(text, 2 * at), unfolded(text, 2 * at + 1)] == [at, at]
    assert sum(text.folded) <= 2 * len(text)


async def test_it_is_found_in_errors_and_by_names(shelf: Shelf) -> None:
    """What a run failed with is searched; its names find it as wholes, and say which filter lists them."""
    failed = await shelf.put("a", status="failed", error=ErrorInfo(code="model_error", message="The Provider sleeps."))
    named = await shelf.put("b", thread_id="trip-1", tags=("Red", "trip-1"), group="g")
    found = await shelf.searches.find("provider", RunFilter())
    assert [(name, each.place, each.found) for name, each in found.matches.items()] == [(failed, "error", "Provider")]
    found = await shelf.searches.find("trip-1", RunFilter())
    assert (list(found.matches), found.names) == ([named], ("thread_id", "tag"))
    assert (await shelf.whole("red"))[0] == [named]
    assert (await shelf.whole("trip"))[0] == []


async def test_the_id_of_a_run_finds_that_run(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    """The id of a run, however old, is the answer at once, whatever the filters and the bound are."""
    monkeypatch.setattr(search, "RUNS", 1)
    oldest = await shelf.put("a", parent_run_id="run_x")
    await shelf.put("b")
    found = await shelf.searches.find(f" {oldest} ", RunFilter(is_root=True))
    assert ([view.id for view in found.data], found.has_more, found.matches[oldest].place) == ([oldest], False, "id")


async def test_filters_hold_in_a_search(shelf: Shelf) -> None:
    """Only runs of the list are looked at."""
    first = await shelf.put("same", user="ada")
    await shelf.put("same", user="bob")
    assert await shelf.whole("same", user="ada") == ([first], 1)


async def test_the_answer_says_how_far_back_it_looked(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    """A call that found nothing names the last run it looked at, with its time, to go on from there."""
    monkeypatch.setattr(search, "RUNS", 2)
    names = [await shelf.put("a") for _ in range(3)]
    found = await shelf.searches.find("b", RunFilter())
    assert (found.looked_at, found.next, found.has_more) == (2, names[1], True)
    assert found.back_to == NOW + timedelta(seconds=2)
    rest = await shelf.searches.find("b", RunFilter(after=found.next))
    assert (rest.looked_at, rest.has_more, rest.next) == (1, False, None)
    nothing = await shelf.searches.find("b", RunFilter(user="nobody"))
    assert (nothing.looked_at, nothing.back_to, nothing.has_more) == (0, None, False)


class CountedBlobs:
    """The Blobs port, with the most bytes that were asked for at once."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs
        self.most = 0

    def get(self, hashes: Sequence[str]) -> dict[str, bytes]:
        """Those that are stored."""
        found = dict(self._blobs.get(hashes))
        self.most = max(self.most, sum(map(len, found.values())))
        return found


async def test_large_texts_are_read_one_by_one_and_end_a_call(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of runs with megabytes a call reads few, and one at a time; the search still goes on to the end."""
    monkeypatch.setattr(search, "BYTES", 5 << 20)
    for number in range(6):
        await shelf.put("a", f"{number}" + "é" * (1 << 20))
    needle = await shelf.put("a", "z" * (5 << 20) + "Needle")
    counted = CountedBlobs(shelf.stores.blobs)
    edges = Edges(shelf.stores.stories, counted, shelf.edges._reader)  # pyright: ignore[reportPrivateUsage] - the same reader
    monkeypatch.setattr(shelf.searches, "_edges", edges)
    first = await shelf.searches.find("needle", RunFilter(), is_brief=True)
    assert (list(first.matches), first.looked_at) == ([needle], 1)
    assert first.matches[needle].before == "z" * 40
    assert await shelf.whole("needle") == ([needle], 7)
    assert counted.most < 6 << 20


async def test_an_output_with_something_recorded_after_it_is_found(shelf: Shelf) -> None:
    """A run whose completion is not its last event is found by its output all the same."""
    made = await shelf.put("a", status="running", last_seq=1)
    row, blobs = pack([Event(made, 2, NOW, RunCompleted(output=_raw("late answer")))])
    late, _ = pack([Event(made, 3, NOW, RunQueued(agent="a", version="1", input=_raw("b")))])
    stored = await asyncio.to_thread(shelf.stores.runs.get, made)
    assert isinstance(stored, Run)
    over = msgspec.structs.replace(stored, status="completed", last_seq=3)
    await shelf.write(Batch(run=RunRow(over, is_first=False), events=(row, late), blobs=blobs))
    assert (await shelf.whole("late answer"))[0] == [made]


@pytest.mark.parametrize(("text", "detail"), [("  ", "at least one"), ("x" * 201, "at most 200")])
async def test_a_text_that_is_empty_or_too_long_is_refused(shelf: Shelf, text: str, detail: str) -> None:
    """The answer says what a text may be."""
    with pytest.raises(InvalidRequest) as caught:
        await shelf.searches.find(text, RunFilter())
    assert detail in caught.value.problems[0][1]


async def test_texts_that_are_no_unicode_find_nothing(shelf: Shelf) -> None:
    """Half of a pair, as a shell may hand it over, is no text of any run, and breaks nothing."""
    await shelf.put("a")
    found = await shelf.searches.find("\udc80", RunFilter())
    assert isinstance(found, FoundRuns)
    assert found.data == []
