"""What does `quorate state` do?"""

from __future__ import annotations

import json as stdlib_json
import os
import sys
from collections.abc import Iterable
from contextlib import AbstractAsyncContextManager
from importlib import import_module
from typing import Annotated, NoReturn, cast

import typer

from quorate.cli.bars import open_steps
from quorate.cli.console import say, say_all, say_json, say_json_line, tell
from quorate.cli.opening import run_with_runtime
from quorate.cli.options import Json
from quorate.cli.person import get_user
from quorate.cli.words import align, clean_line, show_time
from quorate.codec.json import check_depth, encode_text
from quorate.errors import InvalidInput, NotFound
from quorate.ports import StateEntry, StateScope
from quorate.runtime import Runtime
from quorate.runtime.acts import noted
from quorate.state.migrating import Migrated
from quorate.state.places import ScopeRef
from quorate.state.plain import MOST_BYTES
from quorate.state.schemas import StateSchema
from quorate.state.scopes import StateInfo
from quorate.state.watching import StateChange

MOST_LISTED = 100
MOST_SHOWN = 100

Name = Annotated[str, typer.Argument(metavar="NAME", help="The value's name, such as cart/items.")]
Scope = Annotated[
    str,
    typer.Option(
        "--scope", "-s", metavar="SCOPE", help="Who shares it: global, tenant, user, session, agent, workflow or run."
    ),
]
Id = Annotated[
    str | None, typer.Option("--id", metavar="ID", help="Which user, session, agent, workflow or run it is.")
]
IfRevision = Annotated[
    int | None,
    typer.Option("--if-revision", min=0, metavar="N", help="Only over that revision; 0 for where nothing is."),
]


def add_commands(app: typer.Typer) -> None:
    """Add the commands about stored values."""
    group = typer.Typer(
        help="Read, change, list, watch and migrate stored values.", rich_markup_mode=None, no_args_is_help=True
    )
    group.command("get")(get_value)
    group.command("set")(set_value)
    group.command("delete")(delete_value)
    group.command("list")(list_values)
    group.command("watch")(watch_values)
    group.command("migrate")(migrate)
    app.add_typer(group, name="state")


def get_value(name: Name, *, scope: Scope = "tenant", id: Id = None, json: Json = False) -> None:
    """Show a value."""

    async def work(runtime: Runtime) -> StateEntry:
        ref = read_ref(runtime, scope, id)
        entry = await runtime.state.get(ref, name)
        if entry is None:
            raise NotFound(f"There is no state {name!r} of {ref.describe()}: list what there is with {_list(ref)}.")
        return entry

    entry = run_with_runtime(work)
    if json:
        say_json({"scope": scope, "id": id, **_show(entry)})
    elif isinstance(entry.value, str):
        say(entry.value)
    else:
        say_json(entry.value)


def set_value(
    name: Name,
    value: Annotated[
        str | None, typer.Argument(metavar="[VALUE]", help="JSON, or text; read from standard input when not given.")
    ] = None,
    *,
    scope: Scope = "tenant",
    id: Id = None,
    text: Annotated[bool, typer.Option("--text", help="Take the value as text, whatever it looks like.")] = False,
    if_revision: IfRevision = None,
    ttl: Annotated[
        float | None, typer.Option("--ttl", metavar="SECONDS", help="After how many seconds it is gone.")
    ] = None,
    json: Json = False,
) -> None:
    """Store a value."""
    given = value if value is not None else read_input()
    plain: object = given if text else read_value(given)

    async def work(runtime: Runtime) -> StateEntry:
        ref = read_ref(runtime, scope, id)
        async with _noted(runtime, "state.set", ref, name) as facts:
            entry = await runtime.state.set(ref, name, plain, if_revision=if_revision, ttl_s=ttl)
            facts["revision"] = str(entry.revision)
            return entry

    entry = run_with_runtime(work)
    if json:
        say_json({"scope": scope, "id": id, **_show(entry)})
    else:
        say(f"{name} has revision {entry.revision}{_show_expiry(entry.expires)}.")


