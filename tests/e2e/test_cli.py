"""The real command in processes: what people type, what they see, and how it ends."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

WAIT_S = 30.0
CHMOD = (["chmod", "-R", "a-w"], ["chmod", "-R", "u+w"])
MOUNT = (["mount", "-o", "remount,ro"], ["umount", "--lazy"])

TOOLS = '''
import asyncio
import time
from runwright import Agent, tool


@tool(effect="read")
async def wait_long(city: str) -> str:
    """Wait for long about the city."""
    await asyncio.sleep(60)
    return "done"


@tool(effect="once")
async def pay(city: str) -> str:
    """Pay the city."""
    raise RuntimeError("the bank hung up")


@tool(effect="read")
def hang(city: str) -> str:
    """Hang about the city."""
    while True:
        time.sleep(1)


hung = Agent("hung", model="demo", tools=[hang], limits={"time_s": 1})
slow = Agent("slow", model="demo", tools=[wait_long])
payer = Agent("payer", model="demo", tools=[pay])
'''


# Whatever stands on this machine, the demo model answers.
ENV = {**os.environ, "RUNWRIGHT_MODEL": "demo"}


def command(*arguments: str) -> list[str]:
    """The command line of this checkout's command."""
    return [sys.executable, "-m", "runwright", *arguments]


def runwright(folder: Path, *arguments: str, input: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        command(*arguments),
        cwd=folder,
        env=ENV,
        input=input or "",
        capture_output=True,
        text=True,
        timeout=WAIT_S,
        check=False,
    )


def answered(folder: Path, *arguments: str) -> Any:
    """The JSON a command prints; it must succeed."""
    done = runwright(folder, *arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    "line",
    [
        "serve --port 99999",
        "serve --port -1",
        "serve --port many",
        "dev --port 99999",
        "runs ls --limit 0",
        "runs ls --limit -3",
        "runs ls --status odd",
        "runs ls --server localhost:1",
        "runs show run_1 --limit 0",
        "runs tail run_1 --after -1",
        "runs resolve run_1 --retry --step -1",
        "runs nothing",
    ],
)
def test_a_mistake_in_the_command_line_is_2(tmp_path: Path, line: str) -> None:
    """A value that no option takes ends with 2, and the message shows it."""
    done = runwright(tmp_path, *line.split())
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert line.rsplit(maxsplit=1)[-1] in done.stderr
    assert not (tmp_path / ".runwright").exists()


@pytest.mark.parametrize("line", ["serve nowhere", "serve --agents no/where.py", "agents check nowhere"])
def test_definitions_that_are_not_there_are_3(tmp_path: Path, line: str) -> None:
    """A path that leads nowhere is named with what could stand there."""
    done = runwright(tmp_path, *line.split())
    assert (done.returncode, "there is no such folder, file or module" in done.stderr) == (3, True), done.stderr


@contextmanager
def serving(folder: Path, verb: str = "serve", *arguments: str) -> Generator[str]:
    """A server with its own port; gives its URL, and stops it at the end."""
    line = command(verb, *arguments, "--port", "0", "--json")
    with (
        (folder / "server.log").open("w") as log,
        subprocess.Popen(line, cwd=folder, env=ENV, stdout=subprocess.PIPE, stderr=log, text=True) as process,
    ):
        try:
            assert process.stdout is not None
            said = process.stdout.readline()
            assert said, (folder / "server.log").read_text()
            yield json.loads(said)["url"]
            process.terminate()
            assert process.wait(WAIT_S) == 0
        finally:
            process.kill()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """What `runwright init` writes."""
    assert runwright(tmp_path, "init").returncode == 0
    return tmp_path


def test_a_command_ends_before_a_thread_that_does_not(project: Path) -> None:
    """A plain tool whose time is over stays at work in its thread, for which nobody waits."""
    (project / "agents" / "tools.py").write_text(TOOLS)
    done = runwright(project, "run", "hung", "hang about the city")
    assert done.returncode == 1
    assert "deadline_exceeded" in done.stderr


