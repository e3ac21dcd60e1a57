"""Write the reference pages that follow from the code: `python -m docs.generate`; with `--check`, only compare."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, get_args, get_type_hints

import msgspec
from cyclopts import App
from pydantic import BaseModel

from runwright.agents.schema import BlockFields, DefinitionFields, LimitsFields, SettingsFields
from runwright.cli.call import Options
from runwright.cli.commands import NO_OPTIONS, build
from runwright.core.event import DELTAS, TERMINAL_STATUS, Data, EventData
from runwright.core.policy import DEFAULT_GUARD, Backoff, Guard, Policy
from runwright.core.policy_reader import find_policy
from runwright.errors import RunwrightError
from runwright.settings import fields, provider_fields
from runwright.watch.metrics import described

REFERENCE = Path(__file__).parent / "reference"
NOTE = "<!-- Written by docs/generate.py; change the code, then run `python -m docs.generate`. -->"

EXIT_CODES = {
    0: "ok",
    1: "the run failed, or waits for somebody; with `runs diff`, the runs differ",
    2: "the command or the request is wrong",
    3: "settings, definitions or the data directory are wrong",
    4: "the server cannot be reached",
    130: "interrupted by Ctrl-C",
}


def settings_page() -> str:
    """Every setting with its variable and default."""
    rows = [
        (
            f"`{field.name}`",
            f"`{field.variable}`",
            field.type,
            f"`{field.default}`" if field.default else "",
            field.description,
        )
        for field in fields()
    ]
    return page(
        "Settings",
        "A value comes from, in this order: the flag of a command, an environment variable, `.env`, one TOML file "
        "(`runwright.toml` in the current folder, or `--config FILE`), the default. In the file, the part before a dot "
        "is a table: `log.level` is `level` under `[log]`. A relative path in the file is meant from its folder.",
        "A secret can stand in a file: `RUNWRIGHT_API_KEY_FILE=/run/secrets/key`. Unknown names are errors. "
        "`runwright config show --origin` says where each value comes from.",
        table(("Setting", "Variable", "Type", "Default", "Meaning"), rows),
        "## Secrets for tools",
        '`RUNWRIGHT_SECRET_<NAME>`, `RUNWRIGHT_SECRET_<NAME>_FILE`, or `name = "..."` under `[secrets]`. A tool reads '
        'one with `context.secret("name")`. Their values are blacked out in the log, and in what '
        "tools give and raise before it is recorded, where they have 4 characters or more.",
        "## Providers of one's own",
        "A model is named `provider:model`. Any server that speaks the OpenAI wire can be a provider under a name of "
        "one's own, in lower case; a known provider gets another address in the same way.",
        table(("Setting", "Variable", "Type", "Meaning"), _rows_of_provider()),
        '```toml\n[providers.acme]\nbase_url = "https://models.acme.example/v1"\nkey_env = "ACME_KEY"\n```',
        "## Policies",
        "What the guard does with calls is set under `guard`, by policy and figure: see [policies](policies.md). Those "
        "for one model or one tool stand under its name. A variable names policy and figure in the same way: "
        "`RUNWRIGHT_GUARD__RETRY__ATTEMPTS=3`, `RUNWRIGHT_GUARD__TOOLS__SEARCH__CACHE=true`.",
        '```toml\n[guard.retry]\nattempts = 3\n\n[guard.models."openai:*"]\nlimit = { requests = 500 }\n\n'
        "[guard.tools.search]\ncache = true\n```",
        "## Limits of templates",
        "`limits` of the agents of one template can be bounded, by the names they have in "
        "[definitions](definition.md): an agent that sets more, or nothing, has so much, and so has a run that asks "
        "for more. As a variable: `RUNWRIGHT_TEMPLATES__CONVERSATION__LIMITS__STEPS=20`.",
        '```toml\n[templates.conversation.limits]\nsteps = 20\nusd = "0.5"\n\n[templates.supervisor.limits]\n'
        "children = 5\n```",
        "## Keys of providers",
        "Keys and base URLs of model providers are read from the variables their own clients use, such as "
        "`OPENAI_API_KEY` and `OPENAI_BASE_URL`, from the environment or `.env`. `runwright models ls` names them.",
    )


def _rows_of_provider() -> list[tuple[str, ...]]:
    return [(f"`{field.name}`", f"`{field.variable}`", field.type, field.description) for field in provider_fields()]


def metrics_page() -> str:
    """Every series that is counted."""
    rows = [
        (f"`{field.name}`", field.type, ", ".join(f"`{label}`" for label in field.labels), field.description)
        for field in described()
    ]
    return page(
        "Metrics",
        "`GET /metrics` in the Prometheus text format. Everything is counted from the journal's events, after they are "
        "stored, so a run counts once whoever asked for it. Durations are seconds. The values of a label are bounded: "
        "after 200 of them, further ones are called `other`.",
        table(("Series", "Type", "Labels", "Meaning"), rows),
        "Histograms also have `_bucket`, `_sum` and `_count`. On Linux the usual `process_` series are there too.",
    )


def cli_page() -> str:
    """Every command with its options."""
    everywhere = [f"- `{name}`: {text}" for name, text in _options()]
    codes = [f"- {code}: {meaning}" for code, meaning in EXIT_CODES.items()]
    commands = build().generate_docs(output_format="markdown", heading_level=1, include_hidden=False)
    return page(
        "Commands",
        "Data goes to stdout, everything else to stderr. On a terminal, control characters in the words of models and "
        "tools, and those that nobody sees, are shown as escapes.",
        "## Options of every command, before or after its name",
        "\n".join(everywhere),
        "## Exit codes",
        "\n".join(codes),
        commands[commands.index("## runwright ") :].strip(),
    )


def events_page() -> str:
    """Every event type with its fields."""
    kinds: tuple[type[EventData], ...] = get_args(Data)
    return page(
        "Events",
        "What happens in a run is an event. Every event has `type`, `seq` (its number within the run, rising, with "
        "gaps), `run_id`, `step_id` (the number of the step it is about, or null) and `ts` (UTC); the fields below "
        "stand beside them. A field that has its default value may be left out.",
        "`GET /api/v1/runs/{run}/events` sends them as server-sent events whose `id` is `seq`; "
        "`runwright runs tail RUN` prints them. A run ends with exactly one of "
        + ", ".join(f"`{_tag(kind)}`" for kind in TERMINAL_STATUS)
        + ". "
        + ", ".join(f"`{_tag(kind)}`" for kind in DELTAS)
        + " tell of an answer while it is being written and are not kept once it is complete.",
        *(_event_section(kind) for kind in kinds),
    )


def errors_page() -> str:
    """Every error code with its status."""
    rows = [
        (
            f"`{kind.code}`",
            str(kind.status),
            "yes" if kind.retryable else "no",
            f"`{kind.__name__}`",
            _first_line(kind),
        )
        for kind in _errors(RunwrightError)
    ]
    return page(
        "Errors",
        "Every error has a stable `code`. Natively an error is answered as `application/problem+json` (RFC 9457) with "
        "`type`, `title`, `status`, `detail`, `code`, `retryable`, `request_id`, and `errors` with JSON pointers where "
        "a body is wrong; under `/v1` as the OpenAI error object with the same code. `GET /errors/{code}` says what a "
        "code means. Retry says whether the same call can succeed later.",
        "The classes are in `runwright.errors`, and those that are caught most in `runwright` itself.",
        table(("Code", "Status", "Retry", "Class", "Meaning"), rows),
    )


def definition_page() -> str:
    """Every field of an agent's definition."""
    return page(
        "Definition of an agent",
        "The same fields in `Agent(...)`, in a YAML file and in the body of `PUT /api/v1/agents/{agent}`. In Python, "
        "`tools` may hold `@tool` functions, `output` may be a type, and `run` may be an async function that takes the "
        "place of the loop. `runwright agents schema AGENT` prints the schemas of an agent's input and output.",
        _fields_table(DefinitionFields),
        "`model`, `instructions`, `tools`, `output`, `memory`, `settings` and `limits` are part of the template's "
        "configuration; they may stand under `config` too, but not in both places. `guard` holds "
        "[policies](policies.md): a changed policy changes no step's key, so recorded runs replay and go on under it.",
        "## memory",
        _fields_table(BlockFields),
        "## settings",
        _fields_table(SettingsFields),
        "## limits",
        _fields_table(LimitsFields),
    )


