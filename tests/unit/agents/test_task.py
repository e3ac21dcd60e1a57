"""Tasks: what a definition may say, and what comes of it."""

import asyncio
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from runwright import Agent, App, Context, tool
from runwright.agents.load import load_body
from runwright.agents.registry import Registry, named_models
from runwright.app import AppOptions
from runwright.core.agent import BuiltAgent
from runwright.core.event import ProgressReported
from runwright.core.policy import GuardSettings
from runwright.core.ports import RunFilter
from runwright.errors import ChildEnded, ConfigError, Denied, InvalidRequest, NotSent, ProviderUnavailable, ToolFailed
from runwright.models import ModelRegistry
from runwright.service.views import Resolution
from runwright.settings import Settings
from runwright.store import Stores, open_stores
from runwright.testing import ScriptedModel, ScriptedTool
from tests.unit.agents.tasks import output, repeated, tasking
from tests.unit.engine.harness import HeldTool, Process, flowing, started, until

pytestmark = pytest.mark.anyio

FINE: dict[str, Any] = {"name": "a", "tool": "length", "arguments": {"words": []}}
SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}


async def upper(text: str) -> str:
    """Text in capitals."""
    return text.upper()


async def count(words: list[str], context: Context) -> int:
    """How many words there are, as its tool says."""
    context.progress("counting", fraction=0.5)
    return int(await context.tool("length", words=words))


@tool(effect="read")
async def length(words: list[str]) -> int:
    """The length of a list."""
    return len(words)


@pytest.fixture
def stores() -> Iterator[Stores]:
    """A store in memory that several processes use, one after the other."""
    opened = open_stores(":memory:")
    yield opened
    opened.close()


def failing(name: str = "fails", *errors: Exception, effect: Any = "read") -> ScriptedTool:
    """A tool that raises these errors, then succeeds."""
    left = list(errors)

    def act(given: Mapping[str, object]) -> str:
        if left:
            raise left.pop(0)
        return "well"

    return ScriptedTool(name, act, effect=effect)


async def progress(process: Process, run: str) -> list[tuple[str, float | None]]:
    """What a run said of all of it."""
    said = [event.data for event in await process.story(run)]
    return [(each.message, each.fraction) for each in said if isinstance(each, ProgressReported) and not each.lane]


async def test_each_kind_of_step() -> None:
    """A prompt, a tool, an agent and a function pass on what they gave; each has a lane of its name."""
    steps = [
        {"name": "words", "tool": "split", "arguments": {"text": "$input"}},
        {"name": "count", "function": count, "input": "$steps.words.output"},
        {"name": "loud", "agent": "upper", "input": "{{ input }}!"},
        {"name": "say", "prompt": "{{ steps.loud.output }} has {{ steps.count.output }} words", "needs": ["loud"]},
    ]
    split = ScriptedTool("split", lambda given: str(given["text"]).split())
    model = ScriptedModel("Two words.")
    loud = flowing(lambda context, given: upper(given), name="upper")
    async with started(tasking(steps, split, length, tools=["length"]), loud, model=model) as process:
        view = await process.run("good morning")
        told = output(view)
        assert told["status"] == "completed"
        assert {name: each["output"] for name, each in told["steps"].items()} == {
            "words": ["good", "morning"],
            "count": 2,
            "loud": "GOOD MORNING!",
            "say": "Two words.",
        }
        assert [(step.lane, step.kind) for step in await process.steps(view.id)] == [
            ("words", "tool"),
            ("count", "tool"),
            ("loud", "child"),
            ("say", "model"),
        ]
        assert "GOOD MORNING! has 2 words" in bytes(model.requests[0].messages[-1].raw).decode()
        assert await progress(process, view.id) == [
            ("words: completed", 0.25),
            ("count: completed", 0.5),
            ("loud: completed", 0.75),
            ("say: completed", 1.0),
        ]
        await repeated(process, view)
        assert len(model.requests) == 1


