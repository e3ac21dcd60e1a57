"""Third-party files are those that were published."""

import hashlib
from importlib.resources import files

import pytest

VENDORED = {
    "htmx-4.0.1.min.js": "a0abb04f2f45a1f89d1d4844023245537e5e6014c87b144553e0607b4cc32130",
    "uplot-1.6.32.min.js": "19c8d4c6ad88929a79f4ae49d6f7161566dfd0ba3d15cc495e974f787eb78f1f",
    "uplot-1.6.32.min.css": "df630c6a8d6f8eeaff264b50f73ce5b114f646ffd9a0bb74f049b0a00135fa04",
}


@pytest.mark.parametrize("name", VENDORED)
def test_vendored_files_are_as_published(name: str) -> None:
    """Each third-party file has the hash of the file in its package."""
    body = (files("runwright.studio") / "static" / "vendor" / name).read_bytes()
    assert hashlib.sha256(body).hexdigest() == VENDORED[name]
