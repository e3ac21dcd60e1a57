"""The pytest plugin: the option that records runs again, and `assert_replays` as a fixture.

It is loaded by every pytest where Runwright is installed, so the rest of Runwright is imported when a test asks for it.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

import pytest

REPLAYS = "runwright.testing.replays"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--runwright-update`."""
    group = parser.getgroup("runwright")
    group.addoption(
        "--runwright-update",
        action="store_true",
        help="run the agents of recorded runs live, and write the files of assert_replays again",
    )


@pytest.fixture(name="assert_replays", scope="session")
def _assert_replays() -> Callable[..., None]:
    """Check that today's agent still does what a file recorded: `assert_replays("tests/runs/x.run")`."""
    return import_module(REPLAYS).assert_replays


def pytest_configure(config: pytest.Config) -> None:
    """Tell the function too, which tests may import themselves."""
    if config.getoption("--runwright-update"):
        import_module(REPLAYS).Updating.is_on = True
