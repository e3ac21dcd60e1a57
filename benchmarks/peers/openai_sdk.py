"""The openai SDK with its own retries, in virtual time: its transport answers in memory."""

import httpx2
import openai

from peers import faults
from peers.faults import Busy, Down, Send
from peers.virtual import run_virtual

ANSWER = {
    "id": "x",
    "object": "chat.completion",
    "created": 0,
    "model": "m",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "answer"}}],
}


def _calling(retries: int) -> "faults.Callable[[Send], faults.Awaitable[object]]":
    """A call is a chat completion; what it stands for is asked each time the SDK sends it."""

    async def call(send: Send) -> object:
        async def handle(request: httpx2.Request) -> httpx2.Response:
            try:
                await send()
            except Busy:
                return httpx2.Response(429, json={"error": {"message": "slow down"}})
            except Down:
                return httpx2.Response(503, json={"error": {"message": "down"}})
            return httpx2.Response(200, json=ANSWER)

        http = openai.DefaultAsyncHttpxClient(transport=httpx2.MockTransport(handle))
        async with openai.AsyncOpenAI(
            api_key="none", base_url="http://upstream", http_client=http, max_retries=retries
        ) as client:
            answer = await client.chat.completions.create(model="m", messages=[{"role": "user", "content": "Say it."}])
        return answer.choices[0].message.content

    return call


def success(share: float, calls: int, attempts: int, seed: int) -> float:
    return run_virtual(faults.success(_calling(attempts - 1), share=share, calls=calls, seed=seed))


def outage(calls: int, skip: int) -> float:
    return run_virtual(faults.outage(_calling(2), calls=calls, skip=skip))


def herd(clients: int, rate: float) -> dict[str, float]:
    return run_virtual(faults.herd(_calling(100), clients=clients, rate=rate))


def stampede(askers: int) -> int:
    return run_virtual(faults.stampede(_calling(2), askers=askers))


def pacing(workers: int, quota: float, each: int) -> dict[str, float]:
    return run_virtual(faults.pacing([_calling(2), _calling(2)], workers=workers, quota=quota, each=each))


def stalls(calls: int, seed: int) -> dict[str, float]:
    return run_virtual(faults.stalls(_calling(2), calls=calls, seed=seed))
