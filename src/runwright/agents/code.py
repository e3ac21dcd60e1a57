"""The code of a custom agent: where it stands, and who may have said so."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
from pydantic import Field

from runwright.agents.base import BuildContext
from runwright.agents.guest import Pinned
from runwright.agents.host import check_url
from runwright.agents.schema import Fields, config_error
from runwright.errors import InvalidRequest
from runwright.tools.sandbox.workshop import LARGEST_CODE, read_file

SHA256 = "^[0-9a-f]{64}$"

SOURCES = ("code", "file", "url")


class CodeFields(Fields):
    """Where code stands."""

    code: str | None = Field(default=None, description="The code itself.")
    file: str | None = Field(default=None, description="A file with the code, beside the definition.")
    url: str | None = Field(default=None, description="Where the code is fetched from, once; needs `sha256`.")
    sha256: str | None = Field(default=None, pattern=SHA256, description="The hash of what stands at `url`.")


class Code(msgspec.Struct, frozen=True, kw_only=True):
    """Code, or where it will be had. `digest` is its hash where the definition does not hold it or its hash."""

    text: str = ""
    pinned: Pinned | None = None
    digest: str = ""


def read_code(fields: CodeFields, context: BuildContext) -> Code:
    """The code of a definition. Raises ConfigError with places."""
    if found := list(_problems(fields, context)):
        raise config_error(found)
    if fields.url is not None:
        return Code(pinned=Pinned(fields.url, fields.sha256 or ""))
    if fields.file is None:
        return Code(text=_fitting(fields.code or "", "/code"))
    text = _fitting(_from_file(fields.file, context), "/file")
    return Code(text=text, digest=hashlib.sha256(text.encode()).hexdigest())


def _problems(fields: CodeFields, context: BuildContext) -> Iterator[tuple[str, str]]:
    given = [each for each in SOURCES if getattr(fields, each) is not None]
    if len(given) != 1:
        yield "/code", f"give one of code, file and url, not {' and '.join(given) or 'none of them'}"
    is_api = context.source == "api"
    if fields.file is not None and is_api:
        yield "/file", "a file is named in code or in a definition file: send the code itself"
    if fields.url is None:
        if fields.sha256 is not None:
            yield "/sha256", "is the hash of what stands at a url"
        return
    if fields.sha256 is None:
        yield "/sha256", "code from a url is pinned: give its SHA-256, 64 hexadecimal digits in lower case"
    try:
        check_url(fields.url, may_reach(context) if is_api else ("*",))
    except InvalidRequest as error:
        yield "/url", error.message


def may_reach(context: BuildContext) -> Sequence[str]:
    """The hosts that agents from the API may name."""
    return () if context.workshop is None else context.workshop.api_hosts


def _from_file(file: str, context: BuildContext) -> str:
    place = (context.folder or Path()) / file
    try:
        if context.workshop is None:
            return read_file(place)
        # Where a part of an agent changes that is there, it is the code that it has already.
        return context.workshop.read(place, is_fresh=context.own is None)
    except (OSError, UnicodeDecodeError) as error:
        raise config_error([("/file", f"{str(place)!r} cannot be read: {error}")]) from error


def _fitting(text: str, at: str) -> str:
    size = len(text.encode(errors="surrogatepass"))
    if size > LARGEST_CODE:
        raise config_error([(at, f"code has {LARGEST_CODE:,} bytes at the most, not {size:,}")])
    return text
