"""When is a submission the same as an earlier one, what was said before it, and what is recorded of it?"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

from msgspec import Struct, structs

from quorate.agent.history import load_history
from quorate.agent.run import RunOptions
from quorate.clock import Clock
from quorate.codec.json import decode, encode
from quorate.errors import Conflict, InvalidInput
from quorate.events import RunCreated
from quorate.ids import new_id
from quorate.messages import Message
from quorate.ports import KeyValue, Log
from quorate.specs import Limits
from quorate.state.places import build_submission_place

if TYPE_CHECKING:
    from quorate.state.sessions import SessionStore

KEPT_S = 7 * 86_400.0
"""How long an idempotency key is remembered, in seconds."""
MAX_KEY = 255


class Reservation(Struct, frozen=True, kw_only=True):
    """Which run an idempotency key stands for, and what was asked for under it."""

    run: str
    request: str


class Order(Struct, frozen=True, kw_only=True):
    """What somebody asks for."""

    message: Message
    agent: str | None
    """Who was named for it, if anybody."""
    model: str | None
    session: str | None
    limits: Limits | None
    history: tuple[Message, ...]
    principal: str
    idempotency_key: str | None
    labels: dict[str, str]
    trace: str = ""

    @property
    def digest(self) -> str:
        """SHA-256 over what is asked for: what a second submission under the same key must be equal in."""
        asked = ((*self.history, self.message), self.agent, self.model, self.session, self.limits)
        return hashlib.sha256(encode(asked)).hexdigest()


class Acceptance(Struct, frozen=True, kw_only=True):
    """How an order is carried out."""

    options: RunOptions
    history: Sequence[Message]
    """The conversation before it."""
    is_known: bool = False
    """Whether the run is there already, from an earlier submission with the same key."""


async def admit_all(run: str) -> None:
    """Let any run begin."""


class Acceptor:
    """Takes orders for one tenant: finds out which run each stands for, and what was said before it."""

    def __init__(
        self, log: Log, values: KeyValue, *, clock: Clock, tenant: str, sessions: Callable[[], SessionStore]
    ) -> None:
        self._log = log
        self._values = values
        self._clock = clock
        self._tenant = tenant
        self._sessions = sessions

    async def accept(
        self, order: Order, limits: Limits, *, admit: Callable[[str], Awaitable[None]] = admit_all
    ) -> Acceptance:
        """Find out which run an order stands for; nothing but its idempotency key is recorded yet.

        Args:
            order: What is asked for.
            limits: Of the run.
            admit: Raises where one more run may not be begun; asked about runs that are not there yet, before a session
                takes its turn.

        Raises:
            Conflict: The key was used for another order, or the session takes no more runs.
            InvalidInput: The key is not one, or there is a history beside the session's.
        """
        if order.session is not None and order.history:  # before the key is used up
            raise InvalidInput(
                "A session knows what was said in it: give `history` or `session`, or fork the session to go on from "
                "something else."
            )
        options = RunOptions(
            limits=limits,
            session=order.session,
            tenant=self._tenant,
            labels=order.labels,
            principal=order.principal,
            run_id=new_id("run"),
            idempotency_key=order.idempotency_key,
            trace=order.trace,
        )
        if order.idempotency_key is not None:
            run_id = await reserve_run(
                self._values,
                tenant=self._tenant,
                principal=order.principal,
                key=order.idempotency_key,
                request=order.digest,
            )
            options = structs.replace(options, run_id=run_id, request=order.digest)
            if await self._log.last(run_id):
                return Acceptance(options=options, history=(), is_known=True)
        await admit(options.run_id or "")
        if order.session is None:
            return Acceptance(options=options, history=order.history)
        try:
            turn = await self._sessions().begin_turn(
                order.session, tenant=self._tenant, principal=order.principal, run=options.run_id or ""
            )
        except Conflict:
            # Of two who submit the same at once, the first one's run may be what fills the session.
            if order.idempotency_key is None or not await self._log.last(options.run_id or ""):
                raise
            return Acceptance(options=options, history=(), is_known=True)
        if not turn.previous:
            return Acceptance(options=options, history=())
        options = structs.replace(options, previous=turn.previous, previous_seq=turn.previous_seq)
        reference = RunCreated(
            run=turn.run,
            seq=1,
            time=self._clock.now(),
            agent="",
            messages=(),
            tenant=self._tenant,
            session=order.session,
            previous=turn.previous,
            previous_seq=turn.previous_seq,
        )
        return Acceptance(options=options, history=await load_history(self._log, reference))


async def reserve_run(values: KeyValue, *, tenant: str, principal: str, key: str, request: str) -> str:
    """Return the id of the run that a key stands for; the first to ask decides, whoever asks at the same time.

    The key is what is unique; the run itself may not have been recorded yet, and whoever comes next records it.

    Raises:
        Conflict: The key was used for another request.
        InvalidInput: It is not a key.
    """
    if not 1 <= len(key) <= MAX_KEY or not key.isprintable():
        raise InvalidInput(f"idempotency key {key[:80]!r} is not one: use 1 to {MAX_KEY} printable characters.")
    place = build_submission_place(tenant, principal, key)
    mine = Reservation(run=new_id("run"), request=request)
    try:
        await values.put(place, encode(mine), if_revision=0, ttl_s=KEPT_S)
    except Conflict:
        entry = await values.get(place)
        if entry is None:  # it expired between the two looks
            return await reserve_run(values, tenant=tenant, principal=principal, key=key, request=request)
        theirs = decode(entry.value, Reservation, what=f"idempotency key {key!r}")
        if theirs.request != request:
            raise Conflict(
                f"Idempotency key {key!r} was used for another request, run {theirs.run!r}: use a new key.",
                run=theirs.run,
            ) from None
        return theirs.run
    return mine.run