async def test_a_prompt_has_a_model_and_instructions_of_its_own() -> None:
    """What a step says goes before what the task says; the form of the answer is asked for in words."""
    steps = [
        {"name": "a", "prompt": "$input"},
        {"name": "b", "prompt": "$input", "model": "test:other", "instructions": "Be loud.", "format": "markdown"},
        {"name": "c", "prompt": "$input", "settings": {"temperature": 0.0, "max_tokens": 5}},
    ]
    one, other = ScriptedModel("1", "3"), ScriptedModel("```markdown\n# 2\n```", ref="test:other")
    agent = tasking(steps, instructions="Be brief.", output=["$steps.a.output", "$steps.b.output"])
    async with started(agent, model=one, others=(other,)) as process:
        assert output(await process.run("hi")) == ["1", "# 2"]
    told = [bytes(request.messages[0].raw).decode() for request in (*one.requests, *other.requests)]
    assert ["Be brief." in each for each in told] == [True, True, False]
    assert "Be loud.\\n\\nAnswer in Markdown." in told[2]
    assert (one.requests[1].settings.temperature, one.requests[1].settings.max_tokens) == (0.0, 5)


async def test_an_answer_that_does_not_fit_is_repaired() -> None:
    """A structured prompt is asked with its schema and told what is wrong, as often as the limit says."""
    step = {"name": "n", "prompt": "A number?", "output_schema": SCHEMA}
    model = ScriptedModel("seven", '{"n": "7"}', '{"n": 7}')
    async with started(tasking([step], output="$steps.n.output"), model=model) as process:
        view = await process.run()
        assert output(view) == {"n": 7}
        assert [request.output.schema for request in model.requests if request.output] == [SCHEMA] * 3
        assert [len(request.messages) for request in model.requests] == [1, 3, 5]
        await repeated(process, view)
        model.then("seven", "eight")
        agent = tasking([step], limits={"output_retries": 1})
    async with started(agent, model=model) as process:
        failed = await process.run()
        assert failed.error is not None
        assert (failed.error.code, failed.error.message[:12]) == ("output_invalid", "'n' failed: ")


@pytest.mark.parametrize(
    ("given", "config", "expected"),
    [
        ("$steps.a.output", {"format": "text"}, '{"n":1}'),
        (
            {"one": "$steps.a.output", "two": ["x", 2]},
            {"format": "markdown"},
            "## one\n\n### n\n\n1\n\n## two\n\n- x\n- 2",
        ),
        ("$steps.a.output", {"output_schema": SCHEMA}, {"n": 1}),
        ("{{ steps.a.output }}", {"output_schema": SCHEMA}, {"n": 1}),
        (["$steps.a.status", "$steps.a.error"], {}, ["completed", None]),
    ],
    ids=["text", "markdown", "structured", "structured-text", "facts"],
)
async def test_an_output_has_a_form(given: object, config: dict[str, Any], expected: object) -> None:
    """What a task gives is written as text or Markdown, or has to fit a schema."""
    agent = tasking([{"name": "a", "tool": "one"}], ScriptedTool("one", lambda _: {"n": 1}), output=given, **config)
    async with started(agent) as process:
        assert output(await process.run()) == expected
    shapes = {"text": {"type": "string"}, "markdown": {"type": "string"}}
    told = shapes.get(str(config.get("format")), config.get("output_schema", {"title": "Output"}))
    assert agent.output_schema == told


async def test_what_does_not_fit_fails_its_step() -> None:
    """The result of a tool, an agent or a function that does not fit the schema of its step fails that."""
    step = {"name": "a", "tool": "one", "output_schema": SCHEMA}
    async with started(tasking([step], ScriptedTool("one", lambda _: {"n": "1"}))) as process:
        failed = await process.run()
    assert failed.error is not None
    assert failed.error.code == "output_invalid"


async def test_the_outputs_that_nobody_needs_are_those_of_the_task() -> None:
    """With a format and no output, a task gives the result of its last step, or of all that no other one needs."""
    steps = [{"name": name, "tool": "echo", "arguments": {"of": name}} for name in "ab"]
    echo = ScriptedTool("echo", lambda given: given["of"])
    last = {"name": "c", "tool": "echo", "arguments": {"of": "{{ steps.a.output }}{{ steps.b.output }}"}}
    async with started(
        tasking(steps, echo, format="markdown"), tasking([*steps, last], echo, name="end", format="text")
    ) as process:
        assert output(await process.run()) == "## a\n\na\n\n## b\n\nb"
        assert output(await process.run(agent="end")) == "ab"


