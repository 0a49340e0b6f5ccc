"""What does `quorate config` do?"""

from __future__ import annotations

from typing import Annotated

import typer

from quorate.assembly import load_gateway_plan
from quorate.cli.console import say, say_all, say_json
from quorate.cli.options import Json
from quorate.cli.words import align
from quorate.errors import InvalidFiles
from quorate.settings import read_settings
from quorate.settings.load import list_rows

Environment = Annotated[
    str | None, typer.Option("--env", metavar="NAME", help="Look at another environment: dev, staging or prod.")
]


def add_commands(app: typer.Typer) -> None:
    """Add the commands about settings."""
    group = typer.Typer(help="Check and show the settings.", rich_markup_mode=None, no_args_is_help=True)
    group.command("check")(check_config)
    group.command("show")(show_config)
    app.add_typer(group, name="config")


def check_config(*, env: Environment = None, json: Json = False) -> None:
    """Check all settings, and the gateway file they name; every fault is named with its file, line and key."""
    try:
        loaded = read_settings(environment=env)
        load_gateway_plan(loaded.settings)
    except InvalidFiles as error:
        if json:
            say_json({"ok": False, "faults": error.faults})
        raise
    if json:
        say_json({"ok": True, "environment": loaded.settings.environment, "files": loaded.files, "faults": ()})
        return
    read = f" from {', '.join(loaded.files)}" if loaded.files else "; no file was found, so defaults hold"
    say(f"No faults in the settings of {loaded.settings.environment}{read}.")


def show_config(*, env: Environment = None, json: Json = False) -> None:
    """Show every setting, secrets hidden, and where it comes from."""
    loaded = read_settings(environment=env)
    rows = list_rows(loaded)
    if json:
        say_json({"files": loaded.files, "settings": loaded.settings, "origins": loaded.origins})
        return
    say_all(align([(name, value, f"({origin})") for name, value, origin in rows]))
