"""Which commands are there?"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from quorate.cli import agents, config, doctor, init, run, runs, tools
from quorate.cli.console import say


def build_app() -> typer.Typer:
    """Build the tree of commands; each does its work in a room below."""
    app = typer.Typer(
        name="quorate",
        help="Teams of agents for production: recorded, resumable, bounded.",
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        add_completion=False,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
        epilog="Exit codes: 0 done, 1 failed, 2 wrong input, 3 missing extra, 4 incomplete, 5 waiting.",
    )
    app.callback()(_choose)
    run.add_commands(app)
    app.command("init")(init.init)
    app.command("doctor")(doctor.doctor)
    app.add_typer(agents.build_agents(), name="agents")
    app.add_typer(runs.build_runs(), name="runs")
    app.add_typer(tools.build_tools(), name="tools")
    app.add_typer(config.build_config(), name="config")
    return app


def get_version() -> str:
    """Return the version of Quorate."""
    return str(getattr(sys.modules["quorate"], "__version__", "unknown"))


def _show_version(wanted: bool) -> None:
    if wanted:
        say(f"quorate {get_version()}")
        raise typer.Exit


def _choose(
    *,
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", is_eager=True, callback=_show_version)
    ] = False,
) -> None:
    """Teams of agents for production: recorded, resumable, bounded."""
