"""Does this process live, and can it take requests?"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Literal

from litestar import Request, Response, get
from litestar.datastructures import State
from litestar.router import Router
from msgspec import Struct, structs

from quorate.errors import DeadlineExceeded, QuorateError, Unavailable, describe_error
from quorate.runtime import Runtime
from quorate.server.access import NEED, OPEN, need
from quorate.server.admission import Admission
from quorate.server.pulse import Pulse

CHECK_S = 0.6
"""How long a dependency may take to answer."""
FRESH_S = 0.2
"""How old an answer may be that is given again: whoever asks often costs no more. Both together are below a second."""
LATE_S = 0.1
"""How late it may be noticed that something did not answer, for that to say anything about it."""
WRITE_S = 5.0
"""How often it is tried whether something can be written."""
PROBE = "health/probe"
"""Under which key that is tried."""
PROBE_TTL_S = 60.0
STUCK_S = 5.0
"""From which lag on a process is no use to anybody, and had better be begun anew."""

Check = Callable[[], Awaitable[None]]


class Part(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How something that we need is."""

    name: str
    status: Literal["ok", "down"]
    reason: str = ""
    """Why it is down: the code of an error."""
    detail: str = ""
    """The same in words, for those with a key."""


class Health(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How this process is."""

    status: Literal["ok", "draining", "down"]
    parts: tuple[Part, ...] = ()


class Detail(Struct, frozen=True, kw_only=True):
    """How this process is, for those who operate it."""

    status: Literal["ok", "draining", "down"]
    parts: tuple[Part, ...]
    lag_s: float
    """How late it is with what it has to do, on average of late."""
    memory_bytes: int
    under_way: int
    """How many requests are being answered."""
    streams: int
    """How many streams and subscriptions are read."""


class Looks:
    """Looks at what a runtime depends on, once for all who ask within a moment.

    Args:
        runtime: What depends on it.
        pulse: How busy this process is.
        monotonic: Time that never goes back.
    """

    def __init__(self, runtime: Runtime, *, pulse: Pulse | None = None, monotonic: Callable[[], float]) -> None:
        self.pulse = pulse
        self.admission: Admission | None = None
        """What refuses requests, where something does."""
        self.runtime = runtime
        self._monotonic = monotonic
        self._checks: Mapping[str, Check] = {"database": self._check_database} | (
            {"bus": self._check_bus} if runtime.courier is not None else {}
        )
        self._turn = asyncio.Lock()
        self._seen: tuple[Part, ...] = ()
        self._seen_at = float("-inf")
        self._wrote_at = float("-inf")

    @property
    def is_stuck(self) -> bool:
        """Whether this process is so late that it may as well not be there."""
        return self.pulse is not None and self.pulse.lag_s > STUCK_S

    async def look(self) -> tuple[Part, ...]:
        """Say how everything is that we depend on, and whether there is room for requests."""
        async with self._turn:
            if self._monotonic() - self._seen_at > FRESH_S:
                async with asyncio.TaskGroup() as group:
                    looks = [group.create_task(_look(name, check)) for name, check in self._checks.items()]
                self._seen = tuple(look.result() for look in looks)
                self._seen_at = self._monotonic()
        why = self.admission.find_refusal() if self.admission is not None else ""
        return (*self._seen, Part(name="load", status="down", reason="overloaded", detail=why)) if why else self._seen

    async def _check_database(self) -> None:
        store = self.runtime.store
        await store.log.list_runs(limit=1)
        if store.check is not None:
            await store.check()
        if self._monotonic() - self._wrote_at > WRITE_S:
            # A full disk, or a server that takes no writes, can be read from all the same.
            await store.values.put(PROBE, b"", ttl_s=PROBE_TTL_S)
            self._wrote_at = self._monotonic()

    async def _check_bus(self) -> None:
        assert self.runtime.courier is not None  # else this is no check of ours
        await self.runtime.courier.check(keeps=self.runtime.settings.bus.events, timeout_s=CHECK_S)


Asked = Request[object, object, State]


@get(["/livez", "/health/live"], opt={NEED: OPEN}, summary="Is the process alive?")
async def live(request: Asked) -> Response[Health]:
    """Say that the process answers; what it depends on is no matter here.

    503 says that it is so late with everything that it had better be begun anew.
    """
    is_stuck = find_looks(request).is_stuck
    return Response(Health(status="down" if is_stuck else "ok"), status_code=503 if is_stuck else 200)


@get(["/readyz", "/health/ready"], opt={NEED: OPEN}, summary="Can it take requests?")
async def ready(request: Asked) -> Response[Health]:
    """Say whether requests may come: 503 while it drains, has too much to do, or misses what it cannot do without.

    Each part that is missing has the code of its error as `reason`.
    """
    if request.app.state.draining.is_set():
        return Response(Health(status="draining"), status_code=503)
    parts = await find_looks(request).look()
    is_down = any(part.status == "down" for part in parts)
    bare = tuple(structs.replace(part, detail="") for part in parts)  # words are not for everybody
    return Response(Health(status="down" if is_down else "ok", parts=bare), status_code=503 if is_down else 200)


@get("/health/detailed", opt=need("events", "read"), summary="How is each part?")
async def detailed(request: Asked) -> Detail:
    """Say how each part is and why one is not well, and how busy the process is."""
    looks, state = find_looks(request), request.app.state
    parts = await looks.look()
    status = "down" if any(part.status == "down" for part in parts) else "ok"
    return Detail(
        status="draining" if state.draining.is_set() else status,
        parts=parts,
        lag_s=looks.pulse.lag_s if looks.pulse is not None else 0.0,
        memory_bytes=looks.pulse.memory_bytes if looks.pulse is not None else 0,
        under_way=looks.admission.under_way if looks.admission is not None else 0,
        streams=len(state.seats),
    )


def find_looks(request: Asked) -> Looks:
    """Return what looks at our dependencies."""
    looks: Looks = request.app.state.looks
    return looks


async def _look(name: str, check: Check, *, is_again: bool = False) -> Part:
    loop = asyncio.get_running_loop()
    until = loop.time() + CHECK_S
    try:
        async with asyncio.timeout_at(until):
            await check()
    except TimeoutError:
        if loop.time() - until > LATE_S and not is_again:
            return await _look(name, check, is_again=True)  # we were late ourselves: its answer may have been there
        detail = f"it did not answer within {CHECK_S:g} s"
        return Part(name=name, status="down", reason=DeadlineExceeded.code, detail=detail)
    except Exception as error:  # whatever is wrong with it, it is of no use now
        reason = error.code if isinstance(error, QuorateError) else Unavailable.code
        return Part(name=name, status="down", reason=reason, detail=describe_error(error))
    return Part(name=name, status="ok")


def build_router() -> Router:
    """Build the routes about health."""
    return Router("/", route_handlers=[live, ready, detailed], tags=["health"])
