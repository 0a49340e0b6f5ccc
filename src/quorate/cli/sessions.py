"""What does `quorate sessions` do?"""

from __future__ import annotations

from typing import Annotated, get_args

import typer

from quorate.cli.console import say, say_all, say_json, tell
from quorate.cli.opening import run_with_runtime
from quorate.cli.options import Json, read_word
from quorate.cli.session_words import (
    describe,
    read_metadata,
    read_session_limits,
    render_message,
    render_run,
    render_session,
)
from quorate.cli.sessions_keep import SessionId, add_keep_commands, note_act, tell_failed_cleanups
from quorate.cli.words import align, show_time
from quorate.errors import NotFound
from quorate.messages import Message
from quorate.runtime import Runtime
from quorate.state.sessions import (
    NO_LIMITS,
    Session,
    SessionOrder,
    SessionPage,
    SessionStatus,
    SessionUsage,
    TimelineEntry,
)

MOST_LISTED = 20
STATUSES: tuple[SessionStatus, ...] = get_args(SessionStatus)
ORDERS: tuple[SessionOrder, ...] = get_args(SessionOrder)

Reason = Annotated[str, typer.Option("--reason", help="Why; it is kept with the session.")]
Title = Annotated[str | None, typer.Option("--title", help="What it is about.")]
Tags = Annotated[list[str] | None, typer.Option("--tag", metavar="TAG", help="A mark; may be given several times.")]
Metadata = Annotated[str | None, typer.Option("--metadata", metavar="JSON", help="Facts about it, as a JSON object.")]
Shares = Annotated[
    list[str] | None, typer.Option("--share", metavar="WHO", help="Who else may use it; may be given several times.")
]
LimitOptions = Annotated[
    list[str] | None,
    typer.Option(
        "--limit",
        "-l",
        metavar="KEY=VALUE",
        help="A bound of the session: max_runs, max_concurrent_runs, max_cost_usd, max_idle_s or max_age_s.",
    ),
]


def add_commands(app: typer.Typer) -> None:
    """Add the commands about sessions."""
    group = typer.Typer(
        help="List, show, begin, rest, end, fork, mend and forget conversations over several runs.",
        rich_markup_mode=None,
        no_args_is_help=True,
    )
    group.command("list")(list_sessions)
    group.command("show")(show_session)
    group.command("history")(show_history)
    group.command("create")(create_session)
    group.command("update")(update_session)
    group.command("suspend")(suspend_session)
    group.command("resume")(resume_session)
    group.command("complete")(complete_session)
    group.command("fail")(fail_session)
    group.command("archive")(archive_session)
    group.command("fork")(fork_session)
    add_keep_commands(group)
    app.add_typer(group, name="sessions")


def list_sessions(
    *,
    status: Annotated[str | None, typer.Option("--status", help="Only those that stand so, such as active.")] = None,
    tag: Annotated[str | None, typer.Option("--tag", metavar="TAG", help="Only those with a tag.")] = None,
    owner: Annotated[str | None, typer.Option("--owner", metavar="WHO", help="Only those of one owner.")] = None,
    text: Annotated[
        str | None, typer.Option("--text", metavar="WORDS", help="Only those with this in their id, title or tags.")
    ] = None,
    order: Annotated[str, typer.Option("--order", help="newest, oldest, updated or id.")] = "newest",
    cursor: Annotated[str, typer.Option("--cursor", metavar="CURSOR", help="Go on from the page before.")] = "",
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000, help="How many to show.")] = MOST_LISTED,
    json: Json = False,
) -> None:
    """List sessions, the newest first."""
    wanted = read_word("status", status, STATUSES)
    sorting = read_word("order", order, ORDERS) or "newest"

    async def work(runtime: Runtime) -> SessionPage:
        return await runtime.sessions.list_sessions(
            tenant=runtime.tenant,
            principal=None,
            status=wanted,
            tag=tag,
            owner=owner,
            text=text,
            order=sorting,
            cursor=cursor,
            limit=limit,
        )

    page = run_with_runtime(work)
    if json:
        say_json(page)
        return
    rows = [
        (one.id, one.status, one.principal, show_time(one.updated), describe(one, most=60)) for one in page.sessions
    ]
    say_all(align(rows) or ['There are no such sessions. Begin one: `quorate sessions create --title "Slow shop"`.'])
    if page.corrupt:
        tell(f"These cannot be read: {', '.join(page.corrupt)}. Mend them: quorate sessions recover")
    if page.cursor:
        tell(f"More: quorate sessions list --order {order} --cursor {page.cursor}")


def show_session(session: SessionId, *, json: Json = False) -> None:
    """Show how a session stands, what it has used, and its runs."""

    async def work(runtime: Runtime) -> tuple[Session, SessionUsage, list[TimelineEntry], str | None]:
        sessions, tenant = runtime.sessions, runtime.tenant
        record = await sessions.get(session, tenant=tenant, principal=None)
        return (
            record,
            await sessions.usage(session, tenant=tenant, principal=None),
            await sessions.timeline(session, tenant=tenant, principal=None),
            await sessions.find_refusal(session, tenant=tenant, principal=None),
        )

    record, usage, timeline, refusal = run_with_runtime(work)
    if json:
        say_json({"session": record, "usage": usage, "runs": timeline, "refusal": refusal})
        return
    say_all(render_session(record, usage, refusal))
    say()
    say_all(align([render_run(entry) for entry in timeline]) or ["It has no runs yet."])


