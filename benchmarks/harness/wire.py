"""What the scripted upstream says, and so what every answer must be.

The knobs of an answer stand in the name of the model, so no case can inherit the knobs of another:
`bench[-tool][-d<delay ms>][-c<ms between tokens>][-n<tokens>]`, for example `bench-d50-n16`.

A prompt carries a number of eight digits and the last token of its answer repeats it. Prompts and answers
are therefore all different (nothing can be cached or stored once for many), and an answer that belongs to
another request is noticed.
"""

import re
from dataclasses import dataclass

FIRST_TOKEN = "alpha"
NUMBER = "@@@@@@@@"
PROMPT = f"Say the words, then the number #{NUMBER}#"
INSTRUCTIONS = "You are a benchmark. Answer with words."
TOOL = "lookup"

_MODEL = re.compile(r"bench(-tool)?(?:-d(\d+))?(?:-c(\d+))?(?:-n(\d+))?")
_NUMBER = re.compile(rb"#(\d{8})#")


@dataclass(frozen=True, kw_only=True)
class Script:
    """How the upstream answers one model name. Durations are seconds."""

    tokens: int
    delay_s: float
    chunk_s: float
    calls_tool: bool


def parse_model(model: str) -> Script:
    """Read the knobs in a model name; ValueError where it is not one of ours."""
    match = _MODEL.fullmatch(model)
    if match is None:
        raise ValueError(f"not a benchmark model: {model!r}; expected bench[-tool][-dMS][-cMS][-nTOKENS]")
    tool, delay, chunk, tokens = match.groups()
    return Script(
        tokens=int(tokens or 16),
        delay_s=int(delay or 0) / 1000,
        chunk_s=int(chunk or 0) / 1000,
        calls_tool=tool is not None,
    )


def number_in(body: bytes) -> bytes:
    """The number a request carries, wherever its face puts the prompt."""
    match = _NUMBER.search(body)
    return match.group(1) if match else b"00000000"


def answer_tokens(tokens: int) -> list[str]:
    """The tokens of an answer, with NUMBER where the number of its request goes."""
    middle = [f" w{index}" for index in range(1, tokens - 1)]
    return [FIRST_TOKEN, *middle, f" end{NUMBER}"]


def answer_text(tokens: int, number: bytes) -> str:
    """The whole answer to the request with this number."""
    return "".join(answer_tokens(tokens)).replace(NUMBER, number.decode())
