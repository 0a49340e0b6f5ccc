"""Which workers are there, what do they offer, and how busy are they?

Each worker writes a row again and again, which is gone by itself a while after it died. Nothing but the store that they
share is needed for that, and nobody relies on it: who has a run is in the run's log.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress

import msgspec
from msgspec import Struct, structs

from quorate.errors import NotFound, describe_error
from quorate.events import RunSummary
from quorate.ports import Entry, KeyValue, Log, Store
from quorate.specs import Limits

PREFIX = "worker/"
PAGE = 200
BEATS = 3
"""How many beats of a worker may be missed before its row is gone."""
LEAST_KEPT_S = 5.0
"""How long a row stays at least: a process that has much to do beats late."""
END_S = 1.0
"""How long taking the row away may take; after that it goes by itself."""
MAX_OFFERED = 2_000
"""How many agents a row names at most."""
RUN_PAGE = 1_000
MAX_RUNS = 10_000
"""Among how many runs under way it is looked for who has them."""
_logger = logging.getLogger("quorate.worker")


class WorkerRecord(Struct, frozen=True, kw_only=True):
    """A worker as it describes itself, and what the store knows beside that."""

    id: str
    host: str
    pid: int
    version: str
    """Which version of Quorate it is."""
    started: float
    """When it began, by its own clock."""
    concurrency: int
    """How many runs it does at once."""
    owner: str = ""
    """Under which name it owns runs at the moment."""
    state: str = "working"
    """`working`, `full` (it takes no more for now), `draining` (it leaves), or `lost`: others took its runs over."""
    why: str = ""
    """Why it takes no more."""
    memory_mb: float = 0.0
    """How much memory its process has, in megabytes of 1,000,000 bytes."""
    has_bus: bool = False
    """Whether it is told over a bus of what there is to do."""
    patterns: tuple[str, ...] = ()
    """Which agents it was told to do; empty for all that it knows."""
    capabilities: tuple[str, ...] = ()
    agents: dict[str, Limits] = {}
    """The agents that it was told and can open, with their limits."""
    is_partial: bool = False
    """Whether there are more of them."""
    lacking: dict[str, tuple[str, ...]] = {}
    """Those of them whose runs it leaves to others, with the capabilities that it has not."""
    seen: float = 0.0
    """When it wrote that, by the store's clock; not stored."""
    runs: tuple[str, ...] = ()
    """The runs that it has by their logs, oldest first; not stored."""

    @property
    def has_room(self) -> bool:
        """Whether it would take one more run."""
        return self.state == "working" and len(self.runs) < self.concurrency

    def offers(self, agent: str) -> bool:
        """Whether it takes runs of an agent."""
        return (agent in self.agents or self.is_partial) and agent not in self.lacking


class Presence:
    """The row of one worker: it is written when the worker begins, in beats, and when something changes."""

    def __init__(self, values: KeyValue, describe: Callable[[], WorkerRecord], *, beat_s: float) -> None:
        self._values = values
        self._describe = describe
        self._beat_s = beat_s
        self._changed = asyncio.Event()
        self._owner = ""
        self._is_written = False
        self._is_hidden = False

    def note_owner(self, owner: str) -> None:
        """Write the row at once when the worker owns its runs under another name than before."""
        if owner != self._owner:
            self._owner = owner
            self.change()

    def change(self) -> None:
        """Write the row at once: something that others want to know is different."""
        self._changed.set()

    async def keep(self) -> None:
        """Write the row in beats from the first change on, for ever; while the store is away, nothing is written."""
        await self._changed.wait()
        while True:
            self._changed.clear()
            why = ""
            try:
                async with asyncio.timeout(max(self._beat_s, LEAST_KEPT_S)):
                    await self._write()
            except Exception as error:  # nobody relies on the row: whatever is wrong with it ends no work
                why = describe_error(error)
            self._say(why)
            with suppress(TimeoutError):
                async with asyncio.timeout(self._beat_s):
                    await self._changed.wait()

    async def end(self) -> None:
        """Take the row away; where that does not work soon, it goes by itself."""
        if self._is_written:
            with suppress(Exception):  # as above
                async with asyncio.timeout(END_S):
                    await self._values.delete(build_key(self._describe().id))

    def _say(self, why: str) -> None:
        """Say once that the row cannot be written: nobody else would see why a worker that works is not listed."""
        if why and not self._is_hidden:
            _logger.warning("This worker cannot be listed for now, and works all the same: %s", why)
        self._is_hidden = bool(why)

    async def _write(self) -> None:
        self._is_written = True  # it may be there though the answer did not come
        record = self._describe()
        body = msgspec.json.encode(structs.replace(record, seen=0.0, runs=()))
        await self._values.put(build_key(record.id), body, ttl_s=max(BEATS * self._beat_s, LEAST_KEPT_S))


def build_key(worker: str) -> str:
    """Return where a worker's row is kept."""
    return f"{PREFIX}{worker}"


