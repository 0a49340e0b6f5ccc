"""Is what is erased really gone, can that be shown later, and does nothing else go with it?"""

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from tests.unit.state.backup.filling import build_run, snapshot

from quorate.errors import Conflict, CorruptState, InvalidInput, NotFound
from quorate.events import RunCompleted
from quorate.ports import Store
from quorate.state.artifacts.access import Caller, Share
from quorate.state.artifacts.store import ArtifactStore
from quorate.state.audit import AuditFilter, AuditTrail
from quorate.state.backends.memory import open_memory_store
from quorate.state.backup import create_backup, restore_backup
from quorate.state.erasure import Eraser, read_certificate, verify_erasure
from quorate.state.erasure.certificate import encode_certificate
from quorate.state.places import ScopeRef, build_key, build_submission_place
from quorate.state.sessions.store import SessionStore
from quorate.testing.clock import ManualClock

PAGE = 200


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


def build_runs(run: str, *, principal: str, session: str | None = None, tenant: str = "acme", key: str | None = None):
    events = build_run(run, session=session, tenant=tenant)
    return [msgspec.structs.replace(events[0], principal=principal, idempotency_key=key), *events[1:]]


@pytest.fixture
async def store(clock: ManualClock) -> AsyncIterator[Store]:
    """Two people with sessions, runs, artifacts and values; a second tenant with the same names."""
    async with open_memory_store(clock=clock, outbox=True) as opened:
        artifacts = ArtifactStore(opened.values, opened.blobs, clock=clock)
        sessions = SessionStore(opened.values, opened.log, clock=clock)
        for who in ("ada", "bob"):
            await sessions.create(
                f"talk-{who}", tenant="acme", principal=who, shared_with=["bob" if who == "ada" else "ada"]
            )
            for number, session in enumerate([f"talk-{who}", f"talk-{who}", None]):
                run = f"run-{who}-{number}"
                await opened.log.append(
                    run, build_runs(run, principal=who, session=session, key=f"k-{run}"), expected=0
                )
                caller = Caller(tenant="acme", principal=who, session=session, run=run)
                mine = await artifacts.save(f"words of {who} {number}", f"{run} says" * 3000, caller=caller)
                await artifacts.save("same", b"the same bytes for all", caller=caller)
                other = Share(kind="principal", who="bob" if who == "ada" else "ada")
                await artifacts.share(mine.id, other, caller=caller)
                await opened.values.put(build_key(ScopeRef(scope="run", tenant="acme", id=run), "x"), b"1")
                await opened.values.put(build_submission_place("acme", who, f"k-{run}"), b"{}")
            await opened.values.put(build_key(ScopeRef(scope="user", tenant="acme", id=who), "x"), b"1")
            await opened.values.put(build_key(ScopeRef(scope="session", tenant="acme", id=f"talk-{who}"), "x"), b"1")
        await opened.log.append("run-other", build_runs("run-other", principal="ada", tenant="zeta"), expected=0)
        yield opened


@pytest.fixture
def trail(store: Store, clock: ManualClock) -> AuditTrail:
    return AuditTrail(store.values, clock=clock, tenant="acme")


@pytest.fixture
def eraser(store: Store, clock: ManualClock, trail: AuditTrail) -> Eraser:
    return Eraser(store, tenant="acme", clock=clock, audit=trail)


async def dump(store: Store) -> bytes:
    """Everything a store has outside the audit trail, as bytes."""
    whole = await snapshot(store)
    return b"".join(
        key.encode() + (value if isinstance(value, bytes) else msgspec.json.encode(value))
        for key, value in whole.items()
        if not key.startswith("value audit/")
    )


async def test_a_run_is_erased(store: Store, eraser: Eraser, trail: AuditTrail) -> None:
    """Its log, artifacts, values and submission are gone; the other runs of its session are not."""
    certificate = await eraser.erase_run("run-ada-0", by="dpo", reason="asked to")
    assert certificate.counts == {"run": 1, "session": 0, "artifact": 2, "value": 1, "blob": 1}
    assert (certificate.events, certificate.kept_blobs) == (6, 1)
    assert b"run-ada-0" not in await dump(store)
    assert await store.log.last("run-ada-1") == 6
    assert "run-ada-0" not in {notice.run for notice in await store.outbox.pending(limit=1000)}
    report = await verify_erasure(store, certificate, audit=trail)
    assert (report.ok, report.recorded, report.found) == (True, True, ())
    assert report.searched > 20
    (row,) = await trail.read()
    assert (row.action, row.principal, row.reason, row.outcome) == ("run.erase", "dpo", "asked to", "done")
    assert row.facts["certificate"] == certificate.digest


async def test_a_session_is_erased(store: Store, eraser: Eraser, trail: AuditTrail) -> None:
    """Its record, runs, artifacts and values go; its owner's other runs stay."""
    certificate = await eraser.erase_session("talk-ada", by="dpo")
    assert certificate.counts["run"] == 2
    assert certificate.counts["session"] == 1
    left = await dump(store)
    assert b"talk-ada" not in left
    assert b"run-ada-2" in left
    assert (await verify_erasure(store, certificate, audit=trail)).ok


