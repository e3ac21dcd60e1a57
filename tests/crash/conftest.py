"""What every crash test starts from, and how long runs stood still."""

from collections.abc import AsyncGenerator, Callable
from pathlib import Path

import pytest

from tests.crash.stage import Stage


@pytest.fixture
async def stage(tmp_path: Path, record_property: Callable[[str, object], None]) -> AsyncGenerator[Stage]:
    """A stage of its own for each test."""
    async with Stage.opened(tmp_path) as opened:
        yield opened
    for start_s, ready_s in opened.resume_s:
        record_property("resume_s", (start_s, ready_s))
