"""What did people think of an answer, and what should it have been?

Feedback is kept beside the log, by tenant and run, so that it can be listed with a run, exported for learning, and
erased with a person's data. It never changes a run.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct, structs

from quorate.clock import SYSTEM_CLOCK, Clock
from quorate.errors import Conflict, InvalidInput, NotFound
from quorate.events import AnyEvent, ModelReplied, RunCreated
from quorate.ids import check_id, new_id
from quorate.ports import KeyValue, Log

PREFIX = "feedback"
MOST_TEXT = 16_384
"""Characters of a correction or a comment."""
MOST_OF_RUN = 1000
"""How many pieces are kept of one run."""
PAGE = 100
Text = Annotated[str, Meta(max_length=MOST_TEXT)]


class Feedback(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=False):
    """What somebody thought of one answer of a run, or of the run as a whole."""

    tenant: str
    run: str
    """The run's id."""
    key: Annotated[str, Meta(max_length=400)] = ""
    """The step's key in the run's log, such as `2/model`; empty for the run as a whole."""
    reply: Annotated[str, Meta(max_length=200)] = ""
    """The provider's id for the reply, where one is known."""
    principal: str = "local"
    """Who says so."""
    rating: Annotated[float, Meta(ge=0.0, le=1.0)] | None = None
    """From 0, useless, to 1, right; a thumb is 0 or 1."""
    correction: Text = ""
    """What the answer should have been."""
    comment: Text = ""
    labels: Annotated[
        dict[Annotated[str, Meta(max_length=64)], Annotated[str, Meta(max_length=256)]], Meta(max_length=16)
    ] = {}
    """Short facts to sort by, such as `topic: dns`."""
    source: Literal["person", "program", "model"] = "person"
    """Who judged: a model's judgement is never counted as a person's."""
    id: str = ""
    """Given when it is saved."""
    created: float = 0.0
    """When it was saved, in seconds since 1970."""


class FeedbackSummary(Struct, frozen=True, kw_only=True):
    """Feedback in numbers."""

    count: int
    rated: int
    rating: float | None
    """The mean of the ratings; `None` where there are none."""
    corrections: int
    comments: int


