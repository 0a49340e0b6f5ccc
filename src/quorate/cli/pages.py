"""What does the first page of help say? `python -m quorate.cli.pages` writes it to the file that `main` shows."""

from __future__ import annotations

from pathlib import Path

from typer.main import get_command

from quorate.cli import HELP_FILE
from quorate.cli.app import build_app

WIDTH = 100


def build_page() -> str:
    """Build the page as the command line itself renders it."""
    command = get_command(build_app())
    context = command.make_context("quorate", [], resilient_parsing=True, terminal_width=WIDTH, max_content_width=WIDTH)
    return command.get_help(context).rstrip("\n") + "\n"


if __name__ == "__main__":
    Path(HELP_FILE).write_text(build_page(), encoding="utf-8")
