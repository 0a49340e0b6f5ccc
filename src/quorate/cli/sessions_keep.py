"""How are sessions deleted, mended and pruned from the command line?"""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Annotated

import typer

from quorate.cli.bars import open_steps
from quorate.cli.console import say, say_all, say_json, tell
from quorate.cli.opening import run_with_runtime
from quorate.cli.options import Json, Quiet, Yes
from quorate.cli.person import confirm, get_user
from quorate.cli.quantities import read_duration
from quorate.cli.words import align, clean_line
from quorate.runtime import Runtime
from quorate.runtime.acts import noted
from quorate.state.sessions import DeletedSession, Session, delete_sessions, find_ended

SessionId = Annotated[str, typer.Argument(metavar="SESSION", help="The session's id.")]


def add_keep_commands(group: typer.Typer) -> None:
    """Add the commands about keeping sessions to those about sessions."""
    group.command("delete")(delete)
    group.command("recover")(recover)
    group.command("prune")(prune)


def note_act(runtime: Runtime, action: str, session: str) -> AbstractAsyncContextManager[dict[str, str]]:
    """Add a row about a session to the audit trail when the block is done, or was refused."""
    return noted(runtime.audit, f"session.{action}", principal=get_user(), object=f"session/{session}")


def tell_failed_cleanups(record: Session | DeletedSession) -> None:
    """Say which cleanups went wrong."""
    for name, cleaned in record.cleaned.items():
        if cleaned.error:
            tell(f"Cleanup {name} failed: {clean_line(cleaned.error)}")


def delete(session: SessionId, *, yes: Yes = False, json: Json = False) -> None:
    """Forget a session, its runs and all that was said in them."""

    async def count(runtime: Runtime) -> int:
        return (await runtime.sessions.usage(session, tenant=runtime.tenant, principal=None)).runs

    async def work(runtime: Runtime) -> DeletedSession:
        async with note_act(runtime, "delete", session) as facts:
            done = await runtime.sessions.delete(session, tenant=runtime.tenant, principal=None)
            facts["runs"] = str(len(done.runs))
        return done

    if not yes:
        confirm(f"Delete session {session} and its {run_with_runtime(count)} runs for good?")
    deleted = run_with_runtime(work)
    if json:
        say_json(deleted)
        return
    say(f"Session {session} is deleted, and {len(deleted.runs)} runs with it.")
    tell_failed_cleanups(deleted)


def recover(
    session: Annotated[str | None, typer.Argument(metavar="[SESSION]", help="Only this one.")] = None,
    *,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Mend sessions whose record is lost, cannot be read, or goes on from runs that are gone."""

    async def work(runtime: Runtime) -> list[Session]:
        sessions, tenant, found = runtime.sessions, runtime.tenant, list[Session]()
        async with note_act(runtime, "recover", session or "all") as facts:
            if session is not None:
                found = [await sessions.recover(session, tenant=tenant, principal=None)]
            else:
                with open_steps(quiet=quiet) as advance:
                    async for one in sessions.recover_all(tenant=tenant):
                        found.append(one)
                        advance("sessions", len(found), 0)
            facts["sessions"] = str(len(found))
        return found

    found = run_with_runtime(work)
    if json:
        say_json(found)
        return
    rows = [(one.id, clean_line(one.recovered[-1])) for one in found if one.recovered]
    say_all(align(rows) or [f"{len(found)} session{'' if len(found) == 1 else 's'} looked at: nothing to mend."])
    for one in found:
        tell_failed_cleanups(one)


def prune(
    *,
    archive_after: Annotated[
        str | None, typer.Option("--archive-after", metavar="TIME", help="Archive what ended so long ago: 30d, 12h.")
    ] = None,
    delete_after: Annotated[
        str | None, typer.Option("--delete-after", metavar="TIME", help="Delete what ended so long ago: 365d.")
    ] = None,
    yes: Yes = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """End what has expired and clean up after it; archive and delete what ended long ago, if told so."""
    archive_after_s = None if archive_after is None else read_duration(archive_after)
    delete_after_s = None if delete_after is None else read_duration(delete_after)

    async def sweep(runtime: Runtime) -> tuple[list[Session], list[str]]:
        async with note_act(runtime, "sweep", "all") as facts:
            changed = await runtime.sessions.sweep(tenant=runtime.tenant, archive_after_s=archive_after_s)
            facts["changed"] = str(len(changed))
        if delete_after_s is None:
            return changed, []
        before = runtime.clock.now() - delete_after_s
        return changed, await find_ended(runtime.sessions, tenant=runtime.tenant, before=before)

    async def forget(runtime: Runtime) -> tuple[list[str], dict[str, str]]:
        async with note_act(runtime, "prune", "all") as facts:
            with open_steps(quiet=quiet) as advance:
                gone, kept = await delete_sessions(
                    runtime.sessions,
                    old,
                    tenant=runtime.tenant,
                    report=lambda done: advance("sessions", done, len(old)),
                )
            facts.update(deleted=str(len(gone)), kept=str(len(kept)))
        return gone, kept

    changed, old = run_with_runtime(sweep)
    deleted, kept = list[str](), dict[str, str]()
    if old:
        if not yes:
            confirm(f"Delete {len(old)} sessions that ended more than {delete_after} ago, and their runs?")
        deleted, kept = run_with_runtime(forget)
    if json:
        say_json({"changed": changed, "deleted": deleted, "kept": kept})
        return
    say_all(align([(one.id, one.status, clean_line(one.reason)) for one in changed]))
    say_all(f"{one}  deleted" for one in deleted)
    for why in kept.values():
        tell(f"Kept: {clean_line(why)}")
    if not changed and not deleted:
        say("There was nothing to end, archive or delete.")
