"""A conversation: each run of a thread sees what was said before. The second request is repeated, and runs once.

Needs nothing but Python and a server: runwright serve examples/features
"""

import json
import os
import uuid
from typing import Any
from urllib.request import Request, urlopen

SERVER = os.environ.get("RUNWRIGHT_SERVER", "http://127.0.0.1:8321")
HEADERS = {"Authorization": f"Bearer {os.environ.get('RUNWRIGHT_API_KEY', 'none')}"}


def call(path: str, body: dict[str, object] | None = None, **headers: str) -> dict[str, Any]:
    """Post a body, or get where there is none."""
    data = None if body is None else json.dumps(body).encode()
    with urlopen(Request(SERVER + path, data=data, headers=HEADERS | headers)) as response:
        answer: dict[str, Any] = json.load(response)
    return answer


def main() -> None:
    """Talk twice, and look at the conversation."""
    thread = f"thr_{uuid.uuid4().hex}"
    call("/api/v1/agents/support/runs", {"input": "My name is Ada", "thread_id": thread})
    body: dict[str, object] = {"input": "Look up customer 7", "thread_id": thread}
    key = {"Idempotency-Key": uuid.uuid4().hex}
    first = call("/api/v1/agents/support/runs", body, **key)
    again = call("/api/v1/agents/support/runs", body, **key)
    print("one run:", first["id"] == again["id"])
    for message in call(f"/api/v1/threads/{thread}/messages")["data"]:
        print(message["role"], "|", message.get("content") or "(calls a tool)")


if __name__ == "__main__":
    main()
