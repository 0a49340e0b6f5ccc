"""What does `quorate events` do?"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from quorate.bus.events import Events, EventSubscription
from quorate.cli.console import say, say_json_line, tell
from quorate.cli.options import Json, Quiet
from quorate.cli.quantities import read_time
from quorate.cli.watch import run_async
from quorate.cli.words import clean_line, show_time
from quorate.clock import SYSTEM_CLOCK
from quorate.ports.bus import Room
from quorate.ports.happening import Happening
from quorate.runtime.fleet import open_bus
from quorate.runtime.relay.bus_sink import build_relay_rules
from quorate.runtime.relay.opening import check_bus
from quorate.settings import Settings, load_settings

ROOM = Room(max_messages=10_000, overflow="oldest")
MOST_WORDS = 300


def add_commands(app: typer.Typer) -> None:
    """Add the commands about events."""
    group = typer.Typer(
        help="Follow what happens in the whole fleet, over its bus.", rich_markup_mode=None, no_args_is_help=True
    )
    group.command("follow")(follow)
    app.add_typer(group, name="events")


def follow(
    pattern: Annotated[
        str, typer.Argument(metavar="PATTERN", help="Such as run.completed, *.failed, run.** or **: * is one word.")
    ] = "**",
    *,
    key: Annotated[str | None, typer.Option("--key", help="Only what happened to this, such as a run's id.")] = None,
    tenant: Annotated[str | None, typer.Option("--tenant", help="Only the events of a tenant.")] = None,
    after: Annotated[
        int | None, typer.Option("--after", min=0, help="Begin behind the event of that number; 0 for all kept.")
    ] = None,
    since: Annotated[
        str | None, typer.Option("--since", metavar="TIME", help="Begin at a time, such as 2026-01-31T12:00 or 2h.")
    ] = None,
    count: Annotated[int | None, typer.Option("--count", "-n", min=1, help="Leave after so many.")] = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Show events as they happen, until Ctrl-C; with --after or --since those that are kept first.

    Events of runs are told where `bus.events` is set and a worker runs.
    """
    settings = load_settings()
    check_bus(settings)
    moment = None if since is None else read_time(since, now=SYSTEM_CLOCK.now(), ahead=False)

    async def listen() -> None:
        streams = build_relay_rules(settings.bus.tenant) if after is not None or since is not None else ()
        async with open_bus(settings, streams=streams) as bus:
            events = Events(bus, tenant=settings.bus.tenant)
            async with events.subscribe(
                pattern, key=key, tenant=tenant, after=after, since=moment, room=ROOM
            ) as subscription:
                if not quiet and not json:
                    tell(f"Following {pattern} over {_name(settings)}. Ctrl-C ends it.")
                await _show(subscription, count=count, json=json)

    run_async(listen())


async def _show(subscription: EventSubscription, *, count: int | None, json: bool) -> None:
    shown = dropped = 0
    async for event in subscription:
        if json:
            say_json_line(event)
        else:
            say(render_happening(event))
            sys.stdout.flush()
        shown += 1
        if shown == count:
            return
        if subscription.dropped > dropped:
            tell(f"{subscription.dropped - dropped} events came faster than they could be shown, and were left out.")
            dropped = subscription.dropped


def render_happening(event: Happening) -> str:
    """Write an event on one line: its number where it is kept, when, whose, what, to what, and what it tells."""
    place = str(event.place) if event.place else "-"
    facts = clean_line(bytes(event.data).decode("utf-8", "replace"), most=MOST_WORDS)
    key = f"{clean_line(event.key)}  " if event.key else ""
    told = "" if facts == "null" else facts
    # Who may publish chooses every word: none of them moves the cursor, and no time is too far away to be shown.
    whose, kind = clean_line(event.tenant), clean_line(event.kind)
    return f"{place:>7}  {_show_time(event.time)}  {whose}  {kind:<18}  {key}{told}".rstrip()


def _show_time(seconds: float) -> str:
    try:
        return show_time(seconds)
    except (OverflowError, ValueError, OSError):  # no calendar has it
        return "-"


def _name(settings: Settings) -> str:
    return ", ".join(part.rpartition("@")[2] if "@" in part else part for part in settings.bus.url.split(","))
