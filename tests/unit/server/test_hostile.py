"""Bodies that nobody sends in earnest: none of them is answered with 500."""

import httpx2
import pytest

DEPTHS = (100, 900, 990, 1000, 100_000)
FIELDS = (b"input", b"config", b"metadata", b"messages", b"output", b"settings")


def nested(field: bytes, depth: int) -> bytes:
    """A body one field of which is nested."""
    value = b'{"a":' * depth + b"1" + b"}" * depth
    return b'{"name":"n","model":"support","%b":%b}' % (field, value)


PLAIN = (
    b"",
    b"null",
    b"[]",
    b"\xff",
    b'{"input":"\\ud800"}',
    b'{"input":' + b"9" * 5000 + b"}",
    b'{"input":1e999}',
    b'{"input":NaN}',
    b'{"input":"x","thread_id":"\\u0000"}',
    b'{"id":"\xe7\xb7\x9a"}',
    b'{"model":"\\u0000","messages":[]}',
    b'{"action":"done","step":' + b"9" * 30 + b',"result":1}',
)


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/agents/support/runs",
        "/api/v1/agents/structured/runs",
        "/api/v1/agents",
        "/api/v1/agents/validate",
        "/api/v1/threads",
        "/api/v1/runs/run_1/resolve",
        "/v1/chat/completions",
    ],
)
async def test_no_body_is_an_error_of_the_server(client: httpx2.AsyncClient, path: str) -> None:
    """Broken text, text of other encodings, huge numbers and deep nesting are told as what they are."""
    bodies = [*PLAIN, *(nested(field, depth) for field in FIELDS for depth in DEPTHS)]
    answers = [(await client.post(path, content=body)).status_code for body in bodies]
    assert [status for status in answers if status >= 500] == []