def delete_value(
    name: Name, *, scope: Scope = "tenant", id: Id = None, if_revision: IfRevision = None, json: Json = False
) -> None:
    """Forget a value."""

    async def work(runtime: Runtime) -> None:
        ref = read_ref(runtime, scope, id)
        async with _noted(runtime, "state.delete", ref, name):
            if not await runtime.state.delete(ref, name, if_revision=if_revision):
                raise NotFound(f"There is no state {name!r} of {ref.describe()}: list what there is with {_list(ref)}.")

    run_with_runtime(work)
    if json:
        say_json({"scope": scope, "id": id, "name": name, "deleted": True})
    else:
        say(f"{name} is deleted.")


def list_values(
    prefix: Annotated[str, typer.Argument(metavar="[PREFIX]", help="How the names begin, such as cart/.")] = "",
    *,
    scope: Scope = "tenant",
    id: Id = None,
    after: Annotated[str, typer.Option("--after", metavar="NAME", help="Only those behind a name.")] = "",
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000, help="How many to show.")] = MOST_LISTED,
    json: Json = False,
) -> None:
    """List values; without `--id`, those users, sessions, agents, workflows or runs that have any."""
    is_about_owners = id is None and scope not in ("global", "tenant")

    async def work(runtime: Runtime) -> list[StateInfo] | list[str]:
        if is_about_owners:
            one = ScopeRef(scope=cast("StateScope", scope), tenant=runtime.tenant, id="any")  # refuses unknown scopes
            return await runtime.state.list_owners(one.scope, tenant=runtime.tenant, limit=limit)
        ref = read_ref(runtime, scope, id)
        return await runtime.state.list_values(ref, prefix=prefix, after=after, limit=limit)

    found = run_with_runtime(work)
    if json:
        say_json(found)
        return
    rows = [
        (one,)
        if isinstance(one, str)
        else (
            one.name,
            f"revision {one.revision}",
            f"{one.size} bytes",
            show_time(one.updated) + _show_expiry(one.expires),
        )
        for one in found
    ]
    say_all(align(rows) or ["Nothing is stored there. Store something: `quorate state set greeting hello`."])
    last = found[-1] if len(found) == limit else None
    if isinstance(last, StateInfo):
        owner = f" --scope {scope}{f' --id {id}' if id else ''}"
        tell(f"More: quorate state list{f' {prefix}' if prefix else ''}{owner} --after {last.name}")


def watch_values(
    name: Annotated[str, typer.Argument(metavar="[NAME]", help="The value; all of them when not given.")] = "",
    *,
    prefix: Annotated[str, typer.Option("--prefix", metavar="PREFIX", help="Those whose names begin so.")] = "",
    scope: Scope = "tenant",
    id: Id = None,
    since: Annotated[
        int | None, typer.Option("--since", min=0, metavar="N", help="From a revision on, instead of from now on.")
    ] = None,
    count: Annotated[int | None, typer.Option("--count", min=1, metavar="N", help="End after so many changes.")] = None,
    json: Json = False,
) -> None:
    """Show changes as they happen, until Ctrl-C."""

    async def work(runtime: Runtime) -> None:
        ref = read_ref(runtime, scope, id)
        async with runtime.state.watch(ref, name=name, prefix=prefix, since=since) as changes:
            tell(f"Watching {name or prefix or 'everything'} of {ref.describe()}; Ctrl-C ends it.")
            seen = 0
            async for change in changes:
                _tell_change(change, as_json=json)
                seen += 1
                if seen == count:
                    return

    run_with_runtime(work)


def migrate(
    schemas: Annotated[
        str,
        typer.Argument(metavar="MODULE:NAME", help="Where your schemas are: a `StateSchema` or a sequence of them."),
    ],
    *,
    everybody: Annotated[bool, typer.Option("--all-tenants", help="The values of all tenants.")] = False,
    json: Json = False,
) -> None:
    """Migrate values to the versions of your schemas now: all of them, or none."""
    known = load_schemas(schemas)

    async def work(runtime: Runtime) -> Migrated:
        store = runtime.state.with_schemas(known)
        tenant = None if everybody else runtime.tenant
        with open_steps() as advance:

            def report(seen: int, changed: int) -> None:
                advance("values looked at", seen, 0)
                advance("values migrated", changed, 0)

            async with noted(runtime.audit, "state.migrate", principal=get_user(), object=schemas) as facts:
                done = await store.migrate(tenant=tenant, report=report)
                facts["changed"] = str(done.changed)
                return done

    done = run_with_runtime(work)
    if json:
        say_json(done)
    else:
        say(f"{done.changed} of {done.seen} values were older and are of today's version now.")


