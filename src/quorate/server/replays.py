"""How are recorded runs played again, and gone on from, over HTTP?"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Generator
from contextlib import contextmanager
from typing import Annotated, Literal, TypeVar

from litestar import Response, post
from litestar.params import FromPath, JSONBody
from litestar.router import Router
from litestar.status_codes import HTTP_200_OK, HTTP_201_CREATED
from msgspec import Meta, Struct

from quorate.agent.replay.compare import Change as RowChange
from quorate.agent.replay.compare import Comparison, Row, Side, Step
from quorate.agent.replay.divergence import Divergence
from quorate.agent.replay.exact import Replay
from quorate.agent.replay.fork import Change
from quorate.agent.replay.modified import UNCHANGED, Changes, ModifiedReplay, Policy
from quorate.errors import DeadlineExceeded, InvalidInput, QuorateError, RateLimited
from quorate.messages import Usage
from quorate.runtime.again import fork, play_exactly, play_modified
from quorate.server.access import need
from quorate.server.asked import Asked, find_runtime
from quorate.server.described import refuses
from quorate.server.doors import Gone, while_there
from quorate.server.idempotency import OnceKey, once
from quorate.server.runs import read_run
from quorate.server.session_rights import guard_run
from quorate.server.views import RunView, Word, check_limits
from quorate.specs import Limits

T = TypeVar("T")
_logger = logging.getLogger("quorate.server")
BENCH = "bench"
MAX_REPLAY_S = 60.0
"""How long a run may be played again in one request."""
MAX_OF_TENANT = 2
MAX_AT_ONCE = 8
"""How many runs are played again at once, of one tenant and in all."""
MAX_ROWS = 1_000
"""How many rows of a comparison are answered."""


class ForkRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """From where a run is to go on, and what is otherwise there."""

    at: Annotated[int, Meta(ge=1, le=10**12, examples=[3])]
    """The last event that still counts."""
    reply: Annotated[str, Meta(max_length=500_000)] | None = None
    """What the model answered there instead; only at a `model.replied`."""
    result: Annotated[str, Meta(max_length=500_000)] | None = None
    """What the call gave there instead; only at a `tool.finished` or `tool.failed`."""
    model: Word | None = None
    """Instead of the model it had."""
    limits: Limits | None = None
    """Instead of those it had; never above the server's."""
    rest: bool = False
    """Whether to begin it only: it rests until it is resumed."""


class ReplayRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a run is to be played again: as it was, unless something is to be otherwise."""

    mode: Literal["exact", "modified"] | None = None
    """`exact` asks nobody and compares every byte; `modified` really asks the model, and is meant where something is
    changed."""
    model: Word | None = None
    instructions: Annotated[str, Meta(max_length=100_000)] | None = None
    without_tools: Annotated[tuple[Word, ...], Meta(max_length=100)] = ()
    """Tools that are to be left out."""
    limits: Limits | None = None
    """Instead of those it had; never above the server's."""
    missing: Literal["stop", "refuse"] = "stop"
    """What becomes of calls whose like was not recorded, as none is really made: the replay stops, or the model is told
    and goes on."""


