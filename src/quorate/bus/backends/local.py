"""How do parts of one process talk, with the meaning that NATS gives to it and without a server?

```python
async with open_local_bus("acme") as bus:
    async with bus.subscribe("ai.events.runs.acme.>") as events:
        await bus.publish("ai.events.runs.acme.run-1", b"started")
        async for event in events: ...
```
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from itertools import count
from types import MappingProxyType

from quorate.bus.backends._local_queue import LocalQueue, LocalWork
from quorate.bus.backends._local_read import LocalReader
from quorate.bus.backends._local_routes import Routes
from quorate.bus.backends._local_shelf import Shelf
from quorate.bus.headers import ID, check_headers
from quorate.bus.mailbox import Mailbox
from quorate.bus.streams import check_entry, check_replay, check_streams, find_queue, find_stream
from quorate.bus.subjects import (
    INBOX,
    build_dead_subject,
    check_group,
    check_pattern,
    check_subject,
    check_tenant,
    is_inbox,
)
from quorate.clock import SYSTEM_CLOCK, Clock
from quorate.errors import DeadlineExceeded, InvalidInput, NoResponders, RateLimited, TooLarge, Unavailable
from quorate.ids import check_id
from quorate.ports.bus import Message, Receipt, Room, StreamRule, Subscription, Work

Sleep = Callable[[float], Awaitable[None]]
MAX_BYTES = 1 << 20
"""How large a message may be, as at a NATS server that was not told otherwise."""
DRAIN_S = 5.0
"""How long the end of a bus waits for its subscribers to take what has come."""
MAX_CHECKED = 4096
"""How many subjects are remembered as good ones."""
MAX_HEADERS = 256


class LocalBroker:
    """What the buses of one process have in common: an account for each tenant, as apart as on a NATS server."""

    def __init__(self, group: asyncio.TaskGroup, *, clock: Clock, sleep: Sleep) -> None:
        self.clock = clock
        self.sleep = sleep
        self._group = group
        self._tasks: list[asyncio.Task[None]] = []
        self._accounts: dict[str, Account] = {}

    def find_account(self, tenant: str) -> Account:
        """Return a tenant's account; it is made when it is first asked for."""
        if tenant not in self._accounts:
            self._accounts[tenant] = Account(check_id(tenant, "tenant"), self)
        return self._accounts[tenant]

    def keep(self, queue: LocalQueue) -> None:
        """Let a queue give out again what is due, until the broker ends."""
        self._tasks.append(self._group.create_task(queue.keep()))

    def close(self) -> None:
        """Give out nothing more."""
        for task in self._tasks:
            task.cancel()


class Account:
    """What one tenant has: subscriptions, streams, and answers that are waited for."""

    def __init__(self, tenant: str, broker: LocalBroker) -> None:
        self.tenant = tenant
        self.routes = Routes()
        self.rules: tuple[StreamRule, ...] = ()
        self.answers: dict[str, asyncio.Future[Message]] = {}
        self.numbers = count(1)
        self._broker = broker
        self._shelves: dict[str, Shelf] = {}
        self._queues: dict[str, LocalQueue] = {}
        self._keepers: dict[str, LocalQueue | Shelf] = {}
        """What keeps which subject, for those that were asked for."""
        self._untold: set[str] = set()
        """Subjects that nothing keeps."""
        self.appended = asyncio.Event()
        """Set and replaced when a stream has something new."""

    def add_streams(self, rules: Sequence[StreamRule]) -> None:
        """Keep what these rules say; a rule that is there already stays as it is.

        Raises:
            InvalidInput: They do not hold together with those that are there.
        """
        new = [rule for rule in rules if rule not in self.rules]
        old = [rule for rule in self.rules if rule.name not in {f"{r.name}-dead" for r in self.rules}]
        checked = check_streams([*old, *new], tenant=self.tenant)
        for rule in checked:
            if rule.name in self._shelves:
                continue
            if rule.kind == "work":
                queue = LocalQueue(rule, clock=self._broker.clock, bury=self._bury, sleep=self._broker.sleep)
                self._queues[rule.name] = queue
                self._shelves[rule.name] = queue.shelf
                self._broker.keep(queue)
            else:
                self._shelves[rule.name] = Shelf(rule, clock=self._broker.clock)
        self.rules = checked
        self._keepers.clear()
        self._untold.clear()

    def find_queue(self, name: str) -> LocalQueue:
        """Find a queue by name."""
        return self._queues[find_queue(self.rules, name).name]

    def find_shelf(self, subject: str) -> Shelf:
        """Find what keeps a subject or a pattern."""
        return self._shelves[find_stream(self.rules, subject).name]

    def append(
        self, subject: str, data: bytes, *, headers: Mapping[str, str], id: str | None, ttl_s: float | None
    ) -> Receipt:
        """Keep a message in the stream of its subject.

        Raises:
            InvalidInput: No stream keeps it.
            RateLimited: The stream is full.
        """
        keeper = self._keepers.get(subject)
        if keeper is None:
            rule = find_stream(self.rules, subject)
            if len(self._keepers) >= MAX_CHECKED:
                self._keepers.clear()
            keeper = self._keepers[subject] = self._queues.get(rule.name) or self._shelves[rule.name]
        receipt = keeper.append(subject, data, headers=headers, id=id, ttl_s=ttl_s)
        self.appended.set()
        self.appended = asyncio.Event()
        return receipt

    def keep(self, message: Message) -> None:
        """Keep what was only told, where a stream keeps its subject and is not full, as a server does."""
        subject = message.subject
        if not self.rules or subject in self._untold:
            return
        try:
            self.append(subject, message.data, headers=message.headers, id=None, ttl_s=None)
        except InvalidInput:
            if len(self._untold) >= MAX_CHECKED:
                self._untold.clear()
            self._untold.add(subject)
        except RateLimited:
            return

    def _bury(self, queue: str, data: bytes, headers: Mapping[str, str], id: str) -> None:
        subject = build_dead_subject(queue, self.tenant)
        receipt = self.append(subject, data, headers=headers, id=id, ttl_s=None)
        if not receipt.duplicate:
            self.tell(Message(subject=subject, data=data, headers=headers))

    def tell(self, message: Message) -> Mailbox | None:
        """Give a message to all who listen; return one that is behind, if any."""
        behind: Mailbox | None = None
        receivers = self.routes.find(message.subject)
        for mailbox in receivers.alone:
            mailbox.put(message)
            if mailbox.is_behind:
                behind = mailbox
        for group in receivers.groups:
            mailbox = group.put(message)
            if mailbox.is_behind:
                behind = mailbox
        return behind