def test_an_input_from_a_pipe_leaves_options_alone(project: Path) -> None:
    """Options of every command may stand behind a name whose input is left out, or comes after `--`."""
    piped = runwright(project, "run", "helper", "--data", "other", "--agents=agents", input="Hello")
    assert (piped.returncode, piped.stdout) == (0, "This is the demo model, not an LLM. You said: Hello\n")
    assert (project / "other" / "runwright.db").is_file()
    hyphens = runwright(project, "run", "--data", "other", "helper", "--", "--debug me")
    assert (hyphens.returncode, hyphens.stdout) == (0, "This is the demo model, not an LLM. You said: --debug me\n")


def test_another_folder_is_another_data_directory(tmp_path: Path) -> None:
    """Who looks for a run in the wrong folder is told where it was looked for, and so is who lists nothing."""
    missing, none = runwright(tmp_path, "runs", "show", "run_1"), runwright(tmp_path, "runs", "ls")
    looked = "Looked for in the data directory '.runwright'; --data names another one."
    assert (missing.returncode, missing.stderr) == (2, f"error: There is no run 'run_1'. {looked}\n")
    assert (none.returncode, none.stderr) == (0, "No such run is in the data directory '.runwright'.\n")


def test_a_new_project_runs_at_once(project: Path) -> None:
    """What `init` writes answers on the demo model: the answer alone on stdout, the rest on stderr."""
    done = runwright(project, "run", "helper", "What is the weather in Oslo?")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "It is 18 degrees and sunny in Oslo."
    assert "-> weather" in done.stderr
    assert "completed in" in done.stderr
    assert "tokens" in done.stderr


def test_options_of_all_stand_anywhere(project: Path) -> None:
    """--json and --data work before and after the command, and data lands where it was asked for."""
    before = runwright(project, "--json", "--data", "elsewhere", "run", "writer", "hi")
    after = runwright(project, "run", "writer", "hi", "--data=elsewhere", "--json")
    assert [json.loads(done.stdout)["status"] for done in (before, after)] == ["completed", "completed"]
    assert len(answered(project, "runs", "ls", "--data", "elsewhere")["data"]) == 2
    assert not (project / ".runwright").exists()


def test_input_comes_from_stdin(project: Path) -> None:
    """`-`, and no input at all, read stdin; nothing there is a mistake in usage."""
    dash = runwright(project, "run", "writer", "-", input="from stdin\n")
    none = runwright(project, "run", "writer", input="from stdin\n")
    assert dash.stdout == none.stdout
    assert "from stdin" in dash.stdout
    assert runwright(project, "run", "writer").returncode == 2


def test_runs_are_listed_and_shown(project: Path) -> None:
    """A run is found again with its steps, its events and its output."""
    done = answered(project, "run", "helper", "What is the weather in Oslo?")
    shown = answered(project, "runs", "show", done["id"])
    assert [step["kind"] for step in shown["steps"]] == ["model", "tool", "model"]
    assert shown["output"] == done["output"]
    tail = runwright(project, "runs", "tail", done["id"])
    assert "run.completed" in tail.stdout.splitlines()[-1]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["nonsense"], 2, "nonsense"),
        (["runs", "ls", "--limit", "many"], 2, "limit"),
        (["run", "nobody", "hi"], 2, "nobody"),
        (["runs", "show", "run_x"], 2, "run_x"),
        (["agents", "ls", "--agents", "missing"], 3, "missing"),
        (["config", "show", "--config", "missing.toml"], 3, "missing.toml"),
        (["runs", "ls", "--server", "http://127.0.0.1:1"], 4, "runwright serve"),
        (["run", "writer", "hi", "--data", "runwright.toml/x"], 3, "--data"),
    ],
)
def test_mistakes_have_their_exit_codes(project: Path, arguments: list[str], code: int, said: str) -> None:
    """Usage is 2, settings and places are 3, an unreachable server is 4; one message, no traceback."""
    done = runwright(project, *arguments)
    assert (done.returncode, done.stdout) == (code, "")
    assert said in done.stderr
    assert "Traceback" not in done.stderr


