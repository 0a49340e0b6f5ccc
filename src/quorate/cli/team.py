"""What does `quorate team` do?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import msgspec
import typer

from quorate.assembly import Parts
from quorate.cli.console import say, say_all, say_json
from quorate.cli.opening import run_with_runtime
from quorate.cli.options import Json, LimitOptions, Model, Quiet
from quorate.cli.results import say_failed, say_result
from quorate.cli.run import Order, do_task, read_task
from quorate.cli.words import align, clean_line
from quorate.errors import QuorateError, UnknownName
from quorate.orchestration.teams.spec import TAKES, Team, list_parts
from quorate.runtime import Runtime
from quorate.settings import load_settings

Name = Annotated[str, typer.Argument(metavar="NAME", help="The team's name.")]


def add_commands(app: typer.Typer) -> None:
    """Add the commands about teams."""
    group = typer.Typer(help="Run, list and show teams of agents.", rich_markup_mode=None, no_args_is_help=True)
    group.command("run")(run_team)
    group.command("list")(list_teams)
    group.command("show")(show_team)
    app.add_typer(group, name="team")


def run_team(
    name: Name,
    text: Annotated[str, typer.Argument(metavar="TEXT", help="What to do; `-` reads it from standard input.")],
    *,
    model: Model = None,
    limit: LimitOptions = None,
    json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Have a team do a task, show who does what at what cost, and print the answer with what each gave.

    The run is one like any other: `quorate runs resume` goes on with it after a crash, and no step is made again.
    """
    task = read_task(text)

    async def work(runtime: Runtime) -> int:
        definitions = runtime.find_definitions()
        find_team({} if definitions is None else definitions.teams, name)
        order = Order(agent=name, model=model, limits=limit or (), quiet=quiet)
        try:
            result, code = await do_task(runtime, task, order)
        except QuorateError as error:
            return say_failed(error, agent=name, json=json)
        say_result(result, json=json)
        return code

    return run_with_runtime(work)


def list_teams(*, json: Json = False) -> None:
    """List the teams there are."""
    found = [team for _, team in sorted(Parts(load_settings(), {}).definitions.teams.items())]
    if json:
        say_json([_summarize(team) for team in found])
        return
    rows = [(one.name, one.pattern, ", ".join(list_parts(one)), clean_line(one.description, most=90)) for one in found]
    say_all(align(rows) or ['There are no teams: put files with `kind = "team"` where your workflows are.'])


def show_team(name: Name, *, json: Json = False) -> None:
    """Show how a team works, who takes part, and what it is told."""
    team = find_team(Parts(load_settings(), {}).definitions.teams, name)
    if json:
        say_json(team)
        return
    say(f"{team.name} {team.version}: {clean_line(team.description, most=200)}")
    say()
    rows = [("  pattern", team.pattern), ("  members", ", ".join(team.members) or "none")]
    told = {option: getattr(team, option) for option in sorted(TAKES[team.pattern])}
    rows += [
        (f"  {option}", value if isinstance(value, str) else msgspec.json.encode(value).decode())
        for option, value in told.items()
        if value not in (None, "", {}, (), False)
    ]
    if team.agents:
        rows.append(("  brings along", ", ".join(team.agents)))
    say_all(align(rows))


def find_team(teams: Mapping[str, Team], name: str) -> Team:
    """Find a team by name.

    Raises:
        UnknownName: There is none of that name.
    """
    if name not in teams:
        raise UnknownName("team", name, teams)
    return teams[name]


def _summarize(team: Team) -> dict[str, object]:
    return {
        "name": team.name,
        "version": team.version,
        "description": team.description,
        "pattern": team.pattern,
        "members": list_parts(team),
    }
