"""What a call of any function asks, and how its result is kept: for `guarded` functions with a cache."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import Any, cast, get_type_hints

import msgspec

from runwright.guard.call import Codec

Asks = Callable[[Sequence[object], Mapping[str, object]], bytes]

_encode = msgspec.msgpack.Encoder(order="deterministic").encode
_PLAIN = (dict, list, str, int, float, bool, type(None))
_NOT_GIVEN: Any = object()


def question_of(function: Callable[..., Any], target: str | None = None) -> Asks:
    """What names a call of a function: its module and name, its target, and its arguments by name, defaults included.

    Raises ValueError for a function that reads more than its arguments, such as one made by another function, where no
    target tells it from others of its name. The returned function raises TypeError for arguments that cannot be
    written down.
    """
    signature = inspect.signature(function)
    name = f"{function.__module__}.{function.__qualname__}"
    if target is None and (held := _held_by(function)):
        told = f"it reads {', '.join(held)}, which its arguments do not tell"
        raise ValueError(f"{name} cannot be cached: {told}; give @guarded a target that does, or pass it to the call")

    def asks(args: Sequence[object], kwargs: Mapping[str, object]) -> bytes:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        parts = [_part(name, argument, value) for argument, value in bound.arguments.items()]
        return blake2b(_encode((name, target, parts)), digest_size=16).digest()

    return asks


def codec_of(function: Callable[..., Any]) -> Codec[Any]:
    """How results of a function are kept: as what it is annotated to return, else as plain JSON.

    Encoding raises TypeError for a result that would come back as something else.
    """
    name = f"{function.__module__}.{function.__qualname__}"
    kind = _returned(function)
    # Any is written as it is and would come back as plain data.
    is_typed = kind not in (_NOT_GIVEN, Any, object)
    decoder: msgspec.msgpack.Decoder[Any] = msgspec.msgpack.Decoder(kind if is_typed else Any)

    def encode(result: Any) -> bytes:  # noqa: ANN401 - a result of any function
        try:
            data = _encode(result)
        except (TypeError, ValueError) as error:
            raise TypeError(f"{name} cannot be cached: its result {result!r} has no written form") from error
        if not is_typed and not _is_plain(result):
            raise TypeError(f"{name} cannot be cached: annotate what it returns, since {result!r} is no plain JSON")
        return data

    return Codec[Any](encode=encode, decode=decoder.decode, shape=f"{name} {kind!r}/1" if is_typed else "plain/1")


def _part(name: str, argument: str, value: object) -> tuple[str, bytes]:
    try:
        return argument, _written(value)
    except (TypeError, ValueError) as error:
        told = f"{argument}={value!r} has no written form; leave the cache off, or give it plain data"
        raise TypeError(f"{name} cannot be cached: {told}") from error


def _held_by(function: Callable[..., Any]) -> list[str]:
    """What a function reads of the one that made it, or the object that it is a method of."""
    held = [type(function.__self__).__qualname__] if inspect.ismethod(function) else []
    code = getattr(function, "__code__", None)
    return held if code is None else [*held, *code.co_freevars]


def _written(value: object) -> bytes:
    """A value with the types of all that it holds: some are written alike, such as a Decimal and a text."""
    kind = type(value)
    if isinstance(value, dict):
        pairs = cast("dict[object, object]", value).items()  # isinstance cannot know what it holds
        inner: Any = sorted((_written(key), _written(each)) for key, each in pairs)
    elif isinstance(value, (list, tuple)):
        inner = [_written(each) for each in cast("Iterable[object]", value)]
    elif isinstance(value, (set, frozenset)):
        inner = sorted(_written(each) for each in cast("Iterable[object]", value))
    elif isinstance(value, msgspec.Struct):
        inner = [_written(getattr(value, field)) for field in value.__struct_fields__]
    elif dataclasses.is_dataclass(value):
        inner = [_written(getattr(value, field.name)) for field in dataclasses.fields(value)]
    else:
        inner = value
    return _encode((kind.__module__, kind.__qualname__, inner))


def _returned(function: Callable[..., Any]) -> Any:  # noqa: ANN401 - any type
    try:
        return get_type_hints(function).get("return", _NOT_GIVEN)
    # A name that is there for type checkers only.
    except NameError:
        return _NOT_GIVEN


def _is_plain(value: object) -> bool:
    if isinstance(value, dict):
        held = cast("dict[object, object]", value)  # isinstance cannot know what it holds
        return all(type(key) is str and _is_plain(each) for key, each in held.items())
    if isinstance(value, list):
        return all(map(_is_plain, cast("list[object]", value)))
    return type(value) in _PLAIN
