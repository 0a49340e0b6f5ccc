"""How does a person see a vote: as a table that fills on a terminal, or as lines anywhere else?"""

from __future__ import annotations

import re
import time
from collections.abc import Generator
from contextlib import contextmanager

from msgspec import Struct
from rich.console import Group
from rich.table import Table
from rich.text import Text

from quorate.cli.console import tell
from quorate.cli.live import Show, is_watched, open_live
from quorate.cli.words import clean_line, show_duration
from quorate.events import (
    AnyEvent,
    InputRequested,
    RunCreated,
    StepStarted,
    ToolStarted,
    VoteCast,
    VoteClosed,
    VoteDecided,
    VoteOpened,
    VoteRefused,
)
from quorate.messages import Delta

MOST_CHOICE, MOST_REASON = 60, 100
HAS_VOTED = "(has voted)"
_STEP = re.compile(r"(?:propose|debate|ballot|arbiter)-[\w.-]+")


class Row(Struct, kw_only=True):
    """What is known of a seat's ballot."""

    mark: str = "…"
    choice: str = ""
    reason: str = ""


class BallotBoard:
    """A run's events, folded into a table of ballots; gives the lines that tell what is new.

    What is said in a secret vote is shown when it is closed, and not before.
    """

    def __init__(self) -> None:
        self.decision = ""
        """The id of the last decision seen."""
        self.title = ""
        self.ending = ""
        self.rows: dict[str, Row] = {}
        self._is_secret = False
        self._held: list[VoteCast | VoteRefused] = []
        self._steps: dict[str, str] = {}

    def add(self, item: AnyEvent | Delta) -> list[str]:
        """Take in what happened, and return the lines that tell it."""
        if isinstance(item, RunCreated):
            return [f"{item.agent}  {item.run}"]
        if isinstance(item, VoteOpened):
            return self._open(item)
        if isinstance(item, (VoteCast, VoteRefused)):
            return self._take(item)
        if isinstance(item, VoteClosed):
            return self._close(item)
        if isinstance(item, VoteDecided):
            self.decision = item.decision
        elif isinstance(item, InputRequested):
            if item.of and f"person:{item.of}" in self.rows:
                self.rows[f"person:{item.of}"] = Row(mark="?", reason="is asked")
            return [f"  ? {clean_line(item.of) or 'somebody'} is asked"]
        elif isinstance(item, ToolStarted) and _STEP.fullmatch(item.call.id):
            self._steps[item.key] = item.call.id
        elif isinstance(item, StepStarted) and item.key.removesuffix("/") in self._steps:
            return [f"  → {self._steps[item.key.removesuffix('/')]}: {clean_line(item.name)}"]
        return []

    def _open(self, event: VoteOpened) -> list[str]:
        self.decision, self._is_secret, self._held = event.decision, event.secret, []
        self.rows = {voter: Row() for voter in event.roll}
        self.ending = ""
        secret = ", in secret" if event.secret else ""
        self.title = (
            f"ballot {event.round}: {len(event.roll)} may vote{secret} by {event.rule}, quorum {event.quorum:g}: "
            f"{clean_line(' | '.join(event.options), most=2 * MOST_REASON)}"
        )
        return [self.title]

    def _take(self, event: VoteCast | VoteRefused) -> list[str]:
        if self._is_secret:
            self._held.append(event)
            self.rows[event.voter] = Row(mark="●", choice=HAS_VOTED)
            return []
        return [self._show(event)]

    def _show(self, event: VoteCast | VoteRefused) -> str:
        voter = clean_line(event.voter)
        if isinstance(event, VoteRefused):
            row = Row(mark="✗", choice=f"({clean_line(event.why)})", reason=clean_line(event.detail, most=MOST_REASON))
            self.rows[event.voter] = row
            return f"  ✗ {voter} casts no ballot that counts {row.choice}: {row.reason}"
        row = Row(
            mark="✓",
            choice=clean_line(event.choice, most=MOST_CHOICE),
            reason=clean_line(event.reason, most=MOST_REASON),
        )
        self.rows[event.voter] = row
        return f"  ✓ {voter}: {row.choice}{f'  ({row.reason})' if row.reason else ''}"

    def _close(self, event: VoteClosed) -> list[str]:
        held, self._held = self._held, []
        self.ending = f"ballot {event.round}: {event.status.replace('_', ' ')}: {clean_line(event.why, most=200)}"
        return [*map(self._show, held), self.ending]


@contextmanager
def open_board(board: BallotBoard, *, quiet: bool = False) -> Generator[Show]:
    """Show ballots on standard error until the end of the block, in the way that fits where it goes."""
    if not quiet and is_watched():
        with _open_table(board) as show:
            yield show
        return

    def show_lines(item: AnyEvent | Delta) -> None:
        for line in board.add(item):
            if not quiet:
                tell(line)

    yield show_lines


@contextmanager
def _open_table(board: BallotBoard) -> Generator[Show]:
    began = time.monotonic()

    def render() -> Group | Text:
        return build_table(board, show_duration(time.monotonic() - began))

    def show(item: AnyEvent | Delta) -> None:
        board.add(item)

    with open_live(render):
        yield show


def build_table(board: BallotBoard, took: str) -> Group | Text:
    """Build what a terminal shows of a vote: a row for each seat."""
    if not board.rows:
        return Text(f"… {took}")
    table = Table(box=None, pad_edge=False, show_edge=False)
    for name in ("", "voter", "choice", "reason"):
        table.add_column(name, no_wrap=True, overflow="ellipsis")
    styles = {"✓": "green", "✗": "red", "?": "yellow"}
    for voter, row in board.rows.items():
        cells = (row.mark, clean_line(voter), row.choice, row.reason)
        table.add_row(*(Text(cell, style=styles.get(row.mark, "dim")) for cell in cells))
    return Group(Text(board.title, style="bold"), table, Text(board.ending or f"… {took}", style="dim"))