async def test_a_principal_is_erased(store: Store, eraser: Eraser, trail: AuditTrail) -> None:
    """Everything of somebody in a tenant goes, their name in what others shared with them included; no more than that."""
    before = await snapshot(store)
    certificate = await eraser.erase_principal("ada", by="dpo", reason="article 17")
    assert certificate.counts["run"] == 3
    left = await snapshot(store)
    text = await dump(store)
    for words in (b'"ada"', b"talk-ada", b"run-ada", b"words of ada"):
        places = [
            key
            for key, value in left.items()
            if words in (value if isinstance(value, bytes) else msgspec.json.encode(value))
        ]
        assert [
            place for place in places if place not in ("run run-other",) and not place.startswith("value audit/")
        ] in (
            [],
            [place for place in places if "artifact/acme/id/" in place],
        ), words
    assert b"run-bob-0" in text
    assert left["run run-other"] == before["run run-other"]
    for number in range(3):
        assert left[f"run run-bob-{number}"] == before[f"run run-bob-{number}"]
    artifacts = ArtifactStore(store.values, store.blobs, clock=ManualClock())
    for number, session in enumerate(["talk-bob", "talk-bob", None]):
        caller = Caller(tenant="acme", principal="bob", session=session, run=f"run-bob-{number}")
        assert await artifacts.load("same", caller=caller) == b"the same bytes for all"
    assert (await verify_erasure(store, certificate, audit=trail)).ok


async def test_what_comes_back_is_found(
    store: Store, eraser: Eraser, trail: AuditTrail, tmp_path: Path, clock: ManualClock
) -> None:
    """Restoring an older backup brings back what was erased, and the certificate tells."""
    path = tmp_path / "before.backup"
    await create_backup(store, path, clock=clock)
    certificate = await eraser.erase_run("run-ada-2", by="dpo")
    await restore_backup(store, path, clock=clock, into_nonempty=True)
    report = await verify_erasure(store, certificate, audit=trail)
    assert not report.ok
    assert report.recorded
    assert "run run-ada-2" in report.found
    again = await eraser.erase_run("run-ada-2", by="dpo")
    assert (await verify_erasure(store, certificate, audit=trail)).ok
    assert (await verify_erasure(store, again, audit=trail)).ok


async def test_a_certificate_tells_no_ids_and_cannot_be_changed(
    store: Store, eraser: Eraser, trail: AuditTrail
) -> None:
    """It is written and read as JSON; none of what was erased stands in it; a changed one is not the one recorded."""
    certificate = await eraser.erase_session("talk-ada", by="dpo")
    text = encode_certificate(certificate)
    for words in (b"run-ada", b"talk-ada", b"art-"):
        assert words not in text
    assert read_certificate(text) == certificate
    forged = msgspec.structs.replace(certificate, by="mallory")
    assert not (await verify_erasure(store, forged, audit=trail)).recorded
    shorter = msgspec.structs.replace(certificate, hashes={**certificate.hashes, "run": ()})
    assert not (await verify_erasure(store, shorter, audit=trail)).ok
    rows = await trail.read(match=AuditFilter(action="session.erase"))
    assert b"talk-ada" not in msgspec.json.encode(rows)
    with pytest.raises(InvalidInput):
        read_certificate(b"{}")
    with pytest.raises(CorruptState, match="format 2"):
        read_certificate(encode_certificate(msgspec.structs.replace(certificate, format=2)))


@pytest.mark.parametrize("what", ["run", "session", "principal"])
async def test_what_is_under_way_is_refused(store: Store, eraser: Eraser, trail: AuditTrail, what: str) -> None:
    """Runs that have not ended must be cancelled first; nothing is deleted, and the refusal is written down."""
    events = build_runs("run-live", principal="ada", session="talk-ada")[:-1]
    await store.log.append("run-live", events, expected=0)
    before = await snapshot(store)
    name = {"run": "run-live", "session": "talk-ada", "principal": "ada"}[what]
    with pytest.raises(Conflict, match="quorate runs cancel"):
        await getattr(eraser, f"erase_{what}")(name, by="dpo")
    left = {key: value for key, value in (await snapshot(store)).items() if not key.startswith("value audit/")}
    assert left == before
    (row,) = await trail.read()
    assert (row.action, row.outcome, row.reason) == (f"{what}.erase", "refused", "conflict")
    await store.log.append("run-live", [RunCompleted(run="run-live", seq=6, time=40.0, output="x")], expected=5)
    await getattr(eraser, f"erase_{what}")(name, by="dpo")


async def test_what_others_go_on_from_is_refused(store: Store, eraser: Eraser, clock: ManualClock) -> None:
    """A session that another one was forked from stays until that one is erased."""
    sessions = SessionStore(store.values, store.log, clock=clock)
    await sessions.fork("talk-ada", "run-ada-1", tenant="acme", principal="bob", name="fork")
    with pytest.raises(Conflict, match="'fork' goes on from session 'talk-ada'"):
        await eraser.erase_session("talk-ada", by="dpo")
    await eraser.erase_session("fork", by="dpo")
    await eraser.erase_session("talk-ada", by="dpo")


@pytest.mark.parametrize("what", ["run", "session", "principal"])
async def test_others_and_absent_ones_are_not_found(eraser: Eraser, store: Store, what: str) -> None:
    """Another tenant's run is absent, in the same words as one that never was."""
    with pytest.raises(NotFound) as absent:
        await getattr(eraser, f"erase_{what}")("nothing", by="dpo")
    if what == "run":
        with pytest.raises(NotFound) as foreign:
            await eraser.erase_run("run-other", by="dpo")
        assert foreign.value.message.replace("run-other", "nothing") == absent.value.message
        assert await store.log.last("run-other")


async def test_a_preview_deletes_nothing(store: Store, eraser: Eraser) -> None:
    """It tells what would go, and refuses what would be refused."""
    before = await snapshot(store)
    found = await eraser.preview("principal", "ada")
    assert (len(found.runs), len(found.sessions), len(found.artifacts)) == (3, 1, 6)
    assert await snapshot(store) == before
    with pytest.raises(NotFound):
        await eraser.preview("session", "none")
