"""What does `quorate agents` do?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from quorate.assembly import build_toolbox
from quorate.catalog.definition import AgentEntry
from quorate.catalog.load import Catalog, load_catalog
from quorate.catalog.tiers import find_model_class, read_tier
from quorate.cli.console import say, say_all, say_json
from quorate.cli.options import Json
from quorate.cli.words import align, clean_line
from quorate.errors import InvalidFiles
from quorate.settings import load_settings

MOST_FOUND = 10
Words = Annotated[str, typer.Argument(metavar="TEXT", help="Words to look for, such as: tls certificate.")]


def add_commands(app: typer.Typer) -> None:
    """Add the commands about agents."""
    group = typer.Typer(help="List, show, find and check agents.", rich_markup_mode=None, no_args_is_help=True)
    group.command("list")(list_agents)
    group.command("show")(show_agent)
    group.command("find")(find_agents)
    group.command("check")(check_agents)
    app.add_typer(group, name="agents")


def list_agents(
    *,
    tier: Annotated[str | None, typer.Option("--tier", help="Only those of a tier, such as core.")] = None,
    domain: Annotated[str | None, typer.Option("--domain", help="Only those of a domain, such as network.")] = None,
    tool: Annotated[list[str] | None, typer.Option("--tool", help="Only those that may call a tool.")] = None,
    tag: Annotated[list[str] | None, typer.Option("--tag", help="Only those that bear a tag.")] = None,
    any_of: Annotated[bool, typer.Option("--any", help="Those for which any of this holds, not all of it.")] = False,
    alone: Annotated[bool, typer.Option("--playbook", help="Only those that need no language model.")] = False,
    json: Json = False,
) -> None:
    """List the agents there are."""
    found = _load().select(
        tier=None if tier is None else read_tier(tier),
        domain=domain,
        tools=tool or (),
        tags=tag or (),
        match="any" if any_of else "all",
    )
    if alone:
        found = tuple(entry for entry in found if entry.has_playbook)
    if json:
        say_json([_summarize(definition) for definition in found])
        return
    rows = [(d.name, d.tier, d.domain, clean_line(d.description, most=90)) for d in found]
    say_all(align(rows) or ["There are no such agents."])


def show_agent(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The agent's name.")], *, json: Json = False
) -> None:
    """Show what an agent is for, what it may call, and within which limits."""
    definition = _load().get(name)
    if json:
        say_json(definition)
        return
    limits = msgspec.to_builtins(definition.limits)
    rows = [
        ("name", definition.name),
        ("version", definition.version),
        ("tier", definition.tier),
        ("domain", definition.domain),
        ("output", definition.output),
        ("model", find_model_class(definition)),
        ("tools", ", ".join(definition.tools) or "none"),
        ("limits", ", ".join(f"{key}={value}" for key, value in limits.items()) or "the usual ones"),
        ("playbook", "yes: works without a language model" if definition.playbook else "no: needs a language model"),
        ("goes up to", definition.escalates_to or "nobody"),
        ("hands over to", ", ".join(definition.hands_off) or "nobody"),
        ("deprecated", definition.deprecated or "no"),
        ("file", definition.source),
    ]
    say(definition.description)
    say()
    say_all(align(rows))
    for title, items in (("It is for", definition.examples), ("It is not for", definition.not_for)):
        if items:
            say()
            say(title)
            say_all(f"  - {clean_line(item)}" for item in items)
    say()
    say(f'quorate run --agent {definition.name} "{clean_line(definition.examples[0])}"')


def find_agents(
    text: Words,
    *,
    limit: Annotated[int, typer.Option("--limit", min=1, help="How many to show.")] = MOST_FOUND,
    json: Json = False,
) -> int:
    """Find the agents that fit some words, best first, with the reason."""
    found = _load().find(text, limit=limit)
    if json:
        say_json(found)
    elif found:
        say_all(align([(match.agent, f"{match.score:.2f}", clean_line(match.reason)) for match in found]))
    else:
        say("No agent fits these words. `quorate agents list` shows all.")
    return 0 if found else 1


def check_agents(
    directories: Annotated[
        list[Path] | None,
        typer.Argument(metavar="DIR", help="Where agent files are; else the settings' own."),
    ] = None,
    *,
    strict: Annotated[
        bool, typer.Option("--strict", help="All files must say what those that come with Quorate do.")
    ] = False,
    json: Json = False,
) -> None:
    """Check agent files as a reviewer would; every fault of every file is named with its line.

    Beside what keeps a file from being loaded, this finds missing evaluations, cases that pass bad answers, names that
    look alike, and texts that are copies.
    """
    from quorate.catalog.review import review_agents  # it loads what evaluates conditions and answers

    settings = load_settings()
    places = directories or [Path(directory) for directory in settings.agents.directories]
    review = review_agents(
        places, tools=build_toolbox(settings), may_replace=settings.agents.may_replace, strict=strict
    )
    faults = [str(fault) for fault in review.faults]
    if json:
        say_json({"agents": review.agents, "faults": faults})
    if faults:
        raise InvalidFiles("agent files", faults)
    if not json:
        say(f"{len(review.agents)} agents, no faults.")


def _load() -> Catalog:
    """Load the agents to look at them alone: nothing is built, so that no tools are needed."""
    agents = load_settings().agents
    return load_catalog(
        [Path(directory) for directory in agents.directories],
        may_replace=agents.may_replace,
        index=Path(agents.index) if agents.index else None,
    )


def _summarize(definition: AgentEntry) -> dict[str, object]:
    return {
        "name": definition.name,
        "version": definition.version,
        "tier": definition.tier,
        "domain": definition.domain,
        "description": definition.description,
        "tools": definition.tools,
        "playbook": definition.has_playbook,
    }
