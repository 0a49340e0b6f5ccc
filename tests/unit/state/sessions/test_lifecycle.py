"""What may become of a session, and what happens when it ends?"""

import asyncio
from itertools import product
from typing import get_args

import pytest
from msgspec import structs
from tests.unit.state.sessions.doubles import ANN, HOUR, Desk, Journal, open_desk

from quorate.errors import Conflict, Forbidden, InvalidInput, NotFound, TooLarge
from quorate.state.sessions import TRANSITIONS, CleanupHook, Session, SessionLimits, SessionStatus
from quorate.state.sessions.records import Records

STATUSES: tuple[SessionStatus, ...] = get_args(SessionStatus)
VERBS = {"suspended": "suspend", "active": "resume", "completed": "complete", "failed": "fail", "archived": "archive"}


async def bring_to(desk: Desk, status: SessionStatus) -> Session:
    """A session that stands as asked."""
    session = await desk.sessions.create("s-1", **ANN)
    return session if status == "active" else await getattr(desk.sessions, VERBS[status])("s-1", **ANN)


class TestCreate:
    async def test_everything_given_is_kept(self, desk: Desk) -> None:
        """row: E6 — what a session is created with is what is found later, by another process too."""
        limits = SessionLimits(max_runs=3, max_age_s=HOUR)
        made = await desk.sessions.create(
            "s-1",
            **ANN,
            title="Slow shop",
            tags=["shop", "slow", "shop"],
            metadata={"ticket": 7, "deep": {"list": [1, None]}},
            limits=limits,
            shared_with=["bob"],
        )
        assert made.status == "active"
        assert made.tags == ("shop", "slow")
        assert made.expires == desk.clock.now() + HOUR
        assert await desk.again().sessions.get("s-1", **ANN) == made

    async def test_an_id_is_made_where_none_is_given(self, desk: Desk) -> None:
        made = await desk.sessions.create(**ANN)
        assert made.id.startswith("session-")

    async def test_an_id_is_used_once(self, desk: Desk) -> None:
        await desk.sessions.create("s-1", **ANN)
        with pytest.raises(Conflict, match="There is a session 's-1' already: choose another id"):
            await desk.sessions.create("s-1", tenant="default", principal="bob")

    async def test_an_id_that_only_runs_have_is_taken(self, desk: Desk) -> None:
        """Nobody gets at another's runs by creating the session that they name."""
        await desk.say("hello")
        await Records(desk.store.values).delete("default", "s-1")
        with pytest.raises(Conflict, match="already"):
            await desk.sessions.create("s-1", tenant="default", principal="bob")

    @pytest.mark.parametrize(
        ("given", "said"),
        [
            ({"session": "No/Way"}, "'No/Way' is not an identifier"),
            ({"title": "a\nb"}, "title 'a\\\\nb' is not one"),
            ({"title": "a" * 201}, "up to 200 printable"),
            ({"tags": ["a"] * 40 + [str(n) for n in range(33)]}, "34 tags are too many"),
            ({"tags": [" a"]}, "tag ' a' is not one"),
            ({"tags": "shop"}, "give a list"),
            ({"metadata": {"x": float("nan")}}, "nan"),
            ({"metadata": {"x": object()}}, "cannot be stored"),
            ({"metadata": {"password": "hunter2"}}, "secret"),
            ({"shared_with": ["\0"]}, "principal"),
            ({"shared_with": "bob"}, "give a list"),
            ({"limits": SessionLimits(max_runs=0)}, "`max_runs` is 0: give a number above 0"),
            ({"limits": SessionLimits(max_runs=True)}, "Expected `int | null`, got `bool` - at `\\$.max_runs`"),
            ({"limits": SessionLimits(max_cost_usd=float("inf"))}, "`max_cost_usd` is inf"),
            ({"principal": ""}, "principal '' is not one"),
        ],
    )
    async def test_what_cannot_be_is_refused(self, desk: Desk, given: dict, said: str) -> None:
        given = {"session": "s-1", **ANN, **given}
        with pytest.raises(InvalidInput, match=said):
            await desk.sessions.create(given.pop("session"), **given)

    async def test_metadata_is_bounded(self, desk: Desk) -> None:
        with pytest.raises(TooLarge, match="16384 bytes"):
            await desk.sessions.create("s-1", **ANN, metadata={"x": "y" * 17_000})


