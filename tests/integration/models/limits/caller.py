"""A process that makes calls under limits others share, and says on its standard output how many passed and failed."""

import asyncio
import sys
from contextlib import AsyncExitStack

from quorate.errors import RateLimited
from quorate.models.limits.limiter import Limiter
from quorate.models.limits.redis import open_redis_limits
from quorate.models.limits.rules import LimitRule
from quorate.models.limits.store import LimitStore
from quorate.models.limits.values import ValueLimits
from quorate.specs import Caller
from quorate.state.backends.postgres import open_postgres_store
from quorate.state.backends.sqlite import open_sqlite_store

EACH = (
    LimitRule(name="a", scope="tenant", match="a", requests=30, per_s=3600, policy="refuse"),
    LimitRule(name="b", scope="tenant", match="b", requests=50, per_s=3600, policy="refuse"),
    LimitRule(scope="agent", match="eager", tokens=5000, per_s=3600, policy="refuse"),
)
ALL = LimitRule(requests=60, per_s=3600, policy="refuse")
RULES = {"each": EACH, "all": (*EACH, ALL)}


async def open_limits(kind: str, address: str, stack: AsyncExitStack) -> LimitStore:
    if kind == "valkey":
        return await stack.enter_async_context(open_redis_limits(address, timeout_s=30))
    opened = open_postgres_store(address) if kind == "postgres" else open_sqlite_store(address)
    return ValueLimits((await stack.enter_async_context(opened)).values)


async def main(rules: str, kind: str, address: str, count: str) -> None:
    async with AsyncExitStack() as stack:
        limiter = Limiter(RULES[rules], store=await open_limits(kind, address, stack))
        passed: dict[str, int] = {}

        async def call(number: int) -> None:
            caller = Caller(tenant="a" if number % 2 else "b", agent="eager" if number % 3 == 0 else "calm")
            claims = limiter.find_claims(caller, model="m")
            try:
                ticket = await limiter.enter(claims, 400)
            except RateLimited:
                return
            await limiter.settle(ticket, 300)
            for word in ("all", caller.tenant, f"{caller.tenant}-{caller.agent}"):
                passed[word] = passed.get(word, 0) + 1

        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        async with asyncio.TaskGroup() as group:
            for number in range(int(count)):
                group.create_task(call(number))
        print(" ".join(f"{word}={passed.get(word, 0)}" for word in ("all", "a", "b", "a-eager", "b-eager")), flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
