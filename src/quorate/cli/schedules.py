"""What does `quorate schedules` do?"""

from __future__ import annotations

import asyncio
import os
import signal
from typing import Annotated, get_args

import typer

from quorate.cli.console import say, say_all, say_json, say_json_line, tell
from quorate.cli.opening import run_with_runtime
from quorate.cli.options import DryRun, Json, LimitOptions, Model, Quiet, Yes, read_limits, read_word
from quorate.cli.person import confirm, get_user
from quorate.cli.quantities import read_duration, read_labels, read_time
from quorate.cli.schedule_words import render_record, render_row, show_moment, show_record
from quorate.cli.words import align, clean_line
from quorate.errors import CorruptState, InvalidInput
from quorate.runtime import Runtime
from quorate.runtime.schedules import Cron, Every, Happened, Policy, Record, Schedule, Scheduler, Schedules, Work
from quorate.runtime.schedules.moments import When
from quorate.runtime.schedules.schedule import CatchUp, Overlap
from quorate.specs import Limits

CATCH_UPS: tuple[CatchUp, ...] = get_args(CatchUp)
OVERLAPS: tuple[Overlap, ...] = get_args(Overlap)
LEFT_AT_ONCE = 130
SHOWN = 5
WORDS = {
    "fired": "submitted",
    "refused": "refused",
    "missed": "passed over: nobody was there in time",
    "overlapped": "passed over: the run before is under way",
    "foreign": "left to others: it cannot be opened here",
    "blocked": "cannot be submitted for now; it is tried again",
}

Name = Annotated[str, typer.Argument(metavar="NAME", help="The schedule's name.")]


def add_commands(app: typer.Typer) -> None:
    """Add the commands about schedules."""
    group = typer.Typer(
        help="Add, list, show, pause, resume and delete schedules, and submit what is due.",
        rich_markup_mode=None,
        no_args_is_help=True,
    )
    group.command("add")(add_schedule)
    group.command("list")(list_schedules)
    group.command("show")(show_schedule)
    group.command("pause")(pause_schedule)
    group.command("resume")(resume_schedule)
    group.command("delete")(delete_schedule)
    group.command("run")(run_schedules)
    app.add_typer(group, name="schedules")