class TestTransitions:
    @pytest.mark.parametrize(("before", "after"), list(product(STATUSES, STATUSES)))
    async def test_the_table_is_kept(self, desk: Desk, before: SessionStatus, after: SessionStatus) -> None:
        """row: E6 — create to archive: each step that the table has is taken, and each other one is refused in words."""
        session = await bring_to(desk, before)
        desk.clock.advance(10)
        move = getattr(desk.sessions, VERBS[after])
        if after in TRANSITIONS[before]:
            moved = await move("s-1", **ANN, reason="because")
            assert (moved.status, moved.reason) == (after, "because")
            assert await desk.again().sessions.get("s-1", **ANN) == moved
            assert moved.updated == session.updated + 10
        else:
            with pytest.raises(Conflict, match=f"Session 's-1' is {before} and cannot become {after}"):
                await move("s-1", **ANN)
            assert await desk.sessions.get("s-1", **ANN) == session

    @pytest.mark.parametrize("status", [status for status in STATUSES if status != "active"])
    async def test_only_an_active_session_takes_turns(self, desk: Desk, status: SessionStatus) -> None:
        """row: E6 — what is suspended or over refuses turns, and says what to do."""
        await bring_to(desk, status)
        hint = "quorate sessions resume s-1" if status == "suspended" else "quorate sessions fork s-1"
        with pytest.raises(Conflict, match=f"Session 's-1' is {status}: .*`{hint}`"):
            await desk.say("hello")
        assert await desk.sessions.find_refusal("s-1", **ANN) is not None

    async def test_a_resumed_session_takes_turns_again(self, desk: Desk) -> None:
        """row: E6 — suspending and resuming, seen from other processes, loses nothing of what was said."""
        await desk.say("hello")
        await desk.sessions.suspend("s-1", **ANN, reason="lunch")
        later = desk.again()
        assert (await later.sessions.get("s-1", **ANN)).reason == "lunch"
        await later.sessions.resume("s-1", **ANN)
        await later.say("again")
        assert later.asked == [["hello", "You said: hello", "again"]]

    async def test_an_end_is_dated_once(self, desk: Desk) -> None:
        """Archiving what has ended keeps the moment of its end."""
        ended = await bring_to(desk, "completed")
        desk.clock.advance(HOUR)
        archived = await desk.sessions.archive("s-1", **ANN)
        assert archived.ended == ended.ended == ended.updated


class TestUpdate:
    async def test_each_field_alone(self, desk: Desk) -> None:
        """row: E6 — tags and metadata are changed as a whole, and what is not given stays."""
        await desk.sessions.create("s-1", **ANN, tags=["old"], metadata={"a": 1}, title="Old")
        changed = await desk.sessions.update("s-1", **ANN, tags=["new"], title="")
        assert (changed.title, changed.tags, changed.metadata) == ("", ("new",), {"a": 1})
        assert (await desk.sessions.update("s-1", **ANN, metadata={})).metadata == {}

    async def test_limits_move_the_expiry(self, desk: Desk) -> None:
        made = await desk.sessions.create("s-1", **ANN, limits=SessionLimits(max_age_s=HOUR))
        assert (await desk.sessions.update("s-1", **ANN, limits=SessionLimits())).expires is None
        longer = await desk.sessions.update("s-1", **ANN, limits=SessionLimits(max_age_s=2 * HOUR))
        assert longer.expires == made.created + 2 * HOUR

    async def test_a_revision_is_kept_to(self, desk: Desk) -> None:
        """Of two who change what they saw, the second is told."""
        seen = await desk.sessions.create("s-1", **ANN)
        await desk.sessions.update("s-1", **ANN, title="first", if_revision=seen.revision)
        with pytest.raises(Conflict, match="somebody else changed it"):
            await desk.sessions.update("s-1", **ANN, title="second", if_revision=seen.revision)
        assert (await desk.sessions.get("s-1", **ANN)).title == "first"

    async def test_changes_at_once_all_count(self, desk: Desk) -> None:
        """Nobody undoes what another changed at the same moment."""
        await desk.sessions.create("s-1", **ANN)
        update = desk.sessions.update
        await asyncio.gather(
            update("s-1", **ANN, title="t"), update("s-1", **ANN, tags=["x"]), update("s-1", **ANN, metadata={"k": 1})
        )
        found = await desk.sessions.get("s-1", **ANN)
        assert (found.title, found.tags, found.metadata) == ("t", ("x",), {"k": 1})


