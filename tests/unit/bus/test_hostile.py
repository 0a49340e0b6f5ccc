"""Does anything that a bus is given, by its user or over the wire, end in more than a typed error?"""

import random
from collections.abc import Mapping
from contextlib import suppress

from quorate.agent.errand import read_task, write_task
from quorate.bus.backends.local import open_local_broker, open_local_bus
from quorate.bus.headers import (
    ATTEMPTS,
    MAX_BYTES,
    MAX_COUNT,
    REASON,
    TENANT,
    build_dead_headers,
    check_headers,
    count_bytes,
    pick_headers,
)
from quorate.bus.subjects import build_subject, check_pattern, check_subject, check_tenant
from quorate.codec.schemas.agents import AgentTask
from quorate.errors import Forbidden, InvalidInput, QuorateError, TooLarge
from quorate.messages import Message as Said
from quorate.messages import Text
from quorate.ports.bus import Message, Room, StreamRule

CASES = 10_000
TASKS = StreamRule(name="tasks", subjects=("ai.agent.tasks.acme",), kind="work", max_messages=100_000)
PIECES = (
    "ai", "agent", "tasks", "acme", "beta", "", "*", ">", "**", " ", ".", "..", "$JS", "$SYS", "_INBOX", "_INBOX_x", "é",
    "a\r\nb", "\x00", "\x7f", "a" * 300, "a*", ">b", "%s", "../x", "ＡＩ", "\ud800",
)  # fmt: skip
NAMES = (
    "Quorate-Tenant", "quorate-tenant", "QUORATE-TENANT", "Quorate-Tenant ", " Quorate-Tenant", "Quorate-Tenant-2", "note",
    "Nats-Msg-Id", "nats-rollup", "NATS-Expected-Stream", "Nats-TTL", "", "a b", "a\r", "é", "x" * 200, "traceparent",
)  # fmt: skip
VALUES = ("acme", "beta", "", " acme ", "a\x00b", "a\x1b[31m", "x" * 3000, "ünïcode", "a\tb", "acme\r", "\ud800")


def test_ten_thousand_subjects_are_subjects_or_typed_errors() -> None:
    """Wildcards, empty words, other tenants and the broker's own, as words, subjects and patterns."""
    chance, passed = random.Random(5), 0
    for _ in range(CASES):
        words = [chance.choice(PIECES) for _ in range(chance.randint(1, 6))]
        subject = ".".join(words)
        three = [*words, "a", "b"][:3]
        with suppress(InvalidInput):
            assert build_subject(*three).split(".") == ["ai", *three]
        for check in (check_subject, check_pattern):
            try:
                checked = check_tenant(check(subject), "acme")
            except (InvalidInput, Forbidden):
                continue
            passed += 1
            assert all(checked.split("."))
            assert not checked.startswith("$")
            parts = checked.split(".")
            assert parts[0] != "ai" or len(parts) < 4 or parts[3] in ("acme", "*", ">")
    assert passed > 100, "the cases are all the same"


def test_ten_thousand_headers_come_through_clean_or_not_at_all() -> None:
    """What a handler is given has no header of a broker's or a bus's, no control characters, and one tenant."""
    chance, ours = random.Random(6), 0
    for _ in range(CASES):
        pairs = [(chance.choice(NAMES), chance.choice(VALUES)) for _ in range(chance.randint(0, 8))]
        if chance.random() < 0.5:
            pairs.insert(chance.randint(0, len(pairs)), (TENANT, "acme"))
        kept = pick_headers(pairs, "acme")
        if kept is not None:
            ours += 1
            check_clean(kept)
            said = [value for name, value in pairs if name.strip().lower() == TENANT.lower()]
            assert said
            assert set(said) == {"acme"}
        try:
            check_clean(check_headers(dict(pairs)))
        except (InvalidInput, TooLarge):
            continue
    assert ours > 100, "the cases are all the same"


def check_clean(headers: Mapping[str, str]) -> None:
    for name, value in headers.items():
        assert not name.lower().startswith(("nats-", "quorate-tenant")), name
        assert name.isascii()
        assert name.isprintable()
        assert " " not in name
        assert value.isprintable()


def test_a_dead_letter_can_always_be_sent() -> None:
    """However many headers there were, and however long: what does not fit is left out, why it is one never."""
    for count, size in ((0, 0), (64, 10), (500, 10), (60, 400), (3, 9000), (1, 20_000)):
        headers = {f"name-{number}": "x" * size for number in range(count)}
        dead = build_dead_headers(headers, queue="tasks", subject="a" * 255, attempts=5, reason="why\r\n" * 1000)
        assert check_headers(dead) == dead
        assert dead[ATTEMPTS] == "5"
        assert dead[REASON].startswith("why why")
        assert len(dead) < MAX_COUNT
        assert count_bytes(dead) < MAX_BYTES
    forged = build_dead_headers({REASON: "forged"}, queue="tasks", subject="a", attempts=1, reason="real")
    assert forged[REASON] == "real"


def break_(data: bytes, chance: random.Random) -> bytes:
    """Cut, change, double, nest or swell some bytes."""
    broken = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        place = chance.randrange(len(broken) + 1)
        match chance.randrange(6):
            case 0:
                del broken[place:]
            case 1:
                broken[place : place + 1] = bytes([chance.randrange(256)])
            case 2:
                broken[place:place] = broken[: chance.randint(0, 60)]
            case 3:
                broken[place:place] = b"[" * chance.choice((10, 2000))
            case 4:
                broken[place:place] = b'{"tenant":"beta",'
            case _:
                broken[place:place] = chance.randbytes(chance.randint(1, 30))
    return bytes(broken)


def build_task(tenant: str) -> bytes:
    task = AgentTask(id="task-1", agent="net", message=Said(role="user", parts=(Text(text="why is it slow?"),)))
    return write_task(task, tenant=tenant, time=1.0, watch=True)


def read(message: Message) -> bool:
    """Read what came as whoever works for a tenant does; say whether it could be."""
    try:
        read_task(message, tenant="acme", agent="net")
    except QuorateError:
        return False
    return True


async def test_a_local_bus_outlives_ten_thousand_hostile_messages() -> None:
    """Each is refused with a typed error, or arrives as it was; what is good arrives among them, and other tenants'
    envelopes are refused."""
    chance, told, refused, arrived = random.Random(7), 0, 0, 0
    good, foreign = build_task("acme"), build_task("beta")
    async with (
        open_local_broker() as broker,
        open_local_bus("acme", streams=[TASKS], broker=broker) as bus,
        bus.subscribe("ai.>", room=Room(max_messages=4 * CASES)) as heard,
    ):
        for _ in range(CASES):
            data = foreign if chance.random() < 0.05 else break_(good, chance)
            subject = chance.choice(("ai.agent.tasks.acme", "ai.agent.told.acme", ".".join(chance.sample(PIECES, 3))))
            headers = {chance.choice(NAMES): chance.choice(VALUES)} if chance.random() < 0.3 else None
            try:
                if chance.random() < 0.1:
                    await bus.enqueue(subject, data, headers=headers, id=chance.choice((None, "", "a b", "x" * 300)))
                else:
                    await bus.publish(subject, data, headers=headers)
                told += 1
            except QuorateError:
                refused += 1
        await bus.publish("ai.agent.told.acme", good)
        await heard.drain()
        async for message in heard:
            arrived += read(message)
            assert message.data != foreign or not read(message)
    assert (told > 1000, refused > 1000, arrived > 0) == (True, True, True), (told, refused, arrived)
