"""Is what happens told to whoever wants it, signed, in order, again until it was taken, and given up in the end?"""

import asyncio
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import cast

import msgspec
import pytest
from msgspec import structs
from tests.integration.runtime.webhooks.conftest import OUTPUT, TASK, World
from tests.integration.runtime.webhooks.receiver import WAIT_S, ids, open_receiver, wait_until

from quorate.errors import Conflict, CorruptState, NotFound, Unauthenticated, Unavailable
from quorate.ports import Entry, KeyValue, Store
from quorate.runtime.relay import Relay
from quorate.runtime.tenants import TenantActs
from quorate.runtime.webhooks import Webhook, WebhookPolicy, Webhooks, WebhookSink, open_webhooks
from quorate.runtime.webhooks.delivery import Deliveries, Delivery
from quorate.runtime.webhooks.records import Records
from quorate.security.secrets import Secret
from quorate.settings import Settings
from quorate.settings.values import ArtifactSettings
from quorate.state.artifacts.keys import new_key
from quorate.state.erasure import Eraser
from quorate.state.erasure.inventory import Surveyor
from quorate.state.retention import forget_run
from quorate.state.webhooks import DONE, DUE, build_delivery_key

DAY_S = 86_400.0


async def test_a_run_is_told_of_from_its_beginning_to_its_end(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """A real run, a real endpoint: every event once, in order, signed, as JSON, and nothing of what was said."""
    caplog.set_level("DEBUG")
    secret = await world.add(events=("run.*",))
    handle = await world.runtime.submit(TASK, agent="clerk")
    assert (await handle.wait()).output == OUTPUT
    await world.deliver()
    assert world.receiver.kinds == ["run.created", "run.completed"]
    for number, got in enumerate(world.receiver.got, 1):
        assert got.verify(secret, now=world.clock.now()) == got.id
        assert got.headers["content-type"] == "application/json"
        assert got.headers["webhook-timestamp"] == str(int(world.clock.now()))
        assert (got.data["run"], got.data["agent"], got.path) == (handle.id, "clerk", "/in")
        assert number == 1 or got.data["status"] == "completed"
        assert not any(words in got.body.decode() for words in (TASK, OUTPUT))
    assert len(set(ids(world.receiver.got))) == 2
    await world.pass_time(3600)
    assert len(world.receiver.got) == 2
    assert {status for _, status, _ in await world.statuses()} == {"delivered"}
    assert not any(words in caplog.text for words in (secret.reveal(), TASK, OUTPUT))


async def test_patterns_agents_tenants_and_content(world: World) -> None:
    """Each webhook hears of what it asked for, of its tenant alone; content only where it was asked for."""
    await world.add("all")
    await world.add("failed", events=("*.failed",), content=True, url=f"{world.receiver.url}/failed?key=k")
    await world.add("other-agent", agents=("baker",), url=f"{world.receiver.url}/baker")
    other = Webhooks(world.runtime.for_tenant("acme"))
    await other.add(Webhook(id="all", url=f"{world.receiver.url}/acme"))
    await world.record("run-1", end="failed")
    await world.record("run-2", agent="baker")
    await world.record("run-3", tenant="acme")
    await world.deliver()
    by_path: dict[str, list[tuple[object, object]]] = {}
    for got in world.receiver.got:
        by_path.setdefault(got.path, []).append((got.data["run"], got.kind))
    ends = {"run-1": "run.failed", "run-2": "run.completed", "run-3": "run.completed"}
    assert {path: sorted(found) for path, found in by_path.items()} == {
        "/in": [(run, kind) for run in ("run-1", "run-2") for kind in sorted(("run.created", ends[run]))],
        "/in/failed?key=k": [("run-1", "run.failed")],
        "/in/baker": [("run-2", "run.completed"), ("run-2", "run.created")],
        "/in/acme": [("run-3", "run.completed"), ("run-3", "run.created")],
    }
    (failed,) = [got for got in world.receiver.got if got.path.startswith("/in/failed")]
    event = failed.data["event"]
    assert isinstance(event, dict)
    assert event["message"] == OUTPUT
    assert all(OUTPUT not in got.body.decode() for got in world.receiver.got if got is not failed)


async def test_nothing_is_told_for_a_tenant_that_is_suspended(world: World) -> None:
    """What happened waits until it is resumed; others are told meanwhile."""
    acme = Webhooks(world.runtime.for_tenant("acme"))
    await acme.add(Webhook(id="all", url=f"{world.receiver.url}/acme"))
    await world.add()
    acts = TenantActs(world.runtime, by="boss")
    await acts.create("acme")
    await acts.suspend("acme")
    await world.record("run-1", tenant="acme")
    await world.record("run-2")
    await world.deliver()
    assert {got.path for got in world.receiver.got} == {"/in"}
    await acts.resume("acme")
    await world.deliver()
    assert {got.path for got in world.receiver.got} == {"/in", "/in/acme"}


async def test_it_is_retried_with_the_same_id_and_a_new_time(world: World) -> None:
    """At the moments of the schedule, signed anew each time; then it is done."""
    secret = await world.add(events=("run.failed",))
    await world.record("run-1", end="failed")
    world.receiver.answer(500, 503, 302, 200)
    await world.deliver()
    for early, late in ((4.9, 0.2), (299.9, 0.2), (1799.9, 0.2)):
        count = len(world.receiver.got)
        await world.pass_time(early)
        assert len(world.receiver.got) == count, "too early"
        await world.pass_time(late)
        assert len(world.receiver.got) == count + 1
        world.receiver.got[-1].verify(secret, now=world.clock.now())
    assert len(set(ids(world.receiver.got))) == 1
    assert len({got.headers["webhook-timestamp"] for got in world.receiver.got}) == 4
    assert len({got.body for got in world.receiver.got}) == 1
    assert await world.statuses() == [("run-1/2", "delivered", 4)]
    assert [one.what for one in world.carried] == ["failed", "failed", "failed", "delivered"]
    with pytest.raises(Unauthenticated):
        world.receiver.got[0].verify(secret, now=world.clock.now())


async def test_retry_after_holds_the_whole_endpoint(world: World) -> None:
    """Nothing goes there before the time it named, the deliveries of other runs neither."""
    await world.add(events=("run.failed",))
    await world.record("run-1", end="failed")
    world.receiver.answer(429, 200)
    world.receiver.headers = {"Retry-After": "900"}
    await world.deliver()
    await world.record("run-2", end="failed")
    await world.pass_time(600)
    assert len(world.receiver.got) == 1
    await world.pass_time(301)
    await world.deliver()
    assert sorted(str(got.data["run"]) for got in world.receiver.got) == ["run-1", "run-1", "run-2"]


async def test_what_fails_for_three_days_becomes_a_dead_letter_and_can_be_sent_again(world: World) -> None:
    """Ten tries, then a row with the reason and their number, kept for thirty days; `redeliver` makes it a delivery
    again, under the same id."""
    secret = await world.add(events=("run.failed",))
    await world.record("run-1", end="failed")
    world.receiver.answer(500)
    await world.deliver()
    for _ in range(80):
        await world.pass_time(3600)
    assert len(world.receiver.got) == 10
    (row,) = await world.webhooks.list_deliveries("hook", status="dead")
    assert (row.id, row.attempts, row.reason, row.answered) == ("run-1/2", 10, "answered 500", 500)
    assert row.message == world.receiver.got[0].id
    world.receiver.answer(200)
    assert (await world.webhooks.redeliver("hook", row.message)).status == "pending"
    await world.deliver()
    assert set(ids(world.receiver.got)) == {row.message}
    world.receiver.got[-1].verify(secret, now=world.clock.now())
    assert await world.statuses() == [("run-1/2", "delivered", 1)]
    await world.webhooks.redeliver("hook", "run-1/2")
    await world.deliver()
    assert len(world.receiver.got) == 12
    world.clock.advance(4 * DAY_S)
    assert await world.statuses() == []
    with pytest.raises(NotFound, match="has no delivery 'run-1/2'"):
        await world.webhooks.redeliver("hook", "run-1/2")


async def test_dead_letters_are_kept_for_thirty_days(world: World) -> None:
    await world.add(events=("run.failed",))
    for number in range(3):
        await world.record(f"run-{number}", end="failed")
    world.receiver.answer(410)
    await world.deliver()
    world.clock.advance(29.9 * DAY_S)
    assert [status for _, status, _ in await world.statuses()] == ["dead"] * 3
    with pytest.raises(Conflict, match="quorate webhooks enable hook"):
        await world.webhooks.redeliver_dead("hook")
    await world.webhooks.enable("hook")
    world.receiver.answer(200)
    assert await world.webhooks.redeliver_dead("hook") == 3
    await world.deliver()
    assert sorted(await world.statuses()) == [(f"run-{n}/2", "delivered", 1) for n in range(3)]


async def test_410_switches_a_webhook_off(world: World) -> None:
    """It is told of nothing more, the audit trail says why, and a person can switch it on again."""
    await world.add(events=("run.failed",))
    world.receiver.answer(410)
    await world.record("run-1", end="failed")
    await world.deliver()
    shown = await world.webhooks.show("hook")
    assert (shown.webhook.enabled, "410" in shown.webhook.disabled_why) == (False, True)
    await world.record("run-2", end="failed")
    await world.pass_time(DAY_S)
    assert len(world.receiver.got) == 1
    rows = await world.runtime.audit.read_last(limit=1)
    assert (rows[0].action, rows[0].principal, rows[0].object) == ("webhook.disable", "webhooks", "webhook/hook")
    await world.webhooks.enable("hook")
    world.receiver.answer(200)
    await world.record("run-3", end="failed")
    await world.deliver()
    assert [got.data["run"] for got in world.receiver.got] == ["run-1", "run-3"]
    assert (await world.webhooks.show("hook")).webhook.disabled_why == ""


async def test_a_webhook_that_fails_for_days_is_switched_off(world: World) -> None:
    """Events keep coming, nothing is taken: after five days it is off, what waits is a dead letter, and it is noted."""
    await world.add(events=("run.failed",))
    world.receiver.answer(500)
    for number in range(6 * 24 // 6):
        await world.record(f"run-{number:02}", end="failed")
        await world.pass_time(6 * 3600)
    shown = await world.webhooks.show("hook")
    assert not shown.webhook.enabled
    assert "times in a row, for 5." in shown.webhook.disabled_why
    await world.deliver()
    assert {status for _, status, _ in await world.statuses()} == {"dead"}
    assert [one.what for one in world.carried].count("disabled") == 1
    (row,) = await world.runtime.audit.read_last(limit=1)
    assert (row.action, row.reason) == ("webhook.disable", shown.webhook.disabled_why)
    sent = len(world.receiver.got)
    await world.record("run-late", end="failed")
    await world.pass_time(6 * 3600)
    assert len(world.receiver.got) == sent


async def test_a_dead_endpoint_is_left_alone_and_starves_nobody(world: World) -> None:
    """Fifty events for each: the living one has all at once, the dead one was asked five times and is left to rest."""
    await world.add("a-dead", url="http://127.0.0.1:9/in", events=("run.completed",))
    await world.add("living", events=("run.completed",))
    for number in range(50):
        await world.record(f"run-{number:02}")
    await world.deliver()
    assert len(world.receiver.got) == 50
    failed = [one for one in world.carried if one.what == "failed"]
    assert {one.webhook for one in failed} == {"default/a-dead"}
    assert len(failed) <= 5 + 3  # those under way when it opened
    assert failed[0].reason == "cannot be reached"
    shown = await world.webhooks.show("a-dead")
    assert shown.health is not None
    assert shown.health.rests_until > world.clock.now()
    before = len(failed)
    await world.pass_time(11)  # one more is tried, and it rests again
    assert len([one for one in world.carried if one.what == "failed"]) == before + 1


async def test_a_slow_endpoint_has_a_bound_of_its_own(world: World) -> None:
    """Four at once to one webhook, and the others go on meanwhile."""
    await world.add("slow", events=("run.completed",))
    for number in range(12):
        await world.record(f"run-{number:02}")
    await world.tell()
    world.receiver.hold = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        assert await world.courier.look(group) == 4
        assert await world.courier.look(group) == 0
        while world.receiver.at_once < 4:
            await asyncio.sleep(0.01)
        world.receiver.hold.set()
    await world.deliver()
    assert (len(world.receiver.got), world.receiver.most_at_once) == (12, 4)


async def test_events_of_a_run_come_in_order(world: World) -> None:
    """However many runs there are."""
    await world.add()
    for number in range(20):
        await world.record(f"run-{number:02}")
    await world.deliver()
    for number in range(20):
        seqs = [got.data["seq"] for got in world.receiver.got if got.data["run"] == f"run-{number:02}"]
        assert seqs == [1, 2]


async def test_a_notice_that_comes_twice_is_delivered_once(world: World) -> None:
    """Also when it comes again after the delivery was made."""
    await world.add(events=("run.failed",))
    await world.record("run-1", end="failed")
    notices = await world.runtime.store.outbox.pending()
    sink = WebhookSink(world.runtime.store, clock=world.clock)
    for _ in range(3):
        await sink.take(notices)
        await sink.take(notices)
        await world.courier.deliver_due()
    assert len(world.receiver.got) == 1


async def test_two_couriers_deliver_each_once(world: World) -> None:
    """Whoever claims it first has it."""
    await world.add(events=("run.completed",))
    for number in range(30):
        await world.record(f"run-{number:02}")
    await world.tell()
    others = [world.build_courier() for _ in range(3)]
    async with asyncio.TaskGroup() as group:
        for courier in others:
            group.create_task(courier.deliver_due())
    await world.pass_time(61)
    assert len(world.receiver.got) == len(set(ids(world.receiver.got))) == 30


async def test_a_claim_that_nobody_came_back_for_is_taken_over(world: World) -> None:
    """After its lease; and what kills whoever sends it is given up in the end."""
    await world.add(events=("run.failed",))
    await world.record("run-1", end="failed")
    await world.tell()
    for _ in range(7):
        async with asyncio.TaskGroup() as group:
            await world.courier.look(group)
            for task in list(world.courier._under_way):  # pyright: ignore[reportPrivateUsage]
                task.cancel()
        world.clock.advance(59)
        await world.courier.deliver_due()
        world.clock.advance(2)
    await world.courier.deliver_due()
    (row,) = await world.webhooks.list_deliveries("hook")
    assert (row.status, "died of it" in row.reason) == ("dead", True)
    assert world.receiver.got == []


async def test_what_is_erased_is_not_told(world: World) -> None:
    """A run that is deleted before its delivery leaves nothing to deliver, and no dead letter."""
    await world.add()
    await world.record("run-1")
    await world.tell()
    await world.runtime.store.log.delete("run-1")
    await world.courier.deliver_due()
    assert (world.receiver.got, await world.statuses()) == ([], [])
    assert {one.what for one in world.carried} == {"dropped"}


async def test_rotation_signs_with_both_until_the_old_one_is_over(world: World) -> None:
    """A receiver that knows either believes it; after the overlap, only the new one."""
    old = await world.add(events=("run.failed",))
    new = await world.webhooks.rotate("hook", overlap_s=3600)
    assert (await world.webhooks.show("hook")).secrets == 2
    await world.record("run-1", end="failed")
    await world.deliver()
    for secret in (old, new):
        world.receiver.got[0].verify(secret, now=world.clock.now())
    await world.record("run-2", end="failed")
    await world.pass_time(3601)
    world.receiver.got[1].verify(new, now=world.clock.now())
    with pytest.raises(Unauthenticated):
        world.receiver.got[1].verify(old, now=world.clock.now())
    assert (await world.webhooks.show("hook")).secrets == 1


async def test_a_ping_is_really_sent(world: World) -> None:
    """Signed as everything else, also when the webhook is switched off; it leaves no delivery behind."""
    secret = await world.add()
    await world.webhooks.disable("hook")
    assert (await world.webhooks.test("hook")).status == 200
    (got,) = world.receiver.got
    assert (got.kind, got.data, got.verify(secret, now=world.clock.now())) == (
        "webhook.ping",
        {"webhook": "hook"},
        got.id,
    )
    world.receiver.answer(500)
    assert (await world.webhooks.test("hook")).is_taken is False
    assert await world.statuses() == []


async def test_removing_a_webhook_leaves_nothing(world: World) -> None:
    """Neither its secret nor its deliveries; what was noted for it meanwhile goes too."""
    await world.add(events=("run.*",))
    world.receiver.answer(500)
    await world.record("run-1")
    await world.deliver()
    await world.record("run-2")
    notices = await world.runtime.store.outbox.pending()
    sink = WebhookSink(world.runtime.store)
    await sink.take(notices)
    await world.webhooks.remove("hook")
    assert await list_keys(world) == []
    await world.add(id="other")
    (row, *_) = await world.runtime.store.values.scan("webhook/")
    await sink.take(notices)
    await world.runtime.store.values.delete(row.key)  # removed in the middle of it
    await world.courier.deliver_due()
    assert await list_keys(world) == []
    with pytest.raises(NotFound):
        await world.webhooks.remove("hook")


async def list_keys(world: World) -> list[str]:
    entries: list[Entry] = await world.runtime.store.values.scan("webhook", limit=1000)
    return [entry.key for entry in entries]


async def test_every_act_is_noted_and_no_secret_is_in_it(world: World) -> None:
    """Done or refused, with whoever did it."""
    secret = await world.add()
    await world.webhooks.rotate("hook", by="ada")
    await world.webhooks.test("hook", by="ada")
    await world.webhooks.disable("hook", by="ada")
    await world.webhooks.enable("hook", by="ada")
    with pytest.raises(NotFound):
        await world.webhooks.redeliver("hook", "run-1/1", by="ada")
    with pytest.raises(Conflict, match="There is a webhook 'hook' already"):
        await world.add()
    await world.webhooks.remove("hook", by="ada")
    rows = await world.runtime.audit.read_last(limit=20)
    acts = ["add", "rotate", "test", "disable", "enable", "redeliver", "add", "remove"]
    assert sorted(row.action for row in rows) == sorted(f"webhook.{act}" for act in acts)
    assert sorted(row.action for row in rows if row.outcome == "refused") == ["webhook.add", "webhook.redeliver"]
    assert secret.reveal() not in repr(rows)


async def test_webhooks_that_are_switched_off_in_the_settings_are_not_added(world: World) -> None:
    """Nothing would be kept for them, so it is said at once."""
    world.runtime.settings = Settings()
    with pytest.raises(Conflict, match=r"set `webhooks\.enabled = true`"):
        await world.add()


async def test_rows_that_do_not_verify_harm_no_other(world: World) -> None:
    """A broken webhook is named where they are listed, a broken delivery is passed over."""
    await world.add("a-good", events=("run.completed",))
    await world.add("b-bad")
    values = world.runtime.store.values
    await values.put("webhook/default/b-bad", b'{"webhook": {"id": 1}, "secrets": ["whsec_hidden"]}')
    await values.put("webhook-due/default/a-good/run-0/000000000001", b"{")
    await world.record("run-1")
    await world.deliver()
    assert len(world.receiver.got) == 1
    (fault,) = [one for one in await world.webhooks.list_webhooks() if isinstance(one, CorruptState)]
    assert ("quorate webhooks remove b-bad" in fault.message, "hidden" in fault.message) == (True, False)
    await world.webhooks.remove("b-bad")
    assert await world.statuses("a-good") == [("run-1/2", "delivered", 1)]  # what can be read is listed


@pytest.mark.parametrize(
    "row",
    [
        {"tenant": "acme", "webhook": "hook", "run": "run-0", "seq": 2, "kind": "run.completed"},
        {"tenant": "default", "webhook": "hook", "run": "run-0", "seq": 2, "kind": "run.completed", "failures": -99},
        {"tenant": "default", "webhook": "hook", "run": "run-0", "seq": 1 << 70, "kind": "run.completed"},
    ],
    ids=["of-another-tenant", "negative", "huge"],
)
async def test_a_row_that_is_not_what_its_key_says_takes_no_place(world: World, row: dict[str, object]) -> None:
    """It is not sent, and with one place at a time those behind it are."""
    world.policy = WebhookPolicy(per_endpoint=1)
    world.courier = world.build_courier()
    await world.add(events=("run.completed",))
    await world.record("run-0", tenant="acme")
    await world.record("run-1")
    key = build_delivery_key(DUE, "default", "hook", "run-0", cast("int", row["seq"]))
    await world.runtime.store.values.put(key, json.dumps(row).encode())
    await world.deliver()
    assert [got.data["run"] for got in world.receiver.got] == ["run-1"]
    assert await world.statuses() == [("run-1/2", "delivered", 1)]


@pytest.mark.parametrize("store", ["sqlite"], indirect=True)
async def test_rows_that_are_damaged_on_disk_hold_nothing_up(world: World, store: Store, tmp_path: Path) -> None:
    """What is due is read from the log again, what became of others is written anew."""
    await world.add(events=("run.failed",))
    for run in ("run-1", "run-2"):
        await world.record(run, end="failed")
    await world.tell()
    with closing(sqlite3.connect(tmp_path / "quorate.db", isolation_level=None)) as connection:
        await store.values.put(build_delivery_key(DONE, "default", "hook", "run-2", 2), b"{}")
        await store.values.put("webhook-health/default/hook", b"{}")
        await store.values.put(build_delivery_key(DUE, "default", "hook", "run-3", 2), b"{}")
        broken = connection.execute(
            "UPDATE entries SET value = x'00' WHERE key >= 'webhook-' AND key < 'webhook.' AND key NOT LIKE '%run-2/%2'"
            " OR key LIKE 'webhook-done/%'"
        ).rowcount
    assert broken == 4
    async with open_webhooks(world.runtime):
        await wait_until(lambda: len(world.receiver.got) == 2)
    assert sorted(await world.statuses()) == [("run-1/2", "delivered", 1), ("run-2/2", "delivered", 1)]


async def test_keys_that_are_none_hold_nothing_up(world: World) -> None:
    """Below the same prefix, before and behind those that are."""
    await world.add(events=("run.completed",))
    for key in ("webhook-due/", "webhook-due/..", "webhook-due/A B/hook/run-1/1", "webhook-due/z"):
        await world.runtime.store.values.put(key, b"{}")
    await world.record("run-1")
    await world.deliver()
    assert len(world.receiver.got) == 1


async def test_what_became_of_it_and_cannot_be_read_does_not_hold_it_up(world: World) -> None:
    """It is delivered, or given up, and that is written down over it."""
    await world.add(events=("run.failed",))
    for run in ("run-1", "run-2"):
        await world.runtime.store.values.put(build_delivery_key(DONE, "default", "hook", run, 2), b"{")
    await world.record("run-1", end="failed")
    await world.deliver()
    world.receiver.answer(410)
    await world.record("run-2", end="failed")
    await world.deliver()
    assert sorted(await world.statuses()) == [("run-1/2", "delivered", 1), ("run-2/2", "dead", 1)]


async def test_rows_of_a_webhook_that_is_gone_go_too_when_nobody_can_read_them(world: World) -> None:
    """More of them than are read at a time."""
    for number in range(120):
        await world.runtime.store.values.put(build_delivery_key(DUE, "default", "gone", f"run-{number}", 1), b"{")
    for _ in range(2):
        await world.courier.deliver_due()
    assert await list_keys(world) == []


@pytest.mark.parametrize("facts", [{"tenant": "acme"}, {"id": "other"}, {"events": ("a b",)}])
async def test_a_webhook_that_is_not_what_its_key_says_is_told_of_nothing(
    world: World, facts: dict[str, object]
) -> None:
    """And keeps no other from being told."""
    await world.add("bad")
    await world.add("good", events=("run.completed",))
    record = await Records(world.runtime.store.values).get("default", "bad")
    changed = structs.replace(record, webhook=structs.replace(record.webhook, **facts), revision=0)
    await world.runtime.store.values.put(record.key, msgspec.json.encode(changed))
    await world.record("run-1")
    await world.deliver()
    assert [got.kind for got in world.receiver.got] == ["run.completed"]
    with pytest.raises(CorruptState, match="quorate webhooks remove bad"):
        await world.webhooks.show("bad")


async def test_slow_endpoints_leave_places_for_the_others(world: World) -> None:
    """However many of them there are, half of the places is not theirs once it is known that they are slow."""
    world.policy = WebhookPolicy(at_once=4)
    world.courier = world.build_courier()
    for number in range(3):
        await world.add(f"slow-{number}", events=("run.completed",))
    for number in range(4):
        await world.record(f"run-{number}")
    await world.tell()
    for _ in range(3):  # each of them has all places once
        world.receiver.hold = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            assert await world.courier.look(group) == 4
            await wait_until(lambda: world.receiver.at_once == 4)
            world.clock.advance(3)
            world.receiver.hold.set()
    async with open_receiver() as fast:
        await world.add("z-fast", events=("run.completed",), url=fast.url)
        for number in range(4, 12):
            await world.record(f"run-{number}")
        await world.tell()
        world.receiver.hold, world.receiver.most_at_once = asyncio.Event(), 0
        async with asyncio.TaskGroup() as group, asyncio.timeout(WAIT_S):
            while len(fast.got) < 8:
                await world.courier.look(group)
                await asyncio.sleep(0.01)
            world.receiver.hold.set()
        await world.deliver()
    assert world.receiver.most_at_once == 2
    assert len(world.receiver.got) == 36


async def test_everything_that_is_due_is_delivered_where_the_last_look_ended_at_one_that_rests(world: World) -> None:
    """With a single place: the next look goes all the way round."""
    world.policy = WebhookPolicy(at_once=1)
    world.courier = world.build_courier()
    await world.add("a", events=("run.completed",))
    await world.add("b", events=("run.failed",))
    world.receiver.answer(429)
    world.receiver.headers = {"Retry-After": "900"}
    await world.record("run-0", end="failed")
    await world.deliver()
    world.receiver.answer(200)
    for number in range(1, 4):
        await world.record(f"run-{number}")
    await world.deliver()
    assert len(world.receiver.got) == 4


async def test_many_that_wait_do_not_hide_those_behind_them(world: World) -> None:
    """Pages of deliveries that failed by themselves stand before one that is due; it comes at once, they later."""
    await world.add(events=("run.completed",))
    deliveries, later = Deliveries(world.runtime.store.values), world.clock.now() + 5
    for number in range(230):
        waiting = Delivery(
            tenant="default",
            webhook="hook",
            run=f"run-{number:04}",
            seq=2,
            kind="run.completed",
            attempts=1,
            failures=1,
            next=later,
        )
        assert await deliveries.add(waiting)
    await world.record("run-9999")
    await world.deliver()
    assert [got.data["run"] for got in world.receiver.got] == ["run-9999"]
    for number in (0, 120, 229):
        await world.record(f"run-{number:04}")
    await world.runtime.store.outbox.done([notice.id for notice in await world.runtime.store.outbox.pending()])
    await world.pass_time(6)
    assert sorted(str(got.data["run"]) for got in world.receiver.got[1:]) == ["run-0000", "run-0120", "run-0229"]
    assert [status for _, status, _ in await world.statuses()] == ["delivered"] * 4


async def test_the_next_of_a_run_waits_for_the_one_before_it_also_at_the_end_of_a_page(world: World) -> None:
    """The first is under way elsewhere, and is the last that one look at the database shows."""
    await world.add()
    deliveries, now = Deliveries(world.runtime.store.values), world.clock.now()
    for number in range(99):
        waiting = Delivery(
            tenant="default", webhook="hook", run=f"run-{number:04}", seq=2, kind="run.completed", failures=1,
            next=now + 600,
        )  # fmt: skip
        assert await deliveries.add(waiting)
    await world.record("run-0099")
    await world.tell()
    (first,) = [one async for one in deliveries.scan("default", "hook") if (one.run, one.seq) == ("run-0099", 1)]
    await deliveries.put(structs.replace(first, attempts=1, claimed_until=now + 30))
    await world.courier.deliver_due()
    assert world.receiver.got == []
    await world.pass_time(31)
    assert [got.data["seq"] for got in world.receiver.got] == [1, 2]


async def test_a_worker_without_the_key_leaves_deliveries_to_others(world: World) -> None:
    """It says so once, and gives nothing up: whoever has the key delivers it."""
    keyed = structs.replace(world.runtime.settings, artifacts=ArtifactSettings(keys=Secret(f"one:{new_key()}")))
    plain = world.runtime.settings
    world.runtime.settings = keyed
    world.webhooks = Webhooks(world.runtime)
    secret = await world.add(events=("run.failed",))
    able = world.build_courier()
    world.runtime.settings = plain
    world.courier = world.build_courier()
    await world.record("run-1", end="failed")
    for _ in range(20):
        await world.deliver()
        world.clock.advance(3600)
    assert [(one.what, one.webhook) for one in world.carried] == [("blocked", "default/hook")]
    assert secret.reveal() not in repr(world.carried)
    assert await world.statuses() == [("run-1/2", "pending", 0)]
    await able.deliver_due()
    world.receiver.got[0].verify(secret, now=world.clock.now())
    assert (await world.webhooks.show("hook")).is_sealed


async def test_a_store_that_goes_away_in_the_middle_loses_nothing(world: World) -> None:
    """Before and after it is sent: it is tried again, and what was sent comes again under the same id."""
    await world.add(events=("run.failed",))
    await world.record("run-1", end="failed")
    await world.tell()
    store = world.runtime.store
    for prefix, sent in (("webhook-due/", 0), ("webhook-done/", 1), ("", 2)):
        flaky = structs.replace(store, values=Flaky(store.values, prefix=prefix))
        world.runtime.store = flaky
        world.courier = world.build_courier()
        async with asyncio.TaskGroup() as group:
            try:
                await world.courier.look(group)
            except Unavailable:
                assert prefix == "webhook-due/"
        assert len(world.receiver.got) == sent
        world.clock.advance(61)
    assert set(ids(world.receiver.got)) == {world.receiver.got[0].id}
    assert await world.statuses() == [("run-1/2", "delivered", 1)]


class Flaky:
    """A `KeyValue` in which nothing can be written below a prefix."""

    def __init__(self, inner: KeyValue, *, prefix: str) -> None:
        self.inner = inner
        self.get = inner.get
        self.delete = inner.delete
        self.scan = inner.scan
        self._prefix = prefix

    async def put(self, key: str, value: bytes, *, if_revision: int | None = None, ttl_s: float | None = None) -> Entry:
        if self._prefix and key.startswith(self._prefix):
            raise Unavailable("the store is away")
        return await self.inner.put(key, value, if_revision=if_revision, ttl_s=ttl_s)


async def test_erasing_a_run_erases_what_was_told_of_it(world: World) -> None:
    """What waits, what was given up, and what was taken; those of other runs stay. Retention does the same."""
    await world.add("pending", events=("run.*",), url="http://127.0.0.1:9/in")
    await world.add("taken", events=("run.*",))
    for run in ("run-1", "run-2", "run-3"):
        await world.record(run)
    await world.deliver()
    runtime = world.runtime
    eraser = Eraser(runtime.store, tenant="default", clock=world.clock, audit=runtime.audit)
    await eraser.erase_run("run-1", by="ada")
    surveyor = Surveyor(runtime.store, tenant="default", clock=world.clock)
    await forget_run(runtime.store, surveyor, await runtime.show("run-2"))
    left = {key.split("/")[3] for key in await list_keys(world) if key.startswith(("webhook-due/", "webhook-done/"))}
    assert left == {"run-3"}


async def test_everything_together_beside_a_worker(world: World) -> None:
    """The relay and the courier as a worker opens them, on the machine's own time."""
    secret = await world.add(events=("run.completed",))
    sink = WebhookSink(world.runtime.store, wake=lambda: courier.wake())
    async with open_webhooks(world.runtime) as courier, Relay(world.runtime.store, [sink]).running():
        handle = await world.runtime.submit(TASK, agent="clerk")
        await handle.wait()
        await wait_until(lambda: bool(world.receiver.got))
    world.receiver.got[0].verify(secret, now=world.clock.now())
    with pytest.raises(KeyError):
        async with open_webhooks(world.runtime):
            raise KeyError("what the block itself raised")


async def test_what_is_under_way_may_end_when_it_is_stopped(world: World) -> None:
    """Whoever stops waits for the answer, and the delivery is settled."""
    await world.add(events=("run.failed",))
    await world.record("run-1", end="failed")
    await world.tell()
    world.receiver.hold = asyncio.Event()
    async with open_webhooks(world.runtime):
        await wait_until(lambda: world.receiver.at_once == 1)
        asyncio.get_running_loop().call_later(0.05, world.receiver.hold.set)
    assert await world.statuses() == [("run-1/2", "delivered", 1)]


async def test_notices_of_tenants_that_cannot_be_are_put_aside(world: World) -> None:
    """One that no webhook can want holds up no other."""
    await world.add(events=("run.failed",))
    for run, tenant in (("run-1", "../acme"), ("run-2", ""), ("run-3", "default")):
        await world.record(run, end="failed", tenant=tenant)
    await world.deliver()
    assert [got.data["run"] for got in world.receiver.got] == ["run-3"]
