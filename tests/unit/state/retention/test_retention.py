"""Are exactly those runs taken that a policy does not keep, and nothing that others need?"""

from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.state.backup.filling import build_run, snapshot

from quorate.errors import InvalidInput
from quorate.events import ArtifactSaved, RunCompleted, RunSummary, Status
from quorate.ports import Store
from quorate.state.archive.lines import encode_line
from quorate.state.artifacts.access import Caller, Share
from quorate.state.artifacts.store import ArtifactStore
from quorate.state.artifacts.upkeep import collect_garbage
from quorate.state.audit import AuditTrail
from quorate.state.backends.memory import open_memory_store
from quorate.state.places import ScopeRef, build_key
from quorate.state.retention import RetentionPlan, RetentionPolicy, plan_retention, prune_runs
from quorate.state.sessions.store import SessionStore
from quorate.testing.clock import ManualClock

ENDED = ("completed", "failed", "cancelled", "incomplete")
STATUSES: tuple[Status, ...] = ("queued", "running", "waiting", "completed", "failed", "cancelled", "incomplete")


@st.composite
def summaries(draw: st.DrawFn) -> list[RunSummary]:
    """Runs of some tenants and sessions, in all states and of any age."""
    return [
        RunSummary(
            run=f"run-{number:03}",
            agent="net",
            status=draw(st.sampled_from(STATUSES)),
            created=0.0,
            updated=float(draw(st.integers(0, 50))),
            events=3,
            tenant=draw(st.sampled_from(["acme", "zeta"])),
            session=draw(st.sampled_from([None, None, None, "s1", "s2"])),
        )
        for number in range(draw(st.integers(0, 25)))
    ]


policies = st.builds(
    RetentionPolicy,
    max_age_s=st.none() | st.integers(0, 60).map(float),
    max_runs=st.none() | st.integers(0, 20),
    max_bytes=st.none() | st.integers(0, 3000),
    statuses=st.lists(st.sampled_from(ENDED), unique=True, max_size=3).map(tuple),
)
SIZES = {f"run-{number:03}": 100 + number for number in range(30)}


def plan(runs: list[RunSummary], policy: RetentionPolicy, **options: object) -> RetentionPlan:
    return plan_retention(runs, policy, now=50.0, sizes=SIZES, **options)  # type: ignore[arg-type]


@given(summaries(), policies, st.randoms())
def test_what_is_never_taken_stays(runs: list[RunSummary], policy: RetentionPolicy, random) -> None:
    """Runs under way, with another status, of held sessions, and parts of a session are never taken."""
    held = frozenset({("acme", "s1")})
    found = plan(runs, policy, held_sessions=held)
    taken = {one.run.run for one in found.taken}
    assert len(taken) == len(found.taken)
    for run in runs:
        if run.run not in taken:
            continue
        assert run.status in (policy.statuses or ENDED)
        assert (run.tenant, run.session) not in held
        if run.session:
            beside = [one for one in runs if (one.tenant, one.session) == (run.tenant, run.session)]
            assert {one.run for one in beside} <= taken
    shuffled = list(runs)
    random.shuffle(shuffled)
    assert plan(shuffled, policy, held_sessions=held) == found


@given(summaries(), policies)
def test_what_can_be_taken_fits_afterwards(runs: list[RunSummary], policy: RetentionPolicy) -> None:
    """What stays is within every bound, or nothing that stays over it may be taken; doing it again takes nothing."""
    found = plan(runs, policy)
    taken = {one.run.run for one in found.taken}
    left = [run for run in runs if run.run not in taken]
    again = plan(left, policy)
    assert again.taken == ()
    wanted = policy.statuses or ENDED
    for tenant in ("acme", "zeta"):
        free = [run for run in left if run.tenant == tenant and run.session is None and run.status in wanted]
        if policy.max_age_s is not None:
            assert all(run.updated >= 50.0 - policy.max_age_s for run in free)
        if policy.max_runs is not None and free:
            stuck = found.held
            assert len(free) <= policy.max_runs or stuck == 0


@given(summaries(), policies)
def test_nothing_is_taken_needlessly(runs: list[RunSummary], policy: RetentionPolicy) -> None:
    """Of runs without a session, no younger one goes by count or size while an older one stays."""
    found = plan(runs, policy)
    taken = {one.run.run for one in found.taken}
    for one in found.taken:
        if one.why == "age" or one.run.session:
            continue
        for other in runs:
            same = other.tenant == one.run.tenant and other.session is None
            if same and other.status in (policy.statuses or ENDED) and other.updated < one.run.updated:
                assert other.run in taken


