"""What does a store keep of a run, a session or a principal?"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import aclosing, suppress
from urllib.parse import quote

import msgspec
from msgspec import Struct, structs

from quorate.clock import Clock
from quorate.errors import CorruptState, NotFound
from quorate.events import RunCreated, RunSummary
from quorate.ports import ArtifactInfo, Store
from quorate.state.archive.reading import scan_runs
from quorate.state.artifacts.access import Caller, Record
from quorate.state.artifacts.names import Keys
from quorate.state.artifacts.search import scan_records
from quorate.state.artifacts.store import ArtifactStore
from quorate.state.places import ScopeRef, build_decision_prefix, build_prefix, build_submission_place
from quorate.state.sessions.records import Records
from quorate.state.sessions.session import Session
from quorate.state.webhooks import DONE, DUE, build_hook_prefix, build_run_prefix

ENDED = ("completed", "failed", "cancelled", "incomplete")
PAGE = 200
ANSWERS = ("responses", "http/answers", "http/once")
"""Where answers are kept that were given over HTTP: rooms, each of which goes on with tenant and principal."""
TRUST = "trust"
"""Where it is kept what turned out true of decisions, and how far those are trusted who voted, people among them."""
MEMORY_PRINCIPAL = 7
"""Which part of a memory's key, `memory/tenant/place/owner/space/kind/memory/principal/agent`, says who said it."""


class Inventory(Struct, frozen=True, kw_only=True):
    """Everything that is kept of what is to be erased, by the keys it is found under."""

    runs: tuple[RunSummary, ...] = ()
    sessions: tuple[str, ...] = ()
    artifacts: tuple[ArtifactInfo, ...] = ()
    values: tuple[str, ...] = ()
    """Keys of stored values and of shares."""
    traces: tuple[str, ...] = ()
    """Keys that say that there was something, and that somebody else's may be kept under later: of remembered
    submissions, of the versions of artifacts, and of what webhooks were told."""
    blobs: tuple[str, ...] = ()
    """Names of blobs with bytes of the artifacts; they go unless another artifact has the same bytes."""

    def count(self) -> int:
        """Count all of it."""
        return sum(map(len, (self.runs, self.sessions, self.artifacts, self.values, self.traces)))


class _Said(Struct, frozen=True):
    by: str = ""


class _Outcome(Struct, frozen=True):
    """As much of what turned out true of a decision as says whose it is."""

    run: str = ""
    said: tuple[_Said, ...] = ()


