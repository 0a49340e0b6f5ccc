"""How are recorded runs of a runtime played again, or gone on from?"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import structs

from quorate.agent.agent import AnyAgent
from quorate.agent.history import load_history
from quorate.agent.replay.exact import Replay, replay_exactly
from quorate.agent.replay.fork import NO_CHANGE, Change, Origin, fork_run
from quorate.agent.replay.modified import Changes, ModifiedReplay, Policy, replay_modified
from quorate.agent.run import PAYER
from quorate.errors import InvalidInput
from quorate.events import AnyEvent, RunCreated
from quorate.ids import new_id
from quorate.messages import Message
from quorate.runtime.acts import noted
from quorate.runtime.control import read_run
from quorate.runtime.runtime import Runtime
from quorate.settings import cap_limits
from quorate.specs import Caller, Limits


async def read_recorded(runtime: Runtime, run: str) -> tuple[RunCreated, Sequence[AnyEvent], Sequence[Message]]:
    """Read a run, and the conversation before it where its log only refers to it.

    Raises:
        NotFound: The tenant has no such run, or what its conversation goes on from is gone.
    """
    created, events = await read_run(runtime.log, run, tenant=runtime.tenant)
    return created, events, await load_history(runtime.log, created) if created.previous else ()


async def play_exactly(runtime: Runtime, run: str) -> Replay[object]:
    """Play a run again, offline, and compare what it writes with what was recorded.

    Raises:
        NotFound: The tenant has no such run.
        UnknownName: Its agent or its model is not there any more.
    """
    created, events, history = await read_recorded(runtime, run)
    agent = runtime.find_agent(created.agent, created.labels.get("model"))
    return await replay_exactly(agent, events, history=history)


async def play_modified(
    runtime: Runtime, run: str, *, model: str | None, changes: Changes, policy: Policy, by: str
) -> ModifiedReplay[object]:
    """Do a run's task anew with something changed, and set both side by side; its model is really asked.

    Args:
        runtime: Where it is.
        run: Which one.
        model: The name of another model.
        changes: What else is different.
        policy: What becomes of calls whose very like was not recorded.
        by: Who wants it, and pays.

    Raises:
        NotFound: The tenant has no such run.
        UnknownName: There is no such agent, model or tool.
    """
    created, events, history = await read_recorded(runtime, run)
    agent = _find_agent(runtime, created, model)
    limits = cap_limits(changes.limits or created.limits, runtime.settings.limits)
    changes = structs.replace(changes, limits=limits)
    caller = Caller(tenant=runtime.tenant, principal=by, payer=runtime.payer)
    return await replay_modified(
        agent, events, changes=changes, policy=policy, history=history, clock=runtime.clock, caller=caller
    )


async def fork(
    runtime: Runtime,
    run: str,
    *,
    at: int,
    change: Change = NO_CHANGE,
    model: str | None = None,
    limits: Limits | None = None,
    by: str,
) -> str:
    """Begin a run of one's own from any event of a recorded one, and return its id; it rests until it is resumed.

    Args:
        runtime: Where the old one is, and the new one goes.
        run: The old one.
        at: The last event of it that still counts.
        change: What is otherwise at that point.
        model: The name of another model.
        limits: Instead of those it had.
        by: Whose the new one is.

    Raises:
        NotFound: The tenant has no such run, or it has no such event.
        UnknownName: There is no such model.
        InvalidInput: There is nothing like that to change at that event.
    """
    created, _ = await read_run(runtime.log, run, tenant=runtime.tenant)
    async with noted(runtime.audit, "run.fork", principal=by, object=f"run/{run}") as facts:
        if model is not None:
            _find_agent(runtime, created, model)
        labels = {"model": model} if model else dict[str, str]()
        if runtime.payer or PAYER in created.labels:
            labels[PAYER] = runtime.payer  # whoever forks it pays
        bounded = cap_limits(limits or created.limits, runtime.settings.limits)
        origin = Origin(run=new_id("run"), labels=labels, principal=by, limits=bounded)
        facts |= {"run": origin.run, "at": str(at)}
        return await fork_run(runtime.log, run, at=at, change=change, origin=origin, clock=runtime.clock)


def _find_agent(runtime: Runtime, created: RunCreated, model: str | None) -> AnyAgent:
    if model is not None and created.agent in runtime.given:
        raise InvalidInput(
            f"Agent {created.agent!r} brings its own model, so that {model[:80]!r} cannot take its place: leave "
            "`model` out, or put the agent into the catalog."
        )
    return runtime.find_agent(created.agent, model or created.labels.get("model"))