@given(summaries())
def test_a_policy_without_bounds_takes_nothing(runs: list[RunSummary]) -> None:
    """What is not bounded is kept for ever."""
    assert plan(runs, RetentionPolicy()).taken == ()


@given(summaries(), policies)
def test_tenants_do_not_take_from_each_other(runs: list[RunSummary], policy: RetentionPolicy) -> None:
    """What one tenant has is planned as if there were no other."""
    whole = {one.run.run for one in plan(runs, policy).taken}
    apart = {
        one.run.run
        for tenant in ("acme", "zeta")
        for one in plan([r for r in runs if r.tenant == tenant], policy).taken
    }
    assert whole == apart


def test_the_count_is_met_exactly_by_the_oldest() -> None:
    """Of ten runs with room for four, the six oldest go."""
    runs = [
        RunSummary(run=f"run-{n}", agent="a", status="completed", created=0, updated=float(n), events=1)
        for n in range(10)
    ]
    found = plan(runs, RetentionPolicy(max_runs=4))
    assert [one.run.run for one in found.taken] == [f"run-{n}" for n in range(6)]
    assert (found.kept, found.held, {one.why for one in found.taken}) == (4, 0, {"count"})


@pytest.mark.parametrize(
    "options",
    [{"max_age_s": -1.0}, {"max_runs": -1}, {"max_bytes": -5}, {"statuses": ("running",)}, {"max_age_s": float("nan")}],
)
def test_a_policy_that_makes_no_sense_is_refused(options: dict[str, object]) -> None:
    """Negative bounds, and states that are no end, are named."""
    with pytest.raises(InvalidInput):
        RetentionPolicy(**options)  # type: ignore[arg-type]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def store(clock: ManualClock) -> AsyncIterator[Store]:
    async with open_memory_store(clock=clock) as opened:
        yield opened


async def test_by_age_count_and_size(store: Store, clock: ManualClock) -> None:
    """Each bound takes the oldest ended runs of a store, and only those."""
    clock.jump(40.0 - clock.now())
    for number in range(10):
        await store.log.append(f"run-{number}", build_run(f"run-{number}"), expected=0)
    await store.log.append("run-live", build_run("run-live", end=False), expected=0)
    size = sum(len(encode_line(event)) for event in await store.log.read("run-0"))

    async def prune(**bounds: object) -> list[str]:
        await prune_runs(store, RetentionPolicy(**bounds), clock=clock, tenant="acme")  # type: ignore[arg-type]
        return sorted(one.run for one in await store.log.list_runs(limit=100))

    assert await prune(max_runs=8) == [*(f"run-{n}" for n in range(2, 10)), "run-live"]
    assert await prune(max_bytes=size * 5 + 10) == [*(f"run-{n}" for n in range(5, 10)), "run-live"]
    assert len(await prune(max_age_s=60.0)) == 6
    clock.advance(100)
    assert await prune(max_age_s=60.0) == ["run-live"]


async def test_notices_of_runs_that_went_go_too(clock: ManualClock) -> None:
    """Where nobody is told, an outbox is no larger than its log; what is left to be told stays."""
    async with open_memory_store(clock=clock, outbox=True) as store:
        for number in range(4):
            await store.log.append(f"run-{number}", build_run(f"run-{number}"), expected=0)
        await prune_runs(store, RetentionPolicy(max_runs=1), clock=clock, tenant="acme")
        assert {notice.run for notice in await store.outbox.pending()} == {"run-3"}


async def test_a_dry_run_deletes_nothing(store: Store, clock: ManualClock) -> None:
    """It says what would go, and why."""
    await store.log.append("run-1", build_run("run-1"), expected=0)
    before = await snapshot(store)
    report = await prune_runs(store, RetentionPolicy(max_age_s=1.0), clock=clock, dry_run=True)
    assert [(one.run.run, one.why) for one in report.plan.taken] == [("run-1", "age")]
    assert report.runs == 0
    assert await snapshot(store) == before


