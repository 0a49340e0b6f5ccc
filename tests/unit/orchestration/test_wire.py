"""Is whatever comes over the bus in place of a message or a task refused with a typed error?"""

import random
from collections.abc import Callable
from contextlib import suppress

import pytest

from quorate.agent.errand import (
    Accepted,
    Look,
    build_error,
    build_task_rules,
    encode,
    name_task_queue,
    read_news,
    read_question,
    read_standing,
    read_task,
    write_task,
)
from quorate.codec.formats import find_codec
from quorate.codec.schemas.agents import AgentMessage, AgentTask
from quorate.errors import Cancelled, InvalidInput, QuorateError, RateLimited
from quorate.messages import Text, build_user_message
from quorate.orchestration.letters import (
    CONTENT_TYPE,
    Letter,
    build_inbox_rules,
    name_inbox,
    read_letter,
    write_letter,
)
from quorate.ports.bus import Message

LETTER = Letter(
    message=AgentMessage(id="m-1", sender="lead", recipient="net", parts=(Text(text="hello"),), conversation="c"),
    time=1.0,
    after="m-0",
    after_until=2.5,
    box="box-1",
    trace="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
)
TASK = AgentTask(id="task-1", message=build_user_message("hello"), agent="net", deadline=9.0)


def as_message(data: bytes, content_type: str = "application/json") -> Message:
    return Message(subject="ai.agent.inbox.acme.net", data=data, headers={CONTENT_TYPE: content_type})


@pytest.mark.parametrize("name", ["json", "msgpack"])
def test_a_letter_is_read_as_it_was_written(name: str) -> None:
    """In every format, with what stands on its envelope."""
    codec = find_codec(name)
    data = write_letter(LETTER, tenant="acme", codec=codec)
    assert read_letter(as_message(data, codec.content_type), tenant="acme", agent="net") == LETTER


def test_a_task_is_read_as_it_was_written() -> None:
    """And so is whether its text is wanted."""
    for watch in (True, False):
        data = write_task(TASK, tenant="acme", time=1.0, watch=watch)
        assert read_task(as_message(data), tenant="acme", agent="net") == (TASK, watch)


READERS: dict[str, tuple[bytes, Callable[[bytes], object]]] = {
    "letter": (
        write_letter(LETTER, tenant="acme"),
        lambda data: read_letter(as_message(data), tenant="acme", agent="net"),
    ),
    "packed letter": (
        write_letter(LETTER, tenant="acme", codec=find_codec("msgpack")),
        lambda data: read_letter(as_message(data, "application/msgpack"), tenant="acme", agent="net"),
    ),
    "task": (
        write_task(TASK, tenant="acme", time=1.0, watch=True),
        lambda data: read_task(as_message(data), tenant="acme", agent="net"),
    ),
    "question": (encode(Look(task="task-1", after=3)), read_question),
    "standing": (b'{"agent":"net","run":"run-1","events":[]}', read_standing),
    "news": (encode(Accepted("run-1")), read_news),
}


@pytest.mark.parametrize("name", READERS)
def test_garbled_bytes_give_typed_errors_only(name: str) -> None:
    """Cut anywhere, and with bytes changed, doubled and left out."""
    data, read = READERS[name]
    chance = random.Random(7)
    cases = [data[:place] for place in range(len(data))]
    for _ in range(1000):
        garbled = bytearray(data)
        for _ in range(chance.randint(1, 4)):
            place = chance.randrange(len(garbled))
            garbled[place : place + chance.randint(0, 2)] = chance.randbytes(chance.randint(0, 3))
        cases.append(bytes(garbled))
    for case in cases:
        with suppress(QuorateError):
            read(case)


def test_names_that_are_too_long_for_a_queue_are_told_apart_all_the_same() -> None:
    """A queue's name is an id, and so is that of its dead letters."""
    long = ["a" * 62 + "b", "a" * 62 + "c"]
    assert len({name_inbox(agent) for agent in long} | {name_task_queue(agent) for agent in long}) == 4
    assert all(len(rule.name) <= 58 for rule in (*build_inbox_rules(long), *build_task_rules(long)))
    with pytest.raises(InvalidInput, match=r"agent name 'a\.b' is not an identifier"):
        build_inbox_rules(["a.b"])


def test_an_error_is_built_again_from_its_code() -> None:
    """An unknown code is an error all the same."""
    assert isinstance(build_error("cancelled", "enough", run="r"), Cancelled)
    assert isinstance(build_error("rate_limited", "wait"), RateLimited)
    assert type(build_error("what", "ever")) is QuorateError
    assert build_error("missing_extra", "needs more").message == "needs more"
