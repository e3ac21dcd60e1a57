"""Guards of packages: layers by name, in the chain of the built-in ones."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from runwright.core.event import GuardDecided
from runwright.core.policy import Cache, Fallback, Guard, Plan, Plugin, ScopedPlugin, plan
from runwright.core.policy_reader import read_guard, write_guard
from runwright.errors import ConfigError, GuardError, ProviderUnavailable, ToolFailed
from runwright.guard import Answers, Call, Offered, Registry, Surroundings
from runwright.guard.call import Proceed
from runwright.guard.chain import guard
from runwright.guard.plugin import MOST, Make
from tests.unit.guard.calls import Upstream, call_of


class Quota:
    """Lets so many calls through."""

    def __init__(self, calls: int = 1) -> None:
        if calls < 0:
            raise ConfigError("calls are at least 0")
        self.left = calls

    async def __call__(self, call: Call[Any], proceed: Proceed[Any]) -> Any:
        """Count one."""
        if not self.left:
            raise GuardError(f"{call.target} was called enough")
        self.left -= 1
        return await proceed(call)


async def breaks(_call: Call[Any], _proceed: Proceed[Any]) -> Any:
    """A layer that is wrong."""
    raise KeyError("x")


async def answers(_call: Call[Any], _proceed: Proceed[Any]) -> Any:
    """A layer that makes no call."""
    return b'"mine"'


async def lies(_call: Call[Any], _proceed: Proceed[Any]) -> Any:
    """A layer that gives what is no answer."""
    return 7


async def babbles(_call: Call[Any], _proceed: Proceed[Any]) -> Any:
    """A layer that gives what cannot be stored."""
    return b"mine"


async def rewrites(call: Call[Any], proceed: Proceed[Any]) -> Any:
    """A layer that wants something else to be sent."""
    return await proceed(msgspec.structs.replace(call, content={"x": "other"}))


MAKERS: dict[str, Make] = {
    "quota": lambda config: Quota(**config),
    "breaks": lambda _: breaks,
    "answers": lambda _: answers,
    "lies": lambda _: lies,
    "babbles": lambda _: babbles,
    "rewrites": lambda _: rewrites,
}


def planned(name: str, **config: object) -> Plan:
    """A plan with one of them."""
    return Plan(plugins=(ScopedPlugin(Plugin(name=name, config=config), "app"),))


def around(**more: Any) -> Surroundings:
    """Surroundings where they are offered."""
    return Surroundings(registry=Registry(), offered=Offered(MAKERS), **more)


async def test_what_a_plugin_refuses_is_recorded_under_its_name() -> None:
    """The call is not made, and a decision says which guard refused it and why; what it lets through leaves no word."""
    noted: list[GuardDecided] = []
    proceed = guard(planned("quota", calls=1), around())
    upstream = Upstream(b"1")
    call = msgspec.structs.replace(call_of(upstream.send), note=noted.append)
    assert await proceed(call) == b"1"
    assert noted == []
    with pytest.raises(GuardError, match="was called enough"):
        await proceed(call)
    reason = f"quota: {call.target} was called enough"
    assert noted == [GuardDecided(layer="plugin", action="refused", target=call.target, reason=reason)]


async def test_what_is_behind_a_plugin_is_not_its_refusal() -> None:
    """An error of the call itself comes through as it is."""
    noted: list[GuardDecided] = []
    call = msgspec.structs.replace(call_of(Upstream(ToolFailed("no")).send), note=noted.append)
    with pytest.raises(ToolFailed, match="no"):
        await guard(planned("quota"), around())(call)
    assert noted == []


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("breaks", "'breaks' refused: it failed: KeyError"),
        ("lies", "it gave 7 and not what"),
        ("babbles", "it gave b'mine' and not what"),
        ("rewrites", "it changed `content`"),
    ],
)
async def test_a_plugin_that_fails_lets_nothing_through(name: str, told: str) -> None:
    """A guard whose code is wrong refuses, because nobody knows what it would have said."""
    noted: list[GuardDecided] = []
    call = msgspec.structs.replace(call_of(Upstream(b"1").send), note=noted.append, content={})
    with pytest.raises(GuardError, match=told):
        await guard(planned(name), around())(call)
    assert [(each.layer, each.action) for each in noted] == [("plugin", "refused")]


async def test_a_plugin_may_answer() -> None:
    """What it gives without making the call is the answer, and the record says so."""
    noted: list[GuardDecided] = []
    call = msgspec.structs.replace(call_of(Upstream(b"1").send), note=noted.append, content={})
    assert await guard(planned("answers"), around())(call) == b'"mine"'
    assert [(each.action, each.reason) for each in noted] == [("answered", "answers")]


async def test_it_stands_before_the_cache() -> None:
    """What is refused is refused also where the answer is known."""
    kept = planned("quota", calls=1)
    kept = msgspec.structs.replace(kept, cache=Cache())
    proceed = guard(kept, around(answers=Answers()))
    call = call_of(Upstream(b"1").send)
    await proceed(call)
    with pytest.raises(GuardError):
        await proceed(call)


def test_the_same_figures_are_the_same_guard() -> None:
    """A guard that counts does so for all who name it with the same figures."""
    offered = Offered(MAKERS)
    first, again, other = (offered.layer(Plugin(name="quota", config={"calls": count})) for count in (1, 1, 2))
    assert first is again
    assert first is not other
    assert Offered(None).layer(Plugin(name="gone")) is None


def test_runs_drive_out_no_guard_of_a_definition() -> None:
    """A guard that settings or definitions name keeps its count however many others runs name, which are forgotten."""
    offered, kept, other = Offered(MAKERS), *(Plugin(name="quota", config={"calls": count}) for count in (0, 1))
    offered.refuse({"/guard": Guard(plugins=kept)})
    first, forgotten = offered.layer(kept), offered.layer(other, is_of_run=True)
    assert offered.layer(kept, is_of_run=True) is first
    for count in range(2, MOST + 2):
        offered.layer(Plugin(name="quota", config={"calls": count}), is_of_run=True)
    assert offered.layer(kept) is first
    assert offered.layer(other, is_of_run=True) is not forgotten


async def test_the_model_that_is_fallen_back_on_is_asked_about() -> None:
    """A guard that lets no content leave is asked about each target, also where only a later one has it."""

    async def stays(call: Call[Any], proceed: Proceed[Any]) -> Any:
        asked.append(call.target)
        if call.target != "local:a":
            raise GuardError(f"nothing is told to {call.target}")
        return await proceed(call)

    asked: list[str] = []
    with_guard = Plan(plugins=(ScopedPlugin(Plugin(name="stays"), "app"),))
    surroundings = Surroundings(registry=Registry(), offered=Offered({"stays": lambda _: stays}))
    for first in (with_guard, Plan()):
        upstream = Upstream(ProviderUnavailable("down"))
        chosen = msgspec.structs.replace(first, fallback=Fallback(models=("far:b",)))
        proceed = guard(chosen, surroundings, others={"far:b": with_guard})
        with pytest.raises(ProviderUnavailable, match=r"down.*nothing is told to far:b"):
            await proceed(call_of(upstream.send, target="local:a"))
        assert [call.target for call in upstream.calls] == ["local:a"]
    assert asked == ["local:a", "far:b", "far:b"]


async def test_what_is_refused_of_one_target_is_asked_of_the_next() -> None:
    """A guard rules out a target that is fallen back on and no other; where none is left, all reasons are told."""

    async def homely(call: Call[Any], proceed: Proceed[Any]) -> Any:
        if call.target.startswith("far:"):
            raise GuardError(f"nothing is told to {call.target}")
        return await proceed(call)

    with_guard = Plan(plugins=(ScopedPlugin(Plugin(name="homely"), "app"),))
    surroundings = Surroundings(registry=Registry(), offered=Offered({"homely": lambda _: homely}))
    others = ("far:b", "local:c", "far:d")
    chosen = msgspec.structs.replace(with_guard, fallback=Fallback(models=others))
    proceed = guard(chosen, surroundings, others=dict.fromkeys(others, with_guard))
    upstream = Upstream(ProviderUnavailable("down"), b"1")
    assert await proceed(call_of(upstream.send, target="local:a")) == b"1"
    assert [call.target for call in upstream.calls] == ["local:a", "local:c"]
    upstream = Upstream(ProviderUnavailable("down"), ProviderUnavailable("away"))
    with pytest.raises(ProviderUnavailable, match=r"down.*told to far:b.*'local:c'.*away.*told to far:d"):
        await proceed(call_of(upstream.send, target="local:a"))
    with pytest.raises(GuardError, match="told to far:a") as refused:
        await proceed(call_of(upstream.send, target="far:a"))
    assert "failed" not in refused.value.message


def test_what_nobody_offers_is_refused_with_its_place() -> None:
    """An unknown name, and figures that the guard does not take, are told where they stand."""
    wrong = Guard(plugins=(Plugin(name="gone"), Plugin(name="quota", config={"calls": -1}), Plugin(name="quota")))
    with pytest.raises(ConfigError) as caught:
        Offered(MAKERS).refuse({"/guard": wrong, "/other": None})
    assert caught.value.problems == (
        (
            "/guard/plugins/0",
            f"there is no guard 'gone' of a package; known: {', '.join(sorted(MAKERS))}",
        ),
        ("/guard/plugins/1", "calls are at least 0"),
    )


def test_plugins_of_all_places_hold() -> None:
    """What a wider place sets cannot be left out by a narrower one; the same one holds once."""
    wide, narrow = Plugin(name="a", config={"n": [1]}), Plugin(name="b")
    chosen = plan(("app", Guard(plugins=wide)), ("run", Guard(plugins=(narrow, wide))), ("tool:x", Guard(plugins=())))
    assert [(each.plugin.name, each.scope) for each in chosen.plugins] == [("a", "app"), ("b", "run")]


def test_they_are_read_and_written() -> None:
    """A plugin is plain data in a definition, and what it is told is its own."""
    data = {"plugins": [{"name": "a", "config": {"usd": 5, "deep": {"usd_x": [1]}}}]}
    read = read_guard(data)
    assert write_guard(read) == data
    assert hash(read) == hash(read_guard(data))
    with pytest.raises(ConfigError) as caught:
        read_guard({"plugins": [{"config": {"n": 1}}]}, at="/guard")
    assert [place for place, _ in caught.value.problems] == ["/guard/plugins/0/name"]