class TestExpiry:
    async def test_an_expired_session_refuses_at_once_and_is_swept(self, desk: Desk) -> None:
        """row: E6 — expiry under a fake clock: refused before any sweep, completed by it, archived by a later one."""
        await desk.sessions.create("s-1", **ANN, limits=SessionLimits(max_age_s=HOUR))
        await desk.say("hello")
        desk.clock.advance(HOUR - 61)
        assert await desk.sessions.sweep(tenant="default") == []
        desk.clock.advance(1)
        with pytest.raises(Conflict, match="Session 's-1' expired at 2023-11-14 23:13:20 UTC: begin another one"):
            await desk.say("too late")
        assert (await desk.sessions.get("s-1", **ANN)).status == "active"
        swept = await desk.sessions.sweep(tenant="default", archive_after_s=HOUR)
        assert [(one.id, one.status, one.reason) for one in swept] == [("s-1", "completed", "expired")]
        assert await desk.sessions.sweep(tenant="default", archive_after_s=HOUR) == []
        desk.clock.advance(HOUR)
        swept = await desk.sessions.sweep(tenant="default", archive_after_s=HOUR)
        assert [(one.id, one.status) for one in swept] == [("s-1", "archived")]

    async def test_idle_counts_from_what_happened_last(self, desk: Desk) -> None:
        """A turn, and the end of a run, keep a session awake."""
        await desk.sessions.create("s-1", **ANN, limits=SessionLimits(max_idle_s=HOUR))
        for _ in range(3):
            desk.clock.advance(HOUR - 61)
            await desk.say("hello")
        desk.clock.advance(HOUR - 61)
        assert await desk.sessions.sweep(tenant="default") == []
        desk.clock.advance(HOUR)
        with pytest.raises(Conflict, match="expired"):
            await desk.say("too late")
        assert [one.status for one in await desk.sessions.sweep(tenant="default")] == ["completed"]

    async def test_what_works_is_not_idle(self, desk: Desk) -> None:
        """A long run keeps its session, whatever the record says."""
        await desk.sessions.create("s-1", **ANN, limits=SessionLimits(max_idle_s=HOUR))
        await desk.leave(await desk.sessions.begin_turn("s-1", **ANN))
        desk.clock.advance(10 * HOUR)
        assert await desk.sessions.sweep(tenant="default") == []
        await desk.say("hello")

    async def test_a_suspended_session_may_stand_still_but_not_grow_old(self, desk: Desk) -> None:
        limits = SessionLimits(max_idle_s=HOUR, max_age_s=10 * HOUR)
        await desk.sessions.create("s-1", **ANN, limits=limits)
        await desk.sessions.suspend("s-1", **ANN)
        desk.clock.advance(5 * HOUR)
        assert await desk.sessions.sweep(tenant="default") == []
        assert (await desk.sessions.resume("s-1", **ANN)).status == "active"
        await desk.sessions.suspend("s-1", **ANN)
        desk.clock.advance(5 * HOUR)
        with pytest.raises(Conflict, match="expired"):
            await desk.sessions.resume("s-1", **ANN)
        assert [one.status for one in await desk.sessions.sweep(tenant="default")] == ["completed"]

    async def test_a_clock_that_is_set_back_harms_nothing(self, desk: Desk) -> None:
        await desk.sessions.create("s-1", **ANN, limits=SessionLimits(max_idle_s=HOUR))
        desk.clock.jump(-HOUR)
        await desk.say("hello")
        assert await desk.sessions.sweep(tenant="default") == []


