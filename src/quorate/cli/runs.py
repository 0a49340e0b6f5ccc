"""What does `quorate runs` do?"""

from __future__ import annotations

import getpass
from collections.abc import Iterator
from typing import Annotated, get_args

import typer

from quorate.cli.console import Line, say, say_all, say_json, say_json_line, say_styled, tell
from quorate.cli.facts import describe_event, render_event, render_events
from quorate.cli.failures import get_status_code
from quorate.cli.opening import run_with_runtime
from quorate.cli.options import Json, Quiet, RunId
from quorate.cli.render import (
    build_document,
    build_failure,
    count_calls,
    render_failure,
    render_recorded,
    render_report,
)
from quorate.cli.watch import is_failed_run, watch
from quorate.cli.words import align, clean_line, show_cost, show_duration, show_time
from quorate.errors import InvalidInput, NotFound, QuorateError, UnknownName
from quorate.events import (
    ENDINGS,
    AnyEvent,
    ApprovalRequested,
    RunCompleted,
    RunSummary,
    RunWaiting,
    Status,
)
from quorate.runtime import Runtime, find_questions

MOST_LISTED = 20


def add_commands(app: typer.Typer) -> None:
    """Add the commands about runs."""
    group = typer.Typer(
        help="List, show, follow, resume, replay, cancel and answer runs.", rich_markup_mode=None, no_args_is_help=True
    )
    group.command("list")(list_runs)
    group.command("show")(show_run)
    group.command("events")(show_events)
    group.command("resume")(resume_run)
    group.command("replay")(replay_run)
    group.command("cancel")(cancel_run)
    group.command("decide")(decide)
    app.add_typer(group, name="runs")


