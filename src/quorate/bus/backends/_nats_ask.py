"""How is something asked over a connection to NATS, of anybody who listens or of the server itself?"""

from __future__ import annotations

import asyncio
from itertools import count
from typing import TypeVar

import msgspec
from msgspec import Struct

from quorate.bus.backends._nats_connection import Connection
from quorate.bus.backends._nats_refusals import PUBLISH, SUBSCRIPTION, build_refusal
from quorate.bus.backends._nats_wire import NO_RESPONDERS, Fault, build_request, raise_fault, read_status
from quorate.errors import DeadlineExceeded, Forbidden, InvalidInput, NoResponders, QuorateError, Unavailable
from quorate.ids import new_id

T = TypeVar("T", bound="Answer")


class Answer(Struct, frozen=True):
    """What every answer of JetStream's interface has."""

    error: Fault | None = None


class Asker:
    """The questions of one connection that were not answered, under one inbox."""

    def __init__(self, connection: Connection, *, prefix: str) -> None:
        self.connection = connection
        self.inbox = f"{prefix}.{new_id('q')}"
        self._numbers = count(1)
        self._open: dict[bytes, tuple[str, asyncio.Future[tuple[bytes, bytes, bytes | None]]]] = {}
        """By the end of its inbox each question's subject, and its answer."""
        self._start = len(self.inbox) + 1

    async def begin(self, *, timeout_s: float) -> None:
        """Listen for answers.

        Raises:
            Forbidden: Our login may not: it was made for another principal.
            Unavailable: There is no connection.
            DeadlineExceeded: The server does not answer.
        """
        pattern = f"{self.inbox}.*"
        await self.connection.listen(pattern, self._hear)
        await self.connection.settle(timeout_s=timeout_s)  # or else what comes of it is silence
        self.connection.check_heard(pattern)

    def name(self) -> str:
        """Make the subject of the next answer."""
        return f"{self.inbox}.{next(self._numbers)}"

    async def ask(
        self, command: bytes, *, reply: str, subject: str, timeout_s: float
    ) -> tuple[bytes, bytes, bytes | None]:
        """Send a question and return the subject, data and headers of its answer.

        Raises:
            NoResponders: Nobody listens.
            Forbidden: Our login may not ask there.
            DeadlineExceeded: Nobody answered in time.
            Unavailable: There is no connection, or it was lost.
        """
        token = reply[self._start :].encode()
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[tuple[bytes, bytes, bytes | None]] = loop.create_future()
        self._open[token] = subject, answer
        timer = loop.call_later(timeout_s, _give_up, answer)
        try:
            await self.connection.send(command)
            found = await answer
        except TimeoutError:
            raise DeadlineExceeded(f"Nobody at {subject!r} answered in {timeout_s:.3g} s.", subject=subject) from None
        finally:
            timer.cancel()
            self._open.pop(token, None)
        if found[2] is not None and read_status(found[2])[0] == NO_RESPONDERS:
            raise NoResponders(f"Nobody listens at {subject!r}.", subject=subject)
        return found

    async def ask_server(self, subject: str, question: object, kind: type[T], *, timeout_s: float, what: str) -> T:
        """Ask JetStream's own interface.

        Raises:
            Unavailable: JetStream is off, or the connection was lost.
            QuorateError: It refused; the message says what.
        """
        await self.connection.wait_ready(timeout_s)
        reply = self.name()
        data = msgspec.json.encode(question) if question is not None else b""
        try:
            _, found, _ = await self.ask(
                build_request(subject, data, reply=reply), reply=reply, subject=subject, timeout_s=timeout_s
            )
        except Forbidden:
            self.connection.forget_refusal(subject)
            raise
        except NoResponders:
            raise Unavailable(
                f"{what}: JetStream does not answer: it is off at this server, or for this account."
            ) from None
        try:
            answer = msgspec.json.decode(found, type=kind)
        except msgspec.DecodeError as error:
            raise InvalidInput(f"{what}: what NATS answered is not understood: {error}") from error
        if answer.error is not None:
            raise_fault(answer.error, what)
        return answer

    def refuse(self, what: str, subject: str) -> None:
        """Tell whoever asked there that our login may not, or everybody if we may not hear answers any more."""
        is_deaf = what == SUBSCRIPTION and subject == f"{self.inbox}.*".lower()
        for asked, answer in self._open.values():
            if is_deaf or (what == PUBLISH and asked.lower() == subject):
                _fail(answer, build_refusal(what, f"{self.inbox}.*" if is_deaf else asked))

    def lose(self, error: QuorateError | None = None) -> None:
        """Tell whoever waits that the connection was lost."""
        for _, answer in self._open.values():
            _fail(
                answer,
                error
                or Unavailable("the connection to NATS was lost before it answered; whether it heard is not known."),
            )

    def _hear(self, subject: bytes, reply: bytes, data: bytes, headers: bytes | None) -> None:
        found = self._open.get(subject[self._start :])
        if found is not None and not found[1].done():
            found[1].set_result((subject, data, headers))


def _give_up(answer: asyncio.Future[tuple[bytes, bytes, bytes | None]]) -> None:
    _fail(answer, TimeoutError())


def _fail(answer: asyncio.Future[tuple[bytes, bytes, bytes | None]], error: Exception) -> None:
    if not answer.done():
        answer.set_exception(error)
