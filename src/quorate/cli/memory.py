"""What does `quorate memory` do?"""

from __future__ import annotations

from typing import Annotated

import typer

from quorate.cli.console import say, say_all, say_json, tell
from quorate.cli.opening import run_with_runtime
from quorate.cli.options import Json, Yes
from quorate.cli.person import confirm, get_user
from quorate.cli.words import align, clean, clean_line, show_time
from quorate.context.memory.keeping import Listed, TenantMemory
from quorate.context.memory.kinds import Kind, read_kind
from quorate.context.memory.notes import MemoryEntry
from quorate.context.memory.rank import MOST_FOUND, Recollection
from quorate.errors import NotFound
from quorate.ids import check_id
from quorate.runtime import Runtime
from quorate.runtime.acts import noted

MOST_LISTED = 100
MOST_SHOWN = 80

Id = Annotated[str, typer.Argument(metavar="MEMORY", help="The memory's id, such as mem-….")]
Space = Annotated[str, typer.Option("--space", metavar="SPACE", help="Only those of one part of the hive.")]
KindOption = Annotated[
    str,
    typer.Option(
        "--kind", "-k", metavar="KIND", help="Only working, episodic, semantic, procedural or collective ones."
    ),
]
Principal = Annotated[str, typer.Option("--principal", metavar="WHO", help="Only what a principal contributed to.")]
AgentOption = Annotated[str, typer.Option("--agent", metavar="AGENT", help="Only what an agent contributed to.")]


def add_commands(app: typer.Typer) -> None:
    """Add the commands about what hives remember."""
    group = typer.Typer(
        help="List, search, show and forget what agents remember.", rich_markup_mode=None, no_args_is_help=True
    )
    group.command("list")(list_memories)
    group.command("recall")(recall)
    group.command("show")(show)
    group.command("forget")(forget)
    app.add_typer(group, name="memory")


def list_memories(
    *,
    space: Space = "",
    kind: KindOption = "",
    principal: Principal = "",
    agent: AgentOption = "",
    after: Annotated[str, typer.Option("--after", metavar="PAGE", help="Go on where a page ended.")] = "",
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000, help="How many to show.")] = MOST_LISTED,
    json: Json = False,
) -> None:
    """List what the tenant's agents remember, private memories among them."""
    chosen = _read_filter(kind, space=space, principal=principal, agent=agent)

    async def work(runtime: Runtime) -> list[Listed]:
        return await open_memory(runtime).list_memories(
            space=space, kind=chosen, principal=principal, agent=agent, after=after, limit=limit
        )

    found = run_with_runtime(work)
    if json:
        say_json(found)
        return
    rows = [(one.entry.id, *_describe(one.entry), clean_line(one.entry.text, most=MOST_SHOWN)) for one in found]
    say_all(align(rows) or ["Nothing is remembered. Give an agent the toolset `HiveMemory`."])
    if len(found) == limit:
        tell(f"More: quorate memory list --after {found[-1].after}")


def recall(
    query: Annotated[str, typer.Argument(metavar="QUESTION", help="What you want to know, in words.")],
    *,
    space: Space = "",
    kind: KindOption = "",
    principal: Principal = "",
    agent: AgentOption = "",
    limit: Annotated[int, typer.Option("--limit", min=1, max=MOST_FOUND, help="How many to show.")] = 8,
    json: Json = False,
) -> None:
    """Search what agents remember, best first, and say why; nothing becomes stronger by it."""
    chosen = _read_filter(kind, space=space, principal=principal, agent=agent)

    async def work(runtime: Runtime) -> Recollection:
        return await open_memory(runtime).find(
            query, space=space, kind=chosen, principal=principal, agent=agent, limit=limit
        )

    found = run_with_runtime(work)
    if json:
        say_json(found)
        return
    lines = list[str]()
    for one in found.found:
        lines.append(f"{one.score:.2f}  {one.entry.id}  {'  '.join(_describe(one.entry))}")
        lines += [f"      {clean_line(one.entry.text)}", f"      {clean_line(one.why)}"]
    say_all(lines or ["Nothing that is remembered has anything to do with that."])
    if found.left_off:
        tell(f"{found.left_off} more: give a higher `--limit`.")


def show(id: Id, *, json: Json = False) -> None:
    """Show a memory wherever it stands: what it says, who said it, and until when it lasts."""

    async def work(runtime: Runtime) -> list[Listed]:
        found = await open_memory(runtime).show(id)
        if not found:
            raise _build_absent(id)
        return found

    found = run_with_runtime(work)
    if json:
        say_json(found)
        return
    for one in found:
        entry = one.entry
        said_by = ", ".join(f"{who.agent} for {who.principal}" for who in entry.contributors)
        facts = [
            ("kind", entry.kind),
            ("space", entry.space),
            ("whose", f"{entry.place} {one.owner}"),
            ("said by", said_by),
            ("said", f"{entry.times} times, first {show_time(entry.made)}, last {show_time(entry.said)} UTC"),
            ("recalled", f"{entry.recalls} times"),
            ("worked", f"{entry.successes} times of {entry.successes + entry.failures}"),
            ("level", f"{entry.level:.3f}, importance {entry.importance:.2f}"),
            ("until", f"{show_time(entry.expires)} UTC, unless somebody says or recalls it"),
        ]
        if entry.provenance is not None:
            agreed = entry.provenance.decision or f"{entry.provenance.contributors} contributors said it"
            facts.append(("agreed", agreed))
        say_all([clean(entry.text), *align(facts, indent="  ")])


def forget(id: Id, *, yes: Yes = False, json: Json = False) -> None:
    """Delete a memory wherever it stands, whoever said it."""
    check_id(id, "memory")
    if not yes:
        confirm(f"Delete memory {id} for good?")

    async def work(runtime: Runtime) -> int:
        async with noted(runtime.audit, "memory.forget", principal=get_user(), object=f"memory/{id}") as facts:
            gone = await open_memory(runtime).forget(id)
            if not gone:
                raise _build_absent(id)
            facts["notes"] = str(gone)
            return gone

    gone = run_with_runtime(work)
    if json:
        say_json({"id": id, "gone": gone})
    else:
        say(f"{id} is forgotten, with all {gone} notes of it.")


def open_memory(runtime: Runtime) -> TenantMemory:
    """Open what a runtime's tenant remembers, kept for as long as the settings say."""
    return TenantMemory(
        runtime.store.values,
        prefix=f"memory/{runtime.tenant}/",
        rules=runtime.settings.memory.build_rules(),
        clock=runtime.clock,
    )


def _read_filter(kind: str, *, space: str, principal: str, agent: str) -> Kind | None:
    for what, given in (("space", space), ("principal", principal), ("agent", agent)):
        if given:
            check_id(given, what)
    return read_kind(kind) if kind else None


def _describe(entry: MemoryEntry) -> tuple[str, ...]:
    agents = dict.fromkeys(who.agent for who in entry.contributors)
    return f"{entry.kind}/{entry.space}", entry.place, ",".join(agents), show_time(entry.made)


def _build_absent(id: str) -> NotFound:
    return NotFound(f"There is no memory {id!r}: list what there is with `quorate memory list`.", memory=id)
