"""Messages in the shape of the OpenAI chat completions wire.

The encoded form of a message is its wire form: it is encoded once, and the wire body, the
stored body and the key of a step come from the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b

import msgspec

DIGEST_SIZE = 16


class TextPart(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="text"):
    """Text inside a user message."""

    text: str


class ImageUrl(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An image by https or data URL."""

    url: str
    detail: str | None = None


class ImagePart(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="image_url"):
    """An image inside a user message."""

    image_url: ImageUrl


class AudioData(msgspec.Struct, frozen=True, kw_only=True):
    """Audio as base64; `format` is wav or mp3."""

    data: str
    format: str


class AudioPart(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="input_audio"):
    """Audio inside a user message."""

    input_audio: AudioData


class FileData(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A file by id at the provider, or inline as a data URL with a name."""

    file_id: str | None = None
    file_data: str | None = None
    filename: str | None = None


class FilePart(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="file"):
    """A file inside a user message."""

    file: FileData


Part = TextPart | ImagePart | AudioPart | FilePart


class FunctionCall(msgspec.Struct, frozen=True, kw_only=True):
    """The name of a tool and its arguments as JSON text, exactly as the model wrote them."""

    name: str
    arguments: str


class ToolCall(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="function"):
    """A model's wish to call a tool."""

    id: str
    function: FunctionCall

    @property
    def name(self) -> str:
        """The tool's name."""
        return self.function.name

    @property
    def arguments(self) -> str:
        """The arguments as JSON text."""
        return self.function.arguments


class SystemMessage(msgspec.Struct, frozen=True, kw_only=True, tag_field="role", tag="system"):
    """Instructions."""

    content: str


class UserMessage(msgspec.Struct, frozen=True, kw_only=True, tag_field="role", tag="user"):
    """What the user says: text, or parts."""

    content: str | tuple[Part, ...]


class AssistantMessage(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="role", tag="assistant"
):
    """What the model says, and the tools it wants to call. Reasoning stands beside it, not in it."""

    content: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()


class ToolMessage(msgspec.Struct, frozen=True, kw_only=True, tag_field="role", tag="tool"):
    """The result of a tool call, as text."""

    tool_call_id: str
    content: str


Message = SystemMessage | UserMessage | AssistantMessage | ToolMessage

_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[Message] = msgspec.json.Decoder(Message)


def digest(data: bytes | memoryview) -> bytes:
    """BLAKE2b of the bytes, 16 bytes long (RFC 7693)."""
    return blake2b(data, digest_size=DIGEST_SIZE).digest()


class Said(msgspec.Struct, frozen=True, gc=False):
    """A message together with its encoded bytes and their digest."""

    message: Message
    raw: bytes
    digest: bytes


def said(message: Message) -> Said:
    """Encode a message once."""
    raw = _encoder.encode(message)
    return Said(message, raw, digest(raw))


def said_raw(raw: bytes | memoryview) -> Said:
    """Read an encoded message. Raises msgspec.ValidationError when it is none."""
    data = bytes(raw)
    return Said(_decoder.decode(data), data, digest(data))


def chain_digest(messages: Iterable[Said], start: bytes = b"") -> bytes:
    """The rolling digest of a conversation: each message is mixed into the digest before it."""
    head = start
    for entry in messages:
        head = digest(head + entry.digest)
    return head


def text_of(message: Message) -> str:
    """The text of a message, its parts joined; the empty string when it has none."""
    content = message.content
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    return "".join(part.text for part in content if isinstance(part, TextPart))
