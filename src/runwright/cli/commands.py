"""The table of commands. A command's module is imported when the command is used, so `--help` stays fast."""

from __future__ import annotations

import gc
import inspect
import sys
from collections.abc import Sequence
from dataclasses import fields
from keyword import iskeyword
from typing import Annotated

from cyclopts import App, CycloptsError, Group, Parameter, UnusedCliTokensError

from runwright.cli.call import Call, Options
from runwright.cli.failures import reported
from runwright.cli.output import Output
from runwright.errors import InvalidRequest

NOUNS: dict[str, tuple[str, dict[str, str]]] = {
    "runs": (
        "Look at runs and act on them.",
        {
            "ls": "List runs, newest first.",
            "show": "Show a run with its steps and its output.",
            "cost": "Show what a run cost, step by step and line by line.",
            "memory": "Show what a run read from memory and wrote there.",
            "tail": "Print the events of a run as they happen.",
            "diff": "Compare two runs: where they part, and what each took.",
            "replay": "Run an agent again on what was recorded, and say whether it is the same.",
            "fork": "Take a run over up to a step, and go on from there with something changed.",
            "export": "Write a run that is over into one file.",
            "import": "Take a run in from a file.",
            "pin": "Keep a run whatever its age.",
            "unpin": "Let a run go when its time comes.",
            "cancel": "Cancel a run.",
            "pause": "Have a run wait before its next step.",
            "resume": "Let a run go on that is paused or waits, or whose process is gone.",
            "resolve": "Say what became of a step whose outcome is unknown, so that its run goes on.",
        },
    ),
    "approvals": (
        "Look at what waits for a person, and answer.",
        {
            "ls": "List the tool calls and questions that wait for a person.",
            "show": "Show one of them, also when somebody has spoken of it.",
            "approve": "Let a tool be called, also with other arguments.",
            "deny": "Do not let a tool be called, or decline a question.",
            "answer": "Answer a question.",
        },
    ),
    "groups": (
        "Look at runs that belong together.",
        {"show": "Show the runs of a group, and what they took together."},
    ),
    "threads": (
        "Look at conversations.",
        {
            "ls": "List threads, newest first.",
            "show": "Show what was said on a thread, as its next run is going to send it.",
        },
    ),
    "schedules": (
        "Let agents run by themselves, at times.",
        {
            "ls": "List the schedules: when they come next, and what they run.",
            "show": "Show a schedule and what became of its times.",
            "add": "Make a schedule.",
            "set": "Change a schedule.",
            "pause": "Let nothing begin until it is resumed.",
            "resume": "Go on with the next time to come.",
            "trigger": "Start a run now, and print its answer.",
            "rm": "Forget a schedule; its runs stay.",
            "next": "Print the coming times of a cron expression.",
        },
    ),
    "agents": (
        "Look at agents.",
        {
            "ls": "List the agents.",
            "show": "Show the definition of an agent.",
            "check": "Check the definitions and say what is wrong where.",
            "schema": "Print the JSON Schemas of an agent's input and output.",
        },
    ),
    "budgets": (
        "Look at what may be spent, and raise it.",
        {
            "ls": "List the accounts of budgets: limit, spent, reserved, left, and when the window ends.",
            "raise": "Raise an account; runs that wait for it go on.",
        },
    ),
    "templates": (
        "Look at templates, and at the definitions that name them.",
        {
            "ls": "List the templates.",
            "show": "Show a template and its schema.",
            "check": "Say which definitions fit their templates, and which are behind.",
            "migrate": "Show how definitions change that are behind; --write changes them.",
            "search": "List the packages of an index of plugins.",
            "install": "Install a package of an index with what it requires, each by its hash.",
        },
    ),
    "models": (
        "Look at models.",
        {
            "ls": "List the models that can be used.",
            "price": "Show what a model costs, and who says so.",
            "pull": "Download the weights of a local model.",
        },
    ),
    "memory": (
        "Look at what agents and threads keep, and change it.",
        {
            "ls": "List who has memory, or the blocks of one.",
            "show": "Print a block, or all of them, now or at a place in the history.",
            "log": "List the commits, newest first.",
            "diff": "Show what changed between two places in the history.",
            "blame": "Show who wrote each line of a block.",
            "set": "Write a block.",
            "rm": "Take a block away; its history stays.",
            "restore": "Make an old content stand again.",
        },
    ),
    "guard": (
        "Look at what stands around calls of models and tools.",
        {
            "stats": "Count attempts, how calls ended, and how those ended that were sent again.",
            "simulate": "Say what other policies would have made of the calls that were recorded.",
        },
    ),
    "config": (
        "Look at the settings.",
        {"show": "Print every setting.", "check": "Check settings, prices and definitions, and say what is wrong."},
    ),
    "cache": (
        "Look at the answers that are kept, and forget them.",
        {
            "stats": "Say what the cache holds and what it did.",
            "clear": "Forget what is kept.",
            "shadow": "Say how often answers to similar questions would have been wrong.",
            "judge": "Say of pairs of answers whether either would have done.",
        },
    ),
    "redis": ("Look at the connections to Redis.", {"stats": "Say whether it is there and what its pool did."}),
    "db": (
        "Care for the database.",
        {
            "migrate": "Bring the database to the schema of this release.",
            "size": "Say what takes the space.",
            "prune": "Delete old runs with all that is theirs.",
            "archive": "Write the rows of past days into Parquet files.",
            "compact": "Write the database anew, without gaps.",
        },
    ),
}
VERBS: dict[str, str] = {
    "init": "Write a small project to start from.",
    "dev": "Serve the agents and take up changes of their files at once.",
    "serve": "Serve the agents over HTTP.",
    "drain": "Have a running server take no more work, and wait until nothing is at work there.",
    "run": "Run an agent once and print its answer.",
    "chain": "Run agents one after the other, each with the output of the one before.",
    "parallel": "Run agents side by side.",
    "chat": "Talk with an agent.",
    "costs": "Sum up what calls cost, or would cost.",
    "calls": "List single calls with what they cost, the dearest first.",
    "sql": "Answer a question in SQL over runs, steps and costs.",
    "stats": "Count what happened: calls, errors, tokens, cost and durations.",
    "errors": "Group what failed, with an example of each.",
    "doctor": "Check this machine and say what to do.",
}