def list_runs(
    *,
    status: Annotated[str | None, typer.Option("--status", help="Only those that stand so, such as waiting.")] = None,
    agent: Annotated[str | None, typer.Option("--agent", "-a", help="Only those of an agent.")] = None,
    before: Annotated[str | None, typer.Option("--before", metavar="RUN", help="Only those older than a run.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000, help="How many to show.")] = MOST_LISTED,
    json: Json = False,
) -> None:
    """List runs, the newest first."""
    chosen = _read_status(status)

    async def work(runtime: Runtime) -> list[RunSummary]:
        return await runtime.list_runs(status=chosen, agent=agent, before=before, limit=limit)

    found = run_with_runtime(work)
    if json:
        say_json(found)
        return
    say_all(
        align([(s.run, s.status, s.agent, show_time(s.created), clean_line(s.task, most=60)) for s in found])
        or ['There are no such runs. Begin one: `quorate run "why is localhost slow?"`.']
    )
    if len(found) == limit:
        tell(f"Older ones: quorate runs list --before {found[-1].run}")


def show_run(
    run: RunId,
    *,
    events: Annotated[bool, typer.Option("--events", help="Show everything that was recorded, too.")] = False,
    json: Json = False,
) -> None:
    """Show how a run stands, what it gave, and with `--events` everything that was recorded."""

    async def work(runtime: Runtime) -> tuple[RunSummary, list[AnyEvent]]:
        return await runtime.show(run), await runtime.log.read(run)

    summary, log = run_with_runtime(work)
    if json:
        say_json({"run": summary, "events": log} if events else {"run": summary})
        return
    say_all(_render_summary(summary, count_calls(log)))
    say_styled(_render_end(log))
    if events:
        say()
        say_all(render_events(log))


def show_events(
    run: RunId,
    *,
    after: Annotated[int, typer.Option("--after", min=0, help="Only those behind this place in the log.")] = 0,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the run ends or rests.")] = False,
    json: Json = False,
) -> None:
    """Show what was recorded of a run, one line for each event; with `--json`, one document for each."""

    async def work(runtime: Runtime) -> None:
        first = await runtime.log.read(run, limit=1)
        if not first:
            raise NotFound(f"There is no run {run!r}: list them with `quorate runs list`.")
        began = first[0].time

        def show(event: AnyEvent) -> None:
            if json:
                say_json_line(event)
            else:
                say(render_event(event, began=began))

        if follow:
            async for event in runtime.follow(run, after=after):
                show(event)
        else:
            for event in await runtime.log.read(run, after=after):
                show(event)

    run_with_runtime(work)


def resume_run(run: RunId, *, json: Json = False, quiet: Quiet = False) -> int:
    """Go on with a run that rests or whose process died; no recorded step is made again."""

    async def work(runtime: Runtime) -> int:
        before = await runtime.log.read(run)
        handle = await runtime.resume(run)
        try:
            result, code = await watch(handle, quiet=quiet, before=before)
        except QuorateError as error:
            if not is_failed_run(error):
                raise
            tell(f"quorate: {render_failure(error, agent=handle.agent)}")
            if json:
                say_json(build_failure(error, agent=handle.agent))
            return 1
        if json:
            say_json(build_document(result))
        else:
            say_styled(render_report(result))
        return code

    return run_with_runtime(work)


def replay_run(run: RunId, *, json: Json = False) -> int:
    """Drive a run again from its log alone: no model, no tool, no network; it must come to the same end."""

    async def work(runtime: Runtime) -> int:
        result = await runtime.replay(run)
        if json:
            say_json({**build_document(result), "replayed": True})
        else:
            say(f"Replayed {run} offline: it comes to the same end.")
            say_styled(render_report(result))
        return get_status_code(result.status)

    return run_with_runtime(work)


def cancel_run(
    run: RunId,
    *,
    reason: Annotated[str, typer.Option("--reason", help="Why; it is recorded.")] = "",
    json: Json = False,
) -> None:
    """Stop a run, wherever it is worked on."""

    async def work(runtime: Runtime) -> RunSummary:
        await runtime.cancel(run, reason=reason, by=_get_user())
        return await runtime.show(run)

    summary = run_with_runtime(work)
    if json:
        say_json({"run": summary})
    elif summary.status == "cancelled":
        say(f"Run {run} is cancelled.")
    else:
        say(f"Run {run} was asked to stop; whoever works on it ends it at the next step.")


def decide(
    run: RunId,
    key: Annotated[
        str | None, typer.Argument(metavar="KEY", help="What is answered, if it asked several things.")
    ] = None,
    *,
    approve: Annotated[
        bool | None, typer.Option("--approve/--reject", help="Whether the call may be made.", show_default=False)
    ] = None,
    reason: Annotated[str, typer.Option("--reason", help="Why; it is recorded.")] = "",
    arguments: Annotated[
        str | None, typer.Option("--arguments", metavar="JSON", help="Arguments to use instead of those asked about.")
    ] = None,
    json: Json = False,
) -> None:
    """Answer what a run waits for; without an answer, show the exact call it asks about."""

    async def work(runtime: Runtime) -> ApprovalRequested:
        await runtime.show(run)
        asked = _find_open(run, await runtime.log.read(run), key)
        if approve is not None:
            await runtime.decide(run, asked.key, approved=approve, by=_get_user(), reason=reason, arguments=arguments)
        return asked

    asked = run_with_runtime(work)
    if json:
        say_json({"run_id": run, "key": asked.key, "call": asked.call, "digest": asked.digest, "approved": approve})
    elif approve is None:
        say(f"Run {run} asks whether it may call `{asked.call.name}` with exactly:")
        say(asked.call.arguments)
        say(f"Answer with: quorate runs decide {run} {asked.key} --approve   (or --reject)")
    else:
        say(f"{'Approved' if approve else 'Rejected'}. Go on with: quorate runs resume {run}")


def _read_status(status: str | None) -> Status | None:
    for known in get_args(Status):
        if known == status:
            return known
    if status is not None:
        raise UnknownName("status", status, get_args(Status))
    return None


def _find_open(run: str, events: list[AnyEvent], key: str | None) -> ApprovalRequested:
    asked = find_questions(events)
    chosen = key if key is not None else next(iter(asked), None)
    if chosen is None or chosen not in asked:
        where = f" under {key!r}" if key else ""
        raise NotFound(f"Run {run!r} asks nothing{where}: look at it with `quorate runs show {run}`.")
    if key is None and len(asked) > 1:
        raise InvalidInput(f"Run {run!r} asks several things: name the one you answer, of {', '.join(sorted(asked))}.")
    return asked[chosen]


def _render_summary(summary: RunSummary, calls: int) -> list[str]:
    spent = f"{summary.usage.total_tokens} tokens, {calls} tool calls, {show_cost(summary.cost_usd)}"
    rows = [
        ("run", summary.run),
        ("status", summary.status),
        ("agent", summary.agent),
        ("task", clean_line(summary.task)),
        ("created", show_time(summary.created) + " UTC"),
        ("took", show_duration(max(0.0, summary.updated - summary.created))),
        ("used", spent),
        ("events", str(summary.events)),
    ]
    return align([*rows, *([("session", summary.session)] if summary.session else [])])


def _render_end(log: list[AnyEvent]) -> Iterator[Line]:
    last = log[-1]
    if isinstance(last, RunCompleted):
        yield from render_recorded(last.output)
    elif isinstance(last, RunWaiting):
        keys = last.keys or (f"nothing: `quorate runs resume {last.run}` goes on with it",)
        yield from [("", ""), ("", f"It waits ({last.reason}) for:"), *(("", f"  {key}") for key in keys)]
    elif isinstance(last, ENDINGS):
        yield from [("", ""), ("", describe_event(last))]


def _get_user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "local"
