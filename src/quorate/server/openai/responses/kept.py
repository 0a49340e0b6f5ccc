"""How is a response kept, for whom, and what was said before it?"""

from __future__ import annotations

import logging
from collections.abc import Sequence

import msgspec
from msgspec import Struct

from quorate.errors import Conflict, CorruptState, InvalidInput, NotFound, QuorateError
from quorate.events import AnyEvent, RunCancelled, RunCompleted, RunCreated, RunFailed, RunIncomplete
from quorate.messages import Message
from quorate.runtime import Runtime
from quorate.server.answering import is_id
from quorate.server.blocks import list_blocks
from quorate.server.openai.responses.say import Head, Json, build_done, build_failed, build_open
from quorate.server.speech import build_answer
from quorate.state.conversation import build_conversation

KEPT_S = 30 * 86_400.0
"""How long a response is kept that nobody deletes."""
MAX_TURNS = 500
"""How far back a conversation is read."""
MAX_MESSAGES = 10_000
_logger = logging.getLogger("quorate.server")
_encode = msgspec.msgpack.Encoder().encode


class Kept(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is kept of a response: of an agent's only what its run does not tell."""

    head: Head
    messages: tuple[Message, ...] = ()
    """What it added to the conversation: what was new, and the answer."""
    previous: str = ""
    body: bytes = b""
    """The response as it was given, of a model."""
    run: str = ""
    """The run whose answer it is, of an agent."""


_decode = msgspec.msgpack.Decoder(Kept).decode


class KeptResponses:
    """The responses of one principal, in the store that all processes share; those of others are absent.

    Args:
        runtime: The runtime of their tenant.
        principal: Whose they are.
    """

    def __init__(self, runtime: Runtime, principal: str) -> None:
        self._runtime = runtime
        self._values = runtime.store.values
        self._principal = principal

    async def save(self, kept: Kept) -> bool:
        """Keep a response, and say whether it is kept: one that is too large is not, nor while there is no room."""
        try:
            await self._values.put(self._build_place(kept.head.id), _encode(kept), ttl_s=KEPT_S)
        except QuorateError as error:  # the answer is there and paid for: it is given, and says that it is not kept
            _logger.warning("Response %s is not kept: %s", kept.head.id, error)
            return False
        return True

    async def load(self, name: str) -> Kept:
        """Return what is kept of a response.

        Raises:
            NotFound: There is none, or it is somebody else's.
        """
        entry = await self._values.get(self._build_place(name)) if is_id(name) else None
        if entry is None:
            raise _build_unknown(name)
        try:
            return _decode(entry.value)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise CorruptState(f"What is kept of response {name!r} does not read.") from error

    async def show(self, name: str) -> bytes:
        """Return a response as it stands.

        Raises:
            NotFound: There is none, or it is somebody else's, or the run behind it is gone.
        """
        kept = await self.load(name)
        return kept.body or msgspec.json.encode(await self._read_run(kept))

    async def delete(self, name: str) -> None:
        """Forget a response; a run behind it stays in the record.

        Raises:
            NotFound: There is none.
        """
        if not is_id(name) or not await self._values.delete(self._build_place(name)):
            raise _build_unknown(name)

    async def load_before(self, name: str | None) -> list[Message]:
        """Load the conversation that ends with a response.

        Raises:
            NotFound: There is no such response, or one before it is gone.
            Conflict: It is not done yet.
            InvalidInput: It is longer than is read.
        """
        parts: list[Sequence[Message]] = []
        count = 0
        while name:
            kept = await self.load(name)
            messages = await self._load_run(kept) if kept.run else kept.messages
            parts.append(messages)
            count += len(messages)
            if len(parts) > MAX_TURNS or count > MAX_MESSAGES:
                raise InvalidInput(
                    f"This conversation goes over more than {MAX_TURNS} responses or {MAX_MESSAGES} messages: send "
                    "what matters of it as `input`.",
                    param="previous_response_id",
                )
            name = "" if kept.run else kept.previous  # what a run was given holds all that was before
        return [message for part in reversed(parts) for message in part]

    async def _load_run(self, kept: Kept) -> list[Message]:
        events = await self._read_events(kept)
        if not isinstance(events[-1], (RunCompleted, RunIncomplete)):
            raise Conflict(f"Response {kept.head.id!r} has no answer yet, or never will: nothing can go on from it.")
        return build_conversation(events)

    async def _read_events(self, kept: Kept) -> Sequence[AnyEvent]:
        events = await self._runtime.log.read(kept.run)
        first = events[0] if events else None
        if not isinstance(first, RunCreated) or (first.tenant, first.principal) != (
            self._runtime.tenant,
            self._principal,
        ):
            raise _build_unknown(kept.head.id)
        return events

    async def _read_run(self, kept: Kept) -> Json:
        """Build a response from the run whose answer it is."""
        events = await self._read_events(kept)
        last, head = events[-1], kept.head
        if isinstance(last, (RunCompleted, RunIncomplete)):
            is_whole = isinstance(last, RunCompleted)
            text = last.output if isinstance(last, RunCompleted) else last.partial or last.message
            reply = build_answer(text, last, stop="end" if is_whole else "length")
            return build_done(head, reply, list_blocks(reply.message), now=last.time)
        if isinstance(last, RunFailed):
            return build_failed(head, code=last.code, message=last.message)
        if isinstance(last, RunCancelled):
            return build_open(head, "cancelled")
        return build_open(head, "queued" if len(events) == 1 else "in_progress")

    def _build_place(self, name: str) -> str:
        return f"responses/{self._runtime.tenant}/{self._principal}/{name}"


def _build_unknown(name: str) -> NotFound:
    return NotFound(f"There is no response {name[:80]!r}.")
