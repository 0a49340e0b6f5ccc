"""How does a plain function become a tool?"""

from __future__ import annotations

import asyncio
import functools
import inspect
import weakref
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Generic, Literal, ParamSpec, TypeVar, cast, overload

import msgspec
from msgspec import Struct, structs

from quorate.codec.json import check_depth
from quorate.errors import (
    Cancelled,
    DeadlineExceeded,
    Fenced,
    Incomplete,
    InvalidInput,
    QuorateError,
    ToolError,
    Waiting,
    describe_error,
    mend_text,
)
from quorate.messages import Audio, File, Image, Text, ToolCall, ToolResult
from quorate.ports import RunContext
from quorate.specs import ToolSpec
from quorate.tools.outcomes import Found, call_check
from quorate.tools.schema import (
    build_schema,
    decode_foreign,
    encode_foreign,
    read_docstring,
    read_signature,
)
from quorate.tools.threads import run_in_thread

P = ParamSpec("P")
R = TypeVar("R", covariant=True)

MAX_ARGUMENT_BYTES = 1 << 20
MAX_RESULT_BYTES = 1 << 20
MAX_KEPT_BYTES = 100_000_000
"""The most a result may have where there is a store: what is too large for a message becomes an artifact."""
MAX_PARTS_BYTES = 16 << 20
_PARTS = (Text, Image, Audio, File)
_ANYTHING = (Any, object, None)
_OF_ANOTHER_RUN = (Waiting, Cancelled, Incomplete, Fenced)
"""What a function may raise when it drives a run of its own: how that one ended is no command to this one."""
CRASHED = "tool_crashed"
_encode = msgspec.json.Encoder(enc_hook=encode_foreign).encode


class ToolOptions(Struct, frozen=True, kw_only=True):
    """What `tool` was told beside the function."""

    name: str | None = None
    description: str | None = None
    effect: Literal["idempotent", "keyed", "unsafe"] = "unsafe"
    timeout_s: float = 60.0
    version: str = "1"
    deprecated: str = ""
    examples: tuple[dict[str, object], ...] = ()
    max_concurrency: int | None = None
    tags: tuple[str, ...] = ()
    check: Callable[..., object] | None = None


DEFAULTS = ToolOptions()


class Tool(Generic[P, R]):
    """A function with a name, a schema and bounds; a toolset of one.

    It can still be called like the function. Its signature is read when it is first needed, so defining one is cheap.
    """

    def __init__(self, function: Callable[P, R], options: ToolOptions = DEFAULTS) -> None:
        self.function = function
        self.options = options
        self.name = options.name or function.__name__
        self._prepared: _Prepared | None = None
        self._spec: ToolSpec | None = None

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the function itself."""
        return self.function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<Tool {self.name}>"

    @property
    def spec(self) -> ToolSpec:
        """What the tool is, to a model and to the runtime."""
        if self._spec is None:
            options, signature = self.options, self._prepare().signature
            described, parameters = read_docstring(self.function.__doc__)
            description = described if options.description is None else options.description
            if options.deprecated:
                description = f"{description}\n\nDeprecated: {options.deprecated}".strip()
            self._spec = ToolSpec(
                name=self.name,
                description=description,
                parameters=build_schema(signature.arguments, parameters),
                effect=options.effect,
                timeout_s=options.timeout_s,
                version=options.version,
                deprecated=options.deprecated,
                examples=options.examples,
                max_concurrency=options.max_concurrency,
                tags=options.tags,
            )
        return self._spec

    @property
    def returns(self) -> dict[str, object] | None:
        """JSON Schema of the result, or `None` where the return type is not declared or is not JSON."""
        declared = self._prepare().signature.returns
        try:
            return None if declared in _ANYTHING else build_schema(declared)
        except InvalidInput:
            return None

    def _prepare(self) -> _Prepared:
        if self._prepared is None:
            self._prepared = _Prepared(self.function, self.name, self.options.max_concurrency or 0)
        return self._prepared

    def specs(self) -> Sequence[ToolSpec]:
        """List the one tool there is."""
        return (self.spec,)

    async def call(self, call: ToolCall, context: RunContext[object]) -> ToolResult:
        """Check the arguments, run the function within its time, check and encode what it returns."""
        prepared = self._prepared or self._prepare()
        try:
            arguments = prepared.decode(call.arguments)
        except (InvalidInput, msgspec.DecodeError, ValueError) as error:
            return fail(call, f"the arguments are not valid: {error}")
        allowed_s = min(self.options.timeout_s, context.info.deadline - context.clock.monotonic())
        limit = asyncio.timeout(allowed_s)
        try:
            async with limit:
                run = prepared.run if self.options.max_concurrency is None else prepared.run_gated
                value = await run(structs.asdict(arguments), context)
        except TimeoutError as error:
            if limit.expired():
                return fail(call, f"it did not answer within {allowed_s:g} s", DeadlineExceeded.code)
            return fail(call, f"it failed with {describe_error(error)}", CRASHED)
        except (ToolError, InvalidInput, *_OF_ANOTHER_RUN) as error:
            return fail(call, error.message, error.code)
        except QuorateError:
            raise
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            return fail(call, f"something in it was cancelled: {describe_error(error)}", CRASHED)
        except (Exception, SystemExit) as error:  # a tool is anybody's code: its failure must not take the run with it
            return fail(call, f"it failed with {describe_error(error)}", CRASHED)
        most = MAX_RESULT_BYTES if context.services is None else MAX_KEPT_BYTES
        return encode_result(call, value, prepared.signature.returns, max_bytes=most)

    async def find_outcome(self, call: ToolCall, context: RunContext[object]) -> Found:
        """Ask the tool's own `check` whether a call took effect that nobody saw the end of."""
        if self.options.check is None:
            return None
        prepared = self._prepare()
        try:
            arguments = structs.asdict(prepared.decode(call.arguments))
            found = await call_check(self.options.check, context, arguments, timeout_s=self.options.timeout_s)
            return encode_result(call, found.result, prepared.signature.returns) if found.done else found.done
        except (InvalidInput, msgspec.DecodeError, ValueError):
            return None  # the tool is another one by now: a person must look