class LocalBus:
    """A `quorate.ports.bus.Bus` inside one process; get one from `open_local_bus`.

    What it keeps is in memory: it ends with the process, and the record in the database does not.
    """

    def __init__(self, account: Account, *, principal: str) -> None:
        self._account = account
        self._tenant = account.tenant
        self._prefix = f"{INBOX}_{check_id(principal, 'principal')}."
        self._good: set[str] = set()
        """Subjects that were checked."""
        self._headers: dict[tuple[tuple[str, str], ...], Mapping[str, str]] = {}
        """Headers that were checked; a run sends the same ones again and again."""
        self._mailboxes: dict[Mailbox, str | None] = {}
        self._works: set[LocalWork] = set()
        self._is_closed = False

    async def publish(
        self, subject: str, data: bytes, *, headers: Mapping[str, str] | None = None, reply: str = ""
    ) -> None:
        """Tell everybody who listens; see `quorate.ports.bus.Bus`."""
        self._check(subject, data)
        if reply and not is_inbox(reply):
            raise InvalidInput(f"reply {reply[:80]!r} is no inbox: use `request` to ask for an answer.")
        message = Message(
            subject=subject, data=data, headers=self._check_headers(headers) if headers else {}, reply=reply
        )
        account = self._account
        if subject in account.answers:
            future = account.answers[subject]
            if not future.done():
                future.set_result(message)
            return
        behind = account.tell(message)
        account.keep(message)
        if behind is not None:
            await asyncio.sleep(0)  # one turn for whoever is behind

    async def flush(self, *, timeout_s: float = 5.0) -> None:
        """Do nothing: what was published is with its subscribers already; see `quorate.ports.bus.Bus`."""

    @asynccontextmanager
    async def subscribe(
        self,
        pattern: str,
        *,
        group: str | None = None,
        after: int | None = None,
        since: float | None = None,
        room: Room | None = None,
    ) -> AsyncGenerator[Subscription]:
        """Listen for a block; see `quorate.ports.bus.Bus`."""
        pattern = check_tenant(check_pattern(pattern), self._tenant)
        self._check_open()
        if after is not None or since is not None:
            replay = check_replay(group=group, after=after, since=since)
            account = self._account
            reader = LocalReader(
                account.find_shelf(pattern), lambda: account.appended, pattern, after=replay[0], since=replay[1]
            )
            try:
                yield reader
            finally:
                reader.close()
            return
        group = check_group(group) if group is not None else None
        routes = self._account.routes
        mailbox: Mailbox = Mailbox(pattern, room, leave=lambda: routes.remove(mailbox, group=group))
        routes.add(mailbox, group=group)
        self._mailboxes[mailbox] = group
        try:
            yield mailbox
        finally:
            routes.remove(mailbox, group=group)
            self._mailboxes.pop(mailbox, None)
            mailbox.close()

    async def request(
        self, subject: str, data: bytes, *, headers: Mapping[str, str] | None = None, timeout_s: float = 5.0
    ) -> Message:
        """Ask whoever listens; see `quorate.ports.bus.Bus`."""
        self._check(subject, data)
        receivers = self._account.routes.find(subject)
        if not receivers.alone and not receivers.groups:
            raise NoResponders(f"Nobody listens at {subject!r}.", subject=subject)
        answers = self._account.answers
        inbox = f"{self._prefix}{next(self._account.numbers)}"
        answer = answers[inbox] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(timeout_s):
                await self.publish(subject, data, headers=headers, reply=inbox)
                return await answer
        except TimeoutError:
            raise DeadlineExceeded(f"Nobody at {subject!r} answered in {timeout_s:.3g} s.", subject=subject) from None
        finally:
            del answers[inbox]

    async def enqueue(
        self,
        subject: str,
        data: bytes,
        *,
        id: str | None = None,
        headers: Mapping[str, str] | None = None,
        ttl_s: float | None = None,
        timeout_s: float = 5.0,
    ) -> Receipt:
        """Put a message into the stream that keeps its subject; see `quorate.ports.bus.Bus`."""
        self._check(subject, data)
        name, lives = check_entry(id=id, ttl_s=ttl_s)
        kept = check_headers({ID: name, **(headers or {})})
        receipt = self._account.append(subject, data, headers=kept, id=name, ttl_s=lives)
        if not receipt.duplicate:
            self._account.tell(Message(subject=subject, data=data, headers=kept))
        return receipt

    @asynccontextmanager
    async def work(self, queue: str, *, max_in_flight: int = 64) -> AsyncGenerator[Work]:
        """Take work for a block; see `quorate.ports.bus.Bus`."""
        self._check_open()
        found = self._account.find_queue(queue)
        work = LocalWork(found, max_in_flight=max_in_flight)
        self._works.add(work)
        try:
            yield work
        finally:
            self._works.discard(work)
            found.leave(work)

    async def drain(self, *, timeout_s: float) -> None:
        """Let subscribers take what has come, and end their loops; then nothing can be sent any more."""
        for work in self._works:
            work.finish()
        mailboxes = list(self._mailboxes)
        for mailbox in mailboxes:
            await mailbox.drain()
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                for mailbox in mailboxes:
                    await mailbox.taken.wait()
        self._is_closed = True

    def _check(self, subject: str, data: bytes) -> None:
        self._check_open()
        if subject not in self._good and subject not in self._account.answers:
            check_tenant(check_subject(subject), self._tenant)
            if len(self._good) >= MAX_CHECKED:
                self._good.clear()
            self._good.add(subject)
        if len(data) > MAX_BYTES:
            raise TooLarge(f"a message of {len(data)} bytes for {subject!r}; at most {MAX_BYTES} are sent.")

    def _check_headers(self, headers: Mapping[str, str]) -> Mapping[str, str]:
        key = tuple(headers.items())
        kept = self._headers.get(key)
        if kept is None:
            if len(self._headers) >= MAX_HEADERS:
                self._headers.clear()
            kept = self._headers[key] = MappingProxyType(check_headers(headers))
        return kept

    def _check_open(self) -> None:
        if self._is_closed:
            raise Unavailable("the bus is closed.")


