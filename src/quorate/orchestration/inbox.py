"""Who reads an agent's messages: each of them at least once, dealt with once, those of a conversation in order?"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress

from msgspec import structs

from quorate.bus.deliver import HOPELESS
from quorate.bus.subjects import build_subject
from quorate.clock import Clock
from quorate.codec.schemas.agents import AgentMessage
from quorate.codec.stored import read_stored, write_stored
from quorate.errors import DeadlineExceeded, MissingExtra, QuorateError, describe_error
from quorate.ids import new_id
from quorate.orchestration.letters import (
    KEPT_S,
    LIVES_S,
    MAX_TRIES,
    Content,
    Letter,
    Outcome,
    build_count,
    build_mark,
    build_parts,
    read_letter,
)
from quorate.ports import KeyValue
from quorate.ports.bus import Bus, Delivery, StreamRule, Work
from quorate.state.patience import insist

HOLD_S = 2.0
"""How long a message is held back for the one before it; after that it goes to the end of the queue."""
FULL_S = 0.3
"""The same, where nothing else can come as everything that was given out here is held back."""
LOOK_S = (0.02, 0.5)
"""How soon, and then how often, it is looked whether that one was dealt with elsewhere."""
GAP_S = 900.0
"""How long a message waits in all for the one before it."""
STORE_S = 60.0
"""How long an answer waits for the store, where that is away."""
MAX_KNOWN = 10_000
"""Of how many messages it is remembered here that they were dealt with."""

Sleep = Callable[[float], Awaitable[None]]


class Received:
    """A message that came for an agent; answer it when what came of it is recorded."""

    __slots__ = ("_inbox", "attempt", "delivery", "is_answered", "letter", "turn")

    def __init__(self, inbox: Inbox, delivery: Delivery, letter: Letter) -> None:
        self._inbox = inbox
        self.delivery = delivery
        """How it was given out by the bus."""
        self.attempt = 1
        """How often somebody tried to deal with it, this time included."""
        self.letter = letter
        """The message with what stands on its envelope."""
        self.turn: asyncio.Lock | None = None
        """Held while no other message of its conversation, and no copy of it, is given out here."""
        self.is_answered = False

    @property
    def message(self) -> AgentMessage:
        """What was said."""
        return self.letter.message

    async def ack(self, reply: Content | None = None) -> None:
        """Say that it was dealt with: it does not come again, and a request has its reply.

        Raises:
            Unavailable: The store cannot be reached, so that it comes again.
        """
        await self._inbox.settle(self, reply=reply)

    async def nak(self, reason: str, *, delay_s: float | None = None) -> None:
        """Say that it failed: it comes again after a while, or is a dead letter if this was the last time."""
        await self._inbox.give_back(self, reason, delay_s=delay_s)

    async def reject(self, error: QuorateError) -> None:
        """Say that it can never be dealt with: it is a dead letter, and whoever asked is told why."""
        await self._inbox.refuse(self, error)


class Inbox:
    """The messages that come for one agent; loop over it with `async for`, and answer each.

    A message is given out again until somebody answers. It is dealt with once: of one that was, every further copy is
    passed over for two days, by a mark in the store. Messages of one conversation come in the order in which each
    sender sent them, one at a time, however many processes read the inbox and whatever is given out again.
    """

    def __init__(
        self,
        agent: str,
        *,
        bus: Bus,
        work: Work,
        rule: StreamRule,
        values: KeyValue,
        tenant: str,
        group: asyncio.TaskGroup,
        clock: Clock,
        sleep: Sleep,
        max_in_flight: int,
    ) -> None:
        self.agent = agent
        self.gaps = 0
        """How many messages went ahead although nobody knows what became of the one before them."""
        self.repeated = 0
        """How many copies of what was dealt with already were passed over."""
        self._bus = bus
        self._work = work
        self._rule = rule
        self._values = values
        self._tenant = tenant
        self._group = group
        self._clock = clock
        self._sleep = sleep
        self._ready: asyncio.Queue[Received | None] = asyncio.Queue(max_in_flight + 1)
        self._open: dict[Received, None] = {}
        self._here: dict[str, int] = {}
        """Messages that are here and not answered, and how many copies of each."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._known: OrderedDict[str, None] = OrderedDict()
        self._turns: dict[str, tuple[asyncio.Lock, int]] = {}
        """Whose turn it is in each conversation, and how many wait for it or have it."""
        self._max_in_flight = max_in_flight
        self._waiting = 0
        """How many are held back for the one before them."""
        self._held: dict[str, asyncio.Event] = {}
        """Messages that others here wait for."""

    def __aiter__(self) -> AsyncIterator[Received]:
        """Loop over what comes."""
        return self

    async def __anext__(self) -> Received:
        """Wait for the next message that may be dealt with."""
        received = await self._ready.get()
        if received is None:
            self._ready.put_nowait(None)  # for whoever else loops
            raise StopAsyncIteration
        return received

    async def drain(self) -> None:
        """Take no more; what has come is still given out, and then the loop ends."""
        await self._work.drain()

    async def take(self) -> None:
        """Take what comes over the bus, until it is drained."""
        async for delivery in self._work:
            try:
                letter = read_letter(delivery.message, tenant=self._tenant, agent=self.agent)
            except (*HOPELESS, MissingExtra) as error:
                with suppress(QuorateError):  # it comes again
                    await delivery.reject(describe_error(error))
                continue
            received = Received(self, delivery, letter)
            self._open[received] = None
            self._here[letter.message.id] = self._here.get(letter.message.id, 0) + 1
            self._spawn(received)
        if self._tasks:
            await asyncio.wait(self._tasks)
        self._ready.put_nowait(None)

    async def beat(self) -> None:
        """Say of everything that was not answered yet that it is being worked on, for ever."""
        while True:
            await self._sleep(self._rule.ack_wait_s / 3)
            for received in list(self._open):
                with suppress(QuorateError):  # the next beat may come through
                    await received.delivery.in_progress()

    def release(self) -> None:
        """Hold nothing back any more."""
        for task in list(self._tasks):
            task.cancel()

    async def settle(self, received: Received, *, reply: Content | None = None) -> None:
        """Record that a message was dealt with, and let whoever asked know.

        Raises:
            Unavailable: The store cannot be reached.
        """
        answer = None
        if reply is not None:
            answer = self._build_reply(received.message, build_parts(reply), kind="reply")
        try:
            await self._mark(received, Outcome(reply=answer))
            await received.delivery.ack()
        finally:
            self._close(received)

    async def refuse(self, received: Received, error: QuorateError) -> None:
        """Record that a message will never be dealt with, tell whoever asked, and put it aside.

        Raises:
            Unavailable: The store cannot be reached.
        """
        try:
            await self._mark(received, Outcome(status="dead", reply=self._build_error(received.message, error)))
            await received.delivery.reject(describe_error(error))
        finally:
            self._close(received)

    async def give_back(self, received: Received, reason: str, *, delay_s: float | None = None) -> None:
        """Let a message be given out again; after the last time it is a dead letter, and whoever asked is told.

        Raises:
            Unavailable: The store cannot be reached.
        """
        if received.attempt >= MAX_TRIES:
            error = QuorateError(f"It failed {received.attempt} times, the last time with: {reason}")
            await self.refuse(received, error)
            return
        try:
            await self._count(received)
            await received.delivery.nak(reason, delay_s=delay_s)
        finally:
            self._close(received)

    async def _count(self, received: Received) -> None:
        """Keep how often it was tried: the bus also counts those who held it back, or left before they tried."""
        count = build_count(self._tenant, self.agent, received.message.id)
        await self._values.put(count, str(received.attempt).encode(), ttl_s=KEPT_S)

    async def _begin(self, received: Received) -> None:
        """Give a message out; one that was given out before is counted first, as it may kill whoever tries."""
        if received.delivery.attempt > 1:
            count = build_count(self._tenant, self.agent, received.message.id)
            entry = await insist(
                lambda: self._values.get(count), clock=self._clock, max_wait_s=GAP_S, sleep=self._sleep
            )
            received.attempt = 1 + (int(entry.value) if entry is not None else 0)
            if received.attempt > MAX_TRIES:
                await self.refuse(received, QuorateError("Whoever dealt with it died, every time."))
                return
            await self._count(received)
        self._ready.put_nowait(received)

    async def _mark(self, received: Received, outcome: Outcome) -> None:
        message = received.message
        mark = build_mark(self._tenant, self.agent, message.id)
        data = write_stored(outcome)
        await insist(
            lambda: self._values.put(mark, data, ttl_s=KEPT_S), clock=self._clock, max_wait_s=STORE_S, sleep=self._sleep
        )
        self._remember(message.id)
        await self._hint(received.letter)

    async def _hint(self, letter: Letter) -> None:
        """Wake whoever waits for a reply; what it is stands in the store, so that nobody can forge one."""
        if letter.box and letter.message.kind == "request":
            subject = build_subject("agent", "replies", self._tenant, letter.box)
            with suppress(QuorateError):  # whoever waits looks by itself
                await self._bus.publish(subject, letter.message.id.encode())

    def _remember(self, id: str) -> None:
        if len(self._known) >= MAX_KNOWN:
            self._known.popitem(last=False)
        self._known[id] = None
        if (event := self._held.pop(id, None)) is not None:
            event.set()

    def _close(self, received: Received) -> None:
        received.is_answered = True
        if self._open.pop(received, received) is None:
            self._leave(received.message.id)
        turn, received.turn = received.turn, None
        if turn is not None:
            turn.release()
            self._leave_turn(name_turn(received.message))

    def _leave(self, id: str) -> None:
        """Note that one of the copies of a message that are here was answered; whoever waits for it looks again."""
        left = self._here.pop(id) - 1
        if left:
            self._here[id] = left
        if (event := self._held.get(id)) is not None:
            event.set()

    def _spawn(self, received: Received) -> None:
        task = self._group.create_task(self._admit(received))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _admit(self, received: Received) -> None:
        """Give a message out as soon as it may be dealt with; pass it over if it was."""
        letter = received.letter
        try:
            if letter.after and letter.after not in self._known and not await self._await_previous(letter):
                await self._put_behind(received)
                return
            await self._take_turn(received)
            if await self._is_settled(letter.message.id):
                self.repeated += 1
                await self._hint(letter)
                await received.delivery.ack()
                self._close(received)
            elif letter.message.deadline is not None and letter.message.deadline <= self._clock.now():
                await self._expire(received)
            else:
                await self._begin(received)
        except QuorateError as error:
            with suppress(QuorateError):  # it comes again after its silence
                await received.delivery.nak(describe_error(error))
            self._close(received)

    async def _expire(self, received: Received) -> None:
        """Refuse what nobody waits for any more."""
        error = DeadlineExceeded(f"Message {received.message.id!r} came after its deadline; it was not dealt with.")
        await self._mark(received, Outcome(status="dead", reply=self._build_error(received.message, error)))
        await received.delivery.ack()
        self._close(received)

    async def _is_settled(self, id: str) -> bool:
        if id in self._known:
            return True
        # A store that is away is waited for: that is no failure of the message, and uses up none of its attempts.
        mark = build_mark(self._tenant, self.agent, id)
        entry = await insist(lambda: self._values.get(mark), clock=self._clock, max_wait_s=GAP_S, sleep=self._sleep)
        if entry is None:
            return False
        self._remember(id)
        return True

    async def _await_previous(self, letter: Letter) -> bool:
        """Wait for the message before this one; say whether this one may be dealt with now."""
        loop = asyncio.get_running_loop()
        begun, wait_s = loop.time(), LOOK_S[0]
        self._waiting += 1
        try:
            while True:
                event = self._held.setdefault(letter.after, asyncio.Event())
                is_here = letter.after in self._here and letter.after not in self._known
                # One that is dealt with here is told of, and the store need not be asked about it.
                if not is_here and await self._is_settled(letter.after):
                    return True
                now = self._clock.now()
                if now > letter.after_until or now > letter.time + GAP_S:
                    self.gaps += 1
                    return True
                if loop.time() >= begun + (FULL_S if self._waiting >= self._max_in_flight else HOLD_S):
                    return False
                with suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_S[1] if is_here else wait_s):
                        await event.wait()
                        event.clear()
                wait_s = LOOK_S[0] if is_here else min(2 * wait_s, LOOK_S[1])
        finally:
            self._waiting -= 1
            self._held.pop(letter.after, None)  # whoever else waits for it looks by himself

    async def _put_behind(self, received: Received) -> None:
        """Send a copy to the end of the queue: what it waits for may stand behind it.

        Being held back is no failure, so it must not use up its attempts; of the copies one is dealt with.
        """
        message, letter = received.delivery.message, received.letter
        left = max(letter.time + LIVES_S - self._clock.now(), 1.0)
        headers = {name: value for name, value in message.headers.items() if not name.startswith("Quorate-")}
        await self._bus.enqueue(message.subject, message.data, id=new_id("again"), headers=headers, ttl_s=left)
        await received.delivery.ack()
        self._close(received)

    async def _take_turn(self, received: Received) -> None:
        conversation = name_turn(received.message)
        turn, users = self._turns.get(conversation) or (asyncio.Lock(), 0)
        self._turns[conversation] = (turn, users + 1)
        try:
            await turn.acquire()
        except BaseException:
            self._leave_turn(conversation)
            raise
        received.turn = turn

    def _leave_turn(self, conversation: str) -> None:
        turn, users = self._turns.pop(conversation)
        if users > 1:
            self._turns[conversation] = (turn, users - 1)

    def _build_reply(self, message: AgentMessage, parts: object, *, kind: str) -> AgentMessage:
        return structs.replace(
            message,
            id=new_id("msg"),
            sender=self.agent,
            recipient=message.sender,
            parts=parts,
            correlation=message.id,
            kind=kind,
            deadline=None,
            labels={},
        )

    def _build_error(self, message: AgentMessage, error: QuorateError) -> AgentMessage | None:
        if message.kind != "request":
            return None
        reply = self._build_reply(message, build_parts(error.message), kind="error")
        return structs.replace(reply, labels={"code": error.code})


def name_turn(message: AgentMessage) -> str:
    """Name what is dealt with one after another: a conversation, or the copies of a message that belongs to none."""
    return message.conversation or f"\0{message.id}"


def read_outcome(data: bytes, *, what: str) -> Outcome:
    """Read what became of a message.

    Raises:
        InvalidInput: It is none of ours.
    """
    return read_stored(data, Outcome, what=what)