async def test_prose_says_what_failed() -> None:
    """Text and Markdown without an output of their own name the step that failed, and why."""
    steps = [{"name": "a", "tool": "fails"}, {"name": "b", "prompt": "{{ steps.a.output }}"}]
    model = ScriptedModel("Well.", "Well.")
    for form, expected in (("markdown", "## a\n\n(failed: no)\n\n## b\n\nWell."), ("text", '"a":"(failed: no)"')):
        fails = failing("fails", ToolFailed("no"))
        async with started(tasking(steps, fails, failures="lenient", format=form), model=model) as process:
            assert expected in output(await process.run())


async def test_steps_run_side_by_side() -> None:
    """As many steps as there is room for begin at once; the others when there is room and what they need has ended."""
    tools = [HeldTool(name) for name in "abc"]
    steps: list[dict[str, Any]] = [{"name": each.spec.name, "tool": each.spec.name} for each in tools]
    steps[1]["needs"] = ["a"]
    for parallel, begun in ((False, "a"), (1, "a"), (2, "ac"), (True, "ac")):
        tools = [HeldTool(name) for name in "abc"]
        async with started(tasking(steps, *tools, parallel=parallel)) as process:
            handle = await process.create()
            await asyncio.gather(*(each.is_entered.wait() for each in tools if each.spec.name in begun))
            assert "".join(each.spec.name for each in tools if each.is_entered.is_set()) == begun
            for each in tools:
                each.go.set()
            view = await handle.wait()
            assert output(view)["status"] == "completed"
            await repeated(process, view)


async def test_strict_fails_with_the_first_step_that_fails() -> None:
    """The task fails with the error and the name of the step; nothing more begins, what is at work comes to its end."""
    held, fails, never = (
        HeldTool("held", effect="once"),
        failing("fails", ToolFailed("no")),
        ScriptedTool("never", lambda _: 1),
    )
    steps: list[dict[str, Any]] = [{"name": each.spec.name, "tool": each.spec.name} for each in (held, fails, never)]
    steps[2]["needs"] = ["fails"]
    async with started(tasking(steps, held, fails, never, parallel=True)) as process:
        handle = await process.create()
        async for group in handle.events():
            if any(event.type == "step.failed" for event in group):
                held.go.set()
        view = await handle.wait()
        assert view.error is not None
        assert (view.status, view.error.message) == ("failed", "'fails' failed: no")
        assert {step.name: step.status for step in await process.steps(view.id)} == {
            "held": "completed",
            "fails": "failed",
        }
        assert await progress(process, view.id) == [("fails: failed", 1 / 3), ("held: completed", 2 / 3)]
        await repeated(process, view)


async def test_lenient_goes_on_and_says_what_failed() -> None:
    """The output of a failed step is null for those that need it, and the result has its error."""
    steps = [
        {"name": "bad", "tool": "fails"},
        {"name": "after", "tool": "echo", "arguments": {"of": "$steps.bad.output"}},
        {"name": "field", "tool": "echo", "arguments": {"of": "$steps.bad.output.size"}},
        {"name": "unless", "tool": "echo", "condition": {"value": "$steps.bad.status", "equals": "completed"}},
        {"name": "broken", "tool": "echo", "condition": {"value": "$steps.bad.output.size"}},
    ]
    echo = ScriptedTool("echo", lambda given: given["of"])
    async with started(tasking(steps, failing("fails", ToolFailed("no")), echo, failures="lenient")) as process:
        view = await process.run()
        told = output(view)
        assert told["status"] == "partial"
        assert {name: (each["status"], each["attempts"]) for name, each in told["steps"].items()} == {
            "bad": ("failed", 1),
            "after": ("completed", 1),
            "field": ("failed", 1),
            "unless": ("skipped", 0),
            "broken": ("failed", 0),
        }
        assert told["steps"]["bad"]["error"] == {"code": "tool_failed", "message": "no"}
        assert "steps.bad.output.size" in told["steps"]["field"]["error"]["message"]
        await repeated(process, view)


@pytest.mark.parametrize(
    ("effect", "errors", "attempts", "status"),
    [
        ("read", [ToolFailed("no"), ValueError("no")], 3, "completed"),
        ("read", [ToolFailed("no")] * 4, 3, "failed"),
        ("idempotent", [ToolFailed("no")], 1, "failed"),
        # The guard itself sends four times what was not sent.
        ("once", [NotSent("no")] * 5, 2, "completed"),
    ],
    ids=["read", "too-often", "acting", "nothing-sent"],
)
async def test_a_step_is_done_again_where_that_is_right(
    effect: str, errors: list[Exception], attempts: int, status: str
) -> None:
    """What is only read is done again, up to the limit; a tool that acts only if nothing was sent."""
    step = {"name": "a", "tool": "fails", "retries": 2, "backoff_s": 0}
    fails = failing("fails", *errors, effect=effect)
    async with started(tasking([step], fails, failures="lenient")) as process:
        view = await process.run()
        told = output(view)["steps"]["a"]
        assert (told["attempts"], told["status"]) == (attempts, status)
        await repeated(process, view)
        assert len(fails.entered) >= attempts