def read_ref(runtime: Runtime, scope: str, id: str | None) -> ScopeRef:
    """Read whose values are meant; only those of the runtime's own tenant can be.

    Raises:
        InvalidInput: There is no such scope, or it needs an id.
    """
    if id is None and scope in ("user", "session", "agent", "workflow", "run"):
        raise InvalidInput(
            f"Scope `{scope}` needs `--id`: say which {scope}, or list them: quorate state list -s {scope}"
        )
    tenant = "" if scope == "global" else runtime.tenant
    return ScopeRef(scope=cast("StateScope", scope), tenant=tenant, id=id or "")  # what is no scope is refused there


def read_value(text: str) -> object:
    """Read a value as it is typed: what reads as JSON is taken so, everything else is text.

    Raises:
        InvalidInput: It begins like JSON and is none, or says one thing twice.
    """
    check_depth(text, what="the value")

    def refuse(word: str) -> NoReturn:
        raise InvalidInput(f"{word} is no JSON: store `null`, or add `--text`.")

    try:
        return cast("object", stdlib_json.loads(text, object_pairs_hook=_build_object, parse_constant=refuse))
    except ValueError as error:
        if text.lstrip()[:1] in ("{", "[", '"'):
            raise InvalidInput(f"The value begins like JSON and is none: {error}. Mend it, or add `--text`.") from error
        return text


def _build_object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    built = dict(pairs)
    if len(built) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise InvalidInput(f"The value has {twice!r} twice: keep one of them.")
    return built


def read_input() -> str:
    """Read a value from standard input.

    Raises:
        InvalidInput: Somebody sits there, it is too long, or it is not UTF-8.
    """
    if sys.stdin.isatty():
        raise InvalidInput("There is no value: give it behind the name, or on standard input.")
    data = sys.stdin.buffer.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise InvalidInput(f"The value has more than {MOST_BYTES} bytes: save it as an artifact instead.")
    try:
        return data.decode().removesuffix("\n")
    except UnicodeDecodeError as error:
        raise InvalidInput(f"The value is not UTF-8: {error}. Save it as an artifact instead.") from error


def load_schemas(given: str) -> list[StateSchema]:
    """Load schemas from a module of the one who types, found like `python -m` finds it.

    Raises:
        InvalidInput: They cannot be found there.
    """
    module, _, name = given.partition(":")
    if not name:
        raise InvalidInput(f"{given!r} does not say where schemas are: write it like `shop.schemas:SCHEMAS`.")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        found: object = getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise InvalidInput(f"{given!r} cannot be loaded: {error}. Run it where `import {module}` works.") from error
    items = (
        [found]
        if isinstance(found, StateSchema)
        else list(cast("Iterable[object]", found))
        if isinstance(found, Iterable)
        else []
    )
    schemas = [item for item in items if isinstance(item, StateSchema)]
    if not schemas or len(schemas) < len(items):
        raise InvalidInput(f"{given!r} is no `StateSchema` and no sequence of them: name what holds your schemas.")
    return schemas


def _noted(runtime: Runtime, action: str, ref: ScopeRef, name: str) -> AbstractAsyncContextManager[dict[str, str]]:
    owner = f"{ref.scope}/{ref.id}" if ref.id else ref.scope
    return noted(runtime.audit, action, principal=get_user(), object=f"state/{owner}/{name}")


def _tell_change(change: StateChange, *, as_json: bool) -> None:
    if as_json:
        entry = _show(change.entry) if change.entry is not None else None
        say_json_line({"name": change.name, "revision": change.revision, "deleted": entry is None, "entry": entry})
    elif change.entry is None:
        say(f"{change.name}  deleted (it had revision {change.revision})")
    else:
        say(
            f"{change.name}  revision {change.revision}  {clean_line(encode_text(change.entry.value), most=MOST_SHOWN)}"
        )


def _show(entry: StateEntry) -> dict[str, object]:
    return {"name": entry.name, "value": entry.value, "revision": entry.revision, "expires": entry.expires}


def _show_expiry(expires: float | None) -> str:
    return f", until {show_time(expires)} UTC" if expires is not None else ""


def _list(ref: ScopeRef) -> str:
    return f"`quorate state list --scope {ref.scope}{f' --id {ref.id}' if ref.id else ''}`"