class Surveyor:
    """Finds what a store keeps of something, and deletes it."""

    def __init__(self, store: Store, *, tenant: str, clock: Clock) -> None:
        self.tenant = tenant
        self.records = Records(store.values)
        self._store = store
        self._artifacts = ArtifactStore(store.values, store.blobs, clock=clock)
        self._operator = Caller(tenant=tenant, operator=True)

    async def find_run(self, run: str) -> Inventory:
        """Find what there is of a run: its log, its artifacts, its values.

        Raises:
            NotFound: There is no such run, for this tenant.
        """
        events = await self._store.log.read(run, limit=1)
        first = events[0] if events else None
        if not isinstance(first, RunCreated) or first.tenant != self.tenant:
            raise NotFound(f"There is no run {run!r}: list them with `quorate runs list`.", run=run)
        runs = [one async for one in self.list_runs(lambda summary: summary.run == run, session=first.session)]
        return await self._find(runs, (), lambda info: info.run == run)

    async def find_session(self, session: str) -> Inventory:
        """Find what there is of a session: its record, its runs and all that is theirs.

        Raises:
            NotFound: There is no such session, for this tenant.
        """
        runs = [one async for one in self.list_runs(lambda summary: summary.session == session, session=session)]
        has_record = await self._store.values.get(f"session/{self.tenant}/{session}") is not None
        ids = {summary.run for summary in runs}
        found = await self._find(
            runs, (session,) if has_record else (), lambda info: info.session == session or info.run in ids
        )
        prefixes = (
            build_prefix(ScopeRef(scope="session", tenant=self.tenant, id=session)),
            Keys(self.tenant).of_share("session", session),
            *self._list_memory_prefixes("session", session),
        )
        found = await self._add_values(found, prefixes)
        if not found.count():
            raise NotFound(f"There is no session {session!r}: list them with `quorate sessions list`.", session=session)
        return found

    async def find_principal(self, principal: str) -> Inventory:
        """Find what there is of a principal: runs, sessions with all their runs, artifacts, values, and shares.

        Raises:
            NotFound: There is nothing, for this tenant.
        """
        sessions = [name async for name, record in self._scan_sessions() if record.principal == principal]
        owned = frozenset(sessions)
        runs = [
            one
            async for one in self.list_runs(
                lambda summary: summary.principal == principal or (summary.session or "") in owned
            )
        ]
        ids = {summary.run for summary in runs}
        found = await self._find(
            runs,
            sessions,
            lambda info: info.principal == principal or info.session in owned or info.run in ids,
        )
        prefixes = [
            build_prefix(ScopeRef(scope="user", tenant=self.tenant, id=principal)),
            Keys(self.tenant).of_share("principal", principal),
            *(f"{room}/{self.tenant}/{principal}/" for room in ANSWERS),
            f"{TRUST}/{self.tenant}/member/person:{quote(principal, safe='@:+')}/",
            *[key async for key in self.find_outcomes(lambda found: any(one.by == principal for one in found.said))],
        ]
        for session in sessions:
            prefixes.append(build_prefix(ScopeRef(scope="session", tenant=self.tenant, id=session)))
            prefixes.append(Keys(self.tenant).of_share("session", session))
            prefixes += self._list_memory_prefixes("session", session)
        found = await self._add_values(found, prefixes)
        said = [key async for key in self._find_memories(principal)]
        found = structs.replace(found, values=tuple(dict.fromkeys((*found.values, *said))))
        if not found.count():
            raise NotFound(f"There is nothing of principal {principal!r}.")
        return found

    async def list_runs(
        self, fits: Callable[[RunSummary], bool], *, session: str | None = None
    ) -> AsyncGenerator[RunSummary]:
        """Yield the tenant's runs that fit; with `session`, only those of it are looked at."""
        if session is not None:
            before: str | None = None
            while page := await self._store.log.list_runs(
                tenant=self.tenant, session=session, order="oldest", before=before, limit=PAGE
            ):
                for summary in page:
                    if fits(summary):
                        yield summary
                before = page[-1].run
            return
        async with aclosing(scan_runs(self._store.log, tenant=self.tenant)) as pages:
            async for page in pages:
                for summary in page:
                    if fits(summary):
                        yield summary

    async def delete_artifact(self, info: ArtifactInfo) -> None:
        """Delete an artifact, and its bytes unless another one has the same."""
        with suppress(NotFound):
            await self._artifacts.delete(info.id, caller=self._operator)

    async def scan_artifacts(self) -> AsyncGenerator[Record]:
        """Yield the tenant's artifacts."""
        async with aclosing(scan_records(self._artifacts, (Keys(self.tenant).of_handle(""),))) as found:
            async for _, record in found:
                yield record

    async def find_run_artifacts(self, run: str) -> list[Record]:
        """Find what a run that belongs to no session saved."""
        prefix, found = Keys(self.tenant).of_home(f"run/{run}"), list[Record]()
        async with aclosing(scan_records(self._artifacts, (prefix,))) as records:
            async for _, record in records:
                # Under the handle is the truth; what stands under the name was written when it was saved.
                with suppress(NotFound):
                    found.append(await self._artifacts.show(record.info.id, caller=self._operator))
        return found

    async def find_run_values(self, run: str) -> list[str]:
        """Find the keys of a run's own values, and of what its agents had at hand."""
        values = build_prefix(ScopeRef(scope="run", tenant=self.tenant, id=run))
        prefixes = (values, build_decision_prefix(self.tenant, run), *self._list_memory_prefixes("run", run))
        return [key for prefix in prefixes async for key in scan_keys(self._store, prefix)]

    async def find_submission(self, run: str) -> list[str]:
        """Find the key under which it is remembered that a run was submitted, if it is."""
        events = await self._store.log.read(run, limit=1)
        if not events or not isinstance(events[0], RunCreated) or events[0].idempotency_key is None:
            return []
        key = build_submission_place(self.tenant, events[0].principal, events[0].idempotency_key)
        return [key] if await self._store.values.get(key) is not None else []

    async def find_outcomes(self, fits: Callable[[_Outcome], bool]) -> AsyncGenerator[str]:
        """Yield the keys of what turned out true of decisions."""
        after, prefix = "", f"{TRUST}/{self.tenant}/outcome/"
        while entries := await self._store.values.scan(prefix, after=after, limit=PAGE):
            for entry in entries:
                with suppress(msgspec.DecodeError):
                    if fits(msgspec.json.decode(entry.value, type=_Outcome)):
                        yield entry.key
            after = entries[-1].key

    async def find_deliveries(self, run: str) -> list[str]:
        """Find the keys of what webhooks were told of a run, or are still to be told."""
        prefix, found = build_hook_prefix(self.tenant), list[str]()
        async for hook in scan_keys(self._store, prefix):
            for room in (DUE, DONE):
                place = build_run_prefix(room, self.tenant, hook.removeprefix(prefix), run)
                found += [key async for key in scan_keys(self._store, place)]
        return found

    def _list_memory_prefixes(self, place: str, owner: str) -> tuple[str, str]:
        """List what the keys begin with of what was at hand in a run or session: everybody's in it, and each one's."""
        return f"memory/{self.tenant}/{place}/{owner}/", f"memory/{self.tenant}/{place}/{owner}."

    async def _find_memories(self, principal: str) -> AsyncGenerator[str]:
        async for key in scan_keys(self._store, f"memory/{self.tenant}/"):
            parts = key.split("/")
            if len(parts) > MEMORY_PRINCIPAL and parts[MEMORY_PRINCIPAL] == principal:
                yield key

    async def _find(
        self, runs: Iterable[RunSummary], sessions: Iterable[str], fits: Callable[[ArtifactInfo], bool]
    ) -> Inventory:
        chosen, values, traces, blobs = list(runs), list[str](), list[str](), dict[str, None]()
        for summary in chosen:
            values += await self.find_run_values(summary.run)
            traces += await self.find_submission(summary.run)
            traces += await self.find_deliveries(summary.run)
        ids = {summary.run for summary in chosen}
        values += [key async for key in self.find_outcomes(lambda found: found.run in ids)]
        artifacts, keys = list[ArtifactInfo](), Keys(self.tenant)
        async for record in self.scan_artifacts():
            info = record.info
            if fits(info):
                artifacts.append(info)
                traces += [keys.of_version(record.home, info.name, info.version), keys.of_run(info.run, info.id)]
                traces += [keys.of_share(share.kind, share.who, info.id) for share in record.shares]
                blobs.update(dict.fromkeys(await self._find_blob(info.digest)))
        return Inventory(
            runs=tuple(chosen),
            sessions=tuple(sessions),
            artifacts=tuple(artifacts),
            values=tuple(values),
            traces=tuple(traces),
            blobs=tuple(blobs),
        )

    async def _find_blob(self, digest: str) -> list[str]:
        with suppress(CorruptState):  # what cannot be read is deleted with its row
            held = await self._artifacts.vault.find(self.tenant, digest)
            if held is not None and held.row.blob:
                return [held.row.blob]
        return []

    async def _add_values(self, found: Inventory, prefixes: Iterable[str]) -> Inventory:
        keys = [key for prefix in prefixes async for key in scan_keys(self._store, prefix)]
        return structs.replace(found, values=tuple(dict.fromkeys((*found.values, *keys))))

    async def _scan_sessions(self) -> AsyncGenerator[tuple[str, Session]]:
        async for name, record in self.records.scan(self.tenant):
            if record is not None:
                yield name, record


async def scan_keys(store: Store, prefix: str) -> AsyncGenerator[str]:
    """Yield the keys that begin so."""
    after = ""
    while entries := await store.values.scan(prefix, after=after, limit=PAGE):
        for entry in entries:
            yield entry.key
        after = entries[-1].key