async def test_pauses_are_steps() -> None:
    """Before a retry the run sleeps for a random time below the back-off, which doubles; a replay does not."""
    step = {"name": "a", "prompt": "hi", "retries": 2, "backoff_s": 0.01}
    model = ScriptedModel(by=lambda _: ProviderUnavailable("down"))
    async with started(tasking([step], failures="lenient"), model=model) as process:
        view = await process.run()
        steps = await process.steps(view.id)
        assert [step.kind for step in steps] == ["model", "random", "sleep", "model", "random", "sleep", "model"]
        assert {step.lane for step in steps} == {"a"}
        assert output(view)["steps"]["a"]["error"]["code"] == "provider_unavailable"
        await repeated(process, view)


async def test_a_step_that_is_too_slow_is_given_up() -> None:
    """After its time a step fails, or is done again; a replay gives it up in the same place without waiting."""
    held = HeldTool("held")
    steps = [{"name": "slow", "tool": "held", "timeout_s": 0.02, "retries": 1, "backoff_s": 0}]
    async with started(tasking(steps, held, failures="lenient")) as process:
        view = await process.run()
        told = output(view)["steps"]["slow"]
        assert (told["attempts"], told["error"]) == (
            2,
            {"code": "step_timeout", "message": "it took longer than 0.02 s"},
        )
        await repeated(process, view)


async def test_an_agent_that_is_too_slow_is_not_run_again() -> None:
    """Its run is cancelled, and what that was doing may have taken effect."""
    held = HeldTool("held")

    async def wait(context: Context, given: Any) -> Any:
        return await context.tool("held")

    step = {"name": "slow", "agent": "waits", "timeout_s": 0.02, "retries": 3, "backoff_s": 0}
    async with started(tasking([step]), flowing(wait, held, name="waits")) as process:
        view = await process.run()
        assert view.error is not None
        assert (view.error.code, [each.status for each in await process.steps(view.id)]) == ("step_timeout", ["failed"])
        await repeated(process, view)


async def test_an_agent_is_run_again_unless_it_acted() -> None:
    """One that only read is, also below another one; one that acted, or one below it, is not: it would act twice."""
    pay, look = ScriptedTool("pay", lambda _: 1, effect="idempotent"), ScriptedTool("look", lambda _: 1)

    def fails(name: str) -> BuiltAgent:
        async def then(context: Context, given: Any) -> Any:
            await context.tool(name)
            raise ValueError("no")

        return flowing(then, pay, look, name=name)

    async def below(context: Context, given: Any) -> Any:
        return await context.run(given)

    step = {"agent": "below", "retries": 1, "backoff_s": 0}
    steps = [{**step, "name": name, "input": name} for name in ("look", "pay")]
    task = tasking(steps, failures="lenient")
    async with started(task, flowing(below, name="below"), fails("look"), fails("pay")) as process:
        view = await process.run()
        told = output(view)["steps"]
        assert {name: (each["attempts"], each["error"]["code"]) for name, each in told.items()} == {
            "look": (2, "child_failed"),
            "pay": (1, "child_ended"),
        }
        assert (len(look.entered), len(pay.entered)) == (2, 1)
        await repeated(process, view)


