"""What does a store with a little of everything in it look like?"""

import asyncio

from quorate.clock import Clock
from quorate.events import AnyEvent, ArtifactSaved, RunCompleted, RunCreated, RunStarted
from quorate.messages import build_user_message
from quorate.ports import Store
from quorate.security.secrets import Secret
from quorate.state.artifacts.access import Caller
from quorate.state.artifacts.store import ArtifactStore
from quorate.state.audit import AuditTrail
from quorate.state.sessions.store import SessionStore
from quorate.testing.contracts import build_step, build_steps
from quorate.testing.samples import build_every_event


def build_run(
    run: str, *, tenant: str = "acme", steps: int = 3, session: str | None = None, end: bool = True, previous: str = ""
) -> list[AnyEvent]:
    """A run of some steps."""
    events: list[AnyEvent] = [
        RunCreated(
            run=run,
            seq=1,
            time=10.0,
            agent="net",
            messages=(build_user_message("why?"),),
            tenant=tenant,
            principal="ada",
            session=session,
            labels={"z": "1", "a": "é"},
            previous=previous,
        ),
        RunStarted(run=run, seq=2, time=11.0, attempt="a1"),
        *build_steps(run, 3, steps),
    ]
    if end:
        events.append(RunCompleted(run=run, seq=len(events) + 1, time=30.0, output="ok", attempt="a1"))
    return events


async def fill(store: Store, *, clock: Clock, runs: int = 5, key: Secret | None = None) -> None:
    """Put runs, a session, artifacts, stored values and an audit trail into a store."""
    trail = AuditTrail(store.values, clock=clock, tenant="acme", key=key)
    sessions = SessionStore(store.values, store.log, clock=clock)
    await sessions.create("talk", tenant="acme", principal="ada", title="A talk")
    for number in range(runs):
        run = f"run-{number:04}"
        before = f"run-{number - 1:04}" if number else ""
        await store.log.append(run, build_run(run, session="talk", previous=before), expected=0)
        await trail.append("run.submit", principal="ada", object=f"run/{run}")
    every = build_run("run-every", tenant="other", steps=0, end=False)
    every += [
        event
        for event in build_every_event("run-every", after=1)
        if not isinstance(event, (RunCreated, RunStarted, ArtifactSaved))
    ]
    every = [
        type(event)(**{**{f: getattr(event, f) for f in event.__struct_fields__}, "seq": n})
        for n, event in enumerate(every, 1)
    ]
    await store.log.append("run-every", every, expected=0)
    await store.log.append("run-live", build_run("run-live", end=False), expected=0)
    artifacts = ArtifactStore(store.values, store.blobs, clock=clock)
    caller = Caller(tenant="acme", principal="ada", session="talk", run="run-0000")
    info = await artifacts.save("a.bin", bytes(range(256)) * 9000, caller=caller)
    await artifacts.save("b.txt", "x" * 50_000, caller=caller)
    await artifacts.save("empty", b"", caller=caller)
    saved = ArtifactSaved(
        run="run-live", seq=6, time=31.0, attempt="a1", artifact=info.id, name=info.name,
        media_type=info.media_type, size=info.size, digest=info.digest,
    )  # fmt: skip
    await store.log.append("run-live", [saved], expected=5)
    await store.values.put("state/acme/tenant/_/answer", b"42")
    await store.values.put("state/acme/tenant/_/short", b"lived", ttl_s=600)
    async with asyncio.TaskGroup() as group:
        for number in range(10):
            group.create_task(trail.append("state.set", principal="ada", object=f"state/{number}", facts={"n": number}))


async def add_long_run(store: Store, run: str, steps: int) -> None:
    """Add a run of many steps."""
    events = build_run(run, steps=0, end=False)
    await store.log.append(run, events, expected=0)
    await store.log.append(run, [build_step(run, seq) for seq in range(3, steps + 1)], expected=2)


async def empty(store: Store) -> None:
    """Delete everything in a store."""
    while runs := await store.log.list_runs(limit=500):
        for summary in runs:
            await store.log.delete(summary.run)
    while entries := await store.values.scan(""):
        for entry in entries:
            await store.values.delete(entry.key)
    while blobs := await store.blobs.list_blobs():
        for blob in blobs:
            await store.blobs.delete(blob.name)


async def snapshot(store: Store) -> dict[str, object]:
    """Everything a store has, to be compared."""
    runs = await store.log.list_runs(order="oldest", limit=1000)
    whole: dict[str, object] = {f"run {one.run}": await store.log.read(one.run) for one in runs}
    whole |= {f"value {entry.key}": entry.value for entry in await store.values.scan("", limit=1000)}
    for blob in await store.blobs.list_blobs():
        whole[f"blob {blob.name}"] = b"".join([piece async for piece in store.blobs.get(blob.name)])
    return whole
