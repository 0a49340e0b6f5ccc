"""How does an agent write to others, ask them, and read what they write?

```python
async with open_mailbox("lead", bus=bus, values=store.values) as mailbox:
    await mailbox.send("scout", "look at host 7", conversation="outage-12")
    reply = await mailbox.request("net", "is port 8080 open?", timeout_s=5)
```
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

from msgspec import Struct

from quorate.bus.deliver import HOPELESS
from quorate.bus.subjects import build_subject
from quorate.clock import SYSTEM_CLOCK, Clock
from quorate.codec.formats import CONTENT_TYPE, Codec, find_codec
from quorate.codec.schemas.agents import AgentMessage
from quorate.errors import DeadlineExceeded, InvalidInput, QuorateError, UpstreamError, describe_error
from quorate.ids import check_id, new_id
from quorate.orchestration.directory import BEAT_S, Directory
from quorate.orchestration.inbox import Inbox, Received, Sleep, read_outcome
from quorate.orchestration.letters import (
    LIVES_S,
    Content,
    Letter,
    build_inbox_rules,
    build_mark,
    build_parts,
    check_message_id,
    name_inbox,
    write_letter,
)
from quorate.ports import KeyValue
from quorate.ports.bus import Bus, Room
from quorate.telemetry.place import find_trace

LOOK_S = 0.25
"""How often it is looked for a reply, where the bus tells nothing."""
RETRY_S = 1.0
MAX_TAILS = 10_000
"""In how many conversations it is remembered what was said last."""

Do = Callable[[AgentMessage], Awaitable[Content | None]]
"""Deals with a message, and returns the reply to a request; once it returns, the message does not come again."""


class Tail(Struct, kw_only=True):
    """What was sent last in a conversation."""

    lock: asyncio.Lock
    id: str = ""
    expires: float = 0.0
    before: tuple[str, float] = ("", 0.0)
    """What it came after."""


class Mailbox:
    """One agent's place among the others of its tenant; get one from `open_mailbox`."""

    def __init__(
        self,
        agent: str,
        *,
        bus: Bus,
        values: KeyValue,
        tenant: str,
        codec: Codec,
        trace: Callable[[], str | None],
        ack_wait_s: float,
        clock: Clock,
        sleep: Sleep,
    ) -> None:
        self.agent = check_id(agent, "agent name")
        self.tenant = check_id(tenant, "tenant")
        self.directory = Directory(values, tenant=tenant, clock=clock)
        """Who can be written to."""
        self.id = new_id("box")
        """Where replies to this very mailbox are told of."""
        self._bus = bus
        self._values = values
        self._codec = codec
        self._trace = trace
        self._ack_wait_s = ack_wait_s
        self._is_hearing = asyncio.Event()
        self.clock = clock
        """Where time comes from."""
        self._sleep = sleep
        self._tails: OrderedDict[tuple[str, str], Tail] = OrderedDict()
        self._asked: dict[str, asyncio.Event] = {}

    async def send(
        self,
        to: str,
        content: Content,
        *,
        conversation: str = "",
        correlation: str = "",
        deadline: float | None = None,
        id: str | None = None,
        labels: dict[str, str] | None = None,
    ) -> AgentMessage:
        """Write to an agent; once this returns, the message is in its inbox, and waits there for a day at most.

        Args:
            to: Which agent.
            content: What it is told.
            conversation: What belongs together: of one conversation, messages are read in the order they were sent.
            correlation: The id of the message that this one answers.
            deadline: Wall time after which it is not dealt with any more.
            id: Its name, for whoever may send it twice: it is dealt with once. A new one when not given.
            labels: More about it.

        Raises:
            UnknownName: There is no such agent.
            InvalidInput: The bus was not opened with that agent's inbox, or the arguments are not what they must be.
            DeadlineExceeded: The deadline has passed.
            RateLimited: The agent's inbox is full: wait, and send it again.
            Unavailable: The store or the broker cannot be reached; send it again with the same id.
        """
        message = self._build(to, content, conversation, correlation, deadline, id, labels, kind="message")
        await self._post(message)
        return message

    async def request(
        self,
        to: str,
        content: Content,
        *,
        timeout_s: float = 60.0,
        conversation: str = "",
        id: str | None = None,
        labels: dict[str, str] | None = None,
    ) -> AgentMessage:
        """Ask an agent, and return its reply, whose `correlation` is the question's id.

        The reply is kept in the store for two days: whoever asks again with the same id has it at once.

        Raises:
            DeadlineExceeded: There was no reply in time; the question is not dealt with after that.
            UpstreamError: The agent could not answer; the message says why.
            QuorateError: What `send` raises.
        """
        end = self.clock.monotonic() + timeout_s
        deadline = self.clock.now() + timeout_s
        message = self._build(to, content, conversation, "", deadline, id, labels, kind="request")
        told = self._asked.setdefault(message.id, asyncio.Event())
        try:
            await self._post(message)
            is_new = id is None  # nobody can have answered what nobody has heard of
            while is_new or (reply := await self._find_reply(message)) is None:
                is_new, left = False, end - self.clock.monotonic()
                if left <= 0:
                    raise DeadlineExceeded(
                        f"Agent {to!r} did not answer message {message.id!r} in {timeout_s:.3g} s.", id=message.id
                    )
                with suppress(TimeoutError):
                    async with asyncio.timeout(min(left, LOOK_S)):
                        await told.wait()
                told.clear()
        finally:
            self._asked.pop(message.id, None)
        return reply

    async def broadcast(
        self,
        content: Content,
        *,
        conversation: str = "",
        deadline: float | None = None,
        id: str | None = None,
        labels: dict[str, str] | None = None,
    ) -> list[AgentMessage]:
        """Write to every other agent that has an inbox; return what was sent to each, by name.

        Args:
            content: What they are told.
            conversation: What belongs together.
            deadline: Wall time after which it is not dealt with any more.
            id: What the ids of the messages begin with, for whoever may send it twice; new ones when not given.
            labels: More about it.

        Raises:
            QuorateError: What `send` raises, once everybody else has it; `context["failed"]` names who has it not.
        """
        sent: list[AgentMessage] = []
        failed: dict[str, QuorateError] = {}
        for listener in await self.directory.list_listeners():
            if listener.agent == self.agent:
                continue
            name = f"{id}.{listener.agent}" if id is not None else None
            try:
                message = await self.send(
                    listener.agent, content, conversation=conversation, deadline=deadline, id=name, labels=labels
                )
                sent.append(message)
            except QuorateError as error:
                failed[listener.agent] = error
        if failed:
            error = next(iter(failed.values()))
            error.context = {**error.context, "failed": tuple(failed)}
            raise error
        return sent

    @asynccontextmanager
    async def listen(self, *, max_in_flight: int = 64) -> AsyncGenerator[Inbox]:
        """Read the agent's inbox for a block; the agent is known to others from now on.

        What was not answered at the end of the block is given to others.

        Args:
            max_in_flight: How many messages at a time that were not answered, those that are held back included.

        Raises:
            InvalidInput: The bus was not opened with the agent's inbox.
            Unavailable: The store or the broker cannot be reached.
        """
        rule = build_inbox_rules([self.agent], tenant=self.tenant, ack_wait_s=self._ack_wait_s)[0]
        async with self._bus.work(name_inbox(self.agent), max_in_flight=max_in_flight) as work:
            await self.directory.add(self.agent)
            async with asyncio.TaskGroup() as group:
                inbox = Inbox(
                    self.agent,
                    bus=self._bus,
                    work=work,
                    rule=rule,
                    values=self._values,
                    tenant=self.tenant,
                    group=group,
                    clock=self.clock,
                    sleep=self._sleep,
                    max_in_flight=max_in_flight,
                )
                tasks = [group.create_task(work) for work in (inbox.take(), inbox.beat(), self._stay())]
                try:
                    yield inbox
                finally:
                    inbox.release()
                    for task in tasks:
                        task.cancel()

    async def serve(
        self, do: Do, *, concurrency: int = 16, max_in_flight: int = 64, stopping: asyncio.Event | None = None
    ) -> None:
        """Deal with what comes by a function, until cancelled, or until `stopping` is set and all is answered.

        What fails comes again, five times at most; what is hopeless (such as `InvalidInput`) is put aside at once.
        Whoever asked is told what went wrong in the end.

        Args:
            do: Deals with a message.
            concurrency: How many at a time.
            max_in_flight: How many may be held back or dealt with at a time.
            stopping: Set when no more messages are wanted.

        Raises:
            InvalidInput: The bus was not opened with the agent's inbox.
        """
        async with self.listen(max_in_flight=max_in_flight) as inbox, asyncio.TaskGroup() as group:

            async def stop(event: asyncio.Event) -> None:
                await event.wait()
                await inbox.drain()

            async def deal() -> None:
                async for received in inbox:
                    await _deal(received, do)

            stopper = group.create_task(stop(stopping)) if stopping is not None else None
            dealing = [group.create_task(deal()) for _ in range(concurrency)]
            await asyncio.wait(dealing)
            if stopper is not None:
                stopper.cancel()

    async def hear(self) -> None:
        """Hear of replies, for ever."""
        subject = build_subject("agent", "replies", self.tenant, self.id)
        while True:
            with suppress(QuorateError):
                async with self._bus.subscribe(subject, room=Room(max_messages=1000, overflow="oldest")) as told:
                    self._is_hearing.set()
                    async for message in told:
                        event = self._asked.get(message.data.decode("ascii", "replace"))
                        if event is not None:
                            event.set()
            await self._sleep(RETRY_S)

    async def begin(self) -> None:
        """Wait a moment until replies are heard of; without that, they are looked for."""
        with suppress(TimeoutError):
            async with asyncio.timeout(RETRY_S):
                await self._is_hearing.wait()

    async def _stay(self) -> None:
        while True:
            await self._sleep(BEAT_S)
            with suppress(QuorateError):  # it is known for a week
                await self.directory.add(self.agent)

    def _build(
        self,
        to: str,
        content: Content,
        conversation: str,
        correlation: str,
        deadline: float | None,
        id: str | None,
        labels: dict[str, str] | None,
        *,
        kind: str,
    ) -> AgentMessage:
        if deadline is not None and deadline <= self.clock.now():
            raise DeadlineExceeded("The message's deadline has passed, so it was not sent.")
        if len(conversation) > 255 or not conversation.isprintable():
            raise InvalidInput(f"conversation {conversation[:80]!r} is not one: use up to 255 printable characters.")
        return AgentMessage(
            id=check_message_id(id) if id is not None else new_id("msg"),
            sender=self.agent,
            recipient=check_id(to, "agent name"),
            parts=build_parts(content),
            conversation=conversation,
            correlation=correlation,
            kind="request" if kind == "request" else "message",
            deadline=deadline,
            labels=labels or {},
        )

    async def _post(self, message: AgentMessage) -> None:
        await self.directory.check(message.recipient)
        if not message.conversation:
            await self._put(message, after=("", 0.0))
            return
        tail = self._find_tail((message.recipient, message.conversation))
        async with tail.lock:  # so that they are kept in the order of the calls
            after = tail.before if tail.id == message.id else (tail.id, tail.expires)
            expires = await self._put(message, after=after)
            tail.id, tail.expires, tail.before = message.id, expires, after

    async def _put(self, message: AgentMessage, *, after: tuple[str, float]) -> float:
        """Put a message into its inbox; return until when it may wait there."""
        now = self.clock.now()
        lives_s = LIVES_S if message.deadline is None else min(LIVES_S, max(message.deadline - now, 0.0) + 1.0)
        box = self.id if message.kind == "request" else ""
        letter = Letter(message=message, time=now, after=after[0], after_until=after[1], box=box, trace=self._trace())
        headers = {CONTENT_TYPE: self._codec.content_type}
        if letter.trace:
            headers["traceparent"] = letter.trace
        await self._bus.enqueue(
            build_subject("agent", "inbox", self.tenant, message.recipient),
            write_letter(letter, tenant=self.tenant, codec=self._codec),
            id=message.id,
            headers=headers,
            ttl_s=lives_s,
        )
        return now + lives_s + 1.0

    def _find_tail(self, place: tuple[str, str]) -> Tail:
        tail = self._tails.pop(place, None) or Tail(lock=asyncio.Lock())
        self._tails[place] = tail
        for old in list(self._tails)[: max(len(self._tails) - MAX_TAILS, 0)]:
            if not self._tails[old].lock.locked():
                del self._tails[old]
        return tail

    async def _find_reply(self, message: AgentMessage) -> AgentMessage | None:
        entry = await self._values.get(build_mark(self.tenant, message.recipient, message.id))
        if entry is None:
            return None
        outcome = read_outcome(entry.value, what=f"the reply to message {message.id!r}")
        reply = outcome.reply
        if reply is None:
            raise UpstreamError(f"Agent {message.recipient!r} dealt with message {message.id!r} and said nothing.")
        if reply.kind != "error":
            return reply
        words = "".join(getattr(part, "text", "") for part in reply.parts)
        code = reply.labels.get("code", "")
        if code == DeadlineExceeded.code:
            raise DeadlineExceeded(words, id=message.id)
        raise UpstreamError(f"Agent {message.recipient!r} could not answer: {words}", id=message.id, code=code)