async def test_an_agent_that_somebody_ended_is_not_run_again() -> None:
    """One that was cancelled is over; so is one whose `once` tool has an unknown outcome and a person gave up."""
    pay, held = failing("pay", ValueError("no"), effect="once"), HeldTool("held", effect="idempotent")

    async def pays(context: Context, given: Any) -> Any:
        return await context.tool("pay")

    async def waits(context: Context, given: Any) -> Any:
        return await context.tool("held")

    steps = [{"name": name, "agent": name, "retries": 2, "backoff_s": 0} for name in ("pays", "waits")]
    agents = flowing(pays, pay, name="pays"), flowing(waits, held, name="waits")
    async with started(tasking(steps, failures="lenient"), *agents) as process:
        view = await process.run()
        (child,) = await asyncio.to_thread(process.stores.runs.find, RunFilter(parent_run_id=view.id))
        (unknown,) = await process.steps(child.id)
        await process.runs.resolve(child.id, Resolution(action="fail", step=unknown.seq))
        await held.is_entered.wait()
        found = await asyncio.to_thread(process.stores.runs.find, RunFilter(parent_run_id=view.id))
        (other,) = [each for each in found if each.id != child.id]
        await process.runs.cancel(other.id)
        told = output(await process.settled(view.id, "completed"))["steps"]
        assert [(each["attempts"], each["error"]["code"]) for each in told.values()] == [(1, "child_ended")] * 2


@pytest.mark.parametrize(("effect", "attempts"), [("read", 3), ("idempotent", 1), ("once", 1)])
async def test_a_function_is_called_again_unless_it_acted(effect: Any, attempts: int) -> None:
    """It calls all of its tools again, so one that called a tool that acts is not; a replay comes to the same."""
    act = ScriptedTool("act", lambda _: 1, effect=effect)

    async def acts(given: object, context: Context) -> object:
        await context.lane("below").tool("act")
        raise ValueError("later")

    step = {"name": "a", "function": acts, "retries": 2, "backoff_s": 0}
    async with started(tasking([step], act, tools=["act"], failures="lenient")) as process:
        view = await process.run()
        assert (output(view)["steps"]["a"]["attempts"], len(act.entered)) == (attempts, attempts)
        await repeated(process, view)


@pytest.mark.parametrize(
    ("error", "attempts"), [(Denied("no"), 1), (RuntimeError("no"), 2), (ChildEnded("no"), 1)], ids=["a", "b", "c"]
)
async def test_only_what_may_go_otherwise_is_done_again(error: Exception, attempts: int) -> None:
    """An error that is not retryable ends a step, but for the few that another attempt may not meet."""
    step = {"name": "a", "tool": "fails", "retries": 1, "backoff_s": 0}
    async with started(tasking([step], failing("fails", error, error), failures="lenient")) as process:
        assert output(await process.run())["steps"]["a"]["attempts"] == attempts


async def test_a_tool_of_unknown_outcome_is_not_done_again() -> None:
    """When a `once` tool raised or was too slow the run waits for a person, whatever the definition says."""
    for tool_, timeout_s in (
        (failing("pay", ValueError("no"), effect="once"), None),
        (HeldTool("pay", effect="once"), 0.02),
    ):
        step = {"name": "a", "tool": "pay", "retries": 5, "backoff_s": 0, "timeout_s": timeout_s}
        async with started(tasking([step], tool_, failures="lenient")) as process:
            view = await process.run()
            assert (view.status, view.reason) == ("waiting", "unknown_effect")


async def test_a_step_that_needs_an_approval_holds_only_itself() -> None:
    """The others come to their end before the run waits, and it goes on when a person has allowed the call."""
    pay, look = ScriptedTool("pay", lambda _: "paid", effect="once"), ScriptedTool("look", lambda _: "seen")
    steps = [{"name": each.spec.name, "tool": each.spec.name, "timeout_s": 3.0} for each in (pay, look)]
    async with started(tasking(steps, pay, look, parallel=True, approvals=["pay"])) as process:
        view = await process.run()
        assert (view.status, view.reason, len(look.entered), pay.entered) == ("waiting", "approval", 1, [])
        (need,) = [step.seq for step in await process.steps(view.id) if step.name == "pay"]
        await process.runs.resolve(view.id, Resolution(action="approve", step=need))
        told = output(await process.settled(view.id, "completed"))
        assert {name: each["output"] for name, each in told["steps"].items()} == {"pay": "paid", "look": "seen"}
        assert len(look.entered) == 1


