"""What does `quorate doctor` do?"""

from __future__ import annotations

from typing import Annotated

import typer

from quorate.cli.checks import LEAST_FREE_MB, Check, run_checks
from quorate.cli.console import Line, say_json, say_styled
from quorate.cli.options import Json
from quorate.cli.words import align, clean_line

STYLES = {"ok": "green", "warning": "yellow", "fault": "red", "skipped": "dim"}


def add_commands(app: typer.Typer) -> None:
    """Add `doctor`."""
    app.command("doctor")(doctor)


def doctor(
    *,
    min_free_mb: Annotated[
        int, typer.Option("--min-free-mb", min=0, help="How much room there must be for the log, in MB.")
    ] = LEAST_FREE_MB,
    json: Json = False,
) -> int:
    """Check that this machine is ready, and say what to do where it is not."""
    found = run_checks(least_free_mb=min_free_mb)
    faults = sum(check.status == "fault" for check in found)
    if json:
        say_json({"ok": not faults, "faults": faults, "checks": found})
    else:
        say_styled(_render(found, faults))
    return 1 if faults else 0


def _render(found: list[Check], faults: int) -> list[Line]:
    rows = [(check.status, clean_line(check.name), _describe(check)) for check in found]
    lines = [(STYLES[check.status], line) for check, line in zip(found, align(rows), strict=True)]
    end = "Everything that is needed is there." if not faults else f"{faults} fault{'s' if faults > 1 else ''} to mend."
    return [*lines, ("", ""), ("bold", end)]


def _describe(check: Check) -> str:
    return clean_line(f"{check.detail} → {check.advice}" if check.advice else check.detail)
