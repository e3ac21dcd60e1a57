"""A run waits because it is not known whether a tool acted; this says what became of it, and the run goes on.

Needs nothing but Python and a server: runwright serve examples/features
"""

import json
import os
import time
from typing import Any
from urllib.request import Request, urlopen

SERVER = os.environ.get("RUNWRIGHT_SERVER", "http://127.0.0.1:8321")
HEADERS = {"Authorization": f"Bearer {os.environ.get('RUNWRIGHT_API_KEY', 'none')}"}
OVER = {"completed", "failed", "cancelled"}


def call(path: str, body: dict[str, object] | None = None) -> dict[str, Any]:
    """Post a body, or get where there is none."""
    data = None if body is None else json.dumps(body).encode()
    with urlopen(Request(SERVER + path, data=data, headers=HEADERS)) as response:
        answer: dict[str, Any] = json.load(response)
    return answer


def main() -> None:
    """Order a pick-up whose answer is lost, look it up, and resolve it."""
    run = call("/api/v1/agents/courier/runs", {"input": "Order a pick-up at customer 0"})
    print(run["status"], run["reason"])
    path = f"/api/v1/runs/{run['id']}"
    for step in call(f"{path}/steps")["data"]:
        if step["status"] == "unknown":
            print("step", step["seq"], step["name"], step["request"], step["error"]["message"])
    # Here somebody asks the courier, and hears that the order arrived.
    call(f"{path}/resolve", {"action": "done", "result": "The pick-up at customer 0 is ordered.", "by": "ada"})
    while (run := call(path))["status"] not in OVER:
        time.sleep(0.2)
    print(run["status"], run["output"])


if __name__ == "__main__":
    main()