@pytest.fixture
def interruptible() -> Generator[None]:
    """Commands hear SIGINT, also where these tests run in the background, whose children ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_cancels_the_run(project: Path) -> None:
    """An interrupted `run` cancels its run, says so and ends with 130."""
    (project / "agents" / "tools.py").write_text(TOOLS)
    line = command("run", "slow", "wait long for the city of Oslo")
    with subprocess.Popen(
        line, cwd=project, env=ENV, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        assert "-> wait_long" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(WAIT_S) == 130
    [run] = answered(project, "runs", "ls")["data"]
    assert run["status"] == "cancelled"


def test_a_waiting_run_is_resolved_beside_the_server(project: Path) -> None:
    """A `once` tool of unknown outcome lets the run wait (1); `resolve` lets the server go on with it."""
    (project / "agents" / "tools.py").write_text(TOOLS)
    done = runwright(project, "run", "payer", "pay the city of Oslo")
    assert done.returncode == 1
    assert "runwright runs resolve" in done.stderr
    [run] = answered(project, "runs", "ls", "--status", "waiting")["data"]
    answered(project, "runs", "resolve", run["id"], "--done", '"paid"')
    with serving(project):
        tail = runwright(project, "runs", "tail", run["id"], "--after", str(run["last_seq"]))
    assert "run.completed" in tail.stdout


def _replay(folder: Path, *arguments: str) -> tuple[int, list[str]]:
    """The exit code of a replay, and the first words that it says of each run."""
    done = runwright(folder, "runs", *arguments)
    assert "Traceback" not in done.stderr
    return done.returncode, re.findall(r": (same|changed|diverged) \(", done.stdout)


@pytest.mark.parametrize("where", ["here", "server"])
def test_runs_are_replayed_here_or_on_a_server(project: Path, where: str) -> None:
    """A replay is the same (0) or is not (1), a fork goes on, and a cohort is a table, wherever it is executed."""
    with serving(project) if where == "server" else nullcontext("") as url:
        at = ("--server", url) if url else ()
        answered(project, "run", "helper", "Hello", *at)
        run = answered(project, "runs", "ls", *at)["data"][0]["id"]
        assert _replay(project, "replay", run, *at) == (0, ["same"])
        assert _replay(project, "replay", run, "--set", "instructions=Be kind.", *at) == (1, ["diverged"])
        [step] = answered(project, "runs", "show", run, *at)["steps"]
        assert _replay(project, "fork", run, "--at", str(step["seq"]), *at)[0] == 0
        found = answered(project, "runs", "replay", "--agent", "helper", "--group", "cohort", *at)
        assert (found["counts"], found["group"]) == ({"same": 1}, "cohort")
        again = answered(project, "runs", "replay", "--agent", "helper", "--group", "cohort", *at)
        assert [verdict["run_id"] for verdict in again["data"]] == [verdict["run_id"] for verdict in found["data"]]
        assert runwright(project, "runs", "replay", "run_none", *at).returncode == 2


def test_without_recovery_a_run_of_a_dead_process_goes_on_when_somebody_says_so(project: Path) -> None:
    """`serve --no-recover` is ready, serves, and leaves such a run alone until `runs resume` names it."""
    (project / "agents" / "tools.py").write_text(TOOLS)
    line = command("run", "slow", "wait long for the city of Oslo")
    with subprocess.Popen(
        line, cwd=project, env=ENV, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        assert "-> wait_long" in process.stderr.readline()
        process.kill()
    [left] = answered(project, "runs", "ls")["data"]
    with serving(project, "serve", "--no-recover") as url:
        with urlopen(f"{url}/readyz", timeout=5) as answer:
            assert answer.read() == b"ready\n"
        assert runwright(project, "run", "helper", "Hello", "--server", url).returncode == 0
        [kept] = answered(project, "runs", "ls", "--agent", "slow")["data"]
        assert (kept["status"], kept["last_seq"]) == ("running", left["last_seq"])
        answered(project, "runs", "resume", left["id"])
        until(lambda: answered(project, "runs", "show", left["id"])["last_seq"] > left["last_seq"])
        answered(project, "runs", "cancel", left["id"], "--server", url)
    tail = runwright(project, "runs", "tail", left["id"], "--after", str(left["last_seq"]))
    assert [line.split()[2] for line in tail.stdout.splitlines()][:2] == ["run.resumed", "step.restarted"]


@pytest.fixture
def read_only(project: Path) -> Generator[Path]:
    """A project with one run, whose data directory can be read and no more."""
    data = project / ".runwright"
    data.mkdir()
    is_root = os.getuid() == 0
    if is_root and subprocess.run(["mount", "-t", "tmpfs", "tmpfs", data], check=False).returncode != 0:
        pytest.skip("root may write everywhere, and cannot mount here")
    shut, undo = MOUNT if is_root else CHMOD
    try:
        assert runwright(project, "run", "helper", "Hello").returncode == 0
        subprocess.run([*shut, data], check=True)
        yield project
    finally:
        # A mount that stays would be in the way of every later cleaning of temporary folders.
        subprocess.run([*undo, data], check=True)


def test_what_cannot_be_written_can_be_looked_at(read_only: Path) -> None:
    """Commands that only read show what is there and say so; others end with 3 and say what to do."""
    listed = runwright(read_only, "runs", "ls", "--json")
    assert (listed.returncode, "cannot be written" in listed.stderr) == (0, True), listed.stderr
    [run] = json.loads(listed.stdout)["data"]
    assert answered(read_only, "runs", "show", run["id"])["steps"]
    assert "run.completed" in runwright(read_only, "runs", "tail", run["id"]).stdout
    assert [agent["name"] for agent in answered(read_only, "agents", "ls")["data"]] == ["helper", "writer"]
    for line in (["runs", "cancel", run["id"]], ["run", "helper", "Hello"]):
        done = runwright(read_only, *line)
        assert (done.returncode, "--data" in done.stderr) == (3, True), done.stderr


@pytest.mark.skipif(os.getuid() != 0, reason="only root can mount a small file system")
def test_a_full_disk_can_be_looked_at(project: Path) -> None:
    """Commands that only read show what is on a full disk; one that writes ends with 3 and says what to do."""
    data = project / ".runwright"
    data.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=800k", "tmpfs", data], check=False).returncode != 0:
        pytest.skip("this machine does not let root mount a file system")
    try:
        assert runwright(project, "run", "helper", "Hello").returncode == 0
        room = os.statvfs(data)
        (data / "ballast").write_bytes(bytes(room.f_bavail * room.f_frsize))
        listed = runwright(project, "runs", "ls", "--json")
        assert (listed.returncode, "cannot be written" in listed.stderr) == (0, True), listed.stderr
        assert [run["status"] for run in json.loads(listed.stdout)["data"]] == ["completed"]
        done = runwright(project, "run", "helper", "Hello")
        assert (done.returncode, "Free space" in done.stderr) == (3, True), done.stderr
    finally:
        subprocess.run(["umount", "--lazy", data], check=True)


def test_the_same_commands_over_http(project: Path) -> None:
    """With --server, agents, templates and runs are those of the server."""
    with serving(project) as url:
        names = [agent["name"] for agent in answered(project, "agents", "ls", "--server", url)["data"]]
        assert names == ["helper", "writer"]
        assert answered(project, "agents", "schema", "helper", "--server", url)["agent"] == "helper"
        assert answered(project, "templates", "ls", "--server", url)["data"]
        done = runwright(project, "run", "helper", "What is the weather in Oslo?", "--server", url)
        assert done.stdout.strip() == "It is 18 degrees and sunny in Oslo."
        [run] = answered(project, "runs", "ls", "--server", url)["data"]
        assert answered(project, "runs", "show", run["id"], "--server", url)["steps"]
        assert answered(project, "runs", "cancel", run["id"], "--server", url)["status"] == "completed"
        assert runwright(project, "run", "nobody", "hi", "--server", url).returncode == 2


def test_a_second_server_is_refused(project: Path) -> None:
    """A data directory has one server; the second one says what to do and ends with 3."""
    with serving(project):
        second = runwright(project, "serve", "--port", "0")
    assert second.returncode == 3
    assert "--data" in second.stderr


def test_edits_are_live_within_a_second(project: Path) -> None:
    """`dev` serves a new definition within a second; a broken one leaves the last good version and says why."""
    file = project / "agents" / "third.yaml"
    with serving(project, "dev") as url:
        file.write_text("name: third\n")
        began = time.monotonic()
        while "third" not in models(url):
            assert time.monotonic() - began < 1.0
        file.write_text("name: third\nnonsense: 1\n")
        log = project / "server.log"
        until(lambda: "cannot be used" in log.read_text())
        assert "third" in models(url)
        assert "third.yaml:2" in log.read_text()
        file.unlink()
        until(lambda: "third" not in models(url))


def models(url: str) -> list[str]:
    """The agents of a server."""
    with urlopen(f"{url}/v1/models", timeout=5) as answer:
        return [model["id"] for model in json.load(answer)["data"]]


def until(condition: Callable[[], bool]) -> None:
    """Wait for something, but not for ever."""
    end = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_conversation(project: Path) -> None:
    """`chat` answers line by line on one thread."""
    done = runwright(project, "chat", "writer", input="one\n\ntwo\n/exit\nthree\n")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 2
    runs = answered(project, "runs", "ls")["data"]
    assert len(runs) == 2
    assert len({run["thread_id"] for run in runs}) == 1


def test_a_pipe_that_closes_is_no_error(project: Path) -> None:
    """`runwright ... | head` ends quietly."""
    answered(project, "run", "writer", "hi")
    line = " ".join(command("runs", "ls")) + " | true"
    done = subprocess.run(
        ["bash", "-c", line], cwd=project, capture_output=True, text=True, timeout=WAIT_S, check=False
    )
    assert done.stderr == ""


def test_the_doctor_tells_all(project: Path) -> None:
    """`doctor` names every check with its state, the default model and why among them."""
    checks = {check["name"]: check for check in answered(project, "doctor")["data"]}
    assert {"python", "sqlite", "data directory", "disk", "port", "default model"} <= set(checks)
    assert checks["default model"]["detail"].startswith("demo: named in the settings")
    assert "ok    python: " in runwright(project, "doctor").stdout


def test_models_and_database(project: Path) -> None:
    """`models ls` has the demo model and the default; `db migrate` makes a database and is content with it."""
    found = answered(project, "models", "ls")
    assert "demo" in [entry["ref"] for entry in found["data"]]
    assert found["default"]["ref"] == "demo"
    first, second = answered(project, "db", "migrate"), answered(project, "db", "migrate")
    assert first == second
    assert (project / first["database"]).is_file()


def test_help_imports_little() -> None:
    """`runwright --help` imports neither the event loop nor anything of Runwright that it does not show."""
    ended = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "runwright", "--help"], capture_output=True, text=True, check=True
    )
    imported = {line.rsplit("|", 1)[-1].strip() for line in ended.stderr.splitlines()}
    assert imported.isdisjoint({"asyncio", "msgspec", "pydantic", "sqlalchemy", "aiohttp", "fastapi"})
    assert {name for name in imported if name.startswith("runwright.")} == {
        "runwright.cli",
        "runwright.cli.call",
        "runwright.cli.commands",
        "runwright.cli.failures",
        "runwright.cli.output",
        "runwright.core",
        "runwright.core.unseen",
        "runwright.errors",
    }
