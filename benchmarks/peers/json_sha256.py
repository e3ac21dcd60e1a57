"""The key of a request as caches make it: the whole request as sorted JSON, hashed."""

import hashlib
import json
import time

from peers import faults


def key(calls: int) -> float:
    request = {"model": "m", "messages": faults.conversation()}
    took: list[float] = []
    for _ in range(calls):
        begun = time.perf_counter()
        hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()
        took.append((time.perf_counter() - begun) * 1e6)
    return faults.spread(took)["p50"]
