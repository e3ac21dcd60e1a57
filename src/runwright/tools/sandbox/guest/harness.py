"""Runs code once: the job comes as a line of JSON on stdin, what it asks and gives goes out as lines on the
descriptor that the last argument names.

It keeps nothing from the code, which could do all of this by itself: the host trusts no line.
"""

from __future__ import annotations

import binascii
import importlib
import json
import os
import sys
import threading
from functools import partial, partialmethod
from types import ModuleType

# Every start would pay for typing.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType
    from typing import Any

    Message = dict[str, Any]
    Shape = Callable[[Any], object]

OUT = int(sys.argv[-1])
HARNESS = __file__


class CallFailed(Exception):
    """The host could not do what was asked; `code` says what kind of failure it was."""

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code


class HttpResponse:
    """What came back: `status`, `headers` with names in lower case, and `body` as bytes."""

    def __init__(self, fields: Message) -> None:
        self.status: int = fields["status"]
        self.headers: dict[str, str] = fields["headers"]
        self.body = binascii.a2b_base64(fields["body"])

    @property
    def is_ok(self) -> bool:
        """Whether the status is below 400."""
        return self.status < 400

    @property
    def text(self) -> str:
        """The body as text in UTF-8; what is none is replaced."""
        return self.body.decode(errors="replace")

    def json(self) -> object:
        """The body as plain JSON data."""
        return json.loads(self.body)


class Host:
    """The other end: asked at once or, where an event loop runs, with `await`."""

    def __init__(self) -> None:
        self._unread = bytearray()
        self._answers: dict[int, Message] = {}
        self._futures: dict[int, Any] = {}
        self._asked = 0
        self._reading = threading.Lock()
        self._writing = threading.Lock()

    def send(self, message: Message) -> None:
        """Write one line."""
        left = memoryview(json.dumps(message, allow_nan=False).encode() + b"\n")
        with self._writing:
            while left:
                left = left[os.write(OUT, left) :]

    def receive(self) -> Message:
        """Wait for one line."""
        while not (lines := self._lines()):
            self._take()
        self._unread[:0] = b"".join(line + b"\n" for line in lines[1:])
        return json.loads(lines[0])

    def ask(self, kind: str, name: str, arguments: Message, *, shape: Shape = lambda result: result) -> object:
        """The answer to a call, or something to await for it."""
        if "asyncio" in sys.modules and sys.modules["asyncio"]._get_running_loop() is not None:
            return self._ask_async(kind, name, arguments, shape=shape)
        number = self._put(kind, name, arguments)
        with self._reading:
            while number not in self._answers:
                self._keep(self.receive())
            return shape(given(self._answers.pop(number)))

    async def _ask_async(self, kind: str, name: str, arguments: Message, *, shape: Shape) -> object:
        loop = sys.modules["asyncio"].get_running_loop()
        number = self._put(kind, name, arguments)
        self._futures[number] = future = loop.create_future()
        loop.add_reader(0, self._dispatch)
        try:
            return shape(given(await future))
        finally:
            del self._futures[number]
            if not self._futures:
                loop.remove_reader(0)

    def _put(self, kind: str, name: str, arguments: Message) -> int:
        with self._writing:
            self._asked = number = self._asked + 1
        self.send({"type": "call", "id": number, "kind": kind, "name": name, "arguments": arguments})
        return number

    def _dispatch(self) -> None:
        self._take()
        for line in self._lines():
            self._keep(json.loads(line))

    def _keep(self, answer: Message) -> None:
        future = self._futures.get(answer["id"])
        if future is None:
            self._answers[answer["id"]] = answer
        elif not future.done():
            future.set_result(answer)

    def _take(self) -> None:
        chunk = os.read(0, 65536)
        if not chunk:
            # The host is gone, and with it everybody who could want a result.
            os._exit(1)
        self._unread += chunk

    def _lines(self) -> list[bytearray]:
        *lines, rest = self._unread.split(b"\n")
        self._unread = rest
        return lines


class Http:
    """HTTP requests, which the host sends."""

    def __init__(self, host: Host) -> None:
        self._host = host

    def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | str | None = None,
        json_body: object = None,
    ) -> object:
        """Send a request; `json_body` is data, `body` bytes or text."""
        sent = dict(headers or {})
        if json_body is not None:
            body = json.dumps(json_body)
            sent.setdefault("content-type", "application/json")
        raw = body.encode() if isinstance(body, str) else body
        coded = None if raw is None else binascii.b2a_base64(raw, newline=False).decode()
        arguments = {"method": method.upper(), "url": url, "headers": sent, "body": coded}
        return self._host.ask("http", method.upper(), arguments, shape=HttpResponse)

    get = partialmethod(request, "GET")
    post = partialmethod(request, "POST")
    put = partialmethod(request, "PUT")
    delete = partialmethod(request, "DELETE")


