"""How do hooks take effect on model calls?"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Protocol, cast, runtime_checkable

from msgspec import structs

from quorate.errors import BlockedByPolicy, InvalidInput, QuorateError
from quorate.hooks.ask import Report, consult, describe_points, tell
from quorate.hooks.hook import Heard, Hook, Moment, Point, Verdict
from quorate.messages import Reply, ReplyDone, StreamItem
from quorate.ports import Model
from quorate.specs import ModelProfile, Request

POINTS: tuple[Point, ...] = ("model.before", "model.after")


@runtime_checkable
class _Closable(Protocol):
    async def aclose(self) -> None: ...


class HookedModel:
    """A `Model` whose requests and answers a hook is asked about.

    A denied call ends with `BlockedByPolicy`, which the run's log notes as `guard.blocked`. What hooks replaced, and
    which failed and let pass, stands in the reply's `notes`. Where answers are looked at, a stream is held until its
    end, so that nothing is shown that is then denied.
    """

    def __init__(self, inner: Model, hook: Hook, *, report: Report | None = None) -> None:
        """Put a hook around a model.

        Args:
            inner: The model.
            hook: Who is asked; several speak as one by `quorate.hooks.composite`.
            report: Hears of everything that hooks said.

        Raises:
            InvalidInput: The hook is never asked about models.
        """
        if useless := describe_points(hook, POINTS):
            raise InvalidInput(useless)
        self.inner = inner
        self.hook = hook
        self.profile: ModelProfile = inner.profile
        """What the inner model can do."""
        self._report = report

    async def complete(self, request: Request) -> Reply:
        """Answer in one piece.

        Raises:
            BlockedByPolicy: The hook denied the request or the answer, or failed and was declared to end the run.
        """
        said = _Notes(self._report)
        asked = await self._ask_before(request, said)
        try:
            reply = await self.inner.complete(asked)
        except QuorateError as error:
            self._hide_partial(error)
            raise
        return await self._ask_after(asked, reply, said)

    async def stream(self, request: Request) -> AsyncGenerator[StreamItem]:
        """Answer piece by piece, or all at the end where answers are looked at; raises what `complete` raises."""
        said = _Notes(self._report)
        asked = await self._ask_before(request, said)
        held: list[StreamItem] = []
        # Every stream of the house is an async generator; the port says less, so that others may differ.
        async with aclosing(cast("AsyncGenerator[StreamItem]", self.inner.stream(asked))) as items:
            try:
                async for item in items:
                    if type(item) is not ReplyDone:
                        if self.hook.takes("model.after"):
                            held.append(item)
                        else:
                            yield item
                        continue
                    reply = await self._ask_after(asked, item.reply, said)
                    if reply.message == item.reply.message:
                        for one in held:
                            yield one
                    yield ReplyDone(reply)
            except QuorateError as error:
                self._hide_partial(error)
                raise

    async def aclose(self) -> None:
        """Close the inner model's connections."""
        if isinstance(self.inner, _Closable):
            await self.inner.aclose()

    async def _ask_before(self, request: Request, said: _Notes) -> Request:
        if not self.hook.takes("model.before"):
            return request
        verdict = await self._consult(_build_moment("model.before", request), said)
        return verdict.value if isinstance(verdict.value, Request) else request

    async def _ask_after(self, request: Request, reply: Reply, said: _Notes) -> Reply:
        if self.hook.takes("model.after"):
            verdict = await self._consult(_build_moment("model.after", request, reply), said)
            reply = verdict.value if isinstance(verdict.value, Reply) else reply
        return structs.replace(reply, notes=(*reply.notes, *said.notes)) if said.notes else reply

    async def _consult(self, moment: Moment, said: _Notes) -> Verdict:
        verdict = await consult(self.hook, moment, said.hear)
        if verdict.decision == "deny":
            reason = verdict.reason or "no reason given"
            what = "the model's answer" if moment.point == "model.after" else "the model call"
            raise BlockedByPolicy(
                f"Hook `{self.hook.name}` denied {what}: {reason}", guard=self.hook.name, reason=reason
            )
        return verdict

    def _hide_partial(self, error: QuorateError) -> None:
        """Take from an error the part of an answer that no hook has looked at."""
        if self.hook.takes("model.after") and error.context.get("partial"):
            error.context = {**error.context, "partial": ""}


class _Notes:
    """What is worth a note in the reply, beside telling whoever listens."""

    def __init__(self, report: Report | None) -> None:
        self.notes: list[str] = []
        self._report = report

    def hear(self, moment: Moment, heard: Heard) -> None:
        if heard.failure:
            self.notes.append(f"hook {heard.hook}: {heard.failure}")
        elif heard.verdict.decision == "replace" and not heard.verdict.heard:
            what = "answer" if moment.point == "model.after" else "request"
            self.notes.append(f"hook {heard.hook}: replaced the {what}: {heard.verdict.reason or 'no reason given'}")
        if self._report is not None:
            tell(self._report, moment, heard)


def _build_moment(point: Point, request: Request, reply: Reply | None = None) -> Moment:
    caller = request.caller
    return Moment(
        point=point,
        run=caller.run,
        agent=caller.agent,
        key=request.key,
        tenant=caller.tenant,
        principal=caller.principal,
        session=caller.session,
        request=request,
        reply=reply,
    )