class _Prepared:
    """What a function's signature says, worked out once: how to check arguments and how to run it."""

    __slots__ = ("_call_async", "_decode", "_function", "_gates", "_is_async", "_limit", "_takes_context", "signature")

    def __init__(self, function: Callable[..., object], name: str, max_concurrency: int) -> None:
        self.signature = read_signature(function, name)
        self._decode: Callable[[str], Struct]
        try:
            self._decode = msgspec.json.Decoder(self.signature.arguments, dec_hook=decode_foreign).decode
        except TypeError as error:
            raise InvalidInput(f"The arguments of tool {name!r} cannot be JSON: {error}") from error
        self._function = function
        self._is_async = inspect.iscoroutinefunction(function)
        self._call_async = cast("Callable[..., Awaitable[object]]", function)
        self._takes_context = self.signature.takes_context
        self._limit = max_concurrency
        self._gates: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] | None = None

    def decode(self, arguments: str) -> Struct:
        if len(arguments) > 512:
            if len(arguments) > MAX_ARGUMENT_BYTES:
                raise InvalidInput(f"they have {len(arguments)} characters; at most {MAX_ARGUMENT_BYTES} are read")
            check_depth(arguments, what="the JSON")
        return self._decode(arguments or "{}")

    async def run(self, arguments: dict[str, object], context: RunContext[object]) -> object:
        given = (context,) if self._takes_context else ()
        if self._is_async:
            return await self._call_async(*given, **arguments)
        return await self._call_in_thread(functools.partial(self._function, *given, **arguments))

    async def _call_in_thread(self, function: Callable[[], object], ended: Callable[[], None] | None = None) -> object:
        """Call a function that is not asynchronous, or that only looks so because it is wrapped."""
        result = await run_in_thread(function, ended)
        return await result if inspect.isawaitable(result) else result

    async def run_gated(self, arguments: dict[str, object], context: RunContext[object]) -> object:
        """Run when fewer calls than the limit are under way; each event loop has a gate of its own."""
        if self._gates is None:
            self._gates = weakref.WeakKeyDictionary()
        gate = self._gates.setdefault(asyncio.get_running_loop(), asyncio.Semaphore(self._limit))
        if self._is_async:
            async with gate:
                return await self.run(arguments, context)
        # A blocking call that was given up still works in its thread: its place is free when it has really ended.
        await gate.acquire()
        given = (context,) if self._takes_context else ()
        return await self._call_in_thread(functools.partial(self._function, *given, **arguments), gate.release)