def policies_page() -> str:
    """Every policy with its figures."""
    kinds = [find_policy(field.type) for field in msgspec.structs.fields(Guard)]
    return page(
        "Policies",
        "What the guard may do with calls of models and tools. The same names in Python (`from runwright.guard import "
        "Limit`), in definitions and runs under `guard`, and in the [settings](settings.md) under `guard`. A policy is "
        "a table of its figures; `true` takes its defaults, `false` switches it off, and what is left out holds as it "
        "is set in the next wider place. `budget` may be a list.",
        "`runwright config show --agent NAME` says which policies hold for an agent's calls, and where each was set.",
        *(_policy_section(kind) for kind in [Backoff, *filter(None, kinds)]),
    )


def _policy_section(kind: type[Policy]) -> str:
    held = getattr(DEFAULT_GUARD, kind.__name__.lower(), None)
    holds = "" if kind is Backoff else f"Where nobody says otherwise it is {'on' if held else 'off'}."
    rows = [
        (f"`{field.encode_name}`", _type_words(hint), _default_words(field))
        for field, hint in zip(msgspec.structs.fields(kind), _hints(kind), strict=True)
    ]
    text = " ".join((kind.__doc__ or "").split())
    title = f"## {kind.__name__.lower()}"
    return "\n\n".join(each for each in (title, text, holds, table(("Figure", "Type", "Default"), rows)) if each)