async def list_workers(store: Store) -> list[WorkerRecord]:
    """List the workers that share a store, oldest first, each with the runs that it has.

    Args:
        store: The store; it needs no runtime and no bus.

    Raises:
        Unavailable: The store cannot be reached.
    """
    records = await read_rows(store.values)
    dead = {lease.owner for lease in await store.leases.list_leases() if lease.epoch > 1}
    runs = await _find_runs(store.log) if records else {}
    return [_complete(record, runs.get(record.owner, ()), is_lost=record.owner in dead) for record in records]


async def get_worker(store: Store, worker: str) -> WorkerRecord:
    """Return a worker by its id, or by how its id ends or begins, where that is only one's.

    Raises:
        NotFound: There is none, or there are several.
        Unavailable: The store cannot be reached.
    """
    there = await list_workers(store)
    exact = [record for record in there if record.id == worker]
    found = exact or [
        record for record in there if worker and (record.id.startswith(worker) or record.id.endswith(worker))
    ]
    if len(found) == 1:
        return found[0]
    if found:
        ids = ", ".join(record.id for record in found[:5])
        raise NotFound(f"{len(found)} workers are called like {worker!r}, such as {ids}: write more of the id.")
    raise NotFound(f"There is no worker {worker!r}: list them with `quorate workers list`.", worker=worker)


def find_limits(agent: str, workers: Iterable[WorkerRecord]) -> Limits | None:
    """Find the limits of an agent that a worker knows; `None` when nobody does.

    One that leaves it to others for want of a capability knows it, too: its runs wait for a worker that has that.
    """
    there = list(workers)
    for worker in there:
        if agent in worker.agents:
            return worker.agents[agent]
    return Limits() if any(worker.is_partial for worker in there) else None


def explain_queued(agent: str, workers: Sequence[WorkerRecord], *, requires: Sequence[str] = ()) -> str:
    """Say why a queued run of an agent is not taken; empty when a worker has room for it.

    Args:
        agent: Whose run.
        workers: Who is there.
        requires: Which capabilities the agent requires, where that is known.
    """
    there = [worker for worker in workers if worker.state != "lost"]
    if not there:
        return "no worker is there: start one with `quorate worker`"
    fitting = [worker for worker in there if worker.offers(agent)]
    if any(worker.has_room for worker in fitting):
        return ""
    if fitting:
        reasons = dict.fromkeys(_describe_state(worker) for worker in fitting)
        return f"{_count(len(fitting))} for agent `{agent}`, and none has room: {', '.join(reasons)}"
    offered = {capability for worker in there for capability in worker.capabilities}
    missing = sorted({*requires, *(name for w in there for name in w.lacking.get(agent, ()))} - offered)
    if missing:
        names = " and ".join(f"`{name}`" for name in missing)
        return f"no worker offers {names}, which agent `{agent}` requires: start one with `--capability {missing[0]}`"
    if any(agent in worker.lacking for worker in there):
        return f"no worker that knows agent `{agent}` offers everything that it requires"
    return f"no worker does agent `{agent}`: start one that knows it, with `--agents {agent}` or without `--agents`"


def _describe_state(worker: WorkerRecord) -> str:
    if worker.state == "working":
        return f"{len(worker.runs)} of {worker.concurrency} runs at once"
    return f"{worker.state} ({worker.why})" if worker.why else worker.state


def _count(number: int) -> str:
    return "there is 1 worker" if number == 1 else f"there are {number} workers"


async def read_rows(values: KeyValue) -> list[WorkerRecord]:
    """Read what the workers that are there say of themselves, oldest first; `list_workers` adds what they do.

    Raises:
        Unavailable: The store cannot be reached.
    """
    found = list[WorkerRecord]()
    after = ""
    while entries := await values.scan(PREFIX, after=after, limit=PAGE):
        for entry in entries:
            with suppress(msgspec.DecodeError, UnicodeDecodeError):  # it hides no other worker
                found.append(_read(entry))
        after = entries[-1].key
    return found


def _read(entry: Entry) -> WorkerRecord:
    return structs.replace(msgspec.json.decode(entry.value, type=WorkerRecord), seen=entry.updated)


def _complete(record: WorkerRecord, runs: Sequence[str], *, is_lost: bool) -> WorkerRecord:
    if is_lost:
        return structs.replace(record, runs=tuple(runs), state="lost", why="others declared it dead")
    return structs.replace(record, runs=tuple(runs))


async def _find_runs(log: Log) -> dict[str, list[str]]:
    """Find the runs under way by their owner, oldest first."""
    found = dict[str, list[str]]()
    before: str | None = None
    for _ in range(MAX_RUNS // RUN_PAGE):
        page: list[RunSummary] = await log.list_runs(status="running", order="oldest", before=before, limit=RUN_PAGE)
        for summary in page:
            if summary.owner:
                found.setdefault(summary.owner, []).append(summary.run)
        if len(page) < RUN_PAGE:
            break
        before = page[-1].run
    return found
