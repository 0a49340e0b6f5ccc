"""Which commands are there?"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from typing import Annotated

import typer

from quorate.cli.console import say

COMMANDS = {
    "run": "run",
    "chat": "run",
    "decide": "decide",
    "decisions": "decisions",
    "init": "init",
    "doctor": "doctor",
    "agents": "agents",
    "workflow": "workflow",
    "team": "team",
    "eval": "eval",
    "ml": "ml",
    "runs": "runs",
    "worker": "worker",
    "workers": "workers",
    "approvals": "approvals",
    "schedules": "schedules",
    "events": "events",
    "webhooks": "webhooks",
    "sessions": "sessions",
    "state": "state",
    "artifacts": "artifacts",
    "memory": "memory",
    "keys": "keys",
    "tenants": "tenants",
    "quotas": "quotas",
    "serve": "serve",
    "audit": "audit",
    "backup": "backup",
    "models": "models",
    "cache": "cache",
    "costs": "costs",
    "slo": "slo",
    "feedback": "feedback",
    "trust": "trust",
    "tools": "tools",
    "config": "config",
    "nats": "nats",
}
"""Each first word, in the order of the help, and the module beside this one that adds it."""


def build_app(only: str | None = None) -> typer.Typer:
    """Build the tree of commands; each does its work in a room below.

    Args:
        only: The first word of the command that will run, so that only what it needs is imported; all of them when it
            is no such word.
    """
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
    modules = [COMMANDS[only]] if only in COMMANDS else list(dict.fromkeys(COMMANDS.values()))
    for module in modules:
        add_commands: Callable[[typer.Typer], None] = import_module(f"quorate.cli.{module}").add_commands
        add_commands(app)
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
