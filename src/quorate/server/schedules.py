"""How is work that comes again and again looked after over HTTP?"""

from __future__ import annotations

import asyncio
import logging
from typing import Annotated

from litestar import Response, delete, get, post, put
from litestar.params import FromPath, JSONBody, QueryParameter
from litestar.router import Router
from litestar.status_codes import HTTP_200_OK, HTTP_201_CREATED, HTTP_202_ACCEPTED, HTTP_204_NO_CONTENT
from msgspec import Meta, Struct

from quorate.errors import CorruptState, InvalidInput
from quorate.runtime.schedules import Cron, Every, Policy, Record, Schedule, Schedules, Work
from quorate.runtime.schedules.moments import LONGEST_S, MAX_CRON, When
from quorate.runtime.schedules.records import Standing, get_standing, list_next
from quorate.runtime.schedules.schedule import MOST_LABELS, MOST_MADE_UP, CatchUp, Overlap
from quorate.server.access import need
from quorate.server.asked import Asked, Key, Limit, find_runtime
from quorate.server.described import refuses
from quorate.server.idempotency import OnceKey, once
from quorate.server.runs import read_run
from quorate.server.tags import IfMatch, IfNoneMatch, build_tag, matched, tag
from quorate.server.views import Page, RunView, Word, check_limits
from quorate.specs import Limits

SHOWN = 5
MAX_TASK = 100_000
_logger = logging.getLogger("quorate.server")

Moment = Annotated[float, Meta(ge=0, le=1e11)]
Count = Annotated[int, QueryParameter(ge=0, le=100, description="How many of the next moments to show.")]
Cursor = Annotated[str | None, QueryParameter(max_length=63, description="What `next_cursor` of a page said.")]


