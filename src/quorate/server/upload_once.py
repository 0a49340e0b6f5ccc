"""How are the same bytes kept once, however often they are sent with the same `Idempotency-Key`?

What a request asks for is known only when all of its body was read. The key is claimed then, before anything is kept,
for these very bytes; a save that breaks off behind that is found again by its step, which is the key.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from hashlib import sha256

import msgspec
from msgspec import Struct, structs

from quorate.errors import Conflict, CorruptState, QuorateError
from quorate.ports import Entry, KeyValue
from quorate.server.asked import Asked

KEPT_S = 86_400.0
"""How long a key stands for what came with it."""


class Claim(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a key stands for."""

    print: str
    """A digest of the request."""
    artifact: str = ""
    """What came of it; empty where that is not known."""


class Repeated(Exception):
    """The same was sent before; `artifact` is what came of it."""

    def __init__(self, artifact: str) -> None:
        super().__init__(artifact)
        self.artifact = artifact


class OnceUpload:
    """One upload under a key.

    Args:
        request: What brings it; its query says what is to be kept under which name.
        key: What its `Idempotency-Key` is.
        values: Where keys are kept.
        media_type: What kind of bytes they are.
    """

    def __init__(self, request: Asked, key: str, *, values: KeyValue, media_type: str) -> None:
        who = request.user
        digest = sha256(f"{who.tenant}\0{who.principal}\0{key}".encode()).hexdigest()
        self.step = f"http/{digest}"
        """The step that saves it."""
        self._values = values
        self._place = f"http/upload/{who.tenant}/{digest}"
        self._asked = sha256(bytes(request.scope["query_string"]) + b"\0" + media_type.encode())
        self._claim: Entry | None = None

    async def read(self, pieces: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
        """Hand on pieces, and claim the key for them at their end.

        Raises:
            Conflict: It came with something else before.
            Repeated: All of this was sent and kept before.
        """
        async with aclosing(pieces):
            async for piece in pieces:
                self._asked.update(piece)
                yield piece
        claim = Claim(print=self._asked.hexdigest())
        try:
            self._claim = await self._values.put(self._place, _encode(claim), if_revision=0, ttl_s=KEPT_S)
            return
        except Conflict:
            self._claim = await self._values.get(self._place)
        known = _read(self._claim) if self._claim is not None else claim
        if known.print != claim.print:
            raise Conflict("This `Idempotency-Key` came with another upload: use a new one for each.")
        if known.artifact:
            raise Repeated(known.artifact)

    async def settle(self, artifact: str) -> None:
        """Note what came of it; whoever sends it again meanwhile gets the same by its step."""
        if self._claim is not None:
            claim = structs.replace(_read(self._claim), artifact=artifact)
            try:
                await self._values.put(self._place, _encode(claim), if_revision=self._claim.revision, ttl_s=KEPT_S)
            except QuorateError:
                return  # it is kept, and whoever sends it again finds it by its step


def _encode(claim: Claim) -> bytes:
    return msgspec.json.encode(claim)


def _read(entry: Entry) -> Claim:
    try:
        return msgspec.json.decode(entry.value, type=Claim)
    except msgspec.DecodeError as error:
        raise CorruptState("What is kept of an upload with this `Idempotency-Key` does not read.") from error
