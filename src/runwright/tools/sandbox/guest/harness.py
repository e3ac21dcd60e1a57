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
REST = ({"type": "rest"},)
RESTLESS = 1_000
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
        self._came: list[Message] = []
        self._turns = 0
        self._is_probing = False
        self._asked = 0
        self._reading = threading.Lock()
        self._writing = threading.Lock()

    def send(self, *messages: Message) -> None:
        """Write a line for each."""
        left = memoryview(b"".join(json.dumps(each, allow_nan=False).encode() + b"\n" for each in messages))
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
        # Where there are threads, others may go on.
        number = self._put(kind, name, arguments, *(REST if threading.active_count() == 1 else ()))
        with self._reading:
            while number not in self._answers:
                self._keep(self.receive())
            return shape(given(self._answers.pop(number)))

    def tell(self, kind: str, name: str, arguments: Message) -> None:
        """Say something that has no answer."""
        self.send({"type": "call", "id": 0, "kind": kind, "name": name, "arguments": arguments})

    async def _ask_async(self, kind: str, name: str, arguments: Message, *, shape: Shape) -> object:
        loop = sys.modules["asyncio"].get_running_loop()
        number = self._put(kind, name, arguments)
        self._futures[number] = future = loop.create_future()
        loop.add_reader(0, self._dispatch)
        self._probe_soon()
        try:
            return shape(given(await future))
        finally:
            del self._futures[number]
            if not self._futures:
                loop.remove_reader(0)

    def _put(self, kind: str, name: str, arguments: Message, *after: Message) -> int:
        with self._writing:
            self._asked = number = self._asked + 1
        self.send({"type": "call", "id": number, "kind": kind, "name": name, "arguments": arguments}, *after)
        return number

    def _dispatch(self) -> None:
        self._take()
        self._came += map(json.loads, self._lines())
        self._probe_soon()

    def _probe_soon(self) -> None:
        if not self._is_probing:
            self._is_probing = True
            self._turns = 0
            sys.modules["asyncio"].get_running_loop().call_soon(self._probe)

    def _probe(self) -> None:
        """Hand over the next answer when the code has come to rest after the one before, so that it acts on them in
        the order in which they came, and not as they happen to fall together. Then say that it rests.
        """
        loop = sys.modules["asyncio"].get_running_loop()
        self._turns += 1
        self._is_probing = bool(getattr(loop, "_ready", ())) and self._turns < RESTLESS
        if self._is_probing:
            loop.call_soon(self._probe)
        elif self._came:
            self._keep(self._came.pop(0))
            self._probe_soon()
        elif self._futures:
            self.send(*REST)

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


class Memory:
    """Named blocks that outlive the run: those of the agent, and by `thread` those of the run's thread."""

    def __init__(self, host: Host, scope: str = "agent") -> None:
        self._host = host
        self._scope = scope

    @property
    def thread(self) -> Memory:
        """The memory of the run's thread."""
        return Memory(self._host, "thread")

    def get(self, name: str, default: object = None) -> object:
        """What a block holds, or the default where there is none."""
        return self._do("get", shape=lambda found: default if found is None else found, name=name)

    def set(self, name: str, value: object) -> object:
        """Replace a block by any JSON value but null."""
        return self._do("set", name=name, value=value)

    def append(self, name: str, text: str) -> object:
        """Add a line to a text."""
        return self._do("append", name=name, value=text)

    def delete(self, name: str) -> object:
        """Take a block away."""
        return self._do("delete", name=name)

    def list(self) -> object:
        """The names of all blocks, in order."""
        return self._do("list")

    def _do(self, what: str, /, *, shape: Shape = lambda result: result, **arguments: object) -> object:
        return self._host.ask("memory", what, {"scope": self._scope, **arguments}, shape=shape)


class Context:
    """What else code can ask for; each answer is recorded."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self.memory = Memory(host)

    def model(self, messages: object, *, instructions: str = "") -> object:
        """What the agent's model answers, as text, to text or to a list of messages."""
        return self._host.ask("model", "", {"messages": messages, "instructions": instructions})

    def run(self, agent: str, input: object = None) -> object:
        """What another agent gives."""
        return self._host.ask("run", agent, {"input": input})

    def ask(self, question: str, *, schema: object = None, expires_s: float | None = None) -> object:
        """What a person answers."""
        return self._host.ask("ask", "", {"question": question, "schema": schema, "expires_s": expires_s})

    def sleep(self, duration_s: float) -> object:
        """Wait for so many seconds."""
        return self._host.ask("sleep", "", {"duration_s": duration_s})

    def now(self) -> object:
        """The present time in UTC, as a datetime."""
        return self._host.ask("now", "", {}, shape=lambda text: _datetime().fromisoformat(text))

    def random(self) -> object:
        """A number from 0 up to 1."""
        return self._host.ask("random", "", {})

    def uuid(self) -> object:
        """A random UUID, as text."""
        return self._host.ask("uuid", "", {})

    def progress(self, message: str = "", *, fraction: float | None = None) -> None:
        """Say how far the work is; `fraction` from 0 to 1."""
        self._host.tell("progress", "", {"message": message, "fraction": fraction})

    def emit(self, name: str, value: object = None) -> None:
        """Record an event of your own."""
        self._host.tell("emit", name, {"value": value})


def _datetime() -> Any:  # noqa: ANN401 - loaded by those who want it
    return importlib.import_module("datetime").datetime


def given(answer: Message) -> object:
    """The result in an answer; raises CallFailed for an error."""
    if answer.get("error"):
        raise CallFailed(answer["error"]["message"], answer["error"]["code"])
    return answer["result"]


def call_tool(host: Host, name: str, /, **arguments: object) -> object:
    """Ask for a tool of the agent; where an event loop runs, the answer is awaited."""
    return host.ask("tool", name, arguments)


class Seeding:
    """Seeds the random numbers of a module when it is loaded, whoever loads it and whenever."""

    def __init__(self, seed: float) -> None:
        self._seeds = {"random": seed, "numpy.random": int(seed * 2**32)}

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:  # noqa: ANN401 - of the import system
        """The module as it is found without this, whose loading ends with its seed."""
        if name not in self._seeds:
            return None
        spec = importlib.import_module("importlib.machinery").PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            load = spec.loader.exec_module
            spec.loader.exec_module = partial(self._loaded, name, load)
        return spec

    def _loaded(self, name: str, load: Callable[[Any], object], module: Any) -> None:  # noqa: ANN401 - any module
        load(module)
        module.seed(self._seeds[name])


def perform(host: Host, job: Message) -> object:
    """Load the code and call its entry point."""
    module = ModuleType("main")
    module.__file__ = job["file"]
    vars(module).update(call_tool=partial(call_tool, host), http=Http(host), context=Context(host))
    vars(module).update(CallFailed=CallFailed)
    sys.modules["main"] = module
    if job["seed"] is not None:
        sys.meta_path.insert(0, Seeding(job["seed"]))
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