@asynccontextmanager
async def open_mailbox(
    agent: str,
    *,
    bus: Bus,
    values: KeyValue,
    tenant: str = "default",
    codec: Codec | None = None,
    trace: Callable[[], str | None] = find_trace,
    ack_wait_s: float = 30.0,
    clock: Clock = SYSTEM_CLOCK,
    sleep: Sleep = asyncio.sleep,
) -> AsyncGenerator[Mailbox]:
    """Open an agent's mailbox for a block.

    Args:
        agent: Whose.
        bus: Over what messages go; opened with `build_inbox_rules` of every agent that is written to or reads.
        values: Where it is kept who can be written to and what became of messages; the same for all processes.
        tenant: That bus's tenant; messages of others are refused.
        codec: In which format messages are written; JSON when not given. Every format is read.
        trace: Gives the W3C `traceparent` under which something is sent; that of the step under way when not given.
        ack_wait_s: What `build_inbox_rules` was told.
        clock: Where time comes from.
        sleep: How it waits.

    Raises:
        InvalidInput: A name is not an identifier.
    """
    mailbox = Mailbox(
        agent,
        bus=bus,
        values=values,
        tenant=tenant,
        codec=codec or find_codec(),
        trace=trace,
        ack_wait_s=ack_wait_s,
        clock=clock,
        sleep=sleep,
    )
    async with asyncio.TaskGroup() as group:
        hearing = group.create_task(mailbox.hear())
        try:
            await mailbox.begin()
            yield mailbox
        finally:
            hearing.cancel()


async def _deal(received: Received, do: Do) -> None:
    """Deal with one message, and answer it."""
    error: Exception | None = None
    reply: Content | None = None
    try:
        reply = await do(received.message)
    except Exception as caught:  # whoever deals with it is anybody's code, and its failure is what is answered
        error = caught
    with suppress(QuorateError):  # where the answer is lost, the message comes again
        if error is None:
            await received.ack(reply)
        elif isinstance(error, HOPELESS):
            await received.reject(error)
        else:
            await received.nak(describe_error(error))
