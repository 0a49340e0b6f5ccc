"""Is whatever comes over the bus in place of a message or a task refused with a typed error?"""

import random
from collections.abc import Callable
from contextlib import suppress

import pytest

from quorate.agent.errand import (
    Accepted,
    Asked,
    Look,
    build_error,
    build_headers,
    build_task_rules,
    choose_answer,
    encode,
    name_task_queue,
    read_news,
    read_question,
    read_standing,
    read_task,
    write_task,
)
from quorate.codec.formats import ACCEPT, CONTENT_TYPE, find_codec
from quorate.codec.schemas.agents import AgentMessage, AgentTask
from quorate.errors import Cancelled, InvalidInput, QuorateError, RateLimited, UnknownName
from quorate.messages import Text, build_user_message
from quorate.orchestration.letters import (
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


PACKED = find_codec("msgpack")


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
        for codec in (find_codec("json"), PACKED):
            data = write_task(TASK, tenant="acme", time=1.0, watch=watch, codec=codec)
            read = read_task(as_message(data, codec.content_type), tenant="acme", agent="net")
            assert read == Asked(task=TASK, watch=watch)
    for trace, known in ((LETTER.trace, LETTER.trace), ("00-garbage", "")):
        data = write_task(TASK, tenant="acme", time=1.0, watch=False, trace=trace)
        assert read_task(as_message(data), tenant="acme", agent="net").trace == known


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
    "question": (encode(Look(task="task-1", after=3)), lambda data: read_question(as_message(data))),
    "packed question": (
        PACKED.encode(Look(task="task-1", after=3)),
        lambda data: read_question(as_message(data, "application/msgpack")),
    ),
    "standing": (b'{"agent":"net","run":"run-1","events":[]}', lambda data: read_standing(as_message(data))),
    "news": (encode(Accepted("run-1")), lambda data: read_news(as_message(data))),
    "packed news": (
        PACKED.encode(Accepted("run-1")),
        lambda data: read_news(as_message(data, "application/msgpack")),
    ),
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


def test_an_unknown_content_type_is_a_typed_error() -> None:
    """Nothing is guessed: what cannot be read is refused, and news of it are passed over."""
    letter, task = write_letter(LETTER, tenant="acme"), write_task(TASK, tenant="acme", time=1.0, watch=False)
    for read in (
        lambda: read_letter(as_message(letter, "text/yaml"), tenant="acme", agent="net"),
        lambda: read_task(as_message(task, "text/yaml"), tenant="acme", agent="net"),
        lambda: read_question(as_message(encode(Look(task="task-1")), "text/yaml")),
        lambda: read_standing(as_message(b"{}", "text/yaml")),
    ):
        with pytest.raises(UnknownName, match="There is no format 'text/yaml'"):
            read()
    assert read_news(as_message(encode(Accepted("run-1")), "text/yaml")) is None


@pytest.mark.parametrize(
    ("accept", "name"),
    [
        ("", "json"),
        ("application/json", "json"),
        ("application/x-msgpack", "msgpack"),
        ("application/protobuf;q=0.9, application/msgpack;q=0.5", "msgpack"),
        ("*/*", "json"),
    ],
)
def test_whoever_asks_says_in_which_format_the_answer_is_read(accept: str, name: str) -> None:
    """Of those that answers can be written in, the one that is wanted most; JSON where nothing is said."""
    assert choose_answer({ACCEPT: accept} if accept else {}).name == name


def test_an_answer_that_cannot_be_written_is_refused() -> None:
    """Never in another format than those that are read."""
    with pytest.raises(InvalidInput, match="None of the formats 'application/protobuf' can be written"):
        choose_answer({ACCEPT: "application/protobuf"})
    assert build_headers(find_codec("json")) == {CONTENT_TYPE: "application/json", ACCEPT: "application/json"}
    assert build_headers(PACKED)[ACCEPT] == "application/msgpack"


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
