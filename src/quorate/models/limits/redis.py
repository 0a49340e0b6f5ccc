"""How are the counts of limits kept in Redis or Valkey, for processes on many machines?"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from functools import lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING, cast

from quorate.errors import QuorateError, Unavailable
from quorate.models.limits.rules import Claim
from quorate.models.limits.store import Refusal, Ticket
from quorate.models.limits.window import MAX_ENTRIES
from quorate.models.redis import TIMEOUT_S, open_redis

if TYPE_CHECKING:
    from redis.asyncio import Redis

Script = Callable[[list[str], list[str]], Awaitable[object]]
"""Runs the script on keys with arguments; raises `Unavailable` only."""

PREFIX = "{quorate}:"
"""Before all keys; the braces keep them in one slot of a cluster, as one script touches several."""


class RedisLimits:
    """A `LimitStore` in Redis or Valkey, by the server's own time; each call is one script, so one round trip."""

    is_shared = True

    def __init__(self, run: Script) -> None:
        self._run = run

    async def admit(self, claims: Sequence[Claim], tokens: int) -> Ticket | Refusal:
        """Let a call through all of its windows or none; see `LimitStore`."""
        left: asyncio.Future[Ticket | Refusal | None] = asyncio.get_running_loop().create_future()
        try:
            return await asyncio.shield(self._admit(claims, tokens, left))
        except asyncio.CancelledError:
            # The script runs all the same: what it took is given back.
            await asyncio.wait((left,), timeout=2 * TIMEOUT_S)
            outcome = left.result() if left.done() else None
            if isinstance(outcome, Ticket):
                with suppress(QuorateError):  # it counts until its window has passed, then
                    await self.settle(outcome, 0, requests=0)
            raise

    async def _admit(
        self, claims: Sequence[Claim], tokens: int, left: asyncio.Future[Ticket | Refusal | None]
    ) -> Ticket | Refusal:
        outcome: Ticket | Refusal | None = None
        try:
            outcome = await self._ask(claims, tokens)
            return outcome
        finally:
            if not left.done():
                left.set_result(outcome)

    async def _ask(self, claims: Sequence[Claim], tokens: int) -> Ticket | Refusal:
        arguments = ["admit", str(MAX_ENTRIES), str(tokens)]
        for claim in claims:
            arguments += (f"{claim.per_s * 1e6:.0f}", _write_most(claim.requests), _write_most(claim.tokens))
        answer = cast("list[int | bytes]", await self._run(build_keys(claims), arguments))  # as the script says
        worst, *rest = (int(word) for word in answer)
        if worst:
            return Refusal(claims[worst - 1], rest[0] / 1e6)
        return Ticket(claims, rest, tokens)

    async def settle(self, ticket: Ticket, tokens: int, *, requests: int = 1) -> None:
        """Replace what was set aside by what was used; see `LimitStore`."""
        if requests and (tokens == ticket.tokens or all(claim.tokens is None for claim in ticket.claims)):
            return
        arguments = ["settle", str(MAX_ENTRIES), str(tokens - ticket.tokens), str(requests - 1)]
        for claim, entry in zip(ticket.claims, ticket.ids, strict=True):
            arguments += (f"{claim.per_s * 1e6:.0f}", str(entry))
        await self._run(build_keys(ticket.claims), arguments)


def build_keys(claims: Sequence[Claim]) -> list[str]:
    """Name what stands for each window: its list and its hash."""
    return [key for claim in claims for key in (f"{PREFIX}{claim.key}", f"{PREFIX}{claim.key}/sums")]


def _write_most(most: int | None) -> str:
    return "-1" if most is None else str(most)


@lru_cache(maxsize=1)
def load_script() -> str:
    """Load the script that the server runs."""
    return files(__package__ or "").joinpath("window.lua").read_text(encoding="utf-8")


@asynccontextmanager
async def open_redis_limits(url: str, *, timeout_s: float = TIMEOUT_S) -> AsyncGenerator[RedisLimits]:
    """Open the counts at an address such as `redis://127.0.0.1:6379/0`; nothing is connected before the first call.

    Raises:
        MissingExtra: The extra `redis` is not installed.
        InvalidInput: The address is not one.
    """
    async with open_redis(url, timeout_s=timeout_s) as client:
        yield RedisLimits(build_script(client))


def build_script(client: Redis) -> Script:
    """Build what runs the script on a server; its errors are mapped here, once."""
    from redis.exceptions import RedisError

    script = client.register_script(load_script())

    async def run(keys: list[str], arguments: list[str]) -> object:
        try:
            return await script(keys=keys, args=arguments)
        except (RedisError, OSError) as error:
            raise Unavailable(
                "The store of the limits cannot be reached, so no call is let through: "
                f"{type(error).__name__}. Look whether the server runs.",
                store="redis",
            ) from error

    return run