def encode_result(call: ToolCall, value: object, declared: object, *, max_bytes: int = MAX_RESULT_BYTES) -> ToolResult:
    """Check what a tool returned against its declared type, and write it for the model.

    What is larger than `max_bytes` goes back as a refusal.

    Raises:
        InvalidInput: It is not what was declared: the tool's author must mend it.
    """
    if isinstance(value, str) and (declared is str or declared in _ANYTHING) and len(value) <= max_bytes:
        return ToolResult(call_id=call.id, name=call.name, content=value if value.isascii() else mend_text(value))
    items: tuple[object, ...] = cast("tuple[object, ...]", value) if isinstance(value, tuple) else (value,)
    parts = tuple([item for item in items if isinstance(item, _PARTS)])
    if parts and len(parts) == len(items):
        size = sum(len(part.text) if isinstance(part, Text) else len(part.data or b"") for part in parts)
        if size > MAX_PARTS_BYTES:
            return fail(call, f"its result has {size} bytes, more than {MAX_PARTS_BYTES}; ask for less")
        return ToolResult(call_id=call.id, name=call.name, content=parts)
    try:
        if declared not in _ANYTHING:
            value = msgspec.convert(value, cast("type[object]", declared), dec_hook=decode_foreign)
        content = _encode(value).decode()
    except (msgspec.ValidationError, TypeError, ValueError, RecursionError) as error:
        raise InvalidInput(
            f"Tool {call.name!r} returned what its signature does not allow: {error}. Mend one of the two.",
            tool=call.name,
        ) from error
    if len(content) > max_bytes:
        return fail(call, f"its result has {len(content)} characters, more than {max_bytes}; ask for less")
    return ToolResult(call_id=call.id, name=call.name, content=content)


AnyTool = Tool[..., object]
"""Any tool, whatever it takes and returns."""


def fail(call: ToolCall, reason: str, code: str = InvalidInput.code) -> ToolResult:
    """Build the result that tells a model what went wrong with a call and lets it mend it."""
    return ToolResult(
        call_id=call.id,
        name=call.name,
        content=mend_text(f"Tool `{call.name}` failed ({code}): {reason}"),
        is_error=True,
        code=code,
    )


@overload
def tool(function: Callable[P, R], /) -> Tool[P, R]: ...
@overload
def tool(
    *,
    name: str | None = None,
    description: str | None = None,
    effect: Literal["idempotent", "keyed", "unsafe"] = "unsafe",
    timeout_s: float = 60.0,
    version: str = "1",
    deprecated: str = "",
    examples: tuple[dict[str, object], ...] = (),
    max_concurrency: int | None = None,
    tags: tuple[str, ...] = (),
    check: Callable[..., object] | None = None,
) -> Callable[[Callable[P, R]], Tool[P, R]]: ...
def tool(function: Callable[..., object] | None = None, /, **options: Any) -> object:
    """Make a tool of a function; its type hints become the schema, its docstring the description.

    You would use it on any function that an agent may call. A synchronous function runs in a bounded pool of threads.

    Args:
        function: The function itself, where `@tool` is written without parentheses.
        **options: `name` (the function's own by default) · `description` (the docstring's by default) ·
            `effect`: what a second call does, `idempotent`, `keyed` (gives the effect once for one
            `context.idempotency_key`) or `unsafe` · `timeout_s` (60): the call's time in seconds, held for a blocking
            function too · `version` · `deprecated`: why, and what to use instead · `examples`: valid arguments ·
            `max_concurrency`: calls at once in this process · `tags` · `check(context, arguments)`: tells by an
            `Outcome` whether an `unsafe` call took effect that was under way when its process died; without it, or
            when it cannot tell, a person decides.

    Raises:
        InvalidInput: When the tool is first used and its signature cannot be a schema; the message says why.
    """
    chosen = ToolOptions(**options)
    if function is not None:
        return Tool(function, chosen)

    def decorate(inner: Callable[..., object]) -> Tool[..., object]:
        return Tool(inner, chosen)

    return decorate