class LateRules(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What becomes of moments that are not like the others."""

    catch_up: CatchUp = "last"
    """Of moments that were missed, none is made up for (`skip`), the last one, or all."""
    most: Annotated[int, Meta(ge=1, le=MOST_MADE_UP)] = 100
    """For how many at most, where all are made up for."""
    grace_s: Annotated[float, Meta(ge=0, le=86_400)] = 60.0
    """How late a moment may be and still not count as missed."""
    overlap: Overlap = "allow"
    """Whether a moment is passed over while the run of the one before is under way (`skip`)."""
    jitter_s: Annotated[float, Meta(ge=0, le=86_400)] = 0.0
    """Up to how many seconds later than its moment it is submitted, by chance."""


class ScheduleTerms(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to be done again and again, and when: by `cron` or by `every_s`."""

    task: Annotated[str, Meta(min_length=1, max_length=MAX_TASK, examples=["why is http://127.0.0.1:9 slow?"])]
    cron: Annotated[str, Meta(min_length=1, max_length=MAX_CRON)] | None = None
    """Minute, hour, day of the month, month, day of the week, such as `30 6 * * MON-FRI`."""
    zone: Annotated[str, Meta(min_length=1, max_length=100)] | None = None
    """By the clocks of which place, such as `Europe/Berlin`; UTC when not given. It belongs to `cron`."""
    every_s: Annotated[int, Meta(ge=1, le=LONGEST_S, examples=[3600])] | None = None
    """At an even pace of so many seconds."""
    anchor: Moment | None = None
    """The first moment of the pace, in seconds since 1970. It belongs to `every_s`."""
    agent: Word | None = None
    """Who does it; found by the task's words when not given."""
    model: Word | None = None
    session: Word | None = None
    limits: Limits | None = None
    labels: Annotated[dict[Word, Annotated[str, Meta(max_length=256)]], Meta(max_length=MOST_LABELS)] = {}
    late: LateRules = LateRules()
    start: Moment | None = None
    """No moment is before it."""
    end: Moment | None = None
    """Every moment is before it."""
    paused: bool = False
    """Let no moment come yet."""


class ScheduleRequest(ScheduleTerms, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A schedule to keep."""

    name: Annotated[str, Meta(min_length=1, max_length=63, pattern="^[a-z0-9][a-z0-9-]*$", examples=["disks"])]


class LastView(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became of the last moment that was submitted."""

    moment: float
    time: float
    run: str = ""
    refused: str = ""
    """Why there is no run."""


class ScheduleView(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="object", tag="schedule"):
    """A schedule, and how far it is; times are seconds since 1970."""

    name: str
    status: Standing
    task: str
    cron: str | None = None
    zone: str | None = None
    every_s: int | None = None
    anchor: float | None = None
    agent: str | None = None
    model: str | None = None
    session: str | None = None
    limits: Limits | None = None
    labels: dict[str, str] = {}
    late: LateRules
    start: float | None = None
    end: float | None = None
    principal: str
    """In whose name it is submitted."""
    next: list[float] = []
    """The next moments, as they come if nothing is late."""
    last: LastView | None = None
    fired: int = 0
    missed: int = 0
    overlapped: int = 0


@post(
    "/schedules",
    opt=need("schedules", "write"),
    status_code=HTTP_201_CREATED,
    summary="Add a schedule",
    responses=refuses(409),
)
async def create_schedule(
    request: Asked, data: JSONBody[ScheduleRequest], idempotency_key: OnceKey = None
) -> Response[ScheduleView]:
    """Keep a task that is submitted again and again, in the name of whoever adds it; workers do its runs."""

    async def work() -> Response[ScheduleView]:
        schedule = read_schedule(data.name, data, by=request.user.principal)
        record = await Schedules(find_runtime(request)).add(schedule, by=request.user.principal)
        return await _answer(request, record, status_code=HTTP_201_CREATED)

    return await once(request, idempotency_key, work)


@get("/schedules", opt=need("schedules", "read"), summary="List schedules")
async def list_schedules(request: Asked, cursor: Cursor = None, limit: Limit = 50) -> Page[ScheduleView]:
    """List schedules by name, a page at a time, each with its next moment."""
    runtime = find_runtime(request)
    found = await Schedules(runtime).page(after=cursor or "", limit=limit)
    sound = list[Record]()
    for name, one in found:
        if isinstance(one, Record):
            sound.append(one)
        else:  # whoever asks for it by name is told why it does not read
            _logger.error("schedule.corrupt", extra={"schedule": name})
    views = await asyncio.to_thread(lambda: [view_schedule(one, now=runtime.clock.now(), count=1) for one in sound])
    following = found[-1][0] if len(found) == limit else None
    return Page(data=views, next_cursor=following)


@get("/schedules/{schedule_id:str}", opt=need("schedules", "read"), summary="Show a schedule")
async def show_schedule(
    request: Asked, schedule_id: FromPath[str], next: Count = SHOWN, if_none_match: IfNoneMatch = None
) -> Response[ScheduleView]:
    """Show a schedule, what became of its last moment, and the next ones."""
    return await _answer(request, await Schedules(find_runtime(request)).get(schedule_id), count=next)


@put(
    "/schedules/{schedule_id:str}",
    opt=need("schedules", "write"),
    summary="Replace a schedule, or add it",
    responses=refuses(409, 412),
)
async def put_schedule(
    request: Asked,
    schedule_id: FromPath[str],
    data: JSONBody[ScheduleTerms],
    if_match: IfMatch = None,
    if_none_match: IfNoneMatch = None,
) -> Response[ScheduleView]:
    """Keep a schedule under a name, in place of one that is there; what is decided of that one stays decided."""
    schedules, by = Schedules(find_runtime(request)), request.user.principal
    schedule = read_schedule(schedule_id, data, by=by)
    try:
        before = await schedules.find(schedule_id)
    except CorruptState:  # it is replaced, as nothing else can be done with it
        before = None
    expected = before.revision if before is not None else None
    with matched(request, build_tag(before.revision) if before is not None else None):
        wants = expected if if_match is not None else None
        is_new = before is None and if_none_match is not None
        record = await schedules.add(schedule, replace=not is_new, expected=wants, by=by)
    return await _answer(request, record)


@delete(
    "/schedules/{schedule_id:str}",
    opt=need("schedules", "write"),
    status_code=HTTP_204_NO_CONTENT,
    summary="Forget a schedule",
    responses=refuses(412),
)
async def delete_schedule(request: Asked, schedule_id: FromPath[str], if_match: IfMatch = None) -> None:
    """Forget a schedule; its runs stay."""
    schedules = Schedules(find_runtime(request))
    expected = await _find_expected(schedules, schedule_id, if_match)
    with matched(request, build_tag(expected or 0)):
        await schedules.delete(schedule_id, expected=expected, by=request.user.principal)


@post(
    "/schedules/{schedule_id:str}/pause",
    opt=need("schedules", "write"),
    status_code=HTTP_200_OK,
    summary="Pause a schedule",
    responses=refuses(412),
)
async def pause_schedule(
    request: Asked, schedule_id: FromPath[str], if_match: IfMatch = None
) -> Response[ScheduleView]:
    """Let no further moment come; one that was decided before is still submitted."""
    schedules = Schedules(find_runtime(request))
    expected = await _find_expected(schedules, schedule_id, if_match)
    with matched(request, build_tag(expected or 0)):
        record = await schedules.pause(schedule_id, expected=expected, by=request.user.principal)
    return await _answer(request, record)


@post(
    "/schedules/{schedule_id:str}/resume",
    opt=need("schedules", "write"),
    status_code=HTTP_200_OK,
    summary="Resume a schedule",
    responses=refuses(412),
)
async def resume_schedule(
    request: Asked, schedule_id: FromPath[str], if_match: IfMatch = None
) -> Response[ScheduleView]:
    """Let moments come again from now on; those of the pause are not made up for."""
    schedules = Schedules(find_runtime(request))
    expected = await _find_expected(schedules, schedule_id, if_match)
    with matched(request, build_tag(expected or 0)):
        record = await schedules.resume(schedule_id, expected=expected, by=request.user.principal)
    return await _answer(request, record)


@post(
    "/schedules/{schedule_id:str}/run",
    opt=need("schedules", "write"),
    status_code=HTTP_202_ACCEPTED,
    summary="Do it now, once",
    responses=refuses(402, 409),
)
async def run_schedule(request: Asked, schedule_id: FromPath[str], idempotency_key: Key = None) -> Response[RunView]:
    """Submit a schedule's task now, in the name of whoever asks; its moments come as before."""
    runtime = find_runtime(request)
    record = await Schedules(runtime).get(schedule_id)
    work = record.schedule.work
    handle = await runtime.submit(
        work.task,
        agent=work.agent,
        model=work.model,
        session=work.session,
        limits=work.limits,
        labels={**work.labels, "schedule": schedule_id},
        principal=request.user.principal,
        idempotency_key=idempotency_key,
        start=bool(request.app.state.works),
    )
    view = await read_run(runtime, handle.id)
    return Response(view, status_code=HTTP_202_ACCEPTED, headers={"Location": f"/v1/runs/{handle.id}"})


def read_schedule(name: str, terms: ScheduleTerms, *, by: str) -> Schedule:
    """Build the schedule that somebody wants.

    Raises:
        InvalidInput: It does not say when it comes, or says so twice.
    """
    late = terms.late
    return Schedule(
        name=name,
        work=Work(
            task=terms.task,
            agent=terms.agent,
            model=terms.model,
            session=terms.session,
            limits=check_limits(terms.limits),
            labels=terms.labels,
        ),
        when=read_when(terms),
        principal=by,
        policy=Policy(
            catch_up=late.catch_up, most=late.most, grace_s=late.grace_s, overlap=late.overlap, jitter_s=late.jitter_s
        ),
        start=terms.start,
        end=terms.end,
        paused=terms.paused,
    )


def read_when(terms: ScheduleTerms) -> When:
    """Read when something comes.

    Raises:
        InvalidInput: It is said neither by `cron` nor by `every_s`, or by both.
    """
    if terms.cron is not None and terms.every_s is None:
        if terms.anchor is not None:
            raise InvalidInput("`anchor` belongs to `every_s`: a cron expression needs none.")
        return Cron(expression=" ".join(terms.cron.split()), zone=terms.zone or "UTC")
    if terms.every_s is None or terms.cron is not None:
        raise InvalidInput("Say when it comes: either `cron`, such as '30 6 * * *', or `every_s`.")
    if terms.zone is not None:
        raise InvalidInput("`zone` belongs to `cron`: an even pace is the same everywhere.")
    return Every(seconds=terms.every_s, anchor=terms.anchor or 0.0)


def view_schedule(record: Record, *, now: float, count: int) -> ScheduleView:
    """Show a schedule and its next moments; it reads files, so it is done in a thread."""
    schedule, work, policy, when = record.schedule, record.schedule.work, record.schedule.policy, record.schedule.when
    last = record.last
    return ScheduleView(
        name=schedule.name,
        status=get_standing(record),
        task=work.task,
        cron=when.expression if isinstance(when, Cron) else None,
        zone=when.zone if isinstance(when, Cron) else None,
        every_s=when.seconds if isinstance(when, Every) else None,
        anchor=when.anchor if isinstance(when, Every) else None,
        agent=work.agent,
        model=work.model,
        session=work.session,
        limits=work.limits,
        labels=work.labels,
        late=LateRules(
            catch_up=policy.catch_up, most=policy.most, grace_s=policy.grace_s, overlap=policy.overlap,
            jitter_s=policy.jitter_s,
        ),
        start=schedule.start,
        end=schedule.end,
        principal=schedule.principal,
        next=list_next(record, now=now, count=count),
        last=LastView(moment=last.moment, time=last.time, run=last.run, refused=last.refused) if last else None,
        fired=record.fired,
        missed=record.missed,
        overlapped=record.overlapped,
    )  # fmt: skip


async def _answer(
    request: Asked, record: Record, *, count: int = SHOWN, status_code: int = HTTP_200_OK
) -> Response[ScheduleView]:
    now = find_runtime(request).clock.now()
    view = await asyncio.to_thread(view_schedule, record, now=now, count=count)
    headers = {"Location": f"/v1/schedules/{view.name}"} if status_code == HTTP_201_CREATED else {}
    return tag(request, view, revision=record.revision, status_code=status_code, headers=headers)


async def _find_expected(schedules: Schedules, name: str, if_match: str | None) -> int | None:
    """Find which revision a change is meant for; any where nobody says, or says that any is."""
    if if_match is None or if_match.strip() == "*":
        return None
    return (await schedules.get(name)).revision


def build_router() -> Router:
    """Build the routes about schedules."""
    handlers = [
        create_schedule,
        list_schedules,
        show_schedule,
        put_schedule,
        delete_schedule,
        pause_schedule,
        resume_schedule,
        run_schedule,
    ]
    return Router("/v1", route_handlers=handlers, tags=["schedules"])