def show_history(session: SessionId, *, json: Json = False) -> None:
    """Show what was said in a session: what its next run will know."""

    async def work(runtime: Runtime) -> list[Message]:
        return await runtime.sessions.history(session, tenant=runtime.tenant, principal=None)

    messages = run_with_runtime(work)
    if json:
        say_json(messages)
        return
    for message in messages:
        say_all(render_message(message))
    if not messages:
        say("Nothing was said yet.")


def create_session(
    session: Annotated[str | None, typer.Argument(metavar="[SESSION]", help="Its id; made up if not given.")] = None,
    *,
    title: Title = None,
    tag: Tags = None,
    metadata: Metadata = None,
    limit: LimitOptions = None,
    share: Shares = None,
    owner: Annotated[str, typer.Option("--owner", metavar="WHO", help="Whose it is.")] = "local",
    json: Json = False,
) -> None:
    """Begin a session; `quorate run --session` does so by itself, too."""
    limits, facts = read_session_limits(limit or (), base=NO_LIMITS), read_metadata(metadata)

    async def work(runtime: Runtime) -> Session:
        async with note_act(runtime, "create", session or "new") as noted:
            made = await runtime.sessions.create(
                session,
                tenant=runtime.tenant,
                principal=owner,
                title=title or "",
                tags=tag or (),
                metadata=facts,
                limits=limits,
                shared_with=share or (),
            )
            noted["session"] = made.id
        return made

    _tell_session(run_with_runtime(work), "is there", json=json)


def update_session(
    session: SessionId,
    *,
    title: Title = None,
    tag: Tags = None,
    metadata: Metadata = None,
    limit: LimitOptions = None,
    share: Shares = None,
    if_revision: Annotated[
        int | None, typer.Option("--if-revision", min=1, metavar="N", help="Only over that revision.")
    ] = None,
    json: Json = False,
) -> None:
    """Change a session; tags, metadata and shares are replaced as a whole, limits one by one (`max_runs=none`)."""
    facts = read_metadata(metadata)

    async def work(runtime: Runtime) -> Session:
        async with note_act(runtime, "update", session):
            before = await runtime.sessions.get(session, tenant=runtime.tenant, principal=None)
            return await runtime.sessions.update(
                session,
                tenant=runtime.tenant,
                principal=None,
                title=title,
                tags=tag,
                metadata=facts,
                limits=read_session_limits(limit, base=before.limits) if limit else None,
                shared_with=share,
                if_revision=if_revision,
            )

    _tell_session(run_with_runtime(work), "is changed", json=json)


def suspend_session(session: SessionId, *, reason: Reason = "", json: Json = False) -> None:
    """Let a session take no turns until it is resumed; runs under way go on."""
    _move("suspend", session, reason=reason, json=json)


def resume_session(session: SessionId, *, reason: Reason = "", json: Json = False) -> None:
    """Let a suspended session take turns again."""
    _move("resume", session, reason=reason, json=json)


def complete_session(session: SessionId, *, reason: Reason = "", json: Json = False) -> None:
    """End a session whose work is done."""
    _move("complete", session, reason=reason, json=json)


def fail_session(session: SessionId, *, reason: Reason = "", json: Json = False) -> None:
    """End a session that came to nothing."""
    _move("fail", session, reason=reason, json=json)


def archive_session(session: SessionId, *, reason: Reason = "", json: Json = False) -> None:
    """Put a session away for good; it can still be read and forked."""
    _move("archive", session, reason=reason, json=json)


def fork_session(
    session: SessionId,
    run: Annotated[str | None, typer.Argument(metavar="[RUN]", help="One of its runs; the last if not given.")] = None,
    *,
    seq: Annotated[int, typer.Option("--seq", min=0, metavar="N", help="The last event to take along; 0: all.")] = 0,
    name: Annotated[str | None, typer.Option("--name", metavar="ID", help="The id of the new session.")] = None,
    title: Title = None,
    json: Json = False,
) -> None:
    """Begin a session that goes on from an event of a run of another, which stays as it is."""

    async def work(runtime: Runtime) -> Session:
        sessions, tenant = runtime.sessions, runtime.tenant
        chosen = run
        if chosen is None:
            timeline = await sessions.timeline(session, tenant=tenant, principal=None)
            if not timeline:
                raise NotFound(f"Session {session!r} has no runs to go on from: begin another one.")
            chosen = timeline[-1].run.run
        async with note_act(runtime, "fork", session) as noted:
            fork = await sessions.fork(session, chosen, tenant=tenant, principal=None, seq=seq, name=name, title=title)
            noted["fork"] = fork.id
        return fork

    _tell_session(run_with_runtime(work), f"goes on from {session}", json=json)


def _move(verb: str, session: str, *, reason: str, json: bool) -> None:
    async def work(runtime: Runtime) -> Session:
        moves = {
            "suspend": runtime.sessions.suspend,
            "resume": runtime.sessions.resume,
            "complete": runtime.sessions.complete,
            "fail": runtime.sessions.fail,
            "archive": runtime.sessions.archive,
        }
        async with note_act(runtime, verb, session):
            return await moves[verb](session, tenant=runtime.tenant, principal=None, reason=reason)

    record = run_with_runtime(work)
    _tell_session(record, f"is {record.status}", json=json)
    tell_failed_cleanups(record)


def _tell_session(record: Session, what: str, *, json: bool) -> None:
    if json:
        say_json(record)
    else:
        say(f"Session {record.id} {what}.")
        if record.status == "active":
            tell(f'Take a turn in it: quorate run --session {record.id} "…"')
