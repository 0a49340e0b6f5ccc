"""What do the tests of the cache share? Requests that may be kept, and a model that counts."""

from collections.abc import AsyncGenerator

from quorate.errors import QuorateError, Unavailable
from quorate.messages import (
    AnyPart,
    Message,
    Reply,
    ReplyDone,
    Route,
    StreamItem,
    Text,
    TextDelta,
    Usage,
    build_user_message,
)
from quorate.models.cache.rule import Invalidation, Stored
from quorate.specs import Caller, ModelProfile, ModelSettings, Request


def ask(
    text: str = "hi", *, tenant: str = "acme", principal: str = "ann", session: str = "s1", **settings: object
) -> Request:
    caller = Caller(tenant=tenant, principal=principal, session=session, run="r1", agent="net")
    chosen = ModelSettings(**({"temperature": 0.0} | settings))  # type: ignore[arg-type]
    return Request(messages=(build_user_message(text),), settings=chosen, caller=caller, key="1/model")


class Counting:
    """Answers with a number that grows, so that an answer that was kept can be told from a new one."""

    def __init__(self, *parts: AnyPart, stop: str = "end", error: QuorateError | None = None) -> None:
        self.profile = ModelProfile(name="openai:gpt-5.2")
        self.parts = parts
        self.stop = stop
        self.error = error
        self.calls = 0

    def answer(self) -> Reply:
        self.calls += 1
        if self.error is not None:
            raise self.error
        parts = self.parts or (Text(text=f"answer {self.calls}"),)
        return Reply(
            message=Message(role="assistant", parts=parts),
            usage=Usage(input_tokens=10, output_tokens=5, requests=1),
            cost_usd=0.25,
            model="gpt-5.2-2026-01-01",
            stop=self.stop,  # type: ignore[arg-type]
            id="reply-1",
            request_id="request-1",
            route=Route(model="openai:gpt-5.2", asked="fast"),
        )

    async def complete(self, request: Request) -> Reply:
        return self.answer()

    async def stream(self, request: Request) -> AsyncGenerator[StreamItem]:
        reply = self.answer()
        for part in reply.message.parts:
            if isinstance(part, Text):
                yield TextDelta(part.text)
        yield ReplyDone(reply)


class Broken:
    """A store that is down for as long as it is told to be."""

    def __init__(self) -> None:
        self.down = True
        self.asked = 0
        self.kept: dict[bytes, Stored] = {}

    def check(self) -> None:
        self.asked += 1
        if self.down:
            raise Unavailable("The store is down.")

    async def find(self, key: bytes) -> Stored | None:
        self.check()
        return self.kept.get(key)

    async def keep(self, key: bytes, stored: Stored, *, ttl_s: float) -> bool:
        self.check()
        self.kept[key] = stored
        return True

    async def forget(self, which: Invalidation) -> int:
        self.check()
        return 0


class Time:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def read(self) -> float:
        return self.now