def add_schedule(
    name: Name,
    task: Annotated[str, typer.Argument(metavar="TASK", help="What is to be done at each moment.")],
    *,
    cron: Annotated[str | None, typer.Option("--cron", metavar="CRON", help='Such as "30 6 * * MON-FRI".')] = None,
    zone: Annotated[
        str | None, typer.Option("--zone", metavar="ZONE", help="Whose clocks, such as Europe/Berlin; UTC by default.")
    ] = None,
    every: Annotated[str | None, typer.Option("--every", metavar="TIME", help="Such as 90s, 15m, 12h or 7d.")] = None,
    anchor: Annotated[
        str | None, typer.Option("--anchor", metavar="TIME", help="The first moment of --every, such as 2026-01-31.")
    ] = None,
    agent: Annotated[
        str | None, typer.Option("--agent", "-a", metavar="NAME", help="Who does it; found by the task's words if not.")
    ] = None,
    model: Model = None,
    session: Annotated[str | None, typer.Option("--session", metavar="NAME", help="The session of its runs.")] = None,
    limit: LimitOptions = None,
    label: Annotated[
        list[str] | None,
        typer.Option("--label", metavar="KEY=VALUE", help="A fact about its runs; may be given several times."),
    ] = None,
    start: Annotated[str | None, typer.Option("--start", metavar="TIME", help="No moment is before it.")] = None,
    end: Annotated[str | None, typer.Option("--end", metavar="TIME", help="Every moment is before it.")] = None,
    catch_up: Annotated[
        str, typer.Option("--catch-up", help="Of moments that were missed, make up for: skip (none), last or all.")
    ] = "last",
    most: Annotated[int, typer.Option("--most", help="With --catch-up all, for how many of them at most.")] = 100,
    overlap: Annotated[
        str, typer.Option("--overlap", help="While the run before is under way: allow or skip the next one.")
    ] = "allow",
    jitter: Annotated[
        str | None, typer.Option("--jitter", metavar="TIME", help="Submit each up to so much later, by chance.")
    ] = None,
    paused: Annotated[bool, typer.Option("--paused", help="Let no moment come yet.")] = False,
    replace: Annotated[bool, typer.Option("--replace", help="Replace the one of that name, if there is one.")] = False,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Add a schedule: a task that is submitted again and again, by a cron expression or at an even pace."""
    caught, overlapped = read_word("catch-up", catch_up, CATCH_UPS), read_word("overlap", overlap, OVERLAPS)

    async def work(runtime: Runtime) -> tuple[Record, float]:
        now = runtime.clock.now()
        schedule = Schedule(
            name=name,
            work=Work(
                task=task,
                agent=agent,
                model=model,
                session=session,
                limits=_find_limits(runtime, limit, agent=agent, task=task),
                labels=read_labels(label or []),
            ),
            when=read_when(cron, zone, every, anchor, now=now),
            principal=get_user(),
            policy=Policy(
                catch_up=caught or "last",
                most=most,
                overlap=overlapped or "allow",
                jitter_s=read_duration(jitter) if jitter else 0.0,
            ),
            start=read_time(start, now=now, ahead=True) if start else None,
            end=read_time(end, now=now, ahead=True) if end else None,
            paused=paused,
        )
        schedules = Schedules(runtime)
        if dry_run:
            return await schedules.check(schedule), now
        return await schedules.add(schedule, replace=replace, by=get_user()), now

    record, now = run_with_runtime(work)
    if json:
        say_json(show_record(record, now=now, count=SHOWN))
        return
    say_all(render_record(record, now=now, count=SHOWN))
    if not dry_run:
        tell("Workers do the runs; `quorate schedules run` submits them, on as many machines as you like.")


def _find_limits(runtime: Runtime, given: list[str] | None, *, agent: str | None, task: str) -> Limits | None:
    if not given:
        return None
    base = runtime.catalog.get(agent or runtime.catalog.route(task).agent).limits
    return read_limits(given, base=base)


def read_when(cron: str | None, zone: str | None, every: str | None, anchor: str | None, *, now: float) -> When:
    """Read when something comes: by `--cron` and `--zone`, or by `--every` and `--anchor`.

    Raises:
        InvalidInput: It is neither, or both.
    """
    if (cron is None) == (every is None):
        raise InvalidInput("Say when it comes: either `--cron`, such as `--cron '30 6 * * *'`, or `--every 15m`.")
    if cron is not None:
        if anchor is not None:
            raise InvalidInput("`--anchor` belongs to `--every`: a cron expression needs none.")
        return Cron(expression=" ".join(cron.split()), zone=zone or "UTC")
    if zone is not None:
        raise InvalidInput("`--zone` belongs to `--cron`: an even pace is the same everywhere.")
    begin = read_time(anchor, now=now, ahead=True) if anchor else 0.0
    return Every(seconds=int(read_duration(every or "")), anchor=begin)


def list_schedules(*, json: Json = False) -> None:
    """List schedules, with the next moment of each (UTC)."""

    async def work(runtime: Runtime) -> tuple[list[Record | CorruptState], float]:
        return await Schedules(runtime).list_schedules(), runtime.clock.now()

    found, now = run_with_runtime(work)
    records = [one for one in found if isinstance(one, Record)]
    if json:
        say_json([show_record(record, now=now, count=1) for record in records])
    else:
        say_all(
            align([render_row(record) for record in records])
            or ["There are no schedules. Add one: `quorate schedules add disks 'watch the disk' --every 1h`."]
        )
    for fault in found:
        if isinstance(fault, CorruptState):
            tell(clean_line(fault.message))


def show_schedule(
    name: Name,
    *,
    count: Annotated[int, typer.Option("--next", min=0, max=1000, help="How many moments to show.")] = SHOWN,
    json: Json = False,
) -> None:
    """Show a schedule, what became of its last moment, and the next ones."""

    async def work(runtime: Runtime) -> tuple[Record, float]:
        return await Schedules(runtime).get(name), runtime.clock.now()

    record, now = run_with_runtime(work)
    if json:
        say_json(show_record(record, now=now, count=count))
    else:
        say_all(render_record(record, now=now, count=count))


def pause_schedule(name: Name, *, json: Json = False) -> None:
    """Let no further moment come until it is resumed."""

    async def work(runtime: Runtime) -> tuple[Record, float]:
        return await Schedules(runtime).pause(name, by=get_user()), runtime.clock.now()

    record, now = run_with_runtime(work)
    if json:
        say_json(show_record(record, now=now, count=0))
    else:
        say(f"Schedule {name} is paused. Let its moments come again with: quorate schedules resume {name}")


def resume_schedule(name: Name, *, json: Json = False) -> None:
    """Let moments come again from now on; those of the pause are not made up for."""

    async def work(runtime: Runtime) -> tuple[Record, float]:
        return await Schedules(runtime).resume(name, by=get_user()), runtime.clock.now()

    record, now = run_with_runtime(work)
    if json:
        say_json(show_record(record, now=now, count=1))
    elif record.next is None:
        say(f"Schedule {name} is over: it has no moment that is still to come.")
    else:
        say(f"Schedule {name} comes next at {show_moment(record, record.next)}.")


def delete_schedule(name: Name, *, yes: Yes = False, json: Json = False) -> None:
    """Forget a schedule; its runs stay."""
    if not yes:
        confirm(f"Forget schedule {name}?")

    async def work(runtime: Runtime) -> None:
        await Schedules(runtime).delete(name, by=get_user())

    run_with_runtime(work)
    if json:
        say_json({"schedule": name, "deleted": True})
    else:
        say(f"Schedule {name} is deleted; its runs stay.")


def run_schedules(*, json: Json = False, quiet: Quiet = False) -> None:
    """Submit what is due until stopped; any number of processes may do so at once.

    The runs are queued: workers do them. SIGTERM and Ctrl-C stop it; a second one leaves at once.
    """

    def say_what(happened: Happened) -> None:
        if json:
            say_json_line(happened)
        elif not quiet:
            reason = f": {clean_line(happened.reason)}" if happened.reason else ""
            words = f"{WORDS[happened.what]}{reason}"
            tell("  ".join(part for part in (happened.schedule, words, happened.run) if part))

    async def serve(runtime: Runtime) -> None:
        scheduler = Scheduler(runtime, tell=say_what)
        loop, seen = asyncio.get_running_loop(), list[int]()

        def on_signal(number: int) -> None:
            seen.append(number)
            if len(seen) > 1:
                os._exit(LEFT_AT_ONCE)
            scheduler.stop()

        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, on_signal, number)
        if not quiet and not json:
            tell(f"Submitting what is due to {runtime.store.name}. Ctrl-C stops it.")
        await scheduler.run()

    run_with_runtime(serve)
