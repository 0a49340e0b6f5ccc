"""How is something made once, however often it is asked for with the same `Idempotency-Key`?"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from contextlib import suppress
from hashlib import sha256
from typing import Annotated, TypeVar, cast

import msgspec
from litestar import Response
from litestar.params import HeaderParameter
from msgspec import Struct

from quorate.errors import Conflict, CorruptState, QuorateError
from quorate.ports import Entry, KeyValue
from quorate.server.asked import Asked, find_runtime
from quorate.server.problems import STATUS

T = TypeVar("T")
KEPT_S = 86_400.0
"""How long an answer is kept for whoever asks again."""
WAIT_S = 10.0
"""How long one waits for the answer to the same request that is under way."""
LOOK_S, MOST_LOOK_S = 0.02, 0.5
"""How long it is until one looks for it again, at first and at most."""
BROKEN_S = 60.0
"""After how long a request that has no answer is believed to have broken off."""
REPEATED = "Idempotent-Replayed"
"""The header by which an answer says that it was given before."""
_KEPT_HEADERS = ("location", "etag")
OnceKey = Annotated[
    str | None,
    HeaderParameter(
        name="Idempotency-Key",
        min_length=1,
        max_length=255,
        description="The same key and the same request are done once: whoever sends them again within 24 hours gets "
        "the same answer, without what is shown once. With another request it is a conflict.",
    ),
]


class Attempt(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is kept of a request that came with a key."""

    print: str
    """A digest of the request."""
    begun: float
    nonce: str
    status: int = 0
    """Of the answer; none yet where it is 0."""
    headers: dict[str, str] = {}
    body: msgspec.Raw = msgspec.Raw(b"null")


async def once(
    request: Asked,
    key: str | None,
    work: Callable[[], Awaitable[Response[T]]],
    *,
    conceal: Callable[[T], T] | None = None,
) -> Response[T]:
    """Do something once for all requests of a principal with the same key and the same body.

    The first one does it, and its answer is kept for a day; the others get that answer, with `Idempotent-Replayed:
    true`. Those that come meanwhile wait for it. A refusal is not kept, since it did nothing. Where a request broke off
    so that nobody knows whether it was done, it is not done again: the others are told so.

    Args:
        request: What asks.
        key: What its `Idempotency-Key` is; without one, the work is just done.
        work: Does it, and builds the answer.
        conceal: Takes out of an answer what is shown once; only what is left of it is kept.

    Raises:
        Conflict: The key came with another request, or an earlier one is under way still, or broke off.
        Unavailable: The store cannot be reached.
    """
    if key is None:
        return await work()
    runtime = find_runtime(request)
    values, place = runtime.store.values, _build_place(request, key)
    mine = Attempt(print=await _build_print(request), begun=runtime.clock.now(), nonce=os.urandom(8).hex())
    found = await _begin(values, place, mine)
    if found is not None:
        return await _await_answer(values, place, found, mine)
    try:
        response = await work()
    except QuorateError as error:
        if STATUS.get(error.code, 500) < 500:  # it did nothing, so that it may be asked for again
            await _forget(values, place, mine)
        raise
    view = response.content if conceal is None else conceal(response.content)
    kept = {name: value for name, value in response.headers.items() if name.lower() in _KEPT_HEADERS}
    answer = Attempt(
        print=mine.print,
        begun=mine.begun,
        nonce=mine.nonce,
        status=response.status_code or request.route_handler.status_code,
        headers=kept,
        body=msgspec.Raw(msgspec.json.encode(view)),
    )
    with suppress(QuorateError):  # it is done: whoever asks again is told that nobody knows, and looks
        await values.put(place, msgspec.json.encode(answer), ttl_s=KEPT_S)
    return response


async def _begin(values: KeyValue, place: str, mine: Attempt) -> Attempt | None:
    """Take the place of a request, and return `None`; or what was there before."""
    while True:
        try:
            await values.put(place, msgspec.json.encode(mine), if_revision=0, ttl_s=KEPT_S)
        except Conflict:
            entry = await values.get(place)
            if entry is not None:  # else it expired just now, or was refused
                return _read(entry)
        else:
            return None


async def _await_answer(values: KeyValue, place: str, found: Attempt, mine: Attempt) -> Response[T]:
    """Wait for an answer that somebody else makes."""
    if found.print != mine.print:
        raise Conflict("This `Idempotency-Key` came with another request: use a new one for each thing to be done.")
    loop, pause = asyncio.get_running_loop(), LOOK_S
    until = loop.time() + WAIT_S
    while not found.status:
        if mine.begun - found.begun > BROKEN_S:
            raise Conflict(
                "An earlier request with this `Idempotency-Key` broke off, and may have been done or not: look for "
                "what it was to make, and use a new key if it is not there."
            )
        if loop.time() >= until:
            raise Conflict("An earlier request with this `Idempotency-Key` is under way still: send it again later.")
        await asyncio.sleep(pause)
        pause = min(2 * pause, MOST_LOOK_S)
        entry = await values.get(place)
        if entry is None:
            raise Conflict("An earlier request with this `Idempotency-Key` was refused just now: send it again.")
        found = _read(entry)
    answer = Response(found.body, status_code=found.status, headers={**found.headers, REPEATED: "true"})
    return cast("Response[T]", answer)  # its bytes are those of a view of that kind


async def _forget(values: KeyValue, place: str, mine: Attempt) -> None:
    with suppress(QuorateError):  # then it is taken for one that broke off
        entry = await values.get(place)
        if entry is not None and _read(entry).nonce == mine.nonce:
            await values.delete(place, if_revision=entry.revision)


async def _build_print(request: Asked) -> str:
    """Build a digest of what is asked for, however its JSON is spaced and ordered."""
    body = await request.body()
    try:
        plain = msgspec.json.encode(msgspec.json.decode(body), order="sorted") if body else b""
    except msgspec.DecodeError:  # what the route does not look at, such as a number that nobody can hold
        plain = body
    head = f"{request.method} {request.scope['path']}?".encode()
    return sha256(b"\0".join((head, bytes(request.scope["query_string"]), plain))).hexdigest()


def _build_place(request: Asked, key: str) -> str:
    who = request.user
    return f"http/once/{who.tenant}/{who.principal}/{sha256(key.encode()).hexdigest()}"


def _read(entry: Entry) -> Attempt:
    try:
        return msgspec.json.decode(entry.value, type=Attempt)
    except msgspec.DecodeError as error:
        raise CorruptState("What is kept of an earlier request with this `Idempotency-Key` does not read.") from error
