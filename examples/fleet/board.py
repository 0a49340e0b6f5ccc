"""How is it shown who of a fleet does what: as a table that moves on a terminal, and as lines without one?"""

import os
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import TextIO

from parcels import STEPS
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text
from watch import Fleet, Parcel

REFRESHES_PER_SECOND = 10
FULL, EMPTY = "▰", "▱"
STATES = {"working": "green", "full": "yellow", "killed": "red", "lost": "red"}


class Board:
    """Prints lines, and on a terminal a table below them."""

    def __init__(self, stream: TextIO, *, plain: bool) -> None:
        is_terminal = stream.isatty() and os.environ.get("TERM", "dumb") != "dumb"
        self.console = Console(file=stream, highlight=False, markup=False, emoji=False, soft_wrap=True)
        self.is_live = is_terminal and not plain
        self._began_s = time.monotonic()

    def say(self, text: str = "", style: str = "") -> None:
        """Print a line."""
        self.console.print(text, style=style or None)

    def tell(self, text: str, *, always: bool = False) -> None:
        """Print what happened, with the milliseconds since the beginning; most of it a table shows by itself."""
        if always or not self.is_live:
            self.console.print(f"{(time.monotonic() - self._began_s) * 1000:7.0f} ms  {text}")

    @contextmanager
    def showing(self, fleet: Fleet) -> Generator[None]:
        """Show the fleet for a block, as it is at every moment."""
        if not self.is_live:
            yield
            return
        with Live(
            get_renderable=lambda: build_table(fleet),
            console=self.console,
            refresh_per_second=REFRESHES_PER_SECOND,
            vertical_overflow="crop",
        ):
            yield


def build_table(fleet: Fleet) -> Table:
    """Build the table of who does what."""
    done = sum(parcel.status == "completed" for parcel in fleet.parcels.values())
    table = Table(title=f"{done} of {len(fleet.parcels)} parcels packed", title_justify="left", expand=True)
    for column in ("worker", "process", "state", "load"):
        table.add_column(column, no_wrap=True)
    table.add_column("packs now", ratio=1)
    table.add_column("packed", justify="right")
    table.add_column("taken over", justify="right")
    for member in fleet.members:
        table.add_row(
            member.name,
            str(member.pid),
            Text(member.state, style=STATES.get(member.state, "dim")),
            f"{len(fleet.list_held(member))}/{member.concurrency}",
            "  ".join(describe(parcel) for parcel in fleet.list_held(member)),
            str(fleet.count_packed(member)),
            str(fleet.count_taken_over(member)),
        )
    return table


def describe(parcel: Parcel) -> str:
    """A parcel and how far it is, such as `7 ▰▰▱▱▱`."""
    return f"{parcel.name.removeprefix('parcel ')} {FULL * parcel.steps}{EMPTY * (len(STEPS) - parcel.steps)}"