def given(answer: Message) -> object:
    """The result in an answer; raises CallFailed for an error."""
    if answer.get("error"):
        raise CallFailed(answer["error"]["message"], answer["error"]["code"])
    return answer["result"]


def call_tool(host: Host, name: str, /, **arguments: object) -> object:
    """Ask for a tool of the agent; where an event loop runs, the answer is awaited."""
    return host.ask("tool", name, arguments)


def perform(host: Host, job: Message) -> object:
    """Load the code and call its entry point."""
    module = ModuleType("main")
    module.__file__ = job["file"]
    vars(module).update(call_tool=partial(call_tool, host), http=Http(host), CallFailed=CallFailed)
    sys.modules["main"] = module
    exec(compile(job["code"], job["file"], "exec"), module.__dict__)
    entry = getattr(module, job["entry"], None)
    if entry is None:
        names = ", ".join(sorted(name for name, value in vars(module).items() if is_own(value))) or "none"
        raise NameError(f"the code has no function {job['entry']!r}; its functions: {names}")
    result: Any = entry(**job["inputs"])
    if hasattr(result, "__await__"):
        return importlib.import_module("asyncio").run(awaited(result))
    return result


async def awaited(result: Any) -> object:  # noqa: ANN401 - whatever can be awaited
    """What an awaitable gives."""
    return await result


def is_own(value: object) -> bool:
    """Whether something is a function of the code."""
    return getattr(value, "__module__", None) == "main" and callable(value)


def described(error: BaseException, job: Message) -> Message:
    """An error with its place in the code."""
    is_memory = isinstance(error, MemoryError)
    trace = error.__traceback__
    place = None
    while trace is not None and trace.tb_frame.f_code.co_filename == HARNESS:
        trace = trace.tb_next
    following = trace
    while following is not None:
        if following.tb_frame.f_code.co_filename == job["file"]:
            place = following.tb_lineno
        following = following.tb_next
    if isinstance(error, SyntaxError) and error.filename == job["file"]:
        place = error.lineno
    return {
        "type": "failed",
        "is_memory": is_memory,
        "error": {
            "type": type(error).__name__,
            "message": worded(error),
            "traceback": shown(error, trace),
            "file": None if place is None else job["file"],
            "line": place,
        },
    }


def worded(error: BaseException) -> str:
    """The message of an error, whatever its class does when it is asked."""
    if isinstance(error, SystemExit):
        return f"the code called exit({error.code!r}) and gave no result"
    try:
        return str(error)[:10_000] or (type(error).__doc__ or "").split("\n")[0]
    except Exception:  # noqa: BLE001 - the class is the code's own
        return ""


def shown(error: BaseException, trace: TracebackType | None) -> str:
    """The traceback from the first frame of the code on."""
    try:
        if isinstance(error, MemoryError):
            # What filled the memory is held by the frames.
            importlib.import_module("traceback").clear_frames(trace)
        lines = importlib.import_module("traceback").format_exception(type(error), error, trace)
        return "".join(lines)[-20_000:]
    except Exception:  # noqa: BLE001 - no memory is left, or the classes are the code's own
        return ""


def remember(job: Message) -> None:
    """Let tracebacks show the lines of the code, which is in no file."""
    linecache = importlib.import_module("linecache")
    lines = job["code"].splitlines(keepends=True)
    linecache.cache[job["file"]] = (len(job["code"]), None, lines, job["file"])


def main() -> None:
    """Do one job."""
    host = Host()
    host.send({"type": "ready"})
    job = host.receive()
    if job["path"]:
        importlib.import_module("site").addsitedir(job["path"])
    try:
        end = {"type": "done", "result": perform(host, job)}
        text = json.dumps(end, allow_nan=False)
        if len(text) > job["longest"]:
            raise ValueError(f"the result has {len(text):,} bytes as JSON, and {job['longest']:,} are taken")
    except BaseException as error:  # noqa: BLE001 - the host is told
        remember(job)
        end = described(error, job)
    host.send(end)
    # The host ends this process; threads that the code left behind would go on until then.
    os.read(0, 1)


main()
