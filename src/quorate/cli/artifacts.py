"""What does `quorate artifacts` do?"""

from __future__ import annotations

import datetime
import mimetypes
import os
from collections.abc import Awaitable, Callable
from typing import Annotated, TypeVar, get_args

import typer

from quorate.cli.artifact_words import build_share, describe_share, render_record
from quorate.cli.bars import open_bar
from quorate.cli.console import say, say_all, say_json, tell
from quorate.cli.opening import run_with_runtime
from quorate.cli.options import Json, Quiet, read_word
from quorate.cli.quantities import read_duration, read_labels, read_size, read_time, show_size
from quorate.cli.transfer import STANDARD, check_target, measure_file, read_file, write_file, write_output
from quorate.cli.words import align, clean_line, show_time
from quorate.errors import InvalidInput, NotFound
from quorate.ports import ArtifactInfo
from quorate.runtime import Runtime
from quorate.state.artifacts import (
    Access,
    ArtifactPage,
    ArtifactQuery,
    ArtifactStore,
    Caller,
    Retention,
    Swept,
    apply_retention,
    collect_garbage,
    rotate_keys,
    search_artifacts,
    verify_artifacts,
)

T = TypeVar("T")
MOST_LISTED = 20
ACCESSES: tuple[Access, ...] = get_args(Access)

Artifact = Annotated[str, typer.Argument(metavar="ARTIFACT", help="A handle such as art-…, or a name.")]
Session = Annotated[str | None, typer.Option("--session", metavar="SESSION", help="Those of a session.")]
RunOption = Annotated[str | None, typer.Option("--run", metavar="RUN", help="Those of a run.")]
After = Annotated[str, typer.Option("--after", metavar="PAGE", help="Go on where a page ended.")]
Limit = Annotated[int, typer.Option("--limit", min=1, max=1000, help="How many to show.")]
Labels = Annotated[list[str] | None, typer.Option("--label", metavar="KEY=VALUE", help="May be given several times.")]
With = Annotated[str | None, typer.Option("--principal", metavar="WHO", help="A principal.")]
WithSession = Annotated[str | None, typer.Option("--session", metavar="SESSION", help="Whoever works in a session.")]
WithAll = Annotated[bool, typer.Option("--everybody", help="Everybody of the tenant.")]


def add_commands(app: typer.Typer) -> None:
    """Add the commands about artifacts."""
    group = typer.Typer(
        help="List, search, keep, read, share, check and clean up artifacts.",
        rich_markup_mode=None,
        no_args_is_help=True,
    )
    group.command("list")(list_artifacts)
    group.command("search")(search)
    group.command("show")(show)
    group.command("save")(save)
    group.command("get")(get)
    group.command("share")(share)
    group.command("unshare")(unshare)
    group.command("delete")(delete)
    group.command("gc")(collect)
    group.command("verify")(verify)
    group.command("rotate")(rotate)
    app.add_typer(group, name="artifacts")


def list_artifacts(
    *,
    session: Session = None,
    run: RunOption = None,
    after: After = "",
    limit: Limit = MOST_LISTED,
    json: Json = False,
) -> None:
    """List artifacts by where they belong and by name, the newest version of each first."""
    _show_found(ArtifactQuery(session=session or "", run=run or ""), after=after, limit=limit, json=json)


def search(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A name, or a pattern such as 'report*'.")] = "",
    *,
    media_type: Annotated[str, typer.Option("--type", help="Such as text/csv, or 'image/*'.")] = "",
    label: Labels = None,
    session: Session = None,
    run: RunOption = None,
    principal: With = None,
    since: Annotated[str | None, typer.Option("--since", metavar="TIME", help="2026-01-31, or 7d ago.")] = None,
    before: Annotated[str | None, typer.Option("--before", metavar="TIME", help="2026-01-31, or 7d ago.")] = None,
    min_size: Annotated[str, typer.Option("--min-size", metavar="SIZE", help="Bytes, or such as 64k or 5M.")] = "0",
    max_size: Annotated[str | None, typer.Option("--max-size", metavar="SIZE", help="Bytes, or such as 5M.")] = None,
    after: After = "",
    limit: Limit = MOST_LISTED,
    json: Json = False,
) -> None:
    """Find artifacts by name, type, label, owner, time and size."""
    now = datetime.datetime.now(datetime.UTC).timestamp()
    query = ArtifactQuery(
        name=name,
        media_type=media_type,
        labels=read_labels(label or ()),
        session=session or "",
        run=run or "",
        principal=principal or "",
        since=None if since is None else read_time(since, now=now, ahead=False),
        before=None if before is None else read_time(before, now=now, ahead=False),
        min_size=read_size(min_size),
        max_size=None if max_size is None else read_size(max_size),
    )
    _show_found(query, after=after, limit=limit, json=json)