@asynccontextmanager
async def open_local_broker(
    *, clock: Clock = SYSTEM_CLOCK, sleep: Sleep = asyncio.sleep
) -> AsyncGenerator[LocalBroker]:
    """Open what several buses of one process have in common."""
    async with asyncio.TaskGroup() as group:
        broker = LocalBroker(group, clock=clock, sleep=sleep)
        try:
            yield broker
        finally:
            broker.close()


@asynccontextmanager
async def open_local_bus(
    tenant: str = "default",
    *,
    principal: str = "local",
    broker: LocalBroker | None = None,
    streams: Sequence[StreamRule] = (),
    clock: Clock = SYSTEM_CLOCK,
    sleep: Sleep = asyncio.sleep,
    drain_s: float = DRAIN_S,
) -> AsyncGenerator[LocalBus]:
    """Open a bus inside this process; at the end of the block its subscribers take what has come, and it is closed.

    Args:
        tenant: Whose it is: it hears nothing of others.
        principal: Who uses it; answers to others do not reach it.
        broker: What it shares with other buses, from `open_local_broker`; one of its own when not given.
        streams: What is kept.
        clock: Where time comes from, where it has a broker of its own.
        sleep: How it waits, likewise.
        drain_s: How long the end waits for subscribers.

    Raises:
        InvalidInput: The streams do not hold together.
    """
    async with AsyncExitStack() as stack:
        if broker is None:
            broker = await stack.enter_async_context(open_local_broker(clock=clock, sleep=sleep))
        account = broker.find_account(tenant)
        account.add_streams(streams)
        bus = LocalBus(account, principal=principal)
        try:
            yield bus
        finally:
            await bus.drain(timeout_s=drain_s)
