"""Do messages between agents reach the right inbox, once, in order, with their replies?"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from time import time

import pytest
from tests.integration.orchestration.conftest import OpenBus

from quorate.bus.subjects import build_dead_subject, build_subject
from quorate.codec.formats import find_codec
from quorate.codec.schemas.agents import AgentMessage
from quorate.errors import DeadlineExceeded, InvalidInput, RateLimited, UnknownName, UpstreamError
from quorate.orchestration.letters import Letter, build_inbox_rules, get_text, name_inbox, write_letter
from quorate.orchestration.mailbox import Mailbox, open_mailbox
from quorate.ports import Store
from quorate.ports.bus import Bus

RULES = build_inbox_rules(["lead", "net", "scout"], tenant="acme", ack_wait_s=20, backoff_s=(0.05,))
OpenBox = Callable[[str], AbstractAsyncContextManager[Mailbox]]


@pytest.fixture
async def bus(open_bus: OpenBus) -> AsyncGenerator[Bus]:
    async with open_bus(RULES) as opened:
        yield opened


@pytest.fixture
def open_box(bus: Bus, store: Store) -> OpenBox:
    @asynccontextmanager
    async def open_one(agent: str) -> AsyncGenerator[Mailbox]:
        async with open_mailbox(agent, bus=bus, values=store.values, tenant="acme", ack_wait_s=20) as mailbox:
            yield mailbox

    return open_one


@asynccontextmanager
async def serving(mailbox: Mailbox, do: object, **how: object) -> AsyncGenerator[None]:
    stopping = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(mailbox.serve(do, stopping=stopping, **how))  # type: ignore[arg-type]
        while mailbox.agent not in {one.agent for one in await mailbox.directory.list_listeners()}:
            await asyncio.sleep(0.005)
        yield
        stopping.set()


async def test_a_message_is_in_the_inbox_of_its_addressee_and_the_reply_bears_its_id(open_box: OpenBox) -> None:
    """Also of one who reads later, and in nobody else's; delegating to an unknown agent is an error. row: A14"""
    async with open_box("lead") as lead, open_box("net") as net, open_box("scout") as scout:
        async with net.listen(), scout.listen():
            pass  # they are known from now on, and asleep
        sent = await lead.send("net", "look at host 7", conversation="outage", labels={"case": "12"})
        async with scout.listen() as others:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await anext(others)
        async with net.listen() as inbox:
            received = await anext(inbox)
            assert received.message == sent
            assert (sent.sender, sent.recipient, get_text(sent)) == ("lead", "net", "look at host 7")
            await received.ack()

            async def answer() -> None:
                asked = await anext(inbox)
                await asked.ack(f"{get_text(asked.message)}: yes")

            async with asyncio.TaskGroup() as group:
                group.create_task(answer())
                reply = await lead.request("net", "is port 80 open?", id="question-1", timeout_s=30)
        assert (reply.correlation, reply.sender, reply.recipient) == ("question-1", "net", "lead")
        assert get_text(reply) == "is port 80 open?: yes"
        with pytest.raises(UnknownName, match=r"There is no agent with an inbox 'nett'\. Did you mean `net`\?"):
            await lead.send("nett", "hello")
        with pytest.raises(UnknownName):
            await lead.request("nobody", "hello")


async def test_a_message_sent_or_delivered_twice_is_dealt_with_once(open_box: OpenBox, bus: Bus) -> None:
    """The mark in the store decides, not the broker's window: a copy under another name on the bus is passed over."""
    done: list[str] = []

    async def do(message: AgentMessage) -> str:
        done.append(message.id)
        return f"answer {len(done)}"

    async with open_box("lead") as lead, open_box("net") as net, serving(net, do):
        first = await lead.request("net", "how much?", id="q", timeout_s=30)
        again = await lead.request("net", "how much?", id="q", timeout_s=30)
        copy = write_letter(
            Letter(message=AgentMessage(id="q", sender="lead", recipient="net"), time=time()), tenant="acme"
        )
        await bus.enqueue(build_subject("agent", "inbox", "acme", "net"), copy, id="copy")
        await lead.request("net", "and then?", id="r", timeout_s=30)
    assert done == ["q", "r"]
    assert first == again
    assert get_text(first) == "answer 1"


