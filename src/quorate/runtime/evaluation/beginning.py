"""How is a run begun, or gone on with where an earlier try at the same evaluation began it?"""

from __future__ import annotations

from collections.abc import Mapping

from quorate.agent.agent import AnyAgent
from quorate.events import ENDINGS, RunWaiting
from quorate.runtime.handle import RunHandle
from quorate.runtime.runtime import Runtime
from quorate.specs import Limits


async def begin_run(
    runtime: Runtime,
    task: str,
    *,
    agent: AnyAgent,
    limits: Limits | None = None,
    key: str | None = None,
    labels: Mapping[str, str] | None = None,
) -> RunHandle:
    """Begin a run, or go on with the one that the key stands for: one that was let go of, or whose process died.

    Args:
        runtime: What it is made by.
        task: What to do.
        agent: Who does it.
        limits: Instead of the agent's own.
        key: What it is found again by.
        labels: Facts to find it by.

    Raises what `Runtime.submit` raises.
    """
    handle = await runtime.submit(task, agent=agent, limits=limits, idempotency_key=key, labels=labels)
    if handle.run is not None:
        return handle
    last = (await runtime.log.read(handle.id))[-1]
    needs_person = isinstance(last, RunWaiting) and last.reason != "interrupted"
    if isinstance(last, ENDINGS) or needs_person:
        return await runtime.attach(handle.id, agent=agent)
    handle.release()
    return await runtime.resume(handle.id, agent=agent)


def was_let_go(last: object) -> bool:
    """Whether a run's last event says that it was let go of, and is to be gone on with."""
    return isinstance(last, RunWaiting) and last.reason == "interrupted"
