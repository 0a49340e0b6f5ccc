"""What does `quorate agents` do?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from quorate.assembly import Parts, build_toolbox
from quorate.catalog.definition import AgentDefinition
from quorate.catalog.load import Catalog, load_catalog
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
    json: Json = False,
) -> None:
    """List the agents there are."""
    found = _load().select(tier=tier, domain=domain)
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
        ("tools", ", ".join(definition.tools) or "none"),
        ("limits", ", ".join(f"{key}={value}" for key, value in limits.items()) or "the usual ones"),
        ("playbook", "yes: works without a language model" if definition.playbook else "no: needs a language model"),
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
    json: Json = False,
) -> None:
    """Check agent files; every fault of every file is named with its line."""
    settings = load_settings()
    places = directories or [Path(directory) for directory in settings.agents.directories]
    tools = build_toolbox(settings)
    try:
        catalog = load_catalog(places, tools=tools, may_replace=settings.agents.may_replace)
    except InvalidFiles as error:
        if json:
            say_json({"agents": (), "faults": error.faults})
        raise
    if json:
        say_json({"agents": catalog.names(), "faults": ()})
    else:
        say(f"{len(catalog)} agents, no faults.")


def _load() -> Catalog:
    return Parts(load_settings(), {}).catalog


def _summarize(definition: AgentDefinition) -> dict[str, object]:
    return {
        "name": definition.name,
        "version": definition.version,
        "tier": definition.tier,
        "domain": definition.domain,
        "description": definition.description,
        "tools": definition.tools,
        "playbook": definition.playbook is not None,
    }
