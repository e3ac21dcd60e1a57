"""Whoever follows a page step by step in an empty folder sees what the page shows."""

from __future__ import annotations

import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import pytest

from tests.docs.pages import Block, blocks, pages_with

PORT = "8321"
END = "@@ end of block"
WITHIN_S = 150

VARYING = (
    (re.compile(r"\b(run|thr|chatcmpl)[_-][0-9a-f]{32}"), r"\1_ID"),
    (re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z?|\d{4}-\d\d-\d\d \d\d:\d\d:\d\d|\b\d\d:\d\d:\d\d\.\d+"), "TIME"),
    (re.compile(r"\b\d+\.\d+( s)?\b(?!\.\d)"), r"N\1"),
    (re.compile(r"[ \t]+"), " "),
)
DIED = re.compile(r"^.*: line \d+: +\d+ (Killed|Terminated) .*\n", re.MULTILINE)


def _script(page: Sequence[Block]) -> str:
    """A page as one shell script: its files are written and its commands run in the order of the page."""
    lines = ["set -e", "trap 'kill $(jobs -p) 2>/dev/null || true' EXIT"]
    for block in page:
        if block.file is not None:
            path = shlex.quote(block.file)
            lines += [f"mkdir -p $(dirname {path})", f"cat > {path} <<'END_OF_FILE'", block.text + "END_OF_FILE"]
        elif block.language == "sh":
            lines += [block.text, f"printf '\\n{END} {block.line}\\n'"]
    return "\n".join(lines) + "\n"


def _follow(page: Sequence[Block], folder: Path) -> str:
    """What the commands of a page print, followed in a folder."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = str(probe.getsockname()[1])
    script = folder.with_suffix(".sh")
    script.write_text(_script(page).replace(PORT, port), encoding="utf-8")
    environ = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "RUNWRIGHT_PORT": port,
        # What the pages show is what a machine without weights, keys and an Ollama sees.
        "RUNWRIGHT_MODEL": "demo",
        "COLUMNS": "200",
    }
    process = subprocess.Popen(
        ["bash", str(script)],
        cwd=folder,
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        printed, _ = process.communicate(timeout=WITHIN_S)
    finally:
        # Servers that the page left running belong to the script's process group.
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 0, printed
    return DIED.sub("", printed).replace(port, PORT)


def _pattern(expected: str) -> re.Pattern[str]:
    """What a page shows, as a pattern: `...` stands for anything."""
    return re.compile(re.escape(_plain(expected)).replace(r"\.\.\.", ".*?"), re.DOTALL)


def _plain(text: str) -> str:
    for found, shown in VARYING:
        text = found.sub(shown, text)
    return "\n".join(line.rstrip() for line in text.strip().splitlines())


@pytest.mark.timeout(WITHIN_S + 10)
@pytest.mark.walk
@pytest.mark.parametrize("page", pages_with("sh"))
def test_following_a_page_shows_what_it_says(page: str, tmp_path: Path) -> None:
    """The commands of a page work, and each `text` block is what the commands before it print."""
    found = list(blocks(page))
    folder = tmp_path / "walk"
    folder.mkdir()
    printed = _follow(found, folder)
    parts = re.split(rf"^{END} (\d+)\n", printed, flags=re.MULTILINE)
    outputs = dict(zip(map(int, parts[1::2]), parts[::2], strict=False))
    for block, after in pairwise(found):
        if block.language == "sh" and after.language == "text":
            shown = _plain(outputs[block.line])
            is_as_shown = _pattern(after.text).fullmatch(shown) is not None
            assert is_as_shown, f"{page}:{after.line} shows something else:\n{shown}"
