"""What does `quorate runs` do?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, TypeVar, get_args

import typer

from quorate.cli.console import Line, say, say_all, say_json, say_json_line, say_styled, tell
from quorate.cli.facts import describe_event, render_event, render_events
from quorate.cli.opening import run_with_runtime
from quorate.cli.options import Json, Quiet, RunId, read_word
from quorate.cli.person import get_user
from quorate.cli.render import (
    count_calls,
    render_recorded,
)
from quorate.cli.replay import add_replay_commands
from quorate.cli.results import go_on, say_result
from quorate.cli.runs_keep import add_keep_commands
from quorate.cli.trace import add_trace_command
from quorate.cli.watch import watch
from quorate.cli.words import align, clean_line, show_cost, show_duration, show_time
from quorate.errors import InvalidInput, NotFound
from quorate.events import (
    ENDINGS,
    AnyEvent,
    ApprovalRequested,
    RunCompleted,
    RunSummary,
    RunWaiting,
    Status,
)
from quorate.ports import RunOrder
from quorate.runtime import Runtime
from quorate.runtime.placement import find_required
from quorate.runtime.questions import find_approvals
from quorate.runtime.registry import explain_queued, list_workers

T = TypeVar("T")
MOST_LISTED = 20
STATUSES: tuple[Status, ...] = get_args(Status)
ORDERS: tuple[RunOrder, ...] = get_args(RunOrder)


def add_commands(app: typer.Typer) -> None:
    """Add the commands about runs."""
    group = typer.Typer(
        help="List, show, follow, resume, replay, fork, cancel, answer, export and delete runs.",
        rich_markup_mode=None,
        no_args_is_help=True,
    )
    group.command("list")(list_runs)
    group.command("show")(show_run)
    group.command("events")(show_events)
    add_trace_command(group)
    group.command("resume")(resume_run)
    add_replay_commands(group)
    group.command("wait")(wait_run)
    group.command("cancel")(cancel_run)
    group.command("decide")(decide)
    add_keep_commands(group)
    app.add_typer(group, name="runs")


def list_runs(
    *,
    status: Annotated[str | None, typer.Option("--status", help="Only those that stand so, such as waiting.")] = None,
    agent: Annotated[str | None, typer.Option("--agent", "-a", help="Only those of an agent.")] = None,
    session: Annotated[str | None, typer.Option("--session", metavar="NAME", help="Only those of a session.")] = None,
    sort: Annotated[str, typer.Option("--sort", help="By what: newest, oldest or updated first.")] = "newest",
    before: Annotated[
        str | None, typer.Option("--before", metavar="RUN", help="Only those behind a run, in the same order.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000, help="How many to show.")] = MOST_LISTED,
    json: Json = False,
) -> None:
    """List runs, the newest first."""
    chosen = read_word("status", status, STATUSES)
    order = read_word("order", sort, ORDERS) or "newest"

    async def work(runtime: Runtime) -> list[RunSummary]:
        return await runtime.list_runs(
            status=chosen, agent=agent, session=session, order=order, before=before, limit=limit
        )

    found = run_with_runtime(work)
    if json:
        say_json(found)
        return
    say_all(
        align([(s.run, s.status, s.agent, show_time(s.created), clean_line(s.task, most=60)) for s in found])
        or ['There are no such runs. Begin one: `quorate run "why is this machine slow?"`.']
    )
    if len(found) == limit:
        tell(f"Further ones: the same with --before {found[-1].run}")


def show_run(
    run: RunId,
    *,
    events: Annotated[bool, typer.Option("--events", help="Show everything that was recorded, too.")] = False,
    json: Json = False,
) -> None:
    """Show how a run stands, what it gave, and with `--events` everything that was recorded."""

    async def work(runtime: Runtime) -> tuple[RunSummary, list[AnyEvent], str]:
        summary = await runtime.show(run)
        return summary, await runtime.log.read(run), await _explain(runtime, summary)

    summary, log, why = run_with_runtime(work)
    if json:
        say_json({"run": summary, **({"queued": why} if why else {}), **({"events": log} if events else {})})
        return
    say_all(_render_summary(summary, count_calls(log), why=why))
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


def wait_run(run: RunId, *, json: Json = False, quiet: Quiet = False) -> int:
    """Wait until a run ends or rests, whichever process works on it, and print what it gave."""

    async def work(runtime: Runtime) -> int:
        handle = await runtime.attach(run)
        result, code = await watch(handle, quiet=quiet)
        say_result(result, json=json)
        return code

    return run_with_runtime(work)


def resume_run(run: RunId, *, json: Json = False, quiet: Quiet = False) -> int:
    """Go on with a run that rests or whose process died; no recorded step is made again."""

    async def work(runtime: Runtime) -> int:
        return await go_on(runtime, run, json=json, quiet=quiet)

    return run_with_runtime(work)


def cancel_run(
    run: RunId,
    *,
    reason: Annotated[str, typer.Option("--reason", help="Why; it is recorded.")] = "",
    json: Json = False,
) -> None:
    """Stop a run, wherever it is worked on."""

    async def work(runtime: Runtime) -> RunSummary:
        await runtime.cancel(run, reason=reason, by=get_user())
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
            await runtime.decide(run, asked.key, approved=approve, by=get_user(), reason=reason, arguments=arguments)
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


def _find_open(run: str, events: list[AnyEvent], key: str | None) -> ApprovalRequested:
    asked = find_approvals(events)
    chosen = key if key is not None else next(iter(asked), None)
    if chosen is None or chosen not in asked:
        where = f" under {key!r}" if key else ""
        raise NotFound(f"Run {run!r} asks nothing{where}: look at it with `quorate runs show {run}`.")
    if key is None and len(asked) > 1:
        raise InvalidInput(f"Run {run!r} asks several things: name the one you answer, of {', '.join(sorted(asked))}.")
    return asked[chosen]


async def _explain(runtime: Runtime, summary: RunSummary) -> str:
    """Say why nobody takes a queued run; empty when somebody will."""
    if summary.status != "queued":
        return ""
    requires = find_required(runtime, summary.agent)
    return explain_queued(summary.agent, await list_workers(runtime.store), requires=requires)


def _render_summary(summary: RunSummary, calls: int, *, why: str) -> list[str]:
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
    more = [("session", summary.session)] if summary.session else []
    more += [("queued", clean_line(why))] if why else []
    return align([*rows, *more])


def _render_end(log: list[AnyEvent]) -> Iterator[Line]:
    last = log[-1]
    if isinstance(last, RunCompleted):
        yield from render_recorded(last.output)
    elif isinstance(last, RunWaiting):
        keys = last.keys or (f"nothing: `quorate runs resume {last.run}` goes on with it",)
        yield from [("", ""), ("", f"It waits ({last.reason}) for:"), *(("", f"  {key}") for key in keys)]
    elif isinstance(last, ENDINGS):
        yield from [("", ""), ("", describe_event(last))]