class TestCleanup:
    async def test_hooks_run_once_however_it_ends(self) -> None:
        """row: E6 — cleanup hooks run once at the end of a session, by whoever ends it, and not again when archived."""
        for verb in ("complete", "fail", "archive"):
            journal, other = Journal(), Journal("other")
            async with open_desk(hooks=[journal.hook, other.hook]) as desk:
                await desk.sessions.create("s-1", **ANN)
                await desk.sessions.suspend("s-1", **ANN)
                ended = await getattr(desk.sessions, verb)("s-1", **ANN)
                assert journal.seen == other.seen == [("s-1", ended.status)]
                assert set(ended.cleaned) == {"journal", "other"}
                if verb != "archive":
                    await desk.sessions.archive("s-1", **ANN)
                await desk.sessions.sweep(tenant="default")
                await desk.sessions.recover("s-1", **ANN)
                assert len(journal.seen) == 1

    async def test_hooks_run_at_expiry_and_deletion(self) -> None:
        """The sweep cleans up after what it ends, and deletion before it forgets."""
        journal = Journal()
        async with open_desk(hooks=[journal.hook]) as desk:
            await desk.sessions.create("s-1", **ANN, limits=SessionLimits(max_age_s=HOUR))
            await desk.sessions.create("s-2", **ANN)
            desk.clock.advance(HOUR)
            await desk.sessions.sweep(tenant="default")
            assert journal.seen == [("s-1", "completed")]
            deleted = await desk.sessions.delete("s-2", **ANN)
            assert journal.seen[1:] == [("s-2", "archived")]
            assert set(deleted.cleaned) == {"journal"}

    async def test_a_hook_that_fails_is_recorded_and_blocks_nobody(self) -> None:
        """row: E6 — errors of cleanup hooks are recorded, the others run, and `recover` tries again."""
        broken, slow, fine = Journal("broken", fails=[RuntimeError("no")]), Journal("slow"), Journal("fine")

        async def hang(_: Session) -> None:
            slow.seen.append(("hang", ""))
            if len(slow.seen) == 1:
                await asyncio.Event().wait()

        hooks = [broken.hook, CleanupHook(name="slow", clean=hang, timeout_s=0.01), fine.hook]
        async with open_desk(hooks=hooks) as desk:
            await desk.sessions.create("s-1", **ANN)
            ended = await desk.sessions.complete("s-1", **ANN)
            assert {name: one.error for name, one in ended.cleaned.items()} == {
                "broken": "RuntimeError: no",
                "slow": "it took longer than 0.01 s",
                "fine": "",
            }
            await desk.sessions.sweep(tenant="default")
            assert (len(broken.seen), len(fine.seen)) == (1, 1)
            mended = await desk.sessions.recover("s-1", **ANN)
            assert {one.error for one in mended.cleaned.values()} == {""}
            assert (len(broken.seen), len(slow.seen), len(fine.seen)) == (2, 2, 1)

    async def test_what_a_crash_left_is_done_by_the_next_sweep(self) -> None:
        """row: E6 — after a crash between two hooks the rest is done by another process, and what was done is not."""
        first, last = Journal("first"), Journal("last")

        class Killed(BaseException):
            pass

        async def die(_: Session) -> None:
            raise Killed

        async with open_desk(hooks=[first.hook, CleanupHook(name="last", clean=die)]) as desk:
            await desk.sessions.create("s-1", **ANN)
            with pytest.raises(Killed):
                await desk.sessions.complete("s-1", **ANN)
            later = desk.again([first.hook, last.hook])
            await later.sessions.sweep(tenant="default")
            assert last.seen == []  # whoever began may still be at it
            desk.clock.advance(HOUR)
            swept = await later.sessions.sweep(tenant="default")
            assert [set(one.cleaned) for one in swept] == [{"first", "last"}]
            assert (len(first.seen), len(last.seen)) == (1, 1)
            assert await later.sessions.sweep(tenant="default") == []

    async def test_who_knows_no_hooks_leaves_them_to_others(self) -> None:
        """A command line ends a session; the service that has the hooks runs them."""
        journal = Journal()
        async with open_desk() as desk:
            await desk.sessions.create("s-1", **ANN)
            await desk.sessions.complete("s-1", **ANN)
            await desk.again([journal.hook]).sessions.sweep(tenant="default")
            assert journal.seen == [("s-1", "completed")]

    async def test_hooks_have_names_of_their_own(self) -> None:
        with pytest.raises(InvalidInput, match="must have different names"):
            async with open_desk(hooks=[Journal().hook, Journal().hook]):
                pass