async def test_what_only_the_run_had_goes_with_it(store: Store, clock: ManualClock) -> None:
    """Values and private artifacts go; what a session, the tenant or somebody else has stays."""
    for run in ("run-1", "run-2"):
        await store.log.append(run, build_run(run, end=False, session=None), expected=0)
        await store.log.append(run, [RunCompleted(run=run, seq=6, time=30.0, output="ok")], expected=5)
        await store.values.put(build_key(ScopeRef(scope="run", tenant="acme", id=run), "notes"), b"1")
    artifacts = ArtifactStore(store.values, store.blobs, clock=clock)
    caller = Caller(tenant="acme", principal="ada", run="run-1")
    private = await artifacts.save("private", b"p" * 100, caller=caller)
    given = await artifacts.save("given", b"g", caller=caller)
    await artifacts.share(given.id, Share(kind="principal", who="bob"), caller=caller)
    public = await artifacts.save("public", b"t", caller=caller, access="tenant")
    await store.values.put("state/acme/tenant/_/answer", b"42")
    trail = AuditTrail(store.values, clock=clock, tenant="acme")
    report = await prune_runs(store, RetentionPolicy(max_runs=1), clock=clock, tenant="acme", audit=trail, by="cron")
    assert (report.runs, report.artifacts) == (1, 1)
    operator = Caller(tenant="acme", operator=True)
    assert await artifacts.find(private.id, caller=operator) is None
    assert await artifacts.find(given.id, caller=operator) is not None
    assert await artifacts.find(public.id, caller=operator) is not None
    keys = [entry.key for entry in await store.values.scan("state/")]
    assert keys == ["state/acme/run/run-2/notes", "state/acme/tenant/_/answer"]
    (row,) = await trail.read()
    assert (row.action, row.object, row.principal, row.reason) == (
        "run.delete",
        "run/run-1",
        "cron",
        "retention: count",
    )
    await collect_garbage(artifacts, "acme")
    assert await artifacts.load(given.id, caller=operator) == b"g"


async def test_sessions_that_go_on_keep_their_runs(store: Store, clock: ManualClock) -> None:
    """The conversation of a session is taken whole once the session has ended and nobody goes on from it."""
    sessions = SessionStore(store.values, store.log, clock=clock)
    artifacts = ArtifactStore(store.values, store.blobs, clock=clock)
    for name in ("open", "done", "parent"):
        await sessions.create(name, tenant="acme", principal="ada")
        for number in range(2):
            run = f"run-{name}-{number}"
            before = f"run-{name}-0" if number else ""
            await store.log.append(run, build_run(run, session=name, previous=before), expected=0)
    caller = Caller(tenant="acme", principal="ada", session="done", run="run-done-0")
    kept = await artifacts.save("kept", b"x", caller=caller)
    saved = ArtifactSaved(
        run="run-lone",
        seq=6,
        time=12.0,
        artifact=kept.id,
        name="kept",
        media_type=kept.media_type,
        size=1,
        digest=kept.digest,
    )
    await store.log.append("run-lone", [*build_run("run-lone", end=False), saved], expected=0)
    for name in ("done", "parent"):
        await sessions.complete(name, tenant="acme", principal="ada")
    await sessions.fork("parent", "run-parent-1", tenant="acme", principal="ada", name="child")
    report = await prune_runs(store, RetentionPolicy(max_runs=0), clock=clock)
    left = sorted(one.run for one in await store.log.list_runs(limit=100))
    assert left == ["run-lone", "run-open-0", "run-open-1", "run-parent-0", "run-parent-1"]
    assert report.plan.held == 4
    assert await artifacts.find(kept.id, caller=Caller(tenant="acme", operator=True)) is not None


async def test_a_session_that_somebody_went_on_with_meanwhile_stays(store: Store, clock: ManualClock) -> None:
    """Between planning and deleting a new turn may come: then nothing of the session goes."""
    for number in range(2):
        await store.log.append(f"run-{number}", build_run(f"run-{number}", session="s"), expected=0)
    done = False

    async def come() -> None:
        await store.log.append("run-9", build_run("run-9", session="s", end=False), expected=0)

    class Late:
        """A log in which a run comes once all were listed."""

        def __getattr__(self, name: str) -> object:
            return getattr(store.log, name)

        async def list_runs(self, **options: object) -> list[RunSummary]:
            nonlocal done
            if options.get("session") is not None and not done:
                done = True
                await come()
            return await store.log.list_runs(**options)  # type: ignore[arg-type]

    import msgspec

    late = msgspec.structs.replace(store, log=Late())
    report = await prune_runs(late, RetentionPolicy(max_runs=0), clock=clock)
    assert (report.runs, report.skipped) == (0, 2)
    assert len(await store.log.list_runs()) == 3