PAGES: Mapping[str, Callable[[], str]] = {
    "cli.md": cli_page,
    "definition.md": definition_page,
    "errors.md": errors_page,
    "events.md": events_page,
    "metrics.md": metrics_page,
    "policies.md": policies_page,
    "settings.md": settings_page,
}


def page(title: str, *sections: str) -> str:
    """A page of sections."""
    return "\n\n".join([f"# {title}", NOTE, *sections]) + "\n"


def table(columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """A Markdown table."""
    cells = [columns, tuple("---" for _ in columns), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in cells)


def main() -> int:
    """Write the pages, or say which are not what the code says."""
    stale = [name for name, write in PAGES.items() if not _is_fresh(REFERENCE / name, write())]
    if "--check" in sys.argv[1:]:
        sys.stderr.writelines(f"stale: docs/reference/{name}\n" for name in stale)
        return 1 if stale else 0
    REFERENCE.mkdir(exist_ok=True)
    for name in stale:
        (REFERENCE / name).write_text(PAGES[name](), encoding="utf-8")
    return 0


def _is_fresh(path: Path, text: str) -> bool:
    return path.is_file() and path.read_text(encoding="utf-8") == text


def _event_section(kind: type[EventData]) -> str:
    rows = [
        (f"`{field.encode_name}`", _type_words(hint), _default_words(field))
        for field, hint in zip(msgspec.structs.fields(kind), _hints(kind), strict=True)
    ]
    text = " ".join((kind.__doc__ or "").split())
    return "\n\n".join([f"## `{_tag(kind)}`", text, *([table(("Field", "Type", "Default"), rows)] if rows else [])])


def _hints(kind: type[msgspec.Struct]) -> Iterator[object]:
    hints = get_type_hints(kind)
    return (hints[field.name] for field in msgspec.structs.fields(kind))


def _tag(kind: type[EventData]) -> str:
    return str(kind.__struct_config__.tag)


def _type_words(hint: Any) -> str:  # noqa: ANN401 - any type form
    if hint is msgspec.Raw:
        return "JSON"
    if hint is type(None):
        return "null"
    if isinstance(hint, str):
        return f'`"{hint}"`'
    parts = [each for each in get_args(hint) if each is not ...]
    if isinstance(hint, type) and not parts:
        return {"str": "text", "int": "integer", "float": "number", "bool": "true or false"}.get(
            hint.__name__, hint.__name__
        )
    words = " or ".join(dict.fromkeys(_type_words(each) for each in parts))
    return f"list of {words}" if getattr(hint, "__origin__", None) is tuple else words


def _default_words(field: msgspec.structs.FieldInfo) -> str:
    if field.required:
        return "required"
    if isinstance(field.default, Policy):
        return "its defaults"
    if field.default is msgspec.NODEFAULT or isinstance(field.default, msgspec.Struct):
        return "zero"
    if isinstance(field.default, msgspec.Raw):
        return "`null`"
    return f"`{msgspec.json.encode(field.default).decode()}`"


def _errors(kind: type[RunwrightError]) -> Iterator[type[RunwrightError]]:
    yield kind
    for each in kind.__subclasses__():
        yield from _errors(each)


def _first_line(kind: type[RunwrightError]) -> str:
    return (kind.__doc__ or "").strip().partition("\n")[0]


def _fields_table(model: type[BaseModel]) -> str:
    schema = model.model_json_schema()
    required = schema.get("required", [])
    rows = [
        (
            f"`{name}`",
            _schema_words(field),
            "required" if name in required else f"`{msgspec.json.encode(field.get('default')).decode()}`",
            field.get("description", ""),
        )
        for name, field in schema["properties"].items()
    ]
    return table(("Field", "Type", "Default", "Meaning"), rows)


def _schema_words(field: Mapping[str, Any]) -> str:
    if options := field.get("anyOf"):
        return " or ".join(_schema_words(each) for each in options)
    kind = {"string": "text", "boolean": "true or false"}.get(field["type"], field["type"])
    if "minimum" in field and "maximum" in field:
        return f"{kind} from {field['minimum']} to {field['maximum']}"
    if "minimum" in field:
        return f"{kind}, at least {field['minimum']}"
    return f"{kind} above {field['exclusiveMinimum']}" if "exclusiveMinimum" in field else kind


def _options() -> Iterator[tuple[str, str]]:
    app = App(default_command=_take)
    for argument in app.assemble_argument_collection(parse_docstring=True):
        if argument.name.startswith("--"):
            yield argument.name, argument.parameter.help or ""


def _take(options: Options = NO_OPTIONS) -> None:
    """A command with nothing but the options of every command."""


if __name__ == "__main__":
    sys.exit(main())