class FeedbackStore:
    """Keeps feedback in a database, each tenant's by itself."""

    def __init__(self, values: KeyValue, *, log: Log | None = None, clock: Clock = SYSTEM_CLOCK) -> None:
        """Build it.

        Args:
            values: Where feedback is kept.
            log: Where runs are; feedback on what it has not is refused.
            clock: The time of feedback.
        """
        self._values = values
        self._log = log
        self._clock = clock

    async def save(self, feedback: Feedback, *, if_revision: int | None = None) -> Feedback:
        """Keep feedback and return it with its id and time; what has an id already replaces what is kept under it.

        Args:
            feedback: What is said.
            if_revision: The revision that it may replace; any when not given.

        Raises:
            InvalidInput: It says nothing, or an id or a value is not one; the message says which.
            NotFound: There is no such run of this tenant, or no such step in it.
            Conflict: It replaces feedback that is not there, or somebody else's, or that was changed meanwhile; or so
                much was said of the run that no more is kept.
        """
        check_feedback(feedback)
        if self._log is not None:
            feedback = link_feedback(feedback, await self._log.read(feedback.run))
        if feedback.id:
            before, revision = await self.find(feedback.tenant, feedback.run, feedback.id) or (None, 0)
            if before is None or before.principal != feedback.principal:
                raise Conflict(
                    f"There is no feedback {feedback.id!r} of {feedback.principal!r} for run {feedback.run!r}: save it "
                    "without an id.",
                    id=feedback.id,
                )
            saved = structs.replace(feedback, created=before.created)
            revision = revision if if_revision is None else if_revision
        else:
            await self._check_room(feedback)
            saved, revision = structs.replace(feedback, id=new_id("fb"), created=self._clock.now()), 0
        place = _place(saved.tenant, saved.run, saved.id)
        await self._values.put(place, msgspec.json.encode(saved), if_revision=revision)
        return saved

    async def _check_room(self, feedback: Feedback) -> None:
        said = self.iterate(feedback.tenant, run=feedback.run)
        if sum([1 async for _ in said]) >= MOST_OF_RUN:
            raise Conflict(
                f"{MOST_OF_RUN} pieces of feedback are kept for run {feedback.run!r}, and no more are: change one, or "
                "delete one.",
                run=feedback.run,
            )

    async def get(self, tenant: str, run: str, id: str) -> Feedback | None:
        """Return feedback, or `None`."""
        found = await self.find(tenant, run, id)
        return None if found is None else found[0]

    async def find(self, tenant: str, run: str, id: str) -> tuple[Feedback, int] | None:
        """Return feedback and its revision, or `None`."""
        check_place(tenant, run)
        entry = await self._values.get(_place(tenant, run, check_id(id, "feedback id")))
        return None if entry is None else (msgspec.json.decode(entry.value, type=Feedback), entry.revision)

    async def list(
        self, tenant: str, *, run: str = "", key: str = "", after: str = "", limit: int = PAGE
    ) -> list[Feedback]:
        """List a tenant's feedback: of a run from old to new, else run by run.

        Args:
            tenant: Whose.
            run: Of this run alone.
            key: Of this step of the run alone.
            after: The last one of the page before, as `RUN/ID`.
            limit: The most to return.
        """
        found: list[Feedback] = []
        async for feedback in self.iterate(tenant, run=run, after=after):
            if not key or feedback.key == key:
                found.append(feedback)
                if len(found) >= limit:
                    break
        return found

    async def iterate(self, tenant: str, *, run: str = "", after: str = "") -> AsyncGenerator[Feedback]:
        """Yield a tenant's feedback in the order of `list`."""
        check_place(tenant, run)
        prefix = f"{PREFIX}/{tenant}/{run}/" if run else f"{PREFIX}/{tenant}/"
        last = f"{PREFIX}/{tenant}/{after}" if after else ""
        while entries := await self._values.scan(prefix, after=last, limit=PAGE):
            for entry in entries:
                yield msgspec.json.decode(entry.value, type=Feedback)
            last = entries[-1].key

    async def export(self, tenant: str, *, run: str = "") -> AsyncGenerator[bytes]:
        """Yield a tenant's feedback as lines of JSON, one for each, for learning and evaluation elsewhere."""
        async for feedback in self.iterate(tenant, run=run):
            yield msgspec.json.encode(feedback) + b"\n"

    async def summarize(self, tenant: str, *, run: str = "") -> FeedbackSummary:
        """Count a tenant's feedback, or a run's."""
        count = rated = corrections = comments = 0
        total = 0.0
        async for feedback in self.iterate(tenant, run=run):
            count += 1
            corrections += bool(feedback.correction)
            comments += bool(feedback.comment)
            if feedback.rating is not None:
                rated += 1
                total += feedback.rating
        return FeedbackSummary(
            count=count,
            rated=rated,
            rating=total / rated if rated else None,
            corrections=corrections,
            comments=comments,
        )

    async def delete(
        self, tenant: str, run: str, id: str = "", *, principal: str | None = None, if_revision: int | None = None
    ) -> int:
        """Forget one piece of feedback, or all of a run, and say how many there were.

        Args:
            tenant: Whose.
            run: Of which run.
            id: Which one; all of them when empty.
            principal: Of all of them, only what they said.
            if_revision: Of one, only that very revision.

        Raises:
            Conflict: It has another revision.
        """
        check_id(tenant, "tenant")
        check_id(run, "run id")
        if id:
            place = _place(tenant, run, check_id(id, "feedback id"))
            return int(await self._values.delete(place, if_revision=if_revision))
        gone = 0
        async for feedback in self.iterate(tenant, run=run):
            if principal in (None, feedback.principal):
                gone += await self._values.delete(_place(tenant, run, feedback.id))
        return gone


def check_feedback(feedback: Feedback) -> None:
    """Raise `InvalidInput` when feedback says nothing, or does not say of what."""
    check_id(feedback.tenant, "tenant")
    check_id(feedback.run, "run id")
    if feedback.id:
        check_id(feedback.id, "feedback id")
    if feedback.rating is None and not (feedback.correction or feedback.comment or feedback.labels):
        raise InvalidInput("The feedback says nothing: give a rating from 0 to 1, a correction or a comment.")
    try:
        msgspec.convert(structs.asdict(feedback), Feedback)
    except msgspec.ValidationError as error:
        raise InvalidInput(f"The feedback is not valid: {error}") from error


def link_feedback(feedback: Feedback, events: Sequence[AnyEvent]) -> Feedback:
    """Return feedback with the id of the reply it is about, which the run's log knows.

    Raises:
        NotFound: The log is of no run of this tenant, or has no such step.
    """
    created = next((event for event in events if isinstance(event, RunCreated)), None)
    if created is None or created.tenant != feedback.tenant:
        raise NotFound(f"There is no run {feedback.run!r}.", run=feedback.run)
    if not feedback.key:
        return feedback
    step = [event for event in events if event.key == feedback.key]
    if not step:
        raise NotFound(
            f"Run {feedback.run!r} has no step {feedback.key!r}: see `quorate runs show {feedback.run} --events`.",
            run=feedback.run,
            key=feedback.key,
        )
    replied = next((event.reply.id for event in step if isinstance(event, ModelReplied)), "")
    return structs.replace(feedback, reply=replied) if replied else feedback


def check_place(tenant: str, run: str) -> None:
    """Raise `InvalidInput` when a tenant or a run is no identifier; no run is one."""
    check_id(tenant, "tenant")
    if run:
        check_id(run, "run id")


def _place(tenant: str, run: str, id: str) -> str:
    return f"{PREFIX}/{tenant}/{run}/{id}"
