"""What holds for every test: no network, no keys, no blocked event loop."""

import ipaddress
import os
import sys
from collections.abc import Iterator
from typing import cast

import pytest
from blockbuster import blockbuster_ctx
from hypothesis import settings

# Tests whose server runs in a process of its own, and those of a command, which opens things before it serves anybody.
MAY_BLOCK = {"browser", "command", "crash", "e2e"}
_refused: list[str] = []

# How long an example takes says how busy the machine is.
settings.register_profile("untimed", settings.get_profile(settings.get_current_profile_name()), deadline=None)
settings.load_profile("untimed")


class NetworkRefused(ConnectionError):
    """A test tried to reach a host other than this machine."""


def _refuse_network(event: str, arguments: tuple[object, ...]) -> None:
    host = _host(arguments[1]) if event == "socket.connect" else None
    if host and not _is_loopback(host):
        _refused.append(host)
        raise NetworkRefused(f"Tests talk to this machine only, not to {host!r}.")


def _host(address: object) -> str | None:
    """The host of an IPv4 or IPv6 address; a Unix socket has none."""
    if not isinstance(address, tuple):
        return None
    # The check above cannot know what the tuple holds.
    return str(cast("tuple[object, ...]", address)[0])


def _is_loopback(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost"
    # Connecting to the unspecified address reaches this machine.
    return address.is_loopback or address.is_unspecified


# An audit hook sees every socket of the process, whatever library opens it.
sys.addaudithook(_refuse_network)

# Servers started by tests inherit the environment: no key, no provider, no user's own settings.
for _name in list(os.environ):
    if _name.startswith("RUNWRIGHT_") or _name.endswith(("_API_KEY", "_BASE_URL")):
        del os.environ[_name]


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Async tests run on asyncio."""
    return "asyncio"


@pytest.fixture(autouse=True)
def no_network() -> Iterator[None]:
    """Fail a test that tried to reach another machine, even if the code caught the error."""
    _refused.clear()
    yield
    assert _refused == []


@pytest.fixture(autouse=True)
def no_blocking(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test in which Runwright's own code blocks the event loop."""
    if {mark.name for mark in request.node.iter_markers()} & MAY_BLOCK:
        yield
        return
    with blockbuster_ctx("runwright") as guard:
        # Coverage shares its data among threads behind a lock of its own.
        guard.functions["threading.Lock.acquire"].can_block_in("coverage/collector.py", "lock_data")
        # A look at one row of a file takes 8 us, the way through a thread 30.
        for looking in ("execute", "fetchall"):
            guard.functions[f"sqlite3.Cursor.{looking}"].can_block_in("runwright/store/cache.py", "look")
        yield
