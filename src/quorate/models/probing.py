"""Are models that nobody calls well again?"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from quorate.messages import build_user_message
from quorate.models.health import ProbeRule
from quorate.models.upstream import Upstream
from quorate.specs import Caller, ModelSettings, Request

PROBE = Request(
    messages=(build_user_message("Say OK."),),
    settings=ModelSettings(max_tokens=16),
    caller=Caller(tenant="default", principal="probe"),
)


async def keep_probing(
    rule: ProbeRule,
    *,
    list_upstreams: Callable[[], Sequence[Upstream]],
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
) -> None:
    """Ask models that are not well a small question, again and again; those that are named, also while they are.

    The answers are measured like those of any call: what comes of them is in each model's health and breaker.

    Args:
        rule: How often, and whom.
        list_upstreams: Lists the models that are in use.
        sleep: Waits.
    """
    while True:
        await sleep(rule.every_s)
        wanted = [one for one in list_upstreams() if _is_wanted(one, rule)]
        async with asyncio.TaskGroup() as group:
            for one in wanted:
                group.create_task(_probe(one))


def _is_wanted(upstream: Upstream, rule: ProbeRule) -> bool:
    if rule.models:
        return upstream.target.name in rule.models
    return not upstream.health.is_well or any(breaker.state != "closed" for breaker in upstream.breakers)


async def _probe(upstream: Upstream) -> None:
    try:
        await upstream.inner.complete(PROBE)
    except Exception:  # whatever it is, it is measured where it happened, and must not end the gateway
        return