class TestDelete:
    async def test_nothing_is_left(self, desk: Desk) -> None:
        """Record and runs are gone, and nothing brings the session back."""
        results = [await desk.say("one"), await desk.say("two")]
        deleted = await desk.sessions.delete("s-1", **ANN)
        assert deleted.runs == tuple(result.run_id for result in results)
        assert await desk.store.log.list_runs() == []
        assert [session async for session in desk.sessions.recover_all(tenant="default")] == []
        with pytest.raises(NotFound):
            await desk.sessions.get("s-1", **ANN)

    async def test_runs_under_way_are_not_pulled_away(self, desk: Desk) -> None:
        await desk.leave(await desk.sessions.begin_turn("s-1", **ANN))
        with pytest.raises(Conflict, match=r"has runs under way \(run-.*\): stop them with `quorate runs cancel`"):
            await desk.sessions.delete("s-1", **ANN)
        assert (await desk.sessions.get("s-1", **ANN)).status == "active"

    async def test_what_others_go_on_from_is_kept(self, desk: Desk) -> None:
        result = await desk.say("one")
        fork = await desk.sessions.fork("s-1", result.run_id, **ANN)
        with pytest.raises(Conflict, match=f"Session '{fork.id}' goes on from session 's-1'"):
            await desk.sessions.delete("s-1", **ANN)
        await desk.sessions.delete(fork.id, **ANN)
        await desk.sessions.delete("s-1", **ANN)

    async def test_cut_off_and_done_again(self, desk: Desk) -> None:
        """A deletion that lost its process in the middle is finished by the next one."""
        first, _ = await desk.say("one"), await desk.say("two")
        await desk.sessions.archive("s-1", **ANN, reason="deleted")
        await desk.store.log.delete(first.run_id)
        assert len((await desk.sessions.delete("s-1", **ANN)).runs) == 1
        assert await desk.store.log.list_runs() == []


class TestAccess:
    async def test_what_is_anothers_is_absent_in_the_same_words(self, desk: Desk) -> None:
        """Other tenants and other users cannot tell a session from one that is not there."""
        result = await desk.say("hello")
        strangers = [{"tenant": "other", "principal": "ann"}, {"tenant": "default", "principal": "eve"}]
        for who in strangers:
            for name, more in (
                ("get", ()), ("history", ()), ("timeline", ()), ("usage", ()), ("suspend", ()), ("complete", ()),
                ("delete", ()), ("update", ()), ("fork", (result.run_id,)), ("recover", ()), ("find_refusal", ()),
            ):  # fmt: skip
                with pytest.raises(NotFound) as there:
                    await getattr(desk.sessions, name)("s-1", *more, **who)
                with pytest.raises(NotFound) as absent:
                    await getattr(desk.sessions, name)("s-2", *more, **who)
                assert there.value.message.replace("s-1", "s-2") == absent.value.message
        with pytest.raises(NotFound, match="There is no session 's-1': list them"):
            await desk.say("mine", principal="eve")
        await desk.say("mine", tenant="other")
        assert desk.asked[-1] == ["mine"]

    async def test_whom_it_is_shared_with_may_use_it_and_not_change_it(self, desk: Desk) -> None:
        await desk.say("hello")
        await desk.sessions.update("s-1", **ANN, shared_with=["bob"])
        bob = {"tenant": "default", "principal": "bob"}
        await desk.say("me too", principal="bob")
        assert len(await desk.sessions.history("s-1", **bob)) == 4
        fork = await desk.sessions.fork("s-1", (await desk.sessions.timeline("s-1", **bob))[0].run.run, **bob)
        assert (fork.principal, fork.shared_with) == ("bob", ())
        for name in ("suspend", "complete", "delete", "update", "archive", "recover"):
            with pytest.raises(Forbidden, match="only its owner may change it"):
                await getattr(desk.sessions, name)("s-1", **bob)

    async def test_whoever_operates_the_store_sees_all(self, desk: Desk) -> None:
        await desk.say("hello")
        assert (await desk.sessions.get("s-1", tenant="default", principal=None)).principal == "ann"