async def test_a_conversation_keeps_its_order_although_a_message_fails(open_box: OpenBox) -> None:
    """Two readers, thirty messages in three conversations, and the third of each fails at first."""
    seen: dict[str, list[str]] = {"a": [], "b": [], "c": []}
    failed: set[str] = set()

    async def do(message: AgentMessage) -> None:
        text = get_text(message)
        await asyncio.sleep(0.001)
        if text == "3" and message.conversation not in failed:
            failed.add(message.conversation)
            raise RuntimeError("not now")
        seen[message.conversation].append(text)

    async with (
        open_box("lead") as lead,
        open_box("net") as one,
        open_box("net") as other,
        serving(one, do),
        serving(other, do),
    ):
        for number in range(10):
            await asyncio.gather(*(lead.send("net", str(number), conversation=name) for name in seen))
        async with asyncio.timeout(30):
            while any(len(texts) < 10 for texts in seen.values()):
                await asyncio.sleep(0.01)
    assert all(texts == [str(number) for number in range(10)] for texts in seen.values()), seen
    assert failed == {"a", "b", "c"}


async def test_a_poison_message_is_put_aside_and_the_next_goes_ahead(open_box: OpenBox, bus: Bus) -> None:
    """After five times it is a dead letter, and who asked is told what went wrong the last time."""
    seen: list[str] = []

    async def do(message: AgentMessage) -> str:
        seen.append(get_text(message))
        if seen[-1] == "poison":
            raise RuntimeError("it bit me")
        return "fine"

    async with (
        open_box("lead") as lead,
        open_box("net") as net,
        serving(net, do),
        bus.subscribe(build_dead_subject(name_inbox("net"), "acme"), after=0) as dead,
    ):
        asked = (lead.request("net", words, conversation="c", timeout_s=30) for words in ("poison", "food"))
        bad, good = await asyncio.gather(*asked, return_exceptions=True)
        assert isinstance(bad, UpstreamError)
        assert "It failed 5 times, the last time with: RuntimeError: it bit me" in bad.message
        assert isinstance(good, AgentMessage)
        assert get_text(good) == "fine"
        assert "it bit me" in (await anext(aiter(dead))).headers["Quorate-Reason"]
    assert seen == ["poison"] * 5 + ["food"]


async def test_a_message_that_came_first_waits_for_the_one_before_it(open_box: OpenBox, bus: Bus) -> None:
    """What is held back goes behind others in the end, and uses up none of its attempts."""
    subject, now = build_subject("agent", "inbox", "acme", "net"), time()
    letters = [
        Letter(
            message=AgentMessage(id=f"m{n}", sender="lead", recipient="net", conversation="c"),
            time=now,
            after=f"m{n - 1}" if n else "",
            after_until=now + 60,
        )
        for n in range(5)
    ]
    seen: list[str] = []

    async def do(message: AgentMessage) -> None:
        seen.append(message.id)

    async with open_box("net") as net, serving(net, do, max_in_flight=2):
        for letter in reversed(letters):
            await bus.enqueue(subject, write_letter(letter, tenant="acme"), id=letter.message.id)
        async with asyncio.timeout(30):
            while len(seen) < 5:
                await asyncio.sleep(0.01)
    assert seen == ["m0", "m1", "m2", "m3", "m4"]


async def test_a_broadcast_reaches_every_other_agent(open_box: OpenBox) -> None:
    """Once each, and not who says it."""
    async with (
        open_box("lead") as lead,
        open_box("net") as net,
        open_box("scout") as scout,
        lead.listen() as mine,
        net.listen() as first,
        scout.listen() as second,
    ):
        sent = await lead.broadcast("the meeting begins")
        assert [message.recipient for message in sent] == ["net", "scout"]
        for inbox in (first, second):
            received = await anext(inbox)
            assert get_text(received.message) == "the meeting begins"
            await received.ack()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await anext(mine)


async def test_nothing_is_dealt_with_after_its_deadline(open_box: OpenBox) -> None:
    """Whoever asks is told in time; what waits beyond its deadline is refused, by who sends and by who reads."""
    seen: list[str] = []

    async def do(message: AgentMessage) -> str:
        seen.append(get_text(message))
        return "late"

    async with open_box("lead") as lead, open_box("net") as net:
        async with net.listen():
            pass
        with pytest.raises(DeadlineExceeded, match=r"Agent 'net' did not answer message 'q' in 1 s\."):
            await lead.request("net", "quick?", id="q", timeout_s=1)
        with pytest.raises(DeadlineExceeded):
            await lead.send("net", "too late", deadline=time() - 1)
        async with serving(net, do):
            assert get_text(await lead.request("net", "now?", timeout_s=30)) == "late"
    assert seen == ["now?"]


