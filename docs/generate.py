"""Write the reference pages that follow from the code: `python -m docs.generate`; with `--check`, only compare."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from cyclopts import App

from runwright.cli.call import Options
from runwright.cli.commands import NO_OPTIONS, build
from runwright.settings import fields
from runwright.watch.metrics import described

REFERENCE = Path(__file__).parent / "reference"
NOTE = "<!-- Written by docs/generate.py; change the code, then run `python -m docs.generate`. -->"

EXIT_CODES = {
    0: "ok",
    1: "the run failed, or waits for somebody",
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
        'one with `context.secret("name")`. Their values are blacked out in the log.',
        "## Keys of providers",
        "Keys and base URLs of model providers are read from the variables their own clients use, such as "
        "`OPENAI_API_KEY` and `OPENAI_BASE_URL`, from the environment or `.env`. `runwright models ls` names them.",
    )


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
        "tools are shown as escapes.",
        "## Options of every command, before or after its name",
        "\n".join(everywhere),
        "## Exit codes",
        "\n".join(codes),
        commands[commands.index("## runwright ") :].strip(),
    )


PAGES: Mapping[str, Callable[[], str]] = {
    "cli.md": cli_page,
    "metrics.md": metrics_page,
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


def _options() -> Iterator[tuple[str, str]]:
    app = App(default_command=_take)
    for argument in app.assemble_argument_collection(parse_docstring=True):
        if argument.name.startswith("--"):
            yield argument.name, argument.parameter.help or ""


def _take(options: Options = NO_OPTIONS) -> None:
    """A command with nothing but the options of every command."""


if __name__ == "__main__":
    sys.exit(main())
