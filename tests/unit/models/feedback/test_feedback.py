"""Is what people thought of an answer kept with it, for its tenant alone?"""

from collections.abc import AsyncGenerator

import msgspec
import pytest
from msgspec import structs

from quorate.errors import Conflict, InvalidInput, NotFound
from quorate.events import AnyEvent, ModelReplied, ModelRequested, RunCreated
from quorate.messages import Message, Reply, Text, build_user_message
from quorate.models.feedback import MOST_TEXT, Feedback, FeedbackStore, FeedbackSummary
from quorate.specs import Request
from quorate.state.backends.memory import open_memory_store
from quorate.testing.clock import ManualClock

UP = Feedback(tenant="acme", run="run-1", key="1/model", rating=1.0)
REPLY = Reply(message=Message(role="assistant", parts=(Text(text="yes"),)), id="reply-7")
LOG: list[AnyEvent] = [
    RunCreated(run="run-1", seq=1, time=1.0, agent="net", messages=(build_user_message("hi"),), tenant="acme"),
    ModelReplied(run="run-1", seq=2, time=2.0, key="1/model", reply=REPLY),
]


@pytest.fixture
async def store() -> AsyncGenerator[FeedbackStore]:
    async with open_memory_store() as opened:
        await opened.log.append("run-1", LOG, expected=0)
        yield FeedbackStore(opened.values, log=opened.log, clock=ManualClock(1000.0))


async def test_feedback_is_linked_to_its_run_and_reply(store: FeedbackStore) -> None:
    """Rating, correction and comment, with the provider's id of the very reply. row: A17"""
    given = structs.replace(UP, rating=0.0, correction="no", comment="wrong host", principal="ann")
    saved = await store.save(given)
    assert saved == structs.replace(given, id=saved.id, created=1000.0, reply="reply-7")
    assert await store.get("acme", "run-1", saved.id) == saved
    assert await store.list("acme", run="run-1", key="1/model") == [saved]
    assert await store.list("acme", run="run-1", key="2/model") == []
    assert [msgspec.json.decode(line, type=Feedback) async for line in store.export("acme")] == [saved]


async def test_another_tenant_sees_and_says_nothing(store: FeedbackStore) -> None:
    """Its runs are not there, nor is what was said of them."""
    await store.save(UP)
    assert await store.list("other") == []
    with pytest.raises(NotFound, match=r"^There is no run 'run-1'\.$"):
        await store.save(structs.replace(UP, tenant="other"))
    with pytest.raises(InvalidInput, match="tenant 'acme/run-1' is not an identifier"):
        await store.list("acme/run-1")


async def test_what_was_never_run_has_no_feedback(store: FeedbackStore) -> None:
    """The message says where to look."""
    with pytest.raises(NotFound, match="There is no run 'run-2'"):
        await store.save(structs.replace(UP, run="run-2"))
    with pytest.raises(NotFound, match="Run 'run-1' has no step '9/model': see `quorate runs show run-1 --events`"):
        await store.save(structs.replace(UP, key="9/model"))


async def test_a_run_as_a_whole_has_feedback_too(store: FeedbackStore) -> None:
    """It is then about no reply."""
    saved = await store.save(structs.replace(UP, key="", rating=0.5))
    assert saved.reply == ""


async def test_feedback_is_changed_by_whoever_gave_it(store: FeedbackStore) -> None:
    """And by nobody else; its time stays."""
    saved = await store.save(UP)
    changed = await store.save(structs.replace(saved, rating=0.25))
    assert (changed.id, changed.created, changed.rating) == (saved.id, saved.created, 0.25)
    assert len(await store.list("acme")) == 1
    with pytest.raises(Conflict, match="There is no feedback"):
        await store.save(structs.replace(saved, principal="bob"))
    with pytest.raises(Conflict):
        await store.save(structs.replace(saved, id="fb-unknown"))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"rating": None}, r"The feedback says nothing: give a rating from 0 to 1, a correction or a comment\."),
        ({"rating": 1.5}, r"`float` <= 1\.0 - at `\$\.rating`"),
        ({"rating": float("nan")}, r"`float` >= 0\.0 - at `\$\.rating`"),
        ({"comment": "x" * (MOST_TEXT + 1)}, r"length <= 16384 - at `\$\.comment`"),
        ({"run": ""}, "run id '' is not an identifier"),
        ({"source": "oracle"}, "Invalid enum value 'oracle'"),
        ({"labels": {"a": "x" * 300}}, "labels"),
    ],
)
async def test_what_is_no_feedback_is_refused(store: FeedbackStore, changes: dict[str, object], said: str) -> None:
    """The message says which value is wrong."""
    with pytest.raises(InvalidInput, match=said):
        await store.save(structs.replace(UP, **changes))


async def test_feedback_in_numbers(store: FeedbackStore) -> None:
    """Means are of what was rated alone."""
    assert await store.summarize("acme") == FeedbackSummary(count=0, rated=0, rating=None, corrections=0, comments=0)
    await store.save(UP)
    await store.save(structs.replace(UP, rating=0.0, comment="no"))
    await store.save(structs.replace(UP, rating=None, correction="yes"))
    wanted = FeedbackSummary(count=3, rated=2, rating=0.5, corrections=1, comments=1)
    assert await store.summarize("acme", run="run-1") == wanted


async def test_feedback_is_listed_in_pages_and_forgotten(store: FeedbackStore) -> None:
    """In the order it came; by one, or with its run."""
    saved = [await store.save(structs.replace(UP, comment=str(number))) for number in range(5)]
    listed = await store.list("acme", limit=3)
    listed += await store.list("acme", after=f"{listed[-1].run}/{listed[-1].id}")
    assert sorted(one.id for one in listed) == sorted(one.id for one in saved)
    assert await store.delete("acme", "run-1", saved[0].id) == 1
    assert await store.get("acme", "run-1", saved[0].id) is None
    assert await store.delete("acme", "run-1") == 4
    assert await store.list("acme") == []


async def test_without_a_log_nothing_is_looked_up() -> None:
    """A program that keeps its runs elsewhere may keep feedback here."""
    async with open_memory_store() as opened:
        saved = await FeedbackStore(opened.values).save(structs.replace(UP, reply="theirs"))
        assert (saved.run, saved.reply) == ("run-1", "theirs")


def test_the_events_used_here_are_those_of_the_log() -> None:
    """A request is no reply: feedback on it has no reply's id."""
    assert ModelRequested.__struct_config__.tag == "model.requested"
    assert Request(messages=()).key == ""
