"""How is a model asked once, however often the same request comes with the same `Idempotency-Key`?"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import aclosing, suppress
from hashlib import sha256

import msgspec
from msgspec import Struct, structs

from quorate.errors import Conflict, CorruptState, InvalidInput, QuorateError
from quorate.ids import new_id
from quorate.messages import Reply, ReplyDone
from quorate.ports import KeyValue
from quorate.server.speech import Said, replay_reply
from quorate.specs import Caller, Request

KEPT_S = 86_400.0
"""How long an answer is kept for whoever asks again."""
UNDER_WAY_S = 600.0
"""After how long a request without an answer is believed to have broken off: to ask a model again does no harm."""
MAX_KEY = 255
HEADER = "idempotency-key"
_encode = msgspec.msgpack.Encoder().encode


class UnderWay(Conflict):
    """The same request is under way."""

    retryable = True


class Asked(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is kept of a request that came with a key."""

    print: str
    """A digest of the request."""
    nonce: str
    reply: Reply | None = None
    """The answer, once there is one."""


_decode = msgspec.msgpack.Decoder(Asked).decode


class Once:
    """One request that is answered once for all that are the same.

    Args:
        values: Where answers are kept.
        key: What its `Idempotency-Key` is.
        request: What is asked; for whom is part of the key.

    Raises:
        InvalidInput: The key is none.
    """

    def __init__(self, values: KeyValue, key: str, request: Request) -> None:
        self._values = values
        self._place = f"http/answers/{name_key(request.caller, key)}"
        bare = structs.replace(request, caller=Caller())
        self._mine = Asked(print=sha256(_encode(bare)).hexdigest(), nonce=new_id("ask"))

    async def ask(self, work: Callable[[], Awaitable[Reply]]) -> Reply:
        """Ask, or return the answer that was given before.

        Raises:
            Conflict: The key came with another request.
            UnderWay: The same request is not answered yet.
            QuorateError: What `work` raises; it may be asked again then.
        """
        known = await self._begin()
        if known is not None:
            return known
        try:
            reply = await work()
        except BaseException:  # whoever comes next asks anew, also when this one left
            await self._forget()
            raise
        await self._keep(reply)
        return reply

    async def hear(self, work: Callable[[], Said]) -> Said:
        """Yield what is said, or was said before; raises what `ask` raises."""
        known = await self._begin()
        if known is not None:
            async for item in replay_reply(known):
                yield item
            return
        is_kept = False
        try:
            async with aclosing(work()) as items:
                async for item in items:
                    if isinstance(item, ReplyDone):
                        await self._keep(item.reply)
                        is_kept = True
                    yield item
        finally:
            if not is_kept:
                await self._forget()

    async def _begin(self) -> Reply | None:
        """Take the place of the request; or return the answer that is there."""
        while True:
            try:
                await self._values.put(self._place, _encode(self._mine), if_revision=0, ttl_s=UNDER_WAY_S)
            except Conflict:
                entry = await self._values.get(self._place)
                if entry is None:  # it expired just now, or was refused
                    continue
                return self._read(entry.value)
            return None

    def _read(self, value: bytes) -> Reply:
        try:
            found = _decode(value)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise CorruptState(
                "What is kept of an earlier request with this `Idempotency-Key` does not read."
            ) from error
        if found.print != self._mine.print:
            raise Conflict("This `Idempotency-Key` came with another request: use a new one for each.")
        if found.reply is None:
            raise UnderWay("The same request with this `Idempotency-Key` is under way: come again.")
        return found.reply

    async def _keep(self, reply: Reply) -> None:
        try:
            await self._values.put(self._place, _encode(structs.replace(self._mine, reply=reply)), ttl_s=KEPT_S)
        except QuorateError:  # it is too large, or there is no room: the answer is given all the same
            await self._forget()

    async def _forget(self) -> None:
        with suppress(QuorateError, msgspec.DecodeError):  # then it is taken for one that is under way, for a while
            entry = await self._values.get(self._place)
            if entry is not None and _decode(entry.value).nonce == self._mine.nonce:
                await self._values.delete(self._place, if_revision=entry.revision)


def name_key(caller: Caller, key: str) -> str:
    """Name what a key stands for: nobody's key is anybody else's.

    Raises:
        InvalidInput: It is none.
    """
    if not 1 <= len(key) <= MAX_KEY or not key.isprintable():
        raise InvalidInput(
            f"`Idempotency-Key` {key[:80]!r} is none: use 1 to {MAX_KEY} printable characters.", param="Idempotency-Key"
        )
    return f"{caller.tenant}/{caller.principal}/{sha256(key.encode()).hexdigest()}"
