"""`runwright chain`, `parallel`, and the tree of runs in `runs show`, against an App in memory."""

from collections.abc import AsyncIterator

import msgspec
import pytest

from runwright import Agent, App
from runwright.app import AppOptions
from runwright.cli.chain import chain
from runwright.cli.failures import Exit
from runwright.cli.parallel import parallel
from runwright.cli.runs import ls, show
from runwright.core.ports import RunFilter
from runwright.errors import InvalidRequest
from runwright.models import ModelRegistry
from runwright.settings import Settings
from tests.unit.cli.fakes import FakeCall

pytestmark = pytest.mark.anyio


async def upper(text: str) -> str:
    """Text in capitals."""
    return text.upper()


async def fails(text: str) -> str:
    """Never well."""
    raise ValueError(text)


@pytest.fixture
async def app() -> AsyncIterator[App]:
    """An App in memory with these agents."""
    agents = [Agent("upper", run=upper), Agent("fails", run=fails), Agent("says", model="demo")]
    options = AppOptions(is_in_memory=True, is_offline=True)
    async with App(Settings(drain_s=0), agents=agents, models=ModelRegistry(default="demo"), options=options) as app:
        yield app


async def test_a_chain_prints_what_its_last_agent_gave(app: App) -> None:
    """The last word is the input, those before it are the agents."""
    call = FakeCall(app)
    await chain("upper", "says", "hi", group="g", call=call)
    assert call.printed == "This is the demo model, not an LLM. You said: HI\n"
    (run,) = (await app.runs.find(RunFilter(agent="chain"))).data
    assert run.group == "g"
    own, _, whole = call.noted.partition("\n")
    assert own.endswith("0 + 0 tokens, $0")
    says = (await app.runs.find(RunFilter(agent="says"))).data[0].usage
    assert whole == f"with the runs below it (2): {says.input_tokens} + {says.output_tokens} tokens, $0\n"


async def test_a_parallel_run_prints_results_by_name(app: App) -> None:
    """The join and the limit are those of the command line; a run that fails ends with its exit code."""
    call = FakeCall(app)
    await parallel("upper", "fails", "hi", join="1", limit=1, call=call)
    assert msgspec.json.decode(call.printed) == {"results": {"upper": "HI"}, "errors": {}, "cancelled": ["fails"]}
    with pytest.raises(Exit):
        await parallel("upper", "fails", "hi", call=FakeCall(app))


async def test_agents_and_an_input_are_needed(app: App) -> None:
    """One word is not enough, and the message says what to write."""
    with pytest.raises(InvalidRequest, match="runwright chain AGENT AGENT"):
        await chain("upper", call=FakeCall(app))


async def test_a_run_is_shown_with_those_below_it(app: App) -> None:
    """The tree has each run with what it took itself, and their sum; `ls --parent` lists the children."""
    await chain("upper", "says", "hi", call=FakeCall(app))
    (run,) = (await app.runs.find(RunFilter(agent="chain"))).data
    call = FakeCall(app)
    await show(run.id, call=call)
    children = list(reversed((await app.runs.find(RunFilter(parent_run_id=run.id))).data))
    tokens = children[1].usage.total_tokens
    tree = [line.split("\t") for line in call.printed.splitlines() if "\t" in line][-4:]
    assert tree == [
        ["chain", run.id, "completed", "0", "0"],
        ["  upper", children[0].id, "completed", "0", "0"],
        ["  says", children[1].id, "completed", str(tokens), "0"],
        ["3 runs", "", "", str(tokens), "0"],
    ]
    call = FakeCall(app)
    await ls(parent=run.id, call=call)
    assert [line.split("\t")[1] for line in call.printed.splitlines()[1:]] == ["says", "upper"]


async def test_a_failed_link_names_the_command_that_goes_on(app: App) -> None:
    """`runs show` of a chain that failed names the fork that runs the failed link again."""
    config: dict[str, object] = {"steps": [{"agent": "upper"}, {"agent": "fails"}]}
    view = await app.run("chain", "go", config=config)
    (failed,) = (step.seq for step in (await app.runs.steps(view.id)).data if step.status == "failed")
    call = FakeCall(app)
    await show(view.id, call=call)
    assert f"`runwright runs fork {view.id} --at {failed}`" in call.noted


async def test_the_history_of_a_workflow_is_one_list(app: App) -> None:
    """`ls --tree` has below each run those that it began; a run counts what all below it took, as JSON too."""
    config = {"steps": [{"agent": "upper"}, {"agent": "says"}]}
    await app.agents.create({"name": "flow", "template": "chain", "config": config})
    runs = [await app.run("flow", word) for word in ("one", "two")]
    call = FakeCall(app)
    await ls(agent="flow", tree=True, call=call)
    rows = [line.split("\t") for line in call.printed.splitlines()[1:]]
    assert [row[1] for row in rows] == ["flow", "  upper", "  says"] * 2
    assert [row[0] for row in rows[::3]] == [run.id for run in reversed(runs)]
    assert [row[5] for row in rows[:3]] == [rows[2][5], "0", rows[2][5]]
    as_json = FakeCall(app, is_json=True)
    await ls(agent="flow", tree=True, limit=1, call=as_json)
    page = msgspec.json.decode(as_json.printed)
    (flow,) = page["data"]
    assert page["has_more"]
    assert [run["agent"] for run in flow["runs"]] == ["upper", "says"]
    assert flow["total"] == {"runs": 3, "usage": flow["runs"][1]["usage"], "usd": "0"}