NO_OPTIONS = Options()
EVERYWHERE = Group("Everywhere", sort_key=99)
EVERYWHERE_NAMES = frozenset(f"--{each.name}" for each in fields(Options))
EVERYWHERE_FLAGS = frozenset({"--json", "--debug"})
Everywhere = Annotated[Options, Parameter(group=EVERYWHERE)]
GC_THRESHOLD = 50_000
"""Importing makes many objects and hardly a cycle: the default of 700 lets the collector take a fifth of a start."""
Tokens = Annotated[str, Parameter(show=False, allow_leading_hyphen=True)]


def build() -> App:
    """The command with everything it can do."""
    app = App(
        name="runwright",
        help="Runwright: an agent server whose recording is the runtime.",
        help_format="plaintext",
        version=_version,
        result_action="return_value",
    )
    for verb, text in VERBS.items():
        app.command(f"runwright.cli.{verb}:{verb}", name=verb, help=text)
    for noun, (text, actions) in NOUNS.items():
        group = App(name=noun, help=text, help_format="plaintext")
        for action, line in actions.items():
            # A command may be called what no function can be.
            function = f"{action}_" if iskeyword(action) else action
            group.command(f"runwright.cli.{noun}:{function}", name=action, help=line)
        app.command(group)
    return app


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and end the process with its exit code."""
    gc.set_threshold(GC_THRESHOLD)
    tokens = list(sys.argv[1:] if arguments is None else arguments)
    # The flags are looked for by hand because a mistake in the command line is reported in their way too.
    out = Output(is_json="--json" in tokens)
    app = build()
    with reported(out, is_debug="--debug" in tokens):
        _dispatch(app, tokens, out)


def _dispatch(app: App, tokens: Sequence[str], out: Output) -> None:
    def launch(*tokens: Tokens, options: Everywhere = NO_OPTIONS) -> object:
        # An input may be called as an option is.
        out.is_json = options.json
        command, bound, unparsed = app.parse_args(tokens, exit_on_error=False, print_error=False)
        call = Call(options, out)
        return command(*bound.args, **bound.kwargs, **dict.fromkeys(unparsed, call))

    app.meta.default(launch)
    try:
        result = _parsed(app, tokens)
    except UnusedCliTokensError as error:
        unused = " ".join(error.unused_tokens or ())
        raise InvalidRequest(f"{unused!r} is more than this takes: put text of several words in quotes.") from error
    except CycloptsError as error:
        raise InvalidRequest(str(error)) from error
    if inspect.iscoroutine(result):
        import asyncio

        asyncio.run(result)


def _parsed(app: App, tokens: Sequence[str]) -> object:
    """The result of the command. What stands in the place of an input is the input, whatever it looks like.

    Only where the value of an option would be too much, the input was left out and the option stands in its place.
    """
    try:
        return app.meta(tokens, exit_on_error=False, print_error=False)
    except UnusedCliTokensError as error:
        in_front, values = _in_front(tokens)
        if not values.issuperset(error.unused_tokens or ("",)):
            raise
        return app.meta(in_front, exit_on_error=False, print_error=False)


def _in_front(tokens: Sequence[str]) -> tuple[list[str], set[str]]:
    """Options of every command in front, where no input takes them, and the values that are words of their own."""
    front: list[str] = []
    values: set[str] = set()
    rest = list(tokens)
    at = 0
    while at < len(rest) and rest[at] != "--":
        name, is_given, _ = rest[at].partition("=")
        end = at + 1 if is_given or name in EVERYWHERE_FLAGS else at + 2
        if name in EVERYWHERE_NAMES and end <= len(rest):
            values.update(rest[at + 1 : end])
            front += rest[at:end]
            del rest[at:end]
        else:
            at += 1
    return [*front, *rest], values


def _version() -> str:
    from importlib.metadata import version

    return version("runwright")