@pytest.mark.parametrize(
    ("step", "place", "told"),
    [
        ({"needs": ["b"]}, "/config/steps/0/needs/0", "there is no step 'b'"),
        ({"needs": ["a"]}, "/config/steps/0/needs/0", "no step can begin: 'a' needs 'a'"),
        ({"arguments": {"x": "$steps.a.output"}}, "/config/steps/0/arguments/x", "no step can begin"),
        ({"arguments": {"x": "$steps.c.output"}}, "/config/steps/0/arguments/x", "there is no earlier step 'c'"),
        ({"arguments": {"x": "$last"}}, "/config/steps/0/arguments/x", "names nothing here"),
        ({"arguments": {"words": 1}}, "/config/steps/0/arguments", "words"),
        ({"prompt": "hi"}, "/config/steps/0", "it has prompt and tool"),
        ({"tool": None, "arguments": None}, "/config/steps/0", "it has none"),
        ({"tool": "lenght"}, "/config/steps/0/tool", "did you mean 'length'?"),
        ({"input": 1}, "/config/steps/0/input", "only a step with `agent` or `function` has 'input'"),
        (
            {"tool": None, "arguments": None, "function": "os:getcwd"},
            "/config/steps/0/function",
            "is an async function",
        ),
        ({"tool": None, "arguments": None, "function": "no.such:thing"}, "/config/steps/0/function", "No module named"),
        (
            {"tool": None, "arguments": None, "function": "thing"},
            "/config/steps/0/function",
            "write package.module:attribute",
        ),
        ({"format": "structured"}, "/config/steps/0/output_schema", "needs its JSON Schema"),
        ({"format": "text", "output_schema": {}}, "/config/steps/0/output_schema", "leave out one"),
        ({"output_schema": {"type": 1}}, "/config/steps/0/output_schema", "no JSON Schema"),
        ({"timeout_s": 5}, "/config/steps/0/timeout_s", "greater than or equal to 10"),
        ({"timeout_s": 4000}, "/config/steps/0/timeout_s", "less than or equal to 3600"),
        ({"retries": 6}, "/config/steps/0/retries", "less than or equal to 5"),
    ],
)
def test_what_can_never_work_is_refused(step: dict[str, Any], place: str, told: str) -> None:
    """Each mistake of a definition is told with its place."""
    given = {field: value for field, value in (FINE | step).items() if value is not None}
    agent = Agent("t", template="task", tools=[length], config={"steps": [given]})
    with pytest.raises(ConfigError) as caught:
        Registry().check(agent.declare())
    assert [at for at, _ in caught.value.problems] == [place], caught.value
    assert told in caught.value.message


def test_every_mistake_is_told_at_once() -> None:
    """Circles, names that are given twice and a Python type as output are told together, each circle once."""
    steps = [
        FINE | {"needs": ["c"]},
        {"name": "b", "prompt": "{{ steps.a.output }}"},
        {"name": "c", "prompt": "hi", "condition": {"value": "$steps.b.status"}},
        {"name": "d", "prompt": "hi"},
        {"name": "d", "prompt": "hi"},
    ]
    agent = Agent("t", template="task", tools=[length], config={"steps": steps, "output": {"x": "$steps.e.output"}})
    with pytest.raises(ConfigError) as caught:
        Registry().check(agent.declare())
    assert caught.value.problems == (
        ("/config/steps/4/name", "'d' is taken by another step: names are different"),
        ("/output/x", "there is no earlier step 'e'; known: a, b, c, d"),
        ("/config/steps/0/needs/0", "no step can begin: 'a' needs 'c' needs 'b' needs 'a'"),
    )
    typed = Agent("t", template="task", output=int, config={"steps": steps[3:4]})
    with pytest.raises(ConfigError, match="output_schema"):
        Registry().check(typed.declare())
    with pytest.raises(ConfigError, match="at least one step"):
        Registry().check(Agent("t", template="task", config={"steps": []}).declare())
    with pytest.raises(ConfigError, match="at most 20"):
        Registry().check(Agent("t", template="task", config={"steps": steps * 5}).declare())


def test_a_caller_names_no_function() -> None:
    """What comes over the API imports nothing; what code names is found by name, and two of one name are refused."""
    body = {"name": "t", "template": "task", "config": {"steps": [{"name": "a", "function": "os:getcwd"}]}}
    with pytest.raises(ConfigError, match="only a file and code name a function"):
        Registry().check(load_body(body))

    async def upper(text: str) -> str:
        return text

    steps = [{"name": "a", "function": upper}, {"name": "b", "function": globals()["upper"]}]
    with pytest.raises(ConfigError, match="there is another 'upper'"):
        Agent("t", template="task", config={"steps": steps}).declare()
    objects = [FINE | {"tool": length}, {"name": "b", "function": upper}]
    Registry().check(Agent("t", template="task", config={"steps": objects}).declare())


