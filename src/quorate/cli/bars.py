"""How far has long work come, for whoever looks at a terminal?"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager

from quorate.state.archive.lines import Advance, ignore_progress


@contextmanager
def open_bar(
    label: str, total: float | None, *, quiet: bool = False, unit_bytes: bool = True
) -> Generator[Callable[[int], None]]:
    """Show on standard error how far something has come; what is given is told of so many more."""
    if quiet or not _is_watched():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn() if unit_bytes else MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(label, total=total)
        yield lambda more: progress.advance(task, more)


@contextmanager
def open_steps(*, quiet: bool = False) -> Generator[Advance]:
    """Show on standard error how far each step of long work has come."""
    if quiet or not _is_watched():
        yield ignore_progress
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        tasks: dict[str, TaskID] = {}

        def advance(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = progress.add_task(what, total=None)
            progress.update(tasks[what], completed=done, total=total or None)

        yield advance


def _is_watched() -> bool:
    return sys.stderr.isatty() and os.environ.get("TERM", "dumb") != "dumb"