class TestListing:
    async def fill(self, desk: Desk) -> list[str]:
        for number in range(25):
            owner = "ann" if number % 2 else "bob"
            tags = ["third"] if number % 3 == 0 else []
            await desk.sessions.create(
                f"s-{(number * 7) % 25:02}", tenant="default", principal=owner, tags=tags, shared_with=["carl"]
            )
            desk.clock.advance(1)
        return [f"s-{(number * 7) % 25:02}" for number in range(25)]

    @pytest.mark.parametrize("order", ["newest", "oldest", "updated", "id"])
    async def test_pages_hold_everything_once_and_in_order(self, desk: Desk, order) -> None:
        born = await self.fill(desk)
        await desk.sessions.update("s-00", tenant="default", principal="bob", title="touched")
        expected = {
            "newest": born[::-1],
            "oldest": born,
            "updated": ["s-00", *[one for one in born[::-1] if one != "s-00"]],
            "id": sorted(born),
        }
        found, cursor, pages = list[str](), "", 0
        while True:
            page = await desk.sessions.list_sessions(
                tenant="default", principal=None, order=order, cursor=cursor, limit=4
            )
            found += [session.id for session in page.sessions]
            cursor, pages = page.cursor, pages + 1
            if not cursor:
                break
        assert found == expected[order]
        assert pages == 7

    async def test_filters_and_visibility(self, desk: Desk) -> None:
        """row: E6 — lists by status, tag and owner hold what whoever asks may see, and nothing else."""
        await self.fill(desk)
        await desk.sessions.suspend("s-00", tenant="default", principal=None)

        async def count(principal: str | None, **wanted: str) -> int:
            page = await desk.sessions.list_sessions(tenant="default", principal=principal, limit=100, **wanted)
            return len(page.sessions)

        assert (await count(None), await count("ann"), await count("bob"), await count("eve")) == (25, 12, 13, 0)
        assert (await count("carl"), await count("carl", owner="bob")) == (25, 13)
        assert (await count(None, status="suspended"), await count("ann", status="suspended")) == (1, 0)
        assert (await count(None, tag="third"), await count(None, tag="none")) == (9, 0)
        page = await desk.sessions.list_sessions(tenant="other", principal=None)
        assert page.sessions == ()

    async def test_of_many_only_a_page_is_held(self, desk: Desk) -> None:
        """Two thousand sessions are listed page by page, the last of them first."""
        for begin in range(0, 2100, 100):
            last = range(begin + 97, begin + 100)
            async with asyncio.TaskGroup() as group:  # together, as each by itself would be a commit of its own
                for number in range(begin, last.start):
                    group.create_task(desk.sessions.create(f"s-{(number * 11) % 2100:04}", **ANN))
            for number in last:
                desk.clock.advance(1)
                await desk.sessions.create(f"s-{(number * 11) % 2100:04}", **ANN)
        page = await desk.sessions.list_sessions(**ANN, limit=3)
        assert [session.id for session in page.sessions] == [f"s-{(n * 11) % 2100:04}" for n in (2099, 2098, 2097)]

    async def test_a_cursor_that_is_none(self, desk: Desk) -> None:
        with pytest.raises(InvalidInput, match="cursor 'x' is not from a page before"):
            await desk.sessions.list_sessions(tenant="default", principal=None, cursor="x")

    async def test_a_record_that_cannot_be_read_is_named(self, desk: Desk) -> None:
        """One bad record hides no other."""
        await desk.sessions.create("s-1", **ANN)
        await desk.store.values.put("session/default/s-2", b"{")
        page = await desk.sessions.list_sessions(tenant="default", principal=None)
        assert ([one.id for one in page.sessions], page.corrupt) == (["s-1"], ("s-2",))


def test_the_values_are_plain() -> None:
    """A record is a value: two of the same facts are equal, and nothing in it can be changed."""
    one = Session(id="s", tenant="t", principal="p", created=0.0, updated=0.0, active=0.0)
    assert structs.replace(one) == one
    with pytest.raises(AttributeError):
        one.title = "x"  # pyright: ignore[reportAttributeAccessIssue]
