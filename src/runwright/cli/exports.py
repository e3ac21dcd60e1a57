"""`runwright runs export` and `import`: runs as files."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from runwright.cli.answer import summary
from runwright.cli.call import Called, Texts
from runwright.errors import InvalidRequest


async def export(
    run: str,
    /,
    *,
    output: Annotated[Path | None, Parameter(name=["--output", "-o"])] = None,
    redact: Texts = (),
    call: Called,
) -> None:
    """Write a run that is over into one file, which holds all that a replay needs.

    Args:
        run: The run's id.
        output: The file; stdout when left out.
        redact: Take personal data out, by a rule: email, phone, card, ip, iban, or one of your own as NAME=REGEX. The
            same text becomes the same pseudonym everywhere, so that the run still replays.
        call: What every command is handed.
    """
    if output is None and call.out.is_terminal:
        raise InvalidRequest("A run as a file is no text for a terminal: name a file with -o, or redirect stdout.")
    async with call.open(has_agents=False) as access:
        raw = await access.exports.export(run, redact=redact)
    if output is None:
        call.out.bytes(raw)
        return
    _write(output, raw)
    call.out.note(f"{output}: {len(raw):,} bytes")


async def import_(file: Path, /, *, call: Called) -> None:
    """Take a run in from a file, to look at it, compare it or replay it here. One that is here already stays.

    It is pinned, because it may be older than what retention keeps; `runs unpin` lets it go.

    Args:
        file: A file that `runwright runs export` wrote; `-` reads it from stdin.
        call: What every command is handed.
    """
    raw = _read(file)
    async with call.open(has_agents=False) as access:
        view = await access.exports.import_file(raw)
    call.out.show(view, summary(view, ""))


def _read(file: Path) -> bytes:
    try:
        return sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    except OSError as error:
        raise InvalidRequest(f"{str(file)!r} cannot be read: {error.strerror}.") from error


def _write(file: Path, raw: bytes) -> None:
    try:
        file.write_bytes(raw)
    except OSError as error:
        raise InvalidRequest(f"{str(file)!r} cannot be written: {error.strerror}.") from error
