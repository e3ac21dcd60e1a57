"""`runwright parallel`: agents side by side."""

from __future__ import annotations

from msgspec.structs import replace

from runwright.cli.call import Called, Flag
from runwright.cli.chain import request_of
from runwright.cli.run import perform_alone


async def parallel(
    *words: str,
    join: str = "all",
    limit: int | None = None,
    as_json: Flag = False,
    user: str | None = None,
    group: str | None = None,
    no_input: Flag = False,
    call: Called,
) -> None:
    """Run agents side by side on the same input, and print their results by name as JSON.

    Args:
        words: The agents, then the input as text, or `-` for stdin. Behind `--`, with the options before it, an input
            that looks like an option is none: `parallel --data D first second -- "$INPUT"`.
        join: When it is decided: all, any, first, settled, or after so many results.
        limit: Agents at work at once.
        as_json: The input is JSON, not text.
        user: Who the run is for.
        group: A label that ties runs together.
        no_input: Ask nobody, as where there is no terminal.
        call: What every command is handed.
    """
    request = request_of("parallel", words, as_json=as_json, call=call)
    branches = [{"agent": name} for name in words[:-1]]
    config: dict[str, object] = {"branches": branches, "join": int(join) if join.isdecimal() else join}
    if limit is not None:
        config["limit"] = limit
    await perform_alone(replace(request, config=config, user=user, group=group), call, is_asking=not no_input)
