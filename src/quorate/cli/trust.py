"""What does `quorate trust` do?"""

from __future__ import annotations

from typing import Annotated

import typer

from quorate.cli.console import say, say_all, say_json
from quorate.cli.opening import run_with_runtime
from quorate.cli.options import Json
from quorate.cli.words import align, clean_line, show_time
from quorate.council.ledger import Noted, add_noted
from quorate.council.trust import TrustReport
from quorate.errors import InvalidInput, NotFound
from quorate.runtime import Runtime
from quorate.runtime.outcomes import Outcomes

MOST_LISTED = 100
MemberName = Annotated[str, typer.Argument(metavar="MEMBER", help="An agent, or person:NAME.")]
Topic = Annotated[str, typer.Option("--topic", metavar="TOPIC", help="In which topic; in general when not given.")]


def add_commands(app: typer.Typer) -> None:
    """Add the commands about trust."""
    group = typer.Typer(
        help="See how far agents and people are relied on, and why; learn from runs.",
        rich_markup_mode=None,
        no_args_is_help=True,
    )
    group.command("list")(list_trust)
    group.command("show")(show)
    group.command("explain")(explain)
    group.command("learn")(learn)
    group.command("forget")(forget)
    app.add_typer(group, name="trust")


def list_trust(
    *,
    topic: Topic = "",
    after: Annotated[str, typer.Option("--after", metavar="MEMBER", help="Go on behind a member.")] = "",
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000, help="How many to show.")] = MOST_LISTED,
    json: Json = False,
) -> None:
    """List how far members are trusted of whom something is known."""

    async def work(runtime: Runtime) -> list[TrustReport]:
        ledger = Outcomes(runtime).ledger
        return [await ledger.read(name, topic) for name in await ledger.list_members(after=after, limit=limit)]

    found = run_with_runtime(work)
    if json:
        say_json({"members": found, "next": found[-1].member if len(found) == limit else ""})
        return
    rows = [("member", "trust", "outcomes", "sources"), *(_render_row(one) for one in found)]
    say_all(align(rows) if found else ["Nothing is known of anybody: see `quorate trust learn`."])


def show(member: MemberName, *, topic: Topic = "", json: Json = False) -> None:
    """Show how far a member is trusted."""
    found = _read(member, topic)
    if json:
        say_json(found)
    else:
        place = f" in {topic}, {found.general:.2f} in general" if topic else ""
        say(f"{clean_line(found.member)}: {found.value:.2f}{place}")


def explain(member: MemberName, *, topic: Topic = "", json: Json = False) -> None:
    """Say why a member is trusted so far: what is known of it, and what its latest outcomes changed."""
    found = _read(member, topic)
    if json:
        say_json(found)
        return
    lines = [f"{clean_line(found.member)}: {found.value:.2f}", clean_line(found.why)]
    if found.last:
        rows = [("when", "what", "topic", "score", "moves", "about")]
        for one in found.last:
            shown = (show_time(one.at), one.kind, one.topic or "–", f"{one.score:.2f}", f"{one.moves:+.3f}", one.id)
            rows.append(shown)
        lines += ["", *align(rows)]
    say_all(lines)


def learn(
    runs: Annotated[list[str] | None, typer.Argument(metavar="[RUN]...", help="Runs that have ended.")] = None,
    *,
    last: Annotated[
        int,
        typer.Option("--last", metavar="N", min=0, max=1000, help="Those that ended of the N runs that moved last."),
    ] = 0,
    topic: Topic = "",
    json: Json = False,
) -> None:
    """Learn from how those ended to whom runs delegated, and from feedback; what was learned counts once."""
    if not runs and not last:
        raise InvalidInput("There is nothing to learn from: name runs, or give `--last 100`.")

    async def work(runtime: Runtime) -> Noted:
        outcomes = Outcomes(runtime)
        noted = await outcomes.learn_last(last, topic=topic) if last else Noted()
        for run in runs or ():
            noted = add_noted(noted, await outcomes.learn(run, topic=topic))
        return noted

    noted = run_with_runtime(work)
    if json:
        say_json(noted)
    else:
        say(f"{noted.counted} new, {noted.corrected} corrected, {noted.known} known, {noted.left_out} left out.")


def forget(member: MemberName, *, json: Json = False) -> None:
    """Forget what is known of a member: it is trusted as much as a stranger from then on."""

    async def work(runtime: Runtime) -> int:
        return await Outcomes(runtime).ledger.forget(member)

    gone = run_with_runtime(work)
    if not gone:
        raise NotFound(f"Nothing is known of {member!r}.", member=member)
    if json:
        say_json({"weeks": gone})
    else:
        say(f"What was known of {clean_line(member)} is forgotten.")


def _read(member: str, topic: str) -> TrustReport:
    async def work(runtime: Runtime) -> TrustReport:
        return await Outcomes(runtime).ledger.read(member, topic)

    return run_with_runtime(work)


def _render_row(one: TrustReport) -> tuple[str, ...]:
    return clean_line(one.member), f"{one.value:.2f}", str(sum(one.counts.values())), str(one.sources)
