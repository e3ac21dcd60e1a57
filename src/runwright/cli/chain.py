"""`runwright chain`: agents one after the other."""

from __future__ import annotations

from msgspec.structs import replace

from runwright.cli.call import Call, Called, Flag
from runwright.cli.run import perform_alone
from runwright.cli.words import encoded, given
from runwright.core.run import RunRequest
from runwright.errors import InvalidRequest


async def chain(
    *words: str,
    as_json: Flag = False,
    user: str | None = None,
    group: str | None = None,
    no_input: Flag = False,
    call: Called,
) -> None:
    """Run agents one after the other, each with the output of the one before, and print the last one's.

    Args:
        words: The agents in order, then the input as text, or `-` for stdin. Behind `--`, with the options before it,
            an input that looks like an option is none: `chain --data D first second -- "$INPUT"`.
        as_json: The input is JSON, not text.
        user: Who the run is for.
        group: A label that ties runs together.
        no_input: Ask nobody, as where there is no terminal.
        call: What every command is handed.
    """
    request = request_of("chain", words, as_json=as_json, call=call)
    agents = {"steps": [{"agent": name} for name in words[:-1]]}
    await perform_alone(replace(request, config=agents, user=user, group=group), call, is_asking=not no_input)


def request_of(agent: str, words: tuple[str, ...], *, as_json: bool, call: Call) -> RunRequest:
    """The run of agents and an input, which is the last word. Raises InvalidRequest."""
    if len(words) < 2:
        raise InvalidRequest(f'Name agents and then the input: runwright {agent} AGENT AGENT "input".')
    mode = "wait" if call.out.is_json else "stream"
    return RunRequest(agent=agent, input=encoded(given(words[-1]), is_json=as_json), mode=mode)
