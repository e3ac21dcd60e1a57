"""`runwright init`: a small project to start from."""

from __future__ import annotations

from pathlib import Path

from runwright.cli.call import Called
from runwright.errors import Conflict, StorageReadOnly

HELPER = '''"""An agent in Python: instructions, and functions it may call."""

from runwright import Agent, tool


@tool(effect="read")
async def weather(city: str) -> str:
    """Say the weather in a city.

    Args:
        city: The name of the city.
    """
    return f"It is 18 degrees and sunny in {city}."


helper = Agent(
    "helper",
    instructions="You answer briefly. Use the weather tool when you are asked about the weather.",
    tools=[weather],
)
'''

WRITER = """# An agent without code: the same fields as Agent(...).
name: writer
instructions: You turn what you are given into one clear sentence.
"""

CONFIG = """# Every setting: `runwright config show --origin`. Variables such as RUNWRIGHT_PORT win over this file.
agents = "agents"

# The model of agents that name none. Without it: a key in the environment, else Ollama, else a local model, else a
# demo that is not a language model.
# model = "openai:gpt-5-mini"
"""

IGNORED = """.env
.runwright/
__pycache__/
"""

FILES = {
    "agents/helper.py": HELPER,
    "agents/writer.yaml": WRITER,
    "runwright.toml": CONFIG,
    ".gitignore": IGNORED,
}


def init(folder: Path = Path(), /, *, call: Called) -> None:
    """Write a small project to start from: two agents and a configuration file. Nothing is overwritten.

    Args:
        folder: Where to write; made when it is not there.
        call: What every command is handed.
    """
    present = [name for name in FILES if (folder / name).exists()]
    if present:
        raise Conflict(
            f"Nothing was written: {', '.join(present)} exist in {str(folder)!r} already. Name another folder."
        )
    try:
        for name, text in FILES.items():
            _write(folder / name, text)
    except OSError as error:
        raise StorageReadOnly(f"{str(folder)!r} cannot be written: {error.strerror}.") from error
    if call.out.is_json:
        call.out.json({"folder": str(folder), "files": list(FILES)})
        return
    for name in FILES:
        call.out.text(str(folder / name))
    place = "" if folder == Path() else f"cd {folder} && "
    call.out.note(f'Next: {place}runwright run helper "What is the weather in Oslo?"')
    call.out.note(f"      {place}runwright serve")


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