class DivergenceView(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The first difference."""

    seq: int
    """The place in the recorded log."""
    key: str = ""
    path: str = ""
    """The field that differs."""
    recorded: str
    replayed: str
    note: str = ""


class StepView(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One step of a run, in words."""

    seq: int
    key: str = ""
    text: str


class RowView(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line of two runs side by side."""

    change: RowChange
    recorded: StepView | None = None
    replayed: StepView | None = None


class SideView(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One of two runs."""

    status: str
    output: str = ""
    usage: Usage = Usage()
    cost_usd: float | None = None


class ReplayView(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="object", tag="replay"):
    """What came of playing a run again."""

    mode: Literal["exact", "modified"]
    run: str
    identical: bool | None = None
    """Whether both logs are the same to the byte; of an exact replay."""
    events: int
    """How many events the replay wrote."""
    divergence: DivergenceView | None = None
    output: str = ""
    """What the replay answered."""
    error: str = ""
    """Why the replay failed or stopped, where it did."""
    recorded: SideView | None = None
    replayed: SideView | None = None
    """Both sides of a modified replay."""
    output_similarity: float | None = None
    """From 0 (nothing in common) to 1 (the same)."""
    step_similarity: float | None = None
    rows: tuple[RowView, ...] = ()
    """Step by step, a thousand rows at most."""
    rows_left_out: int = 0
    refused: tuple[str, ...] = ()
    """The keys of the calls that were not made, as their like was not recorded."""


class Bench:
    """Counts who plays runs again: it takes more work than other requests do."""

    def __init__(self) -> None:
        self._taken = Counter[str]()

    @contextmanager
    def take(self, tenant: str) -> Generator[None]:
        """Play a run again while a block lasts.

        Raises:
            RateLimited: Too many are played at the moment.
        """
        if self._taken[tenant] >= MAX_OF_TENANT or self._taken.total() >= MAX_AT_ONCE:
            raise RateLimited("Too many runs are being played again at the moment: try again when they have ended.")
        self._taken[tenant] += 1
        try:
            yield
        finally:
            self._taken[tenant] -= 1
            if not self._taken[tenant]:
                del self._taken[tenant]


@post(
    "/runs/{run_id:str}/fork",
    opt=need("runs", "write"),
    status_code=HTTP_201_CREATED,
    summary="Go on from any event of a run",
    responses=refuses(409),
)
async def fork_run(
    request: Asked, run_id: FromPath[str], data: JSONBody[ForkRequest], idempotency_key: OnceKey = None
) -> Response[RunView]:
    """Go on, live, from any event of a run as a new run; what was recorded until there is not done again.

    What people approved and was not done yet is asked anew: an answer is for one run alone.
    """
    runtime, by = find_runtime(request), request.user.principal

    async def work() -> Response[RunView]:
        if data.reply is not None and data.result is not None:
            raise InvalidInput("`reply` and `result` exclude each other: an event has one of them.")
        new = await fork(
            runtime,
            run_id,
            at=data.at,
            change=Change(reply=data.reply, result=data.result, by=by),
            model=data.model,
            limits=check_limits(data.limits),
            by=by,
        )
        if not data.rest and request.app.state.works:
            try:
                await runtime.resume(new, by=by)
            except QuorateError as error:  # it is there all the same, and rests
                _logger.warning("run.left", extra={"run": new, "error": error.code})
        return Response(
            await read_run(runtime, new), status_code=HTTP_201_CREATED, headers={"Location": f"/v1/runs/{new}"}
        )

    return await once(request, idempotency_key, work)


@post(
    "/runs/{run_id:str}/replay",
    opt=need("runs", "write"),
    status_code=HTTP_200_OK,
    summary="Play a run again",
    responses=refuses(402, 409, 502, 504),
)
async def replay_run(request: Asked, run_id: FromPath[str], data: JSONBody[ReplayRequest | None] = None) -> ReplayView:
    """Play a run again, offline: the same log must come out, byte for byte; or anew, with something changed.

    An exact replay asks no model and calls no tool. A modified one really asks its model, calls no tool, and sets both
    runs side by side; nothing of it is recorded. Either ends with a minute, and at once when whoever asked leaves.
    """
    runtime, by, given = find_runtime(request), request.user.principal, data or ReplayRequest()
    changes = Changes(
        instructions=given.instructions, without=given.without_tools, limits=check_limits(given.limits)
    )  # fmt: skip
    is_changed = given.model is not None or changes != UNCHANGED
    if given.mode == "exact" and is_changed:
        raise InvalidInput("An exact replay changes nothing: leave `mode` out, or the changes.")
    bench: Bench = request.route_handler.opt[BENCH]
    with bench.take(runtime.tenant):
        if given.mode == "modified" or is_changed:
            policy = Policy(missing=given.missing)
            work = play_modified(runtime, run_id, model=given.model, changes=changes, policy=policy, by=by)
            return view_modified(run_id, await stay(request, work))
        return view_exact(run_id, await stay(request, play_exactly(runtime, run_id)))


async def stay(request: Asked, work: Awaitable[T], *, most_s: float = MAX_REPLAY_S) -> T:
    """Do something for as long as whoever asked is there, and not for longer than it may take.

    Raises:
        DeadlineExceeded: It took longer.
        InvalidInput: They left, so that nobody reads this.
    """
    bound = asyncio.timeout(most_s)
    try:
        async with bound:
            return await while_there(request.receive, work)
    except TimeoutError as error:
        if not bound.expired():
            raise
        raise DeadlineExceeded(
            f"The replay took longer than {most_s:g} seconds: play the run with `quorate runs replay`."
        ) from error
    except Gone as error:
        raise InvalidInput("Whoever asked has left.") from error


def view_exact(run: str, done: Replay[object]) -> ReplayView:
    """Show what an exact replay gave."""
    return ReplayView(
        mode="exact",
        run=run,
        identical=done.is_identical,
        events=len(done.events),
        divergence=_view_divergence(done.divergence),
        output=done.result.text if done.result is not None else "",
        error=done.error,
    )


def view_modified(run: str, done: ModifiedReplay[object]) -> ReplayView:
    """Show what a modified replay gave, beside what was recorded."""
    found: Comparison = done.comparison
    return ReplayView(
        mode="modified",
        run=run,
        events=len(done.events),
        divergence=_view_divergence(found.divergence),
        output=found.replayed.output,
        error=done.error,
        recorded=_view_side(found.recorded),
        replayed=_view_side(found.replayed),
        output_similarity=found.output_similarity,
        step_similarity=found.step_similarity,
        rows=tuple(_view_row(row) for row in found.rows[:MAX_ROWS]),
        rows_left_out=max(0, len(found.rows) - MAX_ROWS),
        refused=done.refused,
    )


def _view_divergence(found: Divergence | None) -> DivergenceView | None:
    if found is None:
        return None
    return DivergenceView(
        seq=found.seq, key=found.key, path=found.path, recorded=found.recorded, replayed=found.replayed,
        note=found.note,
    )  # fmt: skip


def _view_side(side: Side) -> SideView:
    return SideView(status=side.status, output=side.output, usage=side.usage, cost_usd=side.cost_usd)


def _view_row(row: Row) -> RowView:
    return RowView(change=row.change, recorded=_view_step(row.recorded), replayed=_view_step(row.replayed))


def _view_step(step: Step | None) -> StepView | None:
    return StepView(seq=step.seq, key=step.key, text=step.text) if step is not None else None


def build_router() -> Router:
    """Build the routes that play runs again."""
    return Router("/v1", route_handlers=[fork_run, replay_run], tags=["runs"], opt={BENCH: Bench()}, guards=[guard_run])
