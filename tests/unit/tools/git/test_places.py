"""Where a repository may be, and who may say so."""

from __future__ import annotations

from pathlib import Path

import pytest

from runwright.errors import InvalidRequest, ToolFailed
from runwright.tools.git.places import Place, allows, public_address, read_place


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("https://GitHub.com/acme/site/", "https://github.com/acme/site"),
        ("HTTPS://github.com:8443/acme/My%20Site.git", "https://github.com:8443/acme/My%20Site.git"),
        ("http://[::1]:80/x", "http://[::1]:80/x"),
        ("/tmp/../tmp/x", "/tmp/x"),
    ],
)
def test_places_have_one_form(text: str, place: str) -> None:
    """The same place is the same text, however it is written."""
    assert read_place(text).text == place


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "a\0b",
        "file:///etc",
        "ssh://host/x",
        "git://host/x",
        "git@github.com:acme/site",
        "ext::sh -c id",
        "fd::7",
        "https://user:word@github.com/acme/site",
        "https://word@github.com/acme/site",
        "https://github.com",
        "https://-oProxyCommand=id/x",
        "https://github.com/acme/../../x",
        "https://github.com/acme/%2e%2e/x",
        "https://github.com/acme%2Fsite",
        "https://github.com/acme/site?x=1",
        "https://github.com/acme/site#x",
        "https://github.com/acme//site",
        "https://github.com:port/x",
        "https://[::1/x",
        "https://github.com\\@evil.example/x",
        "https://github.com /x",
        "https://github.com/a\nb",
    ],
)
def test_what_is_no_place_is_refused(text: str) -> None:
    """No other protocol, no program, no password and no way out of a path is taken."""
    with pytest.raises(InvalidRequest) as error:
        read_place(text)
    assert "word@" not in error.value.message


@pytest.mark.parametrize(
    ("entry", "text", "is_allowed"),
    [
        ("https://github.com/acme/", "https://github.com/acme/site", True),
        ("https://github.com/acme", "https://github.com/acme/site.git", True),
        ("https://github.com/acme/site", "https://github.com/acme/site.git", True),
        ("https://github.com/acme/site.git", "https://github.com/acme/site", True),
        ("https://github.com", "https://github.com/any/thing", True),
        ("https://github.com/", "https://github.com/any/thing", True),
        ("https://github.com/acme", "https://github.com/acme-evil/site", False),
        ("https://github.com", "https://github.com.evil.example/x", False),
        ("https://github.com", "http://github.com/acme/site", False),
        ("https://github.com", "https://github.com:8443/acme/site", False),
        ("https://", "https://anything.example/x", True),
        ("https://", "http://anything.example/x", False),
        ("https://", "/tmp", False),
        ("/", "/tmp/x", True),
        ("ext::", "/tmp", False),
    ],
)
def test_what_is_allowed_begins_as_an_entry(entry: str, text: str, is_allowed: bool) -> None:
    """An entry allows itself and what lies below it, of the same protocol, host and port."""
    assert (allows([entry], read_place(text)) is not None) is is_allowed


def test_links_lead_out_of_no_folder(tmp_path: Path) -> None:
    """A link in an allowed folder is judged by where it points."""
    root, outside = tmp_path / "root", tmp_path / "outside"
    root.mkdir()
    outside.mkdir()
    (root / "link").symlink_to(outside)
    (root / "own").mkdir()
    assert allows([str(root)], read_place(str(root / "own")))
    assert not allows([str(root)], read_place(str(root / "link")))
    assert not allows([str(root)], read_place(f"{root}/../outside"))
    assert not allows([str(root)], read_place(f"{root}-other"))


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "10.1.2.3", "169.254.169.254", "[::1]", "[fd00::1]", "0.0.0.0", "localhost"),
        *("[64:ff9b::a9fe:a9fe]", "[2002:a9fe:a9fe::]", "[::ffff:10.1.2.3]"),
    ],
)
async def test_private_addresses_are_refused(host: str) -> None:
    """Where every host is allowed, those that only this machine or its network reaches are not."""
    with pytest.raises(ToolFailed, match="no public address"):
        await public_address(Place(text=f"https://{host}/x", protocol="https"))


async def test_a_public_host_is_pinned() -> None:
    """Git is told the address that was judged, so that the name cannot lead elsewhere afterwards."""
    assert await public_address(Place(text="https://8.8.8.8/x", protocol="https")) == "8.8.8.8:443:8.8.8.8"
