"""How does one tenant talk over a connection to NATS?"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, suppress

import msgspec

from quorate.bus.backends._nats_ask import Answer, Asker
from quorate.bus.backends._nats_connection import Connection
from quorate.bus.backends._nats_names import API, WORKERS, build_stream_name
from quorate.bus.backends._nats_pull import Puller
from quorate.bus.backends._nats_read import NatsReader
from quorate.bus.backends._nats_refusals import SUBSCRIPTION, build_refusal
from quorate.bus.backends._nats_streams import save_stream, save_workers
from quorate.bus.backends._nats_wire import Wire, raise_fault
from quorate.bus.backends._nats_work import NatsWork
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
from quorate.errors import DeadlineExceeded, InvalidInput, NoResponders, QuorateError, TooLarge, Unavailable
from quorate.ports.bus import Message, Receipt, Room, StreamRule, Subscription, Work

MAX_CHECKED = 4096
"""How many subjects are remembered as good ones."""
RETRY_S = 0.05
LONGEST_RETRY_S = 1.0


class Kept(Answer, frozen=True):
    """That a stream keeps a message."""

    stream: str = ""
    seq: int = 0
    duplicate: bool = False


_read_kept = msgspec.json.Decoder(Kept).decode


class NatsBus:
    """A `quorate.ports.bus.Bus` over NATS; get one from `quorate.bus.backends.nats.open_nats_bus`."""

    def __init__(self, connection: Connection, *, tenant: str, prefix: str, publish_timeout_s: float) -> None:
        self.connection = connection
        self.wire = Wire(tenant)
        """How messages are written and read; it counts what is not believed."""
        self.slow = 0
        """How many messages gave way in subscriptions that have ended."""
        self.asker = Asker(connection, prefix=prefix)
        self._tenant = tenant
        self._publish_timeout_s = publish_timeout_s
        self._rules: tuple[StreamRule, ...] = ()
        self._good: set[str] = set()
        """Subjects that were checked."""
        self._keepers: dict[str, StreamRule] = {}
        """Which stream keeps what, for subjects that were asked for."""
        self._mailboxes: dict[Mailbox, None] = {}
        self._readers: dict[NatsReader | NatsWork, None] = {}

    @property
    def is_connected(self) -> bool:
        """Whether there is a connection at the moment, over which everything is heard that was subscribed to."""
        return self.connection.ready.is_set()

    async def begin(self, rules: tuple[StreamRule, ...], *, timeout_s: float) -> None:
        """Listen for answers, and make the streams that there should be.

        Raises:
            InvalidInput: The rules do not hold together, or the server refuses them.
            Forbidden: Our login may neither make a stream nor is it there, or it may not listen for answers.
            Unavailable: JetStream does not answer.
        """
        self._rules = check_streams(rules, tenant=self._tenant)
        await self.asker.begin(timeout_s=timeout_s)
        for rule in self._rules:
            await save_stream(self.asker, rule, tenant=self._tenant, timeout_s=timeout_s)
            if rule.kind == "work":
                await save_workers(self.asker, rule, tenant=self._tenant, timeout_s=timeout_s)

    async def check_ready(self, *, timeout_s: float = 1.0) -> None:
        """Ask JetStream itself whether it answers: a server whose disk is full may switch it off and go on.

        Raises:
            Unavailable: It does not, or there is no connection.
            DeadlineExceeded: It does not in time.
        """
        await self.asker.ask_server(f"{API}.INFO", None, Answer, timeout_s=timeout_s, what="JetStream")

    def lose(self) -> None:
        """Tell whoever waits for an answer that the connection was lost."""
        self.asker.lose()

    def reset(self) -> None:
        """Ask anew over another connection for what is read and worked on."""
        for reader in self._readers:
            reader.reset()

    def refuse(self, what: str, subject: str) -> None:
        """Tell whoever it concerns that the server does not let us publish or listen somewhere, whenever it says so."""
        self.asker.refuse(what, subject)
        for reader in self._readers:
            reader.refuse(what, subject)
        if what == SUBSCRIPTION:
            for mailbox in self._mailboxes:
                if mailbox.pattern.lower() == subject:
                    mailbox.finish(build_refusal(what, mailbox.pattern))

    def fail(self, error: QuorateError) -> None:
        """Tell everybody that the connection ended for good."""
        self.asker.lose(error)
        for reader in self._readers:
            reader.fail(error)
        for mailbox in self._mailboxes:
            mailbox.finish(error)

    async def publish(
        self, subject: str, data: bytes, *, headers: Mapping[str, str] | None = None, reply: str = ""
    ) -> None:
        """Tell everybody who listens; see `quorate.ports.bus.Bus`."""
        if subject not in self._good:
            self._check(subject)
        if reply and not is_inbox(reply):
            raise InvalidInput(f"reply {reply[:80]!r} is no inbox: use `request` to ask for an answer.")
        command = self.wire.build(subject, data, headers=headers, reply=reply)
        self._check_size(subject, len(command))
        is_awaited = subject.startswith(INBOX)
        await self.connection.post(command, timeout_s=self._publish_timeout_s, is_awaited=is_awaited)

    async def flush(self, *, timeout_s: float = 5.0) -> None:
        """Wait until the server has everything that was published here; see `quorate.ports.bus.Bus`."""
        await self.connection.confirm(timeout_s=timeout_s)

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
        if after is not None or since is not None:
            place = check_replay(group=group, after=after, since=since)
            async with self._read(pattern, *place) as reader:
                yield reader
            return
        self.connection.check_open()
        mailbox = Mailbox(pattern, room, leave=lambda: self._leave(number))
        read, put = self.wire.read, mailbox.put

        def hear(subject: bytes, reply: bytes, data: bytes, headers: bytes | None) -> None:
            message = read(subject, reply, data, headers)
            if message is not None:
                put(message)

        def hear_all(subject: bytes, reply: bytes, data: bytes, headers: bytes | None) -> None:
            # Whoever listens to everything also hears what the server and its clients say to each other.
            if not subject.startswith((b"$", b"_INBOX")) and not reply.startswith(b"$JS."):
                hear(subject, reply, data, headers)

        sink = hear_all if pattern[0] in "*>" else hear
        number = await self.connection.listen(pattern, sink, queue=check_group(group) if group else "")
        self._mailboxes[mailbox] = None
        try:
            await self._settle()
            self.connection.check_heard(pattern)
            yield mailbox
        finally:
            self._mailboxes.pop(mailbox, None)
            self.slow += mailbox.dropped
            mailbox.close()
            await self.connection.leave(number)

    async def request(
        self, subject: str, data: bytes, *, headers: Mapping[str, str] | None = None, timeout_s: float = 5.0
    ) -> Message:
        """Ask whoever listens; see `quorate.ports.bus.Bus`."""
        if subject not in self._good:
            self._check(subject)
        asker, loop = self.asker, asyncio.get_running_loop()
        end = loop.time() + timeout_s
        while True:
            reply = asker.name()
            command = self.wire.build(subject, data, headers=headers, reply=reply)
            self._check_size(subject, len(command))
            found = await asker.ask(command, reply=reply, subject=subject, timeout_s=max(end - loop.time(), 0.0))
            message = self.wire.read(found[0], b"", found[1], found[2])
            if message is not None:
                return message

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
        if subject not in self._good:
            self._check(subject)
        rule = self._keepers.get(subject) or self._find_keeper(subject)
        name, lives = check_entry(id=id, ttl_s=ttl_s)
        own = f"Nats-Msg-Id: {name}\r\nNats-Expected-Stream: {build_stream_name(self._tenant, rule.name)}\r\n"
        if lives is not None:
            own += f"Nats-TTL: {int(lives)}s\r\n"
        loop = asyncio.get_running_loop()
        end, wait_s = loop.time() + timeout_s, RETRY_S
        while True:
            reply = self.asker.name()
            command = self.wire.build(subject, data, headers=headers, reply=reply, own=own)
            self._check_size(subject, len(command))
            left = end - loop.time()
            try:
                _, found, _ = await self.asker.ask(command, reply=reply, subject=subject, timeout_s=max(left, 0.0))
            except (NoResponders, Unavailable):
                # The id is known at the server if it heard us, so that asking again does no harm.
                if self.connection.is_closed or end - loop.time() < wait_s:
                    raise
                await asyncio.sleep(wait_s)
                wait_s = min(2 * wait_s, LONGEST_RETRY_S)
                continue
            kept = _read_kept(found)
            if kept.error is not None:
                raise_fault(kept.error, f"message for {subject!r} was not kept")
            return Receipt(stream=rule.name, seq=kept.seq, duplicate=kept.duplicate)

    @asynccontextmanager
    async def work(self, queue: str, *, max_in_flight: int = 64) -> AsyncGenerator[Work]:
        """Take work for a block; see `quorate.ports.bus.Bus`."""
        rule = find_queue(self._rules, queue)
        self.connection.check_open()
        puller = Puller(
            self.asker,
            stream=build_stream_name(self._tenant, rule.name),
            consumer=WORKERS,
            horizon_s=rule.ack_wait_s / 5,
        )
        work = NatsWork(puller, rule=rule, wire=self.wire, say=self._say, bury=self._bury, max_in_flight=max_in_flight)
        await puller.begin()
        self._readers[work] = None
        try:
            yield work
        finally:
            self._readers.pop(work, None)
            with suppress(QuorateError):  # what was not given back comes again after its silence
                await work.end()

    async def drain(self, *, timeout_s: float) -> None:
        """Take no more, let subscribers take what has come, and see what was published confirmed.

        Raises:
            Unavailable: Some of it was lost.
            DeadlineExceeded: The server does not answer.
        """
        for reader in self._readers:
            reader.finish()
        mailboxes = list(self._mailboxes)
        for mailbox in mailboxes:
            await mailbox.drain()
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                for mailbox in mailboxes:
                    await mailbox.taken.wait()
        await self.connection.confirm(timeout_s=timeout_s)

    @asynccontextmanager
    async def _read(self, pattern: str, after: int, since: float) -> AsyncGenerator[NatsReader]:
        rule = find_stream(self._rules, pattern)
        self.connection.check_open()
        reader = NatsReader(
            self.asker,
            wire=self.wire,
            stream=build_stream_name(self._tenant, rule.name),
            pattern=pattern,
            after=after,
            since=since,
            timeout_s=self._publish_timeout_s,
        )
        self._readers[reader] = None
        try:
            await reader.begin()
            yield reader
        finally:
            self._readers.pop(reader, None)
            await reader.end()

    async def _settle(self) -> None:
        """Wait until the server knows of a new subscription, so that what is published anywhere is heard."""
        with suppress(DeadlineExceeded, Unavailable):
            # Where there is no connection, the subscription is made with the next one.
            await self.connection.settle(timeout_s=self._publish_timeout_s)

    async def _say(self, command: bytes) -> None:
        await self.connection.post(command, timeout_s=self._publish_timeout_s, is_awaited=True)

    async def _bury(self, queue: str, data: bytes, headers: dict[str, str], id: str) -> None:
        subject = build_dead_subject(queue, self._tenant)
        await self.enqueue(subject, data, headers=headers, id=id, timeout_s=self._publish_timeout_s)

    def _leave(self, number: int) -> None:
        self.connection.sinks[b"%d" % number] = _forget

    def _check(self, subject: str) -> None:
        check_tenant(check_subject(subject), self._tenant)
        if not is_inbox(subject):
            if len(self._good) >= MAX_CHECKED:
                self._good.clear()
            self._good.add(subject)

    def _find_keeper(self, subject: str) -> StreamRule:
        if len(self._keepers) >= MAX_CHECKED:
            self._keepers.clear()
        rule = self._keepers[subject] = find_stream(self._rules, subject)
        return rule

    def _check_size(self, subject: str, size: int) -> None:
        most = self.connection.max_payload
        if size > most:
            raise TooLarge(f"a message of {size} bytes for {subject!r}; this server takes at most {most}.", most=most)


def _forget(subject: bytes, reply: bytes, data: bytes, headers: bytes | None) -> None:
    """Pass over what still comes for somebody who wants no more."""