async def test_one_run_is_configured() -> None:
    """The config of a run replaces fields of a task, and names no function that the definition did not name."""
    one = {"name": "a", "function": upper}
    agents = [Agent("t", template="task", config={"steps": [one], "output": "$steps.a.output"})]
    options = AppOptions(is_in_memory=True, is_offline=True)
    async with App(Settings(drain_s=0), agents=agents, models=ModelRegistry(default="demo"), options=options) as app:
        again = {"name": "b", "function": "upper", "input": "{{ steps.a.output }}!"}
        config = {"steps": [{"name": "a", "function": "upper"}, again], "output": ["$steps.b.output"]}
        assert output(await app.run("t", "hi", config=config)) == ["HI!"]
        with pytest.raises(InvalidRequest, match="only a file and code name a function"):
            await app.run("t", "hi", config={"steps": [{"name": "a", "function": "os:getcwd"}]})


async def test_what_was_too_slow_is_given_up_again_after_a_death(stores: Stores) -> None:
    """A process dies after a step was given up: when the run goes on, that is not tried again, and fails as it did."""
    slow, held = HeldTool("slow"), HeldTool("held")
    steps: list[dict[str, Any]] = [
        {"name": "slow", "tool": "slow", "timeout_s": 0.02},
        {"name": "held", "tool": "held", "timeout_s": 5.0},
    ]
    agent = tasking(steps, slow, held, failures="lenient")
    async with started(agent, stores=stores) as process:
        handle = await process.create(mode="background")
        await held.is_entered.wait()
        await until(lambda: process.journal.depth == 0)
        await process.crash()
    slow.go.set()
    held.go.set()
    async with started(agent, stores=stores) as process:
        view = await process.settled(handle.run_id, "completed")
        told = output(view)["steps"]
        assert (told["slow"]["error"]["code"], told["held"]["output"]) == ("step_timeout", "done")
        await repeated(process, view)
    assert slow.entered == []


def test_the_models_of_prompts_are_known() -> None:
    """Those that steps name are looked at when the server starts, like those of agents."""
    steps = [{"name": name, "prompt": "hi", "model": f"test:{name}"} for name in "ab"]
    registry = Registry()
    registry.put(Agent("t", template="task", model="test:own", config={"steps": steps}).declare())
    assert named_models(registry, GuardSettings()) == {"test:own", "test:a", "test:b"}


def test_limits_follow_from_the_steps() -> None:
    """A task has no limit of time unless it says so, and one call may take as long as the slowest step."""
    steps = [{"name": str(n), "prompt": "hi", "timeout_s": 3600, "retries": 5} for n in range(9)]
    limits = tasking(steps).flow.limits
    assert (limits.time_s, limits.model_timeout_s, limits.tool_timeout_s, limits.steps) == (None, 3600, 3600, 162)
    limits = tasking(steps, limits={"time_s": 60, "steps": 3, "model_timeout_s": 20}).flow.limits
    assert (limits.time_s, limits.model_timeout_s, limits.tool_timeout_s, limits.steps) == (60, 20, 3600, 3)


async def test_definitions_of_every_source(tmp_path: Path) -> None:
    """The same task from YAML, Python and the body of a request gives the same."""
    text = """
name: from-yaml
template: task
config:
  steps:
    - {name: loud, agent: upper}
    - {name: again, prompt: "{{ steps.loud.output }}"}
  output: $steps.again.output
"""
    (tmp_path / "task.yaml").write_text(text, encoding="utf-8")
    config = {
        "steps": [{"name": "loud", "agent": "upper"}, {"name": "again", "prompt": "{{ steps.loud.output }}"}],
        "output": "$steps.again.output",
    }
    agents = [Agent("upper", run=upper), Agent("from-python", template="task", config=config)]
    options = AppOptions(is_in_memory=True, is_offline=True)
    models = ModelRegistry(default="demo")
    async with App(Settings(drain_s=0), agents=agents, sources=[tmp_path], models=models, options=options) as app:
        await app.agents.create({"name": "from-api", "template": "task", "config": config})
        chat = {"messages": [{"role": "user", "content": "first"}, {"role": "user", "content": "hi"}]}
        views = [await app.run(name, chat) for name in ("from-yaml", "from-python", "from-api")]
        assert {output(view) for view in views} == {"This is the demo model, not an LLM. You said: HI"}