def show(artifact: Artifact, *, session: Session = None, run: RunOption = None, json: Json = False) -> None:
    """Show what is known of an artifact, and whom it is shared with."""
    record = _work(lambda store, caller: store.show(artifact, caller=caller), session=session, run=run)
    if json:
        say_json({"artifact": record.info, "access": record.access, "shares": record.shares})
    else:
        say_all(render_record(record))


def save(
    file: Annotated[str, typer.Argument(metavar="FILE", help="What to keep; - is standard input.")],
    *,
    name: Annotated[str | None, typer.Option("--name", help="What it is called; the file's name by default.")] = None,
    media_type: Annotated[str | None, typer.Option("--type", help="Such as text/csv; by the name by default.")] = None,
    label: Labels = None,
    session: Session = None,
    run: RunOption = None,
    access: Annotated[
        str | None, typer.Option("--access", help="Who may read it: run, session, principal or tenant.")
    ] = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Keep a file as the next version of its name."""
    total = measure_file(file)
    chosen = name or os.path.basename(file)
    if chosen == STANDARD:
        raise InvalidInput("what comes on standard input has no name: give it one with `--name`.")
    guessed = media_type or mimetypes.guess_type(chosen)[0] or "application/octet-stream"
    labels, who = read_labels(label or ()), read_word("access", access, ACCESSES)

    async def work(store: ArtifactStore, caller: Caller) -> ArtifactInfo:
        with open_bar(f"keeping {clean_line(chosen, most=40)}", total, quiet=quiet) as advance:
            pieces = read_file(file, advance)
            return await store.save(chosen, pieces, caller=caller, media_type=guessed, labels=labels, access=who)

    info = _work(work, session=session, run=run)
    if json:
        say_json({"artifact": info})
    else:
        say(f"Kept {info.name} as version {info.version}: {info.id}")


def get(
    artifact: Artifact,
    *,
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="FILE", help="Where to; - is standard output.")
    ] = "-",
    version: Annotated[int | None, typer.Option("--version", min=1, help="Which one, of a name.")] = None,
    session: Session = None,
    run: RunOption = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write an artifact to a file, or on standard output; a file is there only once every byte was verified."""
    if output != STANDARD:
        check_target(output, force=force)
    elif json:
        raise InvalidInput("bytes and JSON do not go into one output: name a file with `-o FILE`.")

    async def work(store: ArtifactStore, caller: Caller) -> ArtifactInfo:
        info = await store.find(artifact, caller=caller, version=version)
        if info is None:
            raise NotFound(f"There is no artifact {artifact!r}: list them with `quorate artifacts list`.")
        pieces = store.open(info, caller=caller)
        if output == STANDARD:
            await write_output(pieces, size=info.size, media_type=info.media_type)
        else:
            with open_bar(f"reading {clean_line(info.name, most=40)}", info.size, quiet=quiet) as advance:
                await write_file(output, pieces, advance, force=force)
        return info

    info = _work(work, session=session, run=run)
    if json:
        say_json({"artifact": info, "file": output})
    elif output != STANDARD and not quiet:
        tell(f"{info.name}, version {info.version}: {info.size} bytes in {output}")


def share(
    artifact: Artifact,
    *,
    principal: With = None,
    session: WithSession = None,
    everybody: WithAll = False,
    until: Annotated[str | None, typer.Option("--until", metavar="TIME", help="2026-01-31, or 7d from now.")] = None,
    json: Json = False,
) -> None:
    """Let somebody else read an artifact."""
    now = datetime.datetime.now(datetime.UTC).timestamp()
    ends = None if until is None else read_time(until, now=now, ahead=True)
    given = build_share(principal, session, everybody=everybody, until=ends)
    record = _work(lambda store, caller: store.share(artifact, given, caller=caller))
    if json:
        say_json({"artifact": record.info.id, "shares": record.shares})
    else:
        say(f"Shared {record.info.id} with {describe_share(given)}.")


def unshare(
    artifact: Artifact,
    *,
    principal: With = None,
    session: WithSession = None,
    everybody: WithAll = False,
    json: Json = False,
) -> None:
    """Take back what was shared."""
    given = build_share(principal, session, everybody=everybody)
    was = _work(lambda store, caller: store.unshare(artifact, given, caller=caller))
    if json:
        say_json({"artifact": artifact, "removed": was})
    else:
        say(f"{artifact} is shared with {describe_share(given)} no more." if was else "It was not shared so.")


def delete(
    artifacts: Annotated[list[str], typer.Argument(metavar="ARTIFACT...", help="Handles.")], *, json: Json = False
) -> None:
    """Delete artifacts, and their bytes where nothing else has them."""

    async def work(store: ArtifactStore, caller: Caller) -> list[ArtifactInfo]:
        return [await store.delete(each, caller=caller) for each in artifacts]

    gone = _work(work)
    if json:
        say_json({"deleted": gone})
    else:
        say_all(f"Deleted {info.id} ({info.name}, version {info.version})." for info in gone)


def collect(
    *,
    grace: Annotated[str, typer.Option("--grace", metavar="TIME", help="Leave alone what is younger.")] = "1h",
    max_age: Annotated[
        str | None, typer.Option("--max-age", metavar="TIME", help="Also delete artifacts older than, such as, 90d.")
    ] = None,
    max_count: Annotated[
        int | None, typer.Option("--max-count", min=0, help="Also delete the oldest above so many.")
    ] = None,
    max_bytes: Annotated[
        str | None, typer.Option("--max-bytes", metavar="SIZE", help="Also delete the oldest above so many bytes.")
    ] = None,
    json: Json = False,
) -> None:
    """Take away bytes that no artifact names, and with `--max-…` the oldest artifacts too."""
    retention = Retention(
        max_age_s=None if max_age is None else read_duration(max_age),
        max_count=max_count,
        max_bytes=None if max_bytes is None else read_size(max_bytes),
    )
    grace_s = read_duration(grace)

    async def work(store: ArtifactStore, caller: Caller) -> tuple[list[ArtifactInfo], Swept]:
        gone = await apply_retention(store, caller.tenant, retention) if retention != Retention() else []
        return gone, await collect_garbage(store, caller.tenant, grace_s=grace_s)

    gone, swept = _work(work)
    if json:
        say_json({"deleted": gone, "swept": swept})
        return
    say_all(f"Deleted {info.id} ({info.name}, version {info.version})." for info in gone)
    say(f"Took away {swept.blobs + swept.strays} blobs that nothing names ({swept.bytes} bytes).")


def verify(*, json: Json = False, quiet: Quiet = False) -> int:
    """Read every artifact again and compare it with what was saved; the first that is wrong is named first."""

    async def work(store: ArtifactStore, caller: Caller) -> tuple[int, list[dict[str, object]]]:
        count, bad = 0, list[dict[str, object]]()
        with open_bar("verifying", None, quiet=quiet, unit_bytes=False) as advance:
            async for checked in verify_artifacts(store, caller.tenant):
                count += 1
                advance(1)
                if checked.fault:
                    bad.append({"artifact": checked.info.id, "name": checked.info.name, "fault": checked.fault})
        return count, bad

    count, bad = _work(work)
    if json:
        say_json({"verified": count, "first": bad[0] if bad else None, "bad": bad})
    elif bad:
        say(f"{len(bad)} of {count} are not as they were saved, the first of them {bad[0]['artifact']}:")
        say_all(f"  {each['artifact']} ({each['name']}): {each['fault']}" for each in bad)
    else:
        say(f"Verified {count}; everything is as it was saved.")
    return 1 if bad else 0


def rotate(*, json: Json = False, quiet: Quiet = False) -> None:
    """Encrypt everything that is not under the newest key anew."""

    async def work(store: ArtifactStore, caller: Caller) -> tuple[int, int]:
        seen = changed = 0
        with open_bar("encrypting", None, quiet=quiet, unit_bytes=False) as advance:
            async for was_needed in rotate_keys(store, caller.tenant):
                seen, changed = seen + 1, changed + was_needed
                advance(1)
        return seen, changed

    seen, changed = _work(work)
    if json:
        say_json({"blobs": seen, "encrypted_anew": changed})
    else:
        say(f"Encrypted {changed} of {seen} blobs anew; all are under the newest key.")


def _work(
    work: Callable[[ArtifactStore, Caller], Awaitable[T]], *, session: str | None = None, run: str | None = None
) -> T:
    async def begin(runtime: Runtime) -> T:
        caller = Caller(tenant=runtime.tenant, session=session, run=run or "", operator=True)
        return await work(runtime.artifacts, caller)

    return run_with_runtime(begin)


def _show_found(query: ArtifactQuery, *, after: str, limit: int, json: bool) -> None:
    async def work(store: ArtifactStore, caller: Caller) -> ArtifactPage:
        return await search_artifacts(store, query, caller=caller, after=after, limit=limit)

    page = _work(work)
    if json:
        say_json({"artifacts": page.items, "next": page.next})
        return
    rows = [
        (
            info.id,
            show_size(info.size),
            show_time(info.created),
            info.media_type,
            f"{clean_line(info.name)} v{info.version}",
        )
        for info in page.items
    ]
    say_all(align(rows) or ["There are no such artifacts. Keep one: `quorate artifacts save FILE`."])
    if page.next:
        tell(f"More: the same with --after {page.next}")