async def test_who_asks_is_told_that_an_agent_could_not_answer(open_box: OpenBox) -> None:
    """What is hopeless is a dead letter at once, with its reason."""

    async def do(message: AgentMessage) -> str | None:
        if get_text(message) == "silence":
            return None
        raise InvalidInput("that is no question")

    async with open_box("lead") as lead, open_box("net") as net, serving(net, do):
        with pytest.raises(UpstreamError, match="Agent 'net' could not answer: that is no question") as caught:
            await lead.request("net", "?", timeout_s=30)
        assert caught.value.context["code"] == "invalid_input"
        with pytest.raises(UpstreamError, match="said nothing"):
            await lead.request("net", "silence", timeout_s=30)


async def test_what_is_no_message_for_the_agent_is_put_aside(open_box: OpenBox, bus: Bus) -> None:
    """Of another tenant, for somebody else, or garbage: only typed refusals, and the next message is read."""
    subject = build_subject("agent", "inbox", "acme", "net")
    message = AgentMessage(id="m", sender="lead", recipient="net")
    other = AgentMessage(id="n", sender="lead", recipient="scout")
    bad = [
        write_letter(Letter(message=message, time=0.0), tenant="evil"),
        write_letter(Letter(message=other, time=0.0), tenant="acme"),
        b"garbage",
        b"{" * 1000,
        write_letter(Letter(message=message, time=0.0), tenant="acme")[:-20],
    ]
    async with (
        open_box("lead") as lead,
        open_box("net") as net,
        net.listen() as inbox,
        bus.subscribe(build_dead_subject(name_inbox("net"), "acme"), after=0) as dead,
    ):
        for data in bad:
            await bus.enqueue(subject, data)
        await lead.send("net", "hello")
        received = await anext(inbox)
        assert get_text(received.message) == "hello"
        await received.ack()
        reasons = [(await anext(aiter(dead))).headers["Quorate-Reason"] for _ in bad]
    assert sum("belongs to another tenant" in reason for reason in reasons) == 1
    assert sum("is for 'scout', and came to 'net'" in reason for reason in reasons) == 1


async def test_what_a_dead_reader_left_is_read_by_another(open_bus: OpenBus, store: Store) -> None:
    """At least once: nobody answered, so it comes again."""
    async with open_bus(build_inbox_rules(["lead", "net"], tenant="acme", ack_wait_s=0.6)) as bus:
        how = {"bus": bus, "values": store.values, "tenant": "acme", "ack_wait_s": 0.6}
        async with open_mailbox("lead", **how) as lead, open_mailbox("net", **how) as net:  # type: ignore[arg-type]
            async with net.listen() as inbox:
                await lead.send("net", "do it", id="m")
                assert (await anext(inbox)).message.id == "m"
            async with net.listen() as inbox:
                async with asyncio.timeout(30):
                    received = await anext(inbox)
                assert (received.message.id, received.delivery.attempt) == ("m", 2)
                await received.ack()


async def test_formats_can_be_mixed(bus: Bus, store: Store) -> None:
    """Who reads need not know how others write."""
    how = {"bus": bus, "values": store.values, "tenant": "acme"}
    async with (
        open_mailbox("lead", codec=find_codec("msgpack"), **how) as lead,
        open_mailbox("net", **how) as net,
        net.listen() as inbox,
    ):  # type: ignore[arg-type]
        sent = await lead.send("net", "hello", conversation="c")
        received = await anext(inbox)
        assert received.message == sent
        await received.ack()


async def was_sent(lead: Mailbox) -> bool:
    try:
        await lead.send("net", "2", conversation="c", id="m2")
    except RateLimited:
        return False
    return True


async def test_a_full_inbox_refuses_what_comes(open_bus: OpenBus, store: Store) -> None:
    """Back pressure is a typed error, and what was refused can be sent again."""
    async with open_bus(build_inbox_rules(["net"], tenant="acme", max_messages=2)) as bus:
        how = {"bus": bus, "values": store.values, "tenant": "acme"}
        async with open_mailbox("lead", **how) as lead, open_mailbox("net", **how) as net:  # type: ignore[arg-type]
            async with net.listen():
                pass
            for number in range(2):
                await lead.send("net", str(number), conversation="c")
            with pytest.raises(RateLimited):
                await lead.send("net", "2", conversation="c", id="m2")
            async with net.listen() as inbox:
                received = await anext(inbox)
                assert get_text(received.message) == "0"
                await received.ack()
                async with asyncio.timeout(30):
                    while not await was_sent(lead):
                        await asyncio.sleep(0.01)
                for text in ("1", "2"):
                    received = await anext(inbox)
                    assert get_text(received.message) == text
                    await received.ack()
